//! A run of a crowd on several machines, as the coordinator leads it: from gate to gate, until all are done or
//! lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    attendant::Event as Happened,
    crew::{Agents, Crew, Member, OnAgentLoss, State},
    machine::MachineReport,
    message::{FromAgent, ToAgent, Work},
    seconds::Seconds,
};
use crate::{
    events::{Event, Milestone, Standing, seconds},
    failure::Failure,
    gate::{News, Place},
    gauges::{Snapshot, Stage},
    interrupt::Interrupt,
    options::{Options, OptionsError},
    outcome::Outcome,
    progress::{Moment, Progress},
    record::Trouble,
    report::{End, Report, limits_of},
    run::{LoadError, epoch_ms},
    tally::{Broadcast, Tally},
};

/// As [`run`](crate::run()) on several machines that act as one.
///
/// # Errors
///
/// [`LoadError::Options`] and [`LoadError::Agents`] before the first connection. An agent that is lost later
/// is not an error but a report that says so.
pub fn run_on_agents(
    options: Options,
    agents: &Agents,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<Report, LoadError> {
    options.check()?;
    if options.sources.is_some() {
        return Err(OptionsError::Contradiction(SOURCES_ARE_THEIRS).into());
    }
    let mut crew = Crew::gather(agents, progress, interrupt)?;
    crew.ask(Work::Crowd(Box::new(options.clone())), interrupt)?;
    crew.divide(options.connections, options.connections.into())?;
    crew.prepare(fastrand::u64(..), interrupt)?;
    let started = crew.start(interrupt)?;
    let ahead = started.saturating_duration_since(Instant::now());
    let ahead_ms = u64::try_from(ahead.as_millis()).unwrap_or(0);
    let seconds = Seconds::of(crew.members.len());
    let muster = Muster {
        ways: crew.members.iter().map(|_| Way::default()).collect(),
        crew,
        options: &options,
        on_loss: agents.on_loss,
        progress,
        started,
        since: started,
        passed: None,
        seconds,
        tallies: BTreeMap::new(),
        end: End {
            began_ms: epoch_ms() + ahead_ms,
            ..End::default()
        },
    };
    Ok(muster.lead(interrupt))
}

/// Why `--sources` and `--agents` exclude each other.
pub(super) const SOURCES_ARE_THEIRS: &str = "--sources are addresses of one machine: give each agent its own (fourtuple load agent --sources)";

/// How far one agent has come.
#[derive(Debug, Default)]
struct Way {
    /// The gate to which it has come.
    place: Option<Place>,
    waits: bool,
    /// What others have sent and it has not heard of yet, by topic.
    unheard: BTreeMap<u32, u32>,
}

/// A run of a crowd under way.
struct Muster<'a> {
    crew: Crew,
    ways: Vec<Way>,
    options: &'a Options,
    on_loss: OnAgentLoss,
    progress: &'a mut dyn Progress,
    started: Instant,
    /// When the current stage began.
    since: Instant,
    /// The furthest gate that anybody has passed.
    passed: Option<Place>,
    /// What was seen of it, for whoever follows it.
    seconds: Seconds,
    /// Broadcasts that are not over everywhere, by number.
    tallies: BTreeMap<u32, Tally>,
    end: End,
}

impl Muster<'_> {
    fn lead(mut self, interrupt: &Interrupt) -> Report {
        self.announce(Milestone::Opening);
        while self.crew.members.iter().any(|member| member.is_running()) {
            if interrupt.is_raised() && !self.end.interrupted {
                self.end.interrupted = true;
                self.crew.end();
            }
            if let Some((place, event)) = self.crew.next() {
                self.handle(place, event);
                self.open_gates();
            }
            self.progress.update(&Moment {
                crowd: &self.look(),
                connections: self.options.connections.into(),
                elapsed: self.started.elapsed(),
                in_stage: self.since.elapsed(),
                hold: self.options.hold,
                phase: None,
            });
        }
        self.close_broadcasts(u32::MAX);
        self.end.ended_ms = epoch_ms();
        self.announce(Milestone::Done);
        self.progress.finish();
        self.report()
    }

    fn handle(&mut self, place: usize, event: Happened) {
        let said = match event {
            Happened::Heard(said) => said,
            Happened::Lost(why) => return self.lose(place, why),
            Happened::Awaited(_) | Happened::Connected | Happened::Clock(_) => return,
        };
        match said {
            FromAgent::Standing(standing) => self.crew.members[place].hear(standing),
            FromAgent::Arrived { place: gate, news } => self.arrive(place, gate, news),
            FromAgent::Second {
                start_ms,
                mut period,
            } => {
                let name = &self.crew.members[place].name;
                let limits = period.limits.iter_mut();
                limits.for_each(|used| used.name_machine(name));
                self.seconds.add(place, start_ms, *period);
                self.show_seconds();
            }
            FromAgent::Done(done) => {
                let member = &mut self.crew.members[place];
                if member.is_running() {
                    member.state = State::Done(done);
                    self.seconds.end(place);
                    self.show_seconds();
                }
            }
            FromAgent::Failed { why } | FromAgent::Unable { why } => self.lose(place, why),
            _ => {}
        }
    }

    fn lose(&mut self, place: usize, why: String) {
        let member = &mut self.crew.members[place];
        // Who has handed in its results may go.
        if !member.is_running() {
            return;
        }
        member.state = State::Lost(why);
        self.seconds.end(place);
        self.show_seconds();
        if self.on_loss == OnAgentLoss::Stop && !self.end.interrupted {
            self.end.interrupted = true;
            self.crew.end();
        }
    }

    fn show_seconds(&mut self) {
        while let Some((start_ms, period)) = self.seconds.take() {
            self.progress.handle_period(start_ms, &period);
        }
    }

    fn arrive(&mut self, place: usize, gate: Place, news: News) {
        if let Some((number, tally)) = news.tally {
            self.tallies.entry(number).or_default().merge(&tally);
        }
        for (other, way) in self.ways.iter_mut().enumerate() {
            if other != place {
                way.unheard.extend(news.sent.iter().copied());
            }
        }
        let way = &mut self.ways[place];
        (way.place, way.waits) = (Some(gate), true);
    }

    /// Lets those pass who wait where everybody has been.
    fn open_gates(&mut self) {
        let members = self.crew.members.iter().zip(&self.ways);
        let running = members.filter(|(member, _)| member.is_running());
        // One that is not at any gate holds up all.
        let Some(Some(last)) = running.map(|(_, way)| way.place).min() else {
            return;
        };
        let mut furthest = None;
        for (place, way) in self.ways.iter_mut().enumerate() {
            let Some(gate) = way.place.filter(|&gate| way.waits && gate <= last) else {
                continue;
            };
            way.waits = false;
            let sent = std::mem::take(&mut way.unheard).into_iter().collect();
            self.crew.tell(place, ToAgent::Pass { place: gate, sent });
            furthest = furthest.max(Some(gate));
        }
        if let Some(gate) = furthest
            && self.passed < Some(gate)
        {
            self.passed = Some(gate);
            self.enter(gate);
        }
    }

    /// What begins when all have passed a gate.
    fn enter(&mut self, gate: Place) {
        let milestone = match gate {
            Place::OPENED => {
                self.announce(Milestone::Opened);
                Milestone::Holding
            }
            Place::BROADCAST => {
                self.close_broadcasts(u32::MAX);
                if self.options.drop.is_none() {
                    return;
                }
                Milestone::Dropping
            }
            Place::RETURNED => Milestone::Settling,
            Place::SETTLED => Milestone::Closing,
            gate => match gate.broadcast() {
                Some(1) => Milestone::Broadcasting,
                Some(number) => return self.close_broadcasts(number),
                None => return,
            },
        };
        self.since = Instant::now();
        self.announce(milestone);
    }

    /// Tells what came of the broadcasts before `number`.
    fn close_broadcasts(&mut self, number: u32) {
        while let Some(entry) = self.tallies.first_entry().filter(|one| *one.key() < number) {
            let (number, tally) = entry.remove_entry();
            let broadcast = Broadcast::new(number, &tally);
            self.end.broadcasts.push(broadcast);
            let at_s = seconds(self.started.elapsed());
            let event = Event::Broadcast { at_s, broadcast };
            self.progress.handle_event(&event);
        }
    }

    fn announce(&mut self, stage: Milestone) {
        let event = Event::Stage {
            stage,
            at_s: seconds(self.started.elapsed()),
            connections: Standing::new(self.options.connections.into(), &self.look()),
        };
        self.progress.handle_event(&event);
    }

    /// The crowd of all machines as it was last heard of.
    fn look(&self) -> Snapshot {
        let members = self.crew.members.iter();
        members.map(look_at).fold(Snapshot::EMPTY, Snapshot::plus)
    }

    /// Puts together what came of the run.
    fn report(mut self) -> Report {
        let (mut all, mut shards) = (Outcome::new(), 0_u16);
        let mut kernels = BTreeSet::new();
        let mut carriers = BTreeSet::new();
        let mut machines: Vec<MachineReport> = Vec::new();
        for member in &mut self.crew.members {
            let mut machine = member.report(self.options.connections.into());
            if let State::Done(done) = &mut member.state {
                shards = shards.saturating_add(done.shards);
                if let Some((outcome, mut end)) = done.outcome.take() {
                    end.timeline.name_machine(&member.name);
                    machine.ready = outcome.readied;
                    machine.held = outcome.held;
                    machine.lateness = outcome.lateness.percentiles();
                    let limits = limits_of(&outcome).counts();
                    machine.limits = limits.iter().map(Trouble::of_limit).collect();
                    all.merge(outcome);
                    kernels.insert(end.kernel.clone());
                    carriers.insert(end.carrier.clone());
                    put_together(&mut self.end, end);
                }
            } else {
                count_lost(&mut all, member.most_ready, member.share.into());
            }
            machines.push(machine);
        }
        self.end.kernel = kernels.into_iter().collect::<Vec<_>>().join("; ");
        self.end.carrier = carriers.into_iter().collect::<Vec<_>>().join(", ");
        Report::new(self.options, shards, all, self.end).with_machines(machines, self.options)
    }
}

/// The crowd of a machine as it was last heard of. Of one that is lost nobody is there, and what it has counted
/// stays.
fn look_at(member: &Member) -> Snapshot {
    // Who was not heard yet is where all begin.
    let seen = member.standing.unwrap_or(Snapshot {
        stage: Stage::Opening,
        ..Snapshot::EMPTY
    });
    if !matches!(member.state, State::Lost(_)) {
        return seen;
    }
    let share = u64::from(member.share);
    let dropped = member.most_ready.min(share);
    Snapshot {
        failed: share - dropped,
        dropped,
        published: seen.published,
        delivered: seen.delivered,
        answered: seen.answered,
        ..Snapshot::EMPTY
    }
}

/// Stages take as long as they take the slowest machine.
fn put_together(all: &mut End, one: End) {
    let later = |mine: &mut Duration, other: Duration| *mine = (*mine).max(other);
    later(&mut all.opening, one.opening);
    later(&mut all.held, one.held);
    later(&mut all.broadcasting, one.broadcasting);
    later(&mut all.dropping, one.dropping);
    later(&mut all.closing, one.closing);
    all.interrupted |= one.interrupted;
    all.timeline.merge(one.timeline);
}

/// Counts the connections of a machine that is lost, of which so many were ready by what was heard of it.
fn count_lost(all: &mut Outcome, most_ready: u64, share: u64) {
    let was_there = most_ready.min(share);
    all.opened += was_there;
    all.readied += was_there;
    for (failures, count) in [
        (&mut all.dropped, was_there),
        (&mut all.not_opened, share - was_there),
    ] {
        if count > 0 {
            failures.add(Failure::AgentLost, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_of_a_lost_machine_are_accounted_for() {
        let mut all = Outcome::new();
        count_lost(&mut all, 70, 100);
        assert_eq!((all.readied, all.dropped.total()), (70, 70));
        assert_eq!(all.not_opened.total(), 30);
        assert_eq!(all.dropped.counts()[0].class, "agent_lost");
        count_lost(&mut all, 0, 7);
        assert_eq!((all.readied, all.not_opened.total()), (70, 37));
    }
}
