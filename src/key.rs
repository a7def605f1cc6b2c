//! `fourtuple key`: makes a key for a program, or hashes the password of a person, for the control plane.
//!
//! The lines for the configuration go to standard output and all else to standard error, so that they can be
//! led into a file. Exit status: 0 when it is done, 2 when what was asked for cannot be.

use std::{
    io::{self, BufRead, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgMatches, Command};
use server::{
    NewKey,
    config::{Scopes, check_access_name},
    hash_password,
};
use termion::input::TermRead as _;

const NAME: &str = "name";
const USER: &str = "user";
const SCOPES: &str = "scopes";

/// Long enough that whoever has the hash cannot try all, too.
const PASSWORD_CHARS_MIN: usize = 12;
/// More is not a password, but a file led into the wrong place.
const PASSWORD_BYTES_MAX: usize = 1_024;

/// The flags of the subcommand.
pub(crate) fn command() -> Command {
    Command::new("key")
        .about("Makes a key for the admin side, or hashes a password for it")
        .after_help(
            "The key is shown once, on standard error; the lines for the configuration file are printed on \
             standard output. A password is read from the terminal without showing it, or is the first line of \
             standard input.\n\nExamples:\n  \
             fourtuple key --name prometheus                      a key that may read\n  \
             fourtuple key --name shop --scopes publish           a key that may publish\n  \
             fourtuple key --user eva --scopes admin              a user of the dashboard",
        )
        .arg(
            Arg::new(NAME)
                .long(NAME)
                .value_name("NAME")
                .default_value("key")
                .value_parser(access_name)
                .help("What the key is called in the configuration"),
        )
        .arg(
            Arg::new(USER)
                .long(USER)
                .value_name("NAME")
                .conflicts_with(NAME)
                .value_parser(access_name)
                .help("Hash the password of this user instead of making a key"),
        )
        .arg(
            Arg::new(SCOPES)
                .long(SCOPES)
                .value_name("SCOPES")
                .default_value("read")
                .value_parser(|list: &str| {
                    Scopes::parse(list).ok_or("expected a list of read, publish and admin")
                })
                .help("What may be done with it: read, publish, admin"),
        )
}

/// Runs the subcommand.
///
/// # Errors
///
/// There is no password or a bad one, no randomness, or nobody takes what is printed.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let scopes: Scopes = *matches.get_one(SCOPES).expect("it has a default");
    let lines = match matches.get_one::<String>(USER) {
        Some(user) => {
            let hash = hash_password(&password()?).context("cannot make a salt")?;
            lines("user", user, "password_hash", hash.as_str(), scopes)
        }
        None => {
            let name: &String = matches.get_one(NAME).expect("it has a default");
            let key = NewKey::random().context("cannot make a key")?;
            eprintln!(
                "The key, which is shown this once:\n\n{}\n\nFor the configuration file of the server:\n",
                key.secret()
            );
            lines("key", name, "hash", &key.hash().to_hex(), scopes)
        }
    };
    io::stdout()
        .write_all(lines.as_bytes())
        .context("cannot print the lines for the configuration")?;
    Ok(ExitCode::SUCCESS)
}

/// What stands in the file; nothing in it needs to be escaped.
fn lines(table: &str, name: &str, hash_key: &str, hash: &str, scopes: Scopes) -> String {
    format!(
        "[[admin.{table}]]\nname = \"{name}\"\n{hash_key} = \"{hash}\"\nscopes = {}\n",
        scopes.to_toml()
    )
}

fn access_name(name: &str) -> Result<String, String> {
    let expected = |expected| format!("expected {expected}");
    check_access_name(name).map_err(expected)?;
    Ok(name.to_owned())
}

fn password() -> anyhow::Result<String> {
    let password = if io::stdin().is_terminal() {
        let once = asked("Password: ")?;
        if asked("Again: ")? != once {
            bail!("the two passwords are different");
        }
        once
    } else {
        let mut line = String::new();
        let mut input = io::Read::take(io::stdin().lock(), PASSWORD_BYTES_MAX as u64 + 2);
        BufRead::read_line(&mut input, &mut line).context("cannot read the password")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        bail!(
            "expected a password of at least {PASSWORD_CHARS_MIN} characters and at most \
             {PASSWORD_BYTES_MAX} bytes"
        );
    }
    Ok(password)
}

/// Reads a line of the terminal that nobody sees.
fn asked(prompt: &str) -> anyhow::Result<String> {
    let mut terminal = termion::get_tty().context("there is no terminal")?;
    terminal.write_all(prompt.as_bytes())?;
    let line = io::stdin().lock().read_passwd(&mut terminal)?;
    terminal.write_all(b"\n")?;
    line.context("no password was given")
}
