//! What happened how often, before and after.

use super::{
    Change, Judgement, are_runs_samples, change, judge, relative,
    statistics::{self, Sample, differ, proportions_differ},
};
use crate::{
    record::{Better, Moment, Record},
    timeline::Counts,
};

/// Changes that nobody would act on.
const RATE_CHANGE_MIN: f64 = 0.02;

/// Counts of a period that are compared as rates, and until when.
type Rate = (&'static str, fn(&Moment) -> u64, Until);

/// Where the periods end in which something is expected to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// With the last that is: all are open once.
    Counted,
    /// With the last in which anything happens: if nothing is received while much is sent, that is it.
    Active,
}

const RATES: [Rate; 4] = [
    (
        "connections opened per second",
        |one| one.counts.readied,
        Until::Counted,
    ),
    (
        "messages sent per second",
        |one| one.counts.sent,
        Until::Active,
    ),
    (
        "messages received per second",
        |one| one.counts.received,
        Until::Active,
    ),
    (
        "answers per second",
        |one| one.counts.answered,
        Until::Active,
    ),
];

pub(super) fn rates(before: &[Record], after: &[Record]) -> Vec<Change> {
    let by_runs = are_runs_samples(before.len(), after.len());
    let compared = RATES.iter().filter_map(|&(name, count, until)| {
        let mut all = before.iter().chain(after);
        all.find(|run| run.timeline.periods.iter().any(|one| count(one) > 0))?;
        let rates = |runs: &[Record]| -> Vec<Vec<f64>> {
            runs.iter().map(|run| rates_of(run, count, until)).collect()
        };
        let (before, after) = (rates(before), rates(after));
        let (was, is) = (Sample::of(&before, by_runs)?, Sample::of(&after, by_runs)?);
        let values = (was.mean, is.mean);
        let (verdict, why) = if relative(values).abs() < RATE_CHANGE_MIN {
            (Judgement::Noise, "less than 2 %".to_owned())
        } else if differ(&was, &is, statistics::Z_99) {
            let why = format!("more than the spread of {}", was.what());
            (judge(values, Better::More), why)
        } else if !by_runs && proportions_differ(silent(&before), silent(&after)) {
            // An outage makes the spread so wide that the means could be the same.
            let [was, is] = [silent(&before), silent(&after)].map(|(part, all)| part / all);
            let why = format!(
                "in {:.0} % of the periods there was nothing, and before in {:.0} %",
                is * 100.0,
                was * 100.0
            );
            (judge((was, is), Better::Less), why)
        } else {
            let why = format!("within the spread of {}", was.what());
            (Judgement::Noise, why)
        };
        Some(change(name, "/s", values, verdict, why))
    });
    compared.collect()
}

/// The rates of the periods in which something was to happen, without the first and the last of them, which are
/// not whole. Where nothing was counted at all they are nothing, for as long as anything happened.
fn rates_of(run: &Record, count: fn(&Moment) -> u64, until: Until) -> Vec<f64> {
    let periods = &run.timeline.periods;
    let first = periods.iter().position(|one| count(one) > 0);
    let first = first.or_else(|| periods.iter().position(is_active));
    let last = match until {
        Until::Counted => periods.iter().rposition(|one| count(one) > 0),
        Until::Active => None,
    };
    let last = last.or_else(|| periods.iter().rposition(is_active));
    let (Some(first), Some(last)) = (first, last) else {
        return Vec::new();
    };
    let whole = periods.get(first + 1..last).unwrap_or_default();
    let whole = whole.iter().filter(|one| one.covered_ms > 0);
    whole.map(|one| one.rate(count(one))).collect()
}

/// Whether anything happens in a period.
fn is_active(one: &Moment) -> bool {
    one.counts != Counts::default() || !one.errors.is_empty()
}

/// Of all periods, those in which nothing was counted, and how many there are.
fn silent(runs: &[Vec<f64>]) -> (f64, f64) {
    let all = runs.iter().flatten();
    let silent = all.clone().filter(|&&rate| rate <= 0.0).count();
    (silent as f64, all.count().max(1) as f64)
}
