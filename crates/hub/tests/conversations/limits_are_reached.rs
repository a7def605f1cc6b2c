//! Each limit of a connection, at its edge and one beyond.

use fourtuple_hub::{Limits, Serializer::V2};
use proto::phoenix;

use crate::{room::router, script::Node};

#[test]
fn channels() {
    let node = Node::with(
        1,
        Limits {
            channels_max: 2,
            ..Limits::default()
        },
        router(),
    );
    let client = node.connect(V2);
    client.joins("room:a");
    client.joins("room:b");
    client.says(r#"["3","3","room:c","phx_join",{}]"#);
    client.hears(
        r#"["3","3","room:c","phx_reply",{"status":"error","response":{"reason":"too many channels joined"}}]"#,
    );
    assert_eq!(node.counters().joins_over_limit, 1);
    // A topic without a channel is told so first, and a channel less makes room again.
    client.says(r#"["3","4","lobby","phx_join",{}]"#);
    client.hears(
        r#"[null,"4","lobby","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]"#,
    );
    client.pushes("room:a", "stop", "{}");
    client.next();
    client.joins("room:c");
}

#[test]
fn the_default_is_phoenixs_hundred_channels() {
    let node = Node::new();
    let client = node.connect(V2);
    for nr in 0..100 {
        client.joins(&format!("room:{nr}"));
    }
    client.says(r#"["1","1","room:100","phx_join",{}]"#);
    client.hears(
        r#"["1","1","room:100","phx_reply",{"status":"error","response":{"reason":"too many channels joined"}}]"#,
    );
    client.pushes("room:57", "echo", "{}");
    client.hears(r#"["1","2","room:57","phx_reply",{"status":"ok","response":{}}]"#);
}

#[test]
fn names() {
    let names = phoenix::Limits {
        topic_bytes_max: 8,
        event_bytes_max: 9,
        ref_bytes_max: 3,
    };
    let node = Node::with(
        1,
        Limits {
            names,
            ..Limits::default()
        },
        router(),
    );
    let good = node.connect(V2);
    good.says(r#"["123","123","room:123","phx_join",{}]"#);
    good.hears(r#"["123","123","room:123","phx_reply",{"status":"ok","response":{}}]"#);
    good.says(r#"[null,null,"room:123","123456789",{}]"#);
    good.hears_nothing();
    for text in [
        r#"["1234","1","room:123","phx_join",{}]"#,
        r#"["1","1234","room:123","phx_join",{}]"#,
        r#"["1","1","room:1234","phx_join",{}]"#,
        r#"["1","1","room:123","1234567890",{}]"#,
    ] {
        let client = node.connect(V2);
        client.says(text);
        client.is_closed(1011);
    }
}
