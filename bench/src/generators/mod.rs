//! Load generators side by side: each opens the same crowd of Phoenix clients against the same server, which
//! join one topic and stay.
//!
//! ```text
//!  start ── first open ────────── all joined ──── hold window ── end
//!    │  the program comes up │   the crowd opens  │  it costs so much to keep
//! ```
//!
//! What is reached the server counts, not the generator; what it costs, the kernel does.

mod generator;
mod report;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use self::generator::{Generator, Job, Shop};
use self::report::Results;
use crate::address::free_address;
use crate::folder::Folder;
use crate::interrupt::Interrupt;
use crate::measure::{self, Machine};
use crate::product::{self, Product};
use crate::witness::Witness;

/// What is asked of each generator.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connections of the crowd
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    connections: u32,
    /// Connections opened per second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Seconds over which the cost of holding is measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    hold_s: u64,
    /// Rounds, in each of which every generator has a turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Generators that are measured, in the order of the table
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Generator::ALL)]
    generators: Vec<Generator>,
    /// Installs what a generator needs and this machine lacks
    #[arg(long)]
    install: bool,
    /// A built `fourtuple` to measure instead of this workspace's
    #[arg(long, value_name = "BINARY")]
    product: Option<PathBuf>,
    /// Where every sample is written as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One turn of a generator.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Joins that the server has granted.
    reached: u64,
    /// From its start to the first open WebSocket.
    started: Duration,
    /// From that to the last join.
    opened: Duration,
    /// Its processor time from its start to the last join.
    opening_cpu: Duration,
    /// Its processor time over the hold window, for each second of it.
    holding_cpu: Duration,
    /// Its own memory at the end of the window.
    memory_bytes: u64,
}

/// A crowd that has not grown for so long will not.
const STALL: Duration = Duration::from_secs(30);
/// How often the server is asked.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the measurement and prints the table. The exit code is a failure when one of the product's own crowds
/// was not whole.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::on_signals()?;
    let folder = Folder::make()?;
    let product = Product::configure(product::binary(options.product.as_deref())?, folder.path())?;
    let shop = Shop::prepare(&options.generators, options.install)?;
    let machine = Machine::read()?;
    let mut results = Results::new(&options.generators);
    for round in 1..=options.rounds {
        for &generator in &options.generators {
            eprintln!("round {round} of {}: {}", options.rounds, generator.name());
            let sample = turn(options, generator, &product, &shop, &folder, &interrupt);
            results.add(
                generator,
                sample.with_context(|| format!("{} has failed", generator.name()))?,
            );
        }
    }
    let (connections, rate) = (options.connections, options.rate);
    print!("{}", results.render(connections, rate, &machine));
    if let Some(path) = &options.json {
        let json = results.to_json(connections, rate, options.hold_s, &machine);
        fs::write(path, serde_json::to_string_pretty(&json)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if results.is_whole(connections) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Lets one generator open its crowd against a fresh server, and measures it.
fn turn(
    options: &Options,
    generator: Generator,
    product: &Product,
    shop: &Shop,
    folder: &Folder,
    interrupt: &Interrupt,
) -> anyhow::Result<Sample> {
    let admin = free_address()?;
    // Tsung writes an origin of its own, which is that of no page.
    let more = ["--shards=2", "--check-origin=off"].map(str::to_owned);
    let server = product.serve_watched(admin, &more)?;
    let job = Job {
        server: server.announced_addr()?,
        connections: options.connections,
        rate: options.rate,
    };
    let mut witness = Witness::of(admin)?;
    let start = Instant::now();
    let mut crowd = generator.start(&job, product, shop, folder)?;
    let pid = crowd.process().pid();
    let (mut reached, mut grown, mut first) = (0, start, None);
    let mut opening_cpu = Duration::ZERO;
    while reached < u64::from(options.connections) && grown.elapsed() < STALL {
        if crowd.process().ended()?.is_some() {
            bail!(
                "it has ended early; it says:{}",
                crowd.process().last_words()
            );
        }
        interrupt.pause(LOOK)?;
        let seen = witness.look()?;
        if seen.opened > 0 && first.is_none() {
            first = Some(Instant::now());
        }
        if seen.joined > reached {
            (reached, grown) = (seen.joined, Instant::now());
            opening_cpu = measure::cpu_time(pid)?;
        }
    }
    let first = first.with_context(|| {
        let words = crowd.process().last_words();
        format!("it has opened nothing within {STALL:?}; it says:{words}")
    })?;
    let window = Instant::now();
    let before = measure::cpu_time(pid)?;
    interrupt.pause(Duration::from_secs(options.hold_s))?;
    let holding_cpu = measure::cpu_time(pid)?.saturating_sub(before);
    let held = window.elapsed();
    let there = witness.look()?.there;
    if there < reached {
        eprintln!(
            "{} has lost {} connections",
            generator.name(),
            reached - there
        );
    }
    Ok(Sample {
        reached: reached.min(there),
        started: first - start,
        opened: grown - first,
        opening_cpu,
        holding_cpu: holding_cpu.div_f64(held.as_secs_f64()),
        memory_bytes: measure::anonymous_bytes(pid)?,
    })
}
