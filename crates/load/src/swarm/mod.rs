//! One shard of the crowd: the engine's app that opens, holds and closes clients.
//!
//! ```text
//! Opening ──► Holding ──► Broadcasting ──► Dropping ──► Settling ──► Closing ──► (the shard ends)
//! ```
//!
//! The conductor orders each stage ([`Order`]) when the gauges of all shards show that the one
//! before is over; a run may leave out those between the first and the last. Everything a stage does
//! with time happens in one tick: `opening` dials what is due, also who comes back (`returning`) in
//! any stage, `holding` has clients speak (`beating`, `publishing`, `pushing`), `broadcasting` counts who
//! has a publish, `settling` who misses something, `closing` says goodbye.
//!
//! *Architecture invariant:* nothing here knows a thread, a clock or a socket; time and the network
//! come through [`Io`] and a [`Watch`] that can stand still, so the whole crowd runs on the simulated kernel.

mod beating;
mod broadcasting;
mod closing;
mod holding;
mod listening;
mod opening;
mod pace;
mod plan;
mod publishing;
mod pulsing;
mod pushing;
#[cfg(test)]
pub(crate) mod rehearsal;
mod returning;
mod settling;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, mpsc::SyncSender},
};

use engine::{App, Closed, ConnId, Io, Message, Time};
use proto::ws::{
    CloseCode,
    handshake::{ClientKey, Upgrade, encode_upgrade},
};

use self::opening::Attempt;
pub(crate) use self::plan::Plan;
use crate::{
    account::Account,
    client::{Client, Phase},
    comeback::{Comeback, Comebacks, Parting},
    failure::Failure,
    gauges::{Gauges, Stage},
    hand::Hand,
    options::{Audience, Dialect},
    outcome::{Handed, Outcome},
    publisher::Publishers,
    schedule::Schedule,
    source::{Rest, Tuples},
    speech::Speech,
    table::Table,
    tally::Tally,
    watch::Watch,
};

/// What the conductor tells a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Open the connections, those whose turn it is.
    Open,
    /// It is this shard's turn to open connections.
    Turn,
    /// All that will open is open: publish and push.
    Hold,
    /// Publish to every topic once.
    Broadcast,
    /// The broadcast is over: hand in what came of it.
    Tally,
    /// End the share of the connections that is to be dropped.
    Drop,
    /// Stop sending before the hold is over; wait for what is outstanding.
    Settle,
    /// Hand in what was counted and measured since the last time.
    Pulse,
    /// Close everything, hand in the results and end.
    Close,
}

/// Later than anything.
const NEVER: Time = Time::from_nanos(u64::MAX);

/// One shard's clients and what they have met.
#[derive(Debug)]
pub(crate) struct Swarm {
    plan: Arc<Plan>,
    gauges: Arc<Gauges>,
    /// Where the results are handed in, once.
    results: Option<SyncSender<Handed>>,
    shard: u16,
    /// The `Host` header and the request target of the upgrade.
    host: String,
    target: String,
    stage: Stage,
    /// When the current stage began.
    since: Time,
    /// When opening began.
    opened_at: Time,
    schedule: Schedule,
    /// Whether it may open connections for the first time.
    is_in_turn: bool,
    /// Connections whose tuple was in use and that wait for another; pending, too.
    retries: VecDeque<Attempt>,
    /// Clients that are to come back.
    comebacks: Comebacks,
    /// How often connections were dropped on purpose, and when last.
    drops: u64,
    dropped_at: Time,
    tuples: Tuples,
    speech: Speech,
    clients: Table<Client>,
    /// One past the highest slot that ever had a client.
    slots: u32,
    /// Clients that are dialling, upgrading or joining.
    pending: u32,
    /// Of these, those whose WebSocket is open.
    joining: u32,
    ready: u32,
    /// Clients that publishes must reach.
    members: u64,
    /// When pending joins were last looked at.
    joins_checked: Time,
    heartbeats: Option<Hand>,
    publishers: Option<Publishers>,
    pushes: Option<Hand>,
    /// The next slot to make its first push (closed loop), or to close.
    cursor: u32,
    waiting: u64,
    waiting_for: u64,
    /// When those were counted.
    counted: Time,
    /// Broadcasts that were begun.
    round: u32,
    /// What came of the broadcast that is under way or comes next, in a run that has any.
    tally: Option<Box<Tally>>,
    /// Publishes that somebody did not have when the last tally was handed in, by topic.
    overdue: HashMap<u32, u32>,
    watch: Watch,
    outcome: Outcome,
}

impl Swarm {
    pub(crate) fn new(
        plan: Arc<Plan>,
        gauges: Arc<Gauges>,
        results: SyncSender<Handed>,
        shard: u16,
        watch: Watch,
    ) -> Self {
        let options = &plan.options;
        let target = match options.dialect {
            Dialect::Phoenix(serializer) => options.target.phoenix(serializer.vsn()),
            Dialect::Raw => options.target.plain(),
        };
        Self {
            shard,
            host: options.target.host(),
            target,
            stage: Stage::Opening,
            since: Time::ZERO,
            opened_at: Time::ZERO,
            schedule: Schedule::new(
                options.rate,
                options.ramp,
                Arc::clone(&plan.part),
                plan.seat(shard),
            ),
            is_in_turn: shard < plan.shards_at_a_time,
            retries: VecDeque::new(),
            comebacks: Comebacks::default(),
            drops: 0,
            dropped_at: Time::ZERO,
            tuples: Tuples::new(
                &plan.sources,
                plan.destination,
                shard,
                plan.shards,
                plan.part.seed(plan.run),
            ),
            speech: Speech::new(options, plan.run),
            clients: Table::new(),
            slots: 0,
            pending: 0,
            joining: 0,
            ready: 0,
            members: 0,
            joins_checked: Time::ZERO,
            heartbeats: None,
            publishers: None,
            pushes: None,
            cursor: 0,
            waiting: 0,
            waiting_for: 0,
            counted: Time::ZERO,
            round: 0,
            tally: (options.broadcasts > 0).then(Box::default),
            overdue: HashMap::new(),
            watch,
            outcome: Outcome::new(),
            plan,
            gauges,
            results: Some(results),
        }
    }

    fn enter(&mut self, stage: Stage, io: &mut Io<'_, Order>) {
        self.stage = stage;
        self.since = io.now();
        self.cursor = 0;
        io.tick_at(io.now());
    }

    /// Counts the failure of the client in slot `index`, once, and takes it out of the crowd. The
    /// connection itself is the caller's business.
    fn fail(&mut self, index: u32, failure: Failure, io: &mut Io<'_, Order>) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
        let topic = client.topic;
        let phase = std::mem::replace(&mut client.phase, Phase::Leaving);
        if phase.is_pending() {
            self.end_handshake();
            self.joining -= u32::from(phase == Phase::Joining);
            match self.comebacks.arrive(index) {
                Some(comeback) => self.fail_to_return(comeback, failure, io),
                None => self.outcome.not_opened.count(failure),
            }
        } else if phase == Phase::Ready {
            self.depart(index);
            if self.comes_back(&failure) {
                self.forgo_pushes(index);
                self.outcome.returns.disconnected += 1;
                self.outcome.disconnected.count(failure);
                self.wait_to_return(Comeback::new(topic, io.now(), Parting::Theirs), io);
            } else {
                self.outcome.dropped.count(failure);
            }
        }
    }

    /// Takes a client that was there out of the crowd.
    fn depart(&mut self, index: u32) {
        self.ready -= 1;
        self.settle_account(index, true);
        self.dismiss_publisher(index);
    }

    /// Counts a failure and says goodbye.
    fn give_up(&mut self, conn: ConnId, failure: Failure, io: &mut Io<'_, Order>) {
        self.fail(conn.index, failure, io);
        io.close(conn, CloseCode::NORMAL, "");
    }

    /// Closes the account of deliveries of the client in slot `index`; what is outstanding is
    /// dropped with the connection or lost without such an excuse.
    fn settle_account(&mut self, index: u32, is_dropped: bool) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
        if !client.account.is_open() {
            client.account = Account::default();
            return;
        }
        self.members -= 1;
        let sent = self.plan.sent.last(client.topic);
        let answerable = client.account.answerable(sent, is_dropped);
        let end = client.account.settle(sent);
        let deliveries = &mut self.outcome.deliveries;
        deliveries.expected += u64::from(end.expected);
        deliveries.lost += u64::from(end.overtaken);
        let drawer = if is_dropped {
            &mut deliveries.dropped
        } else {
            &mut deliveries.lost
        };
        *drawer += u64::from(end.outstanding);
        if let Some(tally) = &mut self.tally
            && is_dropped
        {
            tally.dropped += u64::from(end.outstanding.min(1));
        }
        // Where nothing is lost, nobody need answer for it.
        if deliveries.lost > 0 {
            self.outcome.orphans.answer_for(client.topic, answerable);
        }
    }

    /// Opens the account of a client that is ready, if it is in the audience of publishes.
    fn open_account(&mut self, index: u32, is_publisher: bool) {
        if !self.plan.options.publishes() {
            return;
        }
        let Some(client) = self.clients.find(index) else {
            return;
        };
        let is_audience = match self.plan.options.audience() {
            Audience::All => true,
            Audience::Others => !is_publisher,
            Audience::Publisher => is_publisher,
        };
        if !is_audience || client.account.is_open() {
            return;
        }
        if self.plan.sent.is_known(client.topic) {
            client.account = Account::open(self.plan.sent.last(client.topic));
            self.members += 1;
        } else {
            client.account = Account::awaiting();
        }
    }
}

impl App for Swarm {
    type Mail = Order;

    fn handle_connected(
        &mut self,
        conn: ConnId,
        request: &mut Vec<u8>,
        io: &mut Io<'_, Order>,
    ) -> ClientKey {
        let now = self.watch.now(io.now());
        let is_first = !self.comebacks.is_under_way(conn.index);
        if let Some(client) = self.clients.find(conn.index) {
            if is_first {
                self.outcome.connect.record(now.since(client.since));
            }
            client.since = now;
            client.phase = Phase::Upgrading;
        }
        let key = io.client_key();
        let (host, target) = (&*self.host, &*self.target);
        let upgrade = Upgrade {
            host,
            target,
            key: &key,
            protocols: &[],
            origin: None,
            headers: &[],
        };
        encode_upgrade(request, &upgrade);
        key
    }

    fn handle_open(&mut self, conn: ConnId, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        let is_first = !self.comebacks.is_under_way(conn.index);
        let Some(client) = self.clients.find(conn.index) else {
            return;
        };
        if is_first {
            self.outcome.opened += 1;
            self.outcome.upgrade.record(now.since(client.since));
        }
        client.since = now;
        client.phase = Phase::Joining;
        self.joining += 1;
        let topic = client.topic;
        match self.speech.join(topic, io.mask()) {
            Some(join) => io.send(conn, join),
            None => self.handle_ready(conn, io),
        }
    }

    fn handle_message(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, Order>) {
        self.listen(conn, message, io);
    }

    fn handle_close(&mut self, conn: ConnId, closed: &Closed, io: &mut Io<'_, Order>) {
        // Finished or failed, it makes room for the next dial.
        io.tick_at(io.now().after(self.plan.pace().dial));
        if self.retries_elsewhere(conn, closed, io.now()) {
            return;
        }
        if self.stage == Stage::Closing {
            self.part_with(conn.index, io);
        } else {
            self.fail(conn.index, Failure::of_closed(closed), io);
        }
        self.free(conn.index, closed, io.now());
    }

    fn handle_mail(&mut self, order: Order, io: &mut Io<'_, Order>) {
        match order {
            Order::Open => {
                self.watch.set(io.now());
                self.enter(Stage::Opening, io);
                self.opened_at = io.now();
                self.start_heartbeats(io.now());
            }
            Order::Turn => {
                self.is_in_turn = true;
                io.tick_at(io.now());
            }
            Order::Hold => {
                self.enter(Stage::Holding, io);
                self.start_publishing(io.now());
                self.start_pushing(io.now());
            }
            Order::Broadcast => self.start_broadcast(io),
            Order::Tally => self.hand_in_tally(),
            Order::Drop => self.drop_share(io),
            // Who has come there by itself stays there.
            Order::Settle if self.stage != Stage::Settling => self.settle(io),
            Order::Settle => {}
            Order::Pulse => self.hand_in_pulse(),
            Order::Close => {
                self.enter(Stage::Closing, io);
                self.schedule.cancel();
                self.give_up_retries();
                self.give_up_comebacks();
                self.stop_sending(io.now());
            }
        }
    }

    fn handle_tick(&mut self, io: &mut Io<'_, Order>) {
        let next = match self.stage {
            Stage::Opening | Stage::Dropping => self.beat(io),
            Stage::Holding => self.hold(io),
            Stage::Broadcasting => self.broadcast(io),
            Stage::Settling => {
                if io.now().since(self.counted) >= self.plan.pace().count {
                    self.count_waiting(io.now());
                }
                self.beat(io)
            }
            Stage::Closing => self.close_some(io),
        };
        let next = match self.stage {
            Stage::Closing => next,
            _ => {
                self.check_joins(io);
                next.min(self.dial_due(io))
            }
        };
        self.show();
        io.tick_at(next.min(io.now().after(self.plan.pace().tick_max)));
    }
}

impl Swarm {
    /// Empties the slot of a client whose connection is over.
    fn free(&mut self, index: u32, closed: &Closed, now: Time) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
        let tuple = std::mem::take(client).tuple;
        // Who opens no more connections needs no tuples back.
        if self.schedule.left() > 0 || self.plan.options.returns() {
            self.tuples
                .give_back(tuple, Rest::after(&closed.cause), now);
        }
    }
}
