//! What an `ssh` says on its standard error: kept for the error message, of which it is the best part.

use std::{
    io::{self, Read as _},
    process::ChildStderr,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

/// Bytes that are kept, at most: the last.
const KEPT_BYTES: usize = 4 << 10;
/// Characters of the line that is told, at most.
const LINE_CHARS: usize = 300;
/// How long the end of the words is waited for, once their process has ended: another may hold them open.
const PATIENCE: Duration = Duration::from_millis(500);

/// The words of one process, as they come.
#[derive(Debug)]
pub(super) struct Words {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Closed when there will be no more of them.
    ended: Receiver<()>,
}

impl Words {
    /// Listens, so that nothing that is said holds up the process.
    pub(super) fn of(stderr: Option<ChildStderr>) -> Self {
        let kept = Arc::<Mutex<Vec<u8>>>::default();
        let (alive, ended) = mpsc::sync_channel(0);
        if let Some(stderr) = stderr {
            let into = Arc::clone(&kept);
            // Without a thread nothing is told: the pipe is closed then, and `ssh` goes on without it.
            let _ = thread::Builder::new()
                .name("ssh words".to_owned())
                .spawn(move || {
                    listen(stderr, &into);
                    drop(alive);
                });
        }
        Self { kept, ended }
    }

    /// Forgets what was said so far.
    pub(super) fn forget(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clear();
    }

    /// The last line that says something, of a process that has ended.
    pub(super) fn last(&self) -> Option<String> {
        // Nothing is ever sent: closed or too late, what is there counts.
        let _ = self.ended.recv_timeout(PATIENCE);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        last_line(&kept)
    }
}

fn listen(mut stderr: ChildStderr, kept: &Mutex<Vec<u8>>) {
    let mut bytes = [0; 1 << 10];
    loop {
        let count = match stderr.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&bytes[..count]);
        let surplus = kept.len().saturating_sub(KEPT_BYTES);
        kept.drain(..surplus);
    }
}

/// The last line that is neither empty nor one of `ssh`'s warnings, such as that of a host key that is new or of
/// a key exchange that is old.
fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim);
    let is_warning = |line: &str| line.starts_with("Warning:") || line.starts_with("** ");
    let mut told = lines.filter(|line| !line.is_empty() && !is_warning(line));
    // What would move the cursor is no text.
    let plain = |line: &str| -> String {
        let shown = line.chars().filter(|c| !c.is_control());
        shown.take(LINE_CHARS).collect()
    };
    told.next_back().map(plain)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_last_line_that_says_something_is_told() {
        for (bytes, line) in [
            (&b""[..], None),
            (b"\r\n \n", None),
            (b"Warning: Permanently added 'a' to the list.\r\n", None),
            (
                b"Warning: x\nme@a: Permission denied (publickey).\r\n\n",
                Some("me@a: Permission denied (publickey)."),
            ),
            (
                b"** WARNING: connection is not using a post-quantum key exchange algorithm.\r\n** See x\r\n",
                None,
            ),
            (b"red \x1b[31m\xff", Some("red [31m\u{fffd}")),
        ] {
            assert_eq!(last_line(bytes).as_deref(), line);
        }
    }

    #[test]
    fn however_much_is_said_the_process_is_not_held_up_and_the_end_is_kept() {
        let mut child = Command::new("sh")
            .args(["-c", "seq 100000 >&2; echo the end >&2"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let words = Words::of(child.stderr.take());
        assert!(child.wait().expect("our child").success());
        assert_eq!(words.last().as_deref(), Some("the end"));
        assert!(words.kept.lock().expect("no panic").len() <= KEPT_BYTES);
        words.forget();
        assert_eq!(words.last(), None);
    }
}
