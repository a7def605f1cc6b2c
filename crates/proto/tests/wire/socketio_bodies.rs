//! What the parsers of Socket.IO promise for any bytes at all. The fuzz targets include this file.

use fourtuple_proto::socketio::{EnginePacket, Kind, Limits, Packet, ROOT};
use serde_json::Value;

/// Small, so that a fuzzer reaches them.
const LIMITS: Limits = Limits {
    attachments_max: 3,
    namespace_bytes_max: 20,
};

/// What a client reads can be written and read again, and is what a JSON reader finds there.
pub(crate) fn fuzz_socketio(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(engine) = EnginePacket::parse(text) else {
        return;
    };
    let mut again = String::new();
    engine.encode(&mut again);
    assert_eq!(EnginePacket::parse(&again).as_ref(), Ok(&engine));
    let EnginePacket::Message(text) = engine else {
        return;
    };
    let Ok(packet) = Packet::parse(text, &LIMITS) else {
        return;
    };
    assert_eq!(packet.attachments > 0, packet.kind.is_binary());
    assert!(packet.attachments <= 3 && packet.namespace.len() <= 20);
    assert!(packet.namespace.starts_with(ROOT));
    if let Some(payload) = &packet.payload {
        assert!(
            data.as_ptr_range().contains(&payload.as_str().as_ptr()),
            "the payload is not copied"
        );
    }
    let is_event = matches!(packet.kind, Kind::Event | Kind::BinaryEvent);
    assert_eq!(packet.event().is_some(), is_event);
    // A tree is stricter in one thing, half a surrogate pair, and in depth.
    let tree = |json: &str| serde_json::from_str::<Value>(json).ok();
    let tree = packet.payload.as_ref().and_then(|json| tree(json.as_str()));
    if let (Some(Value::Array(items)), Some(name)) = (tree, packet.event()) {
        match &items[0] {
            Value::String(text) => assert_eq!(*text, name),
            first => assert!(first.is_number(), "{first} is no name"),
        }
    }
    let mut again = String::new();
    packet.encode(&mut again);
    assert_eq!(Packet::parse(&again, &LIMITS), Ok(packet));
}
