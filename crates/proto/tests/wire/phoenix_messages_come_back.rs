//! What one side writes the other side reads, whatever is in it: any text, any JSON, any bytes.

use fourtuple_proto::{
    phoenix::{
        Json, Limits, Message, Payload, Received, Ref, Reply, Serializer, decode_binary,
        decode_received_binary, decode_received_text, decode_text, encode_broadcast,
        encode_message, encode_push, encode_reply,
    },
    ws::{self, Endpoint, Event, Role},
};
use proptest::prelude::*;
use serde_json::Value;

/// What arrives when a frame is read by the other side; whether it is masked is checked there too.
enum Arrived {
    Text(String),
    Binary(Vec<u8>),
}

fn transfer(reader: Role, mut frame: Vec<u8>) -> Arrived {
    let limits = ws::Limits {
        frame_bytes_max: 1 << 20,
        message_bytes_max: 1 << 20,
        fragments_max: 1,
    };
    let mut endpoint = Endpoint::new(reader);
    let mut events = endpoint.read(&limits, &mut frame);
    let arrived = match events.next_event().unwrap() {
        Some(Event::Text(text)) => Arrived::Text(text.to_owned()),
        Some(Event::Binary(bytes)) => Arrived::Binary(bytes.to_vec()),
        other => panic!("not a message: {other:?}"),
    };
    assert!(events.next_event().unwrap().is_none(), "one frame");
    arrived
}

fn by_client(arrived: &Arrived, serializer: Serializer) -> Received<'_> {
    match arrived {
        Arrived::Text(text) => decode_received_text(serializer, text, &Limits::default()).unwrap(),
        Arrived::Binary(bytes) => decode_received_binary(bytes, &Limits::default()).unwrap(),
    }
}

fn serializers() -> impl Strategy<Value = Serializer> {
    prop_oneof![Just(Serializer::V1), Just(Serializer::V2)]
}

/// A payload that the serializer can carry.
fn payload(serializer: Serializer) -> BoxedStrategy<Payload<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    let tree = leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let json = tree.prop_map(|tree| Payload::Json(Json::of(&tree).unwrap()));
    let bytes = prop::collection::vec(any::<u8>(), 0..400).prop_map(Payload::binary);
    match serializer {
        Serializer::V1 => json.boxed(),
        Serializer::V2 => prop_oneof![json, bytes].boxed(),
    }
}

/// Names as long as they may be, with every kind of character.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z:]{0,20}",
        ".{0,60}",
        Just("\u{1f600}\"\\\u{0}".repeat(20))
    ]
}

fn reference() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        "[0-9]{1,12}".prop_map(Some),
        ".{1,60}".prop_map(Some)
    ]
}

type Case = (
    Serializer,
    Option<String>,
    Option<String>,
    String,
    String,
    Payload<'static>,
);

fn case() -> impl Strategy<Value = Case> {
    serializers().prop_flat_map(|serializer| {
        (
            Just(serializer),
            reference(),
            reference(),
            name(),
            name(),
            payload(serializer),
        )
    })
}

proptest! {
    #[test]
    fn from_a_client((serializer, join_ref, reference, topic, event, payload) in case(), mask: [u8; 4]) {
        let message = Message {
            join_ref: join_ref.as_deref().map(Ref::string),
            reference: reference.as_deref().map(Ref::string),
            topic: topic.into(),
            event: event.into(),
            payload,
        };
        let mut frame = Vec::new();
        encode_message(&mut frame, serializer, &message, Some(mask)).unwrap();
        let arrived = transfer(Role::Server, frame);
        let read = match &arrived {
            Arrived::Text(text) => decode_text(serializer, text, &Limits::default()),
            Arrived::Binary(bytes) => decode_binary(serializer, bytes, &Limits::default()),
        };
        // A server reads no ref in bytes as the empty string, as Phoenix does.
        let none = || matches!(arrived, Arrived::Binary(_)).then(|| Ref::string(""));
        let expected = Message {
            join_ref: message.join_ref.clone().or_else(none),
            reference: message.reference.clone().or_else(none),
            ..message
        };
        prop_assert_eq!(read, Ok(expected));
    }

    #[test]
    fn from_a_server((serializer, join_ref, reference, topic, event, payload) in case()) {
        prop_assume!(event != "phx_reply");
        let [join_ref, reference] = [&join_ref, &reference].map(|text| text.as_deref().map(Ref::string));
        // V1 never carries the join_ref.
        let seen_join_ref = join_ref.clone().filter(|_| serializer == Serializer::V2);

        let mut frame = Vec::new();
        encode_push(&mut frame, serializer, join_ref.as_ref(), &topic, &event, &payload).unwrap();
        let push = Message {
            join_ref: seen_join_ref.clone(),
            reference: None,
            topic: (&*topic).into(),
            event: (&*event).into(),
            payload: payload.borrowed(),
        };
        let arrived = transfer(Role::Client, frame);
        prop_assert_eq!(by_client(&arrived, serializer), Received::Message(push.clone()));

        let mut frame = Vec::new();
        encode_broadcast(&mut frame, serializer, &topic, &event, &payload).unwrap();
        let arrived = transfer(Role::Client, frame);
        let broadcast = Message { join_ref: None, ..push };
        prop_assert_eq!(by_client(&arrived, serializer), Received::Message(broadcast));

        let status = &*event;
        let mut frame = Vec::new();
        encode_reply(&mut frame, serializer, join_ref.as_ref(), reference.as_ref(), &topic, status, &payload)
            .unwrap();
        let arrived = transfer(Role::Client, frame);
        let reply = Reply {
            join_ref: seen_join_ref,
            reference,
            topic: (&*topic).into(),
            status: status.into(),
            response: payload.borrowed(),
        };
        prop_assert_eq!(by_client(&arrived, serializer), Received::Reply(reply));
    }
}
