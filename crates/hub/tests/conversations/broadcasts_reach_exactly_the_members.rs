//! Everyone in the topic, once, in order, on every shard, in the bytes of their serializer; nobody
//! else.

use fourtuple_hub::{
    Broadcast, Limits, Mail, Payload, Publication,
    Serializer::{V1, V2},
};
use serde_json::json;

use crate::{
    room::{Person, router},
    script::{Client, Node},
};

const V2_SHOUT: &str = r#"[null,null,"room:a","shout",{"body" : "hi"}]"#;
const V1_SHOUT: &str = r#"{"topic":"room:a","event":"shout","payload":{"body" : "hi"},"ref":null}"#;

/// A client of each serializer on each of two shards, all in `room:a`.
fn four() -> (Node, Vec<Client>) {
    let node = Node::with(2, Limits::default(), router());
    let clients: Vec<_> = [(0, V2), (0, V1), (1, V2), (1, V1)]
        .map(|(shard, serializer)| node.connect_to(shard, serializer, Person::default()))
        .into();
    for v2 in [&clients[0], &clients[2]] {
        v2.joins("room:a");
    }
    for v1 in [&clients[1], &clients[3]] {
        v1.says(r#"{"topic":"room:a","event":"phx_join","payload":{},"ref":"1"}"#);
        v1.next();
    }
    (node, clients)
}

#[test]
fn a_broadcast_reaches_every_member_and_its_sender() {
    let (_, clients) = four();
    clients[0].pushes("room:a", "broadcast", r#"{"body" : "hi"}"#);
    for (client, shout) in clients.iter().zip([V2_SHOUT, V1_SHOUT, V2_SHOUT, V1_SHOUT]) {
        client.hears(shout);
        client.hears_nothing();
    }
}

#[test]
fn broadcast_from_leaves_out_the_sender() {
    let (node, clients) = four();
    clients[1]
        .says(r#"{"topic":"room:a","event":"broadcast_from","payload":{"body" : "hi"},"ref":"2"}"#);
    clients[0].hears(V2_SHOUT);
    clients[2].hears(V2_SHOUT);
    clients[3].hears(V1_SHOUT);
    clients[1].hears_nothing();
    assert_eq!(
        (node.counters().broadcasts, node.counters().deliveries),
        (1, 1)
    );
}

#[test]
fn bytes_reach_v2_and_are_counted_for_v1() {
    let (node, clients) = four();
    clients[0].pushes("room:a", "broadcast_bytes", "7");
    for client in [&clients[0], &clients[2]] {
        client.hears_bytes(b"\x02\x06\x05room:ashout7");
    }
    for client in [&clients[1], &clients[3]] {
        client.hears_nothing();
    }
    assert_eq!(node.counters().undeliverable, 1);
}

#[test]
fn only_the_topic_itself_hears_it() {
    let node = Node::new();
    let (ann, bob) = (node.connect(V2), node.connect(V2));
    ann.joins("room:a");
    bob.joins("room:ab");
    ann.pushes("room:a", "broadcast", "{}");
    ann.next();
    bob.hears_nothing();
    ann.pushes("room:a", "broadcast_to", "\"room:ab\"");
    bob.hears(r#"[null,null,"room:ab","shout",{"from":"room:a"}]"#);
    ann.hears_nothing();
    ann.pushes("room:a", "broadcast_to", "\"room:empty\"");
    bob.hears_nothing();
}

#[test]
fn another_topic_may_be_one_of_the_senders_own() {
    let node = Node::new();
    let client = node.connect(V2);
    for topic in ["room:a", "room:b"] {
        client.joins(topic);
        client.pushes("room:a", "broadcast_to", &format!("\"{topic}\""));
        client.hears(&format!(
            r#"[null,null,"{topic}","shout",{{"from":"room:a"}}]"#
        ));
        client.hears_nothing();
    }
}

#[test]
fn who_has_left_hears_nothing() {
    let node = Node::new();
    let clients: Vec<_> = (0..4).map(|_| node.connect(V2)).collect();
    for client in &clients {
        client.joins("room:a");
    }
    clients[0].says(r#"["1","2","room:a","phx_leave",{}]"#);
    clients[0].next();
    clients[0].next();
    clients[2].goes();
    clients[3].pushes("room:a", "broadcast", "{}");
    clients[0].hears_nothing();
    clients[2].hears_nothing();
    for client in [&clients[1], &clients[3]] {
        client.hears(r#"[null,null,"room:a","shout",{}]"#);
        client.hears_nothing();
    }
    assert_eq!(node.ask(|hub| hub.members_count("room:a")), 2);
    assert_eq!(
        node.ask(|hub| hub
            .topics()
            .map(|(name, count)| (name.to_owned(), count))
            .collect::<Vec<_>>()),
        [("room:a".to_owned(), 2)]
    );
}

#[test]
fn the_program_itself_may_broadcast() {
    let node = Node::new();
    let client = node.connect(V2);
    client.joins("room:a");
    let broadcast = Broadcast::new("room:a", "news", json!({ "nr": 1 })).unwrap();
    assert_eq!((broadcast.topic(), broadcast.event()), ("room:a", "news"));
    assert_eq!(
        broadcast.payload(),
        Payload::Json(fourtuple_hub::Json::parse("{\"nr\":1}").unwrap())
    );
    let mail = Mail::Publish(Publication::Broadcast(broadcast));
    node.run(0, |hub, out| hub.handle_mail(mail, out));
    client.hears(r#"[null,null,"room:a","news",{"nr":1}]"#);
}

#[test]
fn names_with_escapes_are_one_topic() {
    let client = Node::new().connect(V2);
    client.says(r#"["1","1","room:\u0061\"","phx_join",{}]"#);
    client.hears(r#"["1","1","room:a\"","phx_reply",{"status":"ok","response":{}}]"#);
    client.says(r#"["1","2","room:a\u0022","broadcast",{}]"#);
    client.hears(r#"[null,null,"room:a\"","shout",{}]"#);
}
