//! The conductor: checks that a run can be held, starts the shards, and leads them through its
//! stages.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use capacity::{Machine, Shortage, Sources};
use engine::{Full, Settings, ShardIndex, Shards, StartError};
use rustix::io::Errno;
use thiserror::Error;

use crate::{
    gauges::{Gauges, Sent, Snapshot, Stage},
    interrupt::Interrupt,
    options::{Options, OptionsError},
    outcome::Outcome,
    progress::{Moment, Progress},
    report::{End, Report},
    swarm::{Order, Plan, Swarm},
    watch::Watch,
};

/// Why a run has no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// What was asked cannot be done on this machine, or contradicts itself.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The server's name has no address.
    #[error("cannot find the address of {host}: {error}")]
    Resolve {
        /// The name and port.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// The shards could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A shard's kernel failed in the middle of the run.
    #[error("a thread of the crowd failed: {0}")]
    Shard(Errno),
}

/// How often the conductor looks at the shards.
const LOOK: Duration = Duration::from_millis(50);
/// How long a server may take to answer a goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest message that the crowd reads.
const MESSAGE_BYTES_MAX: u64 = 8 << 20;

/// Opens, holds and closes a crowd as `options` say, shows it to `progress`, and reports.
///
/// A server that refuses, drops or loses something is not an error but a report whose `held` is
/// false.
///
/// # Errors
///
/// [`LoadError::Options`] and [`LoadError::Resolve`] before the first connection;
/// [`LoadError::Start`] and [`LoadError::Shard`] when the machine fails.
pub fn run(
    options: Options,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<Report, LoadError> {
    let plan = Arc::new(plan(options)?);
    let mut conductor = Conductor::start(&plan, progress, interrupt)?;
    conductor.order(Order::Open);
    conductor.wait(|crowd| crowd.unsettled == 0);
    let mut held = Duration::ZERO;
    if !interrupt.is_raised() && conductor.look().ready > 0 {
        conductor.order(Order::Hold);
        conductor.wait(|crowd| crowd.stage > Stage::Holding || crowd.ready == 0);
        held = conductor.since.elapsed().min(plan.options.hold);
        // The shards settle by themselves when the hold is over; an interrupt comes before.
        conductor.order(Order::Settle);
        conductor.settle();
    }
    let interrupted = interrupt.is_raised();
    let outcome = conductor.finish()?;
    Ok(Report::new(
        &plan.options,
        plan.shards,
        outcome,
        End { held, interrupted },
    ))
}

/// Checks that this machine can hold what is asked, and decides what was left open.
fn plan(options: Options) -> Result<Plan, LoadError> {
    options.check()?;
    let connections = options.connections.into();
    capacity::raise_nofile();
    let machine = Machine::read();
    if let Some(shortage) = Shortage::of_process(connections, &machine) {
        return Err(OptionsError::Shortage(shortage).into());
    }
    let destination = options
        .target
        .resolve()
        .map_err(|error| LoadError::Resolve {
            host: options.target.host(),
            error,
        })?;
    let sources = match &options.sources {
        Some(sources) => sources.clone(),
        None => default_sources(destination, connections)?,
    };
    check_sources(&sources, destination)?;
    if let Some(shortage) = Shortage::of_tuples(connections, sources.count(), 1) {
        return Err(OptionsError::Shortage(shortage).into());
    }
    let topics = if options.publish.is_some() {
        options.topics
    } else {
        0
    };
    Ok(Plan {
        destination,
        sources,
        run: fastrand::u64(..),
        shards: options.shards(machine.cores_count),
        sent: Sent::new(topics),
        options,
    })
}

/// As many loopback addresses as the connections need when the server is on 127.0.0.0/8, else the
/// one address from which the machine would talk to it.
fn default_sources(destination: SocketAddr, connections: u64) -> Result<Sources, OptionsError> {
    if let IpAddr::V4(address) = destination.ip()
        && address.is_loopback()
    {
        return Ok(Sources::loopback(connections, 1));
    }
    let any: IpAddr = match destination {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a datagram socket sends nothing; it only asks the routing table.
    let route = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(destination)?;
        socket.local_addr()
    };
    route()
        .map(|local| Sources::single(local.ip()))
        .map_err(|error| OptionsError::NoRoute(destination, error))
}

/// Finds out before the first dial whether every source address is this machine's own, so that
/// `EADDRNOTAVAIL` later means one thing only.
fn check_sources(sources: &Sources, destination: SocketAddr) -> Result<(), OptionsError> {
    for address in sources.addresses() {
        if address.is_ipv4() != destination.is_ipv4() {
            return Err(OptionsError::SourceFamily(address, destination));
        }
        match UdpSocket::bind((address, 0)) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                return Err(OptionsError::SourceNotLocal(address));
            }
            // Any other trouble will have its own name when it matters.
            _ => {}
        }
    }
    Ok(())
}

/// The running shards and what is known of them.
struct Conductor<'a> {
    shards: Shards<Order>,
    gauges: Vec<Arc<Gauges>>,
    results: Receiver<Outcome>,
    /// Results that were handed in already.
    outcomes: Vec<Outcome>,
    plan: Arc<Plan>,
    progress: &'a mut dyn Progress,
    interrupt: &'a Interrupt,
    started: Instant,
    /// When the current stage was ordered.
    since: Instant,
}

impl<'a> Conductor<'a> {
    fn start(
        plan: &Arc<Plan>,
        progress: &'a mut dyn Progress,
        interrupt: &'a Interrupt,
    ) -> Result<Self, LoadError> {
        let gauges: Vec<_> = (0..plan.shards).map(|_| Arc::new(Gauges::new(1))).collect();
        // Each shard hands in its results once, so nobody ever waits for room.
        let (sender, results) = mpsc::sync_channel(plan.shards.into());
        let (for_app, shown) = (Arc::clone(plan), gauges.clone());
        let shards = Shards::start(&settings(plan), plan.shards, None, move |shard, _| {
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
            results,
            outcomes: Vec::new(),
            plan: Arc::clone(plan),
            progress,
            interrupt,
            started: Instant::now(),
            since: Instant::now(),
        })
    }

    /// Begins the next stage on every shard.
    fn order(&mut self, order: Order) {
        self.since = Instant::now();
        for shard in 0..self.plan.shards {
            // A run gives four orders in all, and the mailbox has room for many more.
            if let Err(Full(order)) = self.shards.post(ShardIndex(shard), order) {
                debug_assert!(false, "no room for {order:?}");
            }
        }
    }

    /// The crowd as it is now.
    fn look(&self) -> Snapshot {
        self.gauges
            .iter()
            .map(|shard| shard.read())
            .fold(Snapshot::EMPTY, Snapshot::plus)
    }

    /// Waits until `is_over`; an interrupt or the end of the shards ends it, too.
    fn wait(&mut self, is_over: impl Fn(&Snapshot) -> bool) {
        while !is_over(&self.look()) && !self.interrupt.is_raised() && self.pause(LOOK) {}
    }

    /// Shows the progress and lets some time pass, less if a shard hands in its results; `false`
    /// when there is nothing left to wait for.
    fn pause(&mut self, time: Duration) -> bool {
        self.progress.update(&Moment {
            crowd: &self.look(),
            connections: self.plan.options.connections.into(),
            elapsed: self.started.elapsed(),
            in_stage: self.since.elapsed(),
            hold: self.plan.options.hold,
        });
        match self.results.recv_timeout(time) {
            Ok(outcome) => self.outcomes.push(outcome),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        let finished = self.shards.finished_count();
        // Results come before the end of their shard: one that has ended without them has failed, and
        // nothing that it owes will ever come.
        self.outcomes.extend(self.results.try_iter());
        self.outcomes.len() < self.gauges.len() && finished <= self.outcomes.len()
    }

    /// Waits for what is outstanding, though an interrupt cannot shorten that: without it, what is
    /// under way would be reported as lost.
    fn settle(&mut self) {
        while self.since.elapsed() < self.plan.options.settle_timeout {
            let crowd = self.look();
            // What a shard counted before the last publish says nothing about it.
            let is_fresh = crowd.waiting_for == self.plan.sent.total();
            let is_settled = crowd.stage == Stage::Settling && is_fresh && crowd.waiting == 0;
            if is_settled || !self.pause(LOOK) {
                return;
            }
        }
    }

    /// Closes everything and gathers the results.
    fn finish(mut self) -> Result<Outcome, LoadError> {
        self.order(Order::Close);
        while self.pause(LOOK) {}
        self.progress.finish();
        // A panic of a shard goes on here.
        self.shards.join().map_err(LoadError::Shard)?;
        self.outcomes.extend(self.results.try_iter());
        let mut outcomes = self.outcomes.into_iter();
        let mut all = outcomes.next().unwrap_or_else(Outcome::new);
        outcomes.for_each(|outcome| all.merge(outcome));
        Ok(all)
    }
}

/// The engine's limits for the crowd's side of a connection.
fn settings(plan: &Plan) -> Settings {
    let mut settings = Settings {
        handshake_timeout: plan.options.connect_timeout,
        // The server decides how long a connection may be idle; the crowd notices what it decides.
        idle_timeout: None,
        close_timeout: CLOSE_TIMEOUT,
        connections_max: plan.slots_max(),
        ..Settings::default()
    };
    settings.ws.frame_bytes_max = MESSAGE_BYTES_MAX;
    settings.ws.message_bytes_max = MESSAGE_BYTES_MAX;
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> Options {
        Options::new(url.parse().expect(url))
    }

    fn refusal(options: Options) -> String {
        plan(options).expect_err("must be refused").to_string()
    }

    #[test]
    fn loopback_servers_are_dialled_from_as_many_addresses_as_needed() {
        let mut options = options("ws://127.0.0.1:4000/socket");
        options.connections = 100;
        assert_eq!(
            plan(options).expect("a plan").sources.to_string(),
            "127.0.0.2"
        );
        let destination = "127.0.0.1:4000".parse().expect("an address");
        let sources = default_sources(destination, 100_000).expect("loopback");
        assert_eq!(sources.to_string(), "127.0.0.2-127.0.0.3");
        let sixth: SocketAddr = "[::1]:4000".parse().expect("an address");
        if UdpSocket::bind(("::1", 0)).is_ok() {
            assert_eq!(
                default_sources(sixth, 10).expect("loopback").to_string(),
                "::1"
            );
        }
    }

    #[test]
    fn more_than_a_process_may_hold_is_refused_with_the_arithmetic() {
        let mut options = options("ws://127.0.0.1:4000/socket");
        options.connections = u32::MAX;
        let text = refusal(options);
        assert!(
            text.starts_with("4,294,967,295 connections need 4,294,967,395"),
            "{text}"
        );
        assert!(text.contains("to hold more, "), "{text}");
    }

    #[test]
    fn sources_that_cannot_work_are_refused() {
        let with_sources = |sources: &str| {
            let mut options = options("ws://127.0.0.1:4000/socket");
            options.sources = Some(sources.parse().expect(sources));
            refusal(options)
        };
        let text = with_sources("203.0.113.1");
        assert!(
            text.starts_with("203.0.113.1 is not an address of this machine"),
            "{text}"
        );
        assert!(with_sources("::1").contains("one is IPv4 and the other IPv6"));
    }

    #[test]
    fn contradictions_are_refused_before_anything_is_looked_up() {
        let mut options = options("ws://host.invalid/socket");
        options.topics = 2;
        assert!(refusal(options).contains("--topics needs a --join"));
    }
}
