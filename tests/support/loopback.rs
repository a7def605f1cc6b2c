//! Addresses of the loopback network that one server of one test has to itself.
//!
//! A port that is free at 127.0.0.1 is anybody's who asks for a free one, so a server that is away
//! for a moment may find its own taken.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

static GIVEN: AtomicU32 = AtomicU32::new(0);

/// An address, with port 0, that neither another process of tests is given nor this one for the next 127.
pub(crate) fn own_address() -> SocketAddr {
    let [_, _, high, low] = process::id().to_be_bytes();
    // 127.0 and 127.255 have members with a meaning of their own.
    let number = GIVEN.fetch_add(1, Relaxed);
    let number = 64 + (number % 128) as u8;
    SocketAddr::from((Ipv4Addr::new(127, number, high, low), 0))
}
