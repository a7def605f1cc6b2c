//! A terminal in which the binary runs, and what it shows.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
    process::Command,
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, Mode, mkfifoat},
};

use crate::{PATIENCE, support::binary::on_epoll};

/// What is said where the Debian package is not there.
const NO_TMUX: &str = "tmux is not installed: apt-get install tmux (.ci/run does)";

/// A terminal of a server of tmux that is this test's own.
pub(crate) struct Terminal {
    server: String,
    /// Everything that the terminal is told, as it is told.
    told: File,
}

impl Terminal {
    /// A terminal of this size in which a shell runs `arguments` of `fourtuple` and then says its status.
    pub(crate) fn start(name: &str, (width, height): (u16, u16), arguments: &str) -> Self {
        let server = format!("fourtuple-{name}-{}", std::process::id());
        let pipe = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&server);
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("a pipe");
        // Opened for both, it does not end, and opening it waits for nobody.
        let told = File::options().read(true).write(true).open(&pipe);
        let terminal = Self {
            server,
            told: told.expect("ours"),
        };
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
        terminal.tmux(&["pipe-pane", &format!("exec cat > '{}'", pipe.display())]);
        terminal
    }

    pub(crate) fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        let output = command
            .args(["-L", &self.server])
            .args(arguments)
            .output()
            .expect(NO_TMUX);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn seen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the terminal shows all of these words: looks whenever it was told something.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.seen();
            if words.iter().all(|word| seen.contains(word)) {
                return seen;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).expect("a minute at most");
            let mut pipe = [PollFd::new(&self.told, PollFlags::IN)];
            let told = poll(&mut pipe, Some(&left)).expect("it is open");
            assert!(told > 0, "{words:?} are not in:\n{seen}");
            // What it is does not matter: the terminal shows it.
            let _ = (&self.told).read(&mut [0; 1 << 16]).expect("it is open");
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.server, "kill-server"])
            .output();
        let pipe = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&self.server);
        let _ = fs::remove_file(pipe);
    }
}
