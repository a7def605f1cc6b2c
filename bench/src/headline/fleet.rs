//! The bare floor as many processes: servers on one port, crowds with a source address each, and
//! the commands that make all of them act at once.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::client::member::{Arrivals, Command, now_ns};
use crate::interrupt::Interrupt;
use crate::leash::Leashed;
use crate::measure;

/// Bare servers and their crowds, as many processes as the connections need.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    servers: Vec<Leashed>,
    crowds: Vec<Leashed>,
    interrupt: &'a Interrupt,
}

impl<'a> Fleet<'a> {
    /// Starts `size` servers and as many crowds, without a connection.
    pub(super) fn start(size: usize, interrupt: &'a Interrupt) -> anyhow::Result<Self> {
        let mut fleet = Self {
            servers: Vec::new(),
            crowds: Vec::new(),
            interrupt,
        };
        let mut addr = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        for _ in 0..size {
            interrupt.check()?;
            let arguments = ["floor-server".to_owned(), addr.to_string()].map(OsString::from);
            let server = Leashed::spawn_part(&arguments)?;
            // The first has chosen a port for all.
            addr = server.announced_addr()?;
            fleet.servers.push(server);
        }
        for index in 0..size {
            interrupt.check()?;
            let source = source(index)?.to_string();
            let words = ["floor-crowd".to_owned(), addr.to_string(), source];
            let crowd = Leashed::spawn_part(&words.map(OsString::from))?;
            fleet.crowds.push(crowd);
        }
        Ok(fleet)
    }

    /// Opens and joins `count` connections, spread evenly over the crowds, at most `unjoined_max` of
    /// them on the way at a time. Returns the time from the first dial to the last join.
    pub(super) fn open(&mut self, count: usize, unjoined_max: usize) -> anyhow::Result<Duration> {
        let crowds = self.crowds.len();
        for (index, crowd) in self.crowds.iter_mut().enumerate() {
            let command = Command::Open {
                count: count / crowds + usize::from(index < count % crowds),
                unjoined_max: (unjoined_max / crowds).max(1),
            };
            crowd.command(&command.to_line())?;
        }
        let (mut first, mut last) = (u64::MAX, 0);
        for crowd in &self.crowds {
            let answer = self.answer(crowd)?;
            let time = |key: &str| answer.get(key).and_then(Value::as_u64);
            first = first.min(time("first_ns").context("a crowd does not say when it began")?);
            last = last.max(time("last_ns").context("a crowd does not say when it was done")?);
        }
        Ok(Duration::from_nanos(last.saturating_sub(first)))
    }

    /// Lets every server send broadcast `sequence` to all its connections. Returns when it was asked,
    /// as a time of [`now_ns`], and what came.
    pub(super) fn broadcast(&mut self, sequence: u32) -> anyhow::Result<(u64, Arrivals)> {
        for crowd in &mut self.crowds {
            crowd.command(&Command::Receive { sequence }.to_line())?;
        }
        for crowd in &self.crowds {
            self.answer(crowd)?;
        }
        let start_ns = now_ns();
        for server in &mut self.servers {
            server.command("\n")?;
        }
        let mut all = Arrivals::default();
        for crowd in &self.crowds {
            let answer = self.answer(crowd)?;
            all.add(&Arrivals::from_json(&answer).context("a crowd does not say what came")?);
        }
        Ok((start_ns, all))
    }

    /// Waits until the servers have nothing to do and returns the processor time they have used.
    pub(super) fn cpu_at_rest(&self) -> anyhow::Result<Duration> {
        let deadline = Instant::now() + REST_DEADLINE;
        let mut before = self.cpu()?;
        loop {
            self.interrupt.pause(REST_WINDOW)?;
            let now = self.cpu()?;
            if now.saturating_sub(before) < REST_CPU_MAX {
                return Ok(now);
            }
            if Instant::now() > deadline {
                bail!("the floor is still busy {REST_DEADLINE:?} after its last broadcast");
            }
            before = now;
        }
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        let times = self.servers.iter().map(|it| measure::cpu_time(it.pid()));
        times.sum()
    }

    fn answer(&self, part: &Leashed) -> anyhow::Result<Value> {
        loop {
            if let Some(answer) = part.answer(Instant::now() + ANSWER_WINDOW)? {
                return serde_json::from_str(&answer)
                    .with_context(|| format!("a part of the floor answers: {answer}"));
            }
            self.interrupt.check()?;
        }
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        // Crowds first: they reset their connections, and none stays in TIME-WAIT.
        self.crowds.clear();
    }
}

/// Returns the address that crowd `index` dials from; 127.0.0.1 is the servers'.
fn source(index: usize) -> anyhow::Result<Ipv4Addr> {
    let offset = u32::try_from(index).context("more crowds than addresses")?;
    let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
    Ok(Ipv4Addr::from(first + offset))
}

/// How often a wait for an answer looks for signals.
const ANSWER_WINDOW: Duration = Duration::from_millis(200);
const REST_WINDOW: Duration = Duration::from_millis(250);
/// 2 % of a processor, as in `measure`.
const REST_CPU_MAX: Duration = Duration::from_millis(5);
const REST_DEADLINE: Duration = Duration::from_secs(60);
