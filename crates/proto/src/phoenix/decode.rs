//! Bytes become messages: what a server reads from clients.
//!
//! The envelope is read, the payload is only scanned: it stays the bytes that the client wrote.

use std::borrow::Cow;

use super::{
    Json, Limits, Message, Payload, Ref, Serializer, binary,
    envelope::{self, Envelope},
    error::{DecodeError, Field},
    json::{string_inside, unescape},
};

/// Reads a text frame from a client.
///
/// # Errors
///
/// [`DecodeError`]; the connection cannot go on.
///
/// Source: Phoenix `v1_json_serializer.ex` and `v2_json_serializer.ex`, `decode!`.
pub fn decode_text<'a>(
    serializer: Serializer,
    text: &'a str,
    limits: &Limits,
) -> Result<Message<'a>, DecodeError> {
    envelope::read(serializer, text)?.into_message(limits)
}

/// Reads a binary frame from a client. V1 knows no binary messages and reads the bytes as text.
///
/// # Errors
///
/// [`DecodeError`]; the connection cannot go on.
///
/// Source: Phoenix `v2_json_serializer.ex`, `decode_binary`.
pub fn decode_binary<'a>(
    serializer: Serializer,
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<Message<'a>, DecodeError> {
    match serializer {
        Serializer::V1 => {
            let text = str::from_utf8(bytes).map_err(|_| DecodeError::Envelope)?;
            decode_text(serializer, text, limits)
        }
        Serializer::V2 => binary::read_client_push(bytes, limits),
    }
}

impl<'a> Envelope<'a> {
    /// Gives the raw fields their meaning, within the limits.
    pub(super) fn into_message(self, limits: &Limits) -> Result<Message<'a>, DecodeError> {
        Ok(Message {
            join_ref: reference(self.join_ref, Field::JoinRef, limits)?,
            reference: reference(self.reference, Field::Ref, limits)?,
            topic: name(self.topic, Field::Topic, limits.topic_bytes_max)?,
            event: name(self.event, Field::Event, limits.event_bytes_max)?,
            payload: Payload::Json(Json::from_raw(self.payload)),
        })
    }
}

fn reference<'a>(
    text: &'a str,
    field: Field,
    limits: &Limits,
) -> Result<Option<Ref<'a>>, DecodeError> {
    let Some(reference) = Ref::from_json(text) else {
        return Ok(None);
    };
    // The written form is never shorter than the plain one, so most refs pass by their length.
    let bytes_max = usize::from(limits.ref_bytes_max);
    if reference.text().len() > bytes_max && reference.plain().len() > bytes_max {
        return Err(DecodeError::TooLong(field));
    }
    Ok(Some(reference))
}

fn name(text: &str, field: Field, bytes_max: u8) -> Result<Cow<'_, str>, DecodeError> {
    let name = string_inside(text)
        .and_then(unescape)
        .ok_or(DecodeError::NotText(field))?;
    if name.len() > usize::from(bytes_max) {
        return Err(DecodeError::TooLong(field));
    }
    Ok(name)
}
