//! The flags of `fourtuple load` for servers that speak TLS (`wss://`).

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, parser::ValueSource};
use load::{Target, Tls};

use super::flags::file;

/// Flags that mean nothing without TLS. `--insecure` is not among them: it asks for nothing.
const TLS_FLAGS: [&str; 5] = ["ca", "cert", "key", "server-name", "no-resumption"];

pub(super) fn args() -> [Arg; 6] {
    let args = [
        Arg::new("insecure")
            .long("insecure")
            .short('k')
            .action(ArgAction::SetTrue)
            .help("Accept any certificate, whoever made it and for whatever name"),
        file(
            "ca",
            "PEM certificates of the authorities to trust [default: those that this machine trusts]",
        )
        .conflicts_with("insecure"),
        file("cert", "PEM certificate of the clients, for servers that ask").requires("key"),
        file("key", "PEM key of that certificate").requires("cert"),
        Arg::new("server-name")
            .long("server-name")
            .value_name("NAME")
            .help("Name that the certificate must be for [default: the URL's host]"),
        Arg::new("no-resumption")
            .long("no-resumption")
            .action(ArgAction::SetTrue)
            .help("Clients that come back make a whole handshake, too"),
    ];
    args.map(|arg| arg.help_heading("TLS (wss://)"))
}

/// Refuses flags that mean nothing where all servers are spoken to in the clear.
pub(super) fn check_flags<'a>(
    matches: &ArgMatches,
    targets: impl IntoIterator<Item = &'a Target>,
) -> anyhow::Result<()> {
    let mut targets = targets.into_iter().peekable();
    let Some(target) = targets.peek().copied() else {
        return Ok(());
    };
    let is_clear = targets.all(|target| !target.is_tls());
    let is_given = |name: &&&str| matches.value_source(name) == Some(ValueSource::CommandLine);
    match TLS_FLAGS.iter().find(is_given) {
        Some(name) if is_clear => {
            bail!("--{name} is for a wss:// URL, and this is {target}")
        }
        _ => Ok(()),
    }
}

/// What the flags say.
///
/// # Errors
///
/// A file cannot be read.
pub(super) fn read(matches: &ArgMatches) -> anyhow::Result<Tls> {
    let text = |name: &str| -> anyhow::Result<Option<String>> {
        let Some(path) = matches.get_one::<PathBuf>(name) else {
            return Ok(None);
        };
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read --{name} {}", path.display()))?;
        Ok(Some(text))
    };
    let mut tls = Tls::default();
    tls.insecure = matches.get_flag("insecure");
    tls.ca = text("ca")?;
    tls.cert = text("cert")?;
    tls.key = text("key")?;
    tls.server_name = matches.get_one("server-name").cloned();
    tls.no_resumption = matches.get_flag("no-resumption");
    Ok(tls)
}
