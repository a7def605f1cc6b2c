//! What a shard shows of itself while it runs: for the progress line and for deciding when the next
//! stage begins.

use std::sync::atomic::{
    AtomicU8, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use serde::{Deserialize, Serialize};

/// What a shard is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}
