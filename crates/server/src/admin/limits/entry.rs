//! One limit of this server, in numbers and in the words of the doctor.

use std::{collections::HashMap, time::Duration};

use capacity::{
    Approach, DESCRIPTORS_RESERVED, Demand, Diagnosis, Finding, Gauge, Grouped, Kernel, Limit,
    Side, Tables, Trend, Unit, Verdict, plan::Program, tuples::PORTS_COUNT,
};
use serde::Serialize;

use super::survey::Surveyed;
use crate::{
    admin::{board::Address, reading::Reading},
    control::Control,
};

/// A limit now.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct Entry {
    #[serde(skip)]
    limit: Limit,
    pub(in crate::admin) name: &'static str,
    /// What it is, how much the demand needs, and why; a sentence.
    what: String,
    /// How much of it is used now; null where nothing can be counted.
    pub(in crate::admin) present: Option<u64>,
    /// How much there is; null for a switch, and where there is no limit.
    pub(in crate::admin) ceiling: Option<u64>,
    unit: String,
    /// The present part of the ceiling, 0 to 1.
    share: Option<f64>,
    /// How much as many connections as the server may hold need.
    needed: Option<u64>,
    /// `stops`, `slows`, `unknown` or `fits`, of as many connections as the server may hold; `full` when
    /// nothing is left now.
    verdict: &'static str,
    /// Its value as it is written, or why it is not known.
    text: String,
    symptom: &'static str,
    remedy: String,
    read_from: &'static str,
    /// How fast it fills; null at the first look.
    approach: Option<Rate>,
    /// The numbers in words: `58,512 of 64,512, +500/s, full in 10 s`.
    measure: Option<String>,
}

/// How fast a limit fills.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Rate {
    per_s: f64,
    /// Seconds; null when it does not fill.
    full_in_s: Option<f64>,
}

/// All limits that concern a server.
pub(super) fn entries(control: &Control, surveyed: &Surveyed, reading: &Reading) -> Vec<Entry> {
    let open = reading.sum(|shard| shard.engine.open);
    let max = u64::from(control.connections_max());
    let diagnose = |connections| {
        let mut demand = Demand::new(connections, Side::Server, Program::Fourtuple);
        demand.kernel = control.plan().layout.kernel;
        Diagnosis::of(&surveyed.survey, &demand)
    };
    let all = diagnose(max);
    // What is open already is part of what is used now.
    let rest = diagnose(max.saturating_sub(open).max(1));
    let judged = all.findings().iter().map(|finding| {
        let rest = rest.findings().iter().find(|it| it.limit == finding.limit);
        rest.filter(|rest| counts_what_is_used(rest.limit))
            .unwrap_or(finding)
    });
    judged
        .map(|finding| Entry::new(finding, measure(finding, control, surveyed, reading)))
        .collect()
}

/// Adds how fast each fills, and sorts by how full it is. The name is that of the worst limit that stops
/// connections before there are as many as there may be, if any does.
pub(super) fn judge(
    mut entries: Vec<Entry>,
    trend: &mut Trend,
    now: Duration,
) -> (Vec<Entry>, Option<&'static str>) {
    let stops = entries.iter().find(|entry| entry.verdict == "stops");
    let binding = stops.map(|entry| entry.name);
    let gauges = entries.iter().filter_map(Entry::gauge).collect();
    let approaches = trend.look(now, gauges).into_iter();
    let approaches: HashMap<Limit, Approach> = approaches.map(|it| (it.gauge.limit, it)).collect();
    for entry in &mut entries {
        if let Some(approach) = approaches.get(&entry.limit) {
            entry.approach = approach.per_second.map(|per_s| Rate {
                per_s,
                full_in_s: approach.full_in().map(|time| time.as_secs_f64()),
            });
            entry.measure = Some(approach.measure());
        }
    }
    entries.sort_by(|a, b| {
        let share = |entry: &Entry| entry.share.unwrap_or(-1.0);
        share(b).total_cmp(&share(a))
    });
    (entries, binding)
}

impl Entry {
    fn new(finding: &Finding, (present, ceiling): (Option<u64>, Option<u64>)) -> Self {
        let limit = finding.limit;
        // What nothing is counted of, such as a time, is a setting and no ceiling.
        let is_counted = present.is_some() || finding.need.is_some();
        let ceiling = ceiling.filter(|max| *max != u64::MAX && is_counted);
        let mut entry = Self {
            limit,
            name: limit.name(),
            what: finding.sentence(),
            present,
            ceiling,
            unit: limit.unit().to_string(),
            share: None,
            needed: finding.need,
            verdict: word(finding.verdict),
            text: match &finding.reading {
                Ok(reading) => reading.text.clone(),
                Err(unknown) => unknown.to_string(),
            },
            symptom: limit.symptom(),
            remedy: finding.remedy(),
            read_from: limit.read_from(),
            approach: None,
            measure: None,
        };
        if limit == Limit::ServerConnections {
            entry.text = ceiling.map_or_else(String::new, |max| Grouped(max).to_string());
            entry.what = format!(
                "{} connections are the most that this server takes",
                entry.text
            );
        }
        entry.weigh();
        entry
    }

    /// The tuples of the source address that has most connections; none while no address is known.
    ///
    /// A server has no limit there, but what is in front of it may: behind a NAT many clients are one address.
    pub(super) fn tuples(addresses: &[Address]) -> Option<Self> {
        let limit = Limit::Tuples;
        let busiest = addresses.iter().max_by_key(|address| address.connections)?;
        let words = format!(
            "{} has {} of the {} connections that one source address can have to this port",
            busiest.ip,
            Grouped(busiest.connections),
            Grouped(PORTS_COUNT)
        );
        let mut entry = Self {
            limit,
            name: limit.name(),
            what: words,
            present: Some(busiest.connections),
            ceiling: Some(PORTS_COUNT),
            unit: limit.unit().to_string(),
            share: None,
            needed: None,
            verdict: word(Verdict::Fits),
            text: PORTS_COUNT.to_string(),
            symptom: limit.symptom(),
            remedy: limit.remedy().to_owned(),
            read_from: limit.read_from(),
            approach: None,
            measure: None,
        };
        entry.weigh();
        Some(entry)
    }

    /// Says how full it is, and that nothing is left where that is so.
    fn weigh(&mut self) {
        let Some(gauge) = self.gauge().filter(|_| self.ceiling.is_some()) else {
            return;
        };
        self.share = Some(gauge.share());
        // A place to wait that is missing ends a closed connection at once, which nobody feels.
        if gauge.is_full() && self.limit != Limit::TimeWaitBuckets {
            self.verdict = "full";
        }
    }

    fn gauge(&self) -> Option<Gauge> {
        Some(Gauge {
            limit: self.limit,
            label: self.name.to_owned(),
            used: self.present?,
            max: self.ceiling.unwrap_or(u64::MAX),
            knee: None,
        })
    }
}

/// How much of a limit is used, and how much there is: by the server's own counts where these are the
/// truth, else by the kernel's.
fn measure(
    finding: &Finding,
    control: &Control,
    surveyed: &Surveyed,
    reading: &Reading,
) -> (Option<u64>, Option<u64>) {
    let value = finding.reading.as_ref().ok();
    let layout = control.plan().layout;
    let sockets = reading.sum(|shard| shard.engine.conns);
    let ceiling = value
        .filter(|_| finding.limit.unit() != Unit::Choice)
        .map(|reading| reading.value);
    match finding.limit {
        Limit::ServerConnections => (
            Some(reading.sum(|shard| shard.engine.open)),
            Some(control.connections_max().into()),
        ),
        // Each shard has a table of its own: the fullest one counts.
        Limit::Descriptors if layout.tables == Tables::PerShard => {
            let fullest = reading.shards.iter().map(|shard| shard.engine.conns).max();
            let beside = DESCRIPTORS_RESERVED.min(ceiling.unwrap_or(0));
            (fullest.map(|conns| conns + beside), ceiling)
        }
        Limit::EpollWatches if layout.kernel == Kernel::Epoll => (Some(sockets), ceiling),
        Limit::AcceptQueue => {
            let own = surveyed.listeners.iter();
            let own = own.filter(|listener| listener.local == control.address());
            let queue = own.max_by_key(|listener| listener.accept_queue);
            // The kernel takes one more than it was told.
            let max = queue.and_then(|queue| queue.accept_queue_max);
            (
                queue.map(|queue| queue.accept_queue.into()),
                max.map(|max| u64::from(max) + 1).or(ceiling),
            )
        }
        _ => (value.and_then(|reading| reading.used), ceiling),
    }
}

/// Whether the need of a limit has what is used already in it.
const fn counts_what_is_used(limit: Limit) -> bool {
    matches!(
        limit,
        Limit::OpenFiles | Limit::Conntrack | Limit::TcpMemory | Limit::Memory | Limit::GroupMemory
    )
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Stops => "stops",
        Verdict::Slows => "slows",
        Verdict::Unknown => "unknown",
        Verdict::Fits => "fits",
    }
}
