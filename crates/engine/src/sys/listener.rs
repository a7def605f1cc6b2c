//! Listening sockets, the same under every real kernel.

use std::{net::SocketAddr, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{self, AddressFamily, SocketFlags, SocketType, sockopt},
};

/// Opens a listening socket that shares its port with other shards' (`SO_REUSEPORT`), and returns it
/// with its real address.
pub(super) fn listen(address: SocketAddr, backlog: i32) -> Result<(OwnedFd, SocketAddr), Errno> {
    let socket = stream_socket(address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    // Accepted sockets inherit this, which saves a call for each of them.
    sockopt::set_tcp_nodelay(&socket, true)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, backlog)?;
    let bound = SocketAddr::try_from(net::getsockname(&socket)?)?;
    Ok((socket, bound))
}

/// Changes how many may wait to be accepted; those who wait already stay, also when they are more.
pub(super) fn set_backlog(listener: &OwnedFd, backlog: u32) {
    // Of a socket that listens already nothing else changes, net/ipv4/af_inet.c `__inet_listen_sk`; it
    // fails only for one that does not.
    let _ = net::listen(listener, backlog.try_into().unwrap_or(i32::MAX));
}

/// Fails when another program listens at `address`.
///
/// Two programs of one user that both set `SO_REUSEPORT` would share a port without a word, each with
/// a part of the connections; a socket without it is told.
pub(crate) fn probe(address: SocketAddr) -> Result<(), Errno> {
    let socket = stream_socket(address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &address)
}

/// A TCP socket of the address's family that never waits.
pub(super) fn stream_socket(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    net::socket_with(family, SocketType::STREAM, flags, None)
}
