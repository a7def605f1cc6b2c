//! Limits that are really met, and what the doctor and the crowd say of them.
//!
//! Each scene of `stage.py` meets one limit in a network or a process of its own. Some lower a limit of the
//! whole machine for a moment: these are played where `REQUIRE_LIMITS` is set, as in `.ci/run`, and nowhere
//! else. What a machine does not let be played fails there, too, and is said aloud elsewhere.

#[path = "../support/mod.rs"]
mod support;

mod erlang;

use std::{
    env,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use support::binary::output_of;

const FOURTUPLE: &str = env!("CARGO_BIN_EXE_fourtuple");

/// The status of a scene that cannot be played here.
const CANNOT: i32 = 77;

/// One scene at a time: some lower limits that others would meet.
static STAGE: Mutex<()> = Mutex::new(());

fn stage() -> MutexGuard<'static, ()> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_required() -> bool {
    env::var_os("REQUIRE_LIMITS").is_some()
}

/// Plays a scene; `None` where this machine does not let it be played.
#[track_caller]
fn play(scene: &str) -> Option<Value> {
    let _stage = stage();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/limits/stage.py");
    let output = output_of(Command::new("python3").args([script, scene, FOURTUPLE]));
    let complaint = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(CANNOT) {
        assert!(!is_required(), "{complaint}");
        eprintln!("{scene} was not played: {complaint}");
        return None;
    }
    assert!(output.status.success(), "{scene}: {complaint}");
    Some(serde_json::from_slice(&output.stdout).expect("the stage prints JSON"))
}

/// Plays a scene that lowers a limit of the whole machine.
#[track_caller]
fn play_on_the_whole_machine(scene: &str) -> Option<Value> {
    if !is_required() {
        eprintln!(
            "{scene} was not played: it lowers a limit of this machine; set REQUIRE_LIMITS=1"
        );
        return None;
    }
    play(scene)
}

/// The words of what is exhausted.
#[track_caller]
fn alarm(found: &Value, beginning: &str) -> String {
    let alarms = found["doctor"]["alarms"].as_array().expect("a list");
    let mut words = alarms.iter().filter_map(Value::as_str);
    let alarm = words.find(|words| words.starts_with(beginning));
    alarm
        .unwrap_or_else(|| panic!("no alarm begins with {beginning:?}: {alarms:#?}"))
        .to_owned()
}

/// The gauge of that name.
#[track_caller]
fn gauge(found: &Value, label: &str) -> (u64, u64) {
    let gauges = found["doctor"]["gauges"].as_array().expect("a list");
    let gauge = gauges.iter().find(|gauge| gauge["label"] == label);
    let gauge = gauge.unwrap_or_else(|| panic!("no gauge {label}: {gauges:#?}"));
    let number = |key: &str| gauge[key].as_u64().expect("a number");
    (number("used"), number("max"))
}

#[test]
fn tuples_that_run_out_are_named_with_source_and_destination() {
    let Some(found) = play("tuples") else { return };
    assert_eq!(found["met"], "EADDRNOTAVAIL");
    assert_eq!(found["status"], 1);
    let words = alarm(&found, "tuples from 127.0.0.1 to 127.0.0.1:");
    assert!(
        words.contains("ip_local_port_range=\"1024 65535\""),
        "{words}"
    );
    assert!(words.contains("use more source addresses"), "{words}");
}

#[test]
fn a_port_that_no_destination_shares_is_told_from_tuples() {
    let Some(found) = play("clash") else { return };
    assert_eq!(found["met"], "EADDRINUSE");
    let words = alarm(&found, "ports of 127.0.0.1:");
    assert!(words.contains("IP_BIND_ADDRESS_NO_PORT"), "{words}");
}

#[test]
fn an_accept_queue_that_overflows_is_named_with_its_backlog() {
    let Some(found) = play("queue") else { return };
    assert_eq!(found["status"], 1);
    let words = alarm(&found, "accept queue of 127.0.0.1:");
    assert!(words.contains("backlog than 2"), "{words}");
    let overflows = &found["doctor"]["counters"]["ListenOverflows"];
    assert!(overflows.as_u64() > Some(0), "{overflows}");
}

#[test]
fn descriptors_that_run_out_are_counted() {
    let Some(found) = play("descriptors") else {
        return;
    };
    assert_eq!(found["met"], "EMFILE");
    let (used, max) = gauge(&found, "RLIMIT_NOFILE");
    assert_eq!(max, 1_000);
    assert!((980..=1_000).contains(&used), "{used}");
    assert_eq!(found["status"], 1);
    let words = alarm(&found, "RLIMIT_NOFILE:");
    assert!(words.contains("ulimit -n N"), "{words}");
}

#[test]
fn a_full_file_table_is_the_machines() {
    let Some(found) = play_on_the_whole_machine("files") else {
        return;
    };
    assert_eq!(found["met"], "ENFILE");
    let words = alarm(&found, "fs.file-max:");
    assert!(words.contains("ENFILE (file table overflow)"), "{words}");
}

#[test]
fn tcp_memory_that_is_used_up_is_named() {
    let Some(found) = play_on_the_whole_machine("pages") else {
        return;
    };
    let words = alarm(&found, "net.ipv4.tcp_mem:");
    assert!(words.contains("500 pages"), "{words}");
}

/// What the crowd says of those that did not get up for this reason.
#[track_caller]
fn failure<'a>(found: &'a Value, class: &str) -> (&'a str, &'a str) {
    let failures = found["doctor"]["not_opened"].as_array();
    let failures = failures.unwrap_or_else(|| panic!("no failures: {found:#}"));
    let failure = failures.iter().find(|it| it["class"] == class);
    let failure = failure.unwrap_or_else(|| panic!("no such class: {failures:#?}"));
    let words = |key: &str| failure[key].as_str().expect("a sentence");
    (words("text"), words("remedy"))
}

#[test]
fn a_crowd_without_watches_names_the_limit_and_its_value() {
    let Some(found) = play_on_the_whole_machine("watches") else {
        return;
    };
    let (text, remedy) = failure(&found, "epoll_watches");
    assert!(
        text.starts_with("fs.epoll.max_user_watches: ENOSPC") && text.ends_with("here it is 400"),
        "{text}"
    );
    assert!(remedy.contains("fs.epoll.max_user_watches="), "{remedy}");
}

#[test]
fn a_crowd_on_a_machine_without_files_names_the_limit_and_its_value() {
    let Some(found) = play_on_the_whole_machine("table") else {
        return;
    };
    let (text, remedy) = failure(&found, "open_files");
    assert!(
        text.starts_with("fs.file-max: ENFILE (file table overflow)"),
        "{text}"
    );
    assert!(text.contains("; here it is "), "{text}");
    assert!(remedy.contains("sysctl -w fs.file-max=N"), "{remedy}");
}

#[test]
fn a_crowd_whose_ports_others_hold_says_so() {
    let Some(found) = play("taken") else { return };
    let (text, remedy) = failure(&found, "ports_taken");
    assert!(
        text.starts_with("source tuples: EADDRINUSE") && text.ends_with("here it is 64,512"),
        "{text}"
    );
    assert!(remedy.contains("more source addresses"), "{remedy}");
    let connections = &found["doctor"]["connections"];
    assert_eq!(connections["not_opened"], 3, "{connections}");
    // Each has tried others before it gave up.
    let tried = connections["tuples_busy"].as_u64();
    assert!(tried >= Some(3), "{connections}");
}

#[test]
fn a_firewall_that_remembers_no_more_is_named() {
    let Some(found) = play_on_the_whole_machine("conntrack") else {
        return;
    };
    let words = alarm(&found, "net.netfilter.nf_conntrack_max:");
    assert!(words.contains("of 64 connections"), "{words}");
}
