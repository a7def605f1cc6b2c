//! What backends publish: it arrives at all that are meant, once and in order, or the backend is told.

use std::thread;

use serde_json::{Value, json};

use crate::{
    call::Api,
    support::{
        relay::Relay,
        wire::{Heard, Wire},
    },
};

const PUBLISH: &str = "/api/v1/publish";
const BATCH: &str = "/api/v1/publish/batch";

fn member(relay: &Relay, user: &str, topic: &str) -> Wire {
    let target = format!("/socket/websocket?vsn=2.0.0&user={user}");
    let mut wire = Wire::open_at(relay.addr(), &target);
    wire.join("1", topic);
    wire
}

fn message(topic: &str, number: usize) -> Value {
    json!({"topic": topic, "event": "tick", "payload": {"number": number}})
}

#[test]
fn members_get_what_is_published_and_nobody_else() {
    let relay = Relay::start_with_admin(&["--shards", "2"]);
    let api = Api::of(&relay);
    let mut members: Vec<_> = (0..8).map(|_| member(&relay, "", "room:a")).collect();
    let mut other = member(&relay, "", "room:b");
    let published = api.post(
        PUBLISH,
        &json!({"topic": "room:a", "event": "news", "payload": {"body": "é", "n": [1, null]}}),
    );
    assert_eq!(published.status, 202, "{published:?}");
    let shards = published.json["shards"].as_u64();
    assert!(matches!(shards, Some(1 | 2)), "{published:?}");
    for member in &mut members {
        member.expect(json!([null, null, "room:a", "news", {"body": "é", "n": [1, null]}]));
    }
    other.expect_silence();
    let nobody = api.post(PUBLISH, &message("room:nobody", 1));
    assert_eq!(nobody.status, 202, "{nobody:?}");
}

#[test]
fn bytes_are_published_to_those_who_can_carry_them() {
    let relay = Relay::start_with_admin(&[]);
    let mut member = member(&relay, "", "room:a");
    let bytes = json!({"topic": "room:a", "event": "raw", "payload_base64": "AAEC/w=="});
    let published = Api::of(&relay).post(PUBLISH, &bytes);
    assert_eq!(published.status, 202, "{published:?}");
    let mut expected = vec![2, 6, 3];
    expected.extend_from_slice(b"room:araw");
    expected.extend_from_slice(&[0, 1, 2, 255]);
    assert_eq!(member.hear(), Heard::Binary(expected));
}

#[test]
fn one_connection_can_be_left_out() {
    let relay = Relay::start_with_admin(&["--shards", "2", "--socket-id-param", "user"]);
    let api = Api::of(&relay);
    let mut wires = ["ann", "ben", "cat", "dan"].map(|user| member(&relay, user, "room:a"));
    for (left_out, user) in ["ann", "ben", "cat", "dan"].into_iter().enumerate() {
        let found = api.see(&format!("/api/v1/connections?socket_id={user}"));
        let id = &found["connections"][0]["id"];
        let mut message = message("room:a", left_out);
        message["except"] = id.clone();
        assert_eq!(api.post(PUBLISH, &message).status, 202);
        for (index, wire) in wires.iter_mut().enumerate() {
            if index != left_out {
                wire.expect(json!([null, null, "room:a", "tick", {"number": left_out}]));
            }
        }
        wires[left_out].expect_silence();
    }
}

#[test]
fn a_batch_arrives_whole_and_in_its_order() {
    const COUNT: usize = 5_000;
    let relay = Relay::start_with_admin(&["--shards", "2"]);
    let mut wires: Vec<_> = (0..4).map(|_| member(&relay, "", "room:a")).collect();
    let messages: Vec<_> = (0..COUNT).map(|n| message("room:a", n)).collect();
    let published = Api::of(&relay).post(BATCH, &json!({ "messages": messages }));
    assert_eq!(published.status, 202, "{}", published.json["detail"]);
    assert_eq!(published.json["taken"], COUNT);
    let results = published.json["results"].as_array().map(Vec::len);
    assert_eq!(results, Some(COUNT));
    for wire in &mut wires {
        for number in 0..COUNT {
            wire.expect(json!([null, null, "room:a", "tick", {"number": number}]));
        }
        wire.expect_silence();
    }
}

#[test]
fn a_batch_with_one_bad_message_publishes_none() {
    let relay = Relay::start_with_admin(&[]);
    let api = Api::of(&relay);
    let mut member = member(&relay, "", "room:a");
    let bad = json!({"topic": "room:a", "event": "tick"});
    let messages = [message("room:a", 0), bad];
    let refused = api.post(BATCH, &json!({ "messages": messages }));
    assert_eq!(refused.status, 422, "{refused:?}");
    let detail = refused.json["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("message 1"), "{detail}");
    let none = api.post(BATCH, &json!({"messages": []}));
    assert_eq!(none.status, 422, "{none:?}");
    let many = vec![message("room:a", 0); 10_001];
    let many = api.post(BATCH, &json!({ "messages": many }));
    assert_eq!(many.status, 422, "{}", many.json);
    member.expect_silence();
}

#[test]
fn the_same_key_publishes_once() {
    let relay = Relay::start_with_admin(&[]);
    let api = Api::of(&relay);
    let mut member = member(&relay, "", "room:a");
    let batch = json!({"messages": [message("room:a", 7)]});
    for (path, body) in [(PUBLISH, message("room:a", 7)), (BATCH, batch)] {
        let key = format!("key-of-{path}");
        let first = api.post_under(&key, path, &body);
        let second = api.post_under(&key, path, &body);
        assert_eq!((first.status, second.status), (202, 202), "{second:?}");
        assert_eq!(first.json, second.json);
        assert!(!first.head.contains("idempotency-replayed"), "{first:?}");
        assert!(
            second.head.contains("idempotency-replayed: true"),
            "{second:?}"
        );
        member.expect(json!([null, null, "room:a", "tick", {"number": 7}]));
        member.expect_silence();
        let other = api.post_under(&key, path, &message("room:a", 8));
        assert_eq!(other.status, 422, "{other:?}");
    }
    let wrong = api.post_under("two words", PUBLISH, &message("room:a", 9));
    assert_eq!(wrong.status, 400, "{wrong:?}");
    // A request that was refused has used its key for nothing.
    let refused = api.post_under("again", PUBLISH, &json!({"topic": "room:a"}));
    assert_eq!(refused.status, 422, "{refused:?}");
    let mended = api.post_under("again", PUBLISH, &message("room:a", 10));
    assert_eq!(mended.status, 202, "{mended:?}");
    member.expect(json!([null, null, "room:a", "tick", {"number": 10}]));
    member.expect_silence();
}

/// The shard has so much to do for each message that 16 of them wait all the time while a batch is published.
#[test]
fn a_full_mailbox_is_said_and_nothing_is_lost_or_repeated() {
    const COUNT: usize = 1_500;
    let relay = Relay::start_with_admin(&["--shards", "1", "--mailbox-max", "16"]);
    let api = Api::of(&relay);
    let mut crowd: Vec<_> = (0..400).map(|_| member(&relay, "", "room:a")).collect();
    let batch = thread::spawn(move || publish_all(api, COUNT));
    // Single messages come between, and are refused at once where the batch waits.
    let (mut taken, mut refused) = (Vec::new(), 0);
    for number in COUNT.. {
        let reply = api.post(PUBLISH, &message("room:a", number));
        match reply.status {
            202 => taken.push(number),
            429 => {
                refused += 1;
                assert!(reply.head.contains("retry-after: 1"), "{reply:?}");
                assert_eq!(reply.json["status"], 429, "{reply:?}");
            }
            other => panic!("{other}: {reply:?}"),
        }
        if batch.is_finished() {
            break;
        }
    }
    let stops = batch.join().expect("the batch is published in the end");
    assert!(refused + stops > 0, "a mailbox of 16 was never full");
    let expected: Vec<_> = (0..COUNT).collect();
    for wire in &mut crowd[..3] {
        let (mut of_batch, mut singles) = (Vec::new(), Vec::new());
        while of_batch.len() + singles.len() < COUNT + taken.len() {
            let Heard::Json(heard) = wire.hear() else {
                panic!("a member is gone");
            };
            let number = heard[4]["number"].as_u64().expect("a number") as usize;
            match number {
                0..COUNT => of_batch.push(number),
                _ => singles.push(number),
            }
        }
        assert_eq!(of_batch, expected);
        assert_eq!(singles, taken);
        wire.expect_silence();
    }
}

/// Publishes so many messages, and what was not taken again; how often it was stopped.
fn publish_all(api: Api, count: usize) -> usize {
    let (mut from, mut stops) = (0, 0);
    while from < count {
        let messages: Vec<_> = (from..count).map(|n| message("room:a", n)).collect();
        let key = format!("batch-{from}-{stops}");
        let reply = api.post_under(&key, BATCH, &json!({ "messages": messages }));
        match reply.status {
            202 => from = count,
            429 => {
                stops += 1;
                let taken = reply.json["taken"].as_u64().expect("how many") as usize;
                if taken > 0 {
                    // The same again is answered the same, and publishes nothing.
                    let again = api.post_under(&key, BATCH, &json!({ "messages": messages }));
                    assert_eq!((again.status, again.json), (429, reply.json));
                    assert!(
                        again.head.contains("idempotency-replayed"),
                        "{}",
                        again.head
                    );
                }
                from += taken;
            }
            other => panic!("{other}: {}", reply.json),
        }
    }
    stops
}
