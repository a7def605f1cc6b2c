//! Messages become bytes: each function appends one whole WebSocket frame.
//!
//! A server's frames are not masked; a client's message takes the key of its mask. Payloads are
//! copied as they are, in either serializer.

use thiserror::Error;

use super::{
    Message, Payload, Ref, Serializer, binary,
    error::Field,
    json::escape,
    message::{CLOSE, ERROR, REPLY},
};
use crate::ws::{self, OpCode};

/// Why a message has no bytes. Nothing has been appended then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// V1 cannot carry a binary payload.
    #[error("the V1 serializer carries no binary payloads")]
    BinaryInV1,
    /// A binary message writes the length of each name in one byte.
    #[error("{0} is longer than the 255 bytes of a binary message")]
    TooLong(Field),
}

/// Appends a push from server to client: it belongs to one join and answers nothing.
///
/// # Errors
///
/// [`EncodeError`], only for binary payloads.
pub fn encode_push(
    out: &mut Vec<u8>,
    serializer: Serializer,
    join_ref: Option<&Ref<'_>>,
    topic: &str,
    event: &str,
    payload: &Payload<'_>,
) -> Result<(), EncodeError> {
    match payload {
        Payload::Json(json) => {
            let text = Text {
                join_ref,
                reference: None,
                topic,
                event,
                body: plain(json.as_str()),
            };
            text.encode(out, serializer, Sender::Server);
            Ok(())
        }
        Payload::Binary(data) => {
            needs_v2(serializer)?;
            let join_ref = join_ref.map(Ref::plain).unwrap_or_default();
            let fields = [
                (Field::JoinRef, &*join_ref),
                (Field::Topic, topic),
                (Field::Event, event),
            ];
            encode_fields(out, binary::PUSH, fields, data, Sender::Server)
        }
    }
}

/// Appends a reply to the message that the client named `reference`.
///
/// # Errors
///
/// [`EncodeError`], only for binary responses.
pub fn encode_reply(
    out: &mut Vec<u8>,
    serializer: Serializer,
    join_ref: Option<&Ref<'_>>,
    reference: Option<&Ref<'_>>,
    topic: &str,
    status: &str,
    response: &Payload<'_>,
) -> Result<(), EncodeError> {
    match response {
        Payload::Json(json) => {
            let status = escape(status);
            let body = [
                "{\"status\":\"",
                &status,
                "\",\"response\":",
                json.as_str(),
                "}",
            ];
            let text = Text {
                join_ref,
                reference,
                topic,
                event: REPLY,
                body,
            };
            text.encode(out, serializer, Sender::Server);
            Ok(())
        }
        Payload::Binary(data) => {
            needs_v2(serializer)?;
            let join_ref = join_ref.map(Ref::plain).unwrap_or_default();
            let reference = reference.map(Ref::plain).unwrap_or_default();
            let fields = [
                (Field::JoinRef, &*join_ref),
                (Field::Ref, &*reference),
                (Field::Topic, topic),
                (Field::Status, status),
            ];
            encode_fields(out, binary::REPLY, fields, data, Sender::Server)
        }
    }
}

/// Appends a broadcast: the same bytes for every member of the topic, so no refs.
///
/// # Errors
///
/// [`EncodeError`], only for binary payloads.
pub fn encode_broadcast(
    out: &mut Vec<u8>,
    serializer: Serializer,
    topic: &str,
    event: &str,
    payload: &Payload<'_>,
) -> Result<(), EncodeError> {
    match payload {
        Payload::Json(_) => encode_push(out, serializer, None, topic, event, payload),
        Payload::Binary(data) => {
            needs_v2(serializer)?;
            let fields = [(Field::Topic, topic), (Field::Event, event)];
            encode_fields(out, binary::BROADCAST, fields, data, Sender::Server)
        }
    }
}

/// How a channel ended, as its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is over: `phx_close`.
    Closed,
    /// It crashed: `phx_error`. Clients join again.
    Crashed,
}

/// Appends the last message of a channel; its ref and join_ref are both those of the join.
pub fn encode_end(
    out: &mut Vec<u8>,
    serializer: Serializer,
    join_ref: Option<&Ref<'_>>,
    topic: &str,
    end: End,
) {
    let (event, payload) = match end {
        End::Closed => (CLOSE, "{}"),
        End::Crashed => (ERROR, r#"{"reason":"channel_crash"}"#),
    };
    let text = Text {
        join_ref,
        reference: join_ref,
        topic,
        event,
        body: plain(payload),
    };
    text.encode(out, serializer, Sender::Server);
}

/// Appends a message from client to server.
///
/// # Errors
///
/// [`EncodeError`], only for binary payloads.
pub fn encode_message(
    out: &mut Vec<u8>,
    serializer: Serializer,
    message: &Message<'_>,
    mask: Option<[u8; 4]>,
) -> Result<(), EncodeError> {
    let join_ref = message.join_ref.as_ref();
    let reference = message.reference.as_ref();
    let (topic, event) = (&*message.topic, &*message.event);
    match &message.payload {
        Payload::Json(json) => {
            let text = Text {
                join_ref,
                reference,
                topic,
                event,
                body: plain(json.as_str()),
            };
            text.encode(out, serializer, Sender::Client { mask });
            Ok(())
        }
        Payload::Binary(data) => {
            needs_v2(serializer)?;
            let join_ref = join_ref.map(Ref::plain).unwrap_or_default();
            let reference = reference.map(Ref::plain).unwrap_or_default();
            let fields = [
                (Field::JoinRef, &*join_ref),
                (Field::Ref, &*reference),
                (Field::Topic, topic),
                (Field::Event, event),
            ];
            encode_fields(out, binary::PUSH, fields, data, Sender::Client { mask })
        }
    }
}

/// Who writes: a server never masks, and never writes `join_ref` in V1.
#[derive(Clone, Copy)]
enum Sender {
    Server,
    Client { mask: Option<[u8; 4]> },
}

/// A message about to be written as JSON.
struct Text<'a> {
    join_ref: Option<&'a Ref<'a>>,
    reference: Option<&'a Ref<'a>>,
    topic: &'a str,
    event: &'a str,
    /// The JSON text of the payload, in pieces.
    body: [&'a str; 5],
}

impl Text<'_> {
    #[rustfmt::skip] // so that each line reads as a piece of the message
    fn encode(&self, out: &mut Vec<u8>, serializer: Serializer, sender: Sender) {
        let (join_ref, reference) = (&ref_parts(self.join_ref), &ref_parts(self.reference));
        let (topic, event) = (&*escape(self.topic), &*escape(self.event));
        let body = &self.body;
        match (serializer, sender) {
            (Serializer::V2, _) => encode_frame(out, OpCode::Text, &[
                &["["], join_ref, &[","], reference,
                &[",\"", topic, "\",\"", event, "\","], body, &["]"],
            ], sender),
            (Serializer::V1, Sender::Server) => encode_frame(out, OpCode::Text, &[
                &["{\"topic\":\"", topic, "\",\"event\":\"", event, "\",\"payload\":"], body,
                &[",\"ref\":"], reference, &["}"],
            ], sender),
            (Serializer::V1, Sender::Client { .. }) => encode_frame(out, OpCode::Text, &[
                &["{\"topic\":\"", topic, "\",\"event\":\"", event, "\",\"payload\":"], body,
                &[",\"ref\":"], reference, &[",\"join_ref\":"], join_ref, &["}"],
            ], sender),
        }
    }
}

fn plain(payload: &str) -> [&str; 5] {
    [payload, "", "", "", ""]
}

fn ref_parts<'a>(reference: Option<&'a Ref<'_>>) -> [&'a str; 3] {
    reference.map_or(["null", "", ""], Ref::json_parts)
}

fn needs_v2(serializer: Serializer) -> Result<(), EncodeError> {
    match serializer {
        Serializer::V1 => Err(EncodeError::BinaryInV1),
        Serializer::V2 => Ok(()),
    }
}

/// Appends a binary message: kind, lengths, names, data.
fn encode_fields<const N: usize>(
    out: &mut Vec<u8>,
    kind: u8,
    fields: [(Field, &str); N],
    data: &[u8],
    sender: Sender,
) -> Result<(), EncodeError> {
    let mut lens = [0; N];
    for (len, (field, text)) in lens.iter_mut().zip(fields) {
        *len = u8::try_from(text.len()).map_err(|_| EncodeError::TooLong(field))?;
    }
    let names = fields.map(|(_, text)| text.as_bytes());
    let parts: [&[&[u8]]; 3] = [&[&[kind], &lens], &names, &[data]];
    encode_frame(out, OpCode::Binary, &parts, sender);
    Ok(())
}

/// Appends one frame whose payload is all the parts in a row.
fn encode_frame<P: AsRef<[u8]>>(out: &mut Vec<u8>, opcode: OpCode, parts: &[&[P]], sender: Sender) {
    let parts = parts.iter().copied().flatten().map(AsRef::as_ref);
    match sender {
        Sender::Client { mask: Some(key) } => {
            let payload = parts.collect::<Vec<_>>().concat();
            ws::encode(out, opcode, &payload, Some(key));
        }
        Sender::Server | Sender::Client { mask: None } => {
            let len = parts.clone().map(<[u8]>::len).sum();
            ws::encode_header(out, opcode, len, None);
            out.reserve(len);
            parts.for_each(|part| out.extend_from_slice(part));
        }
    }
}
