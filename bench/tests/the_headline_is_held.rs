//! The command of the headline works at the size of a test, and leaves nothing behind however it
//! ends. Its speeds mean nothing here and are not looked at.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const BROADCASTS: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn twenty_thousand_are_opened_held_told_dropped_and_back() {
    const CONNECTIONS: u64 = 20_000;
    let folder = folder("held");
    let json = folder.join("report.json");
    let output = headline(CONNECTIONS, &folder)
        .args(["--hold", "5s", "--json"])
        .arg(&json)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", words(&output));
    let report: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let number = |key: &str, end: &str| {
        let number = report["numbers"][key][end].as_f64();
        number.unwrap_or_else(|| panic!("no {end} of {key}: {report}"))
    };
    for key in ["opened", "joined", "held"] {
        assert_eq!(number(key, "value"), CONNECTIONS as f64, "{key}");
    }
    for key in ["lost_connections", "lost", "duplicated", "drain_code"] {
        assert_eq!(number(key, "value"), 0.0, "{key}");
    }
    assert_eq!(number("drain_told", "value"), CONNECTIONS as f64);
    assert_eq!(number("dropped", "value"), CONNECTIONS as f64 / 10.0);
    assert_eq!(number("back", "value"), CONNECTIONS as f64 / 10.0);
    for key in [
        "joins_per_second",
        "deliveries_per_second",
        "cpu_us_per_delivery",
    ] {
        assert!(
            number(key, "value") > 0.0 && number(key, "floor") > 0.0,
            "{key}"
        );
    }
    // 20,000 clients that beat every 30 seconds cost the hold something, and so the broadcasts.
    let (net, gross) = ("cpu_us_per_delivery", "cpu_us_per_delivery_gross");
    assert!(number(net, "value") < number(gross, "value"));
    for part in [
        &report["floor"]["broadcasts"],
        &report["product"]["crowd"]["broadcasts"],
    ] {
        let broadcasts = part.as_array().unwrap();
        assert_eq!(broadcasts.len() as u64, BROADCASTS);
        for broadcast in broadcasts {
            assert_eq!(broadcast["received"], CONNECTIONS, "{broadcast}");
        }
    }
    assert_eq!(report["held"], true);
    assert_nothing_left(&folder);
}

#[test]
fn limits_that_are_too_low_are_named_and_refused() {
    let folder = folder("refused");
    let limit = low_limit(&folder);
    let output = headline(100, &folder).output().unwrap();
    let said = words(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("sysctl -w kernel.threads-max=\""), "{said}");
    assert!(said.contains("--apply-sysctls"), "{said}");
    assert_eq!(fs::read_to_string(limit).unwrap(), "10\n");
}

#[test]
fn an_interrupt_and_a_kill_end_the_children_and_restore_the_limits() {
    for signal in ["INT", "TERM", "HUP", "KILL"] {
        let folder = folder(signal);
        let limit = low_limit(&folder);
        let mut bench = headline(100, &folder)
            .args(["--apply-sysctls", "--hold", "1h"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(&mut bench, "product: holding");
        assert_ne!(
            fs::read_to_string(&limit).unwrap(),
            "10\n",
            "{signal}: raised"
        );
        let children = children(&bench);
        assert!(
            children.len() >= 3,
            "{signal}: server, crowd and keeper: {children:?}"
        );
        send(signal, bench.id());
        assert!(!bench.wait().unwrap().success(), "{signal}: not a success");
        until(&format!("{signal}: children end"), || {
            children.iter().all(|pid| is_gone(*pid))
        });
        until(&format!("{signal}: the limit is restored"), || {
            fs::read_to_string(&limit).is_ok_and(|text| text.trim() == "10")
        });
        if signal != "KILL" {
            assert_nothing_left(&folder);
        }
    }
}

#[test]
fn the_keeper_of_the_limits_outlives_what_ends_the_bench() {
    let folder = folder("kept");
    let limit = low_limit(&folder);
    fs::write(&limit, "99").unwrap();
    let mut keeper = Command::new(env!("CARGO_BIN_EXE_fourtuple-bench"))
        .arg("sysctl-keeper")
        .arg(folder.join("limits"))
        .arg("kernel.threads-max=10")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(keeper.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    for signal in ["INT", "TERM", "HUP"] {
        send(signal, keeper.id());
    }
    assert_eq!(fs::read_to_string(&limit).unwrap(), "99", "not yet");
    drop(keeper.stdin.take());
    assert!(keeper.wait().unwrap().success());
    assert_eq!(fs::read_to_string(limit).unwrap(), "10");
}

#[test]
fn the_limits_are_restored_though_their_keeper_was_killed() {
    let folder = folder("unkept");
    let limit = low_limit(&folder);
    let mut bench = headline(100, &folder)
        .args(["--apply-sysctls", "--hold", "1h"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut bench, "product: holding");
    let keeper = children(&bench).into_iter().find(|pid| {
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline"));
        words.is_ok_and(|words| words.contains("sysctl-keeper"))
    });
    send("KILL", keeper.expect("a keeper"));
    send("INT", bench.id());
    assert!(!bench.wait().unwrap().success());
    assert_eq!(fs::read_to_string(limit).unwrap(), "10");
    assert_nothing_left(&folder);
}

/// The command for so many connections, with limits and temporary files in `folder`.
fn headline(connections: u64, folder: &Path) -> Command {
    // Whoever runs the tests may be deaf to SIGHUP, as under nohup, and what it starts inherits that.
    let mut command = Command::new("env");
    command
        .args([
            "--default-signal=HUP",
            env!("CARGO_BIN_EXE_fourtuple-bench"),
        ])
        .args(["headline", "--connections", &connections.to_string()])
        .args(["--broadcasts", &BROADCASTS.to_string()])
        .arg("--sysctl-root")
        .arg(folder.join("limits"))
        .env("TMPDIR", folder.join("temporary"));
    command
}

/// An empty folder with two more in it.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("headline-{name}"));
    // It is there when an earlier run has failed.
    let _ = fs::remove_dir_all(&path);
    for inner in ["limits/kernel", "temporary"] {
        fs::create_dir_all(path.join(inner)).unwrap();
    }
    path
}

/// A limit that no run can do with.
fn low_limit(folder: &Path) -> PathBuf {
    let path = folder.join("limits/kernel/threads-max");
    fs::write(&path, "10\n").unwrap();
    path
}

fn assert_nothing_left(folder: &Path) {
    let left: Vec<_> = fs::read_dir(folder.join("temporary")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

fn words(output: &Output) -> String {
    let [said, report] = [&output.stderr, &output.stdout].map(|it| String::from_utf8_lossy(it));
    format!("{said}{report}")
}

/// Reads what the bench says until it says `expected`, and the rest on a thread of its own.
fn wait_for(bench: &mut Child, expected: &str) {
    let mut lines = BufReader::new(bench.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        if line == expected {
            thread::spawn(move || lines.for_each(drop));
            return;
        }
        said.push(line);
    }
    panic!("the bench ended before it said {expected}: {said:#?}");
}

fn children(bench: &Child) -> Vec<u32> {
    let path = format!("/proc/{0}/task/{0}/children", bench.id());
    let text = fs::read_to_string(path).unwrap();
    text.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

fn send(signal: &str, pid: u32) {
    let pid = pid.to_string();
    let kill = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(kill.unwrap().success());
}

/// Says whether the process has ended, whoever is to collect its exit code.
fn is_gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .map_or(true, |status| status.contains("State:\tZ"))
}

/// Asks again and again, as the processes of others tell nobody when they end.
fn until(what: &str, mut ask: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ask() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}
