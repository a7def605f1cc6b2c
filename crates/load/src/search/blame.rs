//! Who broke first: the server, the network between, or this machine.
//!
//! A step is watched from outside: what this process used of the processors, and what the kernel counted of
//! the network meanwhile. Together with the failures of the run that says whose fault a missed objective is.

use std::{
    fs,
    time::{Duration, Instant},
};

use capacity::{
    Grouped, Machine,
    sockets::{Counter, Counters},
};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::objective::Judged;
use crate::{latency::Micros, record::Record};

/// Who kept a step from meeting its objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Culprit {
    /// The server, or its machine.
    #[default]
    Server,
    /// What lies between.
    Network,
    /// The machine of the crowd, so the answer says little about the server.
    Machine,
}

impl Culprit {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Server => "the server",
            Self::Network => "the network",
            Self::Machine => "this machine",
        }
    }
}

/// Who it was, and why one thinks so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blame {
    pub(crate) who: Culprit,
    pub(crate) why: Vec<String>,
}

/// What was there before a step.
pub(crate) struct Watcher {
    began: Instant,
    processor_seconds: f64,
    /// Busy and all time of the machine's processors, in the kernel's ticks.
    ticks: Option<(u64, u64)>,
    counters: Counters,
}

/// What happened during a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Evidence {
    pub(crate) cores: f64,
    /// Of these, how many the crowd used.
    pub(crate) crowd_cores: f64,
    /// Which share of all of them was busy, with the crowd and everything else.
    pub(crate) busy: Option<f64>,
    pub(crate) retransmitted: u64,
    pub(crate) syn_retransmitted: u64,
    /// Connections that a listener in this network namespace had no room for.
    pub(crate) listen_drops: u64,
    pub(crate) took_ms: u64,
}

impl Watcher {
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
            processor_seconds: processor_seconds(),
            ticks: ticks(),
            counters: Counters::read(),
        }
    }

    pub(crate) fn stop(self) -> Evidence {
        let took = self.began.elapsed();
        let seconds = took.as_secs_f64().max(0.001);
        let now = Counters::read();
        let since = |counter| {
            let value = |counters: &Counters| counters.value(counter).unwrap_or(0);
            value(&now).saturating_sub(value(&self.counters))
        };
        let busy = self.ticks.zip(ticks()).and_then(|(before, now)| {
            let all = now.1.checked_sub(before.1).filter(|&all| all > 0)?;
            Some(now.0.saturating_sub(before.0) as f64 / all as f64)
        });
        Evidence {
            cores: Machine::read().cores_count as f64,
            crowd_cores: match took >= LEAST {
                true => (processor_seconds() - self.processor_seconds).max(0.0) / seconds,
                false => 0.0,
            },
            busy,
            retransmitted: since(Counter::RetransSegs),
            syn_retransmitted: since(Counter::TcpSynRetrans),
            listen_drops: since(Counter::ListenDrops),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Busy and all ticks of `/proc/stat` (`man 5 proc_stat`): idle and iowait are the fourth and fifth.
fn ticks() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    let all: u64 = numbers.iter().sum();
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some((all - idle, all))
}

/// A step that was shorter says nothing of the processors.
const LEAST: Duration = Duration::from_millis(500);
/// From this share of the processors on, the crowd has none to spare.
const ALL_BUSY: f64 = 0.85;
/// From this share on, a schedule that is late is late because of them.
const RATHER_BUSY: f64 = 0.6;
/// Dials this late count, in microseconds, unless the objective is about longer times.
const LATE_US: u64 = 100_000;
/// Failures that are the network's if there are any to speak of.
const OF_THE_NETWORK: [&str; 3] = ["unreachable", "vanished", "connect_timeout"];
/// Classes of failures that are told, at most.
const TOLD_MAX: usize = 3;

impl Blame {
    /// The fault of this machine, of which the run itself says so.
    pub(crate) fn machine(why: String) -> Self {
        Self {
            who: Culprit::Machine,
            why: vec![why],
        }
    }

    /// Who kept a run that did not meet its objective from it.
    pub(crate) fn of(
        record: &Record,
        judged: &[Judged],
        evidence: &Evidence,
        time_max_us: Option<u64>,
    ) -> Self {
        let limits = record.limits.iter().map(|limit| {
            let remedy = limit.remedy.as_deref().map(|remedy| format!(": {remedy}"));
            let (count, remedy) = (Grouped(limit.count), remedy.unwrap_or_default());
            format!("{count} × {}{remedy}", limit.text)
        });
        let limits: Vec<_> = limits.collect();
        if !limits.is_empty() {
            return Self {
                who: Culprit::Machine,
                why: limits,
            };
        }
        let late_us = record
            .latencies
            .iter()
            .find(|row| row.name == "lateness")
            .map_or(0, |row| row.percentiles.p99_us);
        let share = evidence.crowd_cores / evidence.cores.max(1.0);
        let used = format!(
            "the crowd used {:.1} of {} cores",
            evidence.crowd_cores, evidence.cores
        );
        if share >= ALL_BUSY {
            return Self::machine(format!("processors: {used}, and has none to spare"));
        }
        if share >= RATHER_BUSY && late_us > time_max_us.map_or(LATE_US, |us| us.max(LATE_US) / 2) {
            return Self::machine(format!(
                "processors: the crowd's own schedule was late, by {} (p99), and {used}",
                Micros(late_us)
            ));
        }
        let mut why = of_failures(record);
        let missed = judged.iter().filter(|one| !one.is_met);
        why.extend(missed.map(|one| format!("{}: {} ({used})", one.condition, one.found)));
        if evidence.listen_drops > 0 {
            let drops = Grouped(evidence.listen_drops);
            why.insert(
                0,
                format!(
                    "the accept queue of a server on this machine was full: {drops} × ListenDrops"
                ),
            );
        } else if let Some(network) = of_network(record, evidence) {
            why.insert(0, network);
            let who = Culprit::Network;
            return Self { who, why };
        }
        if evidence.busy.is_some_and(|busy| busy >= 0.95) {
            why.push(
                "all processors of this machine were busy, mostly with others than the crowd"
                    .to_owned(),
            );
        }
        Self {
            who: Culprit::Server,
            why,
        }
    }
}

fn of_failures(record: &Record) -> Vec<String> {
    let mut failures: Vec<_> = record.failures.iter().collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
    failures
        .iter()
        .take(TOLD_MAX)
        .map(|one| format!("{} × {}: {}", Grouped(one.count), one.group, one.text))
        .collect()
}

/// What says that it was the network: of a hundred segments, one was sent again.
fn of_network(record: &Record, evidence: &Evidence) -> Option<String> {
    let counts = record.timeline.periods.iter().map(|period| period.counts);
    let (dialled, messages) = counts.fold((0, 0), |(dialled, messages), one| {
        (dialled + one.dialled, messages + one.sent + one.received)
    });
    if evidence.syn_retransmitted > dialled / 100 + 2 {
        return Some(format!(
            "{} SYNs had no answer and were sent again (TCPSynRetrans), of {} connections",
            Grouped(evidence.syn_retransmitted),
            Grouped(dialled)
        ));
    }
    let others = evidence
        .retransmitted
        .saturating_sub(evidence.syn_retransmitted);
    if others > (2 * dialled + messages) / 100 + 2 {
        return Some(format!(
            "{} segments were sent again (RetransSegs)",
            Grouped(others)
        ));
    }
    let most = record.failures.iter().max_by_key(|failure| failure.count)?;
    let is_its = OF_THE_NETWORK.contains(&most.class.as_str());
    is_its.then(|| format!("{} × {}", Grouped(most.count), most.text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        latency::Percentiles,
        record::{Row, Trouble},
    };

    fn failure(class: &str, text: &str) -> Trouble {
        Trouble {
            group: "did not get up".to_owned(),
            class: class.to_owned(),
            text: text.to_owned(),
            count: 12,
            remedy: None,
        }
    }

    fn judged() -> [Judged; 1] {
        [Judged {
            condition: "join p99<200ms".to_owned(),
            found: "412 ms".to_owned(),
            is_met: false,
        }]
    }

    const IDLE: Evidence = Evidence {
        cores: 2.0,
        crowd_cores: 0.4,
        busy: None,
        retransmitted: 0,
        syn_retransmitted: 0,
        listen_drops: 0,
        took_ms: 0,
    };

    fn blame(change: impl Fn(&mut Record, &mut Evidence)) -> (Culprit, String) {
        let (mut record, mut evidence) = (Record::default(), IDLE);
        change(&mut record, &mut evidence);
        let blame = Blame::of(&record, &judged(), &evidence, Some(200_000));
        (blame.who, blame.why.join("; "))
    }

    #[test]
    fn the_server_is_it_where_this_machine_has_headroom() {
        let (who, why) = blame(|_, _| {});
        assert_eq!(who, Culprit::Server);
        assert_eq!(
            why,
            "join p99<200ms: 412 ms (the crowd used 0.4 of 2 cores)"
        );
        let (who, why) = blame(|record, _| {
            record.failures = vec![failure(
                "http_status",
                "upgrade answered with HTTP status 503",
            )];
        });
        assert_eq!(who, Culprit::Server);
        assert!(
            why.starts_with("12 × did not get up: upgrade answered with"),
            "{why}"
        );
        let (who, why) = blame(|_, evidence| {
            (evidence.listen_drops, evidence.syn_retransmitted) = (7, 70);
        });
        assert_eq!(who, Culprit::Server, "its accept queue is here: {why}");
    }

    #[test]
    fn this_machine_is_it_where_a_limit_or_its_processors_are_used_up() {
        let (who, why) = blame(|record, _| {
            record.limits = vec![failure("file_descriptors", "file descriptors: EMFILE")];
        });
        assert_eq!(
            (who, why.as_str()),
            (Culprit::Machine, "12 × file descriptors: EMFILE")
        );
        let (who, why) = blame(|_, evidence| evidence.crowd_cores = 1.9);
        assert_eq!(who, Culprit::Machine);
        assert!(why.contains("1.9 of 2 cores"), "{why}");
        let (who, why) = blame(|record, evidence| {
            evidence.crowd_cores = 1.3;
            record.latencies = vec![Row {
                name: "lateness".to_owned(),
                percentiles: Percentiles {
                    p99_us: 150_000,
                    ..Percentiles::default()
                },
                ..Row::default()
            }];
        });
        assert_eq!(who, Culprit::Machine);
        assert!(why.contains("own schedule was late, by 150 ms"), "{why}");
    }

    #[test]
    fn the_network_is_it_where_segments_are_lost() {
        let (who, why) = blame(|_, evidence| evidence.syn_retransmitted = 30);
        assert_eq!(who, Culprit::Network);
        assert!(why.starts_with("30 SYNs had no answer"), "{why}");
        let (who, why) = blame(|_, evidence| evidence.retransmitted = 30);
        assert!(
            who == Culprit::Network && why.starts_with("30 segments"),
            "{why}"
        );
        let (who, _) = blame(|record, _| {
            record.failures = vec![failure("unreachable", "no route to the server")];
        });
        assert_eq!(who, Culprit::Network);
    }

    #[test]
    fn a_watcher_sees_what_this_process_does() {
        let watcher = Watcher::start();
        let (mut sum, until) = (0_u64, Instant::now() + LEAST);
        while Instant::now() < until {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let seen = watcher.stop();
        assert!(seen.crowd_cores > 0.0 && seen.cores >= 1.0, "{seen:?}");
        assert!(
            seen.busy.is_none_or(|busy| (0.0..=1.0).contains(&busy)),
            "{seen:?}"
        );
    }
}
