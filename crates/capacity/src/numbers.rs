//! The numbers in the files of /proc that describe a machine.
//!
//! Pure: text in, numbers out; a line that makes no sense counts for nothing.

use std::collections::BTreeSet;

use crate::{Known, Unknown};

/// The number at a place of a line of them, as sysctls have it: `4096 131072 6291456`. `max` and
/// `unlimited` are [`u64::MAX`].
///
/// # Errors
///
/// [`Unknown::Odd`] where there is no number at that place.
pub fn number_at(text: &str, place: usize) -> Known<u64> {
    let odd = || Unknown::odd("the file", text, "whole numbers");
    let word = text.split_whitespace().nth(place).ok_or_else(odd)?;
    match word {
        "max" | "unlimited" => Ok(u64::MAX),
        // A negative number is "not made", as in tcp_ehash_entries of a namespace that shares the table.
        word => word.trim_start_matches('-').parse().map_err(|_| odd()),
    }
}

/// The words of a text, in one line.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Addresses of /proc/net/fib_trie, IPv4, without loopback's: a line `|-- 10.0.0.7`, and `/32 host
/// LOCAL` below it.
pub fn local_addresses(trie: &str) -> u64 {
    let mut found = BTreeSet::new();
    let mut last = None;
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = Some(address.trim());
        } else if line.contains("/32 host LOCAL") {
            found.extend(last.filter(|address| !address.starts_with("127.")));
        }
    }
    found.len() as u64
}

/// Addresses of /proc/net/if_inet6 that can be dialled from without a scope, without loopback's:
/// `fd000000000000000000000000000001 02 40 00 80 eth0`.
pub fn local_addresses_v6(table: &str) -> u64 {
    let loopback = "00000000000000000000000000000001";
    let addresses = table.lines().filter(|line| {
        // fe80::/10 needs a scope to be dialled from and is no address to the world.
        !line.starts_with(loopback) && !line.starts_with("fe8") && !line.trim().is_empty()
    });
    addresses.count() as u64
}

/// Entries of /proc/net/arp, below its heading.
pub fn neighbours_count(table: &str) -> u64 {
    table.lines().skip(1).count() as u64
}

/// Threads of the whole machine, of /proc/loadavg: `0.50 0.60 0.34 8/306 8888`, the runnable ones and all.
pub fn threads_count(load: &str) -> Option<u64> {
    let threads = load.split_whitespace().nth(3)?;
    threads.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_place() {
        assert_eq!(number_at("1\t2\t3", 2), Ok(3));
        assert_eq!(number_at("max", 0), Ok(u64::MAX));
        // tcp_ehash_entries of a namespace that shares the table of its host.
        assert_eq!(number_at("-262144", 0), Ok(262_144));
        for odd in ["", "1 2", "x y z"] {
            assert!(number_at(odd, 2).is_err(), "{odd}");
        }
    }

    #[test]
    fn threads_are_those_behind_the_slash() {
        assert_eq!(threads_count("0.50 0.60 0.34 8/306 8888\n"), Some(306));
        for odd in ["", "0.50 0.60 0.34", "0 0 0 306 8888", "0 0 0 8/x 8888"] {
            assert_eq!(threads_count(odd), None, "{odd}");
        }
    }

    #[test]
    fn entries_are_those_below_the_heading() {
        let heading =
            "IP address       HW type     Flags       HW address            Mask     Device\n";
        let entry =
            "10.0.0.1         0x1         0x2         02:00:00:00:00:01     *        eth0\n";
        assert_eq!(neighbours_count(&format!("{heading}{entry}{entry}")), 2);
        assert_eq!(neighbours_count(heading), 0);
        assert_eq!(neighbours_count(""), 0);
    }

    #[test]
    fn addresses_are_counted_once_and_without_loopback() {
        let trie = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.0.0/24 2 0 2
        |-- 10.0.0.7
           /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
Local:
        |-- 10.0.0.7
           /32 host LOCAL
        |-- 10.0.0.8
           /32 host LOCAL
";
        assert_eq!(local_addresses(trie), 2);
        assert_eq!(local_addresses(""), 0);
        // What is below no address is none.
        assert_eq!(local_addresses("           /32 host LOCAL\n"), 0);
    }

    #[test]
    fn addresses_of_ipv6_need_no_scope() {
        let table = "\
00000000000000000000000000000001 01 80 10 80       lo
fe800000000000000000000000000001 02 40 20 80     eth0
fd000000000000000000000000000001 02 40 00 80     eth0
";
        assert_eq!(local_addresses_v6(table), 1);
        assert_eq!(local_addresses_v6("\n"), 0);
    }
}
