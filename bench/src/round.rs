//! One server, measured once: what is done to it, in order, and what is read off.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::client::{Crowd, Tally};
use crate::launch::{Kind, Leashed, Programs, Server};
use crate::measure::{anonymous_bytes, cpu_time, wait_until_descriptors, wait_until_quiet};
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
    pub(crate) fanout: FanoutSample,
    pub(crate) echo: EchoSample,
    /// User-space memory of the product's own crowd per idle joined connection, as the same slope.
    pub(crate) crowd_bytes_per_connection: Option<f64>,
}

/// What was read off while one topic filled and was spoken to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FanoutSample {
    /// User-space memory of the server, as the slope between a third of the connections and all.
    pub(crate) bytes_per_connection: f64,
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

/// Measures a server of `kind`, started afresh for each workload.
pub(crate) fn run(programs: &Programs, kind: Kind, plan: &Plan) -> anyhow::Result<Sample> {
    let name = kind.name();
    Ok(Sample {
        fanout: run_fanout(programs, kind, plan)
            .with_context(|| format!("{name}: join and fan-out"))?,
        echo: run_echo(programs, kind, plan).with_context(|| format!("{name}: push and reply"))?,
        crowd_bytes_per_connection: match kind {
            Kind::Floor | Kind::Tungstenite => None,
            Kind::Fourtuple => Some(
                run_crowd(programs, plan)
                    .with_context(|| format!("{name}: the product's crowd"))?,
            ),
        },
    })
}

fn run_fanout(programs: &Programs, kind: Kind, plan: &Plan) -> anyhow::Result<FanoutSample> {
    let server = Server::start(programs, kind, Workload::Fanout)?;
    let session = Arc::new(Session::new(Workload::Fanout));
    let mut crowd = Crowd::new(server.addr(), &session)?;

    let low = plan.connections_low();
    let first = crowd.open(low)?;
    wait_until_quiet(server.pid())?;
    let low_bytes = anonymous_bytes(server.pid())?;
    let second = crowd.open(plan.connections - low)?;
    wait_until_quiet(server.pid())?;
    let high_bytes = anonymous_bytes(server.pid())?;

    let cpu_before = cpu_time(server.pid())?;
    let fanout = crowd.fanout(plan.broadcasts)?;
    wait_until_quiet(server.pid())?;
    let cpu = cpu_time(server.pid())?.saturating_sub(cpu_before);

    let deliveries = fanout.tally.delivered as f64;
    Ok(FanoutSample {
        bytes_per_connection: (high_bytes as f64 - low_bytes as f64)
            / (plan.connections - low) as f64,
        joins_per_second: plan.connections as f64 / (first + second).as_secs_f64(),
        deliveries_per_second: deliveries / fanout.elapsed.as_secs_f64(),
        cpu_us_per_delivery: microseconds(cpu) / deliveries,
        tally: fanout.tally,
    })
}

fn run_echo(programs: &Programs, kind: Kind, plan: &Plan) -> anyhow::Result<EchoSample> {
    let server = Server::start(programs, kind, Workload::Echo)?;
    let session = Arc::new(Session::new(Workload::Echo));
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
fn run_crowd(programs: &Programs, plan: &Plan) -> anyhow::Result<f64> {
    let low = plan.connections_low();
    let low_bytes = crowd_bytes(programs, low)?;
    let high_bytes = crowd_bytes(programs, plan.connections)?;
    Ok((high_bytes as f64 - low_bytes as f64) / (plan.connections - low) as f64)
}

fn crowd_bytes(programs: &Programs, connections: usize) -> anyhow::Result<u64> {
    let product = programs.product()?;
    let server = Server::start(programs, Kind::Fourtuple, Workload::Fanout)?;
    let arguments = product.load_arguments(server.addr(), connections);
    let crowd = Leashed::spawn(product.binary(), &arguments)?;
    let measured = wait_until_descriptors(server.pid(), connections)
        .and_then(|()| wait_until_quiet(crowd.pid()))
        .and_then(|()| anonymous_bytes(crowd.pid()));
    measured.with_context(|| format!("the crowd says:{}", crowd.last_words()))
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
