//! A message with the join_ref of an earlier join is for nobody; one without is for whoever is
//! there.

use fourtuple_hub::Serializer::V2;

use crate::script::Node;

#[test]
fn another_join_ref_is_dropped_without_a_word() {
    let node = Node::new();
    let client = node.connect(V2);
    client.says(r#"["5","5","room:a","phx_join",{}]"#);
    client.next();
    for stale in ["\"4\"", "5", "\"\"", "\"55\""] {
        client.says(&format!(r#"[{stale},"6","room:a","echo",{{}}]"#));
        client.says(&format!(r#"[{stale},"6","room:a","phx_leave",{{}}]"#));
    }
    client.hears_nothing();
    assert_eq!(node.counters().stale, 8);
    assert_eq!(node.ask(|hub| hub.channels_count()), 1);
}

#[test]
fn no_join_ref_is_delivered() {
    let client = Node::new().connect(V2);
    client.says(r#"["5","5","room:a","phx_join",{}]"#);
    client.next();
    client.says(r#"[null,"6","room:a","echo",{}]"#);
    client.hears(r#"["5","6","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.says(r#"[null,"7","room:a","phx_leave",{}]"#);
    client.hears(r#"["5","7","room:a","phx_reply",{"status":"ok","response":{}}]"#);
    client.hears(r#"["5","5","room:a","phx_close",{}]"#);
}

#[test]
fn after_a_duplicate_join_only_the_new_one_counts() {
    let client = Node::new().connect(V2);
    client.joins("room:a");
    client.says(r#"["2","2","room:a","phx_join",{}]"#);
    client.next();
    client.next();
    client.says(r#"["1","3","room:a","phx_leave",{}]"#);
    client.hears_nothing();
    client.says(r#"["2","4","room:a","echo",{}]"#);
    client.hears(r#"["2","4","room:a","phx_reply",{"status":"ok","response":{}}]"#);
}

#[test]
fn an_empty_binary_join_ref_is_a_string_and_not_null() {
    let client = Node::new().connect(V2);
    client.joins("room:a");
    client.says_bytes(b"\x00\x00\x01\x06\x046room:aecho");
    client.hears_nothing();
    client.says_bytes(b"\x00\x01\x01\x06\x0416room:aecho");
    client.hears_bytes(b"\x01\x01\x01\x06\x0216room:aok");
}
