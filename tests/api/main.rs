//! The HTTP API of the real binary: what is published arrives at real WebSockets, what is asked for is what the
//! test connected, and what is wrong is a problem after RFC 9457.

mod call;
mod contract;
mod disconnect;
mod guide;
mod key;
mod problems;
mod publish;
mod queries;
mod steering;
#[path = "../support/mod.rs"]
mod support;
