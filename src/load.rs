//! `fourtuple load`: opens a crowd of WebSocket clients, holds it, drives it and reports.
//!
//! Exit status: 0 when everything that was asked was held, 1 when not, 2 when it was asked for something
//! that cannot be, 3 when this machine could not generate the load.

mod agent;
mod compare;
mod flags;
mod output;
mod script;

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};
use load::{EventLines, Interrupt, LiveLine, PlainLines, Progress, Silent};

use self::{output::Outputs, script::Aim};

/// The flags of the subcommand; `load::Options` documents what each means.
pub(crate) fn command() -> Command {
    Command::new("load")
        .about("Opens and holds a crowd of WebSocket clients against any server")
        .after_help(
            "Examples:\n  \
             fourtuple load ws://127.0.0.1:4000/socket --connections 10000 --join room:lobby \
             --rate 5000 --hold 30s --publish 1/s\n  \
             fourtuple load ws://127.0.0.1:9001/echo --raw --connections 256 --push max\n  \
             fourtuple load scenario.yml --output report.json    an Artillery script\n  \
             fourtuple load agent --listen 0.0.0.0:7070 --secret-file secret    a machine of a crowd\n  \
             fourtuple load ws://server:4000/socket --agents a:7070,b:7070 --agent-secret-file secret\n  \
             fourtuple load compare before.json after.json       two of its reports\n\n\
             Exit status: 0 if everything asked was held, 1 if not or if a report could not be written,\n\
             2 if it was asked for something that cannot be, 3 if a limit of this machine kept it from\n\
             generating the load.",
        )
        .arg(
            Arg::new("url")
                .required(true)
                .value_name("URL|SCRIPT")
                .value_parser(value_parser!(Aim))
                .help(
                    "Server, such as ws://127.0.0.1:4000/socket (/websocket is added for Phoenix), or \
                     an Artillery script, .yml, .yaml or .json",
                ),
        )
        .subcommand(compare::command())
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true)
        .args(flags::connection_args())
        .args(flags::client_args())
        .args(flags::message_args())
        .args(output::args())
        .args(script::args())
        .args(agent::coordinator_args())
        .subcommand(agent::command())
}

/// Runs the subcommand.
///
/// # Errors
///
/// The run could not start; the caller prints why and exits with status 2. A report that could not be
/// written is told here, with status 1.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match matches.subcommand() {
        Some(("agent", matches)) => return agent::run(matches),
        Some(("compare", matches)) => return compare::run(matches),
        _ => {}
    }
    let aim: &Aim = matches.get_one("url").expect("clap requires it");
    let agents = agent::agents(matches)?;
    script::check_flags(matches, matches!(aim, Aim::Script(_)))?;
    let mut options = match aim {
        Aim::Script(path) => return script::run(path, matches, agents.as_ref()),
        Aim::Url(target) => flags::options(target.clone(), matches),
    };
    options.watch = output::watched(matches)?;
    let outputs = Outputs::open(matches)?;
    let events: Box<dyn io::Write> = match matches.get_one::<PathBuf>("events") {
        Some(path) => {
            let file = fs::File::create(path);
            Box::new(file.with_context(|| format!("cannot write {}", path.display()))?)
        }
        None => Box::new(io::sink()),
    };
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let progress: Box<dyn Progress> = if matches.get_flag("quiet") {
        Box::new(Silent)
    } else if io::stderr().is_terminal() {
        Box::new(LiveLine::new())
    } else {
        Box::new(PlainLines::new(io::stderr()))
    };
    let mut progress = EventLines::new(events, progress);
    let report = match &agents {
        Some(agents) => load::run_on_agents(options, agents, &mut progress, &interrupt),
        None => load::run(options, &mut progress, &interrupt),
    };
    let report = match report {
        Ok(report) => report,
        Err(error) if output::is_ours(&error) => return Ok(output::not_generated(&error)),
        Err(error) => return Err(error.into()),
    };
    let record = report.record();
    let is_told = outputs.write(&report, &record, || report.to_json());
    let followed = progress.result().context("cannot write the events");
    if let Err(error) = &followed {
        eprintln!("fourtuple: {error:#}");
    }
    Ok(output::status(
        report.held,
        is_told && followed.is_ok(),
        &report.limits,
    ))
}
