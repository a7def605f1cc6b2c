//! Puts the product, the peers and the bare floor side by side, on this machine, in one run.
//!
//! `cargo run --release -p fourtuple-bench` prints the table; `bench/README.md` says what its
//! rows mean.

#![forbid(unsafe_code)]

mod address;
mod cargo;
mod client;
mod compare;
mod events;
mod floor;
mod folder;
mod generators;
mod headline;
mod interrupt;
mod kind;
mod launch;
mod leash;
mod measure;
mod metric;
mod numbers;
mod peers;
mod product;
mod publish;
mod round;
mod session;
mod standing;
mod table;
mod users;
mod viewers;
mod witness;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use leash::Death;
use session::Workload;

/// Measures servers against the bare floor and prints the table.
#[derive(Debug, clap::Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    options: compare::Options,
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
        death: Death,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Serves a workload as the floor
    #[command(hide = true)]
    Server { workload: Workload },
    /// Measures what people who look at the dashboard cost a busy server
    Viewers(viewers::Options),
    /// Measures messages that a backend publishes over the HTTP API, a second
    Publish(publish::Options),
    /// Puts load generators side by side: the same crowd against the same server
    Generators(generators::Options),
    /// Measures what the virtual users of a script cost
    Users(users::Options),
    #[command(flatten)]
    Headline(headline::Part),
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Leash {
            bench,
            small_pages,
            death,
            program,
            arguments,
        }) => {
            leash::leash(bench, small_pages, death, &program, &arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Part::Server { workload }) => {
            floor::serve(workload)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Part::Viewers(options)) => viewers::run(&options),
        Some(Part::Publish(options)) => publish::run(&options),
        Some(Part::Generators(options)) => generators::run(&options),
        Some(Part::Users(options)) => users::run(&options),
        Some(Part::Headline(part)) => headline::main(part),
        None => compare::run(&cli.options),
    }
}
