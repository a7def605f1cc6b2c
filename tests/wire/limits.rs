//! Each limit of the server, reached from outside.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    relay::Relay,
    wire::{Heard, Wire, dial, http, read_to_end},
};

const UPGRADE: &str = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn a_silent_socket_is_closed() {
    let relay = Relay::start(&["--idle-timeout", "300ms"]);
    let mut wire = Wire::open(relay.addr());
    // Bandit closes with 1002 then; phoenix.js of every version reconnects on anything but 1000.
    assert!(matches!(wire.hear(), Heard::Closed(code) if code != 1000));
}

#[test]
fn a_peer_that_does_not_answer_a_close_is_not_waited_for_for_ever() {
    let relay = Relay::start(&["--idle-timeout", "200ms", "--close-timeout", "200ms"]);
    let mut stream = dial(relay.addr());
    stream.write_all(UPGRADE.as_bytes()).unwrap();
    // The close frame comes, nothing answers it, and the connection ends all the same.
    let heard = read_to_end(&mut stream);
    assert!(heard.starts_with("HTTP/1.1 101 "), "{heard:?}");
}

#[test]
fn one_connection_too_many_is_told_so() {
    let relay = Relay::start(&["--connections-max", "3"]);
    let held: Vec<_> = (0..3).map(|_| Wire::open(relay.addr())).collect();
    let answer = http(relay.addr(), UPGRADE);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.head.contains("retry-after:"), "{answer:?}");
    drop(held);
}

#[test]
fn a_connection_that_ends_makes_room() {
    let relay = Relay::start(&["--connections-max", "1"]);
    for _ in 0..20 {
        let mut wire = Wire::open(relay.addr());
        wire.close(1000);
        assert_eq!(wire.hear(), Heard::Closed(1000));
        assert_eq!(wire.hear(), Heard::Gone);
    }
}

#[test]
fn a_socket_has_so_many_channels() {
    let relay = Relay::start(&["--channels-per-socket-max", "2"]);
    let mut wire = Wire::open(relay.addr());
    wire.join("1", "room:1");
    wire.join("2", "room:2");
    wire.send(&json!(["3", "3", "room:3", "phx_join", {}]));
    let refusal = json!({"status": "error", "response": {"reason": "too many channels joined"}});
    wire.expect(json!(["3", "3", "room:3", "phx_reply", refusal]));
    // Leaving makes room, and joining again what is joined takes none.
    wire.send(&json!(["1", "4", "room:1", "phx_leave", {}]));
    wire.expect(json!(["1", "4", "room:1", "phx_reply", {"status": "ok", "response": {}}]));
    wire.expect(json!(["1", "1", "room:1", "phx_close", {}]));
    wire.join("5", "room:2");
    wire.expect(json!(["2", "2", "room:2", "phx_close", {}]));
    wire.join("6", "room:3");
}

#[test]
fn topics_and_events_have_a_length() {
    let relay = Relay::start(&["--topic-bytes-max", "16", "--event-bytes-max", "9"]);
    let mut wire = Wire::open(relay.addr());
    wire.join("1", "room:sixteen-abc");
    wire.send(&json!(["1", "2", "room:sixteen-abc", "nine-byte", {}]));
    wire.expect(json!([null, null, "room:sixteen-abc", "nine-byte", {}]));
    wire.expect(
        json!(["1", "2", "room:sixteen-abc", "phx_reply", {"status": "ok", "response": {}}]),
    );
    wire.send(&json!(["1", null, "room:sixteen-abc", "ten--bytes", {}]));
    assert_eq!(wire.hear(), Heard::Closed(1011));
    let mut wire = Wire::open(relay.addr());
    wire.send(&json!(["1", "1", "room:sixteen-abcd", "phx_join", {}]));
    assert_eq!(wire.hear(), Heard::Closed(1011));
}

#[test]
fn a_head_has_so_many_headers() {
    let relay = Relay::start(&["--headers-max", "6"]);
    let more = |count: usize| UPGRADE.replace("Host:", &("X: y\r\n".repeat(count) + "Host:"));
    assert_eq!(http(relay.addr(), &more(2)).status, 431);
    // Five make an upgrade, so one more is allowed.
    let mut stream = dial(relay.addr());
    stream.write_all(more(1).as_bytes()).unwrap();
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    assert!(read_to_end(&mut stream).starts_with("HTTP/1.1 101 "));
}

#[test]
fn connect_params_have_a_number_and_a_depth() {
    let relay = Relay::start(&["--params-pairs-max", "3", "--params-depth-max", "2"]);
    let open = |query: &str| {
        let target = format!("/socket/websocket?vsn=2.0.0&{query}");
        Wire::upgrade(relay.addr(), &target, &[]).err()
    };
    assert_eq!(open("a=1&b=2"), None);
    assert_eq!(open("a=1&b=2&c=3"), Some(400));
    assert_eq!(open("a[b][c]=1"), None);
    assert_eq!(open("a[b][c][d]=1"), Some(400));
}

#[test]
fn connections_come_in_at_a_rate() {
    let relay = Relay::start(&["--shards", "1", "--connect-rate-max", "20"]);
    let began = Instant::now();
    let held: Vec<_> = (0..60).map(|_| Wire::open(relay.addr())).collect();
    // Nobody is refused; the last ones have waited. A full second's worth may come at once.
    assert!(
        began.elapsed() >= Duration::from_millis(1_500),
        "{:?}",
        began.elapsed()
    );
    drop(held);
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_and_nobody_else() {
    let relay = Relay::start(&[
        "--outbox-bytes-max",
        "65536",
        "--message-bytes-max",
        "65536",
    ]);
    let mut slow = Wire::open(relay.addr());
    slow.join("1", "room:flood");
    let mut fast = Wire::open(relay.addr());
    fast.join("1", "room:flood");
    // The kernel's own buffers hold a few megabytes for the slow one before its outbox grows.
    let body = "x".repeat(32_000);
    for n in 0..1_000 {
        fast.send(&json!(["1", n, "room:flood", "flood", {"n": n, "body": body}]));
        fast.expect(json!([null, null, "room:flood", "flood", {"n": n, "body": body}]));
        fast.expect(json!(["1", n, "room:flood", "phx_reply", {"status": "ok", "response": {}}]));
    }
    slow.expect_drop();
}
