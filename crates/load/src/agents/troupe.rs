//! A run of a script on several machines, as the coordinator follows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    attendant::Event,
    crew::{Agents, Crew, OnAgentLoss, State},
    message::{FromAgent, ScriptWork, Work},
    muster::SOURCES_ARE_THEIRS,
};
use crate::{
    failure::{Failure, Failures},
    gauges::Snapshot,
    interrupt::Interrupt,
    latency::Latency,
    lookout::Lookout,
    options::OptionsError,
    progress::Progress,
    record::Trouble,
    run::{LoadError, epoch_ms},
    script::{
        self, Bundle, Desk, Figures, Periods, Run, SLICES, Script, ScriptOptions, ScriptReport,
    },
    timeline::{Timeline, Used},
};

/// As [`run_script`](crate::run_script) on several machines that act as one.
///
/// # Errors
///
/// [`LoadError::Options`] and [`LoadError::Agents`] before the first connection. An agent that is lost later
/// is not an error but a report that says so.
pub fn run_script_on_agents(
    script: &Script,
    bundle: Bundle,
    options: &ScriptOptions,
    agents: &Agents,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<ScriptReport, LoadError> {
    run_scaled((script, 100), bundle, options, agents, progress, interrupt)
}

/// The same for a script with so many per cent of the arrivals that `bundle` says.
pub(crate) fn run_scaled(
    (script, percent): (&Script, u64),
    bundle: Bundle,
    options: &ScriptOptions,
    agents: &Agents,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<ScriptReport, LoadError> {
    if options.sources.is_some() {
        return Err(OptionsError::Contradiction(SOURCES_ARE_THEIRS).into());
    }
    let work = ScriptWork {
        bundle,
        percent,
        shards: options.shards,
        kernel: options.kernel,
        connect_timeout: options.connect_timeout,
        tls: options.tls.clone(),
        proxy: options.proxy.clone(),
    };
    let mut crew = Crew::gather(agents, progress, interrupt)?;
    crew.ask(Work::Script(Box::new(work)), interrupt)?;
    crew.divide(SLICES, script::users_held(script).into())?;
    crew.prepare(fastrand::u64(..), interrupt)?;
    let started = crew.start(interrupt)?;
    let machines = u16::try_from(crew.members.len()).expect("agents are far fewer than that");
    let lookout = Lookout::at_target(options.watch.clone());
    let mut desk = Desk::open(script, lookout, progress);
    // They begin in a moment.
    let ahead = started.saturating_duration_since(Instant::now());
    desk.began += u64::try_from(ahead.as_millis()).unwrap_or(0);
    let troupe = Troupe {
        acts: crew.members.iter().map(|_| Act::default()).collect(),
        crew,
        on_loss: agents.on_loss,
        periods: Periods::of(machines),
        limits: BTreeMap::new(),
        desk,
        is_interrupted: false,
    };
    Ok(troupe.follow(script, options, interrupt))
}

/// What one machine has handed in.
#[derive(Debug, Default)]
struct Act {
    last: Option<u32>,
    is_over: bool,
    created: u64,
    completed: u64,
    lateness: Latency,
    /// What kept it from generating its part of the load.
    limits: Failures,
}

/// A run of a script under way.
struct Troupe<'a> {
    crew: Crew,
    acts: Vec<Act>,
    on_loss: OnAgentLoss,
    periods: Periods,
    /// The limits of all machines in the periods that are not whole.
    limits: BTreeMap<u32, Vec<Used>>,
    desk: Desk<'a>,
    is_interrupted: bool,
}

impl Troupe<'_> {
    fn follow(
        mut self,
        script: &Script,
        options: &ScriptOptions,
        interrupt: &Interrupt,
    ) -> ScriptReport {
        while self.crew.members.iter().any(|member| member.is_running()) {
            if interrupt.is_raised() {
                self.end();
            }
            if let Some((place, event)) = self.crew.next() {
                self.handle(place, event);
            }
        }
        while let Some((period, figures)) = self.periods.take_first() {
            self.close(period, figures);
        }
        self.report(script, options)
    }

    fn end(&mut self) {
        if !self.is_interrupted {
            self.is_interrupted = true;
            self.crew.end();
        }
    }

    fn handle(&mut self, place: usize, event: Event) {
        let said = match event {
            Event::Heard(said) => said,
            Event::Lost(why) => return self.lose(place, why),
            Event::Awaited(_) | Event::Connected | Event::Clock(_) => return,
        };
        let member = &mut self.crew.members[place];
        match said {
            FromAgent::Standing(standing) => {
                member.hear(standing);
                let standings = self.crew.members.iter().filter_map(|one| one.standing);
                let all = standings.fold(Snapshot::EMPTY, Snapshot::plus);
                self.desk.stand(&all);
            }
            FromAgent::Line(line) => {
                let line = format!("{}: {line}", member.name);
                self.desk.line(&line);
            }
            FromAgent::Period {
                period,
                figures,
                limits,
                is_last,
            } => self.take(place, period, *figures, limits, is_last),
            FromAgent::Done(done) => {
                member.state = State::Done(done);
                self.close_act(place);
            }
            FromAgent::Failed { why } | FromAgent::Unable { why } => self.lose(place, why),
            _ => {}
        }
    }

    fn take(
        &mut self,
        place: usize,
        period: u32,
        figures: Figures,
        limits: Vec<Used>,
        is_last: bool,
    ) {
        let act = &mut self.acts[place];
        // A machine hands in its periods in their order, and none after its last.
        if act.is_over || act.last.is_some_and(|last| period <= last) {
            return;
        }
        (act.last, act.is_over) = (Some(period), is_last);
        let known = self.limits.entry(period).or_default();
        let room = Timeline::LIMITS_MAX.saturating_sub(known.len());
        known.extend(limits.into_iter().take(room).map(|mut used| {
            used.name_machine(&self.crew.members[place].name);
            used
        }));
        act.created += figures.created;
        act.completed += figures.completed;
        act.lateness.merge(&figures.lateness);
        act.limits.merge(figures.failed.only(Failure::is_ours));
        self.periods.add(period, figures, is_last);
        self.close_periods();
    }

    fn close_periods(&mut self) {
        while let Some((period, figures)) = self.periods.take_whole() {
            self.close(period, figures);
        }
    }

    fn close(&mut self, period: u32, figures: Figures) {
        let limits = self.limits.remove(&period).unwrap_or_default();
        self.desk.close(period, figures, limits);
    }

    /// Expects no more of a machine.
    fn close_act(&mut self, place: usize) {
        let act = &mut self.acts[place];
        if !std::mem::replace(&mut act.is_over, true) {
            self.periods.give_up(act.last);
            self.close_periods();
        }
    }

    fn lose(&mut self, place: usize, why: String) {
        let member = &mut self.crew.members[place];
        // Who has handed in its results may go.
        if !member.is_running() {
            return;
        }
        member.state = State::Lost(why);
        let users = member.standing;
        let users = users.map_or(0, |standing| standing.ready + standing.away);
        self.close_act(place);
        if users > 0 {
            let mut lost = Figures::default();
            lost.failed.add(Failure::AgentLost, users);
            self.desk.add(lost);
        }
        if self.on_loss == OnAgentLoss::Stop {
            self.end();
        }
    }

    fn report(self, script: &Script, options: &ScriptOptions) -> ScriptReport {
        let (mut shards, mut carriers) = (0_u16, BTreeSet::new());
        let mut machines = Vec::new();
        let mut is_interrupted = self.is_interrupted;
        for (member, act) in self.crew.members.iter().zip(&self.acts) {
            if let State::Done(done) = &member.state {
                shards = shards.saturating_add(done.shards);
                carriers.insert(done.carrier.clone());
                is_interrupted |= done.is_interrupted;
            }
            let mut machine = member.report(SLICES.into());
            (machine.asked, machine.ready) = (act.created, act.completed);
            machine.lateness = act.lateness.percentiles();
            let limits = act.limits.counts();
            machine.limits = limits.iter().map(Trouble::of_limit).collect();
            machines.push(machine);
        }
        let began = self.desk.began;
        let filed = self.desk.file();
        let run = Run {
            span: (began, epoch_ms()),
            intermediate: filed.intermediate,
            timeline: filed.timeline,
            interrupted: is_interrupted,
            carrier: carriers.into_iter().collect::<Vec<_>>().join(", "),
            shards,
            machines,
        };
        ScriptReport::new(script, options, &filed.figures, run)
    }
}
