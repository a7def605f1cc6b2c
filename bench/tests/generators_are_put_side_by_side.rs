//! The comparison of load generators works: both of the product's crowds get there, and one that is not installed is
//! named. The numbers of such a run mean nothing and are not looked at.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

#[test]
fn generators_are_put_side_by_side() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("generators.json");
    let output = Command::new(env!("CARGO_BIN_EXE_fourtuple-bench"))
        .args(["generators", "--generators", "fourtuple,fourtuple-script"])
        .args(["--connections", "300", "--rate", "1000"])
        .args(["--rounds", "1", "--hold-s", "1", "--json"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for generator in ["fourtuple", "fourtuple-script"] {
        let sample = &report["generators"][generator][0];
        assert_eq!(sample["reached"], 300, "{report}");
        assert!(sample["memory_bytes"].as_u64() > Some(0), "{report}");
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("\n| fourtuple | 300 |"), "{printed}");
}

#[test]
fn a_generator_that_is_missing_is_named_with_the_command_that_installs_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_fourtuple-bench"))
        .args(["generators", "--generators", "tsung"])
        // As if nothing was installed.
        .args(["--product", "/nonexistent/fourtuple"])
        .env("PATH", "/nonexistent")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("tsung needs tsung"), "{said}");
    assert!(said.contains("apt-get install"), "{said}");
}
