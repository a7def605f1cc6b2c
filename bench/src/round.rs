//! One server, measured once: what is done to it, in order, and what is read off.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::client::{Crowd, Tally};
use crate::events::Events;
use crate::interrupt::Interrupt;
use crate::kind::Kind;
use crate::launch::{Programs, Server};
use crate::leash::{Leashed, Pages};
use crate::measure::{anonymous_bytes, cpu_time, wait_until_quiet};
use crate::product::Carrier;
use crate::session::{Session, Workload};

/// How large a round is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Connections that join the topic.
    pub(crate) connections: usize,
    /// Broadcasts to all of them.
    pub(crate) broadcasts: u32,
    /// Connections of the echo, and how long it lasts.
    pub(crate) echo_connections: usize,
    pub(crate) echo_stretch: Duration,
}

/// What one round says about one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) memory: MemorySample,
    pub(crate) fanout: FanoutSample,
    pub(crate) echo: EchoSample,
    /// User-space memory of the product's own crowd per idle joined connection, as the same slope.
    pub(crate) crowd_bytes_per_connection: Option<f64>,
}

/// User-space memory of a server with idle connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemorySample {
    /// Slope between a third of the connections and all.
    pub(crate) bytes_per_connection: f64,
    /// Slope between none and all: with what the first connections make a server set up.
    pub(crate) bytes_per_connection_from_empty: f64,
}

/// What was read off while one topic filled and was spoken to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FanoutSample {
    /// User-space memory of the server with all connections idle, pages as it likes them.
    pub(crate) bytes_in_all: f64,
    /// Connections per second that were connected, upgraded and joined.
    pub(crate) joins_per_second: f64,
    pub(crate) deliveries_per_second: f64,
    /// Processor time of the server, user and system.
    pub(crate) cpu_us_per_delivery: f64,
    pub(crate) tally: Tally,
}

/// What was read off while every connection pushed and was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EchoSample {
    pub(crate) echoes_per_second: f64,
    /// Processor time of the server, user and system.
    pub(crate) cpu_us_per_echo: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) tally: Tally,
}

impl Plan {
    /// Returns the connections at the lower end of the memory slope: a third, as 5,000 of 15,000.
    pub(crate) fn connections_low(&self) -> usize {
        self.connections / 3
    }
}

impl Sample {
    /// Returns what was lost and what came too often in both workloads.
    pub(crate) fn tally(&self) -> Tally {
        Tally::sum([self.fanout.tally, self.echo.tally])
    }
}

/// Measures all `kinds`, each started afresh for each workload, and returns one sample for each.
///
/// The servers take turns at every workload rather than at whole rounds: what is compared lies
/// seconds apart.
///
/// # Errors
///
/// When a server cannot be measured, or when `interrupt` has come before the next one is.
pub(crate) fn run(
    programs: &Programs,
    kinds: &[Kind],
    plan: &Plan,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<Sample>> {
    let memory = in_turn(kinds, "memory", interrupt, |kind| {
        run_memory(programs, kind, plan)
    })?;
    let fanout = in_turn(kinds, "join and fan-out", interrupt, |kind| {
        run_fanout(programs, kind, plan)
    })?;
    let echo = in_turn(kinds, "push and reply", interrupt, |kind| {
        run_echo(programs, kind, plan)
    })?;
    let crowd = in_turn(kinds, "its crowd", interrupt, |kind| {
        match kind.promises() {
            None => Ok(None),
            Some(carrier) => run_crowd(programs, kind, carrier, plan).map(Some),
        }
    })?;
    let servers = memory.into_iter().zip(fanout).zip(echo).zip(crowd);
    Ok(servers
        .map(
            |(((memory, fanout), echo), crowd_bytes_per_connection)| Sample {
                memory,
                fanout,
                echo,
                crowd_bytes_per_connection,
            },
        )
        .collect())
}

fn in_turn<T>(
    kinds: &[Kind],
    what: &str,
    interrupt: &Interrupt,
    measure: impl Fn(Kind) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let measure = |kind: &Kind| {
        interrupt.check()?;
        measure(*kind).with_context(|| format!("{}: {what}", kind.name()))
    };
    kinds.iter().map(measure).collect()
}

fn run_memory(programs: &Programs, kind: Kind, plan: &Plan) -> anyhow::Result<MemorySample> {
    let server = Server::start(programs, kind, Workload::Fanout, Pages::Small)?;
    let session = Arc::new(Session::in_dialect(Workload::Fanout, kind.dialect()));
    let mut crowd = Crowd::new(server.addr(), &session)?;
    let empty_bytes = idle_bytes(server.pid())?;
    crowd.open(plan.connections_low())?;
    let low_bytes = idle_bytes(server.pid())?;
    let between = plan.connections - plan.connections_low();
    crowd.open(between)?;
    let high_bytes = idle_bytes(server.pid())?;
    Ok(MemorySample {
        bytes_per_connection: slope(low_bytes, high_bytes, between),
        bytes_per_connection_from_empty: slope(empty_bytes, high_bytes, plan.connections),
    })
}

fn run_fanout(programs: &Programs, kind: Kind, plan: &Plan) -> anyhow::Result<FanoutSample> {
    let server = Server::start(programs, kind, Workload::Fanout, Pages::AsItShips)?;
    let session = Arc::new(Session::in_dialect(Workload::Fanout, kind.dialect()));
    let mut crowd = Crowd::new(server.addr(), &session)?;

    let opening = crowd.open(plan.connections)?;
    let bytes_in_all = idle_bytes(server.pid())?;

    let cpu_before = cpu_time(server.pid())?;
    let fanout = crowd.fanout(plan.broadcasts)?;
    wait_until_quiet(server.pid())?;
    let cpu = cpu_time(server.pid())?.saturating_sub(cpu_before);

    let deliveries = fanout.tally.delivered as f64;
    Ok(FanoutSample {
        bytes_in_all: bytes_in_all as f64,
        joins_per_second: plan.connections as f64 / opening.as_secs_f64(),
        deliveries_per_second: deliveries / fanout.elapsed.as_secs_f64(),
        cpu_us_per_delivery: microseconds(cpu) / deliveries,
        tally: fanout.tally,
    })
}

fn run_echo(programs: &Programs, kind: Kind, plan: &Plan) -> anyhow::Result<EchoSample> {
    let server = Server::start(programs, kind, Workload::Echo, Pages::AsItShips)?;
    let session = Arc::new(Session::in_dialect(Workload::Echo, kind.dialect()));
    let mut crowd = Crowd::new(server.addr(), &session)?;
    crowd.open(plan.echo_connections)?;
    wait_until_quiet(server.pid())?;

    let cpu_before = cpu_time(server.pid())?;
    let echo = crowd.echo(plan.echo_stretch)?;
    wait_until_quiet(server.pid())?;
    let cpu = cpu_time(server.pid())?.saturating_sub(cpu_before);

    Ok(EchoSample {
        echoes_per_second: echo.latency.len() as f64 / echo.elapsed.as_secs_f64(),
        cpu_us_per_echo: microseconds(cpu) / echo.tally.delivered as f64,
        p50_us: echo.latency.value_at_quantile(0.5) as f64 / 1e3,
        p99_us: echo.latency.value_at_quantile(0.99) as f64 / 1e3,
        tally: echo.tally,
    })
}

/// Measures the product's crowd against the product's server: the memory of two fresh crowds, one
/// with a third of the connections and one with all.
fn run_crowd(
    programs: &Programs,
    kind: Kind,
    carrier: Carrier,
    plan: &Plan,
) -> anyhow::Result<f64> {
    let low = plan.connections_low();
    let low_bytes = crowd_bytes(programs, kind, carrier, low)?;
    let high_bytes = crowd_bytes(programs, kind, carrier, plan.connections)?;
    Ok(slope(low_bytes, high_bytes, plan.connections - low))
}

fn crowd_bytes(
    programs: &Programs,
    kind: Kind,
    carrier: Carrier,
    connections: usize,
) -> anyhow::Result<u64> {
    let product = programs.product()?;
    let server = Server::start(programs, kind, Workload::Fanout, Pages::Small)?;
    let events = product.events();
    // The last crowd's, if there was one.
    let _ = fs::remove_file(events);
    let arguments = product.load_arguments(server.addr(), carrier, connections);
    let crowd = Leashed::spawn(product.binary(), &arguments, Pages::Small)?;
    let measured = wait_until_joined(&crowd, events).and_then(|()| idle_bytes(crowd.pid()));
    measured.with_context(|| format!("the crowd says:{}", crowd.last_words()))
}

/// Waits until the product's crowd says that it holds all its connections, which are joined then.
fn wait_until_joined(crowd: &Leashed, events: &Path) -> anyhow::Result<()> {
    let mut events = Events::follow(events);
    let deadline = Instant::now() + JOINED_DEADLINE;
    while !events.news()?.iter().any(|news| news.is_stage("holding")) {
        if Instant::now() > deadline {
            bail!("it has not joined all connections after {JOINED_DEADLINE:?}");
        }
        // Nothing is answered; it is the end of the process that is listened for.
        crowd.answer(Instant::now() + BETWEEN_LOOKS)?;
    }
    Ok(())
}

/// Returns the memory of a process after it has come to rest.
fn idle_bytes(pid: u32) -> anyhow::Result<u64> {
    wait_until_quiet(pid)?;
    anonymous_bytes(pid)
}

/// Returns the bytes that each of `connections` has added.
fn slope(before_bytes: u64, after_bytes: u64, connections: usize) -> f64 {
    (after_bytes as f64 - before_bytes as f64) / connections as f64
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

const JOINED_DEADLINE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
