//! Addresses of this machine for servers that must be told where to listen.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use anyhow::Context as _;

/// An address that is free now, and most probably a moment later.
pub(crate) fn free_address() -> anyhow::Result<SocketAddrV4> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    let port = listener.local_addr()?.port();
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}
