//! A join that fails, for whatever reason, is answered and makes no member; what it did beyond its
//! topic is done.

use fourtuple_hub::Serializer::{V1, V2};

use crate::script::{Client, Node};

const REFUSED: &str = r#"{"reason":"no"}"#;
const CRASHED: &str = r#"{"reason":"join crashed"}"#;

/// A V1 client says its join, and hears the answer.
fn joins_v1(client: &Client, orders: &str, status: &str, response: &str) {
    client.says(&format!(
        r#"{{"topic":"room:a","event":"phx_join","payload":{orders},"ref":"1"}}"#
    ));
    client.hears(&format!(
        r#"{{"topic":"room:a","event":"phx_reply","payload":{{"status":"{status}","response":{response}}},"ref":"1"}}"#
    ));
}

#[test]
fn what_it_did_for_others_is_done_and_nothing_else() {
    for (orders, response) in [
        (r#""refuse":{"reason":"no"}"#, REFUSED),
        (r#""panic":true"#, CRASHED),
    ] {
        let node = Node::new();
        let (member, other, ann) = (node.connect(V2), node.connect(V2), node.connect_as("ann"));
        member.joins("room:a");
        other.joins("room:b");
        let client = node.connect(V2);
        client.says(&format!(
            r#"["1","1","room:a","phx_join",{{"push":{{}},"announce":{{}},"elsewhere":"room:b","disconnect":"person:ann",{orders}}}]"#
        ));
        client.hears(&format!(
            r#"["1","1","room:a","phx_reply",{{"status":"error","response":{response}}}]"#
        ));
        client.hears_nothing();
        member.hears_nothing();
        other.hears(r#"[null,null,"room:b","shout",{"from":"room:a"}]"#);
        other.hears_nothing();
        ann.is_closed(1001);
        assert_eq!(node.ask(|hub| hub.members_count("room:a")), 1);
    }
}

#[test]
fn a_broadcast_to_its_own_topic_is_for_members_only() {
    let node = Node::new();
    let (member, client) = (node.connect(V2), node.connect(V2));
    member.joins("room:a");
    client.says(r#"["1","1","room:a","phx_join",{"elsewhere":"room:a","panic":true}]"#);
    client.next();
    member.hears_nothing();
}

#[test]
fn a_reply_that_v1_cannot_carry_is_a_crash() {
    let node = Node::new();
    let (client, member) = (node.connect(V1), node.connect(V2));
    member.joins("room:a");
    let orders = r#"{"push":{},"announce":{},"bytes":"ok"}"#;
    joins_v1(&client, orders, "error", CRASHED);
    client.hears_nothing();
    member.hears_nothing();
    assert_eq!(node.ask(|hub| hub.members_count("room:a")), 1);
    let counters = node.counters();
    assert_eq!((counters.joins, counters.joins_crashed), (1, 1));
    assert_eq!(counters.undeliverable, 1);

    // Who was in the topic already has been in it until now.
    joins_v1(&client, "{}", "ok", "{}");
    joins_v1(&client, orders, "error", CRASHED);
    client.hears(r#"{"topic":"room:a","event":"phx_close","payload":{},"ref":null}"#);
    client.hears_nothing();
    assert_eq!(node.ask(|hub| hub.members_count("room:a")), 1);
}

#[test]
fn a_refusal_that_v1_cannot_carry_is_still_a_refusal() {
    let node = Node::new();
    let client = node.connect(V1);
    joins_v1(&client, r#"{"bytes":"error"}"#, "error", CRASHED);
    client.hears_nothing();
    let counters = node.counters();
    assert_eq!((counters.joins_refused, counters.joins_crashed), (1, 0));
}
