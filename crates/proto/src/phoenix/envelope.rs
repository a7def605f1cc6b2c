//! The JSON around a message, with every field still the text it was.
//!
//! ```text
//! V2   [join_ref, ref, topic, event, payload, …]
//! V1   {"topic": T, "event": E, "payload": P, "ref": R, "join_ref": J}
//! ```
//!
//! Fields are scanned, not built, so neither a deep payload nor a wide one costs stack or heap
//! beyond the scanner's one byte for each open bracket.

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Serializer,
    error::{DecodeError, Field},
};

/// The five fields as JSON text; a ref that is not there is `null`.
pub(super) struct Envelope<'a> {
    pub(super) join_ref: &'a str,
    pub(super) reference: &'a str,
    pub(super) topic: &'a str,
    pub(super) event: &'a str,
    pub(super) payload: &'a RawValue,
}

/// Reads the fields of a text message.
pub(super) fn read(serializer: Serializer, text: &str) -> Result<Envelope<'_>, DecodeError> {
    match serializer {
        Serializer::V1 => read_object(text),
        Serializer::V2 => read_array(text),
    }
}

/// Reads the array of V2; elements after the fifth are allowed and ignored, as Phoenix does.
fn read_array(text: &str) -> Result<Envelope<'_>, DecodeError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let envelope = reader
        .deserialize_seq(ArrayVisitor)
        .map_err(|_| DecodeError::Envelope)?;
    reader.end().map_err(|_| DecodeError::Envelope)?;
    Ok(envelope)
}

/// Reads the object of V1. Unknown keys are ignored and of equal keys the last counts, as in
/// Elixir; `join_ref` may be absent.
fn read_object(text: &str) -> Result<Envelope<'_>, DecodeError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let fields = reader
        .deserialize_map(ObjectVisitor)
        .map_err(|_| DecodeError::Envelope)?;
    reader.end().map_err(|_| DecodeError::Envelope)?;
    let required = |field: Field, value: Option<_>| value.ok_or(DecodeError::Missing(field));
    Ok(Envelope {
        join_ref: fields.join_ref.map_or("null", RawValue::get),
        reference: required(Field::Ref, fields.reference)?.get(),
        topic: required(Field::Topic, fields.topic)?.get(),
        event: required(Field::Event, fields.event)?.get(),
        payload: required(Field::Payload, fields.payload)?,
    })
}

struct ArrayVisitor;

impl<'de> Visitor<'de> for ArrayVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an array of join_ref, ref, topic, event, payload")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut next = |position| {
            elements
                .next_element::<&'de RawValue>()?
                .ok_or_else(|| A::Error::invalid_length(position, &self))
        };
        let envelope = Envelope {
            join_ref: next(0)?.get(),
            reference: next(1)?.get(),
            topic: next(2)?.get(),
            event: next(3)?.get(),
            payload: next(4)?,
        };
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(envelope)
    }
}

/// What an object may lack.
#[derive(Default)]
struct Fields<'a> {
    join_ref: Option<&'a RawValue>,
    reference: Option<&'a RawValue>,
    topic: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
}

/// A key of the object; whatever else a client sends is ignored.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    JoinRef,
    Ref,
    Topic,
    Event,
    Payload,
    #[serde(other)]
    Unknown,
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object with topic, event, payload and ref")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = entries.next_key::<Key>()? {
            let field = match key {
                Key::JoinRef => &mut fields.join_ref,
                Key::Ref => &mut fields.reference,
                Key::Topic => &mut fields.topic,
                Key::Event => &mut fields.event,
                Key::Payload => &mut fields.payload,
                Key::Unknown => {
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = Some(entries.next_value()?);
        }
        Ok(fields)
    }
}
