//! The product, the peers and the bare floor side by side: what can be chosen, and the whole run.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::folder::Folder;
use crate::interrupt::Interrupt;
use crate::kind::Kind;
use crate::launch::{Programs, Server};
use crate::leash::Pages;
use crate::measure::Machine;
use crate::peers::Peers;
use crate::product::{self, Carrier, Product};
use crate::round::{self, Plan};
use crate::session::Workload;
use crate::table::Results;

/// What is measured, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connections that join one topic
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(3..=50_000))]
    connections: u32,
    /// Times that every server is measured; the servers take turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Broadcasts to all connections in a round
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    broadcasts: u32,
    /// Milliseconds of push and reply in a round
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    echo_ms: u64,
    /// Servers to measure; ratios need the floor
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::USUAL)]
    servers: Vec<Kind>,
    /// Installs what of this machine the servers need and it lacks, with apt-get
    #[arg(long)]
    install: bool,
    /// A built `fourtuple` to measure instead of this workspace's
    #[arg(long, value_name = "BINARY")]
    product: Option<PathBuf>,
    /// Writes all samples to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Runs all rounds and prints the table. The exit code is a failure when a message was lost or
/// came too often; a missed target is only printed, as it may be the machine's.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::on_signals()?;
    let plan = Plan {
        connections: options.connections as usize,
        broadcasts: options.broadcasts,
        echo_connections: ECHO_CONNECTIONS.min(options.connections as usize),
        echo_stretch: Duration::from_millis(options.echo_ms),
    };
    require_descriptors(&plan)?;
    // Before the servers, so that it goes after them.
    let folder = Folder::make()?;
    let product = if options.servers.iter().any(|kind| kind.variant().is_some()) {
        let binary = product::binary(options.product.as_deref())?;
        Some(Product::configure(binary, folder.path())?)
    } else {
        None
    };
    let (connections_max, install) = (plan.connections, options.install);
    let peers = Peers::prepare(&options.servers, connections_max, install, folder.path())?;
    let programs = Programs { product, peers };
    let mut kinds = options.servers.clone();
    let left_out = leave_out_uring(&programs, &mut kinds);
    if let Some(reason) = &left_out {
        eprintln!("{reason}");
    }
    let machine = Machine::read()?;

    let mut results = Results::new(plan, &kinds);
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        results.add(round::run(&programs, &kinds, &plan, &interrupt)?);
    }

    println!(
        "{} connections, {} broadcasts; median (least–greatest) of {} rounds; {machine}{}\n",
        options.connections,
        options.broadcasts,
        options.rounds,
        if cfg!(debug_assertions) {
            "; DEBUG BUILD, the numbers mean nothing"
        } else {
            ""
        },
    );
    print!("{}", results.render());
    if let Some(reason) = left_out {
        println!("- {reason}");
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&results.to_json(&machine))?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if results.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Removes the variants on io_uring from `kinds` when the product does not start on it, and returns
/// what it says.
fn leave_out_uring(programs: &Programs, kinds: &mut Vec<Kind>) -> Option<String> {
    let on_uring = |kind: &Kind| {
        kind.variant()
            .is_some_and(|variant| variant.carrier == Carrier::Uring)
    };
    let first = *kinds.iter().find(|kind| on_uring(kind))?;
    let error = Server::start(programs, first, Workload::Fanout, Pages::AsItShips).err()?;
    kinds.retain(|kind| !on_uring(kind));
    Some(format!(
        "io_uring is left out, for the product does not start on it here: {error:#}"
    ))
}

/// Raises the soft limit on descriptors to the hard one, which children inherit, or says which limit is
/// too low.
fn require_descriptors(plan: &Plan) -> anyhow::Result<()> {
    let most = capacity::raise_nofile().soft;
    let needed = plan.connections as u64 + DESCRIPTORS_SPARE;
    if most < needed {
        bail!(
            "{} connections need {needed} descriptors in the server and as many in the crowd; \
             the hard limit of RLIMIT_NOFILE is {most}",
            plan.connections
        );
    }
    require_files(2 * needed, &capacity::Machine::read())
}

/// Fails when server and crowd together may not open so many files on `machine`.
fn require_files(needed: u64, machine: &capacity::Machine) -> anyhow::Result<()> {
    let Some(most) = machine.file_max.filter(|_| !machine.is_file_max_exempt) else {
        return Ok(());
    };
    let others = machine.files_open_count.unwrap_or(0);
    if most.saturating_sub(others) < needed {
        bail!(
            "server and crowd need {needed} open files; fs.file-max is {most}, and {others} are open \
             already: as root, sysctl -w fs.file-max={}",
            others + needed
        );
    }
    Ok(())
}

const ECHO_CONNECTIONS: usize = 256;
/// Descriptors of a process beside its connections, rounded up generously.
const DESCRIPTORS_SPARE: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_are_counted_for_who_is_not_exempt() {
        let machine = |file_max, is_file_max_exempt| capacity::Machine {
            file_max,
            files_open_count: Some(600),
            is_file_max_exempt,
            ..capacity::Machine::read()
        };
        for (file_max, exempt) in [(Some(1_000), false), (Some(999), true), (None, false)] {
            require_files(400, &machine(file_max, exempt)).unwrap();
        }
        let words = require_files(400, &machine(Some(999), false)).unwrap_err();
        assert!(words.to_string().ends_with("sysctl -w fs.file-max=1000"));
    }
}
