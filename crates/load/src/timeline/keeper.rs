//! Who writes the timeline of a crowd: asks every shard once in each period what it has counted and
//! measured since, and puts the answers together.
//!
//! A shard records a duration once, as without a timeline. What it has recorded it hands over as a whole
//! when it is asked, so the keeper also keeps the sum, which becomes part of the run's results again.

use std::{collections::BTreeMap, mem, time::Duration};

use super::{Counts, Measure, Period, Timeline, Used};
use crate::{gauges::Snapshot, latency::Latency, outcome::Outcome};

/// What a shard hands in when it is asked.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) shard: u16,
    /// Of the whole run so far.
    pub(crate) counts: Counts,
    /// Of the whole run so far, by class.
    pub(crate) errors: Errors,
    /// Since the last pulse.
    pub(crate) measured: Measured,
}

/// How often each class of failure happened.
type Errors = BTreeMap<&'static str, u64>;

/// The durations of an outcome, apart from it.
#[derive(Debug, Default)]
pub(crate) struct Measured([Latency; 8]);

/// Which durations of an outcome these are, in their order.
const MEASURES: [Measure; 8] = [
    Measure::Lateness,
    Measure::Connect,
    Measure::Upgrade,
    Measure::Join,
    Measure::Delivery,
    Measure::PublishReply,
    Measure::PushReply,
    Measure::Back,
];

/// Writes a timeline.
#[derive(Debug)]
pub(crate) struct Keeper {
    timeline: Timeline,
    /// How long a period is.
    width: Duration,
    /// When the present period began, since the start of the run.
    since: Duration,
    /// Periods that were written and that nobody was shown yet, with their beginnings in milliseconds.
    fresh: Vec<(u64, Period)>,
    /// The period that is over and of which not all is known.
    open: Option<Open>,
    /// What each shard has told last.
    told: Vec<(Counts, Errors)>,
    /// What the periods so far have of it, all together.
    written: (Counts, Errors),
    /// Whether a shard was asked and has not answered.
    is_owing: Vec<bool>,
    /// Durations of the present period.
    measured: Measured,
    /// Those of all periods before.
    all: Measured,
}

#[derive(Debug)]
struct Open {
    start: Duration,
    period: Period,
}

impl Keeper {
    /// A keeper for so many shards, whose periods are a second.
    pub(crate) fn new(shards: u16) -> Self {
        let width = Duration::from_secs(1);
        let shards = usize::from(shards);
        Self {
            timeline: Timeline::new(width),
            width,
            since: Duration::ZERO,
            fresh: Vec::new(),
            open: None,
            told: vec![(Counts::default(), Errors::new()); shards],
            written: (Counts::default(), Errors::new()),
            is_owing: vec![false; shards],
            measured: Measured::default(),
            all: Measured::default(),
        }
    }

    /// Whether the present period is over.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        now >= self.since + self.width
    }

    /// Ends the present period, at whose end this was there. Returns the shards that are to be asked: those
    /// that do not owe an answer already.
    pub(crate) fn end_period(
        &mut self,
        now: Duration,
        crowd: &Snapshot,
        limits: Vec<Used>,
    ) -> Vec<u16> {
        // Who has not answered for the one before says it with this one.
        self.write();
        self.open = Some(Open {
            start: self.since,
            period: period_of(now - self.since, crowd, limits),
        });
        // Periods stay where they are, however late one looks.
        let passed = now.as_nanos() / self.width.as_nanos();
        self.since = self.width * u32::try_from(passed).unwrap_or(u32::MAX);
        let free = (0..).zip(&mut self.is_owing).filter(|(_, owes)| !**owes);
        free.map(|(shard, owes)| {
            *owes = true;
            shard
        })
        .collect()
    }

    /// The periods that were written since this was asked the last time: for who follows the run. Whoever
    /// ends periods asks after each, so there are one or two.
    pub(crate) fn take_fresh(&mut self) -> Vec<(u64, Period)> {
        mem::take(&mut self.fresh)
    }

    /// Takes what a shard has answered.
    pub(crate) fn take(&mut self, pulse: Pulse) {
        let shard = usize::from(pulse.shard);
        self.told[shard] = (pulse.counts, pulse.errors);
        self.is_owing[shard] = false;
        self.measured.merge(&pulse.measured);
        if self.is_owing.iter().all(|owes| !owes) {
            self.write();
        }
    }

    /// Ends the last period with what all shards have handed in at their end, gives that the durations of
    /// all periods, and the timeline.
    pub(crate) fn finish(
        mut self,
        outcome: &mut Outcome,
        now: Duration,
        crowd: &Snapshot,
        limits: Vec<Used>,
    ) -> Timeline {
        self.write();
        self.told = vec![(counts(outcome), errors(outcome))];
        self.measured.merge(&Measured::take(outcome));
        self.open = Some(Open {
            start: self.since,
            period: period_of(now.saturating_sub(self.since), crowd, limits),
        });
        self.write();
        self.all.put_into(outcome);
        self.timeline
    }

    /// Writes the period that is over, if one is.
    fn write(&mut self) {
        let Some(Open { start, mut period }) = self.open.take() else {
            return;
        };
        let mut all = (Counts::default(), Errors::new());
        for (counts, errors) in &self.told {
            all.0 = all.0.plus(*counts);
            for (&class, count) in errors {
                *all.1.entry(class).or_default() += count;
            }
        }
        period.counts = all.0.since(self.written.0);
        for (&class, &count) in &all.1 {
            let before = self.written.1.get(class).copied().unwrap_or(0);
            if count > before {
                period.errors.insert(class.to_owned(), count - before);
            }
        }
        self.written = all;
        let measured = mem::take(&mut self.measured);
        for (measure, latency) in MEASURES.into_iter().zip(&measured.0) {
            let spectrum = latency.spectrum();
            if spectrum.count() > 0 {
                period.latencies.insert(measure, spectrum);
            }
        }
        // A connection is dialled once with a lateness, and each time it is to come back.
        self.all.merge(&measured);
        let start = u64::try_from(start.as_millis()).unwrap_or(u64::MAX);
        self.fresh.push((start, period.clone()));
        self.timeline.add(start, period);
    }
}

fn period_of(covered: Duration, crowd: &Snapshot, limits: Vec<Used>) -> Period {
    Period {
        covered_ms: u64::try_from(covered.as_millis()).unwrap_or(u64::MAX),
        open: crowd.open,
        ready: crowd.ready,
        away: crowd.away,
        limits,
        ..Period::default()
    }
}

/// What an outcome has counted so far.
pub(crate) fn counts(outcome: &Outcome) -> Counts {
    Counts {
        dialled: outcome.dialled + outcome.returns.attempts,
        readied: outcome.readied,
        failed: outcome.not_opened.total(),
        dropped: outcome.dropped.total(),
        disconnected: outcome.returns.disconnected,
        back: outcome.returns.back,
        completed: 0,
        sent: outcome.publishes.sent + outcome.pushes.sent,
        received: outcome.deliveries.received,
        answered: outcome.pushes.answered,
        sent_bytes: 0,
        received_bytes: 0,
    }
}

/// The failures that an outcome has counted so far.
pub(crate) fn errors(outcome: &Outcome) -> Errors {
    let mut errors = Errors::new();
    let all = [
        &outcome.not_opened,
        &outcome.dropped,
        &outcome.disconnected,
        &outcome.returns_failed,
    ];
    for (failure, count) in all.into_iter().flat_map(|failures| failures.iter()) {
        *errors.entry(failure.class()).or_default() += count;
    }
    errors
}

impl Measured {
    /// Takes the durations out of an outcome.
    pub(crate) fn take(outcome: &mut Outcome) -> Self {
        Self(places(outcome).map(Latency::take))
    }

    /// Puts them back.
    pub(crate) fn put_into(&self, outcome: &mut Outcome) {
        for (into, latency) in places(outcome).into_iter().zip(&self.0) {
            into.merge(latency);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.merge(theirs);
        }
    }
}

/// The durations of an outcome, in the order of [`MEASURES`].
fn places(outcome: &mut Outcome) -> [&mut Latency; 8] {
    [
        &mut outcome.lateness,
        &mut outcome.connect,
        &mut outcome.upgrade,
        &mut outcome.join,
        &mut outcome.delivery,
        &mut outcome.publish_reply,
        &mut outcome.push_reply,
        &mut outcome.back,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    const MS: Duration = Duration::from_millis(1);

    fn pulse(shard: u16, outcome: &mut Outcome) -> Pulse {
        Pulse {
            shard,
            counts: counts(outcome),
            errors: errors(outcome),
            measured: Measured::take(outcome),
        }
    }

    fn crowd(ready: u64) -> Snapshot {
        Snapshot {
            ready,
            ..Snapshot::EMPTY
        }
    }

    #[test]
    fn everything_is_in_one_period_and_in_the_results() {
        let mut shards = [Outcome::new(), Outcome::new()];
        let mut keeper = Keeper::new(2);
        assert!(!keeper.is_due(999 * MS) && keeper.is_due(1_000 * MS));
        shards[0].join.record(3 * MS);
        shards[0].readied = 1;
        shards[1].not_opened.count(Failure::Refused);
        assert_eq!(keeper.end_period(1_020 * MS, &crowd(1), Vec::new()), [0, 1]);
        keeper.take(pulse(0, &mut shards[0]));
        // What the second shard says too late is in the next period.
        shards[0].readied = 3;
        shards[0].join.record(5 * MS);
        assert_eq!(keeper.end_period(2_000 * MS, &crowd(3), Vec::new()), [0]);
        keeper.take(pulse(0, &mut shards[0]));
        keeper.take(pulse(1, &mut shards[1]));
        shards[1].join.record(7 * MS);
        shards[1].readied = 1;
        let [mut all, other] = shards;
        all.merge(other);
        let timeline = keeper.finish(&mut all, 2_500 * MS, &crowd(0), Vec::new());
        let seen: Vec<_> = timeline
            .periods()
            .iter()
            .map(|one| {
                let joins = one.latencies.get(&Measure::Join);
                let joins = joins.map_or(0, crate::Spectrum::count);
                (
                    one.covered_ms,
                    one.ready,
                    one.counts.readied,
                    one.errors.len(),
                    joins,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [(1_000, 1, 1, 0, 1), (1_000, 3, 2, 1, 1), (500, 0, 1, 0, 1)]
        );
        assert_eq!(all.join.percentiles().count, 3);
    }
}
