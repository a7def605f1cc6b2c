//! What a message carries: JSON text or bytes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Json;

/// The payload of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Any JSON value, as the text its sender wrote.
    Json(Json<'a>),
    /// Bytes; only the V2 serializer can carry them.
    Binary(Cow<'a, [u8]>),
}

/// Why a payload could not be read as a value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The payload is bytes, not JSON.
    #[error("the payload is binary")]
    Binary,
    /// The JSON has another shape.
    #[error(transparent)]
    Shape(#[from] serde_json::Error),
}

impl<'a> Payload<'a> {
    /// `{}`.
    pub const EMPTY: Payload<'static> = Payload::Json(Json::EMPTY_OBJECT);

    /// A payload of bytes.
    pub fn binary(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Binary(bytes.into())
    }

    /// Reads a JSON payload as a value of the caller's choice.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Binary`] for bytes, [`PayloadError::Shape`] when the JSON does not fit `T`.
    pub fn decode<'b, T: Deserialize<'b>>(&'b self) -> Result<T, PayloadError> {
        match self {
            Self::Json(json) => Ok(json.decode()?),
            Self::Binary(_) => Err(PayloadError::Binary),
        }
    }

    /// The JSON text, if it is JSON.
    pub fn as_json(&self) -> Option<&str> {
        match self {
            Self::Json(json) => Some(json.as_str()),
            Self::Binary(_) => None,
        }
    }

    /// The bytes, if it is binary.
    pub fn as_binary(&self) -> Option<&[u8]> {
        match self {
            Self::Json(_) => None,
            Self::Binary(bytes) => Some(bytes),
        }
    }

    /// The bytes that stand for the payload on the wire, of either kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Json(json) => json.as_str().as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The same payload, borrowed.
    pub fn borrowed(&self) -> Payload<'_> {
        match self {
            Self::Json(json) => Payload::Json(json.borrowed()),
            Self::Binary(bytes) => Payload::Binary(Cow::Borrowed(bytes)),
        }
    }

    /// The same payload in memory of its own.
    pub fn into_owned(self) -> Payload<'static> {
        match self {
            Self::Json(json) => Payload::Json(json.into_owned()),
            Self::Binary(bytes) => Payload::Binary(Cow::Owned(bytes.into_owned())),
        }
    }
}

/// What can be sent as a payload: anything that serializes to JSON, and a [`Payload`] as it is.
///
/// Bytes become a binary payload only by [`Payload::binary`]; a bare `Vec<u8>` is, as everywhere in
/// JSON, a list of numbers.
pub trait IntoPayload<'a> {
    /// Makes the payload.
    ///
    /// # Errors
    ///
    /// When the value cannot be JSON, such as a map whose keys are not strings.
    fn into_payload(self) -> Result<Payload<'a>, serde_json::Error>;
}

impl<'a> IntoPayload<'a> for Payload<'a> {
    fn into_payload(self) -> Result<Self, serde_json::Error> {
        Ok(self)
    }
}

impl<'a> IntoPayload<'a> for &'a Payload<'_> {
    fn into_payload(self) -> Result<Payload<'a>, serde_json::Error> {
        Ok(self.borrowed())
    }
}

impl<'a> IntoPayload<'a> for Json<'a> {
    fn into_payload(self) -> Result<Payload<'a>, serde_json::Error> {
        Ok(Payload::Json(self))
    }
}

impl<'a, T: Serialize> IntoPayload<'a> for T {
    fn into_payload(self) -> Result<Payload<'a>, serde_json::Error> {
        Json::of(&self).map(Payload::Json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_serializable_value_becomes_json() {
        let payload = json!({"body": "hi"}).into_payload().unwrap();
        assert_eq!(payload.as_json(), Some(r#"{"body":"hi"}"#));
        assert_eq!(
            payload.decode::<serde_json::Value>().unwrap(),
            json!({"body": "hi"})
        );
    }

    #[test]
    fn a_payload_is_passed_on_as_it_is() {
        let payload = Payload::Json(Json::parse("{ \"a\" : 1e0 }").unwrap());
        assert_eq!(
            (&payload).into_payload().unwrap().as_json(),
            Some("{ \"a\" : 1e0 }")
        );
        assert_eq!(
            payload.borrowed().into_owned().into_payload().unwrap(),
            payload
        );
    }

    #[test]
    fn bytes_are_no_json() {
        let payload = Payload::binary(&b"abc"[..]);
        assert!(matches!(payload.decode::<()>(), Err(PayloadError::Binary)));
        assert_eq!(
            (payload.as_json(), payload.as_binary()),
            (None, Some(&b"abc"[..]))
        );
    }

    #[test]
    fn a_value_that_is_no_json_is_an_error() {
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(map.into_payload().is_err());
    }
}
