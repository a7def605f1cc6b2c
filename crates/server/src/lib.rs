//! Where hub and engine meet: the Phoenix Channels server.
//!
//! - [`config`]: what an operator decides;
//! - [`serve`] and [`Node`]: a running server;
//! - [`ledger()`]: what its connections cost in memory;
//! - [`NewKey`] and [`hash_password`]: secrets for the control plane;
//! - [`relay()`]: the built-in channel, rooms without code.
//!
//! ```text
//!  Node ── starts ──► shard (thread): engine::Reactor ─ app ─► Shard: Gatekeeper, Hub
//! ```
//!
//! *Architecture invariant:* nothing here knows the load generator.

#![forbid(unsafe_code)]

mod access;
mod admin;
mod answers;
mod blueprint;
mod census;
pub mod config;
mod control;
mod drain;
mod ledger;
mod log;
mod node;
mod occupancy;
mod plan;
mod question;
mod relay;
mod repetition;
mod shard;
mod simulation;
mod tally;
mod trouble;
mod upgrade;

pub use access::{NewKey, hash_password};
pub use admin::{AdminError, TlsError};
pub use engine::KernelChoice;
pub use ledger::ledger;
pub use node::{Node, ServeError, serve};
pub use relay::{RelaySocket, relay};
pub use simulation::{SimulatedNode, SimulatedShard};
