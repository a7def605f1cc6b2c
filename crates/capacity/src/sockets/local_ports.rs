//! The ports among which the kernel chooses for a program that does not.

use std::{fs, ops::RangeInclusive};

use crate::machine::parse_port_range;

/// `net.ipv4.ip_local_port_range` without `net.ipv4.ip_local_reserved_ports`; IPv6 uses the same.
///
/// A program that binds a port explicitly may use any other port, too. One that set
/// `IP_LOCAL_PORT_RANGE` on its sockets (`man 7 ip`) has fewer than these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPorts {
    range: RangeInclusive<u16>,
    /// Invariant: in rising order, none empty and no two overlapping.
    reserved: Vec<RangeInclusive<u16>>,
}

impl Default for LocalPorts {
    /// What Linux starts with.
    fn default() -> Self {
        Self::new(32_768..=60_999, [])
    }
}

impl LocalPorts {
    /// The ports of `range` that are in none of `reserved`.
    pub fn new(
        range: RangeInclusive<u16>,
        reserved: impl IntoIterator<Item = RangeInclusive<u16>>,
    ) -> Self {
        let mut ranges: Vec<_> = reserved.into_iter().collect();
        ranges.retain(|range| !range.is_empty());
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut reserved: Vec<RangeInclusive<u16>> = Vec::with_capacity(ranges.len());
        for next in ranges {
            match reserved.last_mut() {
                Some(last) if next.start() <= last.end() => {
                    *last = *last.start()..=*last.end().max(next.end());
                }
                _ => reserved.push(next),
            }
        }
        Self { range, reserved }
    }

    /// Reads those of this machine; `None` where /proc is closed.
    pub fn read() -> Option<Self> {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
        let reserved = fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports");
        Self::parse(&range, &reserved.unwrap_or_default())
    }

    /// Reads `32768 60999` and `8080,9148-9150`.
    pub(crate) fn parse(range: &str, reserved: &str) -> Option<Self> {
        Some(Self::new(
            parse_port_range(range)?,
            parse_reserved(reserved)?,
        ))
    }

    /// Whether the kernel may choose this port.
    pub fn contains(&self, port: u16) -> bool {
        let before = self.reserved.partition_point(|range| *range.end() < port);
        let is_reserved = self.reserved.get(before);
        self.range.contains(&port) && !is_reserved.is_some_and(|range| range.contains(&port))
    }

    /// How many ports these are.
    pub fn count(&self) -> u64 {
        let reserved = self.reserved.iter().map(|range| {
            let start = range.start().max(self.range.start());
            let end = range.end().min(self.range.end());
            length(&(*start..=*end))
        });
        length(&self.range) - reserved.sum::<u64>()
    }
}

fn length(range: &RangeInclusive<u16>) -> u64 {
    (u64::from(*range.end()) + 1).saturating_sub(u64::from(*range.start()))
}

/// `8080,9148,10000-10100`, `man 5 proc_sys_net`; an empty line for none.
fn parse_reserved(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let items = text.trim().split(',').filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn reads_this_machine() {
        let ports = LocalPorts::read().expect("a test machine has /proc");
        assert!((1..=65_535).contains(&ports.count()));
    }

    #[test]
    fn parses_what_the_kernel_writes() {
        assert_eq!(parse_reserved("\n"), Some(vec![]));
        assert_eq!(parse_reserved(""), Some(vec![]));
        let wanted = vec![8_080..=8_080, 9_148..=9_148, 10_000..=10_100];
        assert_eq!(parse_reserved("8080,9148,10000-10100\n"), Some(wanted));
        assert_eq!(parse_reserved("8080,x\n"), None);
        assert_eq!(parse_reserved("70000\n"), None);
        assert_eq!(parse_reserved("1-\n"), None);
    }

    #[test]
    fn the_default_has_the_published_number() {
        assert_eq!(LocalPorts::default().count(), 28_232);
        assert!(LocalPorts::default().contains(32_768));
        assert!(LocalPorts::default().contains(60_999));
        assert!(!LocalPorts::default().contains(61_000));
        assert_eq!(LocalPorts::new(1_024..=65_535, []).count(), 64_512);
        assert_eq!(LocalPorts::new(0..=65_535, [0..=65_535]).count(), 0);
    }

    fn any_range() -> impl Strategy<Value = RangeInclusive<u16>> {
        // Some are empty, and many overlap or touch.
        (0..400_u16, 0..40_u16)
            .prop_map(|(start, length)| start..=(start + length).saturating_sub(1))
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_is_contained(
            range in any_range(),
            reserved in vec(any_range(), 0..20),
            ports_at_the_end in any::<bool>(),
        ) {
            // The same at the other end of the numbers.
            let place = |range: &RangeInclusive<u16>| match ports_at_the_end {
                false => range.clone(),
                true => u16::MAX - 440 + range.start()..=u16::MAX - 440 + range.end(),
            };
            let range = place(&range);
            let reserved: Vec<_> = reserved.iter().map(place).collect();
            let ports = LocalPorts::new(range.clone(), reserved.clone());
            let is_usable = |port: &u16| {
                range.contains(port) && !reserved.iter().any(|range| range.contains(port))
            };
            let mut count = 0;
            for port in (0..=500).chain(u16::MAX - 500..=u16::MAX) {
                prop_assert_eq!(ports.contains(port), is_usable(&port), "{}", port);
                count += u64::from(is_usable(&port));
            }
            prop_assert_eq!(ports.count(), count);
        }
    }
}
