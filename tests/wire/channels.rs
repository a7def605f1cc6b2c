//! What a channel does on the wire: joins, replies, pushes, broadcasts, ends. Phoenix's integration
//! cases, for both JSON serializers where they differ in more than brackets.

use serde_json::{Value, json};

use crate::support::{
    fixture::Fixture,
    wire::{Heard, Wire},
};

/// A client of either serializer, so that one case can be told for both.
struct Client {
    wire: Wire,
    first: bool,
}

impl Client {
    fn both(fixture: &Fixture) -> [Self; 2] {
        ["1.0.0", "2.0.0"].map(|vsn| Self::open(fixture, vsn, ""))
    }

    fn open(fixture: &Fixture, vsn: &str, params: &str) -> Self {
        let target = format!("/socket/websocket?vsn={vsn}{params}");
        Self {
            wire: Wire::open_at(fixture.addr(), &target),
            first: vsn == "1.0.0",
        }
    }

    /// Sends a message; a V1 client does not know its join_ref.
    fn send(&mut self, join_ref: &str, reference: Value, topic: &str, event: &str, payload: Value) {
        self.wire.send(&if self.first {
            json!({"topic": topic, "event": event, "payload": payload, "ref": reference})
        } else {
            json!([join_ref, reference, topic, event, payload])
        });
    }

    #[track_caller]
    fn expect(
        &mut self,
        join_ref: Value,
        reference: Value,
        topic: &str,
        event: &str,
        payload: Value,
    ) {
        self.wire.expect(if self.first {
            json!({"topic": topic, "event": event, "payload": payload, "ref": reference})
        } else {
            json!([join_ref, reference, topic, event, payload])
        });
    }

    #[track_caller]
    fn expect_reply(
        &mut self,
        join_ref: Value,
        reference: Value,
        topic: &str,
        status: &str,
        response: Value,
    ) {
        let payload = json!({"status": status, "response": response});
        self.expect(join_ref, reference, topic, "phx_reply", payload);
    }

    #[track_caller]
    fn join(&mut self, topic: &str) {
        self.send("1", json!("1"), topic, "phx_join", json!({}));
        self.expect_reply(json!("1"), json!("1"), topic, "ok", joined(topic));
    }

    /// What the join_ref of a server's own message is: a V1 client gave none.
    fn own(&self) -> Value {
        if self.first { Value::Null } else { json!("1") }
    }
}

/// The fixture's answer to a join without a name.
fn joined(topic: &str) -> Value {
    json!({"room": topic.trim_start_matches("room:")})
}

#[test]
fn a_channel_is_joined_used_and_left() {
    let fixture = Fixture::start();
    for mut client in Client::both(&fixture) {
        client.join("room:a");
        client.send("1", json!("2"), "room:a", "echo", json!({"body": "hi!"}));
        client.expect_reply(
            json!("1"),
            json!("2"),
            "room:a",
            "ok",
            json!({"body": "hi!"}),
        );
        client.send("1", json!("3"), "room:a", "phx_leave", json!({}));
        client.expect_reply(json!("1"), json!("3"), "room:a", "ok", json!({}));
        let own = client.own();
        client.expect(own.clone(), own, "room:a", "phx_close", json!({}));
        client.send("1", json!("4"), "room:a", "echo", json!({}));
        let unmatched = json!({"reason": "unmatched topic"});
        client.expect_reply(Value::Null, json!("4"), "room:a", "error", unmatched);
    }
}

#[test]
fn a_push_is_the_channels_own_and_a_broadcast_is_nobodys() {
    let fixture = Fixture::start();
    for mut client in Client::both(&fixture) {
        let topic = if client.first {
            "room:first"
        } else {
            "room:second"
        };
        client.join(topic);
        client.send("1", json!("2"), topic, "push_me", json!({"n": 1}));
        client.expect(json!("1"), Value::Null, topic, "pushed", json!({"n": 1}));
        client.send("1", json!("3"), topic, "tell_everyone", json!({"n": 2}));
        client.expect(Value::Null, Value::Null, topic, "told", json!({"n": 2}));
        client.expect_reply(json!("1"), json!("3"), topic, "ok", json!({}));
    }
}

#[test]
fn a_crash_costs_the_channel_and_nothing_else() {
    let fixture = Fixture::start();
    for mut client in Client::both(&fixture) {
        client.join("room:a");
        client.send("9", json!("9"), "room:b", "phx_join", json!({}));
        client.expect_reply(json!("9"), json!("9"), "room:b", "ok", joined("room:b"));
        client.send("1", json!("2"), "room:a", "crash", json!({}));
        let own = client.own();
        client.expect(
            own.clone(),
            own,
            "room:a",
            "phx_error",
            json!({"reason": "channel_crash"}),
        );
        client.send("9", json!("3"), "room:b", "echo", json!({"n": 1}));
        client.expect_reply(json!("9"), json!("3"), "room:b", "ok", json!({"n": 1}));
        client.join("room:a");
    }
}

#[test]
fn a_topic_that_nobody_joined_is_unmatched_and_may_be_left() {
    let fixture = Fixture::start();
    for mut client in Client::both(&fixture) {
        for (topic, event) in [
            ("room:a", "echo"),
            ("nowhere", "phx_join"),
            ("nowhere", "echo"),
            ("", "phx_join"),
        ] {
            client.send("5", json!("6"), topic, event, json!({}));
            let unmatched = json!({"reason": "unmatched topic"});
            client.expect_reply(Value::Null, json!("6"), topic, "error", unmatched);
        }
        client.send("5", json!("7"), "room:a", "phx_leave", json!({}));
        client.expect_reply(json!("5"), json!("7"), "room:a", "ok", json!({}));
    }
}

#[test]
fn a_second_join_replaces_the_first() {
    let fixture = Fixture::start();
    let mut wire = Wire::open(fixture.addr());
    wire.join("1", "room:a");
    wire.send(&json!(["2", "2", "room:a", "phx_join", {"greet": true, "name": "b"}]));
    // In this order: the answer, the end of the old channel, what the new one has to say.
    let reply = json!({"status": "ok", "response": {"name": "b", "room": "a"}});
    wire.expect(json!(["2", "2", "room:a", "phx_reply", reply]));
    wire.expect(json!(["1", "1", "room:a", "phx_close", {}]));
    wire.expect(json!(["2", null, "room:a", "greeting", {"hello": "b"}]));
    wire.send(&json!(["2", "3", "room:a", "echo", {}]));
    wire.expect(json!(["2", "3", "room:a", "phx_reply", {"status": "ok", "response": {}}]));
}

#[test]
fn a_stale_join_ref_is_ignored_and_none_is_taken_for_the_current() {
    let fixture = Fixture::start();
    let mut wire = Wire::open(fixture.addr());
    wire.join("1", "room:a");
    wire.send(&json!(["0", "2", "room:a", "echo", {}]));
    wire.send(&json!(["0", "3", "room:a", "phx_leave", {}]));
    wire.expect_silence();
    wire.send(&json!([null, "4", "room:a", "echo", {"n": 1}]));
    wire.expect(json!(["1", "4", "room:a", "phx_reply", {"status": "ok", "response": {"n": 1}}]));
    wire.send(&json!([null, "5", "room:a", "phx_leave", {}]));
    wire.expect(json!(["1", "5", "room:a", "phx_reply", {"status": "ok", "response": {}}]));
    wire.expect(json!(["1", "1", "room:a", "phx_close", {}]));
}

#[test]
fn the_ref_of_a_join_may_differ_from_its_join_ref() {
    let fixture = Fixture::start();
    let mut wire = Wire::open(fixture.addr());
    wire.send(&json!(["join", "ref", "room:a", "phx_join", {}]));
    let reply = json!({"status": "ok", "response": {"room": "a"}});
    wire.expect(json!(["join", "ref", "room:a", "phx_reply", reply]));
    wire.send(&json!(["join", "2", "room:a", "push_me", {}]));
    wire.expect(json!(["join", null, "room:a", "pushed", {}]));
}

#[test]
fn a_join_that_is_refused_says_why() {
    let fixture = Fixture::start();
    for mut client in Client::both(&fixture) {
        for (topic, reason) in [
            ("room:forbidden", "unauthorized"),
            ("room:broken", "join crashed"),
        ] {
            client.send("1", json!("1"), topic, "phx_join", json!({}));
            client.expect_reply(
                json!("1"),
                json!("1"),
                topic,
                "error",
                json!({"reason": reason}),
            );
        }
        client.join("room:a");
    }
}

#[test]
fn a_reply_may_come_later_and_more_than_once() {
    let fixture = Fixture::start();
    let mut wire = Wire::open(fixture.addr());
    wire.join("1", "room:a");
    wire.send(&json!(["1", "2", "room:a", "later", {"n": 1}]));
    wire.send(&json!(["1", "3", "room:a", "echo", {"n": 2}]));
    wire.expect(json!(["1", "3", "room:a", "phx_reply", {"status": "ok", "response": {"n": 2}}]));
    for _ in 0..2 {
        wire.send(&json!(["1", null, "room:a", "release", {}]));
        wire.expect(
            json!(["1", "2", "room:a", "phx_reply", {"status": "ok", "response": {"n": 1}}]),
        );
    }
}

#[test]
fn a_channel_may_stop_with_or_without_a_last_word() {
    let fixture = Fixture::start();
    for mut client in Client::both(&fixture) {
        let own = client.own();
        client.join("room:a");
        client.send("1", json!("2"), "room:a", "stop", json!({"bye": true}));
        client.expect_reply(json!("1"), json!("2"), "room:a", "ok", json!({"bye": true}));
        client.expect(own.clone(), own.clone(), "room:a", "phx_close", json!({}));
        client.join("room:a");
        client.send("1", json!("2"), "room:a", "stop_silently", json!({}));
        client.expect(own.clone(), own, "room:a", "phx_close", json!({}));
    }
}

#[test]
fn every_socket_of_an_id_can_be_disconnected() {
    let fixture = Fixture::start();
    let [mut a, mut b] = ["1.0.0", "2.0.0"].map(|vsn| Client::open(&fixture, vsn, "&user_id=1001"));
    let mut other = Client::open(&fixture, "2.0.0", "&user_id=1002");
    a.join("room:a");
    other.join("room:b");
    a.send("1", json!("2"), "room:a", "disconnect_me", json!({}));
    a.wire.expect_close(1001);
    b.wire.expect_close(1001);
    other.wire.expect_silence();
}

#[test]
fn the_end_of_a_socket_is_the_end_of_its_channels() {
    let fixture = Fixture::start();
    for how in ["closed", "lost", "disconnected"] {
        let topic = format!("room:{how}");
        let mut watcher = Wire::open(fixture.addr());
        watcher.join("1", &topic);
        let mut leaver = Wire::open_at(
            fixture.addr(),
            &format!("/socket/websocket?vsn=2.0.0&user_id={how}"),
        );
        leaver.send(&json!(["1", "1", topic, "phx_join", {"farewell": true}]));
        assert!(matches!(leaver.hear(), Heard::Json(reply) if reply[4]["status"] == "ok"));
        match how {
            "closed" => leaver.close(1000),
            "disconnected" => leaver.send(&json!(["1", null, topic, "disconnect_me", {}])),
            _ => drop(leaver),
        }
        watcher.expect(json!([null, null, topic, "gone", {}]));
    }
}

#[test]
fn binary_pushes_and_replies_have_the_bytes_of_the_specification() {
    let fixture = Fixture::start();
    let mut wire = Wire::open(fixture.addr());
    wire.join("12", "room:b");
    // kind 0 · join_ref 2 · ref 3 · topic 6 · event 6 · "12" · "123" · "room:b" · "binary" · bytes
    wire.send_binary(b"\x00\x02\x03\x06\x0612123room:bbinary\x01\x02\xff");
    // kind 1 · join_ref 2 · ref 3 · topic 6 · status 2 · "12" · "123" · "room:b" · "ok" · bytes
    assert_eq!(
        wire.hear(),
        Heard::Binary(b"\x01\x02\x03\x06\x0212123room:bok\xff\x02\x01".to_vec())
    );
    // A push of the server has no ref: kind 0 · join_ref 2 · topic 6 · event 6 · …
    wire.send_binary(b"\x00\x02\x00\x06\x0712room:bpush_me\x05\x06");
    assert_eq!(
        wire.hear(),
        Heard::Binary(b"\x00\x02\x06\x0612room:bpushed\x05\x06".to_vec())
    );
    // JSON may be answered with bytes and bytes with JSON.
    wire.send_binary(b"\x00\x02\x01\x06\x06127room:blength\x05\x06");
    wire.expect(
        json!(["12", "7", "room:b", "phx_reply", {"status": "ok", "response": {"length": 2}}]),
    );
}

#[test]
fn a_broadcast_keeps_its_order_between_many_senders() {
    let fixture = Fixture::start();
    let mut watcher = Wire::open(fixture.addr());
    watcher.join("1", "room:order");
    let mut senders: Vec<_> = (0..8).map(|_| Wire::open(fixture.addr())).collect();
    for sender in &mut senders {
        sender.join("1", "room:order");
    }
    for n in 0..100 {
        for (who, sender) in senders.iter_mut().enumerate() {
            sender.send(&json!(["1", null, "room:order", "tell_everyone", {"who": who, "n": n}]));
        }
    }
    let mut next = [0; 8];
    for _ in 0..800 {
        let Heard::Json(message) = watcher.hear() else {
            panic!("the watcher was closed")
        };
        let who = message[4]["who"]
            .as_u64()
            .and_then(|who| usize::try_from(who).ok())
            .expect("a sender");
        assert_eq!(message[4]["n"], next[who], "sender {who}");
        next[who] += 1;
    }
    assert_eq!(next, [100; 8]);
}
