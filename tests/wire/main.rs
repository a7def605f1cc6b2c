//! The server as one socket sees it: HTTP, frames, messages and limits, byte by byte.
//!
//! The cases are those of Phoenix's own integration tests and of the RFCs, in the words of this
//! project; the client's codec is tungstenite's. What Phoenix clients make of the same server is in
//! tests/clients.

mod channels;
mod descriptors;
mod drain;
mod frames;
mod handshake;
mod limits;
mod rules;
mod serializers;
#[path = "../support/mod.rs"]
mod support;
