//! `--search`: the greatest load that keeps an objective, found by running one load after the other.
//!
//! Each step is a whole run with a crowd of its own, so a step says the same whatever was before it, and
//! `fourtuple load` with the same numbers repeats it. Which loads are tried decides `bracket`, which knows
//! nothing of crowds; `objective` judges a run, `blame` says who broke first, `axis` makes a run of a load.

mod axis;
mod blame;
mod bracket;
mod evidence;
mod found;
mod objective;
mod rest;
mod text;

use std::time::Duration;

use thiserror::Error;

pub(crate) use self::evidence::{Evidence, Watcher};
pub use self::{
    axis::Axis,
    blame::Culprit,
    found::{Found, Step},
    objective::{Objective, ObjectiveError},
};
use self::{
    blame::{Blame, Witness},
    bracket::{Bracket, Came, Next, Purpose},
    objective::{Judged, Observed},
    rest::{Rests, pause},
};
use crate::{
    agents::{self, Agents, AgentsError, MachineReport},
    interrupt::Interrupt,
    options::{Options, OptionsError},
    progress::Progress,
    record::{Check, Record},
    report::Report,
    run::{self, LoadError},
    script::{Bundle, Script, ScriptOptions, ScriptReport, run_script},
    share::Share,
};

/// What is searched, between which loads, and until when.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Search {
    /// What grows.
    pub axis: Axis,
    /// The least load; `None` for 100.
    pub from: Option<u64>,
    /// The greatest; `None` for 1,000,000, or what the options allow at most.
    pub to: Option<u64>,
    /// What is kept.
    pub objective: Objective,
    /// How far the answer may be from the least load that did not hold, as a share of it.
    pub resolution: Share,
    /// How long each step is held.
    pub hold: Duration,
    /// How long nothing happens between two steps.
    pub settle: Duration,
}

impl Search {
    /// A search for the most that keeps `objective`, to 5 %, with steps of ten seconds and two between them.
    pub fn new(axis: Axis, objective: Objective) -> Self {
        Self {
            axis,
            from: None,
            to: None,
            objective,
            resolution: Share::percent(5),
            hold: Duration::from_secs(10),
            settle: Duration::from_secs(2),
        }
    }
}

/// Why a search does not start, or has no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SearchError {
    /// What was asked contradicts itself.
    #[error("{0}")]
    Asked(String),
    /// A step could not be run.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// A search and the run that confirmed its answer, or the last one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SearchReport<R> {
    /// What came of it.
    pub found: Found,
    /// Whether it was ended early: by whoever asked for it, or by the loss of an agent.
    pub interrupted: bool,
    /// The run; `None` when none could begin.
    pub run: Option<R>,
}

/// Finds the greatest load that `options` allow within `search`, on this machine or on `agents`.
///
/// # Errors
///
/// [`SearchError::Asked`] before the first connection, and what keeps a run from its report. A load that
/// the machines cannot generate is no error: it does not hold. An agent that is lost ends the search with what is
/// known.
pub fn search(
    options: &Options,
    search: &Search,
    agents: Option<&Agents>,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<SearchReport<Report>, SearchError> {
    let axis = axis::Crowd::of(options, search)?;
    let mut rests = match agents {
        None => Rests::here(axis.tuples()),
        Some(_) => Rests::default(),
    };
    seek(
        search,
        axis.unit(),
        axis.range(search)?,
        progress,
        interrupt,
        &mut |value, progress| {
            let options = axis.at(value);
            rests.wait_for(options.connections.into(), interrupt);
            let report = match agents {
                None => run::run(options, progress, interrupt)?,
                Some(agents) => agents::run_on_agents(options, agents, progress, interrupt)?,
            };
            rests.note(report.connections.opened, &report.machines);
            Ok(Ran {
                observed: axis.observed(&report, value),
                record: report.record(),
                witnesses: report.machines.iter().map(Witness::there).collect(),
                lost: lost(&report.machines),
                run: report,
            })
        },
    )
}

/// The same for a script, of which the arrivals of all phases grow, in per cent of what it says.
///
/// # Errors
///
/// As of [`search()`].
pub fn search_script(
    script: &Script,
    options: &ScriptOptions,
    search: &Search,
    agents: Option<(&Bundle, &Agents)>,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<SearchReport<ScriptReport>, SearchError> {
    let range = axis::range_of_script(script, search)?;
    seek(
        search,
        axis::OF_SCRIPT,
        range,
        progress,
        interrupt,
        &mut |percent, progress| {
            let scaled = script.at_percent(percent);
            let report = match agents {
                None => run_script(scaled, options, progress, interrupt)?,
                Some((bundle, agents)) => {
                    let bundle = bundle.clone();
                    let scaled = (&scaled, percent);
                    agents::run_scaled(scaled, bundle, options, agents, progress, interrupt)?
                }
            };
            let record = report.record();
            Ok(Ran {
                observed: axis::observed_of_script(&record),
                record,
                witnesses: report.machines.iter().map(Witness::there).collect(),
                lost: lost(&report.machines),
                run: report,
            })
        },
    )
}

/// What a step ran.
struct Ran<R> {
    observed: Observed,
    record: Record,
    /// The agents, where it ran on some.
    witnesses: Vec<Witness>,
    /// An agent that was lost, and why.
    lost: Option<String>,
    run: R,
}

/// The first agent that was lost, and why.
fn lost(machines: &[MachineReport]) -> Option<String> {
    machines.iter().find_map(|machine| {
        let why = machine.lost.as_ref()?;
        Some(format!("agent {} was lost: {why}", machine.agent))
    })
}

type RunStep<'a, R> = dyn FnMut(u64, &mut dyn Progress) -> Result<Ran<R>, LoadError> + 'a;

/// Lets `run` run as the search says, and puts together what comes of it.
fn seek<R>(
    search: &Search,
    unit: &str,
    (from, to): (u64, u64),
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
    run: &mut RunStep<'_, R>,
) -> Result<SearchReport<R>, SearchError> {
    let objective = search.objective.clone().with_usual();
    let found = Found {
        unit: unit.to_owned(),
        objective: objective.to_string(),
        from,
        to,
        ..Found::default()
    };
    let mut seeker = Seeker {
        objective,
        found,
        broke: None,
        best: None,
        last: None,
    };
    let mut bracket = Bracket::new(from, to, search.resolution.of(10_000));
    let answer = loop {
        let (value, purpose) = match bracket.next() {
            Next::Done(answer) => break answer,
            Next::Try(value, purpose) => (value, purpose),
        };
        if !seeker.found.steps.is_empty() {
            pause(search.settle, interrupt);
        }
        if interrupt.is_raised() {
            break None;
        }
        let steps = seeker.found.steps.len();
        progress.tell(&text::before(steps, value, purpose, unit));
        let tried = match seeker.attempt(value, purpose, progress, run) {
            Ok(tried) => tried,
            Err(LoadError::Agents(error)) if steps > 0 || interrupt.is_raised() => {
                seeker.found.cut = Some(error.to_string());
                break None;
            }
            Err(error) => return Err(error.into()),
        };
        if tried.lost.is_some() || interrupt.is_raised() {
            // What was cut off says nothing.
            seeker.found.steps.pop();
            seeker.found.cut = tried.lost;
            seeker.last = tried.run.or(seeker.last);
            break None;
        }
        progress.tell(&text::after(&tried.judged, tried.came, &tried.blame));
        bracket.handle(value, tried.came);
        seeker.keep(value, tried);
    };
    let is_cut = interrupt.is_raised() || seeker.found.cut.is_some();
    Ok(seeker.finish(answer, bracket.least_missed(), is_cut))
}

/// What a search has seen so far.
struct Seeker<R> {
    objective: Objective,
    found: Found,
    /// The least load that did not hold, and why.
    broke: Option<(u64, Blame)>,
    /// The last run that met the objective, and the last that did not.
    best: Option<R>,
    last: Option<R>,
}

/// What came of one step.
struct Tried<R> {
    judged: Vec<Judged>,
    came: Came,
    blame: Blame,
    lost: Option<String>,
    run: Option<R>,
}

impl<R> Seeker<R> {
    /// Tries a load.
    fn attempt(
        &mut self,
        value: u64,
        purpose: Purpose,
        progress: &mut dyn Progress,
        run: &mut RunStep<'_, R>,
    ) -> Result<Tried<R>, LoadError> {
        let watcher = Watcher::start();
        let ran = run(value, progress);
        let evidence = watcher.stop();
        let tried = match ran {
            Ok(mut ran) => {
                if ran.witnesses.is_empty() {
                    ran.witnesses.push(Witness::here(&ran.record, evidence));
                }
                let judged = self.objective.judge(&ran.observed);
                // A load that the machines did not generate was another one.
                let is_met = judged.iter().all(|one| one.is_met) && ran.record.limits.is_empty();
                let time_max = self.objective.time_max_us();
                let blame = Blame::of(&ran.record, &judged, &ran.witnesses, time_max);
                Tried {
                    judged,
                    came: if is_met { Came::Met } else { Came::Missed },
                    blame,
                    lost: ran.lost,
                    run: Some(ran.run),
                }
            }
            Err(error) if is_of_machine(&error) => Tried {
                judged: Vec::new(),
                came: Came::Impossible,
                blame: Blame::machine(error.to_string()),
                lost: None,
                run: None,
            },
            Err(error) => return Err(error),
        };
        let is_met = tried.came == Came::Met;
        let step = step(value, purpose, is_met, &tried.judged, evidence.took_ms);
        self.found.steps.push(step);
        Ok(tried)
    }

    fn keep(&mut self, value: u64, tried: Tried<R>) {
        if tried.came == Came::Met {
            self.best = tried.run;
            return;
        }
        if self.broke.as_ref().is_none_or(|&(least, _)| value <= least) {
            self.broke = Some((value, tried.blame));
        }
        self.last = tried.run.or_else(|| self.last.take());
    }

    fn finish(
        mut self,
        answer: Option<u64>,
        broke_at: Option<u64>,
        interrupted: bool,
    ) -> SearchReport<R> {
        self.found.answer = answer;
        self.found.broke_at = broke_at;
        // A load that did not hold once and then did is no sign of anything.
        if let Some((_, blame)) = self.broke.filter(|_| broke_at.is_some()) {
            self.found.culprit = Some(blame.who);
            self.found.whose = blame.whose;
            self.found.why = blame.why;
        }
        SearchReport {
            found: self.found,
            interrupted,
            run: self.best.or(self.last),
        }
    }
}

fn step(value: u64, purpose: Purpose, met: bool, judged: &[Judged], took_ms: u64) -> Step {
    let seen = judged.iter().map(|one| Check {
        expression: one.condition.clone(),
        ok: one.is_met,
        strict: true,
        found: Some(one.found.clone()),
    });
    Step {
        value,
        purpose: text::purpose(purpose).to_owned(),
        met,
        seen: seen.collect(),
        took_ms,
    }
}

/// Whether an error means that the machines cannot generate a load, rather than that they were asked for
/// something that cannot be.
fn is_of_machine(error: &LoadError) -> bool {
    match error {
        LoadError::Start(_) | LoadError::Options(OptionsError::Shortage(_)) => true,
        LoadError::Agents(error) => matches!(**error, AgentsError::Shortage { .. }),
        _ => false,
    }
}

impl SearchReport<Report> {
    /// What the search leaves behind.
    pub fn record(&self) -> Record {
        let mut record = self.run.as_ref().map(Report::record).unwrap_or_default();
        self.found.put_into(&mut record, self.interrupted);
        record
    }
}

impl SearchReport<ScriptReport> {
    /// What the search leaves behind.
    pub fn record(&self) -> Record {
        let mut record = self
            .run
            .as_ref()
            .map(ScriptReport::record)
            .unwrap_or_default();
        self.found.put_into(&mut record, self.interrupted);
        record
    }
}

#[cfg(test)]
mod tests;
