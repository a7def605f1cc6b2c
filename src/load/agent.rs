//! `fourtuple load agent`: a machine of a crowd, and the flags of `fourtuple load --agents` that use it.
//!
//! Exit status of an agent: 0 when it was ended, 2 when it could not begin to listen.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use capacity::Sources;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use load::{
    AGENT_PORT, Agent, AgentAddress, AgentAddresses, AgentOptions, Agents, Interrupt, OnAgentLoss,
    Secret, parse_duration, serve_stdio,
};

use super::flags::file;

/// The subcommand.
pub(super) fn command() -> Command {
    Command::new("agent")
        .about("Waits for `fourtuple load --agents` on another machine, and does a part of its run")
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS")
                .value_parser(value_parser!(SocketAddr))
                .help("Where to wait for it [default: 127.0.0.1:7070]"),
        )
        .arg(file(
            "secret-file",
            "File with the secret that both share, 16 bytes at least [default: \
             FOURTUPLE_AGENT_SECRET in the environment]",
        ))
        .arg(file("tls-cert", "Certificate (PEM) for encrypted sessions").requires("tls-key"))
        .arg(file("tls-key", "Its private key (PEM)").requires("tls-cert"))
        .arg(
            Arg::new("sources")
                .long("sources")
                .value_name("ADDRESSES")
                .value_parser(value_parser!(Sources))
                .help("Addresses of this machine to dial from, such as 10.0.0.2-10.0.0.9"),
        )
        .arg(
            Arg::new("stdio")
                .long("stdio")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["listen", "secret-file", "tls-cert", "tls-key"])
                .help("Serve the one at the other end of standard input and output, as with ssh"),
        )
}

/// The flags of whoever uses agents.
pub(super) fn coordinator_args() -> [Arg; 6] {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .help(help)
            .help_heading("Many machines")
    };
    [
        flag(
            "agents",
            "LIST",
            "Divide the run among these, such as a:7070,b:7070 or ssh://user@c",
        )
        .value_parser(value_parser!(AgentAddresses)),
        flag(
            "agent-secret-file",
            "FILE",
            "File with the secret that the agents share [default: FOURTUPLE_AGENT_SECRET in the \
             environment]",
        )
        .requires("agents")
        .value_parser(value_parser!(PathBuf)),
        flag(
            "agents-ca",
            "FILE",
            "Certificates (PEM) that vouch for the agents'; encrypts the sessions with them",
        )
        .requires("agents")
        .value_parser(value_parser!(PathBuf)),
        flag(
            "on-agent-loss",
            "WHAT",
            "What becomes of the run when an agent is lost; it is not held in any case [default: \
             continue]",
        )
        .requires("agents")
        .value_parser(["continue", "stop"]),
        flag(
            "agents-wait",
            "TIME",
            "How long agents are waited for that do not answer yet [default: 0s]",
        )
        .requires("agents")
        .value_parser(|text: &str| parse_duration(text)),
        flag(
            "agent-ssh-option",
            "OPTION",
            "Give ssh this with -o; may be there several times",
        )
        .requires("agents")
        .action(ArgAction::Append),
    ]
}

/// The agents that the flags name.
///
/// # Errors
///
/// Their secret cannot be read, or there is none for agents on other machines.
pub(super) fn agents(matches: &ArgMatches) -> anyhow::Result<Option<Agents>> {
    let Some(addresses) = matches.get_one::<AgentAddresses>("agents") else {
        return Ok(None);
    };
    let file = matches.get_one::<PathBuf>("agent-secret-file");
    let secret = Secret::find(file.map(PathBuf::as_path))?;
    let is_far = |address: &AgentAddress| match address {
        AgentAddress::Tcp { host, .. } => {
            !matches!(host.as_str(), "localhost" | "::1") && !host.starts_with("127.")
        }
        AgentAddress::Ssh { .. } => false,
    };
    if secret.is_none() && addresses.iter().any(is_far) {
        bail!(
            "agents on other machines need the secret that they share: give --agent-secret-file \
             FILE or FOURTUPLE_AGENT_SECRET"
        );
    }
    let mut agents = Agents::new(addresses.clone(), secret);
    agents.authority = matches.get_one("agents-ca").cloned();
    if matches
        .get_one::<String>("on-agent-loss")
        .is_some_and(|what| what == "stop")
    {
        agents.on_loss = OnAgentLoss::Stop;
    }
    agents.wait = matches.get_one("agents-wait").copied().unwrap_or_default();
    agents.ssh_options = matches
        .get_many::<String>("agent-ssh-option")
        .map(|options| options.cloned().collect())
        .unwrap_or_default();
    Ok(Some(agents))
}

/// Serves coordinators.
///
/// # Errors
///
/// It cannot begin; the caller prints why and exits with status 2.
pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let mut options = AgentOptions::default();
    options.sources = matches.get_one("sources").cloned();
    if matches.get_flag("stdio") {
        // Standard error belongs to whoever runs ssh: nothing to be said is news to it.
        serve_stdio(options, &interrupt, |_| {})?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = |name: &str| matches.get_one::<PathBuf>(name).map(PathBuf::as_path);
    let secret = Secret::find(path("secret-file"))?;
    let usual = SocketAddr::from(([127, 0, 0, 1], AGENT_PORT));
    let address = matches.get_one("listen").copied().unwrap_or(usual);
    let tls: Option<(&Path, &Path)> = path("tls-cert").zip(path("tls-key"));
    let agent = Agent::listen(address, secret, tls, options, &interrupt, |text| {
        eprintln!("fourtuple agent: {text}");
    })?;
    // Whoever has started it waits for this line, and may be gone.
    let _ = writeln!(io::stdout(), "listening on {}", agent.address());
    agent.serve();
    Ok(ExitCode::SUCCESS)
}
