//! The arithmetic of the four values that name a TCP connection.
//!
//! ```text
//! connections ≤ source addresses × ports of each × destination addresses × destination ports
//! ```
//!
//! A server's one listening port is the fourth value and never runs out; the source side does.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    str::FromStr,
};

use thiserror::Error;

use crate::Grouped;

/// The ports that a dialling program may bind without privileges: 1024 to 65535.
pub const PORTS: RangeInclusive<u16> = 1024..=65535;

/// How many ports one source address has towards one destination.
pub const PORTS_COUNT: u64 = 64_512;

/// The most source addresses that one list may name; a /16, more than four billion tuples.
pub const ADDRESSES_MAX: u64 = 65_536;

/// The number of source addresses that `connections` to `destinations` (address, port) pairs need
/// when each address has `ports_per_address` ports.
///
/// # Panics
///
/// When `destinations` or `ports_per_address` is zero.
pub fn addresses_needed(connections: u64, destinations: u64, ports_per_address: u64) -> u64 {
    assert!(
        destinations > 0 && ports_per_address > 0,
        "nowhere to connect to"
    );
    connections.div_ceil(destinations.saturating_mul(ports_per_address))
}

/// The number of connections that `addresses` source addresses can hold to `destinations`
/// (address, port) pairs.
pub fn connections_possible(addresses: u64, destinations: u64, ports_per_address: u64) -> u64 {
    addresses
        .saturating_mul(destinations)
        .saturating_mul(ports_per_address)
}

/// Source addresses: single ones and ranges, in the order given, none of them twice.
///
/// Parsed from `127.0.0.2-127.0.0.9,127.0.0.20`; both ends of a range belong to it.
///
/// ```
/// let sources: fourtuple_capacity::Sources = "127.0.0.2-127.0.0.9,127.0.0.20".parse()?;
/// assert_eq!(sources.count(), 9);
/// # Ok::<(), fourtuple_capacity::SourcesError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Invariant: not empty, disjoint, each with `first <= last` of one family, at most
    /// [`ADDRESSES_MAX`] addresses in all.
    ranges: Vec<Range>,
}

/// Consecutive addresses of one family, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: IpAddr,
    last: IpAddr,
}

/// Why a list of source addresses was not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SourcesError {
    /// An item between two commas is neither an address nor a range.
    #[error(
        "`{item}` is not a source address: expected an address such as 127.0.0.2 or a range \
         such as 127.0.0.2-127.0.0.9, separated by commas"
    )]
    NotAnAddress {
        /// The text between the commas.
        item: String,
    },
    /// The ends of a range are one IPv4 and one IPv6 address.
    #[error("`{item}` mixes IPv4 and IPv6: expected both ends of a range in one family")]
    MixedFamilies {
        /// The text between the commas.
        item: String,
    },
    /// A range ends before it begins.
    #[error("`{item}` runs backwards: expected the lower address first")]
    Backwards {
        /// The text between the commas.
        item: String,
    },
    /// An address appears twice, which would hand out the same tuples twice.
    #[error("`{item}` overlaps an earlier address or range: expected each address once")]
    Overlap {
        /// The text between the commas.
        item: String,
    },
    /// The list names more than [`ADDRESSES_MAX`] addresses.
    #[error(
        "the list names too many addresses: expected at most {}",
        Grouped(ADDRESSES_MAX)
    )]
    TooMany,
}

impl Sources {
    /// The one address `address`.
    pub fn single(address: IpAddr) -> Self {
        Self {
            ranges: vec![Range {
                first: address,
                last: address,
            }],
        }
    }

    /// The loopback addresses from 127.0.0.2 on that `connections` to `destinations` pairs need;
    /// at least one, at most [`ADDRESSES_MAX`].
    ///
    /// Linux routes all of 127.0.0.0/8 to the loopback device, so none of them needs configuration
    /// (`ip route show table local`). 127.0.0.1 is left to everybody else: a program that lets the
    /// kernel choose ports there would collide with ports that are chosen here.
    pub fn loopback(connections: u64, destinations: u64) -> Self {
        let needed = addresses_needed(connections, destinations, PORTS_COUNT);
        let count = needed.clamp(1, ADDRESSES_MAX);
        let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
        // At most 65,536 addresses from 127.0.0.2 on stay inside 127.0.0.0/8.
        let last = Ipv4Addr::from(first + (count as u32 - 1));
        Self {
            ranges: vec![Range {
                first: Ipv4Addr::from(first).into(),
                last: last.into(),
            }],
        }
    }

    /// The number of addresses.
    pub fn count(&self) -> u64 {
        self.ranges
            .iter()
            .map(Range::count)
            .fold(0, u64::saturating_add)
    }

    /// Every address, in the order given.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.ranges
            .iter()
            .flat_map(|range| (0..range.count()).map(move |step| step_from(range.first, step)))
    }

    fn push(&mut self, item: &str, range: Range) -> Result<(), SourcesError> {
        if self.ranges.iter().any(|other| other.overlaps(&range)) {
            return Err(SourcesError::Overlap {
                item: item.to_owned(),
            });
        }
        self.ranges.push(range);
        if self.count() > ADDRESSES_MAX {
            return Err(SourcesError::TooMany);
        }
        Ok(())
    }
}

impl FromStr for Sources {
    type Err = SourcesError;

    fn from_str(text: &str) -> Result<Self, SourcesError> {
        let mut sources = Self { ranges: Vec::new() };
        for item in text.split(',') {
            let item = item.trim();
            sources.push(item, Range::parse(item)?)?;
        }
        Ok(sources)
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if range.first == range.last {
                write!(f, "{}", range.first)?;
            } else {
                write!(f, "{}-{}", range.first, range.last)?;
            }
        }
        Ok(())
    }
}

impl Range {
    fn parse(item: &str) -> Result<Self, SourcesError> {
        let address = |text: &str| {
            text.trim()
                .parse::<IpAddr>()
                .map_err(|_| SourcesError::NotAnAddress {
                    item: item.to_owned(),
                })
        };
        let Some((first, last)) = item.split_once('-') else {
            let address = address(item)?;
            return Ok(Self {
                first: address,
                last: address,
            });
        };
        let range = Self {
            first: address(first)?,
            last: address(last)?,
        };
        if range.first.is_ipv4() != range.last.is_ipv4() {
            return Err(SourcesError::MixedFamilies {
                item: item.to_owned(),
            });
        }
        if range.first > range.last {
            return Err(SourcesError::Backwards {
                item: item.to_owned(),
            });
        }
        Ok(range)
    }

    /// The number of addresses; saturates for IPv6 ranges that no list may name anyway.
    fn count(&self) -> u64 {
        let distance = number(self.last) - number(self.first);
        u64::try_from(distance)
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    fn overlaps(&self, other: &Self) -> bool {
        // `IpAddr` orders all of IPv4 before all of IPv6, so families never overlap here.
        self.first <= other.last && other.first <= self.last
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address `step` after `first`, which the caller knows to exist in the same family.
fn step_from(first: IpAddr, step: u64) -> IpAddr {
    match first {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) + step as u32).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) + u128::from(step)).into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ports_are_counted_right() {
        assert_eq!(PORTS.count() as u64, PORTS_COUNT);
    }

    /// The published table of source addresses needed for one destination.
    #[test]
    fn addresses_needed_for_one_destination() {
        for (connections, by_default_range, by_all_ports) in [
            (100_000, 4, 2),
            (1_000_000, 36, 16),
            (2_000_000, 71, 32),
            (5_000_000, 178, 78),
            (10_000_000, 355, 156),
        ] {
            assert_eq!(addresses_needed(connections, 1, 28_232), by_default_range);
            assert_eq!(addresses_needed(connections, 1, PORTS_COUNT), by_all_ports);
        }
        assert_eq!(addresses_needed(2_000_000, 16, PORTS_COUNT), 2);
        assert_eq!(addresses_needed(0, 1, PORTS_COUNT), 0);
    }

    #[test]
    fn lists_and_ranges_of_both_families() {
        let sources: Sources = "127.0.0.2-127.0.0.4, 10.0.0.1,fd00::fffe-fd00::1:1"
            .parse()
            .expect("a list of the documented form");
        let addresses: Vec<String> = sources.addresses().map(|a| a.to_string()).collect();
        assert_eq!(
            addresses,
            [
                "127.0.0.2",
                "127.0.0.3",
                "127.0.0.4",
                "10.0.0.1",
                "fd00::fffe",
                "fd00::ffff",
                "fd00::1:0",
                "fd00::1:1"
            ]
        );
        assert_eq!(sources.count(), 8);
    }

    #[test]
    fn errors_say_what_was_expected() {
        for (text, words) in [
            ("", "expected an address such as"),
            ("127.0.0.2,", "expected an address such as"),
            ("eth0", "`eth0` is not a source address"),
            ("127.0.0.2-9", "expected an address such as"),
            ("127.0.0.2:80", "expected an address such as"),
            ("127.0.0.2-::1", "mixes IPv4 and IPv6"),
            ("127.0.0.9-127.0.0.2", "expected the lower address first"),
            (
                "127.0.0.2-127.0.0.9,127.0.0.9",
                "expected each address once",
            ),
            ("10.0.0.0-10.1.0.0", "expected at most 65,536"),
            (
                "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "expected at most 65,536",
            ),
        ] {
            let error = text.parse::<Sources>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn loopback_takes_what_the_connections_need() {
        assert_eq!(Sources::loopback(0, 1).to_string(), "127.0.0.2");
        assert_eq!(Sources::loopback(64_512, 1).to_string(), "127.0.0.2");
        assert_eq!(
            Sources::loopback(64_513, 1).to_string(),
            "127.0.0.2-127.0.0.3"
        );
        assert_eq!(Sources::loopback(2_000_000, 1).count(), 32);
        assert_eq!(Sources::loopback(u64::MAX, 1).count(), ADDRESSES_MAX);
    }

    proptest! {
        #[test]
        fn the_need_is_enough_and_one_less_is_not(
            connections in 1..u64::from(u32::MAX),
            destinations in 1..10_000_u64,
            ports in 1..=PORTS_COUNT,
        ) {
            let needed = addresses_needed(connections, destinations, ports);
            prop_assert!(connections_possible(needed, destinations, ports) >= connections);
            prop_assert!(connections_possible(needed - 1, destinations, ports) < connections);
        }

        #[test]
        fn what_is_written_is_read_back(
            starts in proptest::collection::btree_map(any::<u16>(), 0_u8..40, 1..20),
        ) {
            // One block of 256 addresses per key keeps the ranges apart.
            let text = starts
                .iter()
                .map(|(block, length)| {
                    let first = 0x0a00_0000 + (u32::from(*block) << 8);
                    let last = Ipv4Addr::from(first + u32::from(*length));
                    format!("{}-{last}", Ipv4Addr::from(first))
                })
                .collect::<Vec<_>>()
                .join(",");
            let sources: Sources = text.parse().expect("ranges that do not overlap");
            let again: Sources = sources.to_string().parse().expect("its own words");
            prop_assert_eq!(&again, &sources);
            let count: u64 = starts.values().map(|length| u64::from(*length) + 1).sum();
            prop_assert_eq!(sources.count(), count);
            prop_assert_eq!(sources.addresses().count() as u64, count);
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:.,\\- ]{0,40}") {
            let _ = text.parse::<Sources>();
        }
    }
}
