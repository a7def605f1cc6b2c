//! Which charts a run has, and what is in them.

use std::{borrow::Cow, collections::BTreeMap};

use super::chart::{Chart, SERIES_MAX, Series};
use crate::{
    record::{Kind, Moment, Record},
    timeline::Used,
};

/// Agents that have a chart each for their limits; more are in one chart together.
const AGENTS_APART_MAX: usize = 4;

/// The charts of a run under their heading; nothing without a timeline.
pub(super) fn of(record: &Record) -> String {
    let overview = &record.charted;
    let periods: Vec<&Moment> = overview.periods.iter().collect();
    if periods.is_empty() {
        return String::new();
    }
    // What was counted in a period stands at its end.
    let times: Vec<f64> = periods
        .iter()
        .map(|period| (period.at_ms + period.covered_ms.max(1)) as f64 / 1e3)
        .collect();
    let mut charts = vec![connections(record.kind, &periods, &times)];
    charts.extend(rates(record.kind, &periods, &times));
    charts.extend(latencies(record, &periods, &times));
    charts.push(errors(&periods, &times));
    charts.extend(limits(&periods, &times));
    let figures: String = charts
        .iter()
        .filter(|chart| !chart.is_empty())
        .map(Chart::figure)
        .collect();
    let width = overview.width_ms as f64 / 1e3;
    format!(
        "<h2>Over time</h2><p class=\"soft\">Each point is a period of {width} s. Point at a chart for its \
         values.</p><div class=\"charts\">{figures}</div>"
    )
}

fn connections<'a>(kind: Kind, periods: &[&Moment], times: &'a [f64]) -> Chart<'a> {
    let series = match kind {
        Kind::Crowd => vec![
            of_each(periods, "open", |one| one.open as f64),
            of_each(periods, "ready", |one| one.ready as f64),
            of_each(periods, "away", |one| one.away as f64),
        ],
        Kind::Script => vec![
            of_each(periods, "users", |one| one.ready as f64),
            of_each(periods, "open connections", |one| one.open as f64),
            of_each(periods, "users away", |one| one.away as f64),
        ],
    };
    let title = match kind {
        Kind::Crowd => "Connections",
        Kind::Script => "Users there",
    };
    chart(title, "", times, series)
}

fn rates<'a>(kind: Kind, periods: &[&Moment], times: &'a [f64]) -> [Chart<'a>; 2] {
    let rate = |name: &str, count: fn(&Moment) -> u64| {
        // The short period at the end would exaggerate what happened in it.
        let width = periods
            .iter()
            .map(|one| one.covered_ms)
            .max()
            .unwrap_or(1)
            .max(1);
        of_each(periods, name, |one| count(one) as f64 * 1e3 / width as f64)
    };
    let (opening, messages) = match kind {
        Kind::Crowd => (
            vec![
                rate("dialled", |one| one.counts.dialled),
                rate("ready", |one| one.counts.readied),
                rate("back", |one| one.counts.back),
                rate("failed", |one| one.counts.failed),
                rate("ended", |one| one.counts.dropped + one.counts.disconnected),
            ],
            [
                rate("sent", |one| one.counts.sent),
                rate("delivered", |one| one.counts.received),
                rate("answered", |one| one.counts.answered),
            ],
        ),
        Kind::Script => (
            vec![
                rate("arrived", |one| one.counts.dialled),
                rate("connected", |one| one.counts.readied),
                rate("completed", |one| one.counts.completed),
                rate("failed", |one| one.counts.failed),
                rate("connections ended", |one| one.counts.disconnected),
                rate("connections back", |one| one.counts.back),
            ],
            [
                rate("sent", |one| one.counts.sent),
                rate("received", |one| one.counts.received),
                rate("answers waited for", |one| one.counts.answered),
            ],
        ),
    };
    let title = match kind {
        Kind::Crowd => "Connections opened and ended",
        Kind::Script => "Users",
    };
    [
        chart(title, "/s", times, opening),
        chart("Messages", "/s", times, messages.into()),
    ]
}

/// One chart of percentiles for each kind of duration that the run has.
fn latencies<'a>(record: &'a Record, periods: &[&Moment], times: &'a [f64]) -> Vec<Chart<'a>> {
    let rows = record.latencies.iter().filter(|row| row.name != "lateness");
    rows.map(|row| {
        let percentile = |name: &str, of: fn(&crate::Percentiles) -> u64| Series {
            name: name.to_owned(),
            values: periods
                .iter()
                .map(|one| one.latency.get(&row.name).map(|seen| of(seen) as f64))
                .collect(),
        };
        let series = vec![
            percentile("median", |seen| seen.p50_us),
            percentile("p90", |seen| seen.p90_us),
            percentile("p99", |seen| seen.p99_us),
            percentile("longest", |seen| seen.max_us),
        ];
        let mut chart = chart(row.title.as_str(), "us", times, series);
        chart.top_min = 10.0;
        chart
    })
    .collect()
}

/// The most frequent classes.
fn errors<'a>(periods: &[&Moment], times: &'a [f64]) -> Chart<'a> {
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (class, count) in periods.iter().flat_map(|one| &one.errors) {
        *totals.entry(class).or_default() += count;
    }
    let mut classes: Vec<_> = totals.into_iter().collect();
    classes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let series = classes.into_iter().take(SERIES_MAX).map(|(class, _)| {
        of_each(periods, &class.replace('_', " "), |one| {
            one.rate(one.errors.get(class).copied().unwrap_or(0))
        })
    });
    let series = series.collect();
    chart("Failures by class", "/s", times, series)
}

/// Of each machine, how full its limits are, the fullest first.
fn limits<'a>(periods: &[&Moment], times: &'a [f64]) -> Vec<Chart<'a>> {
    let mut fullest: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for used in periods.iter().flat_map(|one| &one.limits) {
        if let Some(ceiling) = used.ceiling.filter(|&ceiling| ceiling > 0.0) {
            let most = fullest.entry((&used.whose, &used.name)).or_default();
            *most = most.max(used.used / ceiling);
        }
    }
    let mut owners: Vec<&str> = fullest.keys().map(|&(whose, _)| whose).collect();
    owners.dedup();
    let is_agent = |owner: &&str| !["target", Used::OWN].contains(owner);
    let agents = owners.iter().copied().filter(is_agent).count();
    let mut together = Vec::new();
    if agents > AGENTS_APART_MAX {
        owners.retain(|owner| !is_agent(owner));
        together.push(fullest_of_agents(periods, times, agents));
    }
    let charts = owners.into_iter().map(|owner| {
        let mut names: Vec<_> = fullest
            .iter()
            .filter(|((whose, _), _)| *whose == owner)
            .collect();
        names.sort_by(|one, other| other.1.total_cmp(one.1));
        let series = names
            .into_iter()
            .take(SERIES_MAX)
            .map(|((_, name), _)| Series {
                name: (*name).to_owned(),
                values: periods
                    .iter()
                    .map(|one| {
                        let mut all = one.limits.iter();
                        let found = all.find(|used| used.whose == owner && used.name == *name)?;
                        Some(found.used / found.ceiling? * 100.0)
                    })
                    .collect(),
            });
        let title = if owner == "target" {
            "Limits of the target".to_owned()
        } else {
            format!("Limits of {owner}")
        };
        let series: Vec<_> = series.collect();
        let mut chart = chart(title, "%", times, series);
        chart.top_min = 100.0;
        chart
    });
    together.into_iter().chain(charts).collect()
}

/// Of many agents one chart: of each limit, how full it is where it is fullest.
fn fullest_of_agents<'a>(periods: &[&Moment], times: &'a [f64], agents: usize) -> Chart<'a> {
    // By name: of each period the fullest, and whose the fullest of all was.
    let mut limits: BTreeMap<&str, (Vec<Option<f64>>, f64, &str)> = BTreeMap::new();
    for (place, period) in periods.iter().enumerate() {
        for used in period.limits.iter().filter(|used| used.whose != "target") {
            let Some(ceiling) = used.ceiling.filter(|&ceiling| ceiling > 0.0) else {
                continue;
            };
            let percent = used.used / ceiling * 100.0;
            let (values, most, whose) = limits
                .entry(&used.name)
                .or_insert_with(|| (vec![None; periods.len()], 0.0, &used.whose));
            values[place] = Some(values[place].map_or(percent, |value| value.max(percent)));
            if percent > *most {
                (*most, *whose) = (percent, &used.whose);
            }
        }
    }
    let mut limits: Vec<_> = limits.into_iter().collect();
    limits.sort_by(|(_, one), (_, other)| other.1.total_cmp(&one.1));
    let series = limits.into_iter().take(SERIES_MAX);
    let series = series.map(|(name, (values, _, whose))| Series {
        name: format!("{name} (most: {whose})"),
        values,
    });
    let title = format!("Limits of {agents} agents, of each the fullest");
    let mut chart = chart(title, "%", times, series.collect());
    chart.top_min = 100.0;
    chart
}

/// A value for each period that was seen.
fn of_each(periods: &[&Moment], name: &str, value: impl Fn(&Moment) -> f64) -> Series {
    let values = periods
        .iter()
        .map(|one| (one.covered_ms > 0).then(|| value(one)));
    Series {
        name: name.to_owned(),
        values: values.collect(),
    }
}

/// A chart without the lines that stay at nothing, unless all do.
fn chart<'a>(
    title: impl Into<Cow<'a, str>>,
    unit: &'a str,
    times: &'a [f64],
    series: Vec<Series>,
) -> Chart<'a> {
    let is_something = |series: &Series| series.values.iter().flatten().any(|&value| value > 0.0);
    let (lively, _): (Vec<_>, Vec<_>) = series.into_iter().partition(is_something);
    Chart {
        title: title.into(),
        unit,
        times,
        series: lively,
        top_min: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_charts(agents: u32) -> Vec<(String, Vec<String>)> {
        let mut period = Moment::default();
        for number in 0..agents {
            let whose = format!("a{number}:7070");
            for (name, used) in [("memory", number), ("processors", agents - number)] {
                let used = Used::new(&whose, name, f64::from(used), Some(20.0));
                period.limits.push(used);
            }
        }
        let target = Used::new("target", "memory", 5.0, Some(20.0));
        period.limits.push(target);
        let charts = limits(&[&period], &[1.0]);
        let names = |chart: &Chart<'_>| {
            let series = chart.series.iter().map(|one| one.name.clone());
            (chart.title.to_string(), series.collect())
        };
        charts.iter().map(names).collect()
    }

    #[test]
    fn a_few_agents_have_a_chart_each_and_many_have_one_together() {
        let few = limit_charts(3);
        let titles: Vec<_> = few.iter().map(|(title, _)| title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "Limits of a0:7070",
                "Limits of a1:7070",
                "Limits of a2:7070",
                "Limits of the target"
            ]
        );
        let many = limit_charts(16);
        assert_eq!(many.len(), 2, "{many:?}");
        assert_eq!(many[0].0, "Limits of 16 agents, of each the fullest");
        assert_eq!(
            many[0].1,
            [
                "processors (most: a0:7070)".to_owned(),
                "memory (most: a15:7070)".to_owned()
            ]
        );
        assert_eq!(many[1].0, "Limits of the target");
    }
}
