//! The weighing of virtual users works: all are there, and their steps arrive. The numbers of such a run mean
//! nothing and are not looked at.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

#[test]
fn users_are_weighed_and_their_steps_counted() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("users.json");
    let output = Command::new(env!("CARGO_BIN_EXE_fourtuple-bench"))
        .args([
            "users",
            "--users",
            "300",
            "--rate",
            "1000",
            "--senders",
            "5",
        ])
        .args(["--rounds", "1", "--window-s", "1"])
        // Where io_uring is not to be had, this still runs.
        .args(["--kernel", "epoll", "--json"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(report["idle"][0]["users"], 300, "{report}");
    for sends in ["a constant text", "a template"] {
        let steps = report["sends"][sends][0]["steps"].as_u64();
        assert!(steps > Some(0), "{report}");
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("bytes per idle user"), "{printed}");
}
