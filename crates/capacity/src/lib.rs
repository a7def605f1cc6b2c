//! What a machine allows, and what follows from it.
//!
//! - [`limit`]: every limit that can stop a connection, declared once with its words;
//! - [`machine`]: the values of these limits here and now, read from the kernel;
//! - [`tuples`]: the arithmetic of (source address, source port, destination address, port);
//! - [`advice`]: sentences for people, made from the three above.
//!
//! *Architecture invariant:* nothing here opens a connection or knows one of ours. Only [`machine`]
//! talks to the kernel; the rest is arithmetic on its numbers, so a plan for a machine that is not
//! this one takes the same path.

#![forbid(unsafe_code)]

pub mod advice;
mod grouped;
pub mod limit;
pub mod machine;
mod tables;
pub mod tuples;

pub use advice::{Holds, Shortage};
pub use grouped::Grouped;
pub use limit::Limit;
pub use machine::{Machine, Nofile, raise_nofile};
pub use tables::Tables;
pub use tuples::{Sources, SourcesError};
