//! The door: the command line of `fourtuple`, and who answers to which subcommand.
//!
//! Exit status: 0 when all went well, 1 when it failed while it ran, 2 when it could not start
//! because of how it was asked.

#![forbid(unsafe_code)]

mod doctor;
mod key;
mod load;
mod plan;
mod serve;

use std::process::ExitCode;

use clap::Command;

/// It failed while it ran.
const FAILED: u8 = 1;
/// It was asked for something that cannot be.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        // Help and version come here, too, with status 0. Where they cannot be printed, nobody
        // reads them.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(MISUSED));
        }
    };
    let (outcome, status) = match matches.subcommand() {
        Some(("serve", matches)) => (serve::run(matches), FAILED),
        Some(("load", matches)) => (load::run(matches), MISUSED),
        Some(("plan", matches)) => (plan::run(matches), MISUSED),
        Some(("doctor", matches)) => (doctor::run(matches), MISUSED),
        Some(("key", matches)) => (key::run(matches), MISUSED),
        _ => unreachable!("clap asks for a subcommand and knows no other"),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("fourtuple: {error:#}");
        ExitCode::from(status)
    })
}

fn command() -> Command {
    Command::new("fourtuple")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A realtime server for very many live connections, and the crowd to prove it")
        .after_help(
            "Examples:\n  \
             fourtuple serve                            a Phoenix Channels server on port 4000\n  \
             fourtuple load ws://127.0.0.1:4000/socket  a thousand clients against it\n  \
             fourtuple plan --connections 2000000       what two million would need\n  \
             fourtuple doctor                           how many this machine can hold\n  \
             fourtuple key                              a key for its dashboard, metrics and API",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(serve::command())
        .subcommand(load::command())
        .subcommand(plan::command())
        .subcommand(doctor::command())
        .subcommand(key::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
