//! What a machine allows, and what follows from it.
//!
//! - [`limit`]: every limit that can stop a connection, declared once with its words;
//! - [`machine`]: the values of these limits here and now, read from the kernel;
//! - [`Layout`]: how many shards connections need, and whose descriptors these use;
//! - [`ledger`]: what connections cost in memory, term by term;
//! - [`tuples`]: the arithmetic of (source address, source port, destination address, port);
//! - [`plan`]: what connections need on machines that are not this one;
//! - [`advice`]: sentences for people, made from the above.
//!
//! *Architecture invariant:* nothing here opens a connection or knows one of ours. Only [`machine`]
//! and [`TcpMemory`] talk to the kernel; the rest is arithmetic on its numbers, so a plan for a machine that is not
//! this one takes the same path.

#![forbid(unsafe_code)]

pub mod advice;
mod bytes;
mod change;
mod grouped;
mod layout;
pub mod ledger;
pub mod limit;
pub mod machine;
pub mod plan;
pub mod process;
pub mod sockets;
mod tables;
mod tcp_memory;
pub mod tuples;

pub use advice::{Holds, Shortage};
pub use bytes::{Bytes, BytesError};
pub use change::Change;
pub use grouped::Grouped;
pub use layout::{DESCRIPTORS_RESERVED, End, Kernel, Layout, SHARDS_MAX};
pub use ledger::Ledger;
pub use limit::Limit;
pub use machine::{Machine, Nofile, raise_nofile};
pub use sockets::{SockStat, Sockets, SocketsError, Tally};
pub use tables::Tables;
pub use tcp_memory::TcpMemory;
pub use tuples::{Sources, SourcesError};
