//! The tuples to dial from: which (address, port) comes next.
//!
//! The crowd chooses source ports itself. The kernel then checks one tuple (`SO_REUSEADDR`, `bind`,
//! `connect`: O(1)), where leaving the port to it costs a scan that makes `connect` a hundred times
//! slower once half of the range is taken (`__inet_hash_connect`).

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use capacity::{Sources, tuples};
use engine::{Cause, Time};
use rustix::io::Errno;

/// How long a tuple rests after this side closed first: TIME_WAIT, 60 s (`TCP_TIMEWAIT_LEN`), and
/// one more for the clocks.
const REST: Duration = Duration::from_secs(61);

/// A source address and port: where a connection is dialled from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tuple {
    /// The address, by its place in the list of sources.
    address: u16,
    port: u16,
}

/// One shard's tuples towards one destination.
///
/// Shard `s` of `n` owns every `n`-th port of every address, so shards never meet. Addresses take
/// turns. On each address the ports go round once in an order of the run's own, so that a run soon
/// after another seldom meets two of its predecessor's TIME_WAITs in a row.
#[derive(Debug)]
pub(crate) struct Tuples {
    addresses: Vec<IpAddr>,
    destination: SocketAddr,
    /// The first port of this shard, and the step to its next.
    first: u32,
    step: u32,
    /// Ports of this shard on each address.
    ports: u32,
    /// The place among the ports at which the round starts.
    offset: u32,
    /// From one place to the next; has no divisor in common with `ports`, so the round misses none.
    stride: u32,
    /// Tuples handed out for the first time, over all addresses.
    taken: u64,
    /// Tuples that were given back and may be used at once, with the time since when.
    free: VecDeque<(Time, Tuple)>,
    /// Tuples that were given back to rest, with the time from which on they may be used.
    resting: VecDeque<(Time, Tuple)>,
}

/// Whether a tuple that is given back can be used at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// This side's kernel remembers nothing of the connection.
    None,
    /// This side may have closed first, or somebody else uses the tuple.
    TimeWait,
}

impl Rest {
    /// What the tuple of a connection needs that ended so.
    ///
    /// There is no TIME_WAIT where nothing was ever open, where the peer ended the stream first, or
    /// after a reset. The engine answers a close frame and ends its half of the stream with that, so
    /// then this side is the first, whoever sent the first close frame.
    pub(crate) const fn after(cause: &Cause) -> Self {
        match cause {
            Cause::Connect(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL) => Self::TimeWait,
            Cause::Connect(_)
            | Cause::PeerGone
            | Cause::Socket(_)
            | Cause::HandshakeTimeout
            | Cause::Aborted => Self::None,
            _ => Self::TimeWait,
        }
    }
}

impl Tuples {
    /// The part of shard `shard` of `shards` in the tuples from `sources` to `destination`.
    /// `random` decides the order.
    pub(crate) fn new(
        sources: &Sources,
        destination: SocketAddr,
        shard: u16,
        shards: u16,
        random: u64,
    ) -> Self {
        let (shard, step) = (u32::from(shard), u32::from(shards.max(1)));
        let all = tuples::PORTS_COUNT as u32;
        let ports = all.saturating_sub(shard).div_ceil(step);
        Self {
            addresses: sources.addresses().collect(),
            destination,
            first: u32::from(*tuples::PORTS.start()) + shard,
            step,
            ports,
            offset: (random % u64::from(ports.max(1))) as u32,
            stride: stride(ports, (random >> 32) as u32),
            taken: 0,
            free: VecDeque::new(),
            resting: VecDeque::new(),
        }
    }

    /// The next tuple: one that was not used yet, or the one that has been free for the longest;
    /// `None` while all are in use or resting.
    pub(crate) fn take(&mut self, now: Time) -> Option<Tuple> {
        while let Some(tuple) = self.take_fresh() {
            if self.socket_addr(tuple) != self.destination {
                return Some(tuple);
            }
            // A connection from the server's own address and port would be one to itself.
        }
        // Both are sorted by time, so the first of all is one of the first.
        let queues = [&mut self.free, &mut self.resting].into_iter();
        let queue = queues
            .filter(|queue| !queue.is_empty())
            .min_by_key(|queue| queue[0].0)?;
        let (_, tuple) = queue.pop_front_if(|&mut (since, _)| since <= now)?;
        Some(tuple)
    }

    /// Gives a tuple back.
    pub(crate) fn give_back(&mut self, tuple: Tuple, rest: Rest, now: Time) {
        match rest {
            Rest::None => self.free.push_back((now, tuple)),
            Rest::TimeWait => self.resting.push_back((now.after(REST), tuple)),
        }
    }

    /// The address and port of a tuple.
    pub(crate) fn socket_addr(&self, tuple: Tuple) -> SocketAddr {
        SocketAddr::new(self.addresses[usize::from(tuple.address)], tuple.port)
    }

    /// Where all these tuples lead.
    pub(crate) fn destination(&self) -> SocketAddr {
        self.destination
    }

    fn take_fresh(&mut self) -> Option<Tuple> {
        let addresses = self.addresses.len() as u64;
        let round = self.taken / addresses;
        if round >= u64::from(self.ports) {
            return None;
        }
        let address = (self.taken % addresses) as u16;
        self.taken += 1;
        // Both factors are below 2^16, so neither the product nor the sum overflows.
        let place = (self.offset + round as u32 * self.stride) % self.ports;
        let port = (self.first + place * self.step) as u16;
        Some(Tuple { address, port })
    }
}

/// A step that visits each of `ports` places once per round, chosen by `random`.
fn stride(ports: u32, random: u32) -> u32 {
    let mut stride = random % ports.max(1);
    // 1 is always reached, and has no divisor in common with anything.
    while greatest_common_divisor(stride, ports) != 1 {
        stride = (stride + 1) % ports.max(2);
    }
    stride
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use proto::ws::CloseCode;

    use super::*;

    fn tuples(sources: &str, shard: u16, shards: u16, random: u64) -> Tuples {
        let sources = sources.parse().expect("sources");
        let destination = "127.0.0.1:4000".parse().expect("an address");
        Tuples::new(&sources, destination, shard, shards, random)
    }

    fn drain(mut tuples: Tuples) -> Vec<SocketAddr> {
        std::iter::from_fn(|| {
            tuples
                .take(Time::ZERO)
                .map(|tuple| tuples.socket_addr(tuple))
        })
        .collect()
    }

    #[test]
    fn addresses_take_turns() {
        let taken = drain(tuples("127.0.0.2-127.0.0.3", 0, 1, 5));
        assert_eq!(taken.len() as u64, 2 * tuples::PORTS_COUNT);
        for turn in taken.chunks(2) {
            assert_eq!(turn[0].ip().to_string(), "127.0.0.2");
            assert_eq!(turn[1].ip().to_string(), "127.0.0.3");
            assert_eq!(turn[0].port(), turn[1].port());
        }
    }

    #[test]
    fn runs_take_ports_in_different_orders() {
        let first: HashSet<_> = drain(tuples("127.0.0.2", 0, 1, 1 << 40 | 77))
            .into_iter()
            .take(15_000)
            .collect();
        let second = drain(tuples("127.0.0.2", 0, 1, 0x1234_5678_9abc_def0));
        // A quarter of the ports are in use; a run that met them in a row would try for long.
        let longest = second
            .split(|source| !first.contains(source))
            .map(<[SocketAddr]>::len)
            .max();
        assert!(longest < Some(50), "{longest:?} busy tuples in a row");
    }

    #[test]
    fn the_servers_own_port_on_its_own_address_is_left_out() {
        let taken = drain(tuples("127.0.0.1", 0, 1, 0));
        assert_eq!(taken.len() as u64, tuples::PORTS_COUNT - 1);
        assert!(!taken.iter().any(|source| source.port() == 4000));
        assert!(
            drain(tuples("127.0.0.2", 0, 1, 0))
                .iter()
                .any(|source| source.port() == 4000)
        );
    }

    #[test]
    fn what_was_free_for_the_longest_is_used_first() {
        let mut tuples = tuples("127.0.0.2", 0, 1, 0);
        let all: Vec<_> = std::iter::from_fn(|| tuples.take(Time::ZERO)).collect();
        let at = |secs| Time::ZERO.after(Duration::from_secs(secs));
        tuples.give_back(all[0], Rest::TimeWait, at(0));
        tuples.give_back(all[1], Rest::None, at(1));
        tuples.give_back(all[2], Rest::None, at(2));
        tuples.give_back(all[3], Rest::None, at(100));
        assert_eq!(tuples.take(at(3)), Some(all[1]));
        // The first has rested until 61 and the last is free since 100.
        let rest: Vec<_> = std::iter::from_fn(|| tuples.take(at(200))).collect();
        assert_eq!(rest, [all[2], all[0], all[3]]);
    }

    #[test]
    fn tuples_rest_wherever_this_side_may_have_closed_first() {
        let peer = Cause::Peer {
            code: None,
            reason: "".into(),
        };
        for (cause, rest) in [
            (Cause::Connect(Errno::ADDRNOTAVAIL), Rest::TimeWait),
            (Cause::Connect(Errno::ADDRINUSE), Rest::TimeWait),
            (Cause::Connect(Errno::CONNREFUSED), Rest::None),
            (peer, Rest::TimeWait),
            (Cause::Local(CloseCode::NORMAL), Rest::TimeWait),
            (Cause::Status(403), Rest::TimeWait),
            (Cause::SlowConsumer, Rest::TimeWait),
            (Cause::PeerGone, Rest::None),
            (Cause::Socket(Errno::CONNRESET), Rest::None),
            (Cause::HandshakeTimeout, Rest::None),
            (Cause::Aborted, Rest::None),
        ] {
            assert_eq!(Rest::after(&cause), rest, "{cause}");
        }
    }

    #[test]
    fn given_back_tuples_rest_unless_the_peer_closed_first() {
        let mut tuples = tuples("127.0.0.2", 0, 1, 0);
        let all: Vec<_> = std::iter::from_fn(|| tuples.take(Time::ZERO)).collect();
        assert_eq!(tuples.take(Time::ZERO), None);
        let now = Time::from_nanos(1_000_000_000);
        tuples.give_back(all[0], Rest::TimeWait, now);
        tuples.give_back(all[1], Rest::None, now);
        assert_eq!(tuples.take(now), Some(all[1]));
        assert_eq!(tuples.take(now), None);
        assert_eq!(tuples.take(now.after(Duration::from_secs(60))), None);
        assert_eq!(tuples.take(now.after(REST)), Some(all[0]));
        assert_eq!(tuples.take(now.after(REST)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn shards_cover_everything_and_never_meet(shards in 1..9_u16, random: u64) {
            let mut seen = HashSet::new();
            for shard in 0..shards {
                for source in drain(tuples("127.0.0.2,127.0.0.9", shard, shards, random)) {
                    prop_assert!(seen.insert(source), "{} twice", source);
                }
            }
            prop_assert_eq!(seen.len() as u64, 2 * tuples::PORTS_COUNT);
            prop_assert!(seen.iter().all(|source| source.port() >= 1024));
        }
    }
}
