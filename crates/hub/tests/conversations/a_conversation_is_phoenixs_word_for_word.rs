//! The examples of the protocol's reference, and every answer of the match order, in V2, V1 and
//! binary.

use fourtuple_hub::Serializer::{V1, V2};

use crate::script::Node;

#[test]
fn v2_as_in_the_reference() {
    let node = Node::new();
    let client = node.connect(V2);
    client.says(r#"["1","1","room:a","phx_join",{"k":"v"}]"#);
    client.hears(r#"["1","1","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.says(r#"["1","2","room:a","echo",{"body":"hi"}]"#);
    client.hears(r#"["1","2","room:a","phx_reply",{"status":"ok","response":{"body":"hi"}}]"#);
    client.says(r#"["1","3","room:a","push",{"a":[1, 2]}]"#);
    client.hears(r#"["1",null,"room:a","pushed",{"a":[1, 2]}]"#);
    client.says(r#"["1","4","room:a","broadcast",{"body":"hi"}]"#);
    client.hears(r#"[null,null,"room:a","shout",{"body":"hi"}]"#);
    client.says(r#"[null,"5","phoenix","heartbeat",{}]"#);
    client.hears(r#"[null,"5","phoenix","phx_reply",{"status":"ok","response":{}}]"#);
    client.says(r#"["1","6","room:a","phx_leave",{}]"#);
    client.hears(r#"["1","6","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.hears(r#"["1","1","room:a","phx_close",{}]"#);
    client.says(r#"["1","7","room:z","new_msg",{}]"#);
    client.hears(
        r#"[null,"7","room:z","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]"#,
    );
    client.hears_nothing();
    assert_eq!(
        node.ask(|hub| (hub.channels_count(), hub.topics_count())),
        (0, 0)
    );
}

#[test]
fn v1_as_in_the_reference() {
    let client = Node::new().connect(V1);
    client.says(r#"{"topic":"room:a","event":"phx_join","payload":{"k":"v"},"ref":"1"}"#);
    client.hears(r#"{"topic":"room:a","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"1"}"#);
    client.says(r#"{"ref":"2","payload":{"body":"hi"},"event":"echo","topic":"room:a"}"#);
    client.hears(r#"{"topic":"room:a","event":"phx_reply","payload":{"status":"ok","response":{"body":"hi"}},"ref":"2"}"#);
    client.says(r#"{"topic":"room:a","event":"push","payload":{},"ref":"3"}"#);
    client.hears(r#"{"topic":"room:a","event":"pushed","payload":{},"ref":null}"#);
    client.says(r#"{"topic":"room:a","event":"broadcast","payload":{},"ref":"4"}"#);
    client.hears(r#"{"topic":"room:a","event":"shout","payload":{},"ref":null}"#);
    client.says(r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":null}"#);
    client.hears(r#"{"topic":"phoenix","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":null}"#);
    client.says(r#"{"topic":"room:a","event":"phx_leave","payload":{},"ref":"6"}"#);
    client.hears(r#"{"topic":"room:a","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"6"}"#);
    // The join had no join_ref, so neither has its end.
    client.hears(r#"{"topic":"room:a","event":"phx_close","payload":{},"ref":null}"#);
    client.says(r#"{"topic":"room:z","event":"x","payload":{},"ref":"7"}"#);
    client.hears(r#"{"topic":"room:z","event":"phx_reply","payload":{"status":"error","response":{"reason":"unmatched topic"}},"ref":"7"}"#);
    client.hears_nothing();
}

#[test]
fn v1_honours_a_join_ref() {
    let client = Node::new().connect(V1);
    client.says(r#"{"topic":"room:a","event":"phx_join","payload":{},"ref":"1","join_ref":"9"}"#);
    client.next();
    client.says(r#"{"topic":"room:a","event":"echo","payload":{},"ref":"2","join_ref":"8"}"#);
    client.hears_nothing();
    client.says(r#"{"topic":"room:a","event":"stop","payload":{},"ref":"2","join_ref":"9"}"#);
    client.hears(r#"{"topic":"room:a","event":"phx_close","payload":{},"ref":"9"}"#);
}

#[test]
fn v2_binary_pushes_and_replies() {
    let client = Node::new().connect(V2);
    client.says(r#"["12","12","room:a","phx_join",{}]"#);
    client.next();
    client.says_bytes(b"\x00\x02\x03\x06\x0712123room:areverseabc");
    client.hears_bytes(b"\x01\x02\x03\x06\x0212123room:aokcba");
    client.says_bytes(b"\x00\x02\x03\x06\x0412123room:aecho\xff\x00");
    client.hears_bytes(b"\x01\x02\x03\x06\x0212123room:aok\xff\x00");
    client.says_bytes(b"\x00\x02\x03\x06\x0412123room:apush\x01");
    client.hears_bytes(b"\x00\x02\x06\x0612room:apushed\x01");
    client.says_bytes(b"\x00\x02\x03\x06\x0912123room:abroadcast\x02");
    client.hears_bytes(b"\x02\x06\x05room:ashout\x02");
    // A ref that came as bytes is the same string in JSON.
    client.says_bytes(b"\x00\x02\x03\x06\x0f12123room:astop_with_reply");
    client.hears_bytes(b"\x01\x02\x03\x06\x0212123room:aok");
    client.hears(r#"["12","12","room:a","phx_close",{}]"#);
    client.says_bytes(b"\x00\x00\x01\x06\x017room:zx");
    client.hears(
        r#"[null,"7","room:z","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]"#,
    );
    client.hears_nothing();
}

#[test]
fn v1_has_no_bytes() {
    let node = Node::new();
    let client = node.connect(V1);
    client.says_bytes(br#"{"topic":"room:a","event":"phx_join","payload":{},"ref":"1"}"#);
    client.hears(r#"{"topic":"room:a","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"1"}"#);
    for event in ["reverse", "push_bytes", "broadcast_bytes"] {
        client.says(&format!(
            r#"{{"topic":"room:a","event":"{event}","payload":{{}},"ref":"2"}}"#
        ));
    }
    client.hears_nothing();
    assert_eq!(node.counters().undeliverable, 3);
    assert_eq!(node.ask(|hub| hub.channels_count()), 1);
}

#[test]
fn refs_are_echoed_as_they_were_written() {
    let client = Node::new().connect(V2);
    let long = format!("\"{}\"", "7".repeat(200));
    for reference in [
        "1",
        "-0.5e3",
        "true",
        r#""\u0041\"""#,
        "[1, 2]",
        "\"\"",
        "null",
        &long,
    ] {
        client.says(&format!(
            r#"[{reference},{reference},"room:a","phx_join",{{}}]"#
        ));
        client.hears(&format!(
            r#"[{reference},{reference},"room:a","phx_reply",{{"status":"ok","response":{{}}}}]"#
        ));
        client.says(&format!(
            r#"[{reference},{reference},"room:a","phx_leave",{{}}]"#
        ));
        client.hears(&format!(
            r#"[{reference},{reference},"room:a","phx_reply",{{"status":"ok","response":{{}}}}]"#
        ));
        client.hears(&format!(
            r#"[{reference},{reference},"room:a","phx_close",{{}}]"#
        ));
    }
    client.hears_nothing();
}

#[test]
fn a_join_without_join_ref_takes_its_ref() {
    let client = Node::new().connect(V2);
    client.says(r#"[null,"3","room:a","phx_join",{"push":{}}]"#);
    client.hears(r#"[null,"3","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.hears(r#"["3",null,"room:a","hello",{}]"#);
    client.says(r#"[null,"4","room:a","echo",{}]"#);
    client.hears(r#"["3","4","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.says(r#"[null,"5","room:a","phx_leave",{}]"#);
    client.hears(r#"["3","5","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.hears(r#"[null,null,"room:a","phx_close",{}]"#);
}

#[test]
fn the_first_route_that_matches_wins() {
    let client = Node::new().connect(V2);
    client.says(r#"["1","1","room:first","phx_join",{}]"#);
    client.hears(
        r#"["1","1","room:first","phx_reply",{"status":"ok","response":{"route":"first"}}]"#,
    );
    client.says(r#"["2","2","room:first:not","phx_join",{}]"#);
    client.hears(r#"["2","2","room:first:not","phx_reply",{"status":"ok","response":{}}]"#);
}

#[test]
fn a_heartbeat_needs_no_payload_and_no_ref_and_cannot_be_joined_away() {
    let client = Node::new().connect(V2);
    client.says(r#"["1",7,"phoenix","heartbeat",null]"#);
    client.hears(r#"[null,7,"phoenix","phx_reply",{"status":"ok","response":{}}]"#);
    client.says(r#"[null,null,"phoenix","heartbeat",[]]"#);
    client.hears(r#"[null,null,"phoenix","phx_reply",{"status":"ok","response":{}}]"#);
    client.says(r#"["1","1","phoenix","phx_join",{}]"#);
    client.hears(
        r#"[null,"1","phoenix","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]"#,
    );
}

#[test]
fn to_leave_what_was_not_joined_is_granted() {
    let client = Node::new().connect(V2);
    client.says(r#"["3","4","room:a","phx_leave",{}]"#);
    client.hears(r#"["3","4","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.hears_nothing();
}

#[test]
fn joins_are_refused_in_the_channels_words() {
    let node = Node::new();
    let client = node.connect(V2);
    client.says(r#"["1","1","room:a","phx_join",{"push":{},"announce":{},"refuse":{"reason":"unauthorized"}}]"#);
    client.hears(
        r#"["1","1","room:a","phx_reply",{"status":"error","response":{"reason":"unauthorized"}}]"#,
    );
    client.says(r#"["2","2","lobby","phx_join",{}]"#);
    client.hears(
        r#"[null,"2","lobby","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]"#,
    );
    client.hears_nothing();
    assert_eq!(node.counters().joins_refused, 2);
    assert_eq!(
        node.ask(|hub| (hub.channels_count(), hub.topics_count())),
        (0, 0)
    );
}

#[test]
fn what_a_join_says_comes_after_its_reply() {
    let client = Node::new().connect(V2);
    client.says(
        r#"["1","1","room:a","phx_join",{"push":{"n":1},"announce":{"n":2},"reply":{"n":0}}]"#,
    );
    client.hears(r#"["1","1","room:a","phx_reply",{"status":"ok","response":{"n":0}}]"#);
    client.hears(r#"["1",null,"room:a","hello",{"n":1}]"#);
    client.hears(r#"[null,null,"room:a","joined",{"n":2}]"#);
    client.hears_nothing();
}

#[test]
fn effects_are_carried_out_in_order_and_the_reply_is_last() {
    let client = Node::new().connect(V2);
    client.joins("room:a");
    client.pushes("room:a", "both", "{}");
    client.hears(r#"["1",null,"room:a","pushed",{"nr":1}]"#);
    client.hears(r#"[null,null,"room:a","shout",{"nr":2}]"#);
    client.hears(r#"["1",null,"room:a","pushed",{"nr":3}]"#);
    client.hears(r#"["1","2","room:a","phx_reply",{"status":"ok","response":{"nr":4}}]"#);
    client.hears_nothing();
}

#[test]
fn a_reply_has_the_channels_status_and_any_payload() {
    let client = Node::new().connect(V2);
    client.joins("room:a");
    client.pushes("room:a", "refuse", "{\"why\":\"\\u00e9\"}");
    client
        .hears(r#"["1","2","room:a","phx_reply",{"status":"error","response":{"why":"\u00e9"}}]"#);
    client.pushes("room:a", "maybe", "null");
    client.hears(r#"["1","2","room:a","phx_reply",{"status":"maybe","response":null}]"#);
    client.pushes("room:a", "nothing", "{}");
    client.hears_nothing();
}

#[test]
fn a_channel_stops_by_itself() {
    let node = Node::new();
    let client = node.connect(V2);
    client.joins("room:a");
    client.pushes("room:a", "stop", "{}");
    client.hears(r#"["1","1","room:a","phx_close",{}]"#);
    client.joins("room:a");
    client.pushes("room:a", "stop_with_reply", "{\"last\":1}");
    client.hears(r#"["1","2","room:a","phx_reply",{"status":"ok","response":{"last":1}}]"#);
    client.hears(r#"["1","1","room:a","phx_close",{}]"#);
    client.joins("room:a");
    client.pushes("room:a", "give_up", "{}");
    client.hears(r#"["1","1","room:a","phx_error",{"reason":"channel_crash"}]"#);
    client.hears_nothing();
    assert_eq!(node.counters().stops, 3);
}
