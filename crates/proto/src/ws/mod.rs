//! WebSocket, RFC 6455, both roles, sans-IO.
//!
//! An HTTP head becomes an open WebSocket in [`handshake`]. From there on an [`Endpoint`] turns the
//! bytes that arrive into [`Event`]s, and [`encode()`], [`encode_header`] and [`encode_close`] turn
//! messages into frames. What to answer to a ping or to a close is the caller's decision.

mod close;
mod encode;
mod endpoint;
mod error;
mod growth;
pub mod handshake;
mod header;
mod mask;
mod partial;
mod utf8;

pub use close::{CloseCode, CloseFrame};
pub use encode::{encode, encode_close, encode_header};
pub use endpoint::{Endpoint, Event, Limits, Reader, Role};
pub use error::Error;
pub use header::{HEADER_BYTES_MAX, OpCode};
