//! The kernel at arm's length: connections, buffers, outboxes, time and mailboxes.
//!
//! An [`App`] says what a shard does with its WebSockets; a [`Reactor`] is one shard's loop over one
//! kernel; [`Shards`] starts one reactor per thread. The engine accepts *and* dials, so the server and
//! the crowd are the same engine with another app.
//!
//! *Architecture invariant:* nothing here knows a topic, a channel or Phoenix.
//!
//! *Architecture invariant:* `unsafe` stands under `sys` only: one call per block, each with its reason.

#![deny(unsafe_code)]

mod accept;
mod app;
mod closed;
mod conn;
mod counters;
mod delayed;
mod dial;
mod greeting;
mod histogram;
mod ids;
mod input;
mod io;
mod mailbox;
mod outbox;
mod peer;
mod pressure;
mod reactor;
mod settings;
mod shards;
mod slab;
mod steering;
mod sweep;
mod sys;
mod time;
mod tls;
mod tunnel;
mod view;

pub use accept::AcceptRate;
pub use app::{Answer, App, Message, Trouble};
pub use closed::{Cause, Closed, Phase};
pub use conn::CONNECTION_BYTES;
pub use counters::{Counters, Snapshot};
pub use dial::{Dial, DialError};
pub use histogram::{Distribution, Histogram};
pub use ids::{ConnId, ShardIndex};
pub use io::Io;
pub use mailbox::{Full, Remote};
pub use peer::V6_PEER_BYTES;
pub use pressure::TcpPressure;
pub use reactor::{Reactor, Turn};
pub use settings::Settings;
pub use shards::{Shards, StartError};
pub use steering::Steering;
pub use sys::{KernelChoice, KernelInUse, sim};
pub use time::Time;
pub use tls::{
    TLS_CONNECTION_BYTES, TlsClient, TlsFault, TlsIdentity, TlsOptions, TlsRoots, TlsSetupError,
};
pub use tunnel::{Tunnel, TunnelFault};
pub use view::View;

/// An error of the kernel, by its number.
pub use rustix::io::Errno;
