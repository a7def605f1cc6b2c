//! What the parsers of Phoenix messages promise for any bytes at all. The fuzz targets include this
//! file.

use form_urlencoded::Serializer as Query;
use fourtuple_proto::{
    phoenix::{
        DecodeError, Limits, Message, Payload, Received, Ref, Reply, Serializer,
        connect::{
            Origin, OriginCheck, OriginPattern, Param, Params, ParamsLimits, Protocols,
            choose_protocol, is_websocket_path,
        },
        decode_binary, decode_received_binary, decode_received_text, decode_text, encode_broadcast,
        encode_message, encode_push, encode_reply,
    },
    ws::{self, Endpoint, Event, Role},
};
use serde_json::Value;

/// Small, so that a fuzzer reaches them.
const LIMITS: Limits = Limits {
    topic_bytes_max: 20,
    event_bytes_max: 20,
    ref_bytes_max: 10,
};

const PARAMS_LIMITS: ParamsLimits = ParamsLimits {
    pairs_max: 6,
    depth_max: 3,
};

/// A server reads V1 text as any JSON reader would.
pub(crate) fn fuzz_phoenix_v1(data: &[u8]) {
    fuzz_text(Serializer::V1, data);
}

/// A server reads V2 text as any JSON reader would.
pub(crate) fn fuzz_phoenix_v2(data: &[u8]) {
    fuzz_text(Serializer::V2, data);
}

fn fuzz_text(serializer: Serializer, data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let message = decode_text(serializer, text, &LIMITS);
    if let Ok(message) = &message {
        assert!(message.topic.len() <= 20 && message.event.len() <= 20);
        assert!(
            refs(message)
                .into_iter()
                .flatten()
                .all(|reference| reference.plain().len() <= 10)
        );
        let payload = message.payload.as_json().expect("text carries JSON");
        assert!(
            data.as_ptr_range().contains(&payload.as_ptr()),
            "the payload is not copied"
        );

        let again = unframe(|out| encode_message(out, serializer, message, None).unwrap());
        let again = String::from_utf8(again).unwrap();
        assert_eq!(
            decode_text(serializer, &again, &LIMITS).as_ref(),
            Ok(message)
        );
    }
    // A tree is stricter in one thing, half a surrogate pair, and in depth; where it can be built
    // both must agree.
    if let Ok(tree) = serde_json::from_str::<Value>(text) {
        match (message, envelope(serializer, &tree)) {
            // How long a ref is that is no string, only its text can tell.
            (Err(DecodeError::TooLong(_)), Some([join_ref, reference, ..])) => {
                let is_string = |value: &Value| value.is_string() || value.is_null();
                assert!(!is_string(&join_ref) || !is_string(&reference), "{text}");
            }
            (message, fields) => {
                assert_eq!(
                    message.ok().map(|message| as_tree(&message)),
                    fields,
                    "{text}"
                );
            }
        }
    }
}

/// A server reads a binary push, and every byte of it means something.
pub(crate) fn fuzz_phoenix_binary(data: &[u8]) {
    let Ok(message) = decode_binary(Serializer::V2, data, &LIMITS) else {
        return;
    };
    assert!(
        refs(&message)
            .into_iter()
            .all(|reference| reference.is_some())
    );
    let again = unframe(|out| encode_message(out, Serializer::V2, &message, None).unwrap());
    assert_eq!(again, data);
    // Its names can be written as text as well, unless they are too long there.
    let payload = Payload::EMPTY;
    let as_text = Message { payload, ..message };
    let text = unframe(|out| encode_message(out, Serializer::V2, &as_text, None).unwrap());
    let text = String::from_utf8(text).unwrap();
    assert_eq!(decode_text(Serializer::V2, &text, &LIMITS), Ok(as_text));
}

/// A client reads text, and what it read can be written and read again.
pub(crate) fn fuzz_phoenix_received_text(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    for serializer in [Serializer::V1, Serializer::V2] {
        let Ok(received) = decode_received_text(serializer, text, &LIMITS) else {
            continue;
        };
        let again = unframe(|out| match &received {
            Received::Message(message) => encode_message(out, serializer, message, None).unwrap(),
            Received::Reply(reply) => write_reply(out, serializer, reply),
        });
        let again = String::from_utf8(again).unwrap();
        let expected = match received {
            // A V1 server never writes a join_ref.
            Received::Reply(reply) if serializer == Serializer::V1 => Received::Reply(Reply {
                join_ref: None,
                ..reply
            }),
            other => other,
        };
        assert_eq!(
            decode_received_text(serializer, &again, &LIMITS),
            Ok(expected)
        );
    }
}

/// A client reads binary messages, and every byte of them means something.
pub(crate) fn fuzz_phoenix_received_binary(data: &[u8]) {
    let Ok(received) = decode_received_binary(data, &LIMITS) else {
        return;
    };
    let again = unframe(|out| match &received {
        Received::Reply(reply) => write_reply(out, Serializer::V2, reply),
        Received::Message(Message {
            join_ref,
            topic,
            event,
            payload,
            ..
        }) => {
            let written = if data[0] == 2 {
                encode_broadcast(out, Serializer::V2, topic, event, payload)
            } else {
                encode_push(
                    out,
                    Serializer::V2,
                    join_ref.as_ref(),
                    topic,
                    event,
                    payload,
                )
            };
            written.unwrap();
        }
    });
    assert_eq!(again, data);
}

/// A query string gives parameters within the limits, and they can be written and read again.
pub(crate) fn fuzz_phoenix_params(data: &[u8]) {
    let query = String::from_utf8_lossy(data);
    let Ok(params) = Params::parse(&query, &PARAMS_LIMITS) else {
        return;
    };
    let mut pairs = Vec::new();
    for (name, param) in params.iter() {
        flatten(name.to_owned(), param, 0, &mut pairs);
    }
    assert!(pairs.len() <= PARAMS_LIMITS.pairs_max);
    let again = Query::new(String::new()).extend_pairs(pairs).finish();
    assert_eq!(Params::parse(&again, &PARAMS_LIMITS), Ok(params));
}

/// Who connects says it in five lines: version, path, subprotocols, origin and host. Each rule for
/// them follows from a simpler one.
pub(crate) fn fuzz_phoenix_connect(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let [vsn, path, protocols, origin, host] = std::array::from_fn(|_| lines.next().unwrap_or(""));

    if let Ok(serializer) = Serializer::from_vsn(Some(vsn)) {
        assert_eq!(Serializer::from_vsn(Some(serializer.vsn())), Ok(serializer));
        assert!(vsn.starts_with(&serializer.vsn()[..4]), "{vsn}");
    }
    assert!(is_websocket_path(path, &format!("{path}/websocket")));
    assert!(!is_websocket_path(path, path));
    check_protocols(protocols);
    check_origin(origin, &Origin::of_request("http", host));
}

fn check_protocols(header: &str) {
    let deaf = choose_protocol([header], false);
    assert_eq!(deaf, Ok(Protocols::default()));
    let offered = || header.split(',').map(str::trim);
    match choose_protocol([header], true) {
        Ok(Protocols { answer, auth_token }) => {
            assert_eq!(answer, Some("phoenix"));
            assert!(offered().any(|one| one == "phoenix"));
            assert!(auth_token.is_none_or(|token| token.len() < header.len()));
        }
        Err(error) => assert!(matches!(error.status(), 400 | 403)),
    }
    // Two headers are one list.
    assert_eq!(
        choose_protocol(offered(), true),
        choose_protocol([header], true)
    );
}

fn check_origin(header: &str, request: &Origin<'_>) {
    let allows = |check: OriginCheck| check.allows(Some(header), request);
    assert!(allows(OriginCheck::Off));
    assert!(!allows(OriginCheck::List(Vec::new())));
    let host = request.host.unwrap_or_default().to_owned();
    let of_host = OriginCheck::Host(host);
    assert!(of_host.allows(None, request));
    if allows(OriginCheck::Request) {
        assert!(allows(of_host), "{header:?} is {request:?}");
    }
    if let Ok(pattern) = OriginPattern::parse(header)
        && header.contains("//")
    {
        assert!(allows(OriginCheck::List(vec![pattern])), "{header:?}");
    }
}

fn flatten(name: String, param: &Param, depth: u8, pairs: &mut Vec<(String, String)>) {
    assert!(depth <= PARAMS_LIMITS.depth_max);
    match param {
        Param::Text(text) => pairs.push((name, text.clone())),
        Param::Map(params) => {
            for (key, param) in params.iter() {
                flatten(format!("{name}[{key}]"), param, depth + 1, pairs);
            }
        }
        Param::List(list) => {
            for param in list {
                flatten(format!("{name}[]"), param, depth + 1, pairs);
            }
        }
    }
}

fn refs<'a>(message: &'a Message<'_>) -> [Option<&'a Ref<'a>>; 2] {
    [message.join_ref.as_ref(), message.reference.as_ref()]
}

fn write_reply(out: &mut Vec<u8>, serializer: Serializer, reply: &Reply<'_>) {
    let Reply {
        join_ref,
        reference,
        topic,
        status,
        response,
    } = reply;
    let (join_ref, reference) = (join_ref.as_ref(), reference.as_ref());
    encode_reply(
        out, serializer, join_ref, reference, topic, status, response,
    )
    .unwrap();
}

/// A message as the tree that a JSON reader makes of its envelope.
fn as_tree(message: &Message<'_>) -> [Value; 5] {
    let tree = |text: &str| serde_json::from_str(text).unwrap();
    let text = |reference: Option<&Ref<'_>>| match reference {
        None => Value::Null,
        // A message without a topic to disturb, to see the ref as it is written.
        Some(reference) => {
            let bare = Message {
                join_ref: Some(reference.borrowed()),
                reference: None,
                topic: "".into(),
                event: "".into(),
                payload: Payload::EMPTY,
            };
            let written = unframe(|out| encode_message(out, Serializer::V2, &bare, None).unwrap());
            serde_json::from_slice::<Vec<Value>>(&written)
                .unwrap()
                .swap_remove(0)
        }
    };
    let [join_ref, reference] = refs(message).map(text);
    let payload = tree(message.payload.as_json().unwrap());
    [
        join_ref,
        reference,
        (*message.topic).into(),
        (*message.event).into(),
        payload,
    ]
}

/// The envelope as the tree says it, if it is one within the limits.
fn envelope(serializer: Serializer, tree: &Value) -> Option<[Value; 5]> {
    let fields: [Value; 5] = match serializer {
        Serializer::V2 => tree.as_array()?.get(..5)?.to_vec().try_into().ok()?,
        Serializer::V1 => {
            let object = tree.as_object()?;
            let join_ref = object.get("join_ref").cloned().unwrap_or_default();
            let mut fields = vec![join_ref];
            for key in ["ref", "topic", "event", "payload"] {
                fields.push(object.get(key)?.clone());
            }
            fields.try_into().ok()?
        }
    };
    let fits =
        |value: &Value, bytes_max| value.as_str().is_some_and(|text| text.len() <= bytes_max);
    let [join_ref, reference, topic, event, _] = &fields;
    let are_refs = [join_ref, reference]
        .into_iter()
        .all(|value| !value.is_string() || fits(value, 10));
    (are_refs && fits(topic, 20) && fits(event, 20)).then_some(fields)
}

/// The payload of the one frame that is written.
fn unframe(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let limits = ws::Limits {
        frame_bytes_max: 1 << 20,
        message_bytes_max: 1 << 20,
        fragments_max: 1,
    };
    let mut frame = Vec::new();
    write(&mut frame);
    let mut endpoint = Endpoint::new(Role::Client);
    let mut reader = endpoint.read(&limits, &mut frame);
    let payload = match reader.next_event().unwrap() {
        Some(Event::Text(text)) => text.as_bytes().to_vec(),
        Some(Event::Binary(bytes)) => bytes.to_vec(),
        other => panic!("not a message: {other:?}"),
    };
    assert!(reader.next_event().unwrap().is_none(), "one frame");
    payload
}
