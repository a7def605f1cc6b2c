//! The three ways to write a message, as bytes: V1, V2 and V2 binary.

use serde_json::{Value, json};

use crate::support::{
    relay::Relay,
    wire::{Heard, Wire},
};

fn ok(join_ref: &Value, reference: &Value, topic: &str) -> Value {
    json!([join_ref, reference, topic, "phx_reply", {"status": "ok", "response": {}}])
}

#[test]
fn refs_come_back_as_they_went() {
    let relay = Relay::start(&[]);
    let mut wire = Wire::open(relay.addr());
    let refs = [
        json!("1"),
        json!(7),
        json!(null),
        json!(""),
        json!("a \"quoted\" \u{1f600}"),
        json!(1.5),
        json!(-3),
    ];
    for reference in refs {
        wire.send(&json!([null, reference, "phoenix", "heartbeat", {}]));
        wire.expect(ok(&Value::Null, &reference, "phoenix"));
    }
    for (join_ref, topic) in [
        (json!("1"), "room:a"),
        (json!(2), "room:b"),
        (json!("ü"), "room:c"),
    ] {
        wire.send(&json!([join_ref, "join", topic, "phx_join", {}]));
        wire.expect(ok(&join_ref, &json!("join"), topic));
        wire.send(&json!([join_ref, "leave", topic, "phx_leave", {}]));
        wire.expect(ok(&join_ref, &json!("leave"), topic));
        wire.expect(json!([join_ref, join_ref, topic, "phx_close", {}]));
    }
}

#[test]
fn a_heartbeat_may_carry_anything() {
    let relay = Relay::start(&[]);
    let mut wire = Wire::open(relay.addr());
    for payload in [json!({}), json!(null), json!([1]), json!("x")] {
        wire.send(&json!([null, "1", "phoenix", "heartbeat", payload]));
        wire.expect(ok(&Value::Null, &json!("1"), "phoenix"));
    }
    // More than five elements are allowed for, fewer are not.
    wire.send(&json!([null, "1", "phoenix", "heartbeat", {}, "more", {"and": "more"}]));
    wire.expect(ok(&Value::Null, &json!("1"), "phoenix"));
}

#[test]
fn what_cannot_be_read_ends_the_connection() {
    let relay = Relay::start(&[]);
    let texts = [
        "",
        "null",
        "{}",
        "[]",
        "nonsense",
        "[null,\"1\",\"phoenix\",\"heartbeat\"]",
        "[null,\"1\",\"phoenix\",\"heartbeat\",{}",
        "[null,\"1\",1,\"heartbeat\",{}]",
        "[null,\"1\",\"phoenix\",null,{}]",
        "[null,\"1\",\"phoenix\",\"heartbeat\",{\"a\":}]",
    ];
    for text in texts {
        let mut wire = Wire::open(relay.addr());
        wire.send_text(text);
        assert_eq!(wire.hear(), Heard::Closed(1011), "{text:?}");
    }
    let deep = format!(
        "[null,\"1\",\"phoenix\",\"heartbeat\",{}",
        "[".repeat(20_000)
    );
    let mut wire = Wire::open(relay.addr());
    wire.send_text(&deep);
    assert_eq!(wire.hear(), Heard::Closed(1011), "arrays without end");
    let binaries: [&[u8]; 5] = [
        b"",
        &[0],
        &[1, 0, 0, 0, 0],
        &[0, 255, 0, 0, 0, b'1'],
        &[9; 40],
    ];
    for bytes in binaries {
        let mut wire = Wire::open(relay.addr());
        wire.send_binary(bytes);
        assert_eq!(wire.hear(), Heard::Closed(1011), "{bytes:?}");
    }
}

#[test]
fn the_first_serializer_speaks_objects() {
    let relay = Relay::start(&[]);
    let mut wire = Wire::open_at(relay.addr(), "/socket/websocket");
    wire.send(&json!({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": null}));
    let reply = json!({"status": "ok", "response": {}});
    wire.expect(json!({"topic": "phoenix", "event": "phx_reply", "payload": reply, "ref": null}));
    wire.send(&json!({"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"}));
    wire.expect(json!({"topic": "room:a", "event": "phx_reply", "payload": reply, "ref": "1"}));
    wire.send(&json!({"topic": "room:a", "event": "phx_leave", "payload": {}, "ref": 2}));
    wire.expect(json!({"topic": "room:a", "event": "phx_reply", "payload": reply, "ref": 2}));
    // The client sent no join_ref, so there is none to name.
    wire.expect(json!({"topic": "room:a", "event": "phx_close", "payload": {}, "ref": null}));
    for text in [
        "[]",
        "{}",
        "{\"topic\":\"phoenix\",\"event\":\"heartbeat\",\"payload\":{}}",
    ] {
        let mut wire = Wire::open_at(relay.addr(), "/socket/websocket?vsn=1.0.0");
        wire.send_text(text);
        assert_eq!(wire.hear(), Heard::Closed(1011), "{text}");
    }
}

#[test]
fn one_broadcast_reaches_every_serializer() {
    let relay = Relay::start(&[]);
    let mut second = Wire::open(relay.addr());
    second.join("1", "room:mixed");
    let mut first = Wire::open_at(relay.addr(), "/socket/websocket?vsn=1.0.0");
    first.send(&json!({"topic": "room:mixed", "event": "phx_join", "payload": {}, "ref": "1"}));
    assert!(matches!(first.hear(), Heard::Json(reply) if reply["payload"]["status"] == "ok"));
    let payload = json!({"n": [1, {"x": "ż"}]});
    second.send(&json!(["1", "2", "room:mixed", "shout", payload]));
    second.expect(json!([null, null, "room:mixed", "shout", payload]));
    second.expect(ok(&json!("1"), &json!("2"), "room:mixed"));
    first.expect(json!({"topic": "room:mixed", "event": "shout", "payload": payload, "ref": null}));
    first.send(&json!({"topic": "room:mixed", "event": "shout", "payload": {}, "ref": "2"}));
    first.expect(json!({"topic": "room:mixed", "event": "shout", "payload": {}, "ref": null}));
    second.expect(json!([null, null, "room:mixed", "shout", {}]));
}

#[test]
fn a_binary_broadcast_has_the_bytes_of_the_specification() {
    let relay = Relay::start(&[]);
    let mut wire = Wire::open(relay.addr());
    wire.join("12", "room:b");
    // kind 0 · join_ref 2 · ref 1 · topic 6 · event 5 · "12" · "3" · "room:b" · "event" · bytes
    wire.send_binary(b"\x00\x02\x01\x06\x05123room:bevent\x01\x00\xff");
    // kind 2 · topic 6 · event 5 · "room:b" · "event" · bytes
    assert_eq!(
        wire.hear(),
        Heard::Binary(b"\x02\x06\x05room:bevent\x01\x00\xff".to_vec())
    );
}
