//! What a run of the headline is asked for, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use capacity::{End, Kernel, Layout, Machine, Tables};

/// Proves the headline: server and crowd on this machine, everybody joined, held, told, dropped and
/// back, next to the bare floor.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Connections to open, join and hold
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=20_000_000))]
    pub(super) connections: u32,
    /// Raises the limits of the machine that are too low, and puts them back at the end
    #[arg(long)]
    pub(super) apply_sysctls: bool,
    /// How long all are held, quiet but for heartbeats [default: 30s; 5m from 1,000,000 on]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) hold: Option<Duration>,
    /// Time between a client's heartbeats [default: 30s; more beyond 200,000 connections, so that
    /// there are never more than 6,667 a second]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    heartbeat: Option<Duration>,
    /// Broadcasts to all, one after the other
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) broadcasts: u32,
    /// Share of the connections that is dropped and comes back
    #[arg(long, value_name = "PERCENT", default_value = "10%")]
    pub(super) drop: String,
    /// Handshakes under way at once, of the crowd and of the floor's
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) concurrency: u32,
    /// What carries the connections of the product
    #[arg(long, value_name = "KERNEL", default_value = "auto", value_parser = ["auto", "epoll", "uring"])]
    pub(super) kernel: String,
    /// Leaves the floor out, and with it the ratios
    #[arg(long)]
    pub(super) no_floor: bool,
    /// A built `fourtuple` to measure instead of this workspace's
    #[arg(long, value_name = "BINARY")]
    pub(super) product: Option<PathBuf>,
    /// Writes the report as JSON, too
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Where the limits of the machine are; tests have a folder of their own
    #[arg(long, value_name = "FOLDER", default_value = "/proc/sys", hide = true)]
    pub(super) sysctl_root: PathBuf,
}

impl Options {
    pub(super) fn hold(&self) -> Duration {
        let default = match self.connections {
            ..1_000_000 => Duration::from_secs(30),
            _ => Duration::from_secs(300),
        };
        self.hold.unwrap_or(default)
    }

    pub(super) fn heartbeat(&self) -> Duration {
        let default = HEARTBEAT * self.connections.div_ceil(HEARTBEAT_CONNECTIONS);
        self.heartbeat.unwrap_or(default)
    }

    /// Returns how long the server lets a client be silent: two heartbeats, as Phoenix does.
    pub(super) fn idle_timeout(&self) -> Duration {
        2 * self.heartbeat()
    }

    /// Returns how long a broadcast may be on its way: what a very slow one takes, and then some.
    pub(super) fn settle_timeout(&self) -> Duration {
        Duration::from_secs(30 + u64::from(self.connections) / SLOW_DELIVERIES_PER_SECOND)
    }

    /// Returns how a server keeps all connections on `machine` when each shard has a table of descriptors
    /// to itself.
    pub(super) fn server_layout(&self, machine: &Machine) -> Layout {
        let layout = Layout {
            tables: Tables::PerShard,
            ..Layout::of_cores(machine, End::Server, Kernel::Epoll)
        };
        layout.for_connections(self.connections.into(), None, Tables::PerShard, machine)
    }

    /// Returns how many bare servers, and as many crowds, have descriptors for all connections.
    pub(super) fn floor_processes(&self) -> anyhow::Result<usize> {
        let machine = Machine::read();
        let wanted = u64::from(self.connections);
        // A process of the floor is what a shard of the product is: both have a table of their own.
        let layout = self.server_layout(&machine);
        let most = layout.connections_max(&machine);
        if most < wanted {
            bail!(
                "{} bare servers, the most that are started, have descriptors for {most} of {wanted} \
                 connections; raise the hard limit of RLIMIT_NOFILE, or leave the floor out with \
                 --no-floor",
                layout.shards
            );
        }
        Ok(layout.shards.into())
    }
}

/// Parses a whole number with ms, s, m or h.
fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("expected a whole number with ms, s, m or h".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a whole number with ms, s, m or h".to_owned())?;
    let milliseconds = number.checked_mul(unit_ms).filter(|it| *it <= TIME_MAX_MS);
    milliseconds
        .map(Duration::from_millis)
        .ok_or_else(|| "expected at most 24h".to_owned())
}

/// Returns `time` as the product's flags take it.
pub(super) fn flag_time(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

const TIME_MAX_MS: u64 = 24 * 3_600_000;
/// phoenix.js sends one so often.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// As many clients beat at that pace on two cores that have both ends, without it being all they do.
const HEARTBEAT_CONNECTIONS: u32 = 200_000;
const SLOW_DELIVERIES_PER_SECOND: u64 = 20_000;

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn options(connections: &str) -> Options {
        Cli::parse_from(["headline", "--connections", connections]).options
    }

    #[test]
    fn times_have_units() {
        assert_eq!(parse_time("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_time("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "5", "m", "-1s", "25h", "99999999999999999999s"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(flag_time(Duration::from_secs(2)), "2000ms");
    }

    #[test]
    fn more_clients_beat_less_often() {
        for (connections, heartbeat_s, hold_s) in
            [("20000", 30, 30), ("200000", 30, 30), ("2000000", 300, 300)]
        {
            let options = options(connections);
            assert_eq!(options.heartbeat(), Duration::from_secs(heartbeat_s));
            assert_eq!(options.idle_timeout(), 2 * options.heartbeat());
            assert_eq!(options.hold(), Duration::from_secs(hold_s));
        }
    }
}
