//! A run over time: what was there and what happened in each period, within bounded memory.
//!
//! Periods are of equal width, a second at first. When there are more than [`Timeline::PERIODS_MAX`], they
//! become twice as wide and merge in pairs, so a timeline of a day takes no more memory than one of ten
//! minutes. Counts add up and durations are kept as a [`Spectrum`], so the timelines of several machines
//! merge as if one had seen it all.

mod keeper;
mod spectrum;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

pub(crate) use self::keeper::{Keeper, Measured, Pulse, counts, errors};
pub use self::spectrum::Spectrum;

/// A run, period by period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The width of each period.
    #[serde(deserialize_with = "width")]
    width_ms: u64,
    periods: Vec<Period>,
}

/// What was there at the end of a period, and what happened in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Period {
    /// How much of its width it covers; the last one of a run may be short, and one that nobody saw is 0.
    pub covered_ms: u64,
    /// WebSockets that were open.
    pub open: u64,
    /// Connections that were ready: joined, too, if that was asked.
    pub ready: u64,
    /// Clients that were to come back.
    pub away: u64,
    /// What happened.
    pub counts: Counts,
    /// Failures, by the stable name of their class.
    pub errors: BTreeMap<String, u64>,
    /// Durations.
    pub latencies: BTreeMap<Measure, Spectrum>,
    /// Limits and what was used of them, by whose they are and what they are called.
    pub limits: Vec<Used>,
}

/// What happened in a period, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that were dialled; users that arrived.
    pub dialled: u64,
    /// Connections that got ready for the first time; WebSockets of users that were opened.
    pub readied: u64,
    /// Connections that did not get ready; users that failed.
    pub failed: u64,
    /// Connections that were ready and ended for good.
    pub dropped: u64,
    /// Connections that ended and were to come back.
    pub disconnected: u64,
    /// Clients that were back.
    pub back: u64,
    /// Users that came to the end of their scenario.
    pub completed: u64,
    /// Messages sent, without heartbeats.
    pub sent: u64,
    /// Messages received: deliveries of publishes; of users, all.
    pub received: u64,
    /// Pushes answered; steps that got the message that they waited for.
    pub answered: u64,
    /// Bytes sent, where they are known.
    pub sent_bytes: u64,
    /// Bytes received, where they are known.
    pub received_bytes: u64,
}

/// What a duration is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measure {
    /// How much later than intended connections were dialled.
    Lateness,
    /// From the intended dial to the established connection; of users, to the open WebSocket.
    Connect,
    /// From there to the open WebSocket.
    Upgrade,
    /// From the join to its reply.
    Join,
    /// From a publish's intended sending to each delivery.
    Delivery,
    /// From a publish's intended sending to its reply.
    PublishReply,
    /// From a push's intended sending to its reply.
    PushReply,
    /// From when a step was meant to send to the message that it waited for.
    Response,
    /// From the end of a connection until its client was ready again.
    Back,
    /// From a user's arrival to its end.
    Session,
}

/// What is used of a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Used {
    /// Whose limit it is: `this machine`, or the target that is watched.
    pub whose: String,
    /// Its name.
    pub name: String,
    /// How much is used.
    pub used: f64,
    /// How much there may be, if that is bounded.
    pub ceiling: Option<f64>,
}

impl Used {
    /// Whose limits are those of the machine that looks at them.
    pub(crate) const OWN: &str = "this machine";
}

/// Reads a width, which is not zero: widened periods would never be as wide as others.
fn width<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match u64::deserialize(from)? {
        0 => Err(D::Error::custom(
            "periods of 0 ms: expected a millisecond at least",
        )),
        width_ms => Ok(width_ms),
    }
}

impl Default for Timeline {
    /// Periods of a second.
    fn default() -> Self {
        Self::new(Duration::from_secs(1))
    }
}

impl Timeline {
    /// The most periods, after which they become wider.
    pub const PERIODS_MAX: usize = 600;
    /// Limits of one period, at most: those of 64 agents, five each, and of a target, 32. One takes about 110
    /// bytes, so they are 24 MB at most in all periods of the longest run, and less than 4 MB with three agents.
    pub const LIMITS_MAX: usize = 512;
    /// Different classes of failures in one period, at most; there are fewer.
    const ERRORS_MAX: usize = 64;

    /// A timeline of periods of this width, at least a millisecond, without any yet.
    pub fn new(width: Duration) -> Self {
        Self {
            width_ms: u64::try_from(width.as_millis()).unwrap_or(u64::MAX).max(1),
            periods: Vec::new(),
        }
    }

    /// The width of each period in milliseconds.
    pub fn width_ms(&self) -> u64 {
        self.width_ms
    }

    /// The periods in their order, the first at the start of the run.
    pub fn periods(&self) -> &[Period] {
        &self.periods
    }

    /// Adds what happened in the period that began at `start_ms` of the run, which may be seen in parts.
    pub fn add(&mut self, start_ms: u64, period: Period) {
        while start_ms / self.width_ms >= Self::PERIODS_MAX as u64 {
            self.widen();
        }
        let place = (start_ms / self.width_ms) as usize;
        if place >= self.periods.len() {
            self.periods.resize_with(place + 1, Period::default);
        }
        let width_ms = self.width_ms;
        let into = &mut self.periods[place];
        let covered_ms = into.covered_ms + period.covered_ms;
        into.follow(period);
        into.covered_ms = covered_ms.min(width_ms);
    }

    /// Says of limits of the machine that has seen this whose they are, for whoever merges those of several.
    pub(crate) fn name_machine(&mut self, name: &str) {
        let limits = self.periods.iter_mut().flat_map(|one| &mut one.limits);
        limits.for_each(|used| used.name_machine(name));
    }

    /// Adds what another machine has seen in the same run.
    pub fn merge(&mut self, mut other: Self) {
        while self.width_ms < other.width_ms {
            self.widen();
        }
        while other.width_ms < self.width_ms {
            other.widen();
        }
        // The widths are equal now, unless somebody has made one of another kind.
        for (number, theirs) in (0_u64..).zip(other.periods) {
            let place = (number.saturating_mul(other.width_ms) / self.width_ms) as usize;
            if place >= self.periods.len() {
                self.periods.resize_with(place + 1, Period::default);
            }
            self.periods[place].join(theirs);
        }
    }

    /// The same in at most so many periods.
    #[must_use]
    pub fn in_periods(&self, most: usize) -> Self {
        let mut wide = self.clone();
        while wide.periods.len() > most.max(1) {
            wide.widen();
        }
        wide
    }

    /// Makes periods twice as wide.
    fn widen(&mut self) {
        let mut pairs = std::mem::take(&mut self.periods).into_iter();
        while let Some(mut first) = pairs.next() {
            if let Some(second) = pairs.next() {
                first.follow(second);
            }
            self.periods.push(first);
        }
        self.width_ms = self.width_ms.saturating_mul(2);
    }
}

impl Period {
    /// Adds what came after it: of what is there, the later counts.
    pub fn follow(&mut self, later: Self) {
        if later.covered_ms > 0 {
            (self.open, self.ready, self.away) = (later.open, later.ready, later.away);
        }
        if !later.limits.is_empty() {
            self.limits = later.limits;
            self.limits.truncate(Timeline::LIMITS_MAX);
        }
        self.covered_ms += later.covered_ms;
        self.happened(later.counts, later.errors, &later.latencies);
    }

    /// Adds what another machine saw at the same time.
    pub(crate) fn join(&mut self, other: Self) {
        self.open += other.open;
        self.ready += other.ready;
        self.away += other.away;
        self.covered_ms = self.covered_ms.max(other.covered_ms);
        let room = Timeline::LIMITS_MAX.saturating_sub(self.limits.len());
        self.limits.extend(other.limits.into_iter().take(room));
        self.happened(other.counts, other.errors, &other.latencies);
    }

    fn happened(
        &mut self,
        counts: Counts,
        errors: BTreeMap<String, u64>,
        latencies: &BTreeMap<Measure, Spectrum>,
    ) {
        self.counts = self.counts.plus(counts);
        for (class, count) in errors {
            let has_room = self.errors.len() < Timeline::ERRORS_MAX;
            if has_room || self.errors.contains_key(&class) {
                *self.errors.entry(class).or_default() += count;
            }
        }
        for (&measure, spectrum) in latencies {
            self.latencies.entry(measure).or_default().merge(spectrum);
        }
    }
}

impl Used {
    /// Says of a limit of the machine that has looked whose it is.
    pub(crate) fn name_machine(&mut self, name: &str) {
        if self.whose == Self::OWN {
            name.clone_into(&mut self.whose);
        }
    }

    /// What is used of a limit.
    pub fn new(whose: &str, name: &str, used: f64, ceiling: Option<f64>) -> Self {
        Self {
            whose: whose.to_owned(),
            name: name.to_owned(),
            used,
            ceiling,
        }
    }
}

impl Counts {
    /// Both together.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// What was added since `before`.
    #[must_use]
    pub(crate) fn since(self, before: Self) -> Self {
        self.with(before, u64::saturating_sub)
    }

    fn with(self, other: Self, both: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            dialled: both(self.dialled, other.dialled),
            readied: both(self.readied, other.readied),
            failed: both(self.failed, other.failed),
            dropped: both(self.dropped, other.dropped),
            disconnected: both(self.disconnected, other.disconnected),
            back: both(self.back, other.back),
            completed: both(self.completed, other.completed),
            sent: both(self.sent, other.sent),
            received: both(self.received, other.received),
            answered: both(self.answered, other.answered),
            sent_bytes: both(self.sent_bytes, other.sent_bytes),
            received_bytes: both(self.received_bytes, other.received_bytes),
        }
    }
}

impl Measure {
    /// Its stable name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lateness => "lateness",
            Self::Connect => "connect",
            Self::Upgrade => "upgrade",
            Self::Join => "join",
            Self::Delivery => "delivery",
            Self::PublishReply => "publish_reply",
            Self::PushReply => "push_reply",
            Self::Response => "response",
            Self::Back => "back",
            Self::Session => "session",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn period(sent: u64, open: u64) -> Period {
        Period {
            covered_ms: 1_000,
            open,
            counts: Counts {
                sent,
                ..Counts::default()
            },
            errors: BTreeMap::from([("reset".to_owned(), sent)]),
            latencies: BTreeMap::from([(Measure::Join, Spectrum::of([(sent, 1)].into_iter()))]),
            ..Period::default()
        }
    }

    fn total(timeline: &Timeline) -> (u64, u64, u64) {
        let all = timeline.periods.iter();
        all.fold((0, 0, 0), |(sent, errors, joins), one| {
            let spectrum = one.latencies.get(&Measure::Join);
            (
                sent + one.counts.sent,
                errors + one.errors.values().sum::<u64>(),
                joins + spectrum.map_or(0, Spectrum::count),
            )
        })
    }

    #[test]
    fn a_long_run_has_wider_periods_and_loses_nothing() {
        let mut timeline = Timeline::new(SECOND);
        for second in 0..86_400_u64 {
            timeline.add(second * 1_000, period(second % 7, second));
        }
        assert!(timeline.periods.len() <= Timeline::PERIODS_MAX);
        assert!(timeline.periods.len() > Timeline::PERIODS_MAX / 2);
        assert_eq!(timeline.width_ms, 256_000);
        let sent = (0..86_400).map(|second| second % 7).sum();
        assert_eq!(total(&timeline), (sent, sent, 86_400));
        // What is there at the end of a period is what was there at the end of its last second.
        assert_eq!(timeline.periods[0].open, 255);
        assert_eq!(timeline.periods[0].covered_ms, 256_000);
    }

    #[test]
    fn the_same_instants_of_two_machines_meet() {
        let (mut one, mut two) = (Timeline::new(SECOND), Timeline::new(SECOND));
        for second in 0..2_000_u64 {
            one.add(second * 1_000, period(1, 10));
        }
        for second in 0..3_u64 {
            two.add(second * 1_000, period(2, 5));
        }
        let mut other_way = two.clone();
        other_way.merge(one.clone());
        one.merge(two);
        assert_eq!(one, other_way);
        assert_eq!(one.width_ms, 4_000);
        assert_eq!(one.periods[0].open, 15);
        assert_eq!(one.periods[1].open, 10);
        assert_eq!(one.periods[0].counts.sent, 4 + 6);
    }

    #[test]
    fn it_travels_as_json() {
        let mut timeline = Timeline::new(SECOND);
        timeline.add(0, period(3, 1));
        timeline.add(5_000, period(4, 2));
        let text = serde_json::to_string(&timeline).expect("JSON");
        let back: Timeline = serde_json::from_str(&text).expect("the same");
        assert_eq!(back, timeline);
        assert_eq!(timeline.periods[2], Period::default());
        let endless = text.replace("\"width_ms\":1000", "\"width_ms\":0");
        assert_ne!(endless, text);
        let refusal = serde_json::from_str::<Timeline>(&endless).expect_err("no width");
        assert!(refusal.to_string().contains("periods of 0 ms"), "{refusal}");
    }

    #[test]
    fn limits_of_several_machines_stay_apart() {
        let seen = |used, whose: &str| {
            let mut one = period(1, 1);
            one.limits = vec![Used {
                whose: whose.to_owned(),
                name: "memory".to_owned(),
                used,
                ceiling: None,
            }];
            let mut timeline = Timeline::new(SECOND);
            timeline.add(0, one);
            timeline
        };
        let mut all = seen(1.0, "target");
        for (used, name) in [(2.0, "a:7070"), (3.0, "b:7070")] {
            let mut one = seen(used, Used::OWN);
            one.name_machine(name);
            all.merge(one);
        }
        all.name_machine("nobody");
        let limits = all.periods[0].limits.iter();
        let whose: Vec<_> = limits.map(|one| (one.whose.as_str(), one.used)).collect();
        assert_eq!(whose, [("target", 1.0), ("a:7070", 2.0), ("b:7070", 3.0)]);
    }

    proptest! {
        #[test]
        fn fewer_periods_have_the_same_total(
            seconds in proptest::collection::vec(0..2_000_u64, 1..60),
            most in 1..700_usize,
        ) {
            let mut timeline = Timeline::new(SECOND);
            for &second in &seconds {
                timeline.add(second * 1_000, period(second, 1));
            }
            let wide = timeline.in_periods(most);
            prop_assert!(wide.periods.len() <= most);
            prop_assert_eq!(total(&wide), total(&timeline));
        }
    }
}
