//! Running out of file descriptors: who is inside stays, and who leaves makes room.

use std::net::TcpStream;

use serde_json::json;

use crate::support::{
    binary::fourtuple_with_descriptors,
    relay::Relay,
    wire::{Heard, Wire},
};

fn relay_with_descriptors(count: u32, kernel: &str) -> Relay {
    let shards = ["--shards", "2", "--kernel", kernel];
    let patient = ["--handshake-timeout", "1h"];
    Relay::start_by(
        fourtuple_with_descriptors(count),
        &[&shards[..], &patient].concat(),
    )
}

#[test]
fn the_server_goes_on_without_descriptors_and_says_so_once() {
    goes_on_and_says_once("epoll", "RLIMIT_NOFILE is used up");
}

#[test]
fn the_server_goes_on_without_slots_and_says_so_once() {
    // On io_uring connections take slots of their shard; where there is no io_uring, descriptors.
    goes_on_and_says_once("auto", " again=0");
}

#[track_caller]
fn goes_on_and_says_once(kernel: &str, complaint: &str) {
    let mut relay = relay_with_descriptors(256, kernel);
    let mut inside = Wire::open(relay.addr());
    inside.join("1", "room:lobby");
    // More connections than descriptors: none of these says a word, so none is refused.
    let crowd: Vec<_> = (0..400)
        .map(|_| TcpStream::connect(relay.addr()).expect("the backlog has room"))
        .collect();
    for n in 0..20 {
        inside.send(&json!(["1", n, "room:lobby", "told", {}]));
        inside.expect(json!([null, null, "room:lobby", "told", {}]));
        inside.expect(json!(["1", n, "room:lobby", "phx_reply", {"status": "ok", "response": {}}]));
    }
    drop(crowd);
    let mut later = Wire::open(relay.addr());
    later.join("1", "room:lobby");
    later.close(1000);
    assert_eq!(later.hear(), Heard::Closed(1000));
    drop(inside);
    relay.terminate();
    relay.wait();
    let said = relay.output();
    let complaints = said.lines().filter(|line| line.contains(complaint));
    assert_eq!(complaints.count(), 1, "{said}");
}

#[test]
fn shards_with_descriptors_of_their_own_hold_more_than_one_table() {
    let command = fourtuple_with_descriptors(256);
    let mut relay = Relay::start_by(command, &["--max-connections", "400", "--kernel", "epoll"]);
    let mut inside: Vec<_> = (0..400).map(|_| Wire::open(relay.addr())).collect();
    for wire in &mut inside {
        wire.join("1", "room:lobby");
    }
    inside[0].send(&json!(["1", "2", "room:lobby", "told", {}]));
    for wire in &mut inside {
        wire.expect(json!([null, null, "room:lobby", "told", {}]));
    }
    drop(inside);
    relay.terminate();
    relay.wait();
    let said = relay.output();
    assert!(said.contains("keeps it at 400"), "{said}");
    assert!(said.contains("have a table of descriptors each"), "{said}");
}

#[test]
fn the_server_says_what_it_can_hold_and_how_to_hold_more() {
    let mut relay = relay_with_descriptors(1_000, "epoll");
    relay.terminate();
    relay.wait();
    let said = relay.output();
    assert!(
        said.contains("can hold 900 connections (RLIMIT_NOFILE hard limit 1,000"),
        "{said}"
    );
}
