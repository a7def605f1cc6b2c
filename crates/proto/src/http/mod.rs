//! HTTP/1.1 heads: requests and responses, without bodies.
//!
//! A WebSocket begins as one request and one response, and behind a proxy with one pair more, which asks for a
//! tunnel. That is all the HTTP spoken here: a connection that does not become a WebSocket gets one whole response
//! and ends.
//!
//! ```text
//! bytes ─► head_end ─► parse_request  ─► Request  ─► ws::handshake::accept ─► 101 or a refusal
//! bytes ─► head_end ─► parse_response ─► Response ─► ws::handshake::verify ─► an open WebSocket
//!                                          │
//!              CONNECT host:port ─► a proxy's 2xx ─► a tunnel
//! ```

mod encode;
mod error;
mod head;
mod headers;
mod target;

pub use encode::{encode_connect, encode_response, reason_phrase};
pub use error::Error;
pub use head::{
    Limits, Parsed, Request, Response, Version, head_end, parse_request, parse_response,
};
pub use headers::{Duplicate, Headers};

pub(crate) use encode::push_header;
