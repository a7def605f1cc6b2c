//! What a client reads from a server.
//!
//! A server's messages have the shape of a client's, except replies, whose payload says whether
//! the request was granted, and the binary messages, which have layouts of their own.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    DecodeError, Json, Limits, Message, Payload, Ref, Serializer, binary, envelope, message::REPLY,
};

/// A message from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// The answer to a message of the client.
    Reply(Reply<'a>),
    /// A push, a broadcast or the end of a channel.
    Message(Message<'a>),
}

/// The answer to the message that the client named `reference`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The join that it belongs to, when the server says so.
    pub join_ref: Option<Ref<'a>>,
    /// The message that it answers.
    pub reference: Option<Ref<'a>>,
    /// The topic of that message.
    pub topic: Cow<'a, str>,
    /// `ok`, `error`, or a word of the application.
    pub status: Cow<'a, str>,
    /// What comes with it.
    pub response: Payload<'a>,
}

/// Reads a text frame from a server.
///
/// # Errors
///
/// [`DecodeError`]: the server does not speak this serializer.
pub fn decode_received_text<'a>(
    serializer: Serializer,
    text: &'a str,
    limits: &Limits,
) -> Result<Received<'a>, DecodeError> {
    let envelope = envelope::read(serializer, text)?;
    let payload = envelope.payload;
    let message = envelope.into_message(limits)?;
    if message.event != REPLY {
        return Ok(Received::Message(message));
    }
    let body: ReplyBody<'a> =
        serde_json::from_str(payload.get()).map_err(|_| DecodeError::Envelope)?;
    Ok(Received::Reply(Reply {
        join_ref: message.join_ref,
        reference: message.reference,
        topic: message.topic,
        status: body.status,
        response: Payload::Json(Json::from_raw(body.response)),
    }))
}

/// Reads a binary frame from a server; only V2 has them.
///
/// # Errors
///
/// [`DecodeError`]: the server does not speak this serializer.
pub fn decode_received_binary<'a>(
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<Received<'a>, DecodeError> {
    match bytes.split_first() {
        Some((&binary::PUSH, rest)) => {
            binary::read_server_push(rest, limits).map(Received::Message)
        }
        Some((&binary::REPLY, rest)) => binary::read_reply(rest, limits).map(Received::Reply),
        Some((&binary::BROADCAST, rest)) => {
            binary::read_broadcast(rest, limits).map(Received::Message)
        }
        Some(_) => Err(DecodeError::UnknownKind),
        None => Err(DecodeError::Truncated),
    }
}

/// The payload of a `phx_reply`.
#[derive(Deserialize)]
struct ReplyBody<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    response: &'a RawValue,
}
