//! `fourtuple plan`: what a number of connections needs, on this machine and on others.
//!
//! Exit status: 0 when the plan fits, 1 when it does not, 2 when it was asked for something that cannot be.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    num::NonZero,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use capacity::{
    Bytes, Change, Demand, Diagnosis, Machine, Side, Survey,
    plan::{Answer, Clients, Destinations, Drawing, Host, Nat, Ports, Program, Question, recipe},
};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use load::{Rate, parse_duration};

/// The flags of the subcommand.
pub(crate) fn command() -> Command {
    Command::new("plan")
        .about("Says what a number of connections needs, and what binds first")
        .after_help(
            "Examples:\n  \
             fourtuple plan --connections 2000000\n  \
             fourtuple plan --connections 2000000 --client-machines 34 --server-memory 24G --svg plan.svg\n  \
             fourtuple plan --connections 500000 --nat aws-nat-gateway:8 --heartbeat 30s\n\n\
             Exit status: 0 if the plan fits, 1 if it does not, 2 if it cannot be made.",
        )
        .args(connection_args())
        .args(traffic_args())
        .args(output_args())
}

fn connection_args() -> [Arg; 8] {
    let number = || value_parser!(u64).range(1..=u64::from(u32::MAX));
    [
        Arg::new("connections")
            .long("connections")
            .short('c')
            .value_name("N")
            .required(true)
            .value_parser(number())
            .help("Connections that are to be open at once"),
        Arg::new("server-memory")
            .long("server-memory")
            .value_name("BYTES")
            .value_parser(value_parser!(Bytes))
            .help("Memory of the server's machine, such as 128G; says whether it is enough"),
        Arg::new("sources")
            .long("sources")
            .value_name("N")
            .value_parser(number())
            .conflicts_with("client-machines")
            .help("Source addresses, all of one client machine"),
        Arg::new("client-machines")
            .long("client-machines")
            .value_name("N")
            .value_parser(number())
            .help("Client machines with one source address each"),
        Arg::new("destinations")
            .long("destinations")
            .value_name("IP:PORT,…")
            .value_parser(value_parser!(Destinations))
            .help("Where the connections go [default: one address and port]"),
        Arg::new("port-range")
            .long("port-range")
            .value_name("LO-HI")
            .value_parser(value_parser!(Ports))
            .help("Source ports that each address may use [default: 1024-65535]"),
        Arg::new("nat")
            .long("nat")
            .value_name("KIND:N")
            .value_parser(value_parser!(Nat))
            .help("What is between clients and server and dials for them, such as aws-nat-gateway:8"),
        Arg::new("program-bytes")
            .long("program-bytes")
            .value_name("BYTES")
            .value_parser(value_parser!(Bytes))
            .help("Plans for another server program that takes so much for each connection, such as 41K"),
    ]
}

fn traffic_args() -> [Arg; 4] {
    [
        Arg::new("tls")
            .long("tls")
            .action(ArgAction::SetTrue)
            .help("Both programs encrypt"),
        Arg::new("heartbeat")
            .long("heartbeat")
            .value_name("TIME")
            .value_parser(|text: &str| parse_duration(text))
            .help("Time between two heartbeats of a connection, 0s for none [default: 30s]"),
        Arg::new("message-rate")
            .long("message-rate")
            .value_name("RATE")
            .value_parser(value_parser!(Rate))
            .help(
                "Messages that the server delivers to each connection, such as 1/s [default: none]",
            ),
        Arg::new("connect-rate")
            .long("connect-rate")
            .value_name("RATE")
            .value_parser(value_parser!(Rate))
            .help("Connections opened per second [default: 5000/s]"),
    ]
}

fn output_args() -> [Arg; 2] {
    [
        Arg::new("svg")
            .long("svg")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Writes the drawing of the four-tuple as SVG"),
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("Prints JSON for programs"),
    ]
}

/// Runs the subcommand.
///
/// # Errors
///
/// A file cannot be written, or nobody takes what is printed.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let survey = Survey::read();
    let question = question(matches, &survey.machine);
    let answer = Answer::of(&question);
    let diagnosis = Diagnosis::of(&survey, &demand(&question));
    if let Some(path) = matches.get_one::<PathBuf>("svg") {
        let drawing = Drawing::of(&answer).svg().to_string();
        fs::write(path, drawing).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let text = if matches.get_flag("json") {
        let mut value = serde_json::to_value(&answer).context("cannot write the plan as JSON")?;
        value["this_machine"] = super::doctor::json(&diagnosis);
        format!("{value:#}\n")
    } else {
        text(&answer, &diagnosis)
    };
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot print the plan")?;
    Ok(if answer.fits() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FAILED)
    })
}

fn question(matches: &ArgMatches, machine: &Machine) -> Question {
    let number = |name: &str| matches.get_one::<u64>(name).copied().and_then(NonZero::new);
    let rate = |name: &str| matches.get_one::<Rate>(name).copied();
    // clap has seen to it that there is one, and that it is not zero.
    let connections = number("connections").unwrap_or(NonZero::<u64>::MIN);
    let host = Host::of(machine, super::doctor::carrier());
    let mut question = Question {
        server_memory_bytes: matches
            .get_one::<Bytes>("server-memory")
            .map(|bytes| bytes.0),
        clients: number("sources")
            .map(Clients::Sources)
            .or_else(|| number("client-machines").map(Clients::Machines)),
        destinations: matches.get_one("destinations").cloned(),
        is_tls: matches.get_flag("tls"),
        message_interval: rate("message-rate").map(Rate::interval),
        nat: matches.get_one("nat").copied(),
        server: host,
        client: host,
        ..Question::new(connections)
    };
    if let Some(ports) = matches.get_one("port-range") {
        question.ports = *ports;
    }
    if let Some(bytes) = matches.get_one::<Bytes>("program-bytes") {
        question.program = Program::Other {
            bytes_per_connection: bytes.0,
        };
    }
    if let Some(heartbeat) = matches.get_one("heartbeat") {
        question.heartbeat = Some(*heartbeat);
    }
    let connects = rate("connect-rate").map(super::doctor::per_second);
    if let Some(rate) = connects.and_then(NonZero::new) {
        question.connects_per_second = rate;
    }
    question
}

/// The server's end of the plan, as this machine would have to carry it.
fn demand(question: &Question) -> Demand {
    let mut demand = Demand::new(question.connections.get(), Side::Server, question.program);
    demand.kernel = question.server.kernel;
    demand.connects_per_second = question.connects_per_second.get();
    demand
}

fn text(answer: &Answer, diagnosis: &Diagnosis) -> String {
    let mut text = diagnosis.plan_text(answer, &Drawing::of(answer));
    let changes = diagnosis.changes();
    if !changes.is_empty() {
        write_recipes(&mut text, &changes);
    }
    text
}

/// The lines that make this machine the server of the plan.
fn write_recipes(text: &mut String, changes: &[Change]) {
    let recipes = [
        ("this machine, now", recipe::Commands(changes).to_string()),
        (
            "this machine, at each boot",
            recipe::SysctlFile(changes).to_string(),
        ),
        ("a systemd unit", recipe::SystemdUnit(changes).to_string()),
        ("a container", recipe::DockerRun(changes).to_string()),
        ("a pod", recipe::KubernetesPod(changes).to_string()),
    ];
    for (title, lines) in recipes.iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = writeln!(text, "\nWhat to change on {title}:\n");
        for line in lines.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
}
