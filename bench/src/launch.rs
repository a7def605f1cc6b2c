//! The servers as processes: how each is started, found and ended.
//!
//! The floor and the peer are this same binary under a hidden subcommand. Every server listens
//! on a port of the kernel's choice and says which in a line `listening on ADDRESS`. It ends with the
//! bench on every path: by `Drop` when the bench returns or panics, and by the kernel (man 2
//! prctl, `PR_SET_PDEATHSIG`) when the bench is killed.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::net::SocketAddrV4;
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::disable_transparent_huge_pages;

use crate::product::Product;
use crate::session::Workload;
use crate::{floor, peer};

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The bare floor.
    Floor,
    /// A plain tokio-tungstenite server.
    Tungstenite,
    /// `fourtuple serve`.
    Fourtuple,
}

/// What the servers are started from.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Present when the product is among the servers.
    pub(crate) product: Option<Product>,
}

/// In what pages the kernel gives a process its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// As the program and the machine like it.
    AsItShips,
    /// Never huge ones: 2 MiB at a time would round the memory of 10,000 connections to multiples
    /// of 210 bytes for each.
    Small,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    process: Leashed,
    addr: SocketAddrV4,
}

/// A child process that does not outlive the bench.
#[derive(Debug)]
pub(crate) struct Leashed {
    child: Child,
    last_words: Arc<Mutex<VecDeque<String>>>,
    announced: mpsc::Receiver<SocketAddrV4>,
}

impl Kind {
    /// In the order in which the table shows them.
    pub(crate) const ALL: [Self; 3] = [Self::Floor, Self::Fourtuple, Self::Tungstenite];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Tungstenite => "tungstenite",
            Self::Fourtuple => "fourtuple",
        }
    }
}

impl Programs {
    /// Returns the product.
    ///
    /// # Errors
    ///
    /// When it was not asked for and therefore not built.
    pub(crate) fn product(&self) -> anyhow::Result<&Product> {
        self.product
            .as_ref()
            .context("the product was not prepared")
    }
}

impl Server {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(
        programs: &Programs,
        kind: Kind,
        workload: Workload,
        pages: Pages,
    ) -> anyhow::Result<Self> {
        let process = match kind {
            Kind::Floor | Kind::Tungstenite => {
                let arguments = ["server", kind.name(), workload.name()].map(OsString::from);
                Leashed::spawn(&bench_binary()?, &arguments, pages)?
            }
            Kind::Fourtuple => {
                let product = programs.product()?;
                Leashed::spawn(product.binary(), &product.serve_arguments(), pages)?
            }
        };
        let addr = process.announced_addr()?;
        Ok(Self { process, addr })
    }

    pub(crate) fn addr(&self) -> SocketAddrV4 {
        self.addr
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

impl Leashed {
    /// Starts `program` by way of the bench itself, which ties it to this thread's life first.
    pub(crate) fn spawn(
        program: &Path,
        arguments: &[OsString],
        pages: Pages,
    ) -> anyhow::Result<Self> {
        let (output, input) = io::pipe()?;
        let small_pages = if pages == Pages::Small {
            "true"
        } else {
            "false"
        };
        let child = Command::new(bench_binary()?)
            .args(["leash", &std::process::id().to_string(), small_pages])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let last_words = Arc::default();
        let (announce, announced) = mpsc::sync_channel(1);
        follow(output, Arc::clone(&last_words), announce);
        Ok(Self {
            child,
            last_words,
            announced,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what the process has said last, for the message of an error.
    pub(crate) fn last_words(&self) -> String {
        let lines = self
            .last_words
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .fold(String::new(), |text, line| text + "\n    " + line)
    }

    /// Waits until a line of the process names the address it listens on.
    fn announced_addr(&self) -> anyhow::Result<SocketAddrV4> {
        self.announced.recv_timeout(START_TIMEOUT).with_context(|| {
            format!(
                "a server does not say what address it listens on; it says:{}",
                self.last_words()
            )
        })
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // Both fail only when the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads what a process says until it ends, so that a full pipe never holds it up.
fn follow(
    output: PipeReader,
    last_words: Arc<Mutex<VecDeque<String>>>,
    announce: mpsc::SyncSender<SocketAddrV4>,
) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(addr) = listening_on(&line) {
                // Only the first address is waited for.
                let _ = announce.try_send(addr);
            }
            let mut lines = last_words.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == LAST_WORDS_LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    });
}

fn bench_binary() -> anyhow::Result<PathBuf> {
    env::current_exe().context("the bench does not know its own path")
}

/// Serves in this process until it is killed.
pub(crate) fn serve(kind: Kind, workload: Workload) -> anyhow::Result<()> {
    match kind {
        Kind::Floor => floor::serve(workload),
        Kind::Tungstenite => peer::serve(workload),
        Kind::Fourtuple => bail!("the product serves in its own binary"),
    }
}

/// Becomes `program`, to be killed by the kernel when the thread of `bench` that started it ends.
///
/// # Errors
///
/// Returns only when that fails, or when the bench has ended already.
pub(crate) fn leash(
    bench: u32,
    small_pages: bool,
    program: &Path,
    arguments: &[OsString],
) -> anyhow::Result<()> {
    if small_pages {
        // Survives exec, man 2 prctl, `PR_SET_THP_DISABLE`.
        disable_transparent_huge_pages(true)?;
    }
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Who died before the signal was asked for will not send it.
    if parent_id() != bench {
        bail!("the bench has ended");
    }
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Returns the address in a line like `listening on 127.0.0.1:4000`.
fn listening_on(line: &str) -> Option<SocketAddrV4> {
    let (_, after) = line.split_once("listening on ")?;
    after
        .split(|character: char| !(character.is_ascii_digit() || ".:".contains(character)))
        .find_map(|word| word.parse().ok())
}

const START_TIMEOUT: Duration = Duration::from_secs(30);
const LAST_WORDS_LINES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_behind_the_words() {
        let expected = Some("127.0.0.1:4000".parse().unwrap());
        for line in [
            "listening on 127.0.0.1:4000",
            "fourtuple is listening on 127.0.0.1:4000, clients connect to ws://127.0.0.1:4000/socket",
        ] {
            assert_eq!(listening_on(line), expected, "{line}");
        }
        assert_eq!(listening_on("dashboard at 127.0.0.1:4001"), None);
        assert_eq!(listening_on("listening on [::1]:4000"), None);
    }
}
