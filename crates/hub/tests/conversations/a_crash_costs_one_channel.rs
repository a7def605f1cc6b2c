//! A panic of the application ends the channel in which it happened; the connection and its other
//! channels go on.

use core::net::{Ipv4Addr, SocketAddr};

use fourtuple_hub::{
    ConnectError, ConnectRequest,
    Serializer::{V1, V2},
};
use proto::{
    http::{self, Parsed},
    phoenix::connect::{Params, ParamsLimits},
};

use crate::{
    room::{Bomb, Person, router},
    script::Node,
};

#[test]
fn in_join_it_is_a_refusal() {
    let node = Node::new();
    let client = node.connect(V2);
    client.says(r#"["1","1","room:a","phx_join",{"push":{},"panic":true}]"#);
    client.hears(
        r#"["1","1","room:a","phx_reply",{"status":"error","response":{"reason":"join crashed"}}]"#,
    );
    client.hears_nothing();
    client.joins("room:a");
    assert_eq!(node.counters().joins_crashed, 1);
}

#[test]
fn in_handle_in_it_is_an_error_after_what_was_said_before() {
    let node = Node::new();
    let client = node.connect(V2);
    client.joins("room:a");
    client.joins("room:b");
    client.pushes("room:a", "panic", "{}");
    client.hears(r#"["1",null,"room:a","pushed",{"before":"panic"}]"#);
    client.hears(r#"["1","1","room:a","phx_error",{"reason":"channel_crash"}]"#);
    client.hears_nothing();
    client.pushes("room:a", "echo", "{}");
    client.hears(
        r#"[null,"2","room:a","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]"#,
    );
    client.pushes("room:b", "echo", "{}");
    client.hears(r#"["1","2","room:b","phx_reply",{"status":"ok","response":{}}]"#);
    client.joins("room:a");
    assert_eq!(node.counters().channels_crashed, 1);
}

#[test]
fn a_payload_that_cannot_be_written_is_a_panic_too() {
    let client = Node::new().connect(V2);
    client.joins("room:a");
    client.pushes("room:a", "unwritable", "{}");
    client.hears(r#"["1","1","room:a","phx_error",{"reason":"channel_crash"}]"#);
}

#[test]
fn in_handle_info_it_is_an_error_and_so_is_a_reply() {
    let node = Node::new();
    let person = Person::default();
    let client = node.connect_to(0, V2, person.clone());
    for order in ["panic", "reply"] {
        client.joins("room:a");
        client.pushes("room:a", "handle", "{}");
        let channel = person
            .table
            .channel_refs
            .lock()
            .unwrap()
            .pop_front()
            .unwrap();
        channel.send(order).unwrap();
        client.says(r#"[null,"9","phoenix","heartbeat",{}]"#);
        client.next();
        client.hears(r#"["1","1","room:a","phx_error",{"reason":"channel_crash"}]"#);
    }
    assert_eq!(node.counters().channels_crashed, 2);
}

#[test]
fn in_terminate_it_changes_nothing() {
    let node = Node::new();
    let client = node.connect(V2);
    let join = r#"["1","1","room:a","phx_join",{"on_terminate":"panic"}]"#;
    client.says(join);
    client.next();
    client.says(r#"["1","2","room:a","phx_leave",{}]"#);
    client.hears(r#"["1","2","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.hears(r#"["1","1","room:a","phx_close",{}]"#);
    // Phoenix, too, has told the transport how the channel ends before it runs `terminate`
    // (`lib/phoenix/channel/server.ex`, `handle_result`).
    for (order, end) in [
        ("stop", r#"["1","1","room:a","phx_close",{}]"#),
        (
            "give_up",
            r#"["1","1","room:a","phx_error",{"reason":"channel_crash"}]"#,
        ),
    ] {
        client.says(join);
        client.next();
        client.pushes("room:a", order, "{}");
        client.hears(end);
        client.hears_nothing();
    }
    client.says(join);
    client.next();
    client.goes();
    assert_eq!(node.counters().terminates_crashed, 4);
    assert_eq!(
        node.ask(|hub| (hub.conns_count(), hub.channels_count())),
        (0, 0)
    );
}

#[test]
fn in_the_drop_of_a_channel_it_changes_nothing() {
    let node = Node::new();
    let client = node.connect(V2);
    let ends = |order: &str, end: &str| {
        client.joins("room:a");
        client.pushes("room:a", "arm", "{}");
        client.pushes("room:a", order, "{}");
        client.hears(end);
        client.hears_nothing();
    };
    ends("stop", r#"["1","1","room:a","phx_close",{}]"#);
    ends(
        "give_up",
        r#"["1","1","room:a","phx_error",{"reason":"channel_crash"}]"#,
    );
    client.joins("room:a");
    client.joins("room:b");
    client.pushes("room:a", "arm", "{}");
    client.pushes("room:b", "arm", "{}");
    client.goes();
    assert_eq!(node.counters().terminates_crashed, 4);
    assert_eq!(
        node.ask(|hub| (hub.conns_count(), hub.channels_count())),
        (0, 0)
    );
}

#[test]
fn in_the_drop_of_a_channel_whose_join_is_not_answered_it_changes_nothing() {
    let node = Node::new();
    let client = node.connect(V1);
    client.says(
        r#"{"topic":"room:a","event":"phx_join","payload":{"bytes":"ok","arm":true},"ref":"1"}"#,
    );
    client.hears(r#"{"topic":"room:a","event":"phx_reply","payload":{"status":"error","response":{"reason":"join crashed"}},"ref":"1"}"#);
    let counters = node.counters();
    assert_eq!(
        (counters.joins_crashed, counters.terminates_crashed),
        (1, 1)
    );
}

#[test]
fn in_the_drop_of_the_assigns_it_changes_nothing() {
    let node = Node::new();
    let (client, drained, other) = (node.connect(V2), node.connect(V2), node.connect(V2));
    for client in [&client, &drained] {
        client.joins("room:a");
        client.pushes("room:a", "arm_the_connection", "{}");
    }
    client.goes();
    node.run(0, |hub, out| assert_eq!(hub.handle_drain(1, out), 1));
    drained.is_closed(1012);
    assert_eq!(node.counters().terminates_crashed, 2);
    other.joins("room:a");
}

#[test]
fn in_the_drop_of_a_message_it_changes_nothing() {
    let node = Node::new();
    let person = Person::default();
    let client = node.connect_to(0, V2, person.clone());
    client.joins("room:a");
    client.pushes("room:a", "handle", "{}");
    client.pushes("room:a", "stop", "{}");
    client.next();
    let channel = person.table.channel_refs.lock().unwrap().pop_front();
    channel.unwrap().send(Bomb).unwrap();
    client.joins("room:a");
    let counters = node.counters();
    assert_eq!((counters.mail_stale, counters.terminates_crashed), (1, 1));
}

#[test]
fn in_the_socket_it_costs_that_connection() {
    let node = Node::new();
    let other = node.connect_as("ann");
    let client = node.connect_as("crash");
    client.is_closed(1011);
    client.says(r#"[null,"1","phoenix","heartbeat",{}]"#);
    client.goes();
    client.hears_nothing();
    other.joins("room:a");
    assert_eq!(node.counters().sockets_crashed, 1);
}

#[test]
fn in_connect_it_is_a_refusal() {
    let connect = |query: &str| {
        let head = format!("GET /socket/websocket?{query} HTTP/1.1\r\nhost: a\r\n\r\n");
        let limits = http::Limits {
            head_bytes_max: 1024,
            headers_max: 8,
        };
        let Parsed::Complete { head, .. } = http::parse_request(head.as_bytes(), &limits).unwrap()
        else {
            panic!("the head is whole");
        };
        let params = Params::parse(query, &ParamsLimits::default()).unwrap();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let request = ConnectRequest {
            head: &head,
            params: &params,
            auth_token: None,
            peer,
        };
        router().connect(&request).map(|person| person.name)
    };
    assert_eq!(connect("name=ann").unwrap().as_deref(), Some("ann"));
    assert_eq!(connect("name=nobody"), Err(ConnectError::Refused));
    assert_eq!(connect("name=crash"), Err(ConnectError::Crashed));
    assert_eq!(ConnectError::Refused.status(), 403);
    assert_eq!(ConnectError::Crashed.status(), 500);
}
