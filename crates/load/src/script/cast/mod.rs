//! One shard of a script's virtual users: the engine's app that lets them arrive, act and leave.
//!
//! - `arriving`: who is due is dialled;
//! - `acting`: users go from step to step;
//! - `calling`: functions in JavaScript;
//! - `hearing`: what the server says, and what becomes of it;
//! - `channels`: the steps of Phoenix Channels, and heartbeats.
//!
//! *Architecture invariant:* nothing here knows a thread, a clock or a socket; time and the network
//! come through [`Io`] and a [`Watch`], so a whole run happens on the simulated kernel, too.

mod acting;
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
    net::SocketAddr,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{SyncSender, TrySendError},
    },
    time::Duration,
};

use engine::{Answer, App, Closed, ConnId, Io, Message, Time};
use proto::{
    http,
    ws::{
        CloseCode,
        handshake::{ClientKey, HandshakeError, Upgrade, encode_upgrade, verify},
    },
};

pub(crate) use self::plan::Plan;
use self::{arriving::Attempt, calling::Errand, plan::scene};
use super::{
    alarms::Alarms,
    connect::Request,
    figures::Figures,
    phases::Arrivals,
    processor::{Ended, Interpreter},
    program::Dialect,
    user::{State, User},
};
use crate::{
    failure::Failure,
    hand::Hand,
    source::{Rest, Tuples},
    table::Table,
    watch::Watch,
};

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

impl App for Cast {
    type Mail = Order;

    fn handle_request(
        &mut self,
        _: ConnId,
        _: &http::Request<'_>,
        _: SocketAddr,
        response: &mut Vec<u8>,
        _: &mut Io<'_, Order>,
    ) -> Answer {
        // The crowd does not listen, so nobody asks it anything.
        http::encode_response(response, 404, &[], b"");
        Answer::Refuse
    }

    fn handle_connected(
        &mut self,
        conn: ConnId,
        request: &mut Vec<u8>,
        io: &mut Io<'_, Order>,
    ) -> ClientKey {
        let key = io.client_key();
        let plan = Arc::clone(&self.plan);
        let Some(user) = self.users.find(conn.index) else {
            return key;
        };
        user.state = State::Upgrading;
        let program = plan.program(user.program);
        let wanted = match self.asked.remove(&conn.index) {
            Some(wanted) => wanted,
            None => {
                let mut scene = scene(&plan, user, &mut self.random);
                // A URL that is none asks for a path that no server has, and the user fails with its answer.
                let wanted = program.connect.request(program.dialect, &mut scene);
                Box::new(wanted.unwrap_or_default())
            }
        };
        let protocols: Vec<_> = wanted.protocols.iter().map(String::as_str).collect();
        let headers: Vec<_> = wanted
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let upgrade = Upgrade {
            host: &wanted.host,
            target: &wanted.target,
            key: &key,
            protocols: &protocols,
            origin: None,
            headers: &headers,
        };
        encode_upgrade(request, &upgrade);
        if !wanted.protocols.is_empty() {
            self.asked.insert(conn.index, wanted);
        }
        key
    }

    fn handle_response(
        &mut self,
        conn: ConnId,
        response: &http::Response<'_>,
        key: &ClientKey,
    ) -> Result<(), HandshakeError> {
        let asked = self.asked.remove(&conn.index).unwrap_or_default();
        let offered = &asked.protocols;
        let offered: Vec<_> = offered.iter().map(String::as_str).collect();
        let chosen = verify(response, key, &offered)?;
        // A client that asks for protocols ends a connection that speaks none of them.
        if chosen.is_none() && !offered.is_empty() {
            let failure = "the server chose none of the subprotocols";
            self.fail(conn.index, Failure::HandshakeInvalid(failure.to_owned()));
            return Err(HandshakeError::ProtocolNotOffered);
        }
        Ok(())
    }

    fn handle_open(&mut self, conn: ConnId, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        let Some(user) = self.users.find(conn.index) else {
            return;
        };
        if user.state != State::Upgrading {
            return;
        }
        self.figures.connect.record(now.since(user.began));
        user.state = State::Acting;
        user.due = now;
        if let Dialect::Phoenix(_, heartbeat) = self.plan.program(user.program).dialect {
            user.channels = Some(Box::default());
            self.start_heartbeats(heartbeat, io.now());
        }
        self.act(conn.index, io);
    }

    fn handle_message(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, Order>) {
        self.hear(conn.index, message, io);
    }

    fn handle_close(&mut self, conn: ConnId, closed: &Closed, io: &mut Io<'_, Order>) {
        io.tick_at(io.now().after(LATER));
        if self.retries_elsewhere(conn.index, closed, io.now()) {
            return;
        }
        self.fail(conn.index, Failure::of_closed(closed));
        self.asked.remove(&conn.index);
        if let Some(program) = self.program_of(conn.index)
            && let Some(user) = self.users.find(conn.index)
        {
            let tuple = std::mem::take(user).tuple;
            let server = self.plan.servers[usize::from(program)];
            self.tuples[server].give_back(tuple, Rest::after(&closed.cause), io.now());
        }
    }

    fn handle_mail(&mut self, order: Order, io: &mut Io<'_, Order>) {
        match order {
            Order::Start => {
                self.watch.set(io.now());
                self.started = Some(io.now());
            }
            Order::Close => {
                self.is_closing = true;
                self.close_all(io);
            }
        }
        io.tick_at(io.now());
    }

    fn handle_tick(&mut self, io: &mut Io<'_, Order>) {
        let now = io.now();
        self.close_periods(now);
        if !self.is_closing {
            self.arrive(io);
            for _ in 0..ACTS_PER_TICK {
                let Some(index) = self.alarms.take(now) else {
                    break;
                };
                self.wake(index, io);
            }
            for _ in 0..self.ready.len().min(ACTS_PER_TICK as usize) {
                let Some(conn) = self.ready.pop_front() else {
                    break;
                };
                // The slot may have another user by now.
                let is_same = |user: &mut User| user.generation == conn.generation;
                if self.users.find(conn.index).is_some_and(is_same) {
                    self.act(conn.index, io);
                }
            }
            self.hear_functions(io);
            self.beat(io);
        }
        self.end_if_over(io);
        let next = self.next_look(io);
        io.tick_at(next);
    }
}
