//! One shard of a script's virtual users: the engine's app that lets them arrive, act and leave.
//!
//! - `app`: what the engine tells, and the ticks;
//! - `arriving`: who is due is dialled;
//! - `acting`: users go from step to step;
//! - `opening`: a user's sockets until they are open;
//! - `returning`: those that end and come back;
//! - `storming`: those that the script resets;
//! - `calling`: functions in JavaScript;
//! - `hearing`: what the server says, and what becomes of it;
//! - `channels`: the steps of Phoenix Channels, and heartbeats;
//! - `socketio`: sessions of Socket.IO, and `emitting`: its steps;
//! - `leaving`: users go, and the shard hands in what it has counted.
//!
//! *Architecture invariant:* nothing here knows a thread, a clock or a socket; time and the network
//! come through [`Io`] and a [`Watch`], so a whole run happens on the simulated kernel, too.

mod acting;
mod app;
mod arriving;
mod calling;
mod channels;
mod emitting;
mod hearing;
mod leaving;
mod opening;
mod plan;
mod returning;
mod socketio;
mod storming;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    iter::Peekable,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use engine::{ConnId, Io, Time};

pub(crate) use self::plan::{Plan, Server};
use self::{arriving::Attempt, calling::Errand, opening::Dial, plan::scene, socketio::Talk};
use super::{
    alarms::Alarms,
    connect::Request,
    figures::Figures,
    links::Links,
    phases::Arrivals,
    processor::{Ended, Interpreter},
    storms::Storms,
    user::{Line, State, User},
};
use crate::{failure::Failure, hand::Hand, source::Tuples, table::Table, watch::Watch};

/// What the conductor tells a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Start,
    /// Let nobody arrive any more, and close everything.
    Close,
}

/// What a shard hands in.
#[derive(Debug)]
pub(crate) enum Handed {
    /// The figures of one period, and whether it was the shard's last.
    Period {
        period: u32,
        figures: Box<Figures>,
        is_last: bool,
    },
    /// What a step logged.
    Line(String),
}

/// How long a period is of which a shard tells.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// The longest time between two ticks, in each of which the heartbeats are sent that are due.
const TICK_MAX: Duration = Duration::from_millis(50);
/// Between looks for what waits for room.
const LATER: Duration = Duration::from_millis(1);
/// Users that act in one tick, so that answers are read between them.
const ACTS_PER_TICK: u32 = 1_024;

/// A user by its slot and by its number: the slot may be another's later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Who {
    slot: u32,
    number: u32,
}

/// One shard's users and what they have met.
#[derive(Debug)]
pub(crate) struct Cast {
    plan: Arc<Plan>,
    /// Where what is counted is handed in; none once the last is.
    results: Option<SyncSender<Handed>>,
    shard: u16,
    arrivals: Peekable<Arrivals>,
    started: Option<Time>,
    is_closing: bool,
    /// By destination.
    tuples: Box<[Tuples]>,
    /// Users whose tuple was in use and that wait for another, or whose functions have run.
    retries: VecDeque<Attempt>,
    /// Sockets of users that are there, to be dialled.
    dials: VecDeque<Dial>,
    /// How many tuples turned out to be in use by others, of dials that have met any, by connection.
    busy: HashMap<u32, u8>,
    users: Table<User>,
    /// By the engine's connection index.
    lines: Table<Line>,
    /// Whose these are, where users may have several.
    links: Option<Box<Links>>,
    /// One past the highest slot that ever had a user.
    slots: u32,
    /// Connections that were dialled and have not ended.
    live: u32,
    /// Of these, WebSockets.
    open: u32,
    /// Users that are to come back.
    away: u32,
    /// When sockets try to come back, and until when those that do wait for their topics, by their places.
    returns: Alarms,
    /// Sockets that could not be dialled, and why.
    undialled: Vec<(Dial, Failure)>,
    storms: Peekable<Storms>,
    /// How long the phases last.
    phases_last: Duration,
    /// Users that are there.
    active: u32,
    alarms: Alarms,
    /// Users that have more to do at once.
    ready: VecDeque<Who>,
    heartbeats: Option<Hand>,
    /// Sessions of Socket.IO, by their users' slots.
    talks: Table<Talk>,
    /// Looks for those that are silent.
    sweeps: Option<Hand>,
    /// Functions in JavaScript, from the first call on.
    functions: Option<Box<Interpreter>>,
    /// Calls that have not ended, by their numbers.
    errands: HashMap<u32, Errand>,
    /// Those for attempts in their order, and when each is given up.
    preparing: VecDeque<(Time, u32)>,
    /// The number of the next call.
    errands_begun: u32,
    /// Calls that could not begin.
    unheard: Vec<Ended>,
    /// What users ask for whose functions said so, and the subprotocols that were asked for, by connection,
    /// until the server answers.
    asked: HashMap<u32, Box<Request>>,
    figures: Figures,
    period: u32,
    watch: Watch,
    random: fastrand::Rng,
    /// Reused for every message that is written.
    text: String,
    bytes: Vec<u8>,
}

impl Cast {
    pub(crate) fn new(
        plan: Arc<Plan>,
        results: SyncSender<Handed>,
        shard: u16,
        watch: Watch,
    ) -> Self {
        let tuples = plan.destinations.iter().map(|(destination, sources)| {
            let seed = plan.part.seed(plan.run);
            Tuples::new(sources, *destination, shard, plan.shards, seed)
        });
        let steps = plan
            .script
            .programs
            .iter()
            .map(|program| program.steps.len());
        Self {
            arrivals: Arrivals::new(Arc::clone(&plan.script.phases), plan.run).peekable(),
            started: None,
            is_closing: false,
            tuples: tuples.collect(),
            retries: VecDeque::new(),
            dials: VecDeque::new(),
            busy: HashMap::new(),
            users: Table::new(),
            lines: Table::new(),
            links: plan.links(),
            slots: 0,
            live: 0,
            open: 0,
            away: 0,
            returns: Alarms::default(),
            undialled: Vec::new(),
            storms: Storms::new(Arc::clone(&plan.script.phases)).peekable(),
            phases_last: plan.script.phases.iter().map(|phase| phase.duration).sum(),
            active: 0,
            alarms: Alarms::default(),
            ready: VecDeque::new(),
            heartbeats: None,
            talks: Table::new(),
            sweeps: None,
            functions: None,
            errands: HashMap::new(),
            preparing: VecDeque::new(),
            errands_begun: 1,
            unheard: Vec::new(),
            asked: HashMap::new(),
            figures: Figures::new(plan.script.programs.len(), steps.sum()),
            period: 0,
            watch,
            random: fastrand::Rng::with_seed(
                plan.part.seed(plan.run) ^ u64::from(shard).rotate_left(32),
            ),
            text: String::new(),
            bytes: Vec::new(),
            plan,
            results: Some(results),
            shard,
        }
    }

    /// The connection of a user's socket, if it has one.
    fn conn(&mut self, index: u32, socket: u8) -> Option<ConnId> {
        let place = match &mut self.links {
            None => index,
            Some(links) => links.conn(index, socket)?,
        };
        let line = self.lines.find(place)?;
        Some(ConnId {
            index: place,
            generation: line.generation,
        })
    }

    /// The user that holds to a connection, and which of its sockets it is.
    fn holder(&mut self, conn: ConnId) -> Option<(u32, u8)> {
        match &mut self.links {
            None => Some((conn.index, 0)),
            Some(links) => links.holder(conn.index),
        }
    }

    /// The user in slot `index`, as one that may be gone later.
    fn who(&mut self, index: u32) -> Option<Who> {
        let number = self.users.find(index)?.number;
        Some(Who {
            slot: index,
            number,
        })
    }

    /// Whether this user is still in its slot.
    fn is_same(&mut self, who: Who) -> bool {
        let user = self.users.find(who.slot);
        user.is_some_and(|user| user.number == who.number && user.state != State::Free)
    }

    /// When to look again, whatever comes from the network.
    fn next_look(&mut self, io: &Io<'_, Order>) -> Time {
        let now = io.now();
        if !self.ready.is_empty() {
            return now;
        }
        let Some(started) = self.started else {
            return now.after(TICK_MAX);
        };
        let arrival = self.arrivals.peek().map(|one| started.after(one.at));
        let storm = self.storms.peek().map(|one| started.after(one.at));
        let functions = self.functions.as_ref().and_then(|one| one.next_time());
        [
            arrival,
            storm,
            self.alarms.next_time(),
            self.returns.next_time(),
            functions,
        ]
        .into_iter()
        .flatten()
        .fold(now.after(TICK_MAX), Time::min)
    }
}
