//! Clients whose connection has ended and that come back by themselves.
//!
//! ```text
//!         ended                    its wait is over         ready again
//! (there) ──────► waiting ─────────────────────► under way ─────────────► (there)
//!                    ▲                               │
//!                    └───────────────────────────────┘ not this time: the next wait is longer
//! ```
//!
//! A client that waits has no connection and no place in the table of clients: it is 24 bytes in a
//! heap, by the end of its wait. One that is under way is remembered by its slot; as many are under
//! way as handshakes may be unfinished. So nobody who is there pays for those who are not.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use engine::Time;
use serde::{Deserialize, Serialize};

/// How long a client waits before it tries to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// As phoenix.js does: 10, 50, 100, 150, 200, 250, 500, 1000, 2000 ms, then always 5 s.
    Phoenix,
    /// Each wait drawn evenly from nothing to twice the one of phoenix.js, so that clients whose
    /// connections ended together do not come back together.
    Jitter,
}

/// The waits of phoenix.js in milliseconds, by the number of tries.
const WAITS_MS: [u64; 9] = [10, 50, 100, 150, 200, 250, 500, 1_000, 2_000];
/// The wait before every later try.
const WAIT_MS_MAX: u64 = 5_000;

impl Backoff {
    /// The longest wait.
    pub(crate) const fn wait_max(self) -> Duration {
        match self {
            Self::Phoenix => Duration::from_millis(WAIT_MS_MAX),
            Self::Jitter => Duration::from_millis(2 * WAIT_MS_MAX),
        }
    }

    /// The wait before the next try of a client that has tried `tries` times in vain; `random` is
    /// any number, all equally likely.
    pub(crate) fn wait(self, tries: u8, random: u32) -> Duration {
        let millis = WAITS_MS
            .get(usize::from(tries))
            .copied()
            .unwrap_or(WAIT_MS_MAX);
        match self {
            Self::Phoenix => Duration::from_millis(millis),
            Self::Jitter => {
                let micros = 2_000 * millis * u64::from(random) / u64::from(u32::MAX);
                Duration::from_micros(micros)
            }
        }
    }
}

/// Who ended a connection that is to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Parting {
    /// The crowd itself, to see it come back.
    Ours,
    /// The server, the network or the kernel.
    Theirs,
}

/// A client that is to come back; 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Comeback {
    /// When its connection ended.
    pub(crate) left: Time, // 8
    pub(crate) topic: u32, // 4
    /// Tries in vain, at most 255 are counted.
    tries: u8, // 1
    pub(crate) parting: Parting, // 1
}

/// A client that waits; 24 bytes. Ordered by the end of its wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    until: Time,
    comeback: Comeback,
}

const _: () = assert!(size_of::<Waiting>() == 24);

/// One shard's clients that are to come back.
#[derive(Debug, Default)]
pub(crate) struct Comebacks {
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// By the slot of the new connection.
    under_way: HashMap<u32, Comeback>,
}

impl Comeback {
    /// A client of `topic` whose connection ended at `left`.
    pub(crate) const fn new(topic: u32, left: Time, parting: Parting) -> Self {
        Self {
            left,
            topic,
            tries: 0,
            parting,
        }
    }
}

impl Comebacks {
    /// Lets a client wait for its next try, from `now` on.
    pub(crate) fn wait(&mut self, comeback: Comeback, backoff: Backoff, random: u32, now: Time) {
        let until = now.after(backoff.wait(comeback.tries, random));
        let comeback = Comeback {
            tries: comeback.tries.saturating_add(1),
            ..comeback
        };
        self.waiting.push(Reverse(Waiting { until, comeback }));
    }

    /// When the first wait is over.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.waiting.peek().map(|Reverse(first)| first.until)
    }

    /// Takes the client whose wait is over first.
    pub(crate) fn take(&mut self) -> Option<Comeback> {
        self.waiting.pop().map(|Reverse(first)| first.comeback)
    }

    /// Notes that a client is under way in slot `index`.
    pub(crate) fn depart(&mut self, index: u32, comeback: Comeback) {
        self.under_way.insert(index, comeback);
    }

    /// Whether the client in slot `index` is on its way back.
    pub(crate) fn is_under_way(&self, index: u32) -> bool {
        self.under_way.contains_key(&index)
    }

    /// Ends the way of the client in slot `index`, if it was on its way back.
    pub(crate) fn arrive(&mut self, index: u32) -> Option<Comeback> {
        self.under_way.remove(&index)
    }

    /// Clients that wait.
    pub(crate) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Clients that are under way and have a slot.
    pub(crate) fn under_way_count(&self) -> usize {
        self.under_way.len()
    }

    /// Gives up all that wait, and returns how many they were.
    pub(crate) fn give_up(&mut self) -> usize {
        std::mem::take(&mut self.waiting).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn waits_are_those_of_phoenix_js() {
        let waits: Vec<_> = (0..12)
            .map(|tries| Backoff::Phoenix.wait(tries, 7).as_millis())
            .collect();
        let expected = [
            10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000, 5000, 5000,
        ];
        assert_eq!(waits, expected);
        assert_eq!(Backoff::Phoenix.wait(255, 7), Backoff::Phoenix.wait_max());
    }

    #[test]
    fn jitter_keeps_the_mean_and_the_bounds() {
        let jitter = |random| Backoff::Jitter.wait(255, random);
        assert_eq!(jitter(0), Duration::ZERO);
        assert_eq!(jitter(u32::MAX), Backoff::Jitter.wait_max());
        let middle = jitter(u32::MAX / 2);
        assert!(middle.abs_diff(Duration::from_secs(5)) < Duration::from_millis(1));
    }

    #[test]
    fn who_waits_is_taken_in_the_order_of_the_waits() {
        let mut comebacks = Comebacks::default();
        let client = |topic| Comeback::new(topic, at(0), Parting::Theirs);
        for (topic, now) in [(1, 20), (2, 0), (3, 10)] {
            comebacks.wait(client(topic), Backoff::Phoenix, 0, at(now));
        }
        assert_eq!(comebacks.next_time(), Some(at(10)));
        let first = comebacks.take().expect("one waits");
        assert_eq!(first.topic, 2);
        comebacks.depart(9, first);
        assert!(comebacks.is_under_way(9) && !comebacks.is_under_way(8));
        // In vain: the second wait is longer.
        let first = comebacks.arrive(9).expect("it was under way");
        comebacks.wait(first, Backoff::Phoenix, 0, at(10));
        let order: Vec<_> = std::iter::from_fn(|| comebacks.take()).collect();
        let topics: Vec<_> = order.iter().map(|comeback| comeback.topic).collect();
        assert_eq!(topics, [3, 1, 2]);
        assert!(order.iter().all(|comeback| comeback.left == at(0)));
        comebacks.wait(order[0], Backoff::Phoenix, 0, at(10));
        assert_eq!((comebacks.waiting_count(), comebacks.give_up()), (1, 1));
        assert_eq!(comebacks.next_time(), None);
    }
}
