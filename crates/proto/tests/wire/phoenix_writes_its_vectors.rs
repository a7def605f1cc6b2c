//! The official vectors and the examples of the protocol's documentation, byte for byte, both ways.
//!
//! Source: Phoenix `test/phoenix/socket/v2_json_serializer_test.exs` and `v1_json_serializer_test.exs`.

use fourtuple_proto::phoenix::{
    DecodeError, EncodeError, End, Field, Json, Limits, Message, Payload, Received, Ref, Reply,
    Serializer::{self, V1, V2},
    decode_binary, decode_received_binary, decode_received_text, decode_text, encode_broadcast,
    encode_end, encode_message, encode_push, encode_reply,
};

const LIMITS: Limits = Limits {
    topic_bytes_max: 255,
    event_bytes_max: 255,
    ref_bytes_max: 255,
};

fn json(text: &str) -> Payload<'_> {
    Payload::Json(Json::parse(text).unwrap())
}

fn message<'a>(
    join_ref: Option<&'a str>,
    reference: Option<&'a str>,
    topic: &'a str,
    event: &'a str,
    payload: Payload<'a>,
) -> Message<'a> {
    Message {
        join_ref: join_ref.map(Ref::string),
        reference: reference.map(Ref::string),
        topic: topic.into(),
        event: event.into(),
        payload,
    }
}

/// What a short frame carries, after its two bytes of header.
fn frame<E>(opcode: u8, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Vec<u8>, E> {
    let mut out = Vec::new();
    write(&mut out)?;
    assert_eq!(out[0], 0x80 | opcode);
    assert_eq!(usize::from(out[1]), out.len() - 2);
    Ok(out.split_off(2))
}

fn text<E: std::fmt::Debug>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> String {
    String::from_utf8(frame(1, write).unwrap()).unwrap()
}

#[test]
fn a_binary_push_from_a_client() {
    let bytes = b"\x00\x02\x03\x05\x0512123topicevent\x65\x66\x67";
    let push = message(
        Some("12"),
        Some("123"),
        "topic",
        "event",
        Payload::binary(&[101, 102, 103][..]),
    );
    assert_eq!(decode_binary(V2, bytes, &LIMITS).as_ref(), Ok(&push));
    assert_eq!(
        frame(2, |out| encode_message(out, V2, &push, None)).unwrap(),
        bytes
    );
}

#[test]
fn a_binary_push_from_a_server() {
    let bytes = b"\x00\x02\x05\x0512topicevent\x65\x66\x67";
    let payload = Payload::binary(&[101, 102, 103][..]);
    let join_ref = Ref::string("12");
    let written = frame(2, |out| {
        encode_push(out, V2, Some(&join_ref), "topic", "event", &payload)
    });
    assert_eq!(written.unwrap(), bytes);
    let push = message(Some("12"), None, "topic", "event", payload);
    assert_eq!(
        decode_received_binary(bytes, &LIMITS),
        Ok(Received::Message(push))
    );
}

#[test]
fn a_binary_reply() {
    let bytes = b"\x01\x02\x03\x05\x0212123topicok\x65\x66\x67";
    let reply = Reply {
        join_ref: Some(Ref::string("12")),
        reference: Some(Ref::string("123")),
        topic: "topic".into(),
        status: "ok".into(),
        response: Payload::binary(&[101, 102, 103][..]),
    };
    let Reply {
        join_ref,
        reference,
        response,
        ..
    } = &reply;
    let written = frame(2, |out| {
        encode_reply(
            out,
            V2,
            join_ref.as_ref(),
            reference.as_ref(),
            "topic",
            "ok",
            response,
        )
    });
    assert_eq!(written.unwrap(), bytes);
    assert_eq!(
        decode_received_binary(bytes, &LIMITS),
        Ok(Received::Reply(reply))
    );
}

#[test]
fn a_binary_broadcast() {
    let bytes = b"\x02\x05\x05topicevent\x65\x66\x67";
    let payload = Payload::binary(&[101, 102, 103][..]);
    let written = frame(2, |out| {
        encode_broadcast(out, V2, "topic", "event", &payload)
    });
    assert_eq!(written.unwrap(), bytes);
    let broadcast = message(None, None, "topic", "event", payload);
    assert_eq!(
        decode_received_binary(bytes, &LIMITS),
        Ok(Received::Message(broadcast))
    );
}

#[test]
fn a_client_sends_v2_text() {
    for (expected, message) in [
        (
            r#"["1","1","room:a","phx_join",{"k":"v"}]"#,
            message(
                Some("1"),
                Some("1"),
                "room:a",
                "phx_join",
                json(r#"{"k":"v"}"#),
            ),
        ),
        (
            r#"["1","2","room:a","new_msg",{"body":"hi"}]"#,
            message(
                Some("1"),
                Some("2"),
                "room:a",
                "new_msg",
                json(r#"{"body":"hi"}"#),
            ),
        ),
        (
            r#"[null,"3","phoenix","heartbeat",{}]"#,
            message(None, Some("3"), "phoenix", "heartbeat", Payload::EMPTY),
        ),
        (
            r#"["1","4","room:a","phx_leave",{}]"#,
            message(Some("1"), Some("4"), "room:a", "phx_leave", Payload::EMPTY),
        ),
    ] {
        assert_eq!(
            text(|out| encode_message(out, V2, &message, None)),
            expected
        );
        assert_eq!(decode_text(V2, expected, &LIMITS), Ok(message));
    }
}

#[test]
fn a_server_sends_v2_text() {
    let one = Ref::string("1");
    let one = Some(&one);
    let push = text(|out| encode_push(out, V2, one, "room:a", "joined", &Payload::EMPTY));
    assert_eq!(push, r#"["1",null,"room:a","joined",{}]"#);
    let payload = json(r#"{"body":"hi"}"#);
    let broadcast = text(|out| encode_broadcast(out, V2, "room:a", "new_msg", &payload));
    assert_eq!(broadcast, r#"[null,null,"room:a","new_msg",{"body":"hi"}]"#);
    let response = json(r#"{"reason":"unauthorized"}"#);
    let reply = text(|out| encode_reply(out, V2, one, one, "room:a", "error", &response));
    assert_eq!(
        reply,
        r#"["1","1","room:a","phx_reply",{"status":"error","response":{"reason":"unauthorized"}}]"#
    );
    let received = decode_received_text(V2, &reply, &LIMITS).unwrap();
    let Received::Reply(reply) = received else {
        panic!("a reply is read as one")
    };
    assert_eq!((&*reply.status, reply.response), ("error", response));
    let end = |end| {
        text(|out| {
            encode_end(out, V2, one, "room:a", end);
            Ok::<_, EncodeError>(())
        })
    };
    assert_eq!(end(End::Closed), r#"["1","1","room:a","phx_close",{}]"#);
    assert_eq!(
        end(End::Crashed),
        r#"["1","1","room:a","phx_error",{"reason":"channel_crash"}]"#
    );
}

#[test]
fn v1_text_both_ways() {
    let push = message(Some("1"), Some("2"), "t", "e", json("[1]"));
    let written = text(|out| encode_message(out, V1, &push, None));
    assert_eq!(
        written,
        r#"{"topic":"t","event":"e","payload":[1],"ref":"2","join_ref":"1"}"#
    );
    assert_eq!(decode_text(V1, &written, &LIMITS), Ok(push));

    let one = Ref::string("1");
    let written = text(|out| encode_push(out, V1, Some(&one), "t", "e", &json("\"m\"")));
    assert_eq!(
        written,
        r#"{"topic":"t","event":"e","payload":"m","ref":null}"#
    );
    let written = text(|out| encode_reply(out, V1, Some(&one), Some(&one), "t", "ok", &json("1")));
    assert_eq!(
        written,
        r#"{"topic":"t","event":"phx_reply","payload":{"status":"ok","response":1},"ref":"1"}"#
    );
}

#[test]
fn v1_reads_text_from_binary_frames_and_writes_no_bytes() {
    let bytes = br#"{"topic":"t","event":"e","payload":null,"ref":null}"#;
    assert_eq!(
        decode_binary(V1, bytes, &LIMITS),
        Ok(message(None, None, "t", "e", json("null")))
    );
    let payload = Payload::binary(&b"x"[..]);
    let mut out = Vec::new();
    let refused = Err(EncodeError::BinaryInV1);
    assert_eq!(encode_push(&mut out, V1, None, "t", "e", &payload), refused);
    assert_eq!(
        encode_reply(&mut out, V1, None, None, "t", "ok", &payload),
        refused
    );
    assert_eq!(encode_broadcast(&mut out, V1, "t", "e", &payload), refused);
    let message = message(None, None, "t", "e", payload);
    assert_eq!(encode_message(&mut out, V1, &message, None), refused);
    assert!(
        out.is_empty(),
        "nothing is written when it cannot be written whole"
    );
}

#[test]
fn names_of_255_bytes_fit_and_of_256_do_not() {
    let (fits, too_long) = ("x".repeat(255), "x".repeat(256));
    let payload = Payload::binary(&b""[..]);
    let mut out = Vec::new();
    encode_broadcast(&mut out, V2, &fits, &fits, &payload).unwrap();
    for (topic, event, field) in [
        (&too_long, &fits, Field::Topic),
        (&fits, &too_long, Field::Event),
    ] {
        let refused = encode_broadcast(&mut out, V2, topic, event, &payload);
        assert_eq!(refused, Err(EncodeError::TooLong(field)));
    }
    let refused = encode_reply(&mut out, V2, None, None, "t", &too_long, &payload);
    assert_eq!(refused, Err(EncodeError::TooLong(Field::Status)));

    for (topic, event, reference, expected) in [
        (&fits, &fits, &fits, None),
        (&too_long, &fits, &fits, Some(Field::Topic)),
        (&fits, &too_long, &fits, Some(Field::Event)),
        (&fits, &fits, &too_long, Some(Field::Ref)),
    ] {
        let text = format!(r#"[null,"{reference}","{topic}","{event}",{{}}]"#);
        let refused = decode_text(V2, &text, &LIMITS).err();
        assert_eq!(refused, expected.map(DecodeError::TooLong));
    }
    // A ref is as long as what it says, not as its escapes are.
    let escaped = "\\u0041".repeat(255);
    let text = format!(r#"["{escaped}","{escaped}A","t","e",{{}}]"#);
    assert_eq!(
        decode_text(V2, &text, &LIMITS),
        Err(DecodeError::TooLong(Field::Ref))
    );
}

#[test]
fn what_is_no_message_says_why() {
    let read = |serializer: Serializer, text| decode_text(serializer, text, &LIMITS).unwrap_err();
    for text in [
        "",
        "null",
        "[]",
        r#"["1","1","t","e"]"#,
        "[1,2,3,4,5",
        r#"["1","1","t","e",{}]]"#,
    ] {
        assert_eq!(read(V2, text), DecodeError::Envelope, "{text}");
    }
    assert_eq!(
        read(V2, r#"["1","1",7,"e",{}]"#),
        DecodeError::NotText(Field::Topic)
    );
    assert_eq!(
        read(V2, r#"["1","1","t",null,{}]"#),
        DecodeError::NotText(Field::Event)
    );
    assert_eq!(
        read(V2, r#"["1","1","\ud800","e",{}]"#),
        DecodeError::NotText(Field::Topic)
    );
    assert_eq!(read(V1, "[]"), DecodeError::Envelope);
    for (text, field) in [
        (r#"{"event":"e","payload":{},"ref":null}"#, Field::Topic),
        (r#"{"topic":"t","payload":{},"ref":null}"#, Field::Event),
        (r#"{"topic":"t","event":"e","ref":null}"#, Field::Payload),
        (r#"{"topic":"t","event":"e","payload":{}}"#, Field::Ref),
    ] {
        assert_eq!(read(V1, text), DecodeError::Missing(field));
    }
    let read = |bytes| decode_binary(V2, bytes, &LIMITS).unwrap_err();
    assert_eq!(read(b""), DecodeError::Truncated);
    assert_eq!(read(b"\x00\x01\x01\x01"), DecodeError::Truncated);
    assert_eq!(read(b"\x00\x01\x01\x01\x01jrt"), DecodeError::Truncated);
    assert_eq!(read(b"\x01\x01\x01\x01\x01jrte"), DecodeError::UnknownKind);
    assert_eq!(
        read(b"\x00\x01\x01\x01\x01jr\xffe"),
        DecodeError::NotText(Field::Topic)
    );
}

#[test]
fn of_equal_keys_the_last_counts_and_unknown_ones_do_not() {
    let text =
        r#"{"topic":"a","event":"e","payload":{"a":1},"ref":"1","x":[{}],"topic":"b","payload":2}"#;
    assert_eq!(
        decode_text(V1, text, &LIMITS),
        Ok(message(None, Some("1"), "b", "e", json("2")))
    );
}

#[test]
fn a_deep_payload_costs_no_stack() {
    let depth = 1_000_000;
    let payload = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let v2 = format!(r#"["1","1","t","e",{payload},{payload}]"#);
    let read = decode_text(V2, &v2, &LIMITS).unwrap();
    assert_eq!(read.payload.as_json(), Some(&*payload));
    let v1 = format!(r#"{{"x":{payload},"topic":"t","event":"e","payload":{payload},"ref":null}}"#);
    assert!(decode_text(V1, &v1, &LIMITS).is_ok());
}
