//! Wire formats, pure: bytes become meaning and meaning becomes bytes.
//!
//! *Architecture invariant:* nothing here knows a socket, a clock, a thread or a file. Every parser
//! takes borrowed bytes and limits, and takes no memory that the bytes did not pay for.

#![forbid(unsafe_code)]

mod frame;
pub mod http;
pub mod phoenix;
pub mod socketio;
pub mod ws;

pub use frame::Frame;
