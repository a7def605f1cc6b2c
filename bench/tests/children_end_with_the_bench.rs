//! A bench that is killed leaves no server behind, and one that is interrupted no file either.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn children_end_with_the_bench() {
    let folder = folder("killed");
    let mut bench = bench(&folder).args(["--echo-ms", "60000"]).spawn().unwrap();
    let server = serving_child(&bench);
    bench.kill().unwrap();
    bench.wait().unwrap();
    assert!(
        until(|| is_gone(server).then_some(())).is_some(),
        "process {server} lives on"
    );
}

#[test]
fn files_end_with_the_bench_that_is_interrupted() {
    for signal in ["INT", "TERM", "HUP"] {
        let folder = folder(signal);
        let mut bench = bench(&folder)
            .args(["--rounds", "1000", "--echo-ms", "100"])
            .spawn()
            .unwrap();
        let server = serving_child(&bench);
        let entries = || fs::read_dir(&folder).unwrap().count();
        assert_eq!(entries(), 1, "a folder of the run");
        let pid = bench.id().to_string();
        let kill = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(kill.unwrap().success());
        assert!(!bench.wait().unwrap().success(), "{signal}: not a success");
        assert_eq!(entries(), 0, "{signal}");
        assert!(is_gone(server), "{signal}: process {server} lives on");
    }
}

/// An empty folder.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("children-{name}"));
    // It is there when an earlier run has failed.
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The bench as it measures the floor alone, with its temporary files in `folder`.
/// Whoever runs the tests may be deaf to SIGHUP, as under nohup, and what it starts inherits that.
fn bench(folder: &Path) -> Command {
    let mut command = Command::new("env");
    command
        .args([
            "--default-signal=HUP",
            env!("CARGO_BIN_EXE_fourtuple-bench"),
        ])
        .args(["--servers", "floor"])
        .args(["--connections", &CONNECTIONS.to_string()])
        .env("TMPDIR", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
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
