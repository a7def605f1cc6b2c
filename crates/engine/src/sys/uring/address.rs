//! Socket addresses as the kernel reads and writes them, `man 7 ip` and `man 7 ipv6`.
//!
//! ```text
//!  0        2      4             8                                24         28
//!  | family | port | IPv4 address |
//!  | family | port | flow label   | IPv6 address                   | scope id |
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// `struct sockaddr_in` or `struct sockaddr_in6`. Port and address are in network order, the rest in
/// the machine's.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
pub(super) struct Address {
    bytes: [u8; Self::BYTES_MAX],
    len: libc::socklen_t,
}

impl Address {
    const BYTES_MAX: usize = size_of::<libc::sockaddr_in6>();

    /// Room for an address of either family.
    pub(super) const ROOM: Self = Self {
        bytes: [0; Self::BYTES_MAX],
        len: Self::BYTES_MAX as libc::socklen_t,
    };

    pub(super) const fn as_ptr(&self) -> *const libc::sockaddr {
        self.bytes.as_ptr().cast()
    }

    pub(super) const fn len(&self) -> libc::socklen_t {
        self.len
    }

    /// Where the kernel writes an address and its length.
    pub(super) const fn as_mut_ptrs(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        (self.bytes.as_mut_ptr().cast(), &mut self.len)
    }

    /// The address; `None` when it is none of the internet's.
    pub(super) fn to_socket_addr(self) -> Option<SocketAddr> {
        let family = u16::from_ne_bytes(self.part(0));
        let port = u16::from_be_bytes(self.part(2));
        match (i32::from(family), self.len as usize) {
            (libc::AF_INET, 16..) => {
                let ip = IpAddr::V4(Ipv4Addr::from(self.part::<4>(4)));
                Some(SocketAddr::new(ip, port))
            }
            (libc::AF_INET6, Self::BYTES_MAX..) => {
                let flow = u32::from_ne_bytes(self.part(4));
                let scope = u32::from_ne_bytes(self.part(24));
                let ip = Ipv6Addr::from(self.part::<16>(8));
                Some(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            _ => None,
        }
    }

    fn part<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|index| self.bytes[at + index])
    }

    fn put(&mut self, at: usize, part: &[u8]) {
        self.bytes[at..at + part.len()].copy_from_slice(part);
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let mut encoded = Self::ROOM;
        encoded.put(2, &address.port().to_be_bytes());
        match address {
            SocketAddr::V4(address) => {
                encoded.put(0, &(libc::AF_INET as u16).to_ne_bytes());
                encoded.put(4, &address.ip().octets());
                encoded.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(address) => {
                encoded.put(0, &(libc::AF_INET6 as u16).to_ne_bytes());
                encoded.put(4, &address.flowinfo().to_ne_bytes());
                encoded.put(8, &address.ip().octets());
                encoded.put(24, &address.scope_id().to_ne_bytes());
            }
        }
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_the_kernels() {
        let address = Address::from(SocketAddr::from(([127, 0, 0, 9], 0x1234)));
        let family = (libc::AF_INET as u16).to_ne_bytes();
        assert_eq!(address.bytes[..2], family);
        assert_eq!(address.bytes[2..8], [0x12, 0x34, 127, 0, 0, 9]);
        assert_eq!(address.len(), 16);
    }

    #[test]
    fn an_address_comes_back_as_it_went() {
        for text in ["1.2.3.4:5", "[2001:db8::7]:65535", "[fe80::1%3]:80"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::from(address).to_socket_addr(), Some(address));
        }
        assert_eq!(Address::ROOM.to_socket_addr(), None);
    }
}
