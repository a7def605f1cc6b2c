//! A crowd, a room server and a simulated network, led through the stages of a run.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use engine::{
    App as _, Reactor, Settings, Time, Turn,
    sim::{Faults, Net, Shard},
};
use proto::ws::CloseCode;

use super::{Order, Plan, Swarm};
use crate::{
    conductor::has_dropped,
    gauges::{Gauges, Snapshot, Stage},
    handshakes::Handshakes,
    options::Options,
    outcome::{Handed, Outcome},
    part::Part,
    report::{End, Report},
    sent::Sent,
    tally::{Broadcast, Tally},
    watch::Watch,
};

#[path = "../../tests/room/mod.rs"]
pub(crate) mod room;

use room::{Manners, Room};

/// Threads of every rehearsed crowd.
pub(super) const SHARDS: u16 = 2;

/// A crowd, a server and the network between them.
pub(super) struct Rehearsal {
    pub(super) net: Net,
    server: Reactor<Room>,
    pub(super) crowd: Vec<Reactor<Swarm>>,
    gauges: Vec<Arc<Gauges>>,
    results: Receiver<Handed>,
    pub(super) plan: Arc<Plan>,
    broadcasts: Vec<Broadcast>,
}

impl Rehearsal {
    pub(super) fn new(seed: u64, faults: Faults, manners: Manners, options: Options) -> Self {
        Self::in_turns(seed, faults, manners, options, SHARDS)
    }

    /// As [`Rehearsal::new`], with so many shards that open connections at a time.
    pub(super) fn in_turns(
        seed: u64,
        faults: Faults,
        manners: Manners,
        options: Options,
        shards_at_a_time: u16,
    ) -> Self {
        options.check().expect("options that are allowed");
        let destination: SocketAddr = "10.0.0.1:4000".parse().expect("an address");
        let net = Net::new(seed, faults);
        let listen = net.kernel(Some(destination));
        let settings = Settings::default();
        let mut server = Reactor::simulate([listen], &settings, |_, _| Room::new(manners.clone()));
        let topics = options.topics;
        let plan = Arc::new(Plan {
            way: crate::way::Way::default(),
            destination,
            sources: "10.0.0.2-10.0.0.3".parse().expect("sources"),
            run: seed,
            shards: SHARDS,
            shards_at_a_time,
            seats: u32::MAX,
            sent: Sent::new(topics),
            handshakes: Handshakes::new(options.concurrency),
            part: Arc::new(Part::whole(options.connections)),
            options,
        });
        let gauges: Vec<_> = (0..SHARDS).map(|_| Arc::new(Gauges::new(1))).collect();
        let (sender, results) = mpsc::sync_channel(2 * usize::from(SHARDS));
        let kernels: Vec<_> = (0..SHARDS).map(|_| net.kernel(None)).collect();
        let settings = Settings {
            idle_timeout: None,
            handshake_timeout: plan.options.connect_timeout,
            connections_max: plan.slots_max(),
            ..Settings::default()
        };
        let crowd = Reactor::simulate(kernels, &settings, |shard, _| {
            let gauges = Arc::clone(&gauges[usize::from(shard.0)]);
            Swarm::new(
                Arc::clone(&plan),
                gauges,
                sender.clone(),
                shard.0,
                Watch::Turns,
            )
        });
        let server = server.remove(0);
        Self {
            net,
            server,
            crowd,
            gauges,
            results,
            plan,
            broadcasts: Vec::new(),
        }
    }

    pub(super) fn order(&mut self, order: Order) {
        for shard in 0..self.crowd.len() {
            self.order_one(shard, order);
        }
    }

    pub(super) fn order_one(&mut self, shard: usize, order: Order) {
        self.crowd[shard].with_app(|swarm, io| swarm.handle_mail(order, io));
    }

    /// Lets time pass until `is_over`, at most `limit`; says whether it was over.
    pub(super) fn pass(&mut self, limit: Duration, is_over: impl Fn(&Snapshot) -> bool) -> bool {
        let until = self.net.now().after(limit);
        let gauges = &self.gauges;
        let look = || {
            gauges
                .iter()
                .map(|g| g.read())
                .fold(Snapshot::EMPTY, Snapshot::plus)
        };
        let mut shards: Vec<&mut dyn Shard> = vec![&mut self.server];
        shards.extend(self.crowd.iter_mut().map(|shard| shard as &mut dyn Shard));
        self.net.run(&mut shards, until, || is_over(&look()))
    }

    /// Ends the server: its connections are reset and nobody listens any more.
    pub(super) fn shut_down(&mut self) {
        self.server.with_app(|room, io| room.handle_mail((), io));
    }

    /// Lets time pass in which the crowd stands still, as a process does that was stopped.
    pub(super) fn stand_still(&mut self, time: Duration) {
        let until = self.net.now().after(time);
        let mut server = Awake {
            server: &mut self.server,
            until,
        };
        let net = self.net.clone();
        net.run(&mut [&mut server], until, || net.now() >= until);
        assert_eq!(net.now(), until);
    }

    /// Lets the server close one connection and then stand still, so that the old connection of that
    /// client is not over when it is back.
    pub(super) fn close_one(&mut self, code: CloseCode, pause: Duration) {
        self.server.with_app(|room, io| room.close_first(code, io));
        // The close frame leaves.
        Shard::turn(&mut self.server);
        let mut server = Asleep(&self.server);
        let mut shards: Vec<&mut dyn Shard> = vec![&mut server];
        shards.extend(self.crowd.iter_mut().map(|shard| shard as &mut dyn Shard));
        let until = self.net.now().after(pause);
        self.net.run(&mut shards, until, || false);
    }

    pub(super) fn open(&mut self) {
        self.order(Order::Open);
        let is_open = self.pass(Duration::from_secs(60), |crowd| crowd.unsettled == 0);
        assert!(is_open, "every connection gets up or fails within its time");
    }

    pub(super) fn hold(&mut self) {
        self.order(Order::Hold);
        self.hold_on();
    }

    /// Lets the hold come to its end, and what is outstanding arrive.
    pub(super) fn hold_on(&mut self) {
        let minutes = Duration::from_secs(300);
        self.pass(minutes, |crowd| {
            crowd.stage == Stage::Settling || crowd.ready == 0
        });
        self.order(Order::Settle);
        let plan = Arc::clone(&self.plan);
        self.pass(plan.options.settle_timeout, |crowd| {
            crowd.stage == Stage::Settling
                && crowd.waiting == 0
                && crowd.waiting_for == plan.sent.total()
        });
    }

    /// Broadcasts once, and waits until everybody who is there has it.
    pub(super) fn broadcast(&mut self) -> Broadcast {
        self.order(Order::Broadcast);
        self.tally()
    }

    /// Broadcasts once, and tells the shards of it one after the other, the last when the others have
    /// nothing left to do.
    pub(super) fn broadcast_unevenly(&mut self) -> Broadcast {
        for shard in 0..self.crowd.len() {
            self.crowd[shard].with_app(|swarm, io| swarm.handle_mail(Order::Broadcast, io));
            self.pass(Duration::from_millis(500), |_| false);
        }
        self.tally()
    }

    fn tally(&mut self) -> Broadcast {
        let number = self.broadcasts.len() as u32 + 1;
        let plan = Arc::clone(&self.plan);
        self.pass(plan.options.settle_timeout, |crowd| {
            let is_sent = crowd.rounds >= number.into();
            is_sent && crowd.waiting == 0 && crowd.waiting_for == plan.sent.total()
        });
        self.order(Order::Tally);
        let mut all = Tally::default();
        for handed in self.results.try_iter() {
            match handed {
                Handed::Tally(tally) => all.merge(&tally),
                Handed::Pulse(pulse) => panic!("a pulse that nobody asked for: {pulse:?}"),
                Handed::Outcome(outcome) => panic!("the end came early: {outcome:?}"),
            }
        }
        let broadcast = Broadcast::new(number, &all);
        self.broadcasts.push(broadcast);
        broadcast
    }

    /// Drops what was asked, and waits until all are back; says whether they are.
    pub(super) fn drop_share(&mut self) -> bool {
        self.order(Order::Drop);
        self.pass(Duration::from_secs(60), |crowd| {
            has_dropped(crowd) && crowd.away == 0
        })
    }

    /// Closes everything and checks what must hold of any run.
    pub(super) fn close(mut self) -> Report {
        let (held, broadcasts) = (self.plan.options.hold, std::mem::take(&mut self.broadcasts));
        let report = self.gather(End {
            held,
            broadcasts,
            ..End::default()
        });
        let (conns, got) = (report.connections, report.deliveries);
        assert_eq!(conns.ready + conns.not_opened, conns.asked, "{report}");
        assert_eq!(conns.held + conns.dropped, conns.ready, "{report}");
        let drawers = got.received + got.lost + got.dropped;
        assert_eq!(drawers, got.expected, "{report}");
        report
    }

    /// Closes in the middle of opening: what was not dialled yet is nobody's failure.
    pub(super) fn close_early(self) -> Report {
        self.gather(End {
            interrupted: true,
            ..End::default()
        })
    }

    pub(super) fn perform(mut self) -> Report {
        self.open();
        self.hold();
        self.close()
    }

    fn gather(mut self, end: End) -> Report {
        self.order(Order::Close);
        self.pass(Duration::from_secs(60), |_| false);
        let (mut all, mut ended) = (Outcome::new(), 0);
        for handed in self.results.try_iter() {
            match handed {
                Handed::Outcome(outcome) => {
                    all.merge(*outcome);
                    ended += 1;
                }
                Handed::Pulse(pulse) => pulse.measured.put_into(&mut all),
                Handed::Tally(tally) => panic!("a tally that nobody asked for: {tally:?}"),
            }
        }
        assert_eq!(ended, SHARDS, "each shard hands in once");
        Report::new(&self.plan.options, SHARDS, all, end)
    }
}

/// The server while the crowd stands still.
struct Awake<'a> {
    server: &'a mut Reactor<Room>,
    until: Time,
}

impl Shard for Awake<'_> {
    fn turn(&mut self) -> Turn {
        match Shard::turn(self.server) {
            Turn::Done(deadline) => {
                let until = self.until;
                Turn::Done(Some(deadline.map_or(until, |next| next.min(until))))
            }
            Turn::Stopped => Turn::Stopped,
        }
    }

    fn is_idle(&self) -> bool {
        Shard::is_idle(self.server)
    }

    fn counters(&self) -> engine::Snapshot {
        Shard::counters(self.server)
    }
}

/// The server while it stands still.
struct Asleep<'a>(&'a Reactor<Room>);

impl Shard for Asleep<'_> {
    fn turn(&mut self) -> Turn {
        Turn::Done(None)
    }

    fn is_idle(&self) -> bool {
        true
    }

    fn is_choked(&self) -> bool {
        true
    }

    fn counters(&self) -> engine::Snapshot {
        Shard::counters(self.0)
    }
}
