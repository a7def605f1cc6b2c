//! A realtime server for very many live connections that speaks Phoenix Channels.
//!
//! You write a [`Socket`] and a [`Channel`], in the words of Phoenix, and [`serve`] does the rest:
//! WebSockets, topics, fan-out over all cores, limits, draining.
//!
//! ```no_run
//! use fourtuple::{Channel, Config, ConnectError, ConnectRequest, Context, JoinResult, Outcome};
//! use fourtuple::{Payload, Reply, Router, Socket};
//!
//! struct Everybody;
//!
//! impl Socket for Everybody {
//!     type Assigns = ();
//!
//!     fn connect(&self, _: &ConnectRequest<'_>) -> Result<(), ConnectError> {
//!         Ok(())
//!     }
//! }
//!
//! struct Room;
//!
//! impl Channel<Everybody> for Room {
//!     fn join(_: &str, _: Payload<'_>, _: &mut Context<'_, Everybody>) -> JoinResult<Self> {
//!         Ok((Self, Reply::empty()))
//!     }
//!
//!     fn handle_in(
//!         &mut self,
//!         event: &str,
//!         payload: Payload<'_>,
//!         ctx: &mut Context<'_, Everybody>,
//!     ) -> Outcome {
//!         ctx.broadcast(event, payload);
//!         Outcome::NoReply
//!     }
//! }
//!
//! # fn main() -> Result<(), fourtuple::ServeError> {
//! fourtuple::serve(Router::new(Everybody).channel::<Room>("room:*"), Config::default())
//! # }
//! ```

#![forbid(unsafe_code)]

pub use hub::{
    Broadcast, BroadcastError, Channel, ChannelRef, ConnectError, ConnectRequest, Context, Full,
    Info, IntoPayload, JoinResult, Json, Outcome, Payload, PayloadError, Reply, ReplyError,
    ReplyRef, Router, Socket, StopReason,
};
pub use proto::{
    http::Request,
    phoenix::connect::{Param, Params},
};
pub use server::{
    KernelChoice, Node, ServeError,
    config::{self, Config},
    serve,
};
