//! Agents on machines that `ssh` reaches: this very program is copied there and started, and the session runs
//! over its standard input and output.
//!
//! ```text
//! ssh HOST  is the copy there, with this checksum?  no ──► ssh HOST  cat > copy, check, rename
//!                       │ yes                                         │
//!                       ▼                                             ▼
//! ssh HOST  copy load agent --stdio       ends with the session, or with this process
//! ```
//!
//! The copy is named by its checksum, `~/.cache/fourtuple/fourtuple-SHA256`, so the same program is copied once,
//! and it stays there. Nothing is asked for (`BatchMode`): keys or an `ssh-agent` must do. No port is
//! opened there.

mod words;

use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Timespec,
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use self::words::Words;

/// How long one `ssh` may take to see whether the copy is there.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to copy this program.
const COPY_TIMEOUT: Duration = Duration::from_secs(300);
/// How long `ssh` may take to end after its session.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// How often whoever waits for an `ssh` looks whether anybody wants it still.
const GIVE_UP_LOOK: Duration = Duration::from_millis(100);
/// This program, whatever has become of its file.
const PROGRAM: &str = "/proc/self/exe";
/// The status of the look when the copy is not there.
const NOT_THERE: i32 = 3;

/// How `ssh` is run.
#[derive(Clone, Debug, Default)]
pub(crate) struct SshOptions {
    /// Each goes to `ssh` as `-o OPTION`.
    pub(crate) options: Vec<String>,
}

/// An `ssh` that carries a session. It is ended with this.
#[derive(Debug)]
pub(crate) struct Remote {
    child: Child,
    words: Words,
}

impl Remote {
    /// Forgets what it has said so far: on the way to a session it said no reason for that session's end.
    pub(crate) fn forget_words(&self) {
        self.words.forget();
    }

    /// Waits for its end, after that of its session; gives what it has said last, if it has said anything.
    pub(crate) fn end(mut self) -> Option<String> {
        end(&mut self.child);
        self.words.last()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Waits for an `ssh` whose session is over: its input has ended, on which the agent ends and then ssh.
fn end(child: &mut Child) {
    if wait(child, END_TIMEOUT, &|| false).is_err() {
        // It has ended by itself, or is ended.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Where an agent is started, and how it is got there.
struct Way<'a> {
    destination: &'a str,
    port: Option<u16>,
    options: &'a SshOptions,
    is_given_up: &'a dyn Fn() -> bool,
}

/// Starts an agent at `destination`; gives the connection to it. Ends early when nobody wants it any more.
///
/// # Errors
///
/// `ssh` cannot be run or fails, or the copy is not what was sent.
pub(crate) fn start(
    destination: &str,
    port: Option<u16>,
    options: &SshOptions,
    is_given_up: &dyn Fn() -> bool,
) -> io::Result<(UnixStream, Remote)> {
    let way = Way {
        destination,
        port,
        options,
        is_given_up,
    };
    let sum = checksum(Path::new(PROGRAM))?;
    let copy = format!("\"$HOME\"/.cache/fourtuple/fourtuple-{sum}");
    let is_it = |file: &str| format!("[ \"$(sha256sum < {file} | cut -c1-64)\" = {sum} ]");
    let look = format!("[ -x {copy} ] && {} || exit {NOT_THERE}", is_it(&copy));
    match way.carry_out(&look, Stdio::null(), LOOK_TIMEOUT)? {
        (Some(0), _) => {}
        (Some(NOT_THERE), _) => {
            // Of two machines that share a home, too, each writes a file of its own.
            let part = format!("{copy}.part$$-$(uname -n)");
            let put = format!(
                "umask 077; part={part}; mkdir -p \"$HOME\"/.cache/fourtuple && cat > \"$part\" && {} \
                 && chmod 700 \"$part\" && mv \"$part\" {copy} || {{ rm -f \"$part\"; exit 1; }}",
                is_it("\"$part\"")
            );
            let program = Stdio::from(File::open(PROGRAM)?);
            let (status, words) = way.carry_out(&put, program, COPY_TIMEOUT)?;
            if status != Some(0) {
                let text = "this program could not be copied there: is there room in ~/.cache?";
                return Err(io::Error::other(with_words(text, words.last())));
            }
        }
        (status, words) => return Err(way.failure(status, words.last())),
    }
    let (own, theirs) = UnixStream::pair()?;
    let run = format!("exec {copy} load agent --stdio");
    let output = OwnedFd::from(theirs.try_clone()?);
    let mut command = way.ssh(&run);
    let mut child = command
        .stdin(OwnedFd::from(theirs))
        .stdout(output)
        .spawn()?;
    let words = Words::of(child.stderr.take());
    own.set_write_timeout(Some(super::link::WRITE_TIMEOUT))?;
    Ok((own, Remote { child, words }))
}

impl Way<'_> {
    /// Runs `script` there to its end; gives its status, unless a signal has ended it, and what was said.
    fn carry_out(
        &self,
        script: &str,
        input: Stdio,
        time: Duration,
    ) -> io::Result<(Option<i32>, Words)> {
        let mut child = self.ssh(script).stdin(input).spawn()?;
        let words = Words::of(child.stderr.take());
        match wait(&mut child, time, self.is_given_up) {
            Ok(status) => Ok((status, words)),
            Err(error) => Err(io::Error::new(
                error.kind(),
                with_words(&error.to_string(), words.last()),
            )),
        }
    }

    /// An `ssh` that runs `script` at the destination.
    fn ssh(&self, script: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]);
        command.args(["-o", "ServerAliveInterval=5"]);
        for option in &self.options.options {
            command.args(["-o", option]);
        }
        // The first value counts, so this is for whoever has said nothing here. Below it `ssh` keeps reasons
        // to itself, such as that a server does not respond; above it the last line is seldom one.
        command.args(["-o", "LogLevel=INFO"]);
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["--", self.destination, script]);
        // What it complains about belongs into the error: on the terminal is a view.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        // Ctrl-C is meant for this program, which ends the run in order.
        command.process_group(0);
        command
    }

    /// Why nothing can be done there.
    fn failure(&self, status: Option<i32>, said: Option<String>) -> io::Error {
        let Some(status) = status else {
            return io::Error::other(with_words("ssh was ended by a signal", said));
        };
        let port = self.port.map(|port| format!("-p {port} "));
        let (port, destination) = (port.unwrap_or_default(), self.destination);
        let text =
            format!("ssh ended with status {status}: can you `ssh {port}{destination} true`?");
        io::Error::other(with_words(&text, said))
    }
}

/// An error, and what `ssh` has said of it.
fn with_words(text: &str, said: Option<String>) -> String {
    match said {
        Some(said) => format!("{text} It says: {said}"),
        None => text.to_owned(),
    }
}

/// Waits for the end of a process, and ends it when that takes too long or nobody wants it any more. `None` when a
/// signal has ended it.
fn wait(
    child: &mut Child,
    time: Duration,
    is_given_up: &dyn Fn() -> bool,
) -> io::Result<Option<i32>> {
    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let until = Instant::now() + time;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        let left = until.saturating_duration_since(Instant::now());
        let is_given_up = is_given_up();
        if left.is_zero() || is_given_up {
            child.kill()?;
            child.wait()?;
            let (kind, why) = match is_given_up {
                true => (io::ErrorKind::Other, "it was given up".to_owned()),
                false => {
                    let why = format!("ssh took longer than {} s", time.as_secs());
                    (io::ErrorKind::TimedOut, why)
                }
            };
            return Err(io::Error::new(kind, why));
        }
        let mut watched = [PollFd::new(&end, PollFlags::IN)];
        let left =
            Timespec::try_from(left.min(GIVE_UP_LOOK)).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut watched, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The SHA-256 of a file, in hexadecimal.
fn checksum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut bytes = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut bytes)?;
        if count == 0 {
            break;
        }
        context.update(&bytes[..count]);
    }
    let digest = context.finish();
    Ok(digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_nobody_wants_any_more_is_ended() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
        let end = wait(&mut child, COPY_TIMEOUT, &|| true).expect_err("given up");
        assert_eq!(end.to_string(), "it was given up");
        assert!(child.try_wait().expect("our child").is_some());
        let mut child = Command::new("true").spawn().expect("true");
        let status = wait(&mut child, COPY_TIMEOUT, &|| false).expect("it ends");
        assert_eq!(status, Some(0));
    }
}
