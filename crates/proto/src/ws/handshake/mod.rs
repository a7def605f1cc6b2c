//! How an HTTP request becomes a WebSocket.
//!
//! ```text
//! client                                   server
//!   │  encode_upgrade(Upgrade) ──────────►   │  accept(Request)
//!   │                                        │    ├─ Ok(Accept)    Accept::encode: 101
//!   │  verify(Response, key)   ◄──────────   │    └─ Err(Refusal)  Refusal::encode: 4xx
//! ```
//!
//! Source: RFC 6455 §4.

mod accept;
mod key;
mod refusal;
mod upgrade;
mod verify;

pub use accept::{Accept, accept};
pub use key::ClientKey;
pub use refusal::Refusal;
pub use upgrade::{Upgrade, encode_upgrade};
pub use verify::{HandshakeError, verify};
