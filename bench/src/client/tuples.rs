//! Source ports, chosen here and not by the kernel.
//!
//! The kernel's own choice for connect() scans for a free port and becomes slow when many are
//! taken; a port that is named costs one look-up. See man 7 ip, `IP_BIND_ADDRESS_NO_PORT`, for
//! the other half of the story.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

/// The ports of one source address that are still unused.
#[derive(Debug)]
pub(super) struct Tuples {
    source: Ipv4Addr,
    next_port: u16,
}

impl Tuples {
    pub(super) fn new(source: Ipv4Addr) -> Self {
        Self {
            source,
            next_port: PORT_MIN,
        }
    }

    /// Returns a socket that is connected to `server` from the next free port.
    ///
    /// The call blocks until the handshake of TCP is done, which on loopback happens inside it.
    /// The socket blocks too; the squad reads only from sockets that epoll has named.
    pub(super) fn dial(&mut self, server: SocketAddrV4) -> anyhow::Result<OwnedFd> {
        while self.next_port < u16::MAX {
            let source = SocketAddrV4::new(self.source, self.next_port);
            self.next_port += 1;
            let socket = socket_with(
                AddressFamily::INET,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                None,
            )
            .context("cannot open a socket")?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            // Closing resets: no connection of this run stays in TIME_WAIT to slow the next.
            sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
            sockopt::set_tcp_nodelay(&socket, true)?;
            match bind(&socket, &source) {
                Ok(()) => {}
                Err(Errno::ADDRINUSE) => continue, // Another program's port.
                Err(errno) => return Err(errno).context(format!("cannot bind {source}")),
            }
            match connect(&socket, &server) {
                Ok(()) => return Ok(socket),
                Err(Errno::ADDRNOTAVAIL) => {} // The tuple is taken.
                Err(errno) => return Err(errno).context(format!("cannot connect to {server}")),
            }
        }
        bail!("{} has no free port left towards {server}", self.source)
    }
}

/// Below are the ports that need a privilege.
const PORT_MIN: u16 = 1024;
