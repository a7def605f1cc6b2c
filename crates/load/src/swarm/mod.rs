//! One shard of the crowd: the engine's app that opens, holds and closes clients.
//!
//! ```text
//! Opening ──► Holding ──► Settling ──► Closing ──► (the shard ends)
//! ```
//!
//! The conductor orders each stage ([`Order`]) when the gauges of all shards show that the one
//! before is over. Everything a stage does with time happens in one tick: `opening` dials what is
//! due, `holding` sends heartbeats, publishes and pushes, `closing` says goodbye.
//!
//! *Architecture invariant:* nothing here knows a thread, a clock or a socket; time and the network
//! come through [`Io`] and a [`Watch`] that can stand still, so the whole crowd runs on the simulated kernel.

mod closing;
mod holding;
mod listening;
mod opening;
mod pushing;
#[cfg(test)]
mod rehearsal;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use engine::{Answer, App, Closed, ConnId, Io, Message, Time};
use proto::{
    http,
    ws::{
        CloseCode,
        handshake::{ClientKey, Upgrade, encode_upgrade},
    },
};

use self::opening::Attempt;
use crate::{
    account::Account,
    client::{Client, Phase},
    failure::Failure,
    gauges::{Gauges, Sent, Snapshot, Stage},
    hand::Hand,
    options::{Audience, Dialect, Options},
    outcome::Outcome,
    publisher::Publishers,
    schedule::Schedule,
    source::{Rest, Tuples},
    speech::Speech,
    table::Table,
    watch::Watch,
};

/// What the conductor tells a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Open the connections.
    Open,
    /// All that will open is open: publish and push.
    Hold,
    /// Stop sending before the hold is over; wait for what is outstanding.
    Settle,
    /// Close everything, hand in the results and end.
    Close,
}

/// What all shards of a run know alike.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) options: Options,
    /// The server's address.
    pub(crate) destination: SocketAddr,
    /// The addresses to dial from.
    pub(crate) sources: capacity::Sources,
    /// The run's name in marks, and the seed of what is left to chance.
    pub(crate) run: u64,
    pub(crate) shards: u16,
    /// How many publishes each topic has seen.
    pub(crate) sent: Sent,
}

/// The longest time between two ticks, and so the age of the gauges.
const TICK_MAX: Duration = Duration::from_millis(50);
/// The shortest time between two ticks for work that need not be punctual to the microsecond.
const TICK_MIN: Duration = Duration::from_millis(1);
/// Later than anything.
const NEVER: Time = Time::from_nanos(u64::MAX);

/// One shard's clients and what they have met.
#[derive(Debug)]
pub(crate) struct Swarm {
    plan: Arc<Plan>,
    gauges: Arc<Gauges>,
    /// Where the results are handed in, once.
    results: Option<SyncSender<Outcome>>,
    shard: u16,
    /// The `Host` header and the request target of the upgrade.
    host: String,
    target: String,
    stage: Stage,
    /// When the current stage began.
    since: Time,
    schedule: Schedule,
    /// Connections whose tuple was in use and that wait for another; pending, too.
    retries: VecDeque<Attempt>,
    tuples: Tuples,
    speech: Speech,
    clients: Table<Client>,
    /// One past the highest slot that ever had a client.
    slots: u32,
    /// Clients that are dialling, upgrading or joining.
    pending: u32,
    ready: u32,
    /// When pending joins were last looked at.
    joins_checked: Time,
    heartbeats: Option<Hand>,
    publishers: Option<Publishers>,
    pushes: Option<Hand>,
    /// The next slot to make its first push (closed loop), or to close.
    cursor: u32,
    waiting: u64,
    waiting_for: u64,
    watch: Watch,
    outcome: Outcome,
}

impl Plan {
    /// Slots of one shard: its connections and some room for goodbyes that are not over yet.
    pub(crate) fn slots_max(&self) -> u32 {
        let share = self.options.connections.div_ceil(self.shards.into());
        share.saturating_add(share / 16).saturating_add(64)
    }

    /// The number in the run of the client in slot `index` of shard `shard`.
    fn client_number(&self, shard: u16, index: u32) -> u32 {
        // Slots are few more than connections, so only a run of billions could wrap.
        index
            .wrapping_mul(self.shards.into())
            .wrapping_add(shard.into())
    }

    /// Handshakes and joins that shard `shard` may have unfinished: its share of those of the run.
    fn pending_max(&self, shard: u16) -> u32 {
        let (all, shards) = (self.options.concurrency, u32::from(self.shards));
        all / shards + u32::from(u32::from(shard) < all % shards)
    }
}

impl Swarm {
    pub(crate) fn new(
        plan: Arc<Plan>,
        gauges: Arc<Gauges>,
        results: SyncSender<Outcome>,
        shard: u16,
        watch: Watch,
    ) -> Self {
        let options = &plan.options;
        let target = match options.dialect {
            Dialect::Phoenix(serializer) => options.target.phoenix(serializer.vsn()),
            Dialect::Raw => options.target.plain(),
        };
        let connections = options.connections.into();
        Self {
            shard,
            host: options.target.host(),
            target,
            stage: Stage::Opening,
            since: Time::ZERO,
            schedule: Schedule::new(options.rate, options.ramp, connections, shard, plan.shards),
            retries: VecDeque::new(),
            tuples: Tuples::new(
                &plan.sources,
                plan.destination,
                shard,
                plan.shards,
                plan.run,
            ),
            speech: Speech::new(options, plan.run),
            clients: Table::new(),
            slots: 0,
            pending: 0,
            ready: 0,
            joins_checked: Time::ZERO,
            heartbeats: None,
            publishers: None,
            pushes: None,
            cursor: 0,
            waiting: 0,
            waiting_for: 0,
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
    fn fail(&mut self, index: u32, failure: Failure) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
        let phase = std::mem::replace(&mut client.phase, Phase::Leaving);
        if phase.is_pending() {
            self.pending -= 1;
            self.outcome.not_opened.count(failure);
        } else if phase == Phase::Ready {
            self.ready -= 1;
            self.outcome.dropped.count(failure);
            self.settle_account(index, true);
            self.dismiss_publisher(index);
        }
    }

    /// Counts a failure and says goodbye.
    fn give_up(&mut self, conn: ConnId, failure: Failure, io: &mut Io<'_, Order>) {
        self.fail(conn.index, failure);
        io.close(conn, CloseCode::NORMAL, "");
    }

    /// Closes the account of deliveries of the client in slot `index`; what is outstanding is
    /// dropped with the connection or lost without such an excuse.
    fn settle_account(&mut self, index: u32, is_dropped: bool) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
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
        // Where nothing is lost, nobody need answer for it.
        if deliveries.lost > 0 {
            self.outcome.orphans.answer_for(client.topic, answerable);
        }
    }

    /// Opens the account of a client that is ready, if it is in the audience of publishes.
    fn open_account(&mut self, index: u32, is_publisher: bool) {
        if self.plan.options.publish.is_none() {
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
        if is_audience && !client.account.is_open() {
            client.account = Account::open(self.plan.sent.last(client.topic));
        }
    }

    fn show(&self) {
        self.gauges.show(&Snapshot {
            stage: self.stage,
            unsettled: self.schedule.left() + u64::from(self.pending),
            ready: self.ready.into(),
            failed: self.outcome.not_opened.total(),
            dropped: self.outcome.dropped.total(),
            published: self.outcome.publishes.sent,
            delivered: self.outcome.deliveries.received,
            answered: self.outcome.pushes.answered,
            waiting: self.waiting,
            waiting_for: self.waiting_for,
        });
    }
}

impl App for Swarm {
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
        let now = self.watch.now(io.now());
        if let Some(client) = self.clients.find(conn.index) {
            self.outcome.connect.record(now.since(client.since));
            client.since = now;
            client.phase = Phase::Upgrading;
        }
        let mut random = [0; 16];
        for bytes in random.chunks_exact_mut(4) {
            bytes.copy_from_slice(&io.mask());
        }
        let key = ClientKey::new(random);
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
        self.outcome.opened += 1;
        let Some(client) = self.clients.find(conn.index) else {
            return;
        };
        self.outcome.upgrade.record(now.since(client.since));
        client.since = now;
        client.phase = Phase::Joining;
        let topic = client.topic;
        match self.speech.join(topic, io.mask()) {
            Some(join) => io.send(conn, join),
            None => self.handle_ready(conn, now),
        }
    }

    fn handle_message(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, Order>) {
        self.listen(conn, message, io);
    }

    fn handle_close(&mut self, conn: ConnId, closed: &Closed, io: &mut Io<'_, Order>) {
        // Finished or failed, it makes room for the next dial.
        io.tick_at(io.now().after(TICK_MIN));
        if self.retries_elsewhere(conn, closed) {
            return;
        }
        if self.stage == Stage::Closing {
            self.part_with(conn.index);
        } else {
            self.fail(conn.index, Failure::of_closed(closed));
        }
        self.free(conn.index, closed, io.now());
    }

    fn handle_mail(&mut self, order: Order, io: &mut Io<'_, Order>) {
        match order {
            Order::Open => {
                self.watch.set(io.now());
                self.enter(Stage::Opening, io);
                self.start_heartbeats(io.now());
            }
            Order::Hold => {
                self.enter(Stage::Holding, io);
                self.start_publishing(io.now());
                self.start_pushing(io.now());
            }
            // Who has come there by itself stays there.
            Order::Settle if self.stage == Stage::Holding => self.settle(io),
            Order::Settle => {}
            Order::Close => {
                self.enter(Stage::Closing, io);
                self.schedule.cancel();
                self.give_up_retries();
                self.stop_sending(io.now());
            }
        }
    }

    fn handle_tick(&mut self, io: &mut Io<'_, Order>) {
        let next = match self.stage {
            Stage::Opening => {
                self.check_joins(io);
                self.beat(io).min(self.dial_due(io))
            }
            Stage::Holding => self.hold(io),
            Stage::Settling => {
                self.count_waiting();
                self.beat(io)
            }
            Stage::Closing => self.close_some(io),
        };
        self.show();
        io.tick_at(next.min(io.now().after(TICK_MAX)));
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
        if self.schedule.left() > 0 {
            let rest = match closed.cause {
                engine::Cause::Local(_) => Rest::TimeWait,
                _ => Rest::None,
            };
            self.tuples.give_back(tuple, rest, now);
        }
    }
}
