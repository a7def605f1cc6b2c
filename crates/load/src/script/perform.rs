//! A run of a script: checks that it can be held, starts its shards, and gathers what they count.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use capacity::{Machine, Shortage, Sources};
use engine::{KernelChoice, ShardIndex, Shards};

use super::{
    cast::{Cast, Handed, Order, PERIOD, Plan},
    figures::Figures,
    metrics::Metrics,
    periods::Periods,
    phases::Phase,
    read::Script,
    report::{Run, ScriptReport, shaped},
};
use crate::{
    interrupt::Interrupt,
    lookout::{Lookout, Watched},
    options::{Options, OptionsError},
    run::{self, LoadError, epoch_ms},
    timeline::Timeline,
    watch::Watch,
};

/// How a script is run; what it is, it says itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScriptOptions {
    /// Addresses to dial from; `None` chooses them, see [`Options::sources`].
    pub sources: Option<Sources>,
    /// Threads; `None` is one per core, at most eight, or as many as the users need to have descriptors.
    pub shards: Option<u16>,
    /// What carries the connections.
    pub kernel: KernelChoice,
    /// From the dial to an open WebSocket.
    pub connect_timeout: Duration,
    /// A page of metrics that tells of the target's limits while the users are there.
    pub watch: Option<Watched>,
}

impl Default for ScriptOptions {
    fn default() -> Self {
        Self {
            sources: None,
            shards: None,
            kernel: KernelChoice::Auto,
            connect_timeout: Duration::from_secs(30),
            watch: None,
        }
    }
}

/// How often the shards are looked after.
const LOOK: Duration = Duration::from_millis(50);
/// Periods that are shown together: ten seconds, as in Artillery's reports.
const SHOWN: u32 = 10;
const PERIOD_MS: u64 = PERIOD.as_millis() as u64;
/// Periods and lines that a shard may hand in before they are read.
const HANDED_MAX: usize = 256;
/// Tuples that are prepared, at most; those of users that have left are used again.
const TUPLES_MAX: u64 = 4_000_000;

/// Runs a script, gives `tell` its lines as they come, and reports.
///
/// # Errors
///
/// [`LoadError::Options`] and [`LoadError::Resolve`] before the first connection;
/// [`LoadError::Start`] and [`LoadError::Shard`] when the machine fails.
pub fn run_script(
    script: Script,
    options: &ScriptOptions,
    tell: &mut dyn FnMut(&str),
    interrupt: &Interrupt,
) -> Result<ScriptReport, LoadError> {
    let (plan, settings) = plan(script, options)?;
    let plan = Arc::new(plan);
    let (sender, handed) = mpsc::sync_channel(HANDED_MAX * usize::from(plan.shards));
    let for_app = Arc::clone(&plan);
    let shards = Shards::start(&settings, plan.shards, None, move |shard, _| {
        Cast::new(Arc::clone(&for_app), sender.clone(), shard.0, Watch::Unset)
    })?;
    let began = epoch_ms();
    let stage = Stage {
        plan: &plan,
        shards: &shards,
        handed,
        began,
        periods: Periods::of(plan.shards),
        lookout: Lookout::start(options.watch.clone()),
        all: None,
        tens: None,
        intermediate: Vec::new(),
        timeline: Timeline::new(PERIOD),
        tell,
    };
    let done = stage.perform(interrupt);
    let carrier = shards.kernel().kernel().to_string();
    // A panic of a shard goes on here.
    shards.join().map_err(LoadError::Shard)?;
    let run = Run {
        span: (began, epoch_ms()),
        intermediate: done.intermediate,
        interrupted: done.interrupted,
        carrier,
        shards: plan.shards,
        timeline: done.timeline,
    };
    Ok(ScriptReport::new(&plan.script, options, &done.figures, run))
}

/// The shards at work.
struct Stage<'a> {
    plan: &'a Plan,
    shards: &'a Shards<Order>,
    handed: Receiver<Handed>,
    began: u64,
    periods: Periods,
    lookout: Lookout,
    all: Option<Figures>,
    /// The periods since the last that was shown, and the first of them.
    tens: Option<(u32, Figures)>,
    intermediate: Vec<serde_json::Value>,
    timeline: Timeline,
    tell: &'a mut dyn FnMut(&str),
}

/// What came of it.
struct Done {
    figures: Figures,
    intermediate: Vec<serde_json::Value>,
    timeline: Timeline,
    interrupted: bool,
}

impl Stage<'_> {
    fn perform(mut self, interrupt: &Interrupt) -> Done {
        self.order(Order::Start);
        let mut interrupted = None;
        while self.periods.ended < self.plan.shards {
            match self.handed.recv_timeout(LOOK) {
                Ok(handed) => self.take(handed),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if interrupt.is_raised() && interrupted.is_none() {
                interrupted = Some(Instant::now());
                self.order(Order::Close);
            }
            if self.shards.finished_count() > usize::from(self.periods.ended) {
                // Results come before the end of their shard: one that has ended without them has failed.
                while let Ok(handed) = self.handed.try_recv() {
                    self.take(handed);
                }
                if self.shards.finished_count() > usize::from(self.periods.ended) {
                    break;
                }
            }
        }
        // Of a shard that has failed, the last periods are missing.
        while let Some((period, figures)) = self.periods.take_first() {
            self.close(period, figures);
        }
        self.show();
        Done {
            figures: self.all.unwrap_or_default(),
            intermediate: self.intermediate,
            timeline: self.timeline,
            interrupted: interrupted.is_some(),
        }
    }

    fn order(&self, order: Order) {
        for shard in 0..self.plan.shards {
            // A shard has two orders to take up at most, and its mailbox has room for many more.
            let posted = self.shards.post(ShardIndex(shard), order);
            debug_assert!(posted.is_ok(), "no room for {order:?}");
        }
    }

    fn take(&mut self, handed: Handed) {
        let (period, figures, is_last) = match handed {
            Handed::Line(line) => return (self.tell)(&line),
            Handed::Period {
                period,
                figures,
                is_last,
            } => (period, figures, is_last),
        };
        self.periods.add(period, *figures, is_last);
        while let Some((period, figures)) = self.periods.take_whole() {
            self.close(period, figures);
        }
    }

    /// A period is over: it goes into the timeline, and into those that are shown together.
    fn close(&mut self, period: u32, figures: Figures) {
        let start = u64::from(period) * PERIOD_MS;
        let covered = epoch_ms().saturating_sub(self.began + start).min(PERIOD_MS);
        let limits = self.lookout.latest();
        self.timeline.add(start, figures.period(covered, limits));
        if self
            .tens
            .as_ref()
            .is_some_and(|&(first, _)| period / SHOWN != first / SHOWN)
        {
            self.show();
        }
        match &mut self.tens {
            Some((_, all)) => all.follow(figures),
            none => *none = Some((period / SHOWN * SHOWN, figures)),
        }
        if period % SHOWN == SHOWN - 1 {
            self.show();
        }
    }

    /// Shows the periods that belong together, keeps them as Artillery's reports have them, and adds them
    /// to the whole.
    fn show(&mut self) {
        let Some((first, figures)) = self.tens.take() else {
            return;
        };
        let start = self.began + u64::from(first) * PERIOD_MS;
        let end = (start + u64::from(SHOWN) * PERIOD_MS).min(epoch_ms());
        let seconds = end.saturating_sub(start).max(1) as f64 / 1e3;
        let metrics = Metrics::of(&figures, &self.plan.script, seconds);
        self.intermediate
            .push(shaped(&metrics, (start, end), start));
        let line = "-".repeat(38);
        let from_start = (end - self.began) / 1_000;
        let mut text = format!(
            "{line}\nMetrics for period to: {from_start}s (width: {seconds:.0}s)\n{line}\n\n"
        );
        for line in metrics.lines() {
            text.push_str(&line);
            text.push('\n');
        }
        (self.tell)(&text);
        match &mut self.all {
            Some(all) => all.follow(figures),
            none => *none = Some(figures),
        }
    }
}

/// Checks that this machine can hold what is asked, and decides what was left open.
fn plan(script: Script, options: &ScriptOptions) -> Result<(Plan, engine::Settings), LoadError> {
    capacity::raise_nofile();
    let machine = Machine::read();
    let arrivals: f64 = script.phases.iter().map(Phase::arrivals_about).sum();
    let users = script
        .phases
        .iter()
        .map(|phase| u64::from(phase.users_about()));
    let users = users.sum::<u64>().clamp(1, u32::MAX.into());
    // What is to be held must be possible; how many others are there at once is up to the server.
    let held = script.phases.iter().filter_map(|phase| phase.hold).max();
    let few = u16::try_from(machine.cores_count.clamp(1, 8)).unwrap_or(1);
    if let Some(shards) = options
        .shards
        .filter(|&n| n == 0 || n > Options::SHARDS_MAX)
    {
        return Err(LoadError::Options(OptionsError::Range {
            name: "--shards",
            value: shards.into(),
            expected: format!("1 to {}", Options::SHARDS_MAX),
        }));
    }
    let wanted = held.map_or(users, |held| u64::from(held).max(1));
    let fixed = options.shards;
    let layout = run::layout_of(
        options.kernel,
        fixed.unwrap_or(few),
        fixed,
        wanted,
        &machine,
    )?;
    if let Some(held) = held
        && let Some(shortage) = Shortage::of_layout(held.into(), &layout, &machine)
    {
        return Err(OptionsError::Shortage(shortage).into());
    }
    let (servers, destinations) = resolve(&script, options, arrivals as u64)?;
    for (_, sources) in &destinations {
        if let Some(held) = held
            && let Some(shortage) = Shortage::of_tuples(held.into(), sources.count(), 1)
        {
            return Err(OptionsError::Shortage(shortage).into());
        }
    }
    let share = u32::try_from(users.div_ceil(layout.shards.into())).unwrap_or(u32::MAX);
    let roomy = share.saturating_add(share / 16).saturating_add(64);
    let slots_max = roomy.min(run::seats(&layout, &machine)).max(1);
    let settings = run::settings_of(
        options.connect_timeout,
        slots_max,
        options.kernel,
        layout.tables,
    );
    let first_steps = first_steps(&script);
    let plan = Plan {
        script,
        servers: servers.into(),
        destinations: destinations.into(),
        run: fastrand::u64(..),
        shards: layout.shards,
        slots_max,
        active: 0.into(),
        first_steps,
    };
    Ok((plan, settings))
}

/// Of each scenario, the place of its first step among all.
pub(super) fn first_steps(script: &Script) -> Box<[usize]> {
    let lengths = script.programs.iter().map(|program| program.steps.len());
    let starts = lengths.scan(0, |next, length| {
        let first = *next;
        *next += length;
        Some(first)
    });
    starts.collect()
}

/// Of each scenario the place of its server, and of each server the address and where to dial from.
#[allow(
    clippy::type_complexity,
    reason = "two lists that belong together, used once"
)]
fn resolve(
    script: &Script,
    options: &ScriptOptions,
    arrivals: u64,
) -> Result<(Vec<usize>, Vec<(SocketAddr, Sources)>), LoadError> {
    let mut servers = Vec::new();
    let mut destinations: Vec<(SocketAddr, Sources)> = Vec::new();
    for program in &script.programs {
        let target = &program.connect.server;
        let destination = target.resolve().map_err(|error| LoadError::Resolve {
            host: target.host(),
            error,
        })?;
        let known = destinations
            .iter()
            .position(|(known, _)| *known == destination);
        let place = match known {
            Some(place) => place,
            None => {
                // Each user that leaves keeps its tuple for a minute, so arrivals count and not users.
                let tuples = (arrivals + arrivals / 10).clamp(1, TUPLES_MAX);
                let sources = match &options.sources {
                    Some(sources) => sources.clone(),
                    None => run::default_sources(destination, tuples)?,
                };
                run::check_sources(&sources, destination)?;
                destinations.push((destination, sources));
                destinations.len() - 1
            }
        };
        servers.push(place);
    }
    Ok((servers, destinations))
}
