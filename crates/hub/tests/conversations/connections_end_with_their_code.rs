//! 1001 for a forced disconnect, 1012 for a drain, 1011 for what cannot be read; and every channel
//! is told why.

use std::sync::Arc;

use fourtuple_hub::{
    ConnId, Hub, Incoming, Interest, Limits, Output,
    Serializer::{V1, V2},
    ShardIndex, StopReason,
};

use crate::{
    room::{Person, router},
    script::{Client, Node, Office},
};

#[test]
fn a_message_that_cannot_be_read_closes_its_connection() {
    let node = Node::new();
    let other = node.connect(V2);
    other.joins("room:a");
    for (serializer, text) in [
        (V2, ""),
        (V2, "{}"),
        (V2, r#"["1","1","room:a","phx_join"]"#),
        (V2, r#"["1","1",7,"phx_join",{}]"#),
        (V2, r#"["1","1","room:a","phx_join",{}"#),
        (V1, r#"["1","1","room:a","phx_join",{}]"#),
        (V1, r#"{"topic":"room:a","event":"phx_join","payload":{}}"#),
    ] {
        let client = node.connect(serializer);
        client.says(text);
        client.is_closed(1011);
        client.says(text);
        client.goes();
        client.hears_nothing();
    }
    for bytes in [
        &b""[..],
        b"\x01",
        b"\x00\x01\x01\x06",
        b"\x00\xff\xff\xff\xff",
        b"\x03\x00\x00",
    ] {
        let client = node.connect(V2);
        client.says_bytes(bytes);
        client.is_closed(1011);
    }
    other.hears_nothing();
    assert_eq!(node.ask(|hub| hub.conns_count()), 1);
    assert_eq!(node.counters().undecodable, 12);
}

#[test]
fn a_socket_id_closes_all_its_connections_on_every_shard() {
    let node = Node::with(2, Limits::default(), router());
    let ann: Vec<_> = [(0, V2), (0, V1), (1, V2)]
        .map(|(shard, serializer)| node.connect_to(shard, serializer, Person::named("ann")))
        .into();
    let bob = node.connect_as("bob");
    let nobody = node.connect(V2);
    bob.joins("room:a");
    bob.pushes("room:a", "disconnect", "\"person:ann\"");
    for client in &ann {
        client.is_closed(1001);
    }
    bob.pushes("room:a", "disconnect", "\"person:ann\"");
    bob.hears_nothing();
    nobody.joins("room:a");
    assert_eq!(node.counters().disconnects, 2);
}

#[test]
fn who_disconnects_itself_is_closed_after_its_reply() {
    let node = Node::new();
    let ann = node.connect_as("ann");
    ann.says(r#"["1","1","room:a","phx_join",{"on_terminate":"speak"}]"#);
    ann.next();
    ann.pushes("room:a", "disconnect", "\"person:ann\"");
    ann.is_closed(1001);
    assert_eq!(
        node.ask(|hub| (hub.conns_count(), hub.channels_count())),
        (0, 0)
    );
}

#[test]
fn the_id_is_the_one_at_the_time_of_connecting() {
    let node = Node::new();
    let ann = node.connect_as("ann");
    ann.joins("room:a");
    ann.pushes("room:a", "name", "\"eve\"");
    ann.pushes("room:a", "disconnect", "\"person:eve\"");
    ann.hears_nothing();
    ann.pushes("room:a", "disconnect", "\"person:ann\"");
    ann.is_closed(1001);
}

#[test]
fn a_long_chain_of_disconnects_costs_no_stack() {
    let people = 20_000;
    let (interest, post) = (Arc::new(Interest::new(1, 0)), Arc::new(Office::default()));
    let mut hub = Hub::new(
        Arc::new(router()),
        ShardIndex(0),
        interest,
        post,
        Limits::default(),
    );
    let conn = |index| ConnId {
        index,
        generation: 0,
    };
    for index in 0..people {
        let person = Person::named(&index.to_string());
        hub.handle_open(conn(index), V2, person, &mut |_| {});
        let orders = format!(r#"{{"on_terminate":"person:{}"}}"#, index + 1);
        let join = format!(r#"["1","1","room:{index}","phx_join",{orders}]"#);
        hub.handle_message(conn(index), Incoming::Text(&join), &mut |_| {});
    }
    let mut closed = Vec::new();
    hub.handle_close(conn(0), &mut |output| {
        if let Output::Close { conn, .. } = output {
            closed.push(conn.index);
        }
    });
    assert_eq!(closed, (1..people).collect::<Vec<_>>());
    assert_eq!((hub.conns_count(), hub.topics_count()), (0, 0));
    hub.invariants();
}

#[test]
fn a_drain_closes_in_batches_and_then_is_done() {
    let node = Node::new();
    let person = Person::default();
    let clients: Vec<_> = (0..5)
        .map(|_| node.connect_to(0, V2, person.clone()))
        .collect();
    for client in &clients[..4] {
        client.joins("room:a");
    }
    let mut closed = Vec::new();
    for _ in 0..4 {
        node.run(0, |hub, out| closed.push(hub.handle_drain(2, out)));
    }
    assert_eq!(closed, [2, 2, 1, 0]);
    for client in &clients {
        client.is_closed(1012);
    }
    let ends = person.table.ends.lock().unwrap();
    assert_eq!(ends.len(), 4);
    assert!(
        ends.iter()
            .all(|(_, reason)| *reason == StopReason::Draining)
    );
    assert_eq!(node.counters().drained, 5);
}

const SPEAKS_AT_THE_END: &str = r#"["1","1","room:a","phx_join",{"on_terminate":"speak"}]"#;
const LEFT: &str = r#"[null,null,"room:a","left",{}]"#;

#[test]
fn who_is_drained_together_hears_no_last_words() {
    let node = Node::new();
    let clients: Vec<_> = (0..4).map(|_| node.connect(V2)).collect();
    for client in &clients {
        client.says(SPEAKS_AT_THE_END);
        client.next();
    }
    node.run(0, |hub, out| assert_eq!(hub.handle_drain(3, out), 3));
    for client in &clients[..3] {
        client.is_closed(1012);
    }
    for _ in 0..3 {
        clients[3].hears(LEFT);
    }
    clients[3].hears_nothing();
    assert_eq!(node.counters().deliveries, 3);
}

#[test]
fn who_is_disconnected_together_hears_no_last_words() {
    let node = Node::new();
    let ann: Vec<_> = [V2, V1, V2]
        .map(|serializer| node.connect_to(0, serializer, Person::named("ann")))
        .into();
    ann[0].says(SPEAKS_AT_THE_END);
    ann[1].says(
        r#"{"topic":"room:a","event":"phx_join","payload":{"on_terminate":"speak"},"ref":"1"}"#,
    );
    ann[2].says(SPEAKS_AT_THE_END);
    for client in &ann {
        client.next();
    }
    let bob = node.connect(V2);
    bob.joins("room:a");
    bob.pushes("room:a", "disconnect", "\"person:ann\"");
    for client in &ann {
        client.is_closed(1001);
    }
    for _ in 0..3 {
        bob.hears(LEFT);
    }
    bob.hears_nothing();
}

#[test]
fn last_words_in_a_drain_may_disconnect_who_is_not_in_its_batch() {
    let node = Node::new();
    let joins = |client: &Client, name: &str| {
        let orders = format!(r#"{{"on_terminate":"person:{name}"}}"#);
        client.says(&format!(r#"["1","1","room:a","phx_join",{orders}]"#));
        client.next();
    };
    let people = ["ann", "bob", "eve"].map(|name| node.connect_as(name));
    joins(&people[0], "bob");
    joins(&people[1], "ann");
    joins(&people[2], "nobody");
    let other = node.connect(V2);

    node.run(0, |hub, out| assert_eq!(hub.handle_drain(1, out), 1));
    people[0].is_closed(1012);
    people[1].is_closed(1001);
    assert_eq!(
        (node.counters().drained, node.counters().disconnects),
        (1, 1)
    );

    // Who is named by another of its own batch is drained, and not a second time disconnected.
    let fay = node.connect_as("fay");
    joins(&fay, "eve");
    node.run(0, |hub, out| assert_eq!(hub.handle_drain(9, out), 3));
    for client in [&people[2], &other, &fay] {
        client.is_closed(1012);
    }
    assert_eq!(
        (node.counters().drained, node.counters().disconnects),
        (4, 1)
    );
}

#[test]
fn channels_are_told_why_they_end() {
    let node = Node::new();
    let person = Person::named("ann");
    let client = node.connect_to(0, V2, person.clone());
    for topic in ["room:left", "room:stopped", "room:b", "room:a"] {
        client.joins(topic);
    }
    client.pushes("room:left", "phx_leave", "{}");
    client.pushes("room:stopped", "stop", "{}");
    client.goes();
    let ends: Vec<_> = person.table.ends.lock().unwrap().drain(..).collect();
    let expected = [
        ("room:left", StopReason::Left),
        ("room:stopped", StopReason::Normal),
        ("room:b", StopReason::Closed),
        ("room:a", StopReason::Closed),
    ];
    assert_eq!(
        ends,
        expected.map(|(topic, reason)| (topic.to_owned(), reason))
    );
}

#[test]
fn last_words_reach_the_others_and_not_who_is_gone() {
    let node = Node::new();
    let (ann, bob) = (node.connect(V2), node.connect(V2));
    bob.joins("room:a");
    for topic in ["room:a", "room:b"] {
        ann.says(&format!(
            r#"["1","1","{topic}","phx_join",{{"on_terminate":"speak"}}]"#
        ));
        ann.next();
    }
    ann.says(r#"["1","2","room:b","phx_leave",{}]"#);
    ann.hears(r#"["1","2","room:b","phx_reply",{"status":"ok","response":{}}]"#);
    ann.hears(r#"["1",null,"room:b","bye",{}]"#);
    ann.hears(r#"[null,null,"room:b","left",{}]"#);
    ann.hears(r#"["1","1","room:b","phx_close",{}]"#);
    ann.goes();
    ann.hears_nothing();
    bob.hears(r#"[null,null,"room:a","left",{}]"#);
    bob.hears_nothing();
}

#[test]
fn an_index_is_used_again_by_another_generation() {
    let node = Node::new();
    let first = node.connect(V2);
    first.joins("room:a");
    first.goes();
    let conn = ConnId {
        generation: 1,
        ..first.conn
    };
    let second = node.connect_at(0, conn, V1, Person::default());
    first.says(r#"[null,"1","phoenix","heartbeat",{}]"#);
    first.goes();
    first.hears_nothing();
    second.says(r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}"#);
    second.hears(r#"{"topic":"phoenix","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"1"}"#);
}
