//! Published messages per second through the HTTP API: backends send batches, the server delivers each message
//! to a member, and members count what arrives.
//!
//! ```text
//!  backend ── POST /api/v1/publish/batch ──► server ── broadcast ──► member of topic 0, 1, 2 …
//! ```
//!
//! Every topic has one backend and one member, and its messages carry numbers: a gap is a loss, and a number that
//! came before is a duplicate.

mod backend;
mod member;

use std::ffi::OsString;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::json;

use crate::address::free_address;
use crate::interrupt::Interrupt;
use crate::leash::{Leashed, Pages};
use crate::measure::{Machine, cpu_time};
use crate::numbers::grouped;
use crate::product;
use backend::Sent;
use member::Heard;

/// Measures published messages per second through batches of the HTTP API, each delivered to a member
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Members, each of a topic of its own
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    members: u32,
    /// Backends that publish at the same time, each on one connection
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    backends: u32,
    /// Messages in a batch
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    batch: u32,
    /// Seconds for which they publish
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// What carries the connections of the product
    #[arg(long, value_name = "KERNEL", default_value = "auto", value_parser = ["auto", "epoll", "uring"])]
    kernel: String,
    /// A built `fourtuple` to measure instead of this workspace's
    #[arg(long, value_name = "BINARY")]
    product: Option<PathBuf>,
    /// Writes the numbers as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What came out.
#[derive(Debug)]
struct Outcome {
    sent: u64,
    delivered: u64,
    duplicated: u64,
    unexpected: u64,
    /// Batches that found a mailbox full; what was left of them was sent again.
    stopped: u64,
    /// From the first request to the last delivery.
    took: Duration,
    cpu: Duration,
}

/// Runs the measurement and prints it. The exit code is a failure when a message was lost or came too often;
/// a missed target is only printed, as it may be the machine's.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::on_signals()?;
    let binary = product::binary(options.product.as_deref())?;
    let admin = free_address()?;
    let arguments = [
        "serve".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        format!("--admin-listen={admin}"),
        format!("--kernel={}", options.kernel),
        "--shards=2".to_owned(),
    ]
    .map(OsString::from);
    let server = Leashed::spawn(&binary, &arguments, Pages::AsItShips)?;
    let address = server.announced_addr()?;
    let machine = Machine::read()?;
    let outcome = measure(options, &server, address, admin, &interrupt)?;
    println!(
        "{} members, {} backends, batches of {}, 128 bytes each, {} s; {machine}{}\n",
        options.members,
        options.backends,
        grouped(options.batch.into(), 0),
        options.seconds,
        if cfg!(debug_assertions) {
            "; DEBUG BUILD, the numbers mean nothing"
        } else {
            ""
        },
    );
    print!("{}", outcome.render());
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&outcome.to_json())?;
        std::fs::write(path, text + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if outcome.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn measure(
    options: &Options,
    server: &Leashed,
    address: SocketAddrV4,
    admin: SocketAddrV4,
    interrupt: &Interrupt,
) -> anyhow::Result<Outcome> {
    let arrived = Arc::new(AtomicU64::new(0));
    let topics = 0..options.members as usize;
    let members = topics.map(|topic| member::Member::join(address, topic, Arc::clone(&arrived)));
    let members: Vec<_> = members.collect::<anyhow::Result<_>>()?;
    let cpu = cpu_time(server.pid())?;
    let began = Instant::now();
    let until = began + Duration::from_secs(options.seconds);
    let backends: Vec<_> = (0..options.backends)
        .map(|number| {
            let topics = (number..options.members).step_by(options.backends as usize);
            let topics: Vec<_> = topics.map(|topic| topic as usize).collect();
            let batch = options.batch as usize;
            thread::spawn(move || backend::publish(admin, &topics, batch, until))
        })
        .collect();
    let mut all = Sent::default();
    for backend in backends {
        let sent = backend.join().map_err(|_| anyhow!("a backend failed"))??;
        all.messages += sent.messages;
        all.stopped += sent.stopped;
    }
    let deadline = Instant::now() + LAST_DELIVERIES;
    while arrived.load(Ordering::Relaxed) < all.messages && Instant::now() < deadline {
        interrupt.pause(Duration::from_millis(1))?;
    }
    let took = began.elapsed();
    let cpu = cpu_time(server.pid())?.saturating_sub(cpu);
    let mut heard = Heard::default();
    for member in members {
        heard.add(&member.leave()?);
    }
    Ok(Outcome {
        sent: all.messages,
        delivered: heard.delivered,
        duplicated: heard.duplicated,
        unexpected: heard.unexpected,
        stopped: all.stopped,
        took,
        cpu,
    })
}

impl Outcome {
    fn per_second(&self) -> f64 {
        self.delivered as f64 / self.took.as_secs_f64()
    }

    const fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.delivered)
    }

    const fn is_clean(&self) -> bool {
        self.lost() == 0 && self.duplicated == 0 && self.unexpected == 0 && self.sent > 0
    }

    fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (self.sent.max(1) as f64)
    }

    fn render(&self) -> String {
        let verdict = if self.per_second() >= TARGET_PER_SECOND {
            "met"
        } else {
            "NOT MET"
        };
        let clean = if self.is_clean() { "met" } else { "NOT MET" };
        let count = |count: u64| grouped(count as f64, 0);
        format!(
            "| number | value | target |\n|---|---:|---:|\n\
             | published and delivered messages per second | {} | ≥ {} {verdict} |\n\
             | messages | {} | |\n\
             | lost, duplicated, unexpected | {}, {}, {} | 0 {clean} |\n\
             | batches stopped by a full mailbox and gone on with | {} | |\n\
             | server CPU per message, µs | {} | |\n",
            grouped(self.per_second(), 0),
            grouped(TARGET_PER_SECOND, 0),
            count(self.sent),
            count(self.lost()),
            count(self.duplicated),
            count(self.unexpected),
            count(self.stopped),
            grouped(self.cpu_micros(), 2),
        )
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "messages_per_second": self.per_second(),
            "met": self.per_second() >= TARGET_PER_SECOND,
            "sent": self.sent,
            "delivered": self.delivered,
            "lost": self.lost(),
            "duplicated": self.duplicated,
            "unexpected": self.unexpected,
            "stopped": self.stopped,
            "cpu_us_per_message": self.cpu_micros(),
        })
    }
}

/// What is promised on two cores.
const TARGET_PER_SECOND: f64 = 50_000.0;
/// How long to wait for what is still on its way when all is published.
const LAST_DELIVERIES: Duration = Duration::from_secs(10);

/// The topic of a number.
fn topic(number: usize) -> String {
    format!("room:{number}")
}

/// What precedes the number of a message in its payload.
const BODY: &str = r#"{"body":""#;
/// Digits of the number of a message, with zeros in front.
const DIGITS: usize = 8;

/// What follows the number of a message in its payload of 128 bytes and their name.
fn padding() -> String {
    "x".repeat(128 - DIGITS) + "\"}"
}
