//! What a search keeps: `p99<200ms`, `join.p95<=1s and errors<0.1%`, `lost=0`.
//!
//! An objective is a list of conditions, all of which must hold. Each compares one number of a run with a
//! bound: a percentile of a latency with a time, or failures with a share or a count.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::latency::{Micros, Percentiles};

/// What a search keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    conditions: Vec<Condition>,
}

/// A text is no objective; says what was wrong, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not an objective: {why}")]
pub struct ObjectiveError {
    text: String,
    why: String,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
struct Condition {
    subject: Subject,
    relation: Relation,
    bound: f64,
    /// The bound as it was written.
    written: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Latency {
        /// `None` for the latency that the run is about.
        of: Option<Kept>,
        quantile: Quantile,
    },
    Share(Lack),
    Count(Lack),
}

/// A latency that an objective may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kept {
    Connect,
    Upgrade,
    Join,
    Delivery,
    Reply,
    Response,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantile {
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
}

/// Something that went wrong, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Errors,
    Lost,
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Equal,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) count: u64,
    pub(crate) of: u64,
}

/// What conditions look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) latencies: Vec<(Kept, Percentiles)>,
    /// What an objective means that names no latency: the first of these that was measured, or the last.
    pub(crate) about: Vec<Kept>,
    pub(crate) errors: Part,
    pub(crate) lost: Part,
    pub(crate) dropped: Part,
}

/// A condition of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) condition: String,
    pub(crate) found: String,
    pub(crate) is_met: bool,
}

const EXPECTED: &str = "expected a percentile below a time (p99<200ms, join.p95<=1s), or errors, lost or \
                        dropped below a share or a count (errors<1%, lost=0)";

impl Objective {
    /// The most conditions.
    pub const CONDITIONS_MAX: usize = 16;
    /// What is kept beside every other objective, unless it says something of errors itself: a server that
    /// refuses everybody is quick.
    const USUAL: &str = "errors<1%";

    /// Adds the conditions of another.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self.conditions.truncate(Self::CONDITIONS_MAX);
        self
    }

    /// The same with a condition on errors, if there is none.
    pub(crate) fn with_usual(self) -> Self {
        let says_something = self.conditions.iter().any(|one| {
            matches!(
                one.subject,
                Subject::Share(Lack::Errors) | Subject::Count(Lack::Errors)
            )
        });
        match Self::USUAL.parse() {
            Ok(usual) if !says_something => self.and(usual),
            _ => self,
        }
    }

    /// The latencies that it names.
    pub(crate) fn names(&self) -> impl Iterator<Item = Kept> + '_ {
        self.conditions.iter().filter_map(|one| match one.subject {
            Subject::Latency { of, .. } => of,
            _ => None,
        })
    }

    /// Whether it looks at deliveries, or at connections that end early.
    pub(crate) fn counts(&self) -> (bool, bool) {
        let is = |lack| {
            let subjects = [Subject::Share(lack), Subject::Count(lack)];
            self.conditions
                .iter()
                .any(|one| subjects.contains(&one.subject))
        };
        (is(Lack::Lost), is(Lack::Dropped))
    }

    /// Compares each condition with what was seen.
    pub(crate) fn judge(&self, seen: &Observed) -> Vec<Judged> {
        self.conditions.iter().map(|one| one.judge(seen)).collect()
    }

    /// The greatest time that it allows, in microseconds.
    pub(crate) fn time_max_us(&self) -> Option<u64> {
        let times = self.conditions.iter().filter_map(|one| {
            matches!(one.subject, Subject::Latency { .. }).then_some(one.bound as u64)
        });
        times.max()
    }
}

impl Condition {
    fn judge(&self, seen: &Observed) -> Judged {
        let compare = |value: f64| match self.relation {
            Relation::Below => value < self.bound,
            Relation::AtMost => value <= self.bound,
            Relation::Equal => (value - self.bound).abs() < f64::EPSILON,
        };
        let (condition, found) = match self.subject {
            Subject::Latency { of, quantile } => {
                let of = of.or_else(|| seen.about()).unwrap_or(Kept::Connect);
                let percentiles = seen.latency(of);
                let named = format!("{} {self}", of.name());
                // Whoever measured nothing has kept nothing.
                let found = percentiles.filter(|all| all.count > 0).map(|all| {
                    let micros = quantile.of(all);
                    (Micros(micros).to_string(), compare(micros as f64))
                });
                (named, found)
            }
            Subject::Share(lack) => {
                let Part { count, of } = seen.part(lack);
                let share = count as f64 * 100.0 / of.max(1) as f64;
                (self.to_string(), Some((percent(share), compare(share))))
            }
            Subject::Count(lack) => {
                let count = seen.part(lack).count;
                let found = (capacity::Grouped(count).to_string(), compare(count as f64));
                (self.to_string(), Some(found))
            }
        };
        let (found, is_met) = found.unwrap_or_else(|| ("nothing measured".to_owned(), false));
        Judged {
            condition,
            found,
            is_met,
        }
    }
}

fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.01 {
        return "<0.01 %".to_owned();
    }
    format!("{share:.2} %").replace(".00 %", " %")
}

impl Observed {
    fn about(&self) -> Option<Kept> {
        let is_measured = |of: &&Kept| self.latency(**of).is_some_and(|all| all.count > 0);
        let first = self.about.iter().find(is_measured);
        first.or_else(|| self.about.last()).copied()
    }

    fn latency(&self, of: Kept) -> Option<&Percentiles> {
        let found = self.latencies.iter().find(|(known, _)| *known == of);
        found.map(|(_, percentiles)| percentiles)
    }

    const fn part(&self, lack: Lack) -> Part {
        match lack {
            Lack::Errors => self.errors,
            Lack::Lost => self.lost,
            Lack::Dropped => self.dropped,
        }
    }
}

impl Kept {
    const ALL: [Self; 6] = [
        Self::Connect,
        Self::Upgrade,
        Self::Join,
        Self::Delivery,
        Self::Reply,
        Self::Response,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Upgrade => "upgrade",
            Self::Join => "join",
            Self::Delivery => "delivery",
            Self::Reply => "reply",
            Self::Response => "response",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == word)
    }
}

impl Quantile {
    const ALL: [Self; 6] = [
        Self::P50,
        Self::P90,
        Self::P95,
        Self::P99,
        Self::P999,
        Self::Max,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Max => "max",
        }
    }

    const fn of(self, all: &Percentiles) -> u64 {
        match self {
            Self::P50 => all.p50_us,
            Self::P90 => all.p90_us,
            Self::P95 => all.p95_us,
            Self::P99 => all.p99_us,
            Self::P999 => all.p999_us,
            Self::Max => all.max_us,
        }
    }
}

impl Lack {
    const fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Lost => "lost",
            Self::Dropped => "dropped",
        }
    }
}

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        let conditions = text
            .split(" and ")
            .flat_map(|part| part.split(','))
            .map(condition)
            .collect::<Result<Vec<_>, _>>()?;
        if conditions.len() > Self::CONDITIONS_MAX {
            let why = format!("expected at most {} conditions", Self::CONDITIONS_MAX);
            return Err(error(text, &why));
        }
        Ok(Self { conditions })
    }
}

fn error(text: &str, why: &str) -> ObjectiveError {
    ObjectiveError {
        text: text.trim().to_owned(),
        why: why.to_owned(),
    }
}

fn condition(text: &str) -> Result<Condition, ObjectiveError> {
    let wrong = |why: &str| error(text, why);
    let at = text.find(['<', '=', '>']).ok_or_else(|| wrong(EXPECTED))?;
    let (left, rest) = text.split_at(at);
    let (relation, written) = match rest.strip_prefix("<=") {
        Some(written) => (Relation::AtMost, written),
        None if rest.starts_with('<') => (Relation::Below, &rest[1..]),
        None if rest.starts_with('=') => (Relation::Equal, rest[1..].trim_start_matches('=')),
        None => return Err(wrong("it keeps what is low: expected <, <= or =")),
    };
    let written = written.trim();
    let lack = [Lack::Errors, Lack::Lost, Lack::Dropped]
        .into_iter()
        .find(|lack| lack.name() == left.trim());
    let (subject, bound) = match lack {
        Some(lack) => match written.strip_suffix('%') {
            Some(share) => (Subject::Share(lack), number(share)),
            None => (
                Subject::Count(lack),
                written.parse::<u32>().ok().map(f64::from),
            ),
        },
        None => {
            let subject = latency(left).map_err(|why| wrong(&why))?;
            if relation == Relation::Equal {
                return Err(wrong("a time is never met exactly: expected < or <="));
            }
            (subject, time_us(written))
        }
    };
    let bound = bound.ok_or_else(|| match subject {
        Subject::Latency { .. } => wrong("expected a time such as 200ms, 1.5s or 800us after it"),
        _ => wrong("expected a share such as 1% or a whole number after it"),
    })?;
    Ok(Condition {
        subject,
        relation,
        bound,
        written: written.to_owned(),
    })
}

/// `p99`, `join.p99`, `join p99`, `p99 of join`.
fn latency(text: &str) -> Result<Subject, String> {
    let (mut of, mut quantile) = (None, None);
    for word in text.split_whitespace().filter(|&word| word != "of") {
        let (first, second) = match word.split_once('.') {
            Some((first, second)) if Kept::named(first).is_some() => (first, Some(second)),
            _ => (word, None),
        };
        for word in std::iter::once(first).chain(second) {
            let known = Quantile::ALL.into_iter().find(|one| one.name() == word);
            match (known, Kept::named(word)) {
                (Some(known), _) if quantile.is_none() => quantile = Some(known),
                (_, Some(known)) if of.is_none() => of = Some(known),
                _ => return Err(unknown(word)),
            }
        }
    }
    match quantile {
        Some(quantile) => Ok(Subject::Latency { of, quantile }),
        None => Err(EXPECTED.to_owned()),
    }
}

fn unknown(word: &str) -> String {
    let quantiles: Vec<_> = Quantile::ALL.map(Quantile::name).into();
    let latencies: Vec<_> = Kept::ALL.map(Kept::name).into();
    format!(
        "`{word}` is unknown or one too many: expected one of {}, of {} if any, or errors, lost or dropped",
        quantiles.join(", "),
        latencies.join(", ")
    )
}

fn time_us(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (value, unit) = text.split_at(digits);
    let micros = match unit.trim() {
        "us" | "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    number(value).map(|value| value * micros)
}

/// A number that is not negative and no special one.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = match self.relation {
            Relation::Below => "<",
            Relation::AtMost => "<=",
            Relation::Equal => "=",
        };
        let name = match self.subject {
            Subject::Latency { quantile, .. } => quantile.name(),
            Subject::Share(lack) | Subject::Count(lack) => lack.name(),
        };
        write!(f, "{name}{relation}{}", self.written)
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, one) in self.conditions.iter().enumerate() {
            let and = if number == 0 { "" } else { " and " };
            match one.subject {
                Subject::Latency { of: Some(of), .. } => write!(f, "{and}{}.{one}", of.name())?,
                _ => write!(f, "{and}{one}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen() -> Observed {
        let percentiles = |p99_us| Percentiles {
            count: 100,
            p95_us: 10_000,
            p99_us,
            ..Percentiles::default()
        };
        Observed {
            latencies: vec![
                (Kept::Connect, percentiles(1_000)),
                (Kept::Join, percentiles(200_000)),
                (Kept::Reply, Percentiles::default()),
            ],
            about: vec![Kept::Join],
            errors: Part { count: 3, of: 300 },
            lost: Part { count: 0, of: 10 },
            dropped: Part { count: 1, of: 300 },
        }
    }

    #[test]
    fn conditions_are_compared_with_what_was_seen() {
        for (text, condition, found, is_met) in [
            ("p99<200ms", "join p99<200ms", "200 ms", false),
            ("p99<=200ms", "join p99<=200ms", "200 ms", true),
            ("connect.p99<2ms", "connect p99<2ms", "1.00 ms", true),
            ("p95 of join < 0.01s", "join p95<0.01s", "10.0 ms", false),
            ("join p95<10001us", "join p95<10001us", "10.0 ms", true),
            ("reply.p50<1s", "reply p50<1s", "nothing measured", false),
            ("max<1ms", "join max<1ms", "0 µs", true),
            ("errors<1%", "errors<1%", "1 %", false),
            ("errors<=1%", "errors<=1%", "1 %", true),
            ("errors<4", "errors<4", "3", true),
            ("lost=0", "lost=0", "0", true),
            ("dropped==0", "dropped=0", "1", false),
            ("dropped<0.5%", "dropped<0.5%", "0.33 %", true),
        ] {
            let objective: Objective = text.parse().expect(text);
            let judged = objective.judge(&seen());
            let expected = Judged {
                condition: condition.to_owned(),
                found: found.to_owned(),
                is_met,
            };
            assert_eq!(judged, [expected], "{text}");
        }
    }

    #[test]
    fn all_conditions_count_and_errors_are_always_looked_at() {
        let objective: Objective = "p99.9<1s and lost=0".parse().expect("two");
        let objective = objective.and("connect.p99.9<=5ms".parse().expect("one"));
        assert_eq!(
            objective.clone().with_usual().to_string(),
            "p99.9<1s and lost=0 and connect.p99.9<=5ms and errors<1%"
        );
        let errors: Objective = "p99<1s, errors=0".parse().expect("two");
        assert_eq!(errors.with_usual().to_string(), "p99<1s and errors=0");
        assert_eq!(objective.counts(), (true, false));
        assert_eq!(objective.time_max_us(), Some(1_000_000));
        assert_eq!(objective.names().collect::<Vec<_>>(), [Kept::Connect]);
    }

    #[test]
    fn refusals_say_what_was_expected() {
        for (text, words) in [
            ("", "expected a percentile below a time"),
            ("fast", "expected a percentile below a time"),
            ("p99>1s", "expected <, <= or ="),
            ("p99<200", "expected a time such as 200ms"),
            ("p99<1h", "expected a time such as 200ms"),
            ("p99<-1ms", "expected a time such as 200ms"),
            ("p99<1%", "expected a time such as 200ms"),
            ("p99=1ms", "never met exactly"),
            ("p98<1s", "`p98` is unknown"),
            ("p99 p50<1s", "`p50` is unknown or one too many"),
            ("connect.join.p99<1s", "is unknown or one too many"),
            ("join<1s", "expected a percentile below a time"),
            ("errors<1ms", "expected a share such as 1%"),
            ("lost=some", "expected a share such as 1%"),
            ("p99<1s and", "expected a time such as 200ms"),
        ] {
            let error = text.parse::<Objective>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        let many = vec!["lost=0"; 17].join(",");
        let error = many.parse::<Objective>().expect_err("too many").to_string();
        assert!(error.contains("at most 16"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = text.parse::<Objective>();
        }

        #[test]
        fn it_is_read_as_it_is_written(
            of in 0..7_usize,
            quantile in 0..6_usize,
            bound in 1..100_000_u32,
        ) {
            let name = Quantile::ALL[quantile].name();
            let text = match Kept::ALL.get(of) {
                Some(of) => format!("{}.{name}<{bound}ms", of.name()),
                None => format!("{name}<{bound}ms"),
            };
            let objective: Objective = text.parse().expect("an objective");
            prop_assert_eq!(objective.to_string(), text);
        }
    }
}
