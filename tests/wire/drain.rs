//! How the server ends: SIGTERM closes every socket so that its client comes back elsewhere.

use rustix::process::{Signal, kill_process};

use crate::support::{
    relay::Relay,
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
    assert!(!status.success(), "a cut drain is not a success: {status}");
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let mut relay = Relay::start(&["--drain-timeout", "300ms", "--close-timeout", "1h"]);
    let wire = Wire::open(relay.addr());
    relay.terminate();
    relay.wait();
    drop(wire);
}
