//! A child process that cannot outlive the bench.
//!
//! It ends with the bench on every path: by `Drop` when the bench returns or panics, and by the
//! kernel (man 2 prctl, `PR_SET_PDEATHSIG`) when the bench is killed. It is in a process group of
//! its own, so that Ctrl-C reaches the bench alone, which then ends its children in its own order.
//!
//! What it says is read to the end. Lines that begin with [`ANSWER`] are kept for whoever sent the
//! command; of the others the last few are, for the message of an error.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::net::SocketAddrV4;
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{
    Pid, Signal, kill_process, kill_process_group, set_parent_process_death_signal,
};
use rustix::thread::disable_transparent_huge_pages;

/// What begins a line that answers a command.
pub(crate) const ANSWER: &str = "answer ";

/// In what pages the kernel gives a process its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// As the program and the machine like it.
    AsItShips,
    /// Never huge ones: 2 MiB at a time would round the memory of 10,000 connections to multiples
    /// of 210 bytes for each.
    Small,
}

/// What the kernel does to a child when the bench has died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Death {
    /// Kills it.
    Kill,
    /// Asks it to end, which a child with children of its own passes on to them.
    Ask,
}

/// A child process that does not outlive the bench.
#[derive(Debug)]
pub(crate) struct Leashed {
    child: Child,
    last_words: Arc<Mutex<VecDeque<String>>>,
    announced: mpsc::Receiver<SocketAddrV4>,
    /// Disconnected when the process has ended.
    answers: mpsc::Receiver<String>,
}

impl Leashed {
    /// Starts `program` by way of the bench itself, which ties it to this thread's life first.
    pub(crate) fn spawn(
        program: &Path,
        arguments: &[OsString],
        pages: Pages,
    ) -> anyhow::Result<Self> {
        Self::spawn_reading(program, arguments, pages, Death::Kill, Stdio::null())
    }

    /// Starts `program` as [`Self::spawn`] does, where it starts processes of its own, which it ends
    /// when it is asked to end itself.
    pub(crate) fn spawn_family(
        program: &Path,
        arguments: &[OsString],
        pages: Pages,
    ) -> anyhow::Result<Self> {
        Self::spawn_reading(program, arguments, pages, Death::Ask, Stdio::null())
    }

    /// Starts another part of the bench, which takes commands.
    pub(crate) fn spawn_part(arguments: &[OsString]) -> anyhow::Result<Self> {
        let program = bench_binary()?;
        let (pages, stdin) = (Pages::AsItShips, Stdio::piped());
        Self::spawn_reading(&program, arguments, pages, Death::Kill, stdin)
    }

    fn spawn_reading(
        program: &Path,
        arguments: &[OsString],
        pages: Pages,
        death: Death,
        stdin: Stdio,
    ) -> anyhow::Result<Self> {
        let (output, input) = io::pipe()?;
        let small_pages = if pages == Pages::Small {
            "true"
        } else {
            "false"
        };
        let child = Command::new(bench_binary()?)
            .args(["leash", &std::process::id().to_string(), small_pages])
            .arg(death.name())
            .arg(program)
            .args(arguments)
            .stdin(stdin)
            .stdout(input.try_clone()?)
            .stderr(input)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let last_words = Arc::default();
        let (announce, announced) = mpsc::sync_channel(1);
        let (answer, answers) = mpsc::sync_channel(ANSWERS_MAX);
        follow(output, Arc::clone(&last_words), announce, answer)?;
        Ok(Self {
            child,
            last_words,
            announced,
            answers,
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
    pub(crate) fn announced_addr(&self) -> anyhow::Result<SocketAddrV4> {
        self.announced.recv_timeout(START_TIMEOUT).with_context(|| {
            format!(
                "a server does not say what address it listens on; it says:{}",
                self.last_words()
            )
        })
    }

    /// Writes `command` to a part that takes commands.
    ///
    /// # Errors
    ///
    /// When it has ended, with its last words.
    pub(crate) fn command(&mut self, command: &str) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut();
        let stdin = stdin.context("this process takes no commands")?;
        stdin.write_all(command.as_bytes()).with_context(|| {
            let words = self.last_words();
            format!("a part of the bench takes no command any more; it says:{words}")
        })
    }

    /// Waits for the answer to a command until `deadline`; `None` when it is not there by then.
    ///
    /// # Errors
    ///
    /// When the process has ended, with its last words.
    pub(crate) fn answer(&self, deadline: Instant) -> anyhow::Result<Option<String>> {
        let longest = deadline.saturating_duration_since(Instant::now());
        match self.answers.recv_timeout(longest) {
            Ok(answer) => Ok(Some(answer)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("a process has ended; it says:{}", self.last_words())
            }
        }
    }

    /// Asks the process to end in its own way.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.context("a process id is positive")?;
        kill_process(pid, Signal::TERM).context("cannot send SIGTERM")
    }

    /// Returns how the process has ended, or `None` while it runs.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot wait for a process")
    }
}

impl Death {
    /// Returns its name on a command line.
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Ask => "ask",
        }
    }

    fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::KILL,
            Self::Ask => Signal::TERM,
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // Its group holds its children too. An id that was waited for may be another's by now.
        if matches!(self.child.try_wait(), Ok(None))
            && let Some(group) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
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
    answers: mpsc::SyncSender<String>,
) -> anyhow::Result<()> {
    let read = move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(answer) = line.strip_prefix(ANSWER) {
                // Fails only when nobody is left who asked.
                let _ = answers.send(answer.to_owned());
                continue;
            }
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
    };
    thread::Builder::new()
        .stack_size(FOLLOWER_STACK_BYTES)
        .spawn(read)
        .context("cannot start a thread")?;
    Ok(())
}

pub(crate) fn bench_binary() -> anyhow::Result<PathBuf> {
    env::current_exe().context("the bench does not know its own path")
}

/// Becomes `program`, to be killed or asked to end by the kernel when the thread of `bench` that started it ends.
///
/// # Errors
///
/// Returns only when that fails, or when the bench has ended already.
pub(crate) fn leash(
    bench: u32,
    small_pages: bool,
    death: Death,
    program: &Path,
    arguments: &[OsString],
) -> anyhow::Result<()> {
    if small_pages {
        // Survives exec, man 2 prctl, `PR_SET_THP_DISABLE`.
        disable_transparent_huge_pages(true)?;
    }
    set_parent_process_death_signal(Some(death.signal()))?;
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
/// Answers that nobody has read yet; each command has one or two.
const ANSWERS_MAX: usize = 4;
/// It reads lines and nothing else, and there may be hundreds of them.
const FOLLOWER_STACK_BYTES: usize = 128 * 1024;

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
