//! Socket.IO, protocol 5, over Engine.IO, protocol 4, over one WebSocket: what both sides say in text.
//!
//! - [`EnginePacket`], [`Handshake`]: the layer below, which opens a session and keeps it alive.
//! - [`Packet`], [`Kind`], [`encode_head`]: events, their acknowledgements, and namespaces.
//!
//! Binary arguments travel as WebSocket messages of their own behind the packet that announces how many they are
//! ([`Packet::attachments`]); in its text stands a placeholder for each. What is in them is nobody's business here.
//!
//! Source: the documents `engine-io-protocol` and `socket-io-protocol` of <https://socket.io/docs/v4/>.

mod engine;
mod error;
mod packet;

pub use engine::{EnginePacket, Handshake};
pub use error::DecodeError;
pub use packet::{Kind, Limits, Packet, ROOT, encode_head};
