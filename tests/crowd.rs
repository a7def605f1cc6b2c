//! `fourtuple load` against `fourtuple serve`, both as their users run them.

mod support;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use support::{
    binary::{assert_status, fourtuple, on_epoll, output_of},
    relay::Relay,
    watchdog::Watchdog,
};

/// How long a crowd may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file of this test alone.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn crowd(url: &str, arguments: &str) -> Command {
    let mut command = fourtuple();
    command
        .args(["load", url])
        .args(arguments.split_whitespace());
    if on_epoll() {
        command.args(["--kernel", "epoll"]);
    }
    command
}

fn run(url: &str, arguments: &str) -> Output {
    output_of(&mut crowd(url, arguments))
}

#[test]
fn a_joined_crowd_is_held_and_every_delivery_counted() {
    let server = Relay::start(&[]);
    let path = file("crowd.json");
    let json = path.to_str().expect("a path of this workspace");
    for vsn in ["1.0.0", "2.0.0"] {
        let flags = format!(
            "--connections 300 --join room:{{}} --topics 3 --rate 2000 --hold 1s --publish 10/s \
             --push 1/s --vsn {vsn} --json {json}"
        );
        let output = run(&server.url(), &flags);
        assert_status(&output, 0);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("3,000 expected = 3,000 received + 0 lost"),
            "{text}"
        );

        let written = std::fs::read_to_string(&path).expect("the report was written");
        let report: serde_json::Value = serde_json::from_str(&written).expect("it is JSON");
        assert_eq!(report["held"], true);
        assert_eq!(report["connections"]["held"], 300);
        assert_eq!(report["publishes"]["sent"], 30);
        assert_eq!(report["deliveries"]["received"], 3_000);
        assert_eq!(report["deliveries"]["duplicated"], 0);
        assert_eq!(report["pushes"]["answered"], 300);
        assert_eq!(report["latency"]["last_delivery"]["count"], 30);
    }
}

#[test]
fn a_crowd_that_is_not_let_in_is_not_held() {
    let server = Relay::start(&[]);
    let output = run(
        &server.url(),
        "--connections 5 --join secret:room --hold 1s",
    );
    assert_status(&output, 1);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("join refused: unmatched topic"), "{text}");
    assert!(
        text.ends_with("NOT held:\n  connections that did not get up: 5 of 5\n"),
        "{text}"
    );
}

#[test]
fn stages_are_followed_while_the_crowd_walks_through_them() {
    let server = Relay::start(&[]);
    let (events, json) = (file("stages.jsonl"), file("stages.json"));
    let flags = format!(
        "--connections 300 --join room:lobby --rate 5000 --hold 300ms --broadcasts 3 --drop 10% \
         --events {} --json {}",
        events.display(),
        json.display()
    );
    assert_status(&run(&server.url(), &flags), 0);
    let read = |path| std::fs::read_to_string(path).expect("it was written");
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
    let lines: Vec<_> = read(&events).lines().map(value).collect();
    let stages: Vec<_> = lines
        .iter()
        .filter_map(|line| line["stage"].as_str())
        .collect();
    assert_eq!(
        stages.join(" "),
        "opening opened holding broadcasting dropping settling closing done"
    );
    let opened = &lines[1];
    assert_eq!(opened["connections"]["ready"], 300, "{opened}");
    let broadcasts: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "broadcast")
        .collect();
    assert_eq!(broadcasts.len(), 3);
    for one in broadcasts {
        assert_eq!((&one["received"], &one["lost"]), (&300.into(), &0.into()));
    }
    let report = value(&read(&json));
    assert_eq!(report["drop"]["back"], 30);
    assert_eq!(report["connections"]["held"], 300);
    assert_eq!(report["broadcasts"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_server_that_is_restarted_has_its_crowd_back() {
    let mut server = Relay::start_alone(&[]);
    let json = file("storm.json");
    let mut command = crowd(
        &server.url(),
        &format!(
            "--connections 300 --join room:{{}} --topics 10 --rate 5000 --hold 1h --reconnect \
             --settle-timeout 20s --json {}",
            json.display()
        ),
    );
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let _watchdog = Watchdog::over(&child, PATIENCE);
    let stderr = child.stderr.take().expect("stderr is piped");
    let mut progress = BufReader::new(stderr).lines().map_while(Result::ok);
    assert!(progress.any(|line| line.contains("holding")), "it gets up");
    server.restart();
    // The line after the restart that says that all are up and that nobody is away.
    let is_back = |line: &String| line.contains("300 of 300 up") && !line.contains("away");
    assert!(progress.any(|line| is_back(&line)), "all are back");
    kill_process(Pid::from_child(&child), Signal::INT).expect("the crowd is running");
    progress.for_each(drop);
    let output = child.wait_with_output().expect("the crowd is our child");
    assert_status(&output, 1);
    let report = std::fs::read_to_string(&json).expect("it was written");
    let report: serde_json::Value = serde_json::from_str(&report).expect("it is JSON");
    assert_eq!(report["connections"]["held"], 300, "{report}");
    assert_eq!(report["returns"]["disconnected"], 300, "{report}");
    assert_eq!(report["returns"]["back"], 300, "{report}");
    assert_eq!(report["latency"]["back"]["count"], 300);
}

/// Fifty clients that are up and would stay for an hour, who looks after them, and what is left of
/// their progress to read.
fn a_crowd_that_holds(server: &Relay) -> (Child, Watchdog, impl Iterator<Item = String> + use<>) {
    let mut command = crowd(
        &server.url(),
        "--connections 50 --join room:lobby --hold 1h",
    );
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let watchdog = Watchdog::over(&child, PATIENCE);
    let stderr = child.stderr.take().expect("stderr is piped");
    let mut progress = BufReader::new(stderr).lines().map_while(Result::ok);
    assert!(
        progress.any(|line| line.contains("holding")),
        "the crowd gets up"
    );
    (child, watchdog, progress)
}

#[test]
fn a_drained_server_drops_its_crowd_with_1012() {
    let mut server = Relay::start(&[]);
    let (child, _watchdog, progress) = a_crowd_that_holds(&server);
    server.terminate();
    assert!(server.wait().success());
    progress.for_each(drop);
    let output = child.wait_with_output().expect("the crowd is our child");
    assert_status(&output, 1);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("50  closed by the server with code 1012"),
        "{text}"
    );
}

#[test]
fn ctrl_c_ends_the_hold_and_still_reports() {
    let server = Relay::start(&[]);
    let (child, _watchdog, progress) = a_crowd_that_holds(&server);
    kill_process(Pid::from_child(&child), Signal::INT).expect("the crowd is running");
    progress.for_each(drop);
    let output = child.wait_with_output().expect("the crowd is our child");
    assert_status(&output, 1);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("held                          50"), "{text}");
    assert!(
        text.ends_with("NOT held:\n  the run was ended early\n"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_held_is_refused_with_the_arithmetic() {
    let output = run("ws://127.0.0.1:4000/socket", "--connections 4000000000");
    assert_status(&output, 3);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("4,000,000,000 connections need "), "{text}");
    assert!(text.contains("to hold more, "), "{text}");
}
