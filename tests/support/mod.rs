//! What the tests of the product share: a server to talk to, and ways to talk to it.
//!
//! Knows the binary by its flags and its output, and the library by its public face.

#![allow(dead_code, reason = "each test target uses the part it needs")]

pub(crate) mod binary;
pub(crate) mod driver;
pub(crate) mod fixture;
pub(crate) mod loopback;
pub(crate) mod prometheus;
pub(crate) mod relay;
pub(crate) mod room;
pub(crate) mod watchdog;
pub(crate) mod wire;
