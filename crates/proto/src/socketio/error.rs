//! What a peer can do wrong in a packet.

use thiserror::Error;

/// Why a text is no packet. Always the peer's fault; a client ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A message without a type.
    #[error("an empty packet")]
    Empty,
    /// The first character is no type of Engine.IO.
    #[error("unknown type of Engine.IO packet")]
    UnknownEngineType,
    /// The open packet has no `sid`, `pingInterval` or `pingTimeout`.
    #[error("not the handshake of Engine.IO 4")]
    Handshake,
    /// The first character is no type of Socket.IO.
    #[error("unknown type of Socket.IO packet")]
    UnknownType,
    /// A binary packet says no number of attachments, or more than [`Limits`](super::Limits) allow.
    #[error("number of attachments missing or too large")]
    Attachments,
    /// The namespace is longer than [`Limits`](super::Limits) allow.
    #[error("namespace is too long")]
    NamespaceTooLong,
    /// The number of an acknowledgement is missing, or too large for a number of JavaScript.
    #[error("number of the acknowledgement missing or too large")]
    Id,
    /// The payload is not JSON of the shape that this type of packet has.
    #[error("payload of another shape than the packet's type has")]
    Payload,
}
