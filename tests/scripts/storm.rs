//! Users that come back: a server that is killed under them and started again, and storms that the script makes.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Signal, kill_process};

use crate::{
    run, script,
    support::{
        binary::{assert_status, fourtuple, on_epoll},
        relay::Relay,
        watchdog::Watchdog,
    },
};

/// How long a run may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(120);
/// Users of each run.
const USERS: u64 = 100;

/// Users that join a room of their own, say so, think for six seconds and push.
fn patient(server: &Relay, more: &str) -> String {
    format!(
        "config:\n  target: {}\n  phases:\n    - {{duration: 1, arrivalCount: {USERS}}}\n{more}  \
         reconnect: jitter\n\
         scenarios:\n  - engine: phoenix\n    flow:\n      \
         - join: {{topic: 'room:{{{{ $uuid }}}}'}}\n      - log: has joined\n      - think: 6\n      \
         - push: {{event: new_msg, payload: {{body: hi}}, reply: true}}\n      - leave: {{}}\n",
        server.url()
    )
}

/// What was counted adds up where everybody has come back; returns how many connections ended.
#[track_caller]
fn assert_all_back(report: &serde_json::Value) -> u64 {
    let counters = &report["aggregate"]["counters"];
    assert_eq!(counters["vusers.completed"], USERS, "{report:#}");
    assert_eq!(counters["vusers.failed"], 0);
    let ours = &report["fourtuple"]["counters"];
    let disconnected = ours["websocket.disconnected"].as_u64().expect("a number");
    assert_eq!(ours["websocket.reconnected"], disconnected, "{report:#}");
    let back = &report["fourtuple"]["summaries"]["websocket.back_time"];
    assert_eq!(back["count"], disconnected);
    let periods = report["fourtuple"]["timeline"]["periods"]
        .as_array()
        .expect("a timeline");
    for name in ["disconnected", "back"] {
        let counts = periods.iter().map(|one| one["counts"][name].as_u64());
        assert_eq!(counts.sum::<Option<u64>>(), Some(disconnected), "{name}");
    }
    disconnected
}

#[test]
fn a_server_that_is_killed_and_started_again_has_all_its_users_back() {
    let mut server = Relay::start_alone(&[]);
    let path = script("killed.yml", &patient(&server, ""));
    let report = path.with_extension("report.json");
    let mut command = fourtuple();
    command
        .arg("load")
        .arg(&path)
        .arg("--plain")
        .arg("-o")
        .arg(&report);
    if on_epoll() {
        command.args(["--kernel", "epoll"]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let (joined, all_joined) = mpsc::sync_channel(USERS as usize);
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        for line in lines.map_while(Result::ok) {
            if line.contains("has joined") {
                let _ = joined.send(());
            }
            text += &line;
            text.push('\n');
        }
        text
    });
    for number in 0..USERS {
        let is_there = all_joined.recv_timeout(PATIENCE);
        assert!(is_there.is_ok(), "{number} of {USERS} have joined");
    }
    kill_process(server.pid(), Signal::KILL).expect("it runs");
    assert!(!server.wait().success(), "it was killed");
    server.start_again();
    let watchdog = Watchdog::over(&child, PATIENCE);
    let text = reader.join().expect("it only reads");
    let status = child.wait().expect("it is our child");
    assert!(!watchdog.had_to_kill(), "it ends by itself:\n{text}");
    assert_eq!(status.code(), Some(0), "{text}");
    let report = std::fs::read_to_string(&report).expect("a report");
    let report = serde_json::from_str(&report).expect("JSON");
    assert_eq!(assert_all_back(&report), USERS);
    let failures = report["fourtuple"]["failures"].as_array().expect("a list");
    let ended = failures.iter().filter(|one| one["group"] == "disconnected");
    let counts = ended.map(|one| one["count"].as_u64());
    assert_eq!(counts.sum::<Option<u64>>(), Some(USERS), "{report:#}");
    assert!(
        text.contains("Connections that ended and were to come back:"),
        "{text}"
    );
}

#[test]
fn a_script_makes_storms_of_its_own() {
    let server = Relay::start(&[]);
    let storms = "    - {pause: 1}\n    - {pause: 1, drop: 30%, name: cable}\n    - {pause: 2, churn: 25/s}\n";
    let page = script("storm.html", "");
    let page = page.to_str().expect("a path of this workspace");
    let (output, report) = run(
        &script("storm.yml", &patient(&server, storms)),
        &["--html", page],
    );
    assert_status(&output, 0);
    let ended = assert_all_back(&report);
    // A share of consecutive users is off by five at most.
    assert!((75..=85).contains(&ended), "{ended} of 30 and 50");
    let page = std::fs::read_to_string(page).expect("a page");
    for words in [
        "connections back",
        "25/s connections reset",
        "reset by the crowd, as the script asks",
    ] {
        assert!(page.contains(words), "{words}");
    }
    // Nobody would come back from them.
    let text = patient(&server, storms).replace("  reconnect: jitter\n", "");
    let (output, _) = run(&script("no_return.yml", &text), &[]);
    assert_status(&output, 2);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    for key in ["config.phases[2].drop: ", "config.phases[3].churn: "] {
        assert!(complaint.contains(key), "{complaint}");
    }
    assert!(complaint.contains("write `reconnect: true`"), "{complaint}");
}
