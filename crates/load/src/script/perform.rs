//! A run of a script: checks that it can be held, starts its shards, and gathers what they count.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::Ordering::Relaxed,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use capacity::{Layout, Machine, Shortage, Sources};
use engine::{KernelChoice, ShardIndex, Shards};

use super::{
    cast::{Cast, Handed, Order, Plan, Server},
    desk::Desk,
    figures::Figures,
    part::ScriptPart,
    periods::Periods,
    phases::Phase,
    program::Program,
    read::Script,
    report::{Run, ScriptReport},
    servers::{Resolved, resolve, sockets_towards, ways},
};
use crate::{
    agents::Capacity,
    gauges::{Snapshot, Stage as CrowdStage},
    interrupt::Interrupt,
    lookout::{Lookout, Watched},
    options::{Options, OptionsError},
    progress::Progress,
    proxy::Proxy,
    run::{self, LoadError, epoch_ms},
    tls::Tls,
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
    /// What `wss://` servers are asked for, on top of what the script says.
    pub tls: Tls,
    /// Through which proxy servers are reached, instead of the script's.
    pub proxy: Option<Proxy>,
}

impl Default for ScriptOptions {
    fn default() -> Self {
        Self {
            sources: None,
            shards: None,
            kernel: KernelChoice::Auto,
            connect_timeout: Duration::from_secs(30),
            watch: None,
            tls: Tls::default(),
            proxy: None,
        }
    }
}

/// How often the shards are looked after.
const LOOK: Duration = Duration::from_millis(50);
/// Periods and lines that a shard may hand in before they are read.
const HANDED_MAX: usize = 256;

/// Runs a script, shows it to `progress` with its lines as they come, and reports.
///
/// # Errors
///
/// [`LoadError::Options`] and [`LoadError::Resolve`] before the first connection;
/// [`LoadError::Start`] and [`LoadError::Shard`] when the machine fails.
pub fn run_script(
    script: Script,
    options: &ScriptOptions,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<ScriptReport, LoadError> {
    let prepared = prepare(script, options, ScriptPart::whole(), fastrand::u64(..))?;
    let plan = Arc::clone(&prepared.plan);
    let lookout = Lookout::start(options.watch.clone());
    let mut desk = Desk::open(&plan.script, lookout, progress);
    let ended = perform_part(prepared, interrupt, &mut |said| match said {
        Said::Line(line) => desk.line(&line),
        Said::Standing(crowd) => desk.stand(&crowd),
        Said::Period(period, figures, _) => desk.close(period, *figures, Vec::new()),
    })?;
    let began = desk.began;
    let filed = desk.file();
    let run = Run {
        span: (began, epoch_ms()),
        intermediate: filed.intermediate,
        interrupted: ended.is_interrupted,
        carrier: ended.carrier,
        shards: ended.shards,
        timeline: filed.timeline,
        machines: Vec::new(),
    };
    Ok(ScriptReport::new(
        &plan.script,
        options,
        &filed.figures,
        run,
    ))
}

/// Shards that wait for the start of a script.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Arc<Plan>,
    shards: Shards<Order>,
    handed: Receiver<Handed>,
}

/// What a machine says of a script while it runs.
#[derive(Debug)]
pub(crate) enum Said {
    /// What a step logged.
    Line(String),
    /// The users that are there.
    Standing(Snapshot),
    /// The figures of a period, of all shards, and whether it is the last.
    Period(u32, Box<Figures>, bool),
}

/// How a script ended on a machine.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) shards: u16,
    pub(crate) carrier: String,
    pub(crate) is_interrupted: bool,
}

/// Checks that this machine can carry its part of a script, and starts its shards.
pub(crate) fn prepare(
    script: Script,
    options: &ScriptOptions,
    part: ScriptPart,
    run: u64,
) -> Result<Prepared, LoadError> {
    let (plan, settings) = plan(script, options, part, run)?;
    let plan = Arc::new(plan);
    let (sender, handed) = mpsc::sync_channel(HANDED_MAX * usize::from(plan.shards));
    let for_app = Arc::clone(&plan);
    let shards = Shards::start(&settings, plan.shards, None, move |shard, _| {
        Cast::new(Arc::clone(&for_app), sender.clone(), shard.0, Watch::Unset)
    })?;
    Ok(Prepared {
        plan,
        shards,
        handed,
    })
}

/// Runs what was prepared.
pub(crate) fn perform_part(
    prepared: Prepared,
    interrupt: &Interrupt,
    say: &mut dyn FnMut(Said),
) -> Result<Ended, LoadError> {
    let Prepared {
        plan,
        shards,
        handed,
    } = prepared;
    let stage = Stage {
        plan: &plan,
        shards: &shards,
        handed,
        periods: Periods::of(plan.shards),
        say,
    };
    let is_interrupted = stage.perform(interrupt);
    let carrier = shards.kernel().kernel().to_string();
    // A panic of a shard goes on here.
    shards.join().map_err(LoadError::Shard)?;
    Ok(Ended {
        shards: plan.shards,
        carrier,
        is_interrupted,
    })
}

/// The shards at work.
struct Stage<'a> {
    plan: &'a Plan,
    shards: &'a Shards<Order>,
    handed: Receiver<Handed>,
    periods: Periods,
    say: &'a mut dyn FnMut(Said),
}

impl Stage<'_> {
    /// Lets everything happen; whether it was ended early.
    fn perform(mut self, interrupt: &Interrupt) -> bool {
        self.order(Order::Start);
        let mut is_interrupted = false;
        while self.periods.ended() < self.plan.shards {
            match self.handed.recv_timeout(LOOK) {
                Ok(handed) => self.take(handed),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let (active, away) = (&self.plan.active, &self.plan.away);
            let (active, away) = (active.load(Relaxed), away.load(Relaxed));
            (self.say)(Said::Standing(Snapshot {
                stage: CrowdStage::Holding,
                open: self.plan.open.load(Relaxed).into(),
                ready: active.saturating_sub(away).into(),
                away: away.into(),
                ..Snapshot::EMPTY
            }));
            if interrupt.is_raised() && !is_interrupted {
                is_interrupted = true;
                self.order(Order::Close);
            }
            if self.shards.finished_count() > usize::from(self.periods.ended()) {
                // Results come before the end of their shard: one that has ended without them has failed.
                while let Ok(handed) = self.handed.try_recv() {
                    self.take(handed);
                }
                if self.shards.finished_count() > usize::from(self.periods.ended()) {
                    break;
                }
            }
        }
        // Of a shard that has failed, the last periods are missing.
        while let Some((period, figures)) = self.periods.take_first() {
            self.hand_on(period, figures);
        }
        is_interrupted
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
            Handed::Line(line) => return (self.say)(Said::Line(line)),
            Handed::Period {
                period,
                figures,
                is_last,
            } => (period, figures, is_last),
        };
        self.periods.add(period, *figures, is_last);
        while let Some((period, figures)) = self.periods.take_whole() {
            self.hand_on(period, figures);
        }
    }

    fn hand_on(&mut self, period: u32, figures: Figures) {
        let is_last = self.periods.is_over();
        (self.say)(Said::Period(period, Box::new(figures), is_last));
    }
}

/// How many users this machine can carry of a script.
pub(crate) fn capacity(script: &Script, options: &ScriptOptions) -> Result<Capacity, LoadError> {
    let needs = Needs::of(script, options, &ScriptPart::whole())?;
    let Resolved {
        servers,
        destinations,
    } = resolve(script, options, needs.arrivals)?;
    let counts = destinations.iter().enumerate();
    // A user with several sockets to one server needs as many addresses.
    let counts = counts.map(|(place, (_, sources))| {
        sources.count() / u64::from(sockets_towards(script, &servers, place).max(1))
    });
    let mut capacity = Capacity::of(&needs.layout, &needs.machine, counts.min().unwrap_or(0));
    // What is divided are users.
    capacity.connections_max /= u64::from(script.sockets_max());
    Ok(capacity)
}

/// Users that are to be held at once by all machines together; 0 where the server decides how many there are.
pub(crate) fn users_held(script: &Script) -> u32 {
    let held = script.phases.iter().filter_map(|phase| phase.hold);
    held.max().unwrap_or(0)
}

/// What a machine needs for its part of a script.
struct Needs {
    machine: Machine,
    arrivals: u64,
    /// Connections of users that may be there at once.
    connections: u64,
    /// Users that must be possible at once.
    held: Option<u64>,
    layout: Layout,
}

impl Needs {
    fn of(script: &Script, options: &ScriptOptions, part: &ScriptPart) -> Result<Self, LoadError> {
        capacity::raise_nofile();
        let machine = Machine::read();
        let arrivals: f64 = script.phases.iter().map(Phase::arrivals_about).sum();
        let users = script.phases.iter();
        let users = users.map(|phase| u64::from(phase.users_about())).sum();
        let sockets = u64::from(script.sockets_max());
        let users = part.of_users(users).max(1);
        let connections = users.saturating_mul(sockets).min(u32::MAX.into());
        // What is to be held must be possible; how many others are there at once is up to the server.
        let held = script.phases.iter().filter_map(|phase| phase.hold).max();
        let held = held.map(|held| part.of_users(held.into()));
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
        let wanted = held.map_or(connections, |held| held.max(1) * sockets);
        let (kernel, fixed) = (options.kernel, options.shards);
        let layout = run::layout_of(kernel, fixed.unwrap_or(few), fixed, wanted, &machine)?;
        Ok(Self {
            machine,
            arrivals: part.of_users(arrivals as u64),
            connections,
            held,
            layout,
        })
    }
}

/// Checks that this machine can hold what is asked, and decides what was left open.
fn plan(
    script: Script,
    options: &ScriptOptions,
    part: ScriptPart,
    run: u64,
) -> Result<(Plan, engine::Settings), LoadError> {
    let needs = Needs::of(&script, options, &part)?;
    let (layout, machine) = (needs.layout, needs.machine);
    let sockets = u64::from(script.sockets_max());
    if let Some(held) = needs.held
        && let Some(shortage) = Shortage::of_layout(held * sockets, &layout, &machine)
    {
        return Err(OptionsError::Shortage(shortage).into());
    }
    let Resolved {
        servers,
        destinations,
    } = resolve(&script, options, needs.arrivals)?;
    for (place, (_, sources)) in destinations.iter().enumerate() {
        let towards = u64::from(sockets_towards(&script, &servers, place));
        if let Some(held) = needs.held
            && let Some(shortage) = Shortage::of_tuples(held * towards, sources.count(), 1)
        {
            return Err(OptionsError::Shortage(shortage).into());
        }
    }
    let share = u32::try_from(needs.connections.div_ceil(layout.shards.into())).unwrap_or(u32::MAX);
    let roomy = share.saturating_add(share / 16).saturating_add(64);
    let slots_max = roomy.min(run::seats(&layout, &machine)).max(1);
    let settings = run::settings_of(
        options.connect_timeout,
        slots_max,
        options.kernel,
        layout.tables,
    );
    let first_steps = first_steps(&script);
    let ways = ways(&script, options)?;
    let servers = servers.into_iter().zip(ways);
    let servers = servers.map(|(destination, way)| Server { destination, way });
    let plan = Plan {
        servers: servers.collect(),
        first_sockets: first_sockets(&script),
        destinations: destinations.into(),
        run,
        part,
        shards: layout.shards,
        slots_max,
        active: 0.into(),
        open: 0.into(),
        away: 0.into(),
        captured: OnceLock::new(),
        first_steps,
        script,
    };
    Ok((plan, settings))
}

/// Of each scenario, the place of its first step among all.
pub(super) fn first_steps(script: &Script) -> Box<[usize]> {
    starts(script.programs.iter().map(|program| program.steps.len()))
}

/// Of each scenario, the place of its users' own socket among all.
pub(super) fn first_sockets(script: &Script) -> Box<[usize]> {
    starts(script.programs.iter().map(Program::sockets_count))
}

fn starts(lengths: impl Iterator<Item = usize>) -> Box<[usize]> {
    let starts = lengths.scan(0, |next, length| {
        let first = *next;
        *next += length;
        Some(first)
    });
    starts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::ScriptFlags;

    /// A script that holds so many users with an own socket and two besides, one of them elsewhere.
    fn held(users: u32) -> Script {
        let text = format!(
            "config: {{target: 'ws://127.0.0.1:4000/', phases: [{{duration: 1, hold: {users}}}]}}\n\
             scenarios:\n  - engine: ws\n    sockets: {{feed: 'ws://127.0.0.1:4000/feed', \
             news: 'ws://127.0.0.1:4001/'}}\n    flow: [{{open: feed}}, {{open: news}}]\n  \
             - {{engine: ws, flow: [{{send: a}}]}}\n"
        );
        let flags = ScriptFlags::default();
        let folder = std::path::Path::new(".");
        Script::parse("s.yml", &text, folder, &flags, &|_| None).expect("a script")
    }

    #[test]
    fn every_socket_of_a_user_needs_a_slot_and_a_tuple() {
        let script = held(200);
        let options = ScriptOptions {
            shards: Some(2),
            kernel: KernelChoice::Epoll,
            ..ScriptOptions::default()
        };
        let needs = Needs::of(&script, &options, &ScriptPart::whole()).expect("room for few");
        assert_eq!((needs.connections, needs.held), (600, Some(200)));
        let resolved = resolve(&script, &options, 10).expect("loopback");
        assert_eq!(resolved.servers, [0, 0, 1, 0]);
        let towards = [0, 1].map(|place| sockets_towards(&script, &resolved.servers, place));
        assert_eq!(towards, [2, 1]);
        assert_eq!(*first_sockets(&script), [0, 3]);
        let (plan, _) = plan(script, &options, ScriptPart::whole(), 1).expect("room for few");
        assert!(plan.slots_max >= 300, "{}", plan.slots_max);
    }

    #[test]
    fn more_sockets_than_there_are_tuples_or_descriptors_are_refused() {
        let options = ScriptOptions {
            sources: Some("127.0.0.1".parse().expect("an address")),
            shards: Some(1),
            kernel: KernelChoice::Epoll,
            ..ScriptOptions::default()
        };
        let refusal = |users, options: &ScriptOptions| {
            let plan = plan(held(users), options, ScriptPart::whole(), 1);
            plan.map(drop).expect_err("too many").to_string()
        };
        // A third of the descriptors that there are for users with one socket each.
        let needs = Needs::of(&held(1), &options, &ScriptPart::whole()).expect("room for few");
        let most = run::seats(&needs.layout, &needs.machine);
        let text = refusal(most / 3 + 1, &options);
        assert!(text.contains("connections need "), "{most}: {text}");
        let carried = capacity(&held(1), &options)
            .expect("a capacity")
            .connections_max;
        assert!(
            (carried as i64 - i64::from(most) / 3).abs() <= 1,
            "{carried} of {most}"
        );
    }
}
