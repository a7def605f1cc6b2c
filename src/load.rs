//! `fourtuple load`: opens a crowd of WebSocket clients, holds it, drives it and reports.
//!
//! Exit status: 0 when everything that was asked was held, 1 when not, 2 when it was asked for something
//! that cannot be, 3 when this machine could not generate the load.

mod agent;
mod compare;
mod flags;
mod onlookers;
mod output;
mod screen;
mod script;
mod search;
mod tls;
mod view;

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};
use load::{EventLines, Interrupt, LiveLine, Options, PlainLines, Progress, Report, Target};

use self::{onlookers::Onlookers, output::Outputs, script::Aim};

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
             fourtuple load ws://127.0.0.1:4000/socket --join room:lobby --search connections \
             --until 'p99<200ms'\n  \
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
        .args(onlookers::args())
        .args(script::args())
        .args(agent::coordinator_args())
        .subcommand(agent::command())
        .args(search::args())
        .args(tls::args())
}

/// Where a line is written for each thing that happens.
fn events(matches: &ArgMatches) -> anyhow::Result<Box<dyn io::Write>> {
    let Some(path) = matches.get_one::<PathBuf>("events") else {
        return Ok(Box::new(io::sink()));
    };
    let file = fs::File::create(path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Box::new(file))
}

/// What the exit status is, once it is known whether everything could be told.
type Status = Box<dyn FnOnce(bool) -> ExitCode>;

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
    let search = search::asked(matches)?;
    let options = match aim {
        Aim::Script(path) => {
            return script::run(path, matches, agents.as_ref(), search.as_ref());
        }
        Aim::Url(target) => options(target, matches)?,
    };
    let outputs = Outputs::open(matches)?;
    let events = events(matches)?;
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let title = options.target.to_string();
    let (mut onlookers, progress) = Onlookers::gather(matches, title, &interrupt, plain)?;
    let mut progress = EventLines::new(events, progress);
    let (is_told, status): (bool, Status) = if let Some(search) = search {
        let came = load::search(
            &options,
            &search,
            agents.as_ref(),
            &mut progress,
            &interrupt,
        );
        onlookers.leave();
        match came {
            Ok(report) => {
                let run = report.run.as_ref();
                let json = || run.map_or_else(|| "null".to_owned(), Report::to_json);
                let is_told = outputs.write(&report, &report.record(), json);
                let (found, cut) = (report.found, report.interrupted);
                let status = move |is_told| search::status(&found, cut, is_told);
                (is_told, Box::new(status))
            }
            Err(error) => return search::failed(error),
        }
    } else {
        let came = match &agents {
            Some(agents) => load::run_on_agents(options, agents, &mut progress, &interrupt),
            None => load::run(options, &mut progress, &interrupt),
        };
        onlookers.leave();
        match came {
            Ok(report) => {
                let is_told = outputs.write(&report, &report.record(), || report.to_json());
                let status = move |is_told| output::status(report.held, is_told, &report.limits);
                (is_told, Box::new(status))
            }
            Err(error) if output::is_ours(&error) => return Ok(output::not_generated(&error)),
            Err(error) => return Err(error.into()),
        }
    };
    let followed = progress.result().context("cannot write the events");
    if let Err(error) = &followed {
        eprintln!("fourtuple: {error:#}");
    }
    Ok(status(is_told && followed.is_ok()))
}

/// What is asked of a run against a URL, with what its flags name.
fn options(target: &Target, matches: &ArgMatches) -> anyhow::Result<Options> {
    tls::check_flags(matches, [target])?;
    let mut options = flags::options(target.clone(), matches)?;
    options.tls = tls::read(matches)?;
    options.watch = output::watched(matches)?;
    Ok(options)
}

/// Progress where there is no view: a line that is written over and over on a terminal, else many.
fn plain() -> Box<dyn Progress> {
    if io::stderr().is_terminal() {
        Box::new(LiveLine::new())
    } else {
        Box::new(PlainLines::new(io::stderr()))
    }
}
