//! What a peer can do wrong in a message.

use std::fmt;

use thiserror::Error;

/// Why bytes are no message. Always the peer's fault; Phoenix closes the connection with 1011.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not JSON, or not the array (V2) or object (V1) that the serializer expects.
    #[error("not the envelope of this serializer")]
    Envelope,
    /// A binary frame of a kind that this side does not receive.
    #[error("unknown kind of binary message")]
    UnknownKind,
    /// A binary frame that ends before its header says so.
    #[error("binary message is cut short")]
    Truncated,
    /// A required field is not there.
    #[error("{0} is missing")]
    Missing(Field),
    /// A field is not text where text is needed.
    #[error("{0} is not text")]
    NotText(Field),
    /// A field is longer than [`Limits`](super::Limits) allow.
    #[error("{0} is too long")]
    TooLong(Field),
}

/// A named field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The join that the message belongs to.
    JoinRef,
    /// The client's name for the message.
    Ref,
    /// The topic.
    Topic,
    /// The event.
    Event,
    /// The payload.
    Payload,
    /// The status of a reply.
    Status,
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::JoinRef => "join_ref",
            Self::Ref => "ref",
            Self::Topic => "topic",
            Self::Event => "event",
            Self::Payload => "payload",
            Self::Status => "status",
        })
    }
}
