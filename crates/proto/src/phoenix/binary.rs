//! The binary messages of V2. Every length is one byte; the payload is the rest of the frame.
//!
//! ```text
//! push to a server    00 │ len join_ref │ len ref │ len topic │ len event  │ the four names  │ data
//! push to a client    00 │ len join_ref │         │ len topic │ len event  │ the three names │ data
//! reply               01 │ len join_ref │ len ref │ len topic │ len status │ the four names  │ data
//! broadcast           02 │              │         │ len topic │ len event  │ the two names   │ data
//! ```
//!
//! A missing ref is written as an empty one. Read back, an empty ref is the string `""` for a
//! server (as in Phoenix) and no ref for a client (as phoenix.js treats it).
//!
//! Source: Phoenix `v2_json_serializer.ex`, `serializer.js`.

use std::borrow::Cow;

use super::{
    Limits, Message, Payload, Ref, Reply,
    error::{DecodeError, Field},
};

/// The first byte of a push.
pub(super) const PUSH: u8 = 0;
/// The first byte of a reply.
pub(super) const REPLY: u8 = 1;
/// The first byte of a broadcast.
pub(super) const BROADCAST: u8 = 2;

/// Reads what a client sends: a push.
pub(super) fn read_client_push<'a>(
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<Message<'a>, DecodeError> {
    let mut fields = match bytes.split_first() {
        Some((&PUSH, rest)) => Fields::<4>::read(rest)?,
        Some(_) => return Err(DecodeError::UnknownKind),
        None => return Err(DecodeError::Truncated),
    };
    Ok(Message {
        join_ref: Some(Ref::string(
            fields.next(Field::JoinRef, limits.ref_bytes_max)?,
        )),
        reference: Some(Ref::string(fields.next(Field::Ref, limits.ref_bytes_max)?)),
        topic: Cow::Borrowed(fields.next(Field::Topic, limits.topic_bytes_max)?),
        event: Cow::Borrowed(fields.next(Field::Event, limits.event_bytes_max)?),
        payload: fields.payload(),
    })
}

/// Reads a push that a server sent.
pub(super) fn read_server_push<'a>(
    rest: &'a [u8],
    limits: &Limits,
) -> Result<Message<'a>, DecodeError> {
    let mut fields = Fields::<3>::read(rest)?;
    Ok(Message {
        join_ref: reference(fields.next(Field::JoinRef, limits.ref_bytes_max)?),
        reference: None,
        topic: Cow::Borrowed(fields.next(Field::Topic, limits.topic_bytes_max)?),
        event: Cow::Borrowed(fields.next(Field::Event, limits.event_bytes_max)?),
        payload: fields.payload(),
    })
}

/// Reads a reply that a server sent.
pub(super) fn read_reply<'a>(rest: &'a [u8], limits: &Limits) -> Result<Reply<'a>, DecodeError> {
    let mut fields = Fields::<4>::read(rest)?;
    Ok(Reply {
        join_ref: reference(fields.next(Field::JoinRef, limits.ref_bytes_max)?),
        reference: reference(fields.next(Field::Ref, limits.ref_bytes_max)?),
        topic: Cow::Borrowed(fields.next(Field::Topic, limits.topic_bytes_max)?),
        status: Cow::Borrowed(fields.next(Field::Status, u8::MAX)?),
        response: fields.payload(),
    })
}

/// Reads a broadcast that a server sent.
pub(super) fn read_broadcast<'a>(
    rest: &'a [u8],
    limits: &Limits,
) -> Result<Message<'a>, DecodeError> {
    let mut fields = Fields::<2>::read(rest)?;
    Ok(Message {
        join_ref: None,
        reference: None,
        topic: Cow::Borrowed(fields.next(Field::Topic, limits.topic_bytes_max)?),
        event: Cow::Borrowed(fields.next(Field::Event, limits.event_bytes_max)?),
        payload: fields.payload(),
    })
}

/// `N` length bytes, then as many fields, then the payload.
struct Fields<'a, const N: usize> {
    lens: std::array::IntoIter<u8, N>,
    rest: &'a [u8],
}

impl<'a, const N: usize> Fields<'a, N> {
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (lens, rest) = bytes
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        Ok(Self {
            lens: (*lens).into_iter(),
            rest,
        })
    }

    /// The next field as text.
    fn next(&mut self, field: Field, bytes_max: u8) -> Result<&'a str, DecodeError> {
        let len = self.lens.next().ok_or(DecodeError::Missing(field))?;
        if len > bytes_max {
            return Err(DecodeError::TooLong(field));
        }
        let (bytes, rest) = self
            .rest
            .split_at_checked(usize::from(len))
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        str::from_utf8(bytes).map_err(|_| DecodeError::NotText(field))
    }

    fn payload(self) -> Payload<'a> {
        Payload::binary(self.rest)
    }
}

fn reference(text: &str) -> Option<Ref<'_>> {
    (!text.is_empty()).then(|| Ref::string(text))
}
