//! Whom a connection comes from, small enough to be kept for each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The other end's address: 8 bytes. An IPv4 address is inside, an IPv6 address is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    V4 { ip: [u8; 4], port: u16 },
    V6 { port: u16 },
}

const _: () = assert!(size_of::<Peer>() == 8);

/// Addresses in a block: as many as connections are in a block of the slab, and a page of memory.
const BLOCK: usize = 256;

/// The IPv6 addresses of a shard's peers, by the slot of their connection.
///
/// They stand in blocks that are made when the first address comes into one and given back with its last, so that
/// no insert does more than one small allocation: a map would now and then move all that it has, for which a shard
/// of a million peers stands still and needs the memory twice.
#[derive(Debug, Default)]
pub(crate) struct V6Peers {
    blocks: Vec<Block>,
    /// Blocks that have addresses.
    taken_count: u64,
}

/// Addresses of neighbouring slots.
#[derive(Debug, Default)]
struct Block {
    /// How many slots have one; those that have none hold what was there before.
    count: u16,
    /// Invariant: there while `count` is not 0.
    addresses: Option<Box<[Ipv6Addr; BLOCK]>>,
}

/// Bytes that a block takes: its addresses with what malloc adds, and its place in the table.
const BLOCK_BYTES: u64 = (BLOCK * size_of::<Ipv6Addr>() + 16 + size_of::<Block>()) as u64;

/// Bytes that the engine keeps for a connection with an IPv6 peer beside [`CONNECTION_BYTES`] where its block is
/// full; a block that holds a single one takes as much as a full one.
///
/// [`CONNECTION_BYTES`]: crate::CONNECTION_BYTES
pub const V6_PEER_BYTES: usize = BLOCK_BYTES.div_ceil(BLOCK as u64) as usize;

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
    /// Remembers the address of a slot's connection, if it is not in its peer already. The slot has none.
    pub(crate) fn insert(&mut self, slot: u32, address: SocketAddr) {
        let IpAddr::V6(ip) = address.ip().to_canonical() else {
            return;
        };
        let (block, place) = place_of(slot);
        if block >= self.blocks.len() {
            self.blocks.resize_with(block + 1, Block::default);
        }
        let block = &mut self.blocks[block];
        self.taken_count += u64::from(block.count == 0);
        block.count += 1;
        let addresses = block.addresses.get_or_insert_with(Block::vacant);
        addresses[place] = ip;
    }

    /// Forgets the address of a slot's connection, which was inserted.
    pub(crate) fn remove(&mut self, slot: u32, peer: Peer) {
        let (block, _) = place_of(slot);
        let Some(block) = self.blocks.get_mut(block) else {
            return;
        };
        if !matches!(peer, Peer::V6 { .. }) || block.count == 0 {
            return;
        }
        block.count -= 1;
        if block.count == 0 {
            block.addresses = None;
            self.taken_count -= 1;
        }
    }

    /// Bytes that all of it takes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.taken_count * BLOCK_BYTES
    }

    /// The whole address again.
    pub(crate) fn address(&self, slot: u32, peer: Peer) -> SocketAddr {
        match peer {
            Peer::V4 { ip, port } => SocketAddr::new(Ipv4Addr::from(ip).into(), port),
            Peer::V6 { port } => {
                let (block, place) = place_of(slot);
                let addresses = self.blocks.get(block).and_then(|it| it.addresses.as_ref());
                let ip = addresses.map_or(Ipv6Addr::UNSPECIFIED, |it| it[place]);
                SocketAddr::new(ip.into(), port)
            }
        }
    }
}

impl Block {
    fn vacant() -> Box<[Ipv6Addr; BLOCK]> {
        Box::new([Ipv6Addr::UNSPECIFIED; BLOCK])
    }
}

/// The block of a slot, and the place in it.
const fn place_of(slot: u32) -> (usize, usize) {
    (slot as usize / BLOCK, slot as usize % BLOCK)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn v6(number: u32) -> SocketAddr {
        let ip = Ipv6Addr::from(u128::from(number) | 0x2001_0db8 << 96);
        SocketAddr::new(ip.into(), number as u16)
    }

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
            assert_eq!(v6.bytes(), 0);
        }
    }

    #[test]
    fn a_block_is_there_from_its_first_address_to_its_last() {
        let mut peers = V6Peers::default();
        let block = BLOCK as u32;
        let slots = [0, 1, block - 1, 3 * block];
        for slot in slots {
            peers.insert(slot, v6(slot));
        }
        assert_eq!(peers.bytes(), 2 * BLOCK_BYTES);
        let there = |peers: &V6Peers| {
            let blocks = peers.blocks.iter();
            blocks.map(|it| it.addresses.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(there(&peers), [true, false, false, true]);
        for slot in &slots[..3] {
            assert!(there(&peers)[0], "{slot} is still there");
            peers.remove(*slot, Peer::of(v6(*slot)));
        }
        assert_eq!(there(&peers), [false, false, false, true]);
        assert_eq!(peers.bytes(), BLOCK_BYTES);
        let full = (0..block).map(|slot| peers.insert(slot, v6(slot))).count();
        assert_eq!(full, BLOCK, "its count has room for all");
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec((0_u32..1_500, any::<bool>()), 1..1_000)) {
            let (mut peers, mut model) = (V6Peers::default(), HashMap::new());
            for (number, (slot, is_v6)) in (1_u32..).zip(steps) {
                if let Some(address) = model.remove(&slot) {
                    peers.remove(slot, Peer::of(address));
                } else {
                    let address = if is_v6 { v6(number) } else { ([10, 0, 0, 1], 7).into() };
                    peers.insert(slot, address);
                    model.insert(slot, address);
                }
            }
            let mut blocks = std::collections::HashSet::new();
            for (slot, address) in model {
                prop_assert_eq!(peers.address(slot, Peer::of(address)), address);
                if address.is_ipv6() {
                    blocks.insert(slot / BLOCK as u32);
                }
            }
            prop_assert_eq!(peers.bytes(), blocks.len() as u64 * BLOCK_BYTES);
        }
    }
}
