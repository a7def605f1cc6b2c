//! The servers as processes: how each is started, found and ended.
//!
//! The floor and the peer are this same binary under a hidden subcommand. Every server listens
//! on a port of the kernel's choice and says which on its standard output. It ends with the
//! bench on every path: by `Drop` when the bench returns or panics, and by the kernel (man 2
//! prctl, `PR_SET_PDEATHSIG`) when the bench is killed.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddrV4;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::session::Workload;
use crate::{floor, peer};

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Floor,
    Tungstenite,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    process: Leashed,
    addr: SocketAddrV4,
}

/// A child process that does not outlive the bench.
#[derive(Debug)]
pub(crate) struct Leashed(Child);

impl Kind {
    /// In the order in which the table shows them.
    pub(crate) const ALL: [Self; 2] = [Self::Floor, Self::Tungstenite];

    /// Returns whether the targets are this server's.
    pub(crate) fn is_ours(self) -> bool {
        false
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Tungstenite => "tungstenite",
        }
    }
}

impl Server {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(kind: Kind, workload: Workload) -> anyhow::Result<Self> {
        let bench = std::env::current_exe().context("the bench does not know its own path")?;
        let arguments = ["server", kind.name(), workload.name()].map(OsString::from);
        let mut process = Leashed::spawn(&bench, &arguments)?;
        let addr = process
            .announced_addr()
            .with_context(|| format!("the server {} did not start", kind.name()))?;
        Ok(Self { process, addr })
    }

    pub(crate) fn addr(&self) -> SocketAddrV4 {
        self.addr
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

impl Leashed {
    /// Starts `program` by way of the bench itself, which ties it to this thread's life first.
    pub(crate) fn spawn(program: &Path, arguments: &[OsString]) -> anyhow::Result<Self> {
        let bench = std::env::current_exe().context("the bench does not know its own path")?;
        let child = Command::new(bench)
            .arg("leash")
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self(child))
    }

    /// Reads standard output until a line names an address.
    fn announced_addr(&mut self) -> anyhow::Result<SocketAddrV4> {
        let stdout = self
            .0
            .stdout
            .take()
            .context("its standard output was read before")?;
        for line in BufReader::new(stdout).lines() {
            if let Some(addr) = find_addr(&line?) {
                return Ok(addr);
            }
        }
        bail!("it ended without naming the address it listens on")
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // Both fail only when the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves in this process until it is killed.
pub(crate) fn serve(kind: Kind, workload: Workload) -> anyhow::Result<()> {
    match kind {
        Kind::Floor => floor::serve(workload),
        Kind::Tungstenite => peer::serve(workload),
    }
}

/// Becomes `program`, to be killed by the kernel when the thread that started it ends.
///
/// # Errors
///
/// Returns only when that fails.
pub(crate) fn leash(program: &Path, arguments: &[OsString]) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Returns the first IPv4 address with a port in `line`.
fn find_addr(line: &str) -> Option<SocketAddrV4> {
    line.split(|character: char| !(character.is_ascii_digit() || ".:".contains(character)))
        .find_map(|word| word.trim_matches(|edge| ".:".contains(edge)).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_a_sentence() {
        let expected = Some("127.0.0.1:4000".parse().unwrap());
        for line in [
            "listening on 127.0.0.1:4000",
            "INFO fourtuple: listening, addr=127.0.0.1:4000, shards=2",
            "open ws://127.0.0.1:4000/socket.",
        ] {
            assert_eq!(find_addr(line), expected, "{line}");
        }
        assert_eq!(find_addr("version 0.1.0 at 12:30:15"), None);
    }
}
