//! Reply refs and channel refs are kept, sent elsewhere and used later.

use fourtuple_hub::{
    ChannelRef, ConnId, Payload, Reply, ReplyError, ReplyRef,
    Serializer::{V1, V2},
};
use serde_json::json;

use crate::{
    room::Person,
    script::{Client, Node},
};

fn person(node: &Node) -> (Client, Person) {
    let person = Person::default();
    (node.connect_to(0, V2, person.clone()), person)
}

/// Lets posted mail arrive.
fn deliver(node: &Node) {
    node.run(0, |_, _| {});
}

fn take_reply_ref(person: &Person) -> ReplyRef {
    person.table.reply_refs.lock().unwrap().pop_front().unwrap()
}

fn take_channel_ref(person: &Person) -> ChannelRef {
    person
        .table
        .channel_refs
        .lock()
        .unwrap()
        .pop_front()
        .unwrap()
}

#[test]
fn a_client_is_answered_later_and_as_often_as_one_likes() {
    let node = Node::new();
    let (client, person) = person(&node);
    client.joins("room:a");
    client.pushes("room:a", "later", "{}");
    client.hears_nothing();
    let later = take_reply_ref(&person);
    std::thread::spawn(move || {
        later.reply(&Reply::ok(json!({ "nr": 1 }))).unwrap();
        later
            .reply(&Reply::error(Payload::binary(&b"\x02"[..])))
            .unwrap();
    })
    .join()
    .unwrap();
    deliver(&node);
    client.hears(r#"["1","2","room:a","phx_reply",{"status":"ok","response":{"nr":1}}]"#);
    client.hears_bytes(b"\x01\x01\x01\x06\x0512room:aerror\x02");
}

#[test]
fn a_late_answer_outlives_the_channel_but_not_the_connection() {
    let node = Node::new();
    let (client, person) = person(&node);
    client.joins("room:a");
    client.pushes("room:a", "later", "{}");
    client.pushes("room:a", "stop", "{}");
    client.next();
    let later = take_reply_ref(&person);
    later.reply(&Reply::empty()).unwrap();
    deliver(&node);
    client.hears(r#"["1","2","room:a","phx_reply",{"status":"ok","response":{}}]"#);

    client.goes();
    let next = ConnId {
        generation: 1,
        ..client.conn
    };
    let next = node.connect_at(0, next, V2, Person::default());
    later.reply(&Reply::empty()).unwrap();
    deliver(&node);
    next.hears_nothing();
    assert_eq!(node.counters().mail_stale, 1);
}

#[test]
fn v1_cannot_be_answered_in_bytes() {
    let node = Node::new();
    let person = Person::default();
    let client = node.connect_to(0, V1, person.clone());
    client.says(r#"{"topic":"room:a","event":"phx_join","payload":{},"ref":"1"}"#);
    client.next();
    client.says(r#"{"topic":"room:a","event":"later","payload":{},"ref":"2"}"#);
    let later = take_reply_ref(&person);
    let answer = later.reply(&Reply::ok(Payload::binary(&b"x"[..])));
    assert!(matches!(answer, Err(ReplyError::Encode(_))));
    later.reply(&Reply::empty()).unwrap();
    deliver(&node);
    client.hears(r#"{"topic":"room:a","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"2"}"#);
}

#[test]
fn a_channel_is_told_from_elsewhere() {
    let node = Node::new();
    let (client, person) = person(&node);
    client.joins("room:a");
    client.joins("room:b");
    client.pushes("room:b", "handle", "{}");
    let channel = take_channel_ref(&person);
    channel.send("psst").unwrap();
    channel.send(7_u8).unwrap();
    channel.send("stop").unwrap();
    deliver(&node);
    client.hears(r#"["1",null,"room:b","info",{"text":"psst"}]"#);
    client.hears(r#"["1","1","room:b","phx_close",{}]"#);
    client.hears_nothing();
}

#[test]
fn a_channel_ref_is_for_one_join() {
    let node = Node::new();
    let (client, person) = person(&node);
    client.joins("room:a");
    client.pushes("room:a", "handle", "{}");
    let channel = take_channel_ref(&person);
    client.says(r#"["1","1","room:a","phx_join",{}]"#);
    client.next();
    client.next();
    channel.send("psst").unwrap();
    deliver(&node);
    client.goes();
    channel.send("psst").unwrap();
    deliver(&node);
    client.hears_nothing();
    assert_eq!(node.counters().mail_stale, 2);
}
