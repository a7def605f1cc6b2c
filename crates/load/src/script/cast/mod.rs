//! One shard of a script's virtual users: the engine's app that lets them arrive, act and leave.
//!
//! - `app`: what the engine tells, and the ticks;
//! - `arriving`: who is due is dialled;
//! - `acting`: users go from step to step;
//! - `calling`: functions in JavaScript;
//! - `hearing`: what the server says, and what becomes of it;
//! - `channels`: the steps of Phoenix Channels, and heartbeats.
//!
//! *Architecture invariant:* nothing here knows a thread, a clock or a socket; time and the network
//! come through [`Io`] and a [`Watch`], so a whole run happens on the simulated kernel, too.

mod acting;
mod app;
mod arriving;
mod calling;
mod channels;
mod hearing;
mod plan;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    iter::Peekable,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{SyncSender, TrySendError},
    },
    time::Duration,
};

use engine::{ConnId, Io, Time};
use proto::ws::CloseCode;

pub(crate) use self::plan::Plan;
use self::{arriving::Attempt, calling::Errand, plan::scene};
use super::{
    alarms::Alarms,
    connect::Request,
    figures::Figures,
    phases::Arrivals,
    processor::{Ended, Interpreter},
    user::{State, User},
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
/// The longest time between two ticks.
const TICK_MAX: Duration = Duration::from_millis(50);
/// Between looks for what waits for room.
const LATER: Duration = Duration::from_millis(1);
/// Users that act in one tick, so that answers are read between them.
const ACTS_PER_TICK: u32 = 1_024;

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
    users: Table<User>,
    /// One past the highest slot that ever had a user.
    slots: u32,
    /// Users that are there.
    active: u32,
    alarms: Alarms,
    /// Users that have more to do at once.
    ready: VecDeque<ConnId>,
    heartbeats: Option<Hand>,
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
    /// What users ask for whose functions said so, and the subprotocols that were asked for, by slot, until
    /// the server answers.
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
            users: Table::new(),
            slots: 0,
            active: 0,
            alarms: Alarms::default(),
            ready: VecDeque::new(),
            heartbeats: None,
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

    /// Takes what was counted so far, and counts from nothing.
    fn take_figures(&mut self) -> Figures {
        let fresh = Figures::new(self.figures.created_by.len(), self.figures.steps.len());
        std::mem::replace(&mut self.figures, fresh)
    }

    /// Hands in the periods that are over.
    fn close_periods(&mut self, now: Time) {
        let Some(started) = self.started else { return };
        while now >= started.after(PERIOD * (self.period + 1)) {
            self.figures.active = self.active.into();
            let figures = self.take_figures();
            // Where there is no room, what was counted goes into the next period and is not lost.
            if let Err(figures) = self.hand_in(figures, false) {
                self.figures = *figures;
                return;
            }
            self.period += 1;
        }
    }

    /// Counts the failure of the user in slot `index`, once, and takes it out of the crowd. The
    /// connection itself is the caller's business.
    fn fail(&mut self, index: u32, failure: Failure) {
        if self.depart(index) {
            self.figures.failed.count(failure);
        }
    }

    /// Counts a failure and says goodbye.
    fn give_up(&mut self, index: u32, failure: Failure, io: &mut Io<'_, Order>) {
        let Some(user) = self.users.find(index) else {
            return;
        };
        let conn = user.conn(index);
        self.fail(index, failure);
        io.close(conn, CloseCode::NORMAL, "");
    }

    /// Takes a user out of the crowd; `false` if it was out already.
    fn depart(&mut self, index: u32) -> bool {
        let Some(user) = self.users.find(index) else {
            return false;
        };
        if matches!(user.state, State::Free | State::Leaving) {
            return false;
        }
        let call = (user.state == State::Calling).then_some(user.awaited);
        user.state = State::Leaving;
        user.memory = None;
        user.channels = None;
        self.asked.remove(&index);
        if let Some(call) = call {
            self.forget_call(call);
        }
        self.alarms.clear(index);
        self.leave();
        true
    }

    /// One user less is there.
    fn leave(&mut self) {
        self.active -= 1;
        self.plan.active.fetch_sub(1, Relaxed);
    }

    /// The scenario of the user in slot `index`, if there is one.
    fn program_of(&mut self, index: u32) -> Option<u16> {
        let user = self.users.find(index)?;
        (user.state != State::Free).then_some(user.program)
    }

    /// Ends the shard when nobody is there any more and nobody will come.
    fn end_if_over(&mut self, io: &mut Io<'_, Order>) {
        let is_over = self.arrivals.peek().is_none() && self.active == 0 && self.retries.is_empty();
        if self.started.is_none()
            || self.results.is_none()
            || !(is_over || self.is_closing)
            || io.conns_count() > 0
        {
            return;
        }
        let figures = self.take_figures();
        match self.hand_in(figures, true) {
            Ok(()) => {
                self.results = None;
                io.stop();
            }
            // The conductor makes room in a moment.
            Err(figures) => {
                self.figures = *figures;
                io.tick_at(io.now().after(LATER));
            }
        }
    }

    /// Hands in what was counted, and gives it back if there is no room. Nobody waits for the results
    /// of a run that was given up.
    fn hand_in(&self, figures: Figures, is_last: bool) -> Result<(), Box<Figures>> {
        let handed = Handed::Period {
            period: self.period,
            figures: Box::new(figures),
            is_last,
        };
        let Some(results) = &self.results else {
            return Ok(());
        };
        match results.try_send(handed) {
            Err(TrySendError::Full(Handed::Period { figures, .. })) => Err(figures),
            _ => Ok(()),
        }
    }

    /// Says goodbye to everybody after the run was ended early.
    fn close_all(&mut self, io: &mut Io<'_, Order>) {
        for index in 0..self.slots {
            let Some(user) = self.users.find(index) else {
                continue;
            };
            let conn = user.conn(index);
            if self.depart(index) {
                self.figures.interrupted += 1;
                io.close(conn, CloseCode::NORMAL, "");
            }
        }
        let waiting = self.retries.len() + self.forget_preparations();
        self.retries.clear();
        for _ in 0..waiting {
            self.leave();
            self.figures.interrupted += 1;
        }
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
        let heartbeat = self
            .heartbeats
            .as_ref()
            .map(|hand| hand.next_time().max(now.after(LATER)));
        let functions = self.functions.as_ref().and_then(|one| one.next_time());
        [arrival, self.alarms.next_time(), heartbeat, functions]
            .into_iter()
            .flatten()
            .fold(now.after(TICK_MAX), Time::min)
    }
}
