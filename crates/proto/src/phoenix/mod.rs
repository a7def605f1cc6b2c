//! Phoenix Channels: the messages of V1 and V2, JSON and binary.
//!
//! - [`Serializer`]: which format a connection speaks, chosen by `vsn`.
//! - [`Message`], [`Ref`], [`Payload`], [`Json`]: what is said.
//! - [`decode_text`], [`decode_binary`]: a server reads its clients.
//! - [`encode_push`], [`encode_reply`], [`encode_broadcast`], [`encode_end`]: a server writes.
//! - [`encode_message`], [`decode_received_text`], [`decode_received_binary`]: the client's side.
//!
//! Source: Phoenix `lib/phoenix/socket/serializers/`, `assets/js/phoenix/serializer.js`.

mod binary;
mod client;
pub mod connect;
mod decode;
mod encode;
mod envelope;
mod error;
mod json;
mod message;
mod payload;
mod serializer;

pub use client::{Received, Reply, decode_received_binary, decode_received_text};
pub use decode::{decode_binary, decode_text};
pub use encode::{
    EncodeError, End, encode_broadcast, encode_end, encode_message, encode_push, encode_reply,
};
pub use error::{DecodeError, Field};
pub use json::Json;
pub use message::{
    CLOSE, ERROR, HEARTBEAT, HEARTBEAT_TOPIC, JOIN, LEAVE, Limits, Message, REPLY, Ref, RefShape,
    is_reserved_event,
};
pub use payload::{IntoPayload, Payload, PayloadError};
pub use serializer::{Serializer, VsnError};
