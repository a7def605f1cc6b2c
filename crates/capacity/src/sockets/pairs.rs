//! Who has dialled where, with how many sockets, in bounded memory.
//!
//! A machine that dials a few destinations has few pairs, and all are counted exactly. One that
//! dials a million of them has more than anybody wants to keep or to read; then small pairs make
//! room, and what is known of those that remain is the lossy counting of streams:
//!
//! ```text
//!  table full        ► the smaller half is forgotten; the largest of it had `per_pair_max` at most
//!  a pair comes anew ► it may be of that half, so it may have had as many before: `missed_max`
//! ```
//!
//! A pair with more sockets than `per_pair_max` is thus always in the table, a pair that was never
//! forgotten is exact, and every time that `per_pair_max` rises by one, half a table of sockets has
//! paid for it.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use super::{LocalPorts, Socket, State};
use crate::tuples::{PORTS, PORTS_COUNT};

/// The most pairs that are told apart.
///
/// Of n sockets, a pair that is not listed, or what a listed one may have more than its number, is
/// at most n / 4,096: of a million dialled sockets 244, where a pair has tens of thousands before
/// it is full.
pub const PAIRS_MAX: usize = 8_192;

/// The sockets that share a source address and a destination, and so compete for the source ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// This end's address.
    pub source: IpAddr,
    /// The other end.
    pub destination: SocketAddr,
    /// Sockets that are not in TIME_WAIT.
    pub live_count: u64,
    /// Sockets in TIME_WAIT, each of which keeps its tuple for a minute (`man 7 tcp`); the kernel
    /// gives it to a new connection earlier where `net.ipv4.tcp_tw_reuse` allows it.
    pub time_wait_count: u64,
    /// Those of both whose port was chosen by their program, since the kernel would not have: it is
    /// not among [`LocalPorts`].
    pub explicit_count: u64,
    /// Those of both with a port below 1024, which are not among the [`PORTS`].
    pub privileged_count: u64,
    /// Those of both that are among the inodes that were asked for ([`Tally::of_network`]); one in
    /// TIME_WAIT has none.
    ///
    /// [`Tally::of_network`]: super::Tally::of_network
    pub own_count: u64,
    /// How many sockets more than these there may be; 0 unless there are more than [`PAIRS_MAX`]
    /// pairs.
    pub missed_max: u64,
}

impl Pair {
    const fn new(source: IpAddr, destination: SocketAddr, missed_max: u64) -> Self {
        Self {
            source,
            destination,
            live_count: 0,
            time_wait_count: 0,
            explicit_count: 0,
            privileged_count: 0,
            own_count: 0,
            missed_max,
        }
    }

    /// The tuples that are used, which is all sockets.
    pub const fn used(&self) -> u64 {
        self.live_count + self.time_wait_count
    }

    /// The tuples left for programs that leave the port to the kernel, when it has `ports_count` to
    /// choose from ([`LocalPorts::count`]).
    pub const fn left_to_kernel(&self, ports_count: u64) -> u64 {
        let used = self.used() - self.explicit_count;
        ports_count.saturating_sub(used)
    }

    /// The tuples left for a program that chooses among all [`PORTS`].
    pub const fn left_to_program(&self) -> u64 {
        let used = self.used() - self.privileged_count;
        PORTS_COUNT.saturating_sub(used)
    }

    /// At most so many sockets has the pair.
    const fn used_max(&self) -> u64 {
        self.used() + self.missed_max
    }

    fn add(&mut self, socket: &Socket, ports: &LocalPorts, is_own: bool) {
        let port = socket.local.port();
        match socket.state {
            State::TimeWait => self.time_wait_count += 1,
            _ => self.live_count += 1,
        }
        self.explicit_count += u64::from(!ports.contains(port));
        self.privileged_count += u64::from(port < *PORTS.start());
        self.own_count += u64::from(is_own);
    }
}

/// Dialled sockets that are in no pair of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// How many.
    pub sockets_count: u64,
    /// None of their pairs has more than this.
    pub per_pair_max: u64,
}

/// Counts sockets by pair.
#[derive(Debug)]
pub(super) struct Pairs {
    /// Invariant: at most `pairs_max`, and each may have more than `forgotten.per_pair_max`
    /// sockets.
    by_ends: HashMap<(IpAddr, SocketAddr), Pair>,
    pairs_max: usize,
    forgotten: Others,
}

impl Pairs {
    /// Tells at most `pairs_max` pairs apart.
    pub(super) fn new(pairs_max: usize) -> Self {
        Self {
            by_ends: HashMap::new(),
            pairs_max,
            forgotten: Others::default(),
        }
    }

    pub(super) fn add(&mut self, socket: &Socket, ports: &LocalPorts, is_own: bool) {
        let ends = (socket.local.ip(), socket.remote);
        if let Some(pair) = self.by_ends.get_mut(&ends) {
            return pair.add(socket, ports, is_own);
        }
        if self.by_ends.len() >= self.pairs_max {
            self.forget_half();
        }
        let mut pair = Pair::new(ends.0, ends.1, self.forgotten.per_pair_max);
        pair.add(socket, ports, is_own);
        self.by_ends.insert(ends, pair);
    }

    /// The pairs with most sockets first, and what is in none of them.
    pub(super) fn into_list(self) -> (Vec<Pair>, Others) {
        let mut pairs: Vec<_> = self.by_ends.into_values().collect();
        pairs.sort_unstable_by_key(|pair| {
            let used = std::cmp::Reverse(pair.used());
            (used, pair.source, pair.destination)
        });
        (pairs, self.forgotten)
    }

    /// Makes room: forgets the pairs that have the fewest sockets, at least half of all.
    fn forget_half(&mut self) {
        let mut sizes: Vec<_> = self.by_ends.values().map(Pair::used_max).collect();
        let middle = sizes.len() / 2;
        let (_, median, _) = sizes.select_nth_unstable(middle);
        let per_pair_max = *median;
        let mut sockets_count = 0;
        self.by_ends.retain(|_, pair| {
            let is_kept = pair.used_max() > per_pair_max;
            if !is_kept {
                sockets_count += pair.used();
            }
            is_kept
        });
        self.forgotten.sockets_count += sockets_count;
        // It only rises: every pair in the table may have more than what was forgotten before.
        self.forgotten.per_pair_max = per_pair_max;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::sockets::Family;

    fn socket(source: u8, destination: u16, port: u16, state: State) -> Socket {
        Socket {
            family: Family::V4,
            state,
            local: ([10, 0, 0, source], port).into(),
            remote: ([10, 1, 0, 0], destination).into(),
            rqueue: 0,
            wqueue: 0,
            inode: 1,
            uid: 0,
        }
    }

    #[test]
    fn a_pair_counts_its_sockets_by_how_their_port_was_chosen() {
        let ports = LocalPorts::new(1_024..=2_023, [2_000..=2_009]);
        let mut pairs = Pairs::new(10);
        for (port, state) in [
            (1_024, State::Established),
            (1_025, State::SynSent),
            (2_023, State::TimeWait),
            (2_005, State::Established),
            (2_024, State::TimeWait),
            (1_023, State::CloseWait),
        ] {
            pairs.add(&socket(1, 4_000, port, state), &ports, false);
        }
        pairs.add(&socket(2, 4_000, 1_024, State::Established), &ports, true);
        let (list, others) = pairs.into_list();
        let pair = Pair {
            source: [10, 0, 0, 1].into(),
            destination: ([10, 1, 0, 0], 4_000).into(),
            live_count: 4,
            time_wait_count: 2,
            explicit_count: 3,
            privileged_count: 1,
            own_count: 0,
            missed_max: 0,
        };
        assert_eq!(list[0], pair);
        assert_eq!((list.len(), others), (2, Others::default()));
        assert_eq!((list[1].used(), list[1].own_count), (1, 1));
        assert_eq!(ports.count(), 990);
        assert_eq!(pair.left_to_kernel(ports.count()), 987);
        assert_eq!(pair.left_to_program(), 64_507);
    }

    #[test]
    fn a_crowd_of_strangers_does_not_hide_the_large_pair() {
        let ports = LocalPorts::default();
        let mut pairs = Pairs::new(PAIRS_MAX);
        let (strangers, large) = (300_000_u32, 30_000_u32);
        for number in 0..strangers {
            let mut stranger = socket(1, 443, 40_000, State::Established);
            stranger
                .remote
                .set_ip((0x0b00_0000 + number).to_be_bytes().into());
            pairs.add(&stranger, &ports, false);
            assert!(pairs.by_ends.len() <= PAIRS_MAX);
            if number % 10 == 0 {
                let port = 1_024 + (number / 10) as u16;
                pairs.add(&socket(1, 4_000, port, State::Established), &ports, false);
            }
        }
        let (list, others) = pairs.into_list();
        let total = u64::from(strangers + large);
        assert!(others.per_pair_max <= total / (PAIRS_MAX as u64 / 2));
        assert_eq!(list[0].destination.port(), 4_000);
        assert_eq!((list[0].used(), list[0].missed_max), (u64::from(large), 0));
        let listed: u64 = list.iter().map(Pair::used).sum();
        assert_eq!(listed + others.sockets_count, total);
    }

    proptest! {
        #[test]
        fn what_is_left_and_what_is_used_is_all_there_is(
            live_count in 0..70_000_u64,
            time_wait_count in 0..70_000_u64,
            explicit in 0..=100_u64,
            privileged in 0..=100_u64,
            ports_count in 0..=PORTS_COUNT,
        ) {
            let used = live_count + time_wait_count;
            let explicit_count = used * explicit / 100;
            let pair = Pair {
                live_count,
                time_wait_count,
                explicit_count,
                privileged_count: explicit_count * privileged / 100,
                ..Pair::new([10, 0, 0, 1].into(), ([10, 1, 0, 0], 1).into(), 0)
            };
            let by_kernel = used - pair.explicit_count;
            let left = pair.left_to_kernel(ports_count);
            prop_assert!(left <= ports_count);
            prop_assert_eq!(left == 0, by_kernel >= ports_count);
            prop_assert_eq!(left + by_kernel, ports_count.max(by_kernel));
            let unprivileged = used - pair.privileged_count;
            let left = pair.left_to_program();
            prop_assert_eq!(left + unprivileged, PORTS_COUNT.max(unprivileged));
        }

        /// Against a table without a bound.
        #[test]
        fn no_pair_is_larger_than_is_said(
            dialled in vec((0..4_u8, 0..12_u16, any::<bool>()), 0..400),
            pairs_max in 1..20_usize,
        ) {
            let ports = LocalPorts::default();
            let mut pairs = Pairs::new(pairs_max);
            let mut exact: BTreeMap<_, u64> = BTreeMap::new();
            for (source, destination, is_time_wait) in dialled {
                // A few destinations have most of the sockets.
                let destination = destination * destination / 12;
                let state = if is_time_wait { State::TimeWait } else { State::Established };
                let socket = socket(source, destination, 40_000, state);
                pairs.add(&socket, &ports, false);
                prop_assert!(pairs.by_ends.len() <= pairs_max);
                *exact.entry((socket.local.ip(), socket.remote)).or_default() += 1;
            }
            let total: u64 = exact.values().sum();
            let is_enough = exact.len() <= pairs_max;
            let (list, others) = pairs.into_list();
            prop_assert!(list.is_sorted_by(|a, b| a.used() >= b.used()));
            let listed: u64 = list.iter().map(Pair::used).sum();
            prop_assert_eq!(listed + others.sockets_count, total);
            prop_assert!(others.per_pair_max * pairs_max as u64 <= 2 * total);
            for pair in list {
                let used = exact.remove(&(pair.source, pair.destination)).expect("it was dialled");
                prop_assert!((pair.used()..=pair.used_max()).contains(&used), "{pair:?}: {used}");
                prop_assert!(!is_enough || pair.missed_max == 0);
            }
            prop_assert_eq!(is_enough, exact.is_empty() && others == Others::default());
            for used in exact.into_values() {
                prop_assert!(used <= others.per_pair_max);
            }
        }
    }
}
