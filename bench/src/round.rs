//! One server, measured once: what is done to it, in order, and what is read off.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::client::{Crowd, Tally};
use crate::launch::{Kind, Server};
use crate::measure::{anonymous_bytes, cpu_time, wait_until_quiet};
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
    pub(crate) bytes_per_connection: f64,
    pub(crate) joins_per_second: f64,
    pub(crate) deliveries_per_second: f64,
    pub(crate) cpu_us_per_delivery: f64,
    pub(crate) echoes_per_second: f64,
    pub(crate) cpu_us_per_echo: f64,
    pub(crate) echo_p50_us: f64,
    pub(crate) echo_p99_us: f64,
    pub(crate) tally: Tally,
}

impl Plan {
    /// Connections at the lower end of the memory slope: a third, as 5,000 is of 15,000.
    fn connections_low(&self) -> usize {
        self.connections / 3
    }
}

/// Measures a server of `kind`, started afresh for each workload.
pub(crate) fn run(kind: Kind, plan: &Plan) -> anyhow::Result<Sample> {
    let fanout =
        run_fanout(kind, plan).with_context(|| format!("{}: joining and fan-out", kind.name()))?;
    let echo = run_echo(kind, plan).with_context(|| format!("{}: echo", kind.name()))?;
    Ok(Sample {
        echoes_per_second: echo.echoes_per_second,
        cpu_us_per_echo: echo.cpu_us_per_echo,
        echo_p50_us: echo.echo_p50_us,
        echo_p99_us: echo.echo_p99_us,
        tally: Tally::sum([fanout.tally, echo.tally]),
        ..fanout
    })
}

fn run_fanout(kind: Kind, plan: &Plan) -> anyhow::Result<Sample> {
    let server = Server::start(kind, Workload::Fanout)?;
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
    Ok(Sample {
        bytes_per_connection: (high_bytes as f64 - low_bytes as f64)
            / (plan.connections - low) as f64,
        joins_per_second: plan.connections as f64 / (first + second).as_secs_f64(),
        deliveries_per_second: deliveries / fanout.elapsed.as_secs_f64(),
        cpu_us_per_delivery: microseconds(cpu) / deliveries,
        tally: fanout.tally,
        ..Sample::EMPTY
    })
}

fn run_echo(kind: Kind, plan: &Plan) -> anyhow::Result<Sample> {
    let server = Server::start(kind, Workload::Echo)?;
    let session = Arc::new(Session::new(Workload::Echo));
    let mut crowd = Crowd::new(server.addr(), &session)?;
    crowd.open(plan.echo_connections)?;
    wait_until_quiet(server.pid())?;

    let cpu_before = cpu_time(server.pid())?;
    let echo = crowd.echo(plan.echo_stretch)?;
    wait_until_quiet(server.pid())?;
    let cpu = cpu_time(server.pid())?.saturating_sub(cpu_before);

    Ok(Sample {
        echoes_per_second: echo.latency.len() as f64 / echo.elapsed.as_secs_f64(),
        cpu_us_per_echo: microseconds(cpu) / echo.tally.delivered as f64,
        echo_p50_us: echo.latency.value_at_quantile(0.5) as f64 / 1e3,
        echo_p99_us: echo.latency.value_at_quantile(0.99) as f64 / 1e3,
        tally: echo.tally,
        ..Sample::EMPTY
    })
}

impl Sample {
    const EMPTY: Self = Self {
        bytes_per_connection: 0.0,
        joins_per_second: 0.0,
        deliveries_per_second: 0.0,
        cpu_us_per_delivery: 0.0,
        echoes_per_second: 0.0,
        cpu_us_per_echo: 0.0,
        echo_p50_us: 0.0,
        echo_p99_us: 0.0,
        tally: Tally {
            delivered: 0,
            lost: 0,
            duplicated: 0,
            unexpected: 0,
            dropped: 0,
        },
    };
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
