//! What changed between runs of the same plan, and whether that is more than noise.
//!
//! - **Rates**: the periods of the timelines are the samples. Neighbours resemble each other, so the means of
//!   batches of them are compared, with Welch's test at 1 %.
//! - **Percentiles**: where each lies with a confidence of 95 % follows from its rank among all that was
//!   measured. A change counts when these intervals do not meet and the percentiles of the periods differ,
//!   too: what is a burst in one period only is noise.
//! - **Shares**, of failures: a test of two proportions at 1 %.
//!
//! With three runs and more on each side, the runs are the samples of rates and percentiles, and nothing need be
//! assumed about what is inside them. A change that is smaller than anybody would act on is called noise, too.
//!
//! What a run is there for may stop in it: a rate counts from its beginning to the end of all that happens in the run,
//! one that was never more than nothing is nothing, and more silence counts where the means scatter too much to tell.

mod rates;
mod statistics;
#[cfg(test)]
mod tests;
mod text;

use serde::Serialize;

use self::{
    rates::rates,
    statistics::{Sample, differ, proportions_differ},
};
use crate::record::{Better, Record, Status};

/// What came of a comparison.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// What the runs are called: those before, those after.
    pub names: (Vec<String>, Vec<String>),
    /// Options of the plans that differ, if that was allowed.
    pub plan_differences: Vec<Difference>,
    /// What was compared.
    pub changes: Vec<Change>,
}

/// An option that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The option.
    pub name: String,
    /// Its value before.
    pub before: String,
    /// Its value after.
    pub after: String,
}

/// One number before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// Its name.
    pub metric: String,
    /// What it counts.
    pub unit: String,
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
    /// By how many hundredths it has changed; none where it was nothing before.
    pub change_percent: Option<f64>,
    /// What that means.
    pub verdict: Judgement,
    /// Why, in a line.
    pub why: String,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Judgement {
    /// It is better.
    Better,
    /// It is worse.
    Worse,
    /// It is no more than noise.
    Noise,
}

/// Why runs cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// There is nothing on one side.
    #[error("expected at least one report before and one after")]
    Nothing,
    /// One is a script, and another a crowd against a URL.
    #[error("{0} and {1} are different kinds of run, which have no numbers in common")]
    Kinds(String, String),
    /// The plans differ.
    #[error(
        "the plans differ in {0}: what has changed would be the plan and not the server. Run the same \
         plan, or compare them all the same with --force"
    )]
    Plans(String),
}

/// Changes of percentiles that nobody would act on; timelines know them to 0.8 %.
const LATENCY_CHANGE_MIN: f64 = 0.05;
/// The same of shares: one in ten thousand.
const SHARE_CHANGE_MIN: f64 = 0.000_1;
/// Runs on each side from which on the runs are the samples.
const RUNS_MIN: usize = 3;
/// What may differ in plans: where the script was, whom it was run against, and who watched.
const BESIDE_THE_PLAN: [&str; 3] = ["script", "target", "watch"];

/// Compares the runs in `before` with those in `after`.
///
/// # Errors
///
/// [`CompareError::Nothing`]; [`CompareError::Kinds`]; [`CompareError::Plans`], unless `force`.
pub fn compare(
    before: &[Record],
    after: &[Record],
    force: bool,
) -> Result<Comparison, CompareError> {
    let first = before.first().ok_or(CompareError::Nothing)?;
    let last = after.first().ok_or(CompareError::Nothing)?;
    let mut differences: Vec<Difference> = Vec::new();
    for other in before.iter().chain(after) {
        if other.kind != first.kind {
            return Err(CompareError::Kinds(first.name.clone(), other.name.clone()));
        }
        for difference in plan_differences(first, other) {
            if differences
                .iter()
                .all(|known| known.name != difference.name)
            {
                differences.push(difference);
            }
        }
    }
    if !differences.is_empty() && !force {
        let told = differences.iter();
        let told = told.map(|one| format!("{} ({} and {})", one.name, one.before, one.after));
        return Err(CompareError::Plans(told.collect::<Vec<_>>().join(", ")));
    }
    let mut changes = vec![verdict_of(before, after)];
    changes.extend(rates(before, after));
    for row in &first.latencies {
        if last.latencies.iter().any(|other| other.name == row.name) {
            changes.extend(percentiles(before, after, &row.name, &row.title));
        }
    }
    changes.extend(shares(before, after));
    let names = |runs: &[Record]| runs.iter().map(|run| run.name.clone()).collect();
    Ok(Comparison {
        names: (names(before), names(after)),
        plan_differences: differences,
        changes,
    })
}

impl Comparison {
    /// Whether something got worse.
    pub fn is_worse(&self) -> bool {
        self.changes
            .iter()
            .any(|change| change.verdict == Judgement::Worse)
    }

    /// The comparison as JSON, indented.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("the fields are numbers, strings and lists")
    }
}

fn plan_differences(one: &Record, other: &Record) -> Vec<Difference> {
    let value = |record: &Record, name: &str| {
        let found = record.plan.iter().find(|setting| setting.name == name);
        found.map_or_else(|| "none".to_owned(), |setting| setting.value.clone())
    };
    let mut names: Vec<&str> = Vec::new();
    for setting in one.plan.iter().chain(&other.plan) {
        let name = setting.name.as_str();
        if !names.contains(&name) && !BESIDE_THE_PLAN.contains(&name) {
            names.push(name);
        }
    }
    let differences = names.into_iter().map(|name| Difference {
        name: name.to_owned(),
        before: value(one, name),
        after: value(other, name),
    });
    differences.filter(|one| one.before != one.after).collect()
}

/// Whether the runs are the samples: on both sides or on none.
const fn are_runs_samples(before: usize, after: usize) -> bool {
    before >= RUNS_MIN && after >= RUNS_MIN
}

/// How many of the runs held.
fn verdict_of(before: &[Record], after: &[Record]) -> Change {
    let met = |runs: &[Record]| {
        let met = runs.iter().filter(|run| run.status == Status::Met).count();
        met as f64 / runs.len() as f64 * 100.0
    };
    let (was, is) = (met(before), met(after));
    let (verdict, why) = match was.total_cmp(&is) {
        std::cmp::Ordering::Greater => (Judgement::Worse, "a run that held does not hold any more"),
        std::cmp::Ordering::Less => (Judgement::Better, "a run that did not hold does now"),
        std::cmp::Ordering::Equal => (Judgement::Noise, "the same"),
    };
    change("runs that held", "%", (was, is), verdict, why.to_owned())
}

/// What a percentile is called, its key, and where it is.
type Percentile = (&'static str, &'static str, fn(&crate::Percentiles) -> u64);

/// The median and two higher percentiles of one kind of duration.
fn percentiles(before: &[Record], after: &[Record], name: &str, title: &str) -> Vec<Change> {
    let all: [Percentile; 3] = [
        ("median", "p50_us", |seen| seen.p50_us),
        ("p90", "p90_us", |seen| seen.p90_us),
        ("p99", "p99_us", |seen| seen.p99_us),
    ];
    let compared = all.into_iter().filter_map(|(word, key, of)| {
        let rows = |runs: &[Record]| -> Vec<(f64, (u64, u64))> {
            let rows = runs.iter().flat_map(|run| run.latencies.iter());
            rows.filter(|row| row.name == name)
                .map(|row| {
                    let value = of(&row.percentiles);
                    let bounds = row.bounds_us.get(key).copied().unwrap_or((value, value));
                    (value as f64, bounds)
                })
                .collect()
        };
        let (was, is) = (rows(before), rows(after));
        let mean = |rows: &[(f64, (u64, u64))]| {
            (!rows.is_empty())
                .then(|| rows.iter().map(|row| row.0).sum::<f64>() / rows.len() as f64)
        };
        let values = (mean(&was)?, mean(&is)?);
        let periods = |runs: &[Record]| -> Vec<Vec<f64>> {
            let of_run = |run: &Record| {
                let seen = run
                    .timeline
                    .periods
                    .iter()
                    .filter_map(|one| one.latency.get(name));
                // Rates of change are what is compared, so a burst does not outweigh all else.
                seen.map(|seen| (of(seen).max(1) as f64).ln()).collect()
            };
            runs.iter().map(of_run).collect()
        };
        let (verdict, why) = if relative(values).abs() < LATENCY_CHANGE_MIN {
            (Judgement::Noise, "less than 5 %".to_owned())
        } else if !are_runs_samples(was.len(), is.len()) {
            let hull = |rows: &[(f64, (u64, u64))]| {
                let least = rows.iter().map(|row| row.1.0).min().unwrap_or(0);
                let most = rows.iter().map(|row| row.1.1).max().unwrap_or(u64::MAX);
                (least, most)
            };
            judge_percentile(
                values,
                (hull(&was), hull(&is)),
                &periods(before),
                &periods(after),
            )
        } else {
            judge_runs(values, &was, &is)
        };
        Some(change(
            &format!("{title}, {word}"),
            "us",
            values,
            verdict,
            why,
        ))
    });
    compared.collect()
}

/// Judges a percentile by its values in the runs.
fn judge_runs(
    values: (f64, f64),
    before: &[(f64, (u64, u64))],
    after: &[(f64, (u64, u64))],
) -> (Judgement, String) {
    let runs = |rows: &[(f64, (u64, u64))]| Sample::of_runs(rows.iter().map(|row| row.0).collect());
    if differ(&runs(before), &runs(after), statistics::Z_99) {
        let why = "more than the spread of the runs".to_owned();
        return (judge(values, Better::Less), why);
    }
    (Judgement::Noise, "within the spread of the runs".to_owned())
}

fn judge_percentile(
    values: (f64, f64),
    (was, is): ((u64, u64), (u64, u64)),
    before: &[Vec<f64>],
    after: &[Vec<f64>],
) -> (Judgement, String) {
    if was.0 <= is.1 && is.0 <= was.1 {
        return (Judgement::Noise, "the intervals of 95 % meet".to_owned());
    }
    match (Sample::of(before, false), Sample::of(after, false)) {
        (Some(before), Some(after)) if !differ(&before, &after, statistics::Z_95) => (
            Judgement::Noise,
            "within the spread of the periods".to_owned(),
        ),
        (Some(_), Some(_)) => (
            judge(values, Better::Less),
            "the intervals of 95 % do not meet, and the periods differ, too".to_owned(),
        ),
        _ => (
            judge(values, Better::Less),
            "the intervals of 95 % do not meet (too few periods to see their spread)".to_owned(),
        ),
    }
}

/// Of what, and of how much: figures that are a part of another.
const SHARES: [(&str, &str, &str); 4] = [
    (
        "connections that did not get up",
        "connections_not_opened",
        "connections_ready",
    ),
    (
        "connections dropped",
        "connections_dropped",
        "connections_ready",
    ),
    ("deliveries lost", "deliveries_lost", "deliveries_received"),
    ("users failed", "vusers.failed", "vusers.created"),
];

fn shares(before: &[Record], after: &[Record]) -> Vec<Change> {
    let sum = |runs: &[Record], name: &str| -> f64 {
        let figures = runs.iter().flat_map(|run| &run.figures);
        figures
            .filter(|figure| figure.name == name)
            .map(|figure| figure.value)
            .sum()
    };
    let compared = SHARES.iter().filter_map(|&(title, part, whole)| {
        let side = |runs: &[Record]| {
            let (part, whole) = (sum(runs, part), sum(runs, whole));
            // Those that did not get up are no part of those that did.
            let whole = if title == "users failed" {
                whole
            } else {
                whole + part
            };
            (part, whole)
        };
        let (was, is) = (side(before), side(after));
        if was.1 <= 0.0 || is.1 <= 0.0 {
            return None;
        }
        let values = (was.0 / was.1 * 100.0, is.0 / is.1 * 100.0);
        let (verdict, why) = if (values.0 - values.1).abs() < SHARE_CHANGE_MIN * 100.0 {
            (Judgement::Noise, "less than 0.01 % of all".to_owned())
        } else if proportions_differ(was, is) {
            (
                judge(values, Better::Less),
                "more than chance would do".to_owned(),
            )
        } else {
            (Judgement::Noise, "chance would do the same".to_owned())
        };
        Some(change(title, "%", values, verdict, why))
    });
    compared.collect()
}

fn relative((before, after): (f64, f64)) -> f64 {
    match before {
        0.0 if after == 0.0 => 0.0,
        0.0 => f64::INFINITY,
        _ => after / before - 1.0,
    }
}

fn judge((before, after): (f64, f64), better: Better) -> Judgement {
    match better {
        Better::More if after < before => Judgement::Worse,
        Better::Less if after > before => Judgement::Worse,
        _ => Judgement::Better,
    }
}

fn change(metric: &str, unit: &str, values: (f64, f64), verdict: Judgement, why: String) -> Change {
    let percent = relative(values) * 100.0;
    Change {
        metric: metric.to_owned(),
        unit: unit.to_owned(),
        before: values.0,
        after: values.1,
        change_percent: percent.is_finite().then_some(percent),
        verdict,
        why,
    }
}
