//! A message to everyone in a topic, encoded at most once per serializer for the whole node.

use std::sync::{Arc, OnceLock};

use proto::{
    Frame,
    phoenix::{EncodeError, IntoPayload, Payload, Serializer, encode_broadcast},
};
use thiserror::Error;

/// A broadcast on its way through the shards.
#[derive(Debug)]
pub struct Broadcast {
    topic: Arc<str>,
    event: Box<str>,
    payload: Payload<'static>,
    v2: OnceLock<Frame>,
    v1: OnceLock<Frame>,
}

/// Why something cannot be broadcast.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The payload cannot be JSON.
    #[error("the payload cannot be written as JSON")]
    Payload(#[from] serde_json::Error),
    /// The names do not fit into a binary message.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl Broadcast {
    /// Prepares a broadcast to every member of a topic.
    ///
    /// # Errors
    ///
    /// [`BroadcastError`] when not even V2 can carry it.
    pub fn new<'a>(
        topic: &str,
        event: &str,
        payload: impl IntoPayload<'a>,
    ) -> Result<Arc<Self>, BroadcastError> {
        let payload = payload.into_payload()?;
        Ok(Arc::new(Self::with_topic(topic.into(), event, &payload)?))
    }

    pub(crate) fn with_topic(
        topic: Arc<str>,
        event: &str,
        payload: &Payload<'_>,
    ) -> Result<Self, EncodeError> {
        let v2 = encode(Serializer::V2, &topic, event, payload)?;
        Ok(Self {
            topic,
            event: event.into(),
            payload: payload.clone().into_owned(),
            v2: OnceLock::from(v2),
            v1: OnceLock::new(),
        })
    }

    /// Whose members it is for.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The event.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The payload.
    pub const fn payload(&self) -> &Payload<'static> {
        &self.payload
    }

    /// The bytes for one serializer; none when V1 would have to carry a binary payload.
    pub(crate) fn frame(&self, serializer: Serializer) -> Option<Frame> {
        let cell = match serializer {
            Serializer::V1 => &self.v1,
            Serializer::V2 => &self.v2,
        };
        if let Some(frame) = cell.get() {
            return Some(frame.clone());
        }
        // Two shards may come here at once. Then both encode, for neither may wait for the other.
        let frame = encode(serializer, &self.topic, &self.event, &self.payload).ok()?;
        let _ = cell.set(frame.clone());
        Some(frame)
    }
}

fn encode(
    serializer: Serializer,
    topic: &str,
    event: &str,
    payload: &Payload<'_>,
) -> Result<Frame, EncodeError> {
    let names = topic.len() + event.len();
    let mut bytes = Vec::with_capacity(payload.as_bytes().len() + names + ENVELOPE_BYTES);
    encode_broadcast(&mut bytes, serializer, topic, event, payload)?;
    Ok(bytes.into())
}

/// What the longest envelope and frame header add to names without escapes; only a guess at
/// capacity.
const ENVELOPE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frame_is_encoded_once() {
        let broadcast = Broadcast::new("room:a", "new_msg", json!({})).unwrap();
        for serializer in [Serializer::V1, Serializer::V2] {
            let first = broadcast.frame(serializer).unwrap();
            let second = broadcast.frame(serializer).unwrap();
            assert!(
                std::ptr::eq(first.as_bytes(), second.as_bytes()),
                "{serializer:?}"
            );
        }
    }

    #[test]
    fn v1_has_no_frame_for_bytes() {
        let broadcast = Broadcast::new("t", "e", Payload::binary(&b"abc"[..])).unwrap();
        assert_eq!(broadcast.frame(Serializer::V1), None);
        let frame = broadcast.frame(Serializer::V2).unwrap();
        assert_eq!(frame.as_bytes(), b"\x82\x08\x02\x01\x01teabc");
    }

    #[test]
    fn names_that_no_binary_message_can_carry_are_an_error() {
        let long = "x".repeat(256);
        let error = Broadcast::new("t", &long, Payload::binary(&b""[..])).unwrap_err();
        assert!(matches!(
            error,
            BroadcastError::Encode(EncodeError::TooLong(_))
        ));
        assert!(Broadcast::new("t", &long, json!({})).is_ok());
    }
}
