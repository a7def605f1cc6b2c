//! When virtual users arrive: the phases of a script, by Artillery's arithmetic.
//!
//! The times depend on the script alone, never on how fast the server answers. Every shard walks through
//! the same arrivals and takes those that are its own.

use std::{sync::Arc, time::Duration};

use super::{
    fields::Fields,
    problem::Problems,
    storms,
    tree::{Node, Value},
};
use crate::{progress::PhaseNow, rate::Rate, share::Share};

/// One phase.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Phase {
    pub(crate) name: Option<String>,
    pub(crate) pace: Pace,
    pub(crate) duration: Duration,
    /// Users that may be there at once; who arrives beyond them is skipped, and counted.
    pub(crate) users_max: Option<u32>,
    /// Users that are kept there: arrivals beyond them do not happen.
    pub(crate) hold: Option<u32>,
    /// The users whose connections are reset when it begins.
    pub(crate) drop: Option<Share>,
    /// How often a connection is reset.
    pub(crate) churn: Option<Rate>,
}

impl Phase {
    /// One user, at once.
    pub(crate) fn of_one() -> Self {
        Self {
            name: None,
            pace: Pace::Uniform {
                interval_ms: 1.0,
                count: 1,
            },
            duration: Duration::from_millis(1),
            users_max: None,
            hold: None,
            drop: None,
            churn: None,
        }
    }
}

/// How users arrive within a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// Nobody does.
    Pause,
    /// `count` of them, each `interval_ms` after the last, the first after one interval.
    Uniform { interval_ms: f64, count: u64 },
    /// At random, this far apart on average.
    Poisson { mean_ms: f64 },
    /// From `from` to `to` in each second, over so many seconds; the end of the phase cuts the last one.
    Ramp { from: f64, to: f64, seconds: u32 },
}

/// A user that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// From the start of the run.
    pub(crate) at: Duration,
    /// Its number in the run.
    pub(crate) number: u32,
    /// Its phase.
    pub(crate) phase: u16,
}

/// Phases of a script, at most.
const PHASES_MAX: usize = 1_000;
/// Arrivals per second, at most.
const RATE_MAX: f64 = 1e6;
/// The rate at which a phase with `hold` lets users arrive by itself.
const HOLD_RATE: f64 = 1_000.0;

/// Reads `config.phases`.
pub(crate) fn read(config: &mut Fields<'_>, problems: &mut Problems) -> Vec<Phase> {
    let Some(node) = config.take("phases") else {
        config.missing(
            "phases",
            "a list such as [{duration: 60, arrivalRate: 10}]",
            problems,
        );
        return Vec::new();
    };
    let path = config.path_of("phases");
    let Value::List(items) = &node.value else {
        let text = format!("expected a list of phases, found {}", node.kind());
        problems.note(node.at, &path, text);
        return Vec::new();
    };
    if items.is_empty() || items.len() > PHASES_MAX {
        let text = format!("expected 1 to {PHASES_MAX} phases, found {}", items.len());
        problems.note(node.at, &path, text);
    }
    let phases: Vec<_> = items
        .iter()
        .enumerate()
        .filter_map(|(number, item)| read_one(item, &format!("{path}[{number}]"), problems))
        .collect();
    let total: f64 = phases.iter().map(Phase::arrivals_about).sum();
    if total > f64::from(u32::MAX) {
        let text = "the phases let more than 4,294,967,295 users arrive: expected fewer";
        problems.note(node.at, &path, text);
        return Vec::new();
    }
    phases
}

fn read_one(node: &Node, path: &str, problems: &mut Problems) -> Option<Phase> {
    let mut fields = Fields::of(node, path, problems)?;
    let before = problems.count();
    let name = fields.text("name", problems).map(str::to_owned);
    let users_max = fields.whole("maxVusers", (1, u32::MAX), problems);
    let hold = fields.whole("hold", (1, u32::MAX), problems);
    let drop = storms::read_drop(&mut fields, problems);
    let churn = storms::read_churn(&mut fields, problems);
    let pause = fields.time("pause", problems);
    let duration = fields.time("duration", problems);
    let rate = fields.number("arrivalRate", (0.0, RATE_MAX), problems);
    let ramp_to = fields.number("rampTo", (0.0, RATE_MAX), problems);
    let count = fields.whole("arrivalCount", (0, u32::MAX), problems);
    let mode = fields.text("mode", problems).unwrap_or("uniform");
    if !matches!(mode, "uniform" | "poisson") {
        let text = format!("expected uniform or poisson, found `{mode}`");
        problems.note(fields.place_of("mode"), &fields.path_of("mode"), text);
    }
    let at = fields.at;
    fields.finish(problems);
    if problems.count() > before {
        return None;
    }
    let span = match (pause, duration) {
        (Some(pause), _) => pause,
        (None, Some(duration)) if !duration.is_zero() => duration,
        _ => {
            let text = "expected `duration`, such as 60 or 10m, or `pause`";
            problems.note(at, path, text);
            return None;
        }
    };
    let Some(pace) = pace_of(span, pause.is_some(), (count, rate, ramp_to), hold, mode) else {
        let text = "expected arrivalRate, arrivalCount, pause or hold: nobody would arrive";
        problems.note(at, path, text);
        return None;
    };
    Some(Phase {
        name,
        pace,
        duration: span,
        users_max,
        hold,
        drop,
        churn,
    })
}

/// How users arrive in a phase of this length; `None` where nothing says so.
fn pace_of(
    span: Duration,
    is_pause: bool,
    (count, rate, ramp_to): (Option<u32>, Option<f64>, Option<f64>),
    hold: Option<u32>,
    mode: &str,
) -> Option<Pace> {
    let span_ms = span.as_secs_f64() * 1e3;
    // Artillery's ticks are whole microseconds: 15 users per second are 15 of 66,666 µs each, not 14.
    let uniform = |rate: f64| {
        let tick_us = (1e6 / rate).floor();
        Pace::Uniform {
            interval_ms: tick_us / 1e3,
            count: (span.as_micros() as f64 / tick_us).floor() as u64,
        }
    };
    Some(match (is_pause, count, rate, ramp_to, hold) {
        (true, ..) | (_, Some(0), ..) | (_, None, Some(0.0), None, _) => Pace::Pause,
        (_, Some(count), ..) => Pace::Uniform {
            interval_ms: span_ms / f64::from(count),
            count: count.into(),
        },
        (_, _, rate, Some(to), _) => Pace::Ramp {
            from: rate.unwrap_or(0.0),
            to,
            seconds: span.as_secs_f64().ceil() as u32,
        },
        (_, _, Some(rate), ..) if mode == "poisson" => Pace::Poisson {
            mean_ms: 1e3 / rate,
        },
        (_, _, Some(rate), ..) => uniform(rate),
        (.., Some(_)) => uniform(HOLD_RATE),
        _ => return None,
    })
}

impl Phase {
    /// How many users arrive, nearly.
    pub(crate) fn arrivals_about(&self) -> f64 {
        match self.pace {
            Pace::Pause => 0.0,
            Pace::Uniform { count, .. } => count as f64,
            Pace::Poisson { mean_ms } => self.duration.as_secs_f64() * 1e3 / mean_ms,
            Pace::Ramp { from, to, .. } => f64::midpoint(from, to) * self.duration.as_secs_f64(),
        }
    }

    /// How many users of this phase may be there at once, at most.
    pub(crate) fn users_about(&self) -> u32 {
        let most = self.hold.or(self.users_max).unwrap_or(u32::MAX);
        most.min(self.arrivals_about() as u32)
    }
}

/// The phase that a script is in after so long: the last one when all are over.
pub(crate) fn now(phases: &[Phase], elapsed: Duration) -> Option<PhaseNow<'_>> {
    let (mut since, last) = (Duration::ZERO, phases.len().checked_sub(1)?);
    for (place, phase) in phases.iter().enumerate() {
        let end = since + phase.duration;
        if elapsed < end || place == last {
            return Some(PhaseNow {
                name: phase.name.as_deref(),
                number: place + 1,
                count: phases.len(),
                elapsed: elapsed.saturating_sub(since).min(phase.duration),
                duration: phase.duration,
            });
        }
        since = end;
    }
    None
}

/// How many arrive in second `second` of a ramp; half a user more is one more.
fn ramp_arrivals(from: f64, to: f64, seconds: u32, second: u32) -> u64 {
    let raw = match seconds {
        ..=1 => f64::midpoint(from, to),
        _ => (to - from) / f64::from(seconds - 1) * f64::from(second) + from,
    };
    raw.floor() as u64 + u64::from(raw.fract() >= 0.5)
}

/// All arrivals of a script, in order.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    phases: Arc<[Phase]>,
    phase: usize,
    /// When the phase began, in milliseconds.
    begun_ms: f64,
    /// Arrivals of the phase so far, of the second in a ramp.
    taken: u64,
    second: u32,
    /// The last arrival of a Poisson phase, from its beginning.
    last_ms: f64,
    number: u32,
    random: fastrand::Rng,
}

impl Arrivals {
    /// The arrivals of `phases`; `seed` decides what is left to chance.
    pub(crate) fn new(phases: Arc<[Phase]>, seed: u64) -> Self {
        Self {
            phases,
            phase: 0,
            begun_ms: 0.0,
            taken: 0,
            second: 0,
            last_ms: 0.0,
            number: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The next arrival of the phase, in milliseconds from its beginning.
    fn next_in_phase(&mut self, phase: &Phase) -> Option<f64> {
        match phase.pace {
            Pace::Pause => None,
            Pace::Uniform { interval_ms, count } => {
                self.taken += 1;
                (self.taken <= count).then_some(interval_ms * self.taken as f64)
            }
            Pace::Poisson { mean_ms } => {
                self.last_ms -= mean_ms * (1.0 - self.random.f64()).ln();
                let is_within = self.last_ms < phase.duration.as_secs_f64() * 1e3;
                is_within.then_some(self.last_ms)
            }
            Pace::Ramp { from, to, seconds } => {
                let span_ms = phase.duration.as_secs_f64() * 1e3;
                while self.second < seconds {
                    let count = ramp_arrivals(from, to, seconds, self.second);
                    self.taken += 1;
                    if self.taken <= count {
                        // Artillery's timers are whole milliseconds, and no arrival is dropped here.
                        let delay = match count {
                            ..=1_000 => (1_000 / count) as f64,
                            _ => 1e3 / count as f64,
                        };
                        let within_ms = f64::from(self.second) * 1e3 + delay * self.taken as f64;
                        // A microsecond allows for rounding.
                        return (within_ms <= span_ms + 1e-3).then_some(within_ms.min(span_ms));
                    }
                    self.second += 1;
                    self.taken = 0;
                }
                None
            }
        }
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let phases = Arc::clone(&self.phases);
        while let Some(phase) = phases.get(self.phase) {
            if let Some(within_ms) = self.next_in_phase(phase) {
                let number = self.number;
                self.number = self.number.wrapping_add(1);
                return Some(Arrival {
                    at: Duration::from_secs_f64((self.begun_ms + within_ms) / 1e3),
                    number,
                    phase: self.phase as u16,
                });
            }
            self.begun_ms += phase.duration.as_secs_f64() * 1e3;
            (self.phase, self.taken, self.second, self.last_ms) = (self.phase + 1, 0, 0, 0.0);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phases(text: &str) -> Result<Vec<Phase>, String> {
        let mut problems = Problems::of("s.yml");
        let node = Node::parse(&format!("phases: {text}"), &mut problems).expect("YAML");
        let mut config = Fields::of(&node, "config", &mut problems).expect("a map");
        let phases = read(&mut config, &mut problems);
        problems.or(Some(phases)).map_err(|all| all.to_string())
    }

    fn times(text: &str) -> Vec<f64> {
        let phases = phases(text).expect(text);
        let arrivals = Arrivals::new(phases.into(), 7);
        arrivals.map(|one| one.at.as_secs_f64()).collect()
    }

    #[test]
    fn uniform_arrivals_are_evenly_spaced_and_as_many_as_asked() {
        assert_eq!(times("[{duration: 3, arrivalRate: 1}]"), [1.0, 2.0, 3.0]);
        assert_eq!(
            times("[{duration: '2s', arrivalCount: 4}]"),
            [0.5, 1.0, 1.5, 2.0]
        );
        assert_eq!(times("[{duration: 60, arrivalRate: '25'}]").len(), 1_500);
        // None is lost where 1/rate is no number that a float can hold.
        for (rate, seconds) in (1..=200).flat_map(|rate| [1, 7, 60].map(|span| (rate, span))) {
            let text = format!("[{{duration: {seconds}, arrivalRate: {rate}}}]");
            assert!(times(&text).len() >= rate * seconds, "{text}");
            let text = format!("[{{duration: {seconds}, arrivalCount: {rate}}}]");
            assert_eq!(times(&text).len(), rate, "{text}");
        }
        for (seconds, rate, count) in [
            (1, 15, 15),
            (60, 30, 1_800),
            // The ticks are rounded down, so there may be room for one more.
            (60, 136, 8_161),
        ] {
            let text = format!("[{{duration: {seconds}, arrivalRate: {rate}}}]");
            assert_eq!(times(&text).len(), count, "{text}");
        }
        // A pause, in each of its forms, and the phase after it.
        for pause in [
            "pause: 2",
            "duration: 2, arrivalRate: 0",
            "duration: 2, arrivalCount: 0",
        ] {
            let text = format!("[{{{pause}}}, {{duration: 1, arrivalRate: 2}}]");
            assert_eq!(times(&text), [2.5, 3.0], "{pause}");
        }
    }

    #[test]
    fn a_ramp_changes_its_rate_each_second() {
        // arrivals(t) = (10 - 1) / 3 * t + 1 = 1, 4, 7, 10; a tick is floor(1000 / n) ms.
        let times = times("[{duration: 4, arrivalRate: 1, rampTo: 10}]");
        let within = |second: f64| {
            let is_within = |&&time: &&f64| time > second && time <= second + 1.0;
            times.iter().filter(is_within).count()
        };
        assert_eq!([0.0, 1.0, 2.0, 3.0].map(within), [1, 4, 7, 10]);
        assert_eq!(times[0..3], [1.0, 1.25, 1.5]);
        let ticks = times[5..8].iter().map(|time| (time * 1e3).round());
        assert_eq!(ticks.collect::<Vec<_>>(), [2_142.0, 2_284.0, 2_426.0]);
        // In one second it is the mean, and half a user is one.
        assert_eq!(
            self::times("[{duration: 1, arrivalRate: 0, rampTo: 5}]").len(),
            3
        );
    }

    #[test]
    fn a_ramp_ends_with_its_phase() {
        // 10 in the first second; of the 20 of the second one, those of its first half.
        let times = times("[{duration: '1500ms', arrivalRate: 10, rampTo: 20}]");
        assert_eq!(times.len(), 20);
        assert_eq!(times.last(), Some(&1.5));
        let short = self::times("[{duration: '250ms', arrivalRate: 40, rampTo: 40}, {pause: 1}]");
        assert_eq!((short.len(), short.last()), (10, Some(&0.25)));
    }

    #[test]
    fn poisson_arrivals_are_as_many_on_average_and_differ() {
        let times = times("[{duration: 100, arrivalRate: 50, mode: poisson}]");
        assert!((4_700..5_300).contains(&times.len()), "{}", times.len());
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // The deviation of an exponential is its mean.
        assert!((0.9..1.1).contains(&(variance.sqrt() / mean)));
    }

    #[test]
    fn phases_that_cannot_be_are_refused_in_words() {
        for (text, words) in [
            ("[{arrivalRate: 1}]", "expected `duration`"),
            (
                "[{duration: soon, arrivalRate: 1}]",
                "expected seconds, or a text such as",
            ),
            ("[{duration: 1}]", "nobody would arrive"),
            (
                "[{duration: 1, arivalRate: 1}]",
                "did you mean `arrivalRate`?",
            ),
            (
                "[{duration: 1, arrivalRate: 1, mode: even}]",
                "uniform or poisson",
            ),
            ("[]", "expected 1 to 1000 phases"),
            ("[{duration: 30d, arrivalRate: 1000000}]", "expected fewer"),
            ("{duration: 1, arrivalRate: 1}", "a list of phases"),
        ] {
            let refusal = phases(text).expect_err(text);
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn arrivals_never_go_back_and_are_numbered(
            list in prop::collection::vec((1..20_u32, 0..50_u32, 0..50_u32, 0..4_u8), 1..5)
        ) {
            let text: Vec<_> = list.iter().map(|(duration, rate, to, kind)| match kind {
                0 => format!("{{pause: {duration}}}"),
                1 => format!("{{duration: {duration}, arrivalRate: {rate}, rampTo: {to}}}"),
                2 => format!("{{duration: {duration}, arrivalCount: {rate}}}"),
                _ => format!("{{duration: {duration}, arrivalRate: {rate}, mode: poisson}}"),
            }).collect();
            let phases = phases(&format!("[{}]", text.join(", "))).expect("phases");
            let ends: Vec<_> = phases.iter().scan(Duration::ZERO, |end, phase| {
                *end += phase.duration;
                Some(*end)
            }).collect();
            let arrivals: Vec<_> = Arrivals::new(phases.into(), 3).collect();
            prop_assert!(arrivals.is_sorted_by_key(|one| one.at));
            for (number, one) in arrivals.iter().enumerate() {
                prop_assert_eq!(one.number as usize, number);
                let end = ends[usize::from(one.phase)];
                prop_assert!(one.at <= end + Duration::from_micros(1));
            }
        }
    }
}
