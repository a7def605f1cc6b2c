//! The built-in channel by its rules: who may join, and what becomes of a push.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use serde_json::{Value, json};

use crate::support::{relay::Relay, wire::Wire};

const RULES: &str = r#"
[socket]
id_param = "user"

[[channel]]
topic = "news"
push = "refuse"

[[channel]]
topic = "vault:*"
join = "none"

[[channel]]
topic = "inbox:*"
join = "socket_id"
push = "reply"

[[channel]]
topic = "others:*"
push = "broadcast_from"
payload_bytes_max = 32
events = ["told", "asked"]

[[channel]]
topic = "quiet:*"
reply = false
"#;

/// The rules as a file, written once for all tests.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rules.toml");
    fs::write(&file, RULES).expect("the target directory can be written");
    file
});

fn relay() -> Relay {
    Relay::start(&["--config", FILE.to_str().expect("a path in UTF-8")])
}

fn member(relay: &Relay, user: &str, topic: &str) -> Wire {
    let target = format!("/socket/websocket?vsn=2.0.0&user={user}");
    let mut wire = Wire::open_at(relay.addr(), &target);
    wire.join("1", topic);
    wire
}

#[track_caller]
fn expect_reply(wire: &mut Wire, topic: &str, status: &str, response: Value) {
    wire.expect(json!(["1", "2", topic, "phx_reply", {"status": status, "response": response}]));
}

#[track_caller]
fn expect_refused_join(relay: &Relay, user: &str, topic: &str, reason: &str) {
    let target = format!("/socket/websocket?vsn=2.0.0&user={user}");
    let mut wire = Wire::open_at(relay.addr(), &target);
    wire.send(&json!(["1", "1", topic, "phx_join", {}]));
    let join_ref = if reason == "unmatched topic" {
        Value::Null
    } else {
        json!("1")
    };
    let refusal = json!({"status": "error", "response": {"reason": reason}});
    wire.expect(json!([join_ref, "1", topic, "phx_reply", refusal]));
}

#[test]
fn only_what_a_rule_lets_in_joins() {
    let relay = relay();
    expect_refused_join(&relay, "ann", "vault:1", "unauthorized");
    expect_refused_join(&relay, "ann", "inbox:bob", "unauthorized");
    expect_refused_join(&relay, "", "inbox:", "unauthorized");
    // With rules of its own the server has no rooms besides them.
    expect_refused_join(&relay, "ann", "room:lobby", "unmatched topic");
    expect_refused_join(&relay, "ann", "news:today", "unmatched topic");
    member(&relay, "ann", "inbox:ann");
    member(&relay, "ann", "news");
    member(&relay, "ann", "quiet:1");
}

#[test]
fn a_push_is_returned_to_its_sender_or_refused() {
    let relay = relay();
    let mut wire = member(&relay, "ann", "inbox:ann");
    wire.send(&json!(["1", "2", "inbox:ann", "any", {"n": 1}]));
    expect_reply(&mut wire, "inbox:ann", "ok", json!({"n": 1}));
    let mut wire = member(&relay, "ann", "news");
    wire.send(&json!(["1", "2", "news", "any", {"n": 1}]));
    expect_reply(
        &mut wire,
        "news",
        "error",
        json!({"reason": "pushes are not allowed"}),
    );
}

#[test]
fn a_push_goes_to_the_others_within_its_limits() {
    let relay = relay();
    let mut wires = ["ann", "bob"].map(|user| member(&relay, user, "others:1"));
    let [ann, bob] = &mut wires;
    ann.send(&json!(["1", "2", "others:1", "told", {"n": 1}]));
    expect_reply(ann, "others:1", "ok", json!({}));
    bob.expect(json!([null, null, "others:1", "told", {"n": 1}]));
    ann.send(&json!(["1", "2", "others:1", "shouted", {}]));
    expect_reply(
        ann,
        "others:1",
        "error",
        json!({"reason": "event not allowed"}),
    );
    ann.send_text(&format!(
        r#"["1","2","others:1","told",{{"n":"{}"}}]"#,
        "x".repeat(24)
    ));
    expect_reply(ann, "others:1", "ok", json!({}));
    ann.send_text(&format!(
        r#"["1","2","others:1","told",{{"n":"{}"}}]"#,
        "x".repeat(25)
    ));
    expect_reply(
        ann,
        "others:1",
        "error",
        json!({"reason": "payload too large"}),
    );
    bob.expect(json!([null, null, "others:1", "told", {"n": "x".repeat(24)}]));
    bob.expect_silence();
}

#[test]
fn a_broadcast_need_not_be_answered() {
    let relay = relay();
    let mut wire = member(&relay, "ann", "quiet:1");
    wire.send(&json!(["1", "2", "quiet:1", "told", {"n": 1}]));
    wire.expect(json!([null, null, "quiet:1", "told", {"n": 1}]));
    wire.expect_silence();
}

#[test]
fn nobody_speaks_in_the_name_of_the_protocol() {
    let relay = Relay::start(&[]);
    let mut wires = ["ann", "bob"].map(|user| member(&relay, user, "room:1"));
    let [ann, bob] = &mut wires;
    for event in ["phx_reply", "phx_error", "phx_close"] {
        ann.send(&json!(["1", "2", "room:1", event, {}]));
        expect_reply(
            ann,
            "room:1",
            "error",
            json!({"reason": "event not allowed"}),
        );
    }
    bob.expect_silence();
}
