//! What a shard shows of itself while it runs: for the progress line and for deciding when the next
//! stage begins.

use std::sync::atomic::{
    AtomicU8, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

/// What a shard is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Connections are being opened.
    Opening,
    /// Everything is open, as far as it will be, and held.
    Holding,
    /// Publishes to everybody go out, one after the other.
    Broadcasting,
    /// Connections were ended on purpose and come back.
    Dropping,
    /// Nothing is sent any more; outstanding deliveries may still come.
    Settling,
    /// Connections are being closed.
    Closing,
}

impl Stage {
    const ALL: [Self; 6] = [
        Self::Opening,
        Self::Holding,
        Self::Broadcasting,
        Self::Dropping,
        Self::Settling,
        Self::Closing,
    ];
}

/// One shard's gauges: one writer, any readers, no lock.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    stage: AtomicU8,
    /// Connections that are still to be dialled or still on their way.
    unsettled: AtomicU64,
    open: AtomicU64,
    ready: AtomicU64,
    away: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    published: AtomicU64,
    delivered: AtomicU64,
    answered: AtomicU64,
    /// Clients that still miss a publish or a reply.
    waiting: AtomicU64,
    /// The run's publishes at the time when `waiting` was counted.
    waiting_for: AtomicU64,
    /// Broadcasts that have left the shard.
    rounds: AtomicU64,
    /// Drops that the shard has carried out.
    drops: AtomicU64,
}

/// A copy of the gauges, of one shard or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The earliest stage of any shard.
    pub stage: Stage,
    /// Connections that are still to be dialled or still on their way.
    pub unsettled: u64,
    /// Connections whose WebSocket is open, joined or not.
    pub open: u64,
    /// Connections that are open, and joined if that was asked.
    pub ready: u64,
    /// Clients that lost their connection and are to come back.
    pub away: u64,
    /// Connections that could not be opened.
    pub failed: u64,
    /// Connections that were ready once and are gone.
    pub dropped: u64,
    /// Publishes sent.
    pub published: u64,
    /// Deliveries received.
    pub delivered: u64,
    /// Pushes answered.
    pub answered: u64,
    /// Clients that still miss a publish or a reply.
    pub(crate) waiting: u64,
    /// The fewest publishes that any shard knew of when it counted `waiting`.
    pub(crate) waiting_for: u64,
    /// The fewest broadcasts that have left any shard.
    pub(crate) rounds: u64,
    /// The fewest drops that any shard has carried out.
    pub(crate) drops: u64,
}

impl Snapshot {
    /// What nobody has shown anything of.
    pub(crate) const EMPTY: Self = Self {
        stage: Stage::Closing,
        unsettled: 0,
        open: 0,
        ready: 0,
        away: 0,
        failed: 0,
        dropped: 0,
        published: 0,
        delivered: 0,
        answered: 0,
        waiting: 0,
        waiting_for: u64::MAX,
        rounds: u64::MAX,
        drops: u64::MAX,
    };

    /// Both together.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            stage: self.stage.min(other.stage),
            unsettled: self.unsettled + other.unsettled,
            open: self.open + other.open,
            ready: self.ready + other.ready,
            away: self.away + other.away,
            failed: self.failed + other.failed,
            dropped: self.dropped + other.dropped,
            published: self.published + other.published,
            delivered: self.delivered + other.delivered,
            answered: self.answered + other.answered,
            waiting: self.waiting + other.waiting,
            waiting_for: self.waiting_for.min(other.waiting_for),
            rounds: self.rounds.min(other.rounds),
            drops: self.drops.min(other.drops),
        }
    }
}

impl Gauges {
    /// Gauges of a shard that has `unsettled` connections to open.
    pub(crate) fn new(unsettled: u64) -> Self {
        Self {
            unsettled: unsettled.into(),
            ..Self::default()
        }
    }

    /// Shows `now`. Only the owning shard may call this.
    pub(crate) fn show(&self, now: &Snapshot) {
        self.unsettled.store(now.unsettled, Relaxed);
        self.open.store(now.open, Relaxed);
        self.ready.store(now.ready, Relaxed);
        self.away.store(now.away, Relaxed);
        self.failed.store(now.failed, Relaxed);
        self.dropped.store(now.dropped, Relaxed);
        self.published.store(now.published, Relaxed);
        self.delivered.store(now.delivered, Relaxed);
        self.answered.store(now.answered, Relaxed);
        self.waiting.store(now.waiting, Relaxed);
        // These say what the others are about, so they come last: whoever sees a drop sees who is away
        // since, and whoever sees a stage sees what the shard knew when it entered it.
        self.waiting_for.store(now.waiting_for, Release);
        self.rounds.store(now.rounds, Release);
        self.drops.store(now.drops, Release);
        self.stage.store(now.stage as u8, Release);
    }

    /// What was shown last. While the shard shows something, some of it may be newer than `stage`,
    /// `drops`, `rounds` and `waiting_for` say, and none of it older.
    pub(crate) fn read(&self) -> Snapshot {
        Snapshot {
            stage: Stage::ALL[usize::from(self.stage.load(Acquire)) % Stage::ALL.len()],
            drops: self.drops.load(Acquire),
            rounds: self.rounds.load(Acquire),
            waiting_for: self.waiting_for.load(Acquire),
            unsettled: self.unsettled.load(Relaxed),
            open: self.open.load(Relaxed),
            ready: self.ready.load(Relaxed),
            away: self.away.load(Relaxed),
            failed: self.failed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            published: self.published.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            answered: self.answered.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
        }
    }
}

/// What the shards share: how many publishes each topic has seen.
///
/// The publisher raises the number before it sends, and a member reads it after its join was
/// confirmed; [`account`](crate::account) says why that makes expectations exact.
#[derive(Debug)]
pub(crate) struct Sent {
    topics: Box<[AtomicU32]>,
    total: AtomicU64,
}

impl Sent {
    pub(crate) fn new(topics: u32) -> Self {
        Self {
            topics: (0..topics).map(|_| AtomicU32::new(0)).collect(),
            total: AtomicU64::new(0),
        }
    }

    /// The last publish of a topic; 0 before the first, and for a topic that does not exist.
    pub(crate) fn last(&self, topic: u32) -> u32 {
        self.topics
            .get(topic as usize)
            .map_or(0, |last| last.load(SeqCst))
    }

    /// Announces the next publish of a topic and returns its number. Only the topic's publisher
    /// may call this.
    pub(crate) fn announce(&self, topic: u32) -> u32 {
        let last = self.topics[topic as usize].fetch_add(1, SeqCst);
        // After the topic, so that whoever counts for a total knows all publishes that are in it.
        self.total.fetch_add(1, SeqCst);
        last + 1
    }

    /// The publishes of all topics.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_shown_is_read_and_added_up() {
        let one = Gauges::new(5);
        assert_eq!(one.read().unsettled, 5);
        assert_eq!(one.read().stage, Stage::Opening);
        let shown = Snapshot {
            stage: Stage::Settling,
            ready: 2,
            waiting_for: 9,
            drops: 1,
            ..Snapshot::EMPTY
        };
        one.show(&shown);
        assert_eq!(one.read(), shown);
        let both = one.read().plus(Snapshot {
            ready: 3,
            waiting_for: 4,
            drops: 0,
            ..Snapshot::EMPTY
        });
        assert_eq!(
            (both.ready, both.waiting_for, both.drops, both.stage),
            (5, 4, 0, Stage::Settling)
        );
        assert_eq!(shown.plus(Snapshot::EMPTY), shown);
    }

    /// Writes all the time while another thread reads very often.
    fn race(write: impl Fn(u64), read: impl Fn() + Send) {
        thread::scope(|scope| {
            let reader = scope.spawn(move || (0..1_000_000).for_each(|_| read()));
            (1..).take_while(|_| !reader.is_finished()).for_each(write);
        });
    }

    #[test]
    fn what_is_waited_for_is_never_newer_than_who_waits() {
        let gauges = Gauges::new(0);
        race(
            |number| {
                gauges.show(&Snapshot {
                    waiting: number,
                    waiting_for: number,
                    ..Snapshot::EMPTY
                });
            },
            || {
                let seen = gauges.read();
                assert!(seen.waiting >= seen.waiting_for, "{seen:?}");
            },
        );
    }

    #[test]
    fn a_total_has_no_publish_that_its_topic_has_not() {
        let sent = Sent::new(1);
        race(
            |_| {
                sent.announce(0);
            },
            || {
                let total = sent.total();
                assert!(u64::from(sent.last(0)) >= total);
            },
        );
    }

    #[test]
    fn publishes_are_numbered_from_one_in_each_topic() {
        let sent = Sent::new(2);
        assert_eq!((sent.last(0), sent.last(7)), (0, 0));
        assert_eq!(
            (sent.announce(0), sent.announce(0), sent.announce(1)),
            (1, 2, 1)
        );
        assert_eq!((sent.last(0), sent.last(1), sent.total()), (2, 1, 3));
    }
}
