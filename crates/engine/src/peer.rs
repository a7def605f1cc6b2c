//! Whom a connection comes from, small enough to be kept for each.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The other end's address: 8 bytes. An IPv4 address is inside, an IPv6 address is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    V4 { ip: [u8; 4], port: u16 },
    V6 { port: u16 },
}

const _: () = assert!(size_of::<Peer>() == 8);

/// The IPv6 addresses of a shard's peers, by the slot of their connection.
#[derive(Debug, Default)]
pub(crate) struct V6Peers(HashMap<u32, Ipv6Addr>);

impl Peer {
    /// Keeps an address. One that a socket for both families shows as `::ffff:a.b.c.d` is IPv4
    /// (RFC 4291 §2.5.5.2).
    pub(crate) fn of(address: SocketAddr) -> Self {
        let port = address.port();
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Self::V4 {
                ip: ip.octets(),
                port,
            },
            IpAddr::V6(_) => Self::V6 { port },
        }
    }
}

impl V6Peers {
    /// Remembers the address of a slot's connection, if it is not in its peer already.
    pub(crate) fn insert(&mut self, slot: u32, address: SocketAddr) {
        if let IpAddr::V6(ip) = address.ip().to_canonical() {
            self.0.insert(slot, ip);
        }
    }

    pub(crate) fn remove(&mut self, slot: u32, peer: Peer) {
        if matches!(peer, Peer::V6 { .. }) {
            self.0.remove(&slot);
        }
    }

    /// The whole address again.
    pub(crate) fn address(&self, slot: u32, peer: Peer) -> SocketAddr {
        match peer {
            Peer::V4 { ip, port } => SocketAddr::new(Ipv4Addr::from(ip).into(), port),
            Peer::V6 { port } => {
                let ip = self.0.get(&slot).copied();
                SocketAddr::new(ip.unwrap_or(Ipv6Addr::UNSPECIFIED).into(), port)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was_and_mapped_ones_as_what_they_are() {
        for (given, kept) in [
            ("10.1.2.3:65535", "10.1.2.3:65535"),
            ("[2001:db8::1]:1", "[2001:db8::1]:1"),
            ("[::ffff:10.1.2.3]:7", "10.1.2.3:7"),
        ] {
            let address = given.parse().expect("an address");
            let (peer, mut v6) = (Peer::of(address), V6Peers::default());
            v6.insert(3, address);
            assert_eq!(v6.address(3, peer).to_string(), kept);
            v6.remove(3, peer);
            assert!(v6.0.is_empty());
        }
    }
}
