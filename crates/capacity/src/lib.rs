//! What a machine allows, and what follows from it.
//!
//! - [`limit`]: every limit that can stop a connection, declared once with its words;
//! - [`machine`]: the values of these limits here and now, read from the kernel;
//! - [`Layout`]: how many shards connections need, and whose descriptors these use;
//! - [`ledger`]: what connections cost in memory, term by term;
//! - [`tuples`]: the arithmetic of (source address, source port, destination address, port);
//! - [`plan`]: what connections need on machines that are not this one;
//! - [`Survey`], [`Demand`], [`diagnosis`]: every limit as it is here, what is asked, and whether it fits;
//! - [`process`], [`sockets`], [`Live`]: a running program of anybody's, and how full its limits are;
//! - [`advice`]: sentences for people, made from the above.
//!
//! *Architecture invariant:* nothing here opens a connection or knows one of ours. Only [`machine`]
//! and [`TcpMemory`] talk to the kernel; the rest is arithmetic on its numbers, so a plan for a machine that is not
//! this one takes the same path.

#![forbid(unsafe_code)]

pub mod advice;
mod bytes;
mod change;
mod demand;
pub mod diagnosis;
mod gauge;
mod grouped;
mod layout;
pub mod ledger;
pub mod limit;
mod live;
pub mod machine;
#[doc(hidden)]
pub mod numbers;
pub mod plan;
pub mod process;
pub mod sockets;
mod survey;
mod tables;
mod tcp_memory;
pub mod tuples;

pub use advice::{Holds, Shortage};
pub use bytes::{Bytes, BytesError};
pub use change::Change;
pub use demand::Demand;
pub use diagnosis::{Diagnosis, Finding, Verdict};
pub use gauge::{Approach, Gauge, Trend};
pub use grouped::Grouped;
pub use layout::{ADMIN_CONNECTIONS, DESCRIPTORS_RESERVED, End, Kernel, Layout, SHARDS_MAX};
pub use ledger::Ledger;
pub use limit::{Limit, Setting, Side, Unit};
pub use live::{LIST_MAX, Live, PROGRAMS_MAX, Program, Told};
pub use machine::{Machine, Nofile, raise_nofile};
pub use process::{Known, Unknown};
pub use sockets::{SockStat, Sockets, SocketsError, Tally};
pub use survey::{Reading, Survey};
pub use tables::Tables;
pub use tcp_memory::TcpMemory;
pub use tuples::{Sources, SourcesError};
