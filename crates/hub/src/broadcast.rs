//! A message to everyone in a topic, normally encoded once per serializer for the whole node.
//!
//! The V2 frame is made at once, and the only copy of the payload is the one inside it:
//!
//! ```text
//! JSON:  header [null,null,"topic","event", payload ]      the frame ends one byte after it
//! bytes: header 2 lengths topic event payload              the frame ends with it
//! ```

use std::sync::{Arc, OnceLock};

use proto::{
    Frame,
    phoenix::{EncodeError, IntoPayload, Json, Payload, Serializer, encode_broadcast},
};
use thiserror::Error;

/// A broadcast on its way through the shards.
#[derive(Debug)]
pub struct Broadcast {
    topic: Arc<str>,
    event: Box<str>,
    v2: Frame,
    /// Made when the first member who speaks V1 is found.
    v1: OnceLock<Frame>,
    /// Invariant: what `v2` was made around.
    payload: Within,
}

/// Where in its V2 frame a payload is.
#[derive(Clone, Copy, Debug)]
enum Within {
    Json { len: usize },
    Bytes { len: usize },
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
            v2,
            v1: OnceLock::new(),
            payload: Within::of(payload),
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

    /// The payload, borrowed from its frame. JSON is scanned again each time.
    pub fn payload(&self) -> Payload<'_> {
        self.payload.of_frame(&self.v2)
    }

    /// The bytes for one serializer; none when V1 would have to carry a binary payload.
    pub(crate) fn frame(&self, serializer: Serializer) -> Option<Frame> {
        if serializer == Serializer::V2 {
            return Some(self.v2.clone());
        }
        if self.v1.get().is_none() {
            // Two shards may come here at once. Then both encode, for neither may wait for the
            // other, and both send the frame that was there first.
            let frame = encode(serializer, &self.topic, &self.event, &self.payload()).ok()?;
            let _ = self.v1.set(frame);
        }
        self.v1.get().cloned()
    }
}

impl Within {
    fn of(payload: &Payload<'_>) -> Self {
        let len = payload.as_bytes().len();
        match payload {
            Payload::Json(_) => Self::Json { len },
            Payload::Binary(_) => Self::Bytes { len },
        }
    }

    fn of_frame(self, v2: &Frame) -> Payload<'_> {
        let bytes = v2.as_bytes();
        match self {
            Self::Json { len } => {
                let end = bytes.len() - CLOSING_BRACKET_BYTES;
                let text = str::from_utf8(&bytes[end - len..end]).ok();
                let json = text.and_then(|text| Json::parse(text).ok());
                Payload::Json(json.expect("the frame was made around one JSON value"))
            }
            Self::Bytes { len } => Payload::binary(&bytes[bytes.len() - len..]),
        }
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

/// What follows a JSON payload in V2.
const CLOSING_BRACKET_BYTES: usize = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
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

    proptest! {
        #[test]
        fn the_payload_is_found_again_in_its_frame(
            text in ".{0,300}",
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            event in ".{0,20}",
        ) {
            let json = Payload::Json(Json::of(&text).unwrap());
            for payload in [json, Payload::binary(bytes)] {
                let broadcast = Broadcast::new("room:a", &event, &payload).unwrap();
                prop_assert_eq!(broadcast.payload(), payload);
            }
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
