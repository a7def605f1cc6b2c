//! Topics, channels and fan-out, pure: inputs in, outputs out.
//!
//! The words are Phoenix's. A [`Socket`] says who may connect; a [`Channel`] says what a connection
//! does in a topic; a [`Router`] says which channel a topic belongs to. A [`Hub`] runs them for one
//! shard: it is told what happened and answers with what is to be sent.
//!
//! ```
//! # use fourtuple_hub as hub;
//! use hub::{Channel, ConnectError, ConnectRequest, Context, JoinResult, Outcome, Payload};
//! use hub::{Reply, Router, Socket, StopReason};
//! use serde_json::json;
//!
//! struct UserSocket;
//!
//! struct User {
//!     name: String,
//! }
//!
//! impl Socket for UserSocket {
//!     type Assigns = User;
//!
//!     fn connect(&self, request: &ConnectRequest<'_>) -> Result<User, ConnectError> {
//!         let name = request.param("name").ok_or(ConnectError::Refused)?;
//!         Ok(User { name: name.to_owned() })
//!     }
//!
//!     fn id(&self, user: &User) -> Option<String> {
//!         Some(format!("user:{}", user.name))
//!     }
//! }
//!
//! struct Room;
//!
//! impl Channel<UserSocket> for Room {
//!     fn join(
//!         topic: &str,
//!         _: Payload<'_>,
//!         ctx: &mut Context<'_, UserSocket>,
//!     ) -> JoinResult<Self> {
//!         if topic == "room:private" {
//!             return Err(Reply::reason("unauthorized"));
//!         }
//!         let name = ctx.assigns().name.clone();
//!         ctx.broadcast_from("joined", json!({ "name": name }));
//!         Ok((Self, Reply::ok(json!({ "welcome": name }))))
//!     }
//!
//!     fn handle_in(
//!         &mut self,
//!         event: &str,
//!         payload: Payload<'_>,
//!         ctx: &mut Context<'_, UserSocket>,
//!     ) -> Outcome {
//!         match event {
//!             "new_msg" => ctx.broadcast("new_msg", payload),
//!             "whoami" => return Outcome::Reply(Reply::ok(json!({ "name": ctx.assigns().name }))),
//!             "bye" => return Outcome::Stop,
//!             _ => return Outcome::Reply(Reply::reason("unknown event")),
//!         }
//!         Outcome::NoReply
//!     }
//!
//!     fn terminate(&mut self, _: StopReason, ctx: &mut Context<'_, UserSocket>) {
//!         let name = ctx.assigns().name.clone();
//!         ctx.broadcast_from("left", json!({ "name": name }));
//!     }
//! }
//!
//! let router = Router::new(UserSocket).channel::<Room>("room:*");
//! # let _ = router;
//! ```
//!
//! *Architecture invariant:* nothing here knows a socket, a clock, a thread or the engine. What a
//! hub needs from outside it is told by its `handle_*` methods, or asks of [`Post`].

#![forbid(unsafe_code)]

mod blocks;
mod broadcast;
mod busiest;
mod channel;
mod conns;
mod context;
mod counters;
mod crash;
mod departure;
mod dispatch;
mod effects;
mod hub;
mod ids;
mod inspect;
mod interest;
mod invariants;
mod lifecycle;
mod mail;
mod members;
mod router;
mod scratch;
mod socket;
mod stored_ref;
mod topics;

pub use broadcast::{Broadcast, BroadcastError};
pub use busiest::{Busiest, Frequent};
pub use channel::{Channel, Info, JoinResult, Outcome, Reply, StopReason};
pub use conns::CONNECTION_BYTES;
pub use context::Context;
pub use counters::Counters;
pub use hub::{Hub, Incoming, Limits, Output};
pub use ids::{ConnId, ShardIndex};
pub use inspect::Known;
pub use interest::Interest;
pub use mail::{ChannelRef, Full, InfoMail, Mail, Post, Publication, ReplyError, ReplyRef};
pub use members::MEMBERSHIP_BYTES;
pub use proto::phoenix::{IntoPayload, Json, Payload, PayloadError, Serializer};
pub use router::Router;
pub use socket::{ConnectError, ConnectRequest, Socket};
pub use topics::TOPIC_BYTES;
