//! `fourtuple doctor`: what this machine allows, what a program uses of it, and what to change.
//!
//! Exit status: 0 when the connections fit, 1 when they do not, 2 when it could not tell or was asked
//! for something that cannot be.

mod fix;
mod live;
mod watch;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use capacity::{Bytes, Demand, Diagnosis, Grouped, Kernel, Side, Survey, Verdict, plan::Program};
use clap::{
    Arg, ArgAction, ArgMatches, Command,
    builder::{PossibleValuesParser, TypedValueParser as _},
    value_parser,
};
use load::{Rate, parse_duration};
use serde_json::json;

/// The most connections that the search for "how many fit" looks at.
const CONNECTIONS_MAX: u64 = 1 << 32;

/// The flags of the subcommand.
pub(crate) fn command() -> Command {
    Command::new("doctor")
        .about("Says what limits connections on this machine, and what to change")
        .after_help(
            "Examples:\n  \
             fourtuple doctor                                   how many this machine can hold\n  \
             fourtuple doctor --connections 2000000 --role both what is in the way of two million\n  \
             fourtuple doctor --port 4000                       what the server on port 4000 uses\n  \
             fourtuple doctor --port 4000 --watch               the same, live\n\n\
             Exit status: 0 if the connections fit, 1 if they do not, 2 if it could not tell.",
        )
        .args(demand_args())
        .args(program_args())
        .args(action_args())
}

fn demand_args() -> [Arg; 7] {
    [
        Arg::new("connections")
            .long("connections")
            .short('c')
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..=CONNECTIONS_MAX))
            .help("Connections that should be held [default: looks for the most that fit]"),
        Arg::new("role")
            .long("role")
            .value_name("END")
            .value_parser(
                PossibleValuesParser::new(["server", "client", "both"]).map(|role| {
                    match role.as_str() {
                        "server" => Side::Server,
                        "client" => Side::Client,
                        _ => Side::Both,
                    }
                }),
            )
            .help("Which end of them is on this machine [default: server]"),
        Arg::new("program")
            .long("program")
            .value_name("WHOSE")
            .value_parser(PossibleValuesParser::new(["any", "fourtuple"]))
            .help(
                "Whose they are: any program with one table of descriptors, or fourtuple, whose shards \
                 have their own [default: any]",
            ),
        Arg::new("program-bytes")
            .long("program-bytes")
            .value_name("BYTES")
            .value_parser(value_parser!(Bytes))
            .help(
                "Memory of the program itself for each connection, such as 41K; the kernel's is \
                 counted besides [default: 0]",
            ),
        Arg::new("sources")
            .long("sources")
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..=65_536))
            .help("Source addresses of the client [default: those of this machine]"),
        Arg::new("destinations")
            .long("destinations")
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..=65_536))
            .help("(Address, port) pairs that the client dials [default: 1]"),
        Arg::new("connect-rate")
            .long("connect-rate")
            .value_name("RATE")
            .value_parser(value_parser!(Rate))
            .help("Connections opened per second [default: 5000/s]"),
    ]
}

fn program_args() -> [Arg; 2] {
    [
        Arg::new("pid")
            .long("pid")
            .value_name("PID")
            .value_parser(value_parser!(u32).range(1..))
            .conflicts_with_all(["port", "connections", "fix"])
            .help("Looks at this process: its limits, and what it uses of them"),
        Arg::new("port")
            .long("port")
            .value_name("PORT")
            .value_parser(value_parser!(u16).range(1..))
            .conflicts_with_all(["connections", "fix"])
            .help("Looks at the process that listens on this port"),
    ]
}

fn action_args() -> [Arg; 7] {
    [
        Arg::new("limits")
            .long("limits")
            .action(ArgAction::SetTrue)
            .exclusive(true)
            .help("Prints every limit that it knows, with its words, as Markdown"),
        Arg::new("watch")
            .long("watch")
            .action(ArgAction::SetTrue)
            .conflicts_with("connections")
            .help("Looks again and again, each limit as a gauge with its rate of approach"),
        Arg::new("interval")
            .long("interval")
            .value_name("TIME")
            .value_parser(|text: &str| parse_duration(text))
            .requires("watch")
            .help("Time between two looks [default: 1s]"),
        Arg::new("fix")
            .long("fix")
            .action(ArgAction::SetTrue)
            .requires("connections")
            .conflicts_with("watch")
            .help("Prints the changes and asks before it applies what can be applied now"),
        Arg::new("yes")
            .long("yes")
            .action(ArgAction::SetTrue)
            .requires("fix")
            .help("Applies them without asking"),
        Arg::new("undo")
            .long("undo")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .requires("fix")
            .help("Where the values of before are written [default: fourtuple-undo.conf]"),
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .conflicts_with_all(["watch", "fix"])
            .help("Prints JSON for programs"),
    ]
}

/// Runs the subcommand.
///
/// # Errors
///
/// What was asked cannot be answered; the caller prints why and exits with status 2.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    if matches.get_flag("limits") {
        print(&capacity::limit::page())?;
        return Ok(ExitCode::SUCCESS);
    }
    let program = matches.get_one::<u32>("pid").copied();
    let port = matches.get_one::<u16>("port").copied();
    if matches.get_flag("watch") {
        let interval = matches.get_one("interval").copied();
        let interval = interval.unwrap_or(Duration::from_secs(1));
        return watch::run(program, port, interval);
    }
    if program.is_some() || port.is_some() {
        return live::run(program, port, matches.get_flag("json"));
    }
    let survey = Survey::read();
    let Some(connections) = matches.get_one::<u64>("connections").copied() else {
        return print_most(matches, &survey);
    };
    let demand = demand(matches, connections);
    let diagnosis = Diagnosis::of(&survey, &demand);
    if matches.get_flag("fix") {
        return fix::run(&diagnosis, matches.get_flag("yes"), matches.get_one("undo"));
    }
    if matches.get_flag("json") {
        print(&format!("{:#}\n", json(&diagnosis)))?;
    } else {
        print(&diagnosis.to_string())?;
    }
    Ok(exit_code(diagnosis.fits()))
}

/// 0, 1 or 2 as the help says.
fn exit_code(fits: Option<bool>) -> ExitCode {
    match fits {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::from(super::FAILED),
        None => ExitCode::from(super::MISUSED),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot print the diagnosis")
}

fn demand(matches: &ArgMatches, connections: u64) -> Demand {
    let role = matches.get_one("role").copied().unwrap_or(Side::Server);
    let bytes = matches.get_one::<Bytes>("program-bytes");
    let program = match matches.get_one::<String>("program").map(String::as_str) {
        Some("fourtuple") => Program::Fourtuple,
        _ => Program::Other {
            bytes_per_connection: bytes.map_or(0, |bytes| bytes.0),
        },
    };
    let mut demand = Demand::new(connections, role, program);
    demand.kernel = carrier();
    demand.sources = matches.get_one("sources").copied();
    if let Some(destinations) = matches.get_one("destinations") {
        demand.destinations = *destinations;
    }
    if let Some(rate) = matches.get_one::<Rate>("connect-rate") {
        demand.connects_per_second = per_second(*rate);
    }
    demand
}

/// Whole connections in a second.
pub(super) fn per_second(rate: Rate) -> u64 {
    rate.count_before(Duration::from_secs(1))
}

/// What would carry connections of ours here.
pub(super) fn carrier() -> Kernel {
    let in_use = server::KernelChoice::Auto.settle();
    in_use.map_or(Kernel::Epoll, |in_use| in_use.kernel())
}

/// How many connections of each kind this machine holds at most, and what binds then.
fn print_most(matches: &ArgMatches, survey: &Survey) -> anyhow::Result<ExitCode> {
    let bytes = matches.get_one::<Bytes>("program-bytes");
    let any = Program::Other {
        bytes_per_connection: bytes.map_or(0, |bytes| bytes.0),
    };
    let programs = [("any program", any), ("fourtuple", Program::Fourtuple)];
    let asked = matches.get_one::<Side>("role").copied();
    let mut rows = Vec::new();
    let roles = [Side::Server, Side::Client, Side::Both].into_iter();
    for role in roles.filter(|role| asked.is_none_or(|asked| asked == *role)) {
        for (name, program) in programs {
            let mut demand = Demand {
                role,
                program,
                ..demand(matches, 1)
            };
            let most = Diagnosis::most(survey, &demand, CONNECTIONS_MAX);
            demand.connections = most + 1;
            let beyond = Diagnosis::of(survey, &demand);
            let limit = beyond.binding().map_or("", |finding| finding.limit.name());
            rows.push((role, name, most, limit));
        }
    }
    if matches.get_flag("json") {
        let rows = rows.iter().map(|(role, program, most, limit)| {
            json!({"role": role.to_string(), "program": program, "connections_max": most, "limit": limit})
        });
        print(&format!(
            "{:#}\n",
            json!({"holds": rows.collect::<Vec<_>>()})
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::from("this machine holds at most\n\n");
    for (role, program, most, limit) in &rows {
        let end = match role {
            Side::Server => "as server",
            Side::Client => "as client",
            Side::Both => "both ends",
        };
        text += &format!(
            "  {end:<10} {program:<12} {:>13}   then {limit}\n",
            Grouped(*most)
        );
    }
    text += "\n`fourtuple doctor --connections N --role server|client|both` says what N need of each limit.\n";
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A diagnosis for programs.
pub(super) fn json(diagnosis: &Diagnosis) -> serde_json::Value {
    let findings = diagnosis.findings().iter().map(|finding| {
        let reading = finding.reading.as_ref();
        json!({
            "limit": finding.limit.name(),
            "verdict": finding.verdict.to_string().to_lowercase(),
            "value": reading.ok().map(|it| it.value),
            "text": reading.ok().map(|it| it.text.clone()),
            "used": reading.ok().and_then(|it| it.used),
            "needed": finding.need,
            "unit": finding.limit.unit().to_string(),
            "unknown": reading.err().map(ToString::to_string),
            "read_from": finding.limit.read_from(),
            "because": finding.why,
            "symptom": finding.limit.symptom(),
            "remedy": finding.remedy(),
            "change": finding.change.as_ref().map(|change| change.to.clone()),
        })
    });
    let is_bad = |verdict| matches!(verdict, Verdict::Stops | Verdict::Slows);
    json!({
        "connections": diagnosis.demand.connections,
        "role": diagnosis.demand.role.to_string(),
        "fits": diagnosis.fits(),
        "binding": diagnosis.binding().map(|finding| finding.limit.name()),
        "wanting": diagnosis.findings().iter().filter(|it| is_bad(it.verdict)).count(),
        "findings": findings.collect::<Vec<_>>(),
    })
}
