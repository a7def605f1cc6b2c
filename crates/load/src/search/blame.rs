//! Who broke first: the server, the network between, or a machine of the crowd.
//!
//! Each of these machines is watched from outside during a step (`evidence`). Together with the failures of the run
//! that says whose fault a missed objective is.

use capacity::Grouped;
use serde::{Deserialize, Serialize};

use super::{evidence::Evidence, objective::Judged};
use crate::{
    agents::MachineReport,
    latency::Micros,
    record::{Record, Trouble},
};

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
    /// The machine of the crowd, or one of them, so the answer says little about the server.
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
    /// Which agent, where the crowd is on several machines and one of them it was.
    pub(crate) whose: Option<String>,
    pub(crate) why: Vec<String>,
}

/// A machine of the crowd, as a step has left it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    /// The agent's name; `None` for this machine.
    agent: Option<String>,
    evidence: Evidence,
    /// By how much its schedule was late (p99), in microseconds.
    late_us: u64,
    /// What kept it from generating the load.
    limits: Vec<Trouble>,
}

impl Witness {
    /// This machine, which has run all of `record`.
    pub(crate) fn here(record: &Record, evidence: Evidence) -> Self {
        let lateness = record.latencies.iter().find(|row| row.name == "lateness");
        Self {
            agent: None,
            evidence,
            late_us: lateness.map_or(0, |row| row.percentiles.p99_us),
            limits: record.limits.clone(),
        }
    }

    /// An agent.
    pub(crate) fn there(machine: &MachineReport) -> Self {
        Self {
            agent: Some(machine.agent.clone()),
            evidence: machine.evidence,
            late_us: machine.lateness.p99_us,
            limits: machine.limits.clone(),
        }
    }

    /// The share of its processors that the crowd used.
    fn share(&self) -> f64 {
        self.evidence.crowd_cores / self.evidence.cores.max(1.0)
    }

    /// That share in words.
    fn used(&self) -> String {
        let who = match &self.agent {
            None => "the crowd".to_owned(),
            Some(agent) => format!("agent {agent}"),
        };
        let Evidence {
            crowd_cores, cores, ..
        } = self.evidence;
        format!("{who} used {crowd_cores:.1} of {cores} cores")
    }

    /// What it is called in a sentence.
    fn name(&self) -> &str {
        self.agent.as_deref().unwrap_or("this machine")
    }

    fn blame(&self, why: Vec<String>) -> Blame {
        Blame {
            who: Culprit::Machine,
            whose: self.agent.clone(),
            why,
        }
    }
}

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
    /// The fault of the machines of the crowd, of which the run itself says so.
    pub(crate) fn machine(why: String) -> Self {
        Self {
            who: Culprit::Machine,
            whose: None,
            why: vec![why],
        }
    }

    /// Who kept a run on the machines of `witnesses` that did not meet its objective from it.
    pub(crate) fn of(
        record: &Record,
        judged: &[Judged],
        witnesses: &[Witness],
        time_max_us: Option<u64>,
    ) -> Self {
        if let Some(blame) = Self::of_limits(witnesses) {
            return blame;
        }
        let Some(busiest) = witnesses
            .iter()
            .max_by(|a, b| a.share().total_cmp(&b.share()))
        else {
            return Self::default();
        };
        let used = busiest.used();
        if busiest.share() >= ALL_BUSY {
            return busiest.blame(vec![format!("processors: {used}, and has none to spare")]);
        }
        let late_max = time_max_us.map_or(LATE_US, |us| us.max(LATE_US) / 2);
        let mut late = witnesses
            .iter()
            .filter(|one| one.share() >= RATHER_BUSY && one.late_us > late_max);
        if let Some(one) = late.next() {
            let (late, used) = (Micros(one.late_us), one.used());
            return one.blame(vec![format!(
                "processors: the crowd's own schedule was late, by {late} (p99), and {used}"
            )]);
        }
        let mut why = of_failures(record);
        let missed = judged.iter().filter(|one| !one.is_met);
        why.extend(missed.map(|one| format!("{}: {} ({used})", one.condition, one.found)));
        let full = witnesses.iter().max_by_key(|one| one.evidence.listen_drops);
        if let Some(full) = full.filter(|one| one.evidence.listen_drops > 0) {
            let (drops, name) = (Grouped(full.evidence.listen_drops), full.name());
            why.insert(
                0,
                format!("the accept queue of a server on {name} was full: {drops} × ListenDrops"),
            );
        } else if let Some(network) = of_network(record, witnesses) {
            why.insert(0, network);
            let who = Culprit::Network;
            return Self {
                who,
                whose: None,
                why,
            };
        }
        let is_busy = |one: &&Witness| one.evidence.busy.is_some_and(|busy| busy >= 0.95);
        why.extend(witnesses.iter().find(is_busy).map(|one| {
            let name = one.name();
            format!("all processors of {name} were busy, mostly with others than the crowd")
        }));
        Self {
            who: Culprit::Server,
            whose: None,
            why,
        }
    }

    /// A machine that has met limits: the one that has met them most often.
    fn of_limits(witnesses: &[Witness]) -> Option<Self> {
        let count = |one: &Witness| -> u64 { one.limits.iter().map(|limit| limit.count).sum() };
        let met = witnesses.iter().filter(|one| !one.limits.is_empty());
        let most = met.max_by_key(|one| count(one))?;
        let limits = most.limits.iter().map(|limit| {
            let remedy = limit.remedy.as_deref().map(|remedy| format!(": {remedy}"));
            let (count, remedy) = (Grouped(limit.count), remedy.unwrap_or_default());
            format!("{count} × {}{remedy}", limit.text)
        });
        Some(most.blame(limits.collect()))
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
fn of_network(record: &Record, witnesses: &[Witness]) -> Option<String> {
    let all = |count: fn(&Evidence) -> u64| -> u64 {
        let counts = witnesses.iter().map(|one| count(&one.evidence));
        counts.fold(0, u64::saturating_add)
    };
    let syn_retransmitted = all(|one| one.syn_retransmitted);
    let counts = record.timeline.periods.iter().map(|period| period.counts);
    let (dialled, messages) = counts.fold((0, 0), |(dialled, messages), one| {
        (dialled + one.dialled, messages + one.sent + one.received)
    });
    if syn_retransmitted > dialled / 100 + 2 {
        return Some(format!(
            "{} SYNs had no answer and were sent again (TCPSynRetrans), of {} connections",
            Grouped(syn_retransmitted),
            Grouped(dialled)
        ));
    }
    let others = all(|one| one.retransmitted).saturating_sub(syn_retransmitted);
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
        let witnesses = [Witness::here(&record, evidence)];
        let blame = Blame::of(&record, &judged(), &witnesses, Some(200_000));
        (blame.who, blame.why.join("; "))
    }

    /// The blame where three agents ran a step, of which the second is changed.
    fn blame_of_three(change: impl Fn(&mut Witness)) -> (Culprit, Option<String>, String) {
        let agent = |name: &str| Witness {
            agent: Some(name.to_owned()),
            evidence: IDLE,
            ..Witness::default()
        };
        let mut witnesses = ["a:7070", "b:7070", "c:7070"].map(agent);
        change(&mut witnesses[1]);
        let blame = Blame::of(&Record::default(), &judged(), &witnesses, Some(200_000));
        (blame.who, blame.whose, blame.why.join("; "))
    }

    #[test]
    fn of_several_machines_the_one_that_broke_is_named() {
        let b = || Some("b:7070".to_owned());
        let (who, whose, why) = blame_of_three(|b| b.evidence.crowd_cores = 1.9);
        assert_eq!((who, whose), (Culprit::Machine, b()), "{why}");
        assert!(why.contains("agent b:7070 used 1.9 of 2 cores"), "{why}");
        let (who, whose, why) = blame_of_three(|b| {
            b.limits = vec![failure("file_descriptors", "file descriptors: EMFILE")];
        });
        assert_eq!((who, whose), (Culprit::Machine, b()));
        assert_eq!(why, "12 × file descriptors: EMFILE");
        let (who, whose, why) = blame_of_three(|b| {
            (b.evidence.crowd_cores, b.late_us) = (1.3, 150_000);
        });
        assert_eq!((who, whose), (Culprit::Machine, b()), "{why}");
        let (who, whose, why) = blame_of_three(|b| b.evidence.listen_drops = 7);
        assert_eq!((who, whose), (Culprit::Server, None));
        assert!(why.contains("a server on b:7070 was full: 7 ×"), "{why}");
        let (who, whose, why) = blame_of_three(|b| b.evidence.syn_retransmitted = 30);
        assert_eq!((who, whose), (Culprit::Network, None), "{why}");
        let (who, whose, why) = blame_of_three(|b| b.evidence.crowd_cores = 0.6);
        assert_eq!((who, whose), (Culprit::Server, None));
        assert!(why.contains("(agent b:7070 used 0.6 of 2 cores)"), "{why}");
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
}
