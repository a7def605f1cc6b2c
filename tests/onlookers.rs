//! Who watches `fourtuple load` while it runs: a person at a terminal.

mod support;

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use support::{binary::on_epoll, relay::Relay};

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is said where the Debian package is not there.
const NO_TMUX: &str = "tmux is not installed: apt-get install tmux (.ci/run does)";

/// A terminal of a server of tmux that is this test's own.
struct Terminal {
    server: String,
}

impl Terminal {
    /// A terminal of this size in which a shell runs `arguments` of `fourtuple` and then says its status.
    fn start(name: &str, (width, height): (u16, u16), arguments: &str) -> Self {
        let server = format!("fourtuple-{name}-{}", std::process::id());
        let terminal = Self { server };
        let kernel = if on_epoll() { " --kernel epoll" } else { "" };
        let script = format!(
            "{} {arguments}{kernel}; echo STATUS=$?; exec cat",
            env!("CARGO_BIN_EXE_fourtuple")
        );
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            &script,
        ]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        let output = command
            .args(["-L", &self.server])
            .args(arguments)
            .output()
            .expect(NO_TMUX);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn seen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the terminal shows all of these words.
    #[track_caller]
    fn wait_for(&self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.seen();
            if words.iter().all(|word| seen.contains(word)) {
                return seen;
            }
            assert!(Instant::now() < deadline, "{words:?} are not in:\n{seen}");
            thread::yield_now();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.server, "kill-server"])
            .output();
    }
}

#[test]
fn a_view_fits_its_window_and_leaves_the_terminal_with_the_report() {
    let server = Relay::start(&[]);
    let arguments = format!(
        "load {} --connections 40 --join room:lobby --publish 10/s --hold 10m --shards 1",
        server.url()
    );
    let terminal = Terminal::start("view", (40, 12), &arguments);
    let small = terminal.wait_for(&["holding", "40 of 40 up", "q ends the run"]);
    assert_eq!(small.lines().count(), 12, "{small}");
    assert!(
        small.lines().all(|line| line.chars().count() <= 40),
        "{small}"
    );
    terminal.tmux(&["resize-window", "-x", "100", "-y", "40"]);
    terminal.wait_for(&[
        "per second:",
        "delivery",
        "p99 now",
        "RLIMIT_NOFILE",
        "processors",
        "█",
        "holding",
    ]);
    terminal.tmux(&["send-keys", "q"]);
    // The report is printed on the screen that was there before, and nothing of the view is left.
    let after = terminal.wait_for(&["NOT held", "STATUS=1"]);
    assert!(!after.contains("q ends the run"), "{after}");
    let state = terminal.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
    assert_eq!(state.trim(), "0 1", "the first screen, with a cursor");
}

#[test]
fn a_signal_gives_the_terminal_back_and_plain_takes_none() {
    let server = Relay::start(&[]);
    let load = format!(
        "load {} --connections 10 --hold 10m --shards 1",
        server.url()
    );
    let terminal = Terminal::start("signal", (80, 24), &load);
    terminal.wait_for(&["holding", "10 of 10 up"]);
    let shell = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
    let child = Command::new("pgrep")
        .args(["-P", shell.trim()])
        .output()
        .expect("procps");
    let pid = String::from_utf8_lossy(&child.stdout).trim().parse().ok();
    let pid = pid
        .and_then(Pid::from_raw)
        .expect("the shell has one child");
    kill_process(pid, Signal::TERM).expect("it is there");
    terminal.wait_for(&["NOT held", "STATUS=1"]);
    let state = terminal.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
    assert_eq!(state.trim(), "0 1", "the first screen, with a cursor");

    let terminal = Terminal::start("plain", (80, 24), &format!("{load} --plain"));
    terminal.wait_for(&["holding", "10 of 10 up"]);
    let state = terminal.tmux(&["display-message", "-p", "#{alternate_on}"]);
    assert_eq!(state.trim(), "0", "{}", terminal.seen());
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.wait_for(&["NOT held", "STATUS=1"]);
}
