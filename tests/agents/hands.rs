//! Agents and coordinators as processes.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;

use crate::support::{binary::on_epoll, watchdog::Watchdog};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The secret of all agents of these tests.
pub(crate) const SECRET: &str = "a secret of these tests alone";

/// A file of one test alone.
pub(crate) fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("agents");
    fs::create_dir_all(&folder).expect("a folder");
    folder.join(name)
}

/// An agent, which is killed with this value.
#[derive(Debug)]
pub(crate) struct Hand {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Hand {
    /// Starts an agent at an address with these flags besides.
    #[track_caller]
    pub(crate) fn start(mut command: Command, address: &str, arguments: &[&str]) -> Self {
        command.args(["load", "agent", "--listen", address]);
        command.args(arguments);
        command.env("FOURTUPLE_AGENT_SECRET", SECRET);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (found, said) = mpsc::sync_channel(1);
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        thread::spawn(move || {
            let mut line = String::new();
            let _ = output.read_line(&mut line);
            let _ = found.send(line);
            let _ = output.read_to_string(&mut String::new());
        });
        let line = said.recv_timeout(PATIENCE).unwrap_or_default();
        let address = line.trim().strip_prefix("listening on ");
        let Some(address) = address.map(str::to_owned) else {
            let _ = child.kill();
            panic!("the agent did not say where it listens: {line:?}");
        };
        Self { child, address }
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A coordinator that runs.
#[derive(Debug)]
pub(crate) struct Lead {
    child: Child,
    watchdog: Watchdog,
    report: PathBuf,
    /// What happens, as it happens.
    events: Receiver<String>,
}

/// The lines that are written to a pipe of this name, as they come.
fn follow(path: &Path) -> Receiver<String> {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).expect("a pipe");
    // Opened for both, there is a reader before there is a writer and after the last of them.
    let pipe = File::options().read(true).write(true).open(path);
    let lines = BufReader::new(pipe.expect("ours")).lines();
    // A run says a few lines, and whoever does not look at them holds nobody up.
    let (found, said) = mpsc::sync_channel(1_024);
    // Ends with the tests.
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if found.send(line).is_err() {
                return;
            }
        }
    });
    said
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) output: Output,
    pub(crate) report: PathBuf,
}

impl Lead {
    /// Starts a run of `what` with these agents and flags.
    #[track_caller]
    pub(crate) fn start(
        command: Command,
        what: &str,
        agents: &[Hand],
        name: &str,
        flags: &str,
    ) -> Self {
        let list: Vec<_> = agents.iter().map(|agent| agent.address.as_str()).collect();
        let flags: Vec<_> = flags.split_whitespace().map(str::to_owned).collect();
        Self::start_at(command, what, &list.join(","), name, &flags)
    }

    /// The same with agents that `--agents` names like this.
    #[track_caller]
    pub(crate) fn start_at(
        mut command: Command,
        what: &str,
        agents: &str,
        name: &str,
        flags: &[String],
    ) -> Self {
        let (report, events) = (
            file(&format!("{name}.json")),
            file(&format!("{name}.jsonl")),
        );
        let _ = (fs::remove_file(&report), fs::remove_file(&events));
        let lines = follow(&events);
        command.args(["load", what, "--agents", agents]);
        command.args(flags);
        if what.contains("://") {
            command.arg("--json").arg(&report);
            command.arg("--events").arg(&events);
        } else {
            command.arg("--output").arg(&report);
        }
        if on_epoll() {
            command.args(["--kernel", "epoll"]);
        }
        let child = command
            .env("FOURTUPLE_AGENT_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let watchdog = Watchdog::over(&child, PATIENCE);
        Self {
            child,
            watchdog,
            report,
            events: lines,
        }
    }

    /// Waits until the run has come to a stage.
    #[track_caller]
    pub(crate) fn until(&self, stage: &str) {
        self.until_times(stage, 1);
    }

    /// The same until it has come there so often, as a search does.
    #[track_caller]
    pub(crate) fn until_times(&self, stage: &str, times: usize) {
        let (until, wanted) = (Instant::now() + PATIENCE, format!("\"stage\":\"{stage}\""));
        for _ in 0..times {
            loop {
                let left = until.saturating_duration_since(Instant::now());
                match self.events.recv_timeout(left) {
                    Ok(line) if line.contains(&wanted) => break,
                    Ok(_) => {}
                    Err(error) => panic!("the run did not come to {stage}: {error}"),
                }
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for its end, which must come by itself.
    #[track_caller]
    pub(crate) fn end(self) -> Ran {
        let output = self.child.wait_with_output().expect("our child");
        assert!(!self.watchdog.had_to_kill(), "it did not end: {output:?}");
        Ran {
            output,
            report: self.report,
        }
    }
}

impl Ran {
    /// The report, after a run that ended with this status.
    #[track_caller]
    pub(crate) fn report(&self, status: i32) -> Value {
        self.assert_status(status);
        let text = fs::read_to_string(&self.report).expect("a report was written");
        serde_json::from_str(&text).expect("it is JSON")
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, status: i32) {
        let said = format!("{}{}", self.out(), self.err());
        assert_eq!(self.output.status.code(), Some(status), "{said}");
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}
