//! How the server ends: SIGTERM closes every socket so that its client comes back elsewhere.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    binary::fourtuple,
    relay::Relay,
    watchdog::Watchdog,
    wire::{Heard, Wire},
};

#[test]
fn every_socket_is_told_to_come_back() {
    let mut relay = Relay::start(&[]);
    let mut wires: Vec<_> = (0..200).map(|_| Wire::open(relay.addr())).collect();
    for wire in &mut wires[..150] {
        wire.join("1", "room:lobby");
    }
    relay.terminate();
    for wire in &mut wires {
        wire.expect_close(1012);
        assert_eq!(wire.hear(), Heard::Gone);
    }
    let status = relay.wait();
    assert!(status.success(), "{status}: {}", relay.output());
}

#[test]
fn a_server_without_sockets_ends_at_once() {
    let mut relay = Relay::start(&[]);
    relay.terminate();
    let status = relay.wait();
    assert!(status.success(), "{status}: {}", relay.output());
}

#[test]
fn a_second_signal_does_not_wait_for_anybody() {
    let mut relay = Relay::start(&["--drain-timeout", "1h", "--close-timeout", "1h"]);
    // This one never answers its close frame, so the drain has somebody to wait for.
    let mut wire = Wire::open(relay.addr());
    relay.terminate();
    // Its close frame says that the drain has begun.
    wire.peek_close();
    kill_process(relay.pid(), Signal::TERM).expect("the server is still draining");
    let status = relay.wait();
    // As a shell names an end by SIGTERM: a cut drain is not a success.
    assert_eq!(status.code(), Some(143), "{status}: {}", relay.output());
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let mut relay = Relay::start(&["--drain-timeout", "300ms", "--close-timeout", "1h"]);
    let wire = Wire::open(relay.addr());
    relay.terminate();
    let status = relay.wait();
    assert!(status.success(), "{status}: {}", relay.output());
    drop(wire);
}

#[test]
fn a_server_that_nobody_listens_to_ends_in_order_too() {
    let mut child = fourtuple()
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let watchdog = Watchdog::over(&child, Duration::from_secs(15));
    let mut first = String::new();
    let stdout = child.stdout.take().expect("stdout is piped");
    BufReader::new(stdout)
        .read_line(&mut first)
        .expect("it says where it listens");
    // Both pipes are broken now: every line of the log fails.
    drop(child.stderr.take());
    kill_process(Pid::from_child(&child), Signal::TERM).expect("the server is running");
    let status = child.wait().expect("the server is our child");
    assert!(!watchdog.had_to_kill(), "after {first:?}");
    assert!(status.success(), "{status}");
}
