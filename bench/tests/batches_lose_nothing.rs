//! The measurement of publishing works: a short run counts each message once. Its speed means nothing and is
//! not looked at.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

#[test]
fn batches_lose_nothing() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("publish.json");
    let output = Command::new(env!("CARGO_BIN_EXE_fourtuple-bench"))
        .args(["publish", "--members", "3", "--backends", "2"])
        .args([
            "--batch",
            "50",
            "--seconds",
            "1",
            "--kernel",
            "epoll",
            "--json",
        ])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for number in ["lost", "duplicated", "unexpected"] {
        assert_eq!(report[number], 0, "{report}");
    }
    assert!(report["sent"].as_u64() >= Some(50), "{report}");
    assert_eq!(report["sent"], report["delivered"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        printed.contains("| published and delivered messages per second |"),
        "{printed}"
    );
}
