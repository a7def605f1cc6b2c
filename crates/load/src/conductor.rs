//! The conductor: leads all shards through the stages of a run, and waits for each to be over.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use capacity::Survey;
use engine::{Full, Settings, ShardIndex, Shards};

use crate::{
    comeback::Backoff,
    events::{Event, Milestone, Standing, seconds},
    gate::{Gate, News, Place},
    gauges::{Gauges, Snapshot, Stage},
    interrupt::Interrupt,
    lookout::Lookout,
    outcome::{Handed, Outcome},
    progress::{Moment, Progress},
    report::End,
    run::{LoadError, epoch_ms},
    swarm::{Order, Plan, Swarm},
    tally::{Broadcast, Tally},
    timeline::Keeper,
    turns::Turns,
    watch::Watch,
};

/// How often the conductor looks at the shards.
const LOOK: Duration = Duration::from_millis(100);
/// How often it looks whether the other machines have come to a gate.
const GATE_LOOK: Duration = Duration::from_millis(5);

/// The running shards and what is known of them.
pub(crate) struct Conductor<'a> {
    shards: Shards<Order>,
    gauges: Vec<Arc<Gauges>>,
    handed: Receiver<Handed>,
    /// Results that were handed in already.
    outcomes: Vec<Outcome>,
    tallies: Vec<Tally>,
    plan: Arc<Plan>,
    progress: &'a mut dyn Progress,
    interrupt: &'a Interrupt,
    /// Who looks at limits.
    lookout: Lookout,
    keeper: Keeper,
    gate: &'a mut dyn Gate,
    /// What came of the last broadcast, for the other machines.
    tally: Option<(u32, Tally)>,
    /// What they were told of publishes, by topic.
    told: Vec<u32>,
    started: Instant,
    /// When the current stage began.
    since: Instant,
    end: End,
}

impl<'a> Conductor<'a> {
    pub(crate) fn start(
        plan: &Arc<Plan>,
        settings: &Settings,
        progress: &'a mut dyn Progress,
        interrupt: &'a Interrupt,
        lookout: Lookout,
        gate: &'a mut dyn Gate,
    ) -> Result<Self, LoadError> {
        // A failure names the value of its limit, which may be that nothing can be opened any more.
        Survey::remember();
        let gauges: Vec<_> = (0..plan.shards).map(|_| Arc::new(Gauges::new(1))).collect();
        // Each shard hands in its results, one tally and one pulse at a time, so nobody ever waits for room.
        let (sender, handed) = mpsc::sync_channel(3 * usize::from(plan.shards));
        let (for_app, shown) = (Arc::clone(plan), gauges.clone());
        let shards = Shards::start(settings, plan.shards, None, move |shard, _| {
            let gauges = Arc::clone(&shown[usize::from(shard.0)]);
            Swarm::new(
                Arc::clone(&for_app),
                gauges,
                sender.clone(),
                shard.0,
                Watch::Unset,
            )
        })?;
        Ok(Self {
            shards,
            gauges,
            handed,
            outcomes: Vec::new(),
            tallies: Vec::new(),
            plan: Arc::clone(plan),
            progress,
            interrupt,
            lookout,
            keeper: Keeper::new(plan.shards),
            gate,
            tally: None,
            told: Vec::new(),
            started: Instant::now(),
            since: Instant::now(),
            end: End::default(),
        })
    }

    /// Opens the connections; `false` when there is nothing to go on with.
    pub(crate) fn open(&mut self) -> bool {
        self.started = Instant::now();
        self.end.began_ms = epoch_ms();
        self.enter(Milestone::Opening);
        self.order(Order::Open);
        let plan = &self.plan;
        let mut turns = Turns::new(plan.shards, plan.shards_at_a_time, plan.options.concurrency);
        while self.look().unsettled > 0 && !self.interrupt.is_raised() && self.pause(LOOK) {
            let unsettled = self.gauges.iter().map(|shard| shard.read().unsettled);
            for shard in turns.next(unsettled) {
                self.order_one(shard, Order::Turn);
            }
        }
        self.end.opening = self.since.elapsed();
        self.announce(Milestone::Opened);
        let crowd = self.look();
        !self.interrupt.is_raised() && crowd.ready + crowd.away > 0
    }

    /// Waits until the other machines have come as far as this one, and hears what they have sent.
    pub(crate) fn pass(&mut self, place: Place) {
        if self.gate.is_open() {
            return;
        }
        // Once this machine has come to the first gate, others may pass it and publish at any time.
        self.plan.sent.begin();
        let news = News {
            sent: self.plan.sent.untold(&mut self.told),
            tally: self.tally.take(),
        };
        // The others are told of a crowd that has come this far.
        self.show();
        self.gate.arrive(place, news);
        loop {
            if let Some(heard) = self.gate.pass(place) {
                for (topic, number) in heard {
                    self.plan.sent.hear(topic, number);
                }
                return;
            }
            if self.interrupt.is_raised() || !self.pause(GATE_LOOK) {
                return;
            }
        }
    }

    /// Holds everything for as long as was asked, or as long as there is anything to hold.
    pub(crate) fn hold(&mut self) {
        self.enter(Milestone::Holding);
        self.order(Order::Hold);
        self.wait(|crowd| crowd.stage > Stage::Holding || crowd.ready + crowd.away == 0);
        self.end.held = self.since.elapsed().min(self.plan.options.hold);
    }

    /// Broadcasts as often as was asked: the next when all have the one before, or when nobody has
    /// got anything for the settle timeout.
    pub(crate) fn broadcast(&mut self) {
        let wanted = self.plan.options.broadcasts;
        if wanted == 0 || self.is_over() {
            return;
        }
        self.enter(Milestone::Broadcasting);
        let stall = self.plan.options.settle_timeout;
        for number in 1..=wanted {
            self.pass(Place::before(number));
            self.order(Order::Broadcast);
            let plan = Arc::clone(&self.plan);
            if !self.gate.is_open() {
                self.wait(|crowd| crowd.rounds >= number.into());
                self.pass(Place::sent(number));
            }
            self.wait_while_it_goes_on(
                stall,
                |crowd| crowd.delivered,
                |crowd| crowd.rounds >= number.into() && is_settled(crowd, &plan),
            );
            self.order(Order::Tally);
            while self.tallies.len() < self.gauges.len() && self.pause(LOOK) {}
            let mut all = Tally::default();
            self.tallies.drain(..).for_each(|tally| all.merge(&tally));
            let broadcast = Broadcast::new(number, &all);
            self.tally = Some((number, all));
            self.end.broadcasts.push(broadcast);
            let at_s = seconds(self.started.elapsed());
            self.progress
                .handle_event(&Event::Broadcast { at_s, broadcast });
            if self.is_over() {
                break;
            }
        }
        self.end.broadcasting = self.since.elapsed();
    }

    /// Ends a share of the connections, if that was asked, and waits until they are back or until
    /// nobody has come back for longer than a client waits. What is outstanding would end with them,
    /// so that is waited for first.
    pub(crate) fn drop_share(&mut self) {
        if self.plan.options.drop.is_none() || self.is_over() {
            return;
        }
        let (plan, since) = (Arc::clone(&self.plan), Instant::now());
        let is_late = || since.elapsed() >= plan.options.settle_timeout;
        self.wait(|crowd| is_settled(crowd, &plan) || is_late());
        if self.is_over() {
            return;
        }
        self.enter(Milestone::Dropping);
        self.order(Order::Drop);
        self.wait_for_returns(has_dropped);
        self.end.dropping = self.since.elapsed();
    }

    /// Stops sending and waits for what is outstanding, though an interrupt cannot shorten that:
    /// without it, what is under way would be reported as lost.
    pub(crate) fn settle(&mut self) {
        self.enter(Milestone::Settling);
        if !self.interrupt.is_raised() {
            self.wait_for_returns(|_| true);
        }
        self.since = Instant::now();
        // After a hold that is over the shards have come here by themselves.
        self.order(Order::Settle);
        while self.since.elapsed() < self.plan.options.settle_timeout {
            let crowd = self.look();
            if (crowd.stage == Stage::Settling && is_settled(&crowd, &self.plan))
                || !self.pause(LOOK)
            {
                break;
            }
        }
    }

    /// Closes everything and gathers the results.
    pub(crate) fn finish(mut self) -> Result<(Outcome, End), LoadError> {
        self.end.interrupted = self.interrupt.is_raised();
        let kernel = self.shards.kernel();
        self.end.kernel = kernel.to_string();
        self.end.carrier = kernel.kernel().to_string();
        self.enter(Milestone::Closing);
        self.order(Order::Close);
        while self.pause(LOOK) {}
        self.end.closing = self.since.elapsed();
        self.announce(Milestone::Done);
        self.progress.finish();
        let (crowd, now) = (self.look(), self.started.elapsed());
        let limits = self.lookout.latest();
        // A panic of a shard goes on here.
        self.shards.join().map_err(LoadError::Shard)?;
        while let Ok(handed) = self.handed.try_recv() {
            take(
                handed,
                &mut self.outcomes,
                &mut self.tallies,
                &mut self.keeper,
            );
        }
        let mut outcomes = self.outcomes.into_iter();
        let mut all = outcomes.next().unwrap_or_else(Outcome::new);
        outcomes.for_each(|outcome| all.merge(outcome));
        self.end.timeline = self.keeper.finish(&mut all, now, &crowd, limits);
        self.end.ended_ms = epoch_ms();
        Ok((all, self.end))
    }

    /// Begins a stage, for who follows the run.
    fn enter(&mut self, milestone: Milestone) {
        self.since = Instant::now();
        self.announce(milestone);
    }

    fn announce(&mut self, stage: Milestone) {
        let event = Event::Stage {
            stage,
            at_s: seconds(self.started.elapsed()),
            connections: Standing::new(self.plan.options.connections.into(), &self.look()),
        };
        self.progress.handle_event(&event);
    }

    /// Tells every shard.
    fn order(&self, order: Order) {
        for shard in 0..self.plan.shards {
            self.order_one(shard, order);
        }
    }

    fn order_one(&self, shard: u16, order: Order) {
        // A shard has a few orders at most to take up, and the mailbox has room for many more.
        if let Err(Full(order)) = self.shards.post(ShardIndex(shard), order) {
            debug_assert!(false, "no room for {order:?}");
        }
    }

    /// The crowd as it is now.
    fn look(&self) -> Snapshot {
        self.gauges
            .iter()
            .map(|shard| shard.read())
            .fold(Snapshot::EMPTY, Snapshot::plus)
    }

    /// Whether there is no use in another stage.
    fn is_over(&self) -> bool {
        let crowd = self.look();
        self.interrupt.is_raised() || crowd.ready + crowd.away == 0
    }

    /// Waits until `is_over`; an interrupt or the end of the shards ends it, too.
    fn wait(&mut self, is_over: impl Fn(&Snapshot) -> bool) {
        while !is_over(&self.look()) && !self.interrupt.is_raised() && self.pause(LOOK) {}
    }

    /// Waits until nobody is away and `is_begun`, as long as somebody comes back now and then.
    fn wait_for_returns(&mut self, is_begun: impl Fn(&Snapshot) -> bool) {
        let options = &self.plan.options;
        let longest = options.reconnect.unwrap_or(Backoff::Phoenix).wait_max();
        let stall = options.settle_timeout + longest;
        self.wait_while_it_goes_on(
            stall,
            |crowd| crowd.ready,
            |crowd| is_begun(crowd) && crowd.away == 0,
        );
    }

    /// Waits until `is_over`, or until `count` has not changed for so long as `stall`; an interrupt or
    /// the end of the shards ends it, too.
    fn wait_while_it_goes_on(
        &mut self,
        stall: Duration,
        count: impl Fn(&Snapshot) -> u64,
        is_over: impl Fn(&Snapshot) -> bool,
    ) {
        let (mut seen, mut since) = (None, Instant::now());
        loop {
            let crowd = self.look();
            if is_over(&crowd) || self.interrupt.is_raised() {
                return;
            }
            let now = Some(count(&crowd));
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() >= stall {
                return;
            }
            if !self.pause(LOOK) {
                return;
            }
        }
    }

    fn show(&mut self) {
        self.progress.update(&Moment {
            crowd: &self.look(),
            connections: self.plan.options.connections.into(),
            elapsed: self.started.elapsed(),
            in_stage: self.since.elapsed(),
            hold: self.plan.options.hold,
            phase: None,
        });
    }

    /// Shows the progress and lets some time pass, less if a shard hands something in; `false` when
    /// there is nothing left to wait for.
    fn pause(&mut self, time: Duration) -> bool {
        self.show();
        self.keep_time();
        for (start_ms, period) in self.keeper.take_fresh() {
            self.progress.handle_period(start_ms, &period);
        }
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.handed.recv_timeout(left) {
                // Each second there is one of every shard, and none is worth a look at all of them.
                Ok(Handed::Pulse(pulse)) => self.keeper.take(*pulse),
                Ok(handed) => {
                    take(
                        handed,
                        &mut self.outcomes,
                        &mut self.tallies,
                        &mut self.keeper,
                    );
                    break;
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        let finished = self.shards.finished_count();
        // Results come before the end of their shard: one that has ended without them has failed, and
        // nothing that it owes will ever come.
        while let Ok(handed) = self.handed.try_recv() {
            take(
                handed,
                &mut self.outcomes,
                &mut self.tallies,
                &mut self.keeper,
            );
        }
        self.outcomes.len() < self.gauges.len() && finished <= self.outcomes.len()
    }

    /// Asks the shards what has happened, once in each period of the timeline.
    fn keep_time(&mut self) {
        let now = self.started.elapsed();
        if self.keeper.is_due(now) {
            let limits = self.lookout.latest();
            for shard in self.keeper.end_period(now, &self.look(), limits) {
                self.order_one(shard, Order::Pulse);
            }
        }
    }
}

/// Whether every shard has carried out the drop. Its stage does not tell: after a hold that is over, a
/// shard is beyond that by itself.
pub(crate) const fn has_dropped(crowd: &Snapshot) -> bool {
    crowd.drops > 0
}

/// Whether all that was published has arrived, as far as it will.
fn is_settled(crowd: &Snapshot, plan: &Plan) -> bool {
    // What a shard counted before the last publish says nothing about it.
    crowd.waiting == 0 && crowd.waiting_for == plan.sent.total()
}

/// Puts what a shard hands in where it belongs.
fn take(
    handed: Handed,
    outcomes: &mut Vec<Outcome>,
    tallies: &mut Vec<Tally>,
    keeper: &mut Keeper,
) {
    match handed {
        Handed::Outcome(outcome) => outcomes.push(*outcome),
        Handed::Tally(tally) => tallies.push(*tally),
        Handed::Pulse(pulse) => keeper.take(*pulse),
    }
}
