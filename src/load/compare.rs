//! `fourtuple load compare`: says what changed between runs, and whether it is more than noise.
//!
//! Exit status: 0 when nothing got worse, 1 when something did, 2 when the reports cannot be compared.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use load::{Record, compare};

/// The flags of the subcommand.
pub(super) fn command() -> Command {
    let files = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE")
            .num_args(1..)
            .value_parser(value_parser!(PathBuf))
            .conflicts_with("files")
            .help(help)
    };
    Command::new("compare")
        .about("Says what changed between runs of the same plan, and whether it is more than noise")
        .after_help(
            "Reports are those that `fourtuple load … --output FILE` wrote. With three and more on each\n\
             side the spread of the runs is what a change must exceed, else that of their periods.\n\n\
             Exit status: 0 if nothing got worse, 1 if something did, 2 if they cannot be compared.",
        )
        .arg(
            Arg::new("files")
                .value_name("FILE")
                .num_args(2..)
                .value_parser(value_parser!(PathBuf))
                .help("The report of the run before, and those of the runs after"),
        )
        .args([
            files("base", "Reports of the runs before").requires("new"),
            files("new", "Reports of the runs after").requires("base"),
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .help("Compare runs of different plans, too"),
            Arg::new("compare-json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the comparison as JSON"),
        ])
        .arg_required_else_help(true)
}

/// Runs the subcommand.
///
/// # Errors
///
/// The reports cannot be read or compared; the caller prints why and exits with status 2.
pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let named = |name: &str| -> Vec<PathBuf> {
        matches
            .get_many(name)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    };
    let (before, after) = match named("files").split_first() {
        Some((first, rest)) => (vec![first.clone()], rest.to_vec()),
        None => (named("base"), named("new")),
    };
    if before.is_empty() || after.is_empty() {
        bail!("expected two reports, or --base FILE... --new FILE...");
    }
    let (before, after) = (read(&before)?, read(&after)?);
    let comparison = compare(&before, &after, matches.get_flag("force"))?;
    let text = if matches.get_flag("compare-json") {
        comparison.to_json()
    } else {
        comparison.to_string()
    };
    writeln!(io::stdout(), "{text}").context("cannot print the comparison")?;
    Ok(if comparison.is_worse() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Record>> {
    let read = |path: &PathBuf| {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        Record::from_json(&text).map_err(|error| anyhow!("{shown}: {error}"))
    };
    paths.iter().map(read).collect()
}
