//! One process among those that are the crowd of a floor with more connections than a process may
//! have descriptors for: a squad that does what it is told on stdin, and answers on stdout.
//!
//! Commands and answers are lines of JSON. Times are nanoseconds of `CLOCK_MONOTONIC`, which all
//! processes of a machine read alike.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::squad::Squad;
use super::tuples::Tuples;
use crate::leash::ANSWER;
use crate::session::{Session, Workload};

/// What a member is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Open and join so many more connections.
    Open { count: usize, unjoined_max: usize },
    /// Say so, receive a broadcast, and say when it came.
    Receive { sequence: u32 },
}

/// How a broadcast came to one or more members.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Arrivals {
    /// Deliveries by the millisecond of the clock in which they were read.
    pub(crate) by_millisecond: BTreeMap<u64, u64>,
    pub(crate) first_ns: Option<u64>,
    pub(crate) last_ns: Option<u64>,
    /// Counted over all broadcasts so far.
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// Frames that are no message of the session, and connections that the server closed.
    pub(crate) unexpected: u64,
}

/// Obeys until stdin ends.
pub(crate) fn serve(server: SocketAddrV4, source: Ipv4Addr) -> anyhow::Result<()> {
    let session = Arc::new(Session::new(Workload::Fanout));
    let mut squad = Squad::new(server, Tuples::new(source), session)?;
    for line in io::stdin().lock().lines() {
        let line = line.context("cannot read a command")?;
        let command = Command::parse(&line).with_context(|| format!("unknown command {line}"))?;
        match command {
            Command::Open {
                count,
                unjoined_max,
            } => {
                let first_ns = now_ns();
                squad.open(count, unjoined_max)?;
                answer(&json!({ "first_ns": first_ns, "last_ns": now_ns() }))?;
            }
            Command::Receive { sequence } => {
                answer(&json!({ "receiving": sequence }))?;
                let mut arrivals = Arrivals::default();
                squad.receive_shout(sequence, |count| arrivals.note(now_ns(), count))?;
                squad.listen(AFTERMATH)?;
                let tally = squad.fanout_tally(sequence);
                arrivals.lost = tally.lost;
                arrivals.duplicated = tally.duplicated;
                arrivals.unexpected = tally.unexpected + tally.dropped;
                answer(&arrivals.to_json())?;
            }
        }
    }
    Ok(())
}

/// Returns the time on the clock of the machine.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock begins at 0 with the machine.
    let since_start = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
    u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX)
}

fn answer(answer: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{ANSWER}{answer}")?;
    stdout.flush()
}

impl Command {
    /// Returns the command as a line.
    pub(crate) fn to_line(self) -> String {
        let value = match self {
            Self::Open {
                count,
                unjoined_max,
            } => json!({ "open": count, "unjoined_max": unjoined_max }),
            Self::Receive { sequence } => json!({ "receive": sequence }),
        };
        format!("{value}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let number = |key: &str| usize::try_from(value.get(key)?.as_u64()?).ok();
        if let Some(count) = number("open") {
            let unjoined_max = number("unjoined_max")?;
            return Some(Self::Open {
                count,
                unjoined_max,
            });
        }
        let sequence = u32::try_from(number("receive")?).ok()?;
        Some(Self::Receive { sequence })
    }
}

impl Arrivals {
    fn note(&mut self, now_ns: u64, count: u64) {
        if count == 0 {
            return;
        }
        *self.by_millisecond.entry(now_ns / 1_000_000).or_default() += count;
        self.first_ns.get_or_insert(now_ns);
        self.last_ns = Some(now_ns);
    }

    /// Adds what came to another member.
    pub(crate) fn add(&mut self, other: &Self) {
        for (millisecond, count) in &other.by_millisecond {
            *self.by_millisecond.entry(*millisecond).or_default() += count;
        }
        self.first_ns = self.first_ns.into_iter().chain(other.first_ns).min();
        self.last_ns = self.last_ns.into_iter().chain(other.last_ns).max();
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.unexpected += other.unexpected;
    }

    /// Returns how many deliveries there were.
    pub(crate) fn delivered(&self) -> u64 {
        self.by_millisecond.values().sum()
    }

    /// Returns the time by which half of the deliveries had come, exact to a millisecond.
    pub(crate) fn median_ns(&self) -> Option<u64> {
        let half = self.delivered().div_ceil(2);
        let mut count = 0;
        let median = self.by_millisecond.iter().find(|(_, delivered)| {
            count += **delivered;
            count >= half
        })?;
        Some(median.0 * 1_000_000)
    }

    fn to_json(&self) -> Value {
        let pairs: Vec<_> = self.by_millisecond.iter().collect();
        json!({
            "by_millisecond": pairs,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "unexpected": self.unexpected,
        })
    }

    /// Returns what a member has answered, or `None` when it is something else.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let pairs = value.get("by_millisecond")?.as_array()?;
        let pair = |pair: &Value| Some((pair.get(0)?.as_u64()?, pair.get(1)?.as_u64()?));
        let count = |key: &str| value.get(key)?.as_u64();
        Some(Self {
            by_millisecond: pairs.iter().map(pair).collect::<Option<_>>()?,
            first_ns: count("first_ns"),
            last_ns: count("last_ns"),
            lost: count("lost")?,
            duplicated: count("duplicated")?,
            unexpected: count("unexpected")?,
        })
    }
}

/// How long a member listens for duplicates after a broadcast.
const AFTERMATH: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_as_it_was_written() {
        for command in [
            Command::Open {
                count: 18_182,
                unjoined_max: 9,
            },
            Command::Receive { sequence: 3 },
        ] {
            assert_eq!(Command::parse(command.to_line().trim()), Some(command));
        }
        assert_eq!(Command::parse("{}"), None);
        assert_eq!(Command::parse(r#"{"open":1}"#), None);
    }

    #[test]
    fn arrivals_of_two_members_add_up() {
        let mut one = Arrivals::default();
        one.note(5_000_000, 1);
        one.note(5_900_000, 0);
        one.note(9_000_000, 1);
        let mut two = Arrivals {
            lost: 3,
            ..Arrivals::default()
        };
        two.note(4_000_000, 1);
        two.note(5_100_000, 2);
        assert_eq!(Arrivals::from_json(&two.to_json()), Some(two.clone()));
        one.add(&two);
        assert_eq!(one.delivered(), 5);
        assert_eq!(one.first_ns, Some(4_000_000));
        assert_eq!(one.median_ns(), Some(5_000_000));
        assert_eq!(one.last_ns, Some(9_000_000));
        assert_eq!(one.lost, 3);
        assert_eq!(Arrivals::default().median_ns(), None);
    }
}
