//! Puts the product, the peers and the bare floor side by side, on this machine, in one run.
//!
//! `cargo run --release -p fourtuple-bench` prints the table; `bench/README.md` says what its
//! rows mean.

#![forbid(unsafe_code)]

mod client;
mod floor;
mod launch;
mod leash;
mod measure;
mod metric;
mod peer;
mod product;
mod round;
mod session;
mod table;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use launch::{Kind, Programs};
use measure::Machine;
use product::Product;
use round::Plan;
use session::Workload;
use table::Results;

/// Measures servers against the bare floor and prints the table.
#[derive(Debug, clap::Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    /// Connections that join one topic
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(3..=50_000))]
    connections: u32,
    /// Times that every server is measured; the servers take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Broadcasts to all connections in a round
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    broadcasts: u32,
    /// Milliseconds of push and reply in a round
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    echo_ms: u64,
    /// Servers to measure; ratios need the floor
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    servers: Vec<Kind>,
    /// A built `fourtuple` to measure instead of this workspace's
    #[arg(long, value_name = "BINARY")]
    product: Option<PathBuf>,
    /// Writes all samples to this file
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the bench does in the processes that it starts itself.
#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Becomes a program that ends with the bench
    #[command(hide = true)]
    Leash {
        bench: u32,
        #[arg(action = clap::ArgAction::Set)]
        small_pages: bool,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Serves a workload
    #[command(hide = true)]
    Server { kind: Kind, workload: Workload },
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Leash {
            bench,
            small_pages,
            program,
            arguments,
        }) => {
            leash::leash(bench, small_pages, &program, &arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Part::Server { kind, workload }) => {
            launch::serve(kind, workload)?;
            Ok(ExitCode::SUCCESS)
        }
        None => compare(&cli),
    }
}

/// Runs all rounds and prints the table. The exit code is a failure when a message was lost or
/// came too often; a missed target is only printed, as it may be the machine's.
fn compare(cli: &Cli) -> anyhow::Result<ExitCode> {
    let plan = Plan {
        connections: cli.connections as usize,
        broadcasts: cli.broadcasts,
        echo_connections: ECHO_CONNECTIONS.min(cli.connections as usize),
        echo_stretch: Duration::from_millis(cli.echo_ms),
    };
    require_descriptors(&plan)?;
    let product = if cli.servers.contains(&Kind::Fourtuple) {
        Some(Product::prepare(cli.product.as_deref())?)
    } else {
        None
    };
    let programs = Programs { product };
    let machine = Machine::read()?;

    let mut results = Results::new(plan, &cli.servers);
    for round in 1..=cli.rounds {
        eprintln!("round {round} of {}", cli.rounds);
        results.add(round::run(&programs, &cli.servers, &plan)?);
    }

    println!(
        "{} connections, {} broadcasts; median (least–greatest) of {} rounds; {machine}{}",
        cli.connections,
        cli.broadcasts,
        cli.rounds,
        if cfg!(debug_assertions) {
            "; DEBUG BUILD, the numbers mean nothing"
        } else {
            ""
        },
    );
    print!("{}", results.render());
    if let Some(path) = &cli.json {
        let text = serde_json::to_string_pretty(&results.to_json(&machine))?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if results.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Raises the soft limit on descriptors to the hard one, which children inherit, or says why that
/// is not enough.
fn require_descriptors(plan: &Plan) -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .context("cannot raise the limit on descriptors")?;
    let needed = plan.connections as u64 + DESCRIPTORS_SPARE;
    match maximum {
        Some(most) if most < needed => bail!(
            "{} connections need {needed} descriptors in the server and as many in the crowd; \
             the hard limit of RLIMIT_NOFILE is {most}",
            plan.connections
        ),
        _ => Ok(()),
    }
}

const ECHO_CONNECTIONS: usize = 256;
/// Descriptors of a process beside its connections, rounded up generously.
const DESCRIPTORS_SPARE: u64 = 100;
