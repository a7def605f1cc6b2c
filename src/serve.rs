//! `fourtuple serve`: reads the configuration and runs the server with it.
//!
//! Exit status: 0 after a drain, 1 when the server failed, 2 when the configuration is refused.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use capacity::{End, Grouped, Layout, Ledger, Machine};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use server::config::{self, CONFIG_FLAG, CONFIG_VARIABLE, Config, Setting, Sources};

const PRINT_FLAG: &str = "print-config";
const LEDGER_FLAG: &str = "print-ledger";

/// The flags of the subcommand: those of the configuration, and one for each of its settings.
pub(crate) fn command() -> Command {
    Command::new("serve")
        .about("Serves Phoenix Channels on one port")
        .after_help(
            "Each setting is also a key of the file and a variable of the environment; a flag \
             wins over the environment, and both win over the file. docs/configuration.md explains \
             them, and the rules of channels.\n\n\
             Exit status: 0 after a drain, 1 if the server failed, 2 if it was not started because \
             of its configuration.",
        )
        .arg(
            Arg::new(CONFIG_FLAG)
                .long(CONFIG_FLAG)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help(format!("Configuration file, TOML [env: {CONFIG_VARIABLE}]")),
        )
        .arg(
            Arg::new(PRINT_FLAG)
                .long(PRINT_FLAG)
                .action(ArgAction::SetTrue)
                .help("Print every setting with its value and where it came from, and end"),
        )
        .arg(
            Arg::new(LEDGER_FLAG)
                .long(LEDGER_FLAG)
                .action(ArgAction::SetTrue)
                .conflicts_with(PRINT_FLAG)
                .help("Print what the connections cost in memory, term by term, and end"),
        )
        .args(config::settings().iter().map(flag))
}

/// Runs the subcommand.
///
/// # Errors
///
/// The server failed, or nobody takes the printed configuration.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let loaded = match sources(matches).load() {
        Ok(loaded) => loaded,
        Err(problems) => {
            let count = match problems.iter().len() {
                1 => "1 problem".to_owned(),
                count => format!("{count} problems"),
            };
            eprintln!("fourtuple: not started, {count} in the configuration\n{problems}");
            return Ok(ExitCode::from(super::MISUSED));
        }
    };
    if matches.get_flag(PRINT_FLAG) {
        io::stdout()
            .write_all(loaded.to_toml().as_bytes())
            .context("cannot print the configuration")?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = loaded.config;
    if matches.get_flag(LEDGER_FLAG) {
        io::stdout()
            .write_all(ledger(&config)?.as_bytes())
            .context("cannot print the ledger")?;
        return Ok(ExitCode::SUCCESS);
    }
    server::serve(server::relay(&config), config)?;
    Ok(ExitCode::SUCCESS)
}

/// What the connections of a server cost, and those of a crowd that opens as many on this machine.
fn ledger(config: &Config) -> anyhow::Result<String> {
    let server = server::ledger(config)?;
    let (machine, connections) = (Machine::read(), server.connections());
    let Layout { kernel, tables, .. } = *server.layout();
    let crowd = Layout::of_cores(&machine, End::Crowd, kernel).for_connections(
        connections,
        None,
        tables,
        &machine,
    );
    let crowd = Ledger::of(connections, &crowd, machine.tcp_memory);
    let total = [&server, &crowd].map(Ledger::total_bytes).iter().sum();
    Ok(format!(
        "{server}\nThe other end, if a crowd on this machine is it:\n\n{crowd}\n\
         together {} bytes{}\n",
        Grouped(total),
        match machine.memory_available_bytes {
            Some(bytes) => format!(", of {} available", Grouped(bytes)),
            None => String::new(),
        }
    ))
}

fn flag(setting: &'static Setting) -> Arg {
    // On a command line the quotes of TOML belong to nobody.
    let default = setting.default_value();
    let default = match default.trim_matches('"') {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    let (summary, reason) = (setting.summary(), setting.reason());
    let paragraph = if reason.is_empty() {
        String::new()
    } else {
        format!("{reason}\n\n")
    };
    let long = format!(
        "{summary}\n\n{paragraph}Expects {}.{default} [env: {}]",
        setting.expected(),
        setting.variable()
    );
    Arg::new(setting.key())
        .long(setting.flag())
        .visible_aliases(setting.flag_alias())
        .value_name(setting.placeholder())
        // "-1" is a value to refuse with its range, not a flag that nobody knows.
        .allow_negative_numbers(true)
        .help(format!("{summary}{default}"))
        .long_help(long)
        .help_heading(heading(setting.section()))
}

fn heading(section: &str) -> String {
    let mut letters = section.chars();
    match letters.next() {
        Some(first) => format!("{}{}", first.to_ascii_uppercase(), letters.as_str()),
        None => "Settings".to_owned(),
    }
}

fn sources(matches: &ArgMatches) -> Sources {
    let value = |setting: &'static Setting| {
        let value = matches.get_one::<String>(setting.key())?;
        Some((setting, value.clone()))
    };
    Sources {
        file: matches.get_one(CONFIG_FLAG).cloned(),
        environment: std::env::vars_os().collect(),
        flags: config::settings().iter().filter_map(value).collect(),
    }
}

#[cfg(test)]
mod tests {
    use capacity::{Kernel, Tables};

    use super::*;

    #[test]
    fn the_ledger_charges_a_crowd_what_its_clients_are() {
        let layout = Layout {
            end: End::Crowd,
            kernel: Kernel::Epoll,
            shards: 1,
            tables: Tables::PerProcess,
            admin_connections: 0,
        };
        let ledger = Ledger::of(1, &layout, None);
        let client = ledger.terms().iter().find(|term| term.name == "client");
        let bytes = client.map(|term| term.bytes as usize);
        assert_eq!(bytes, Some(load::CLIENT_BYTES));
    }
}
