//! A bench that is killed leaves no server behind.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn children_end_with_the_bench() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_fourtuple-bench"))
        .args([
            "--servers",
            "floor",
            "--connections",
            &CONNECTIONS.to_string(),
            "--echo-ms",
            "60000",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = serving_child(&bench);
    bench.kill().unwrap();
    bench.wait().unwrap();
    assert!(
        until(|| is_gone(server).then_some(())).is_some(),
        "process {server} lives on"
    );
}

/// Waits until the bench's server holds all connections and returns its process id. Earlier it
/// might end for other reasons, such as that nobody reads what it says.
fn serving_child(bench: &Child) -> u32 {
    let path = format!("/proc/{0}/task/{0}/children", bench.id());
    let found = until(|| {
        let children = fs::read_to_string(&path).ok()?;
        let child = children.split_whitespace().next()?.parse().ok()?;
        let descriptors = fs::read_dir(format!("/proc/{child}/fd")).ok()?.count();
        (descriptors > CONNECTIONS).then_some(child)
    });
    found.expect("the bench starts a server")
}

/// Says whether the process has ended, whoever is to collect its exit code.
fn is_gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .map_or(true, |status| status.contains("State:\tZ"))
}

/// Asks again and again, as the processes of others tell nobody when they begin and end.
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        thread::yield_now();
    }
    None
}
