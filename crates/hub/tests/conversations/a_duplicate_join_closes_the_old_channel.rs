//! On the wire: the reply to the new join, what the old channel still says, its end, what the new
//! channel says.

use fourtuple_hub::{
    Limits,
    Serializer::{V1, V2},
    StopReason,
};

use crate::{
    room::{Person, router},
    script::Node,
};

#[test]
fn the_new_join_is_answered_before_the_old_one_ends() {
    let node = Node::new();
    let person = Person::default();
    let client = node.connect_to(0, V2, person.clone());
    client.says(r#"["1","1","room:a","phx_join",{"on_terminate":"speak"}]"#);
    client.next();
    client.says(r#"["2","2","room:a","phx_join",{"push":{"new":1},"announce":{"new":2}}]"#);
    client.hears(r#"["2","2","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.hears(r#"["1",null,"room:a","bye",{}]"#);
    client.hears(r#"[null,null,"room:a","left",{}]"#);
    client.hears(r#"["1","1","room:a","phx_close",{}]"#);
    client.hears(r#"["2",null,"room:a","hello",{"new":1}]"#);
    client.hears(r#"[null,null,"room:a","joined",{"new":2}]"#);
    client.hears_nothing();
    let ends = person.table.ends.lock().unwrap().clone();
    assert_eq!(ends, [("room:a".to_owned(), StopReason::DuplicateJoin)]);
    assert_eq!(node.counters().joins_duplicate, 1);
    assert_eq!(node.ask(|hub| hub.channels_count()), 1);
}

#[test]
fn v1_says_the_same_without_join_refs() {
    let client = Node::new().connect(V1);
    client.says(r#"{"topic":"room:a","event":"phx_join","payload":{},"ref":"1"}"#);
    client.next();
    client.says(r#"{"topic":"room:a","event":"phx_join","payload":{},"ref":"2"}"#);
    client.hears(r#"{"topic":"room:a","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"2"}"#);
    client.hears(r#"{"topic":"room:a","event":"phx_close","payload":{},"ref":null}"#);
    client.hears_nothing();
}

#[test]
fn the_old_channel_ends_even_when_the_new_join_is_refused() {
    let node = Node::new();
    let client = node.connect(V2);
    for (nr, orders, response) in [
        ("2", r#"{"refuse":{"reason":"no"}}"#, r#"{"reason":"no"}"#),
        ("3", r#"{"panic":true}"#, r#"{"reason":"join crashed"}"#),
    ] {
        client.joins("room:a");
        client.says(&format!(r#"["{nr}","{nr}","room:a","phx_join",{orders}]"#));
        client.hears(&format!(
            r#"["{nr}","{nr}","room:a","phx_reply",{{"status":"error","response":{response}}}]"#
        ));
        client.hears(r#"["1","1","room:a","phx_close",{}]"#);
        client.hears_nothing();
        assert_eq!(
            node.ask(|hub| (hub.channels_count(), hub.topics_count())),
            (0, 0)
        );
    }
}

#[test]
fn it_does_not_count_twice_against_the_limit() {
    let node = Node::with(
        1,
        Limits {
            channels_max: 1,
            ..Limits::default()
        },
        router(),
    );
    let client = node.connect(V2);
    client.joins("room:a");
    client.says(r#"["2","2","room:a","phx_join",{}]"#);
    client.hears(r#"["2","2","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.hears(r#"["1","1","room:a","phx_close",{}]"#);
}

#[test]
fn other_channels_of_the_connection_do_not_notice() {
    let client = Node::new().connect(V2);
    for topic in ["room:a", "room:b", "room:c"] {
        client.joins(topic);
    }
    client.says(r#"["2","2","room:a","phx_join",{}]"#);
    client.hears(r#"["2","2","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.hears(r#"["1","1","room:a","phx_close",{}]"#);
    for (topic, join) in [("room:a", "2"), ("room:b", "1"), ("room:c", "1")] {
        client.says(&format!(r#"["{join}","9","{topic}","echo",{{}}]"#));
        client.hears(&format!(
            r#"["{join}","9","{topic}","phx_reply",{{"status":"ok","response":{{}}}}]"#
        ));
    }
}
