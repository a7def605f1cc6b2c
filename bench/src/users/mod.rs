//! What the virtual users of a script cost: bytes while they are idle, and processor time for each step.
//!
//! ```text
//!  connect–join–think:  crowd ── arrive ── all joined ── rest ── memory, and a window of holding
//!  sends:               crowd ── all connected ── window: frames at the sink, processor time of the crowd
//! ```
//!
//! Both ends share the machine, so steps are divided by the crowd's own processor time and not by the clock.

mod report;
mod sink;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use self::report::Results;
use crate::address::free_address;
use crate::folder::Folder;
use crate::interrupt::Interrupt;
use crate::leash::{Leashed, Pages};
use crate::measure::{self, Machine};
use crate::product::{self, Carrier, Product};
use crate::witness::Witness;

/// What is measured, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Users of the connect–join–think script
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    users: u32,
    /// Of them that arrive per second
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Users of the script of sends
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    senders: u32,
    /// Seconds of each window
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    window_s: u64,
    /// Rounds; each starts everything afresh
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// What carries the connections of both ends
    #[arg(long, value_enum, default_value_t = Carrier::Uring)]
    kernel: Carrier,
    /// A built `fourtuple` to measure instead of this workspace's
    #[arg(long, value_name = "BINARY")]
    product: Option<PathBuf>,
    /// Where every sample is written as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Users that are joined and think.
#[derive(Debug, Clone, Copy)]
struct Idle {
    users: u64,
    /// The whole program's own memory.
    memory_bytes: u64,
    /// The same before the users arrived.
    empty_bytes: u64,
    /// Its processor time over a window, for each second of it.
    cpu: Duration,
}

/// A window of steps.
#[derive(Debug, Clone, Copy)]
struct Steps {
    count: u64,
    took: Duration,
    /// Processor time of the crowd meanwhile.
    cpu: Duration,
}

/// Scripts of sends: what they are called, and their step.
fn sends() -> [(&'static str, Value); 2] {
    [
        ("a constant text", json!({"send": "0123456789abcdef"})),
        (
            "a template",
            json!({"send": {"user": "{{ $randomString(8) }}", "number": "{{ $loopCount }}"}}),
        ),
    ]
}

/// A crowd that has not grown for so long will not.
const STALL: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// After the last join, until its buffers are given back.
const REST: Duration = Duration::from_secs(2);
/// Seconds before the first user arrives.
const PAUSE_S: u64 = 2;
/// Longer than any measurement; the bench ends it.
const STAY_S: u32 = 3_600;

/// Runs the measurement and prints it. The exit code is a failure when a crowd was not whole.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::on_signals()?;
    let folder = Folder::make()?;
    let product = Product::configure(product::binary(options.product.as_deref())?, folder.path())?;
    let machine = Machine::read()?;
    let bench = Bench {
        options,
        product,
        folder,
        interrupt,
    };
    let mut results = Results::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}: users that think", options.rounds);
        results.idle.push(bench.idle()?);
        for (name, step) in sends() {
            eprintln!("round {round} of {}: sends of {name}", options.rounds);
            let sample = bench.steps(step)?;
            results.steps.entry(name).or_default().push(sample);
        }
    }
    print!("{}", results.render(options, &machine));
    if let Some(path) = &options.json {
        let json = results.to_json(&machine);
        fs::write(path, serde_json::to_string_pretty(&json)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut idle = results.idle.iter();
    let is_whole = idle.all(|one| one.users >= options.users.into());
    Ok(if is_whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What every measurement needs.
struct Bench<'a> {
    options: &'a Options,
    product: Product,
    folder: Folder,
    interrupt: Interrupt,
}

impl Bench<'_> {
    /// Lets users connect, join and think, and weighs them.
    fn idle(&self) -> anyhow::Result<Idle> {
        let (users, rate) = (self.options.users, self.options.rate);
        let admin = free_address()?;
        let kernel = self.options.kernel;
        let more = [
            format!("--kernel={}", kernel.name()),
            format!("--max-connections={users}"),
        ];
        let server = self.product.serve_watched(admin, &more)?;
        // The pause is for weighing the crowd before anybody is there.
        let mut crowd = self.crowd(&json!({
            "config": {
                "target": format!("ws://{}/socket", server.announced_addr()?),
                "phases": [
                    {"pause": PAUSE_S},
                    {"duration": users.div_ceil(rate), "arrivalCount": users},
                ],
            },
            "scenarios": [{
                "engine": "phoenix",
                "flow": [{"join": {"topic": "room:crowd"}}, {"think": STAY_S}],
            }],
        }))?;
        let pid = crowd.pid();
        self.interrupt.pause(Duration::from_secs(PAUSE_S) / 2)?;
        let empty_bytes = measure::anonymous_bytes(pid)?;
        let mut witness = Witness::of(admin)?;
        let (mut joined, mut grown) = (0, Instant::now());
        while joined < u64::from(users) && grown.elapsed() < STALL {
            self.check(&mut crowd)?;
            let seen = witness.look()?;
            if seen.joined > joined {
                (joined, grown) = (seen.joined, Instant::now());
            }
        }
        self.interrupt.pause(REST)?;
        let before = measure::cpu_time(pid)?;
        let window = Instant::now();
        self.interrupt.pause(self.window())?;
        let cpu = measure::cpu_time(pid)?.saturating_sub(before);
        let took = window.elapsed();
        Ok(Idle {
            users: joined.min(witness.look()?.there),
            memory_bytes: measure::anonymous_bytes(pid)?,
            empty_bytes,
            cpu: cpu.div_f64(took.as_secs_f64()),
        })
    }

    /// Lets users send as fast as they can, and counts what comes.
    fn steps(&self, step: Value) -> anyhow::Result<Steps> {
        let (sink, counts) = sink::listen()?;
        let senders = self.options.senders;
        let mut crowd = self.crowd(&json!({
            "config": {
                "target": format!("ws://{sink}/"),
                "phases": [{"duration": 1, "arrivalCount": senders}],
            },
            "scenarios": [{"engine": "ws", "flow": [{"loop": [step], "count": -1}]}],
        }))?;
        let start = Instant::now();
        while counts.opened.load(Relaxed) < senders.into() {
            if start.elapsed() > STALL {
                bail!("not all users connect; it says:{}", crowd.last_words());
            }
            self.check(&mut crowd)?;
        }
        self.interrupt.pause(REST)?;
        let (window, cpu) = (Instant::now(), measure::cpu_time(crowd.pid())?);
        let before = counts.frames.load(Relaxed);
        self.interrupt.pause(self.window())?;
        self.check(&mut crowd)?;
        Ok(Steps {
            count: counts.frames.load(Relaxed) - before,
            took: window.elapsed(),
            cpu: measure::cpu_time(crowd.pid())?.saturating_sub(cpu),
        })
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.options.window_s)
    }

    /// Starts a crowd with this script.
    fn crowd(&self, script: &Value) -> anyhow::Result<Leashed> {
        let path = self.folder.path().join("users.json");
        fs::write(&path, script.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        let kernel = format!("--kernel={}", self.options.kernel.name());
        let arguments: [OsString; 4] =
            ["load".into(), path.into(), kernel.into(), "--quiet".into()];
        Leashed::spawn(self.product.binary(), &arguments, Pages::AsItShips)
    }

    /// Waits for a moment.
    ///
    /// # Errors
    ///
    /// When the crowd has ended, or the bench is to.
    fn check(&self, crowd: &mut Leashed) -> anyhow::Result<()> {
        self.interrupt.pause(LOOK)?;
        if crowd.ended()?.is_some() {
            bail!("the crowd has ended early; it says:{}", crowd.last_words());
        }
        Ok(())
    }
}
