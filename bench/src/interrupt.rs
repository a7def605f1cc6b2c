//! SIGINT, SIGTERM and SIGHUP as an error of whatever the bench is waiting for.
//!
//! Every wait of the headline is a [`Interrupt::pause`], and the comparison looks between what it
//! measures. So an interrupted run returns through all its callers, and what they own ends as it does at
//! the end of a whole run: children are killed and reaped, limits restored, files removed.

use std::fs;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

/// The signals that have come.
#[derive(Debug)]
pub(crate) struct Interrupt {
    signals: Receiver<i32>,
}

impl Interrupt {
    /// Takes the signals from now on. More of them change nothing: what the first one begins is
    /// short, and is to be finished.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        let path = "/proc/self/status";
        let status = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let mut wanted = vec![SIGINT, SIGTERM];
        // Who was started by nohup stays when its terminal goes.
        if !ignores(&status, SIGHUP) {
            wanted.push(SIGHUP);
        }
        let mut signals = Signals::new(wanted).context("cannot listen for Ctrl-C")?;
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::spawn(move || {
            for signal in signals.forever() {
                // One is enough.
                let _ = sender.try_send(signal);
            }
        });
        Ok(Self { signals: receiver })
    }

    /// Waits for `stretch`.
    ///
    /// # Errors
    ///
    /// When a signal comes or has come.
    pub(crate) fn pause(&self, stretch: Duration) -> anyhow::Result<()> {
        match self.signals.recv_timeout(stretch) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(signal) => bail!(
                "interrupted by {}; everything it had started is ended",
                signal_name(signal).unwrap_or("a signal")
            ),
            Err(RecvTimeoutError::Disconnected) => bail!("nobody listens for signals any more"),
        }
    }

    /// Fails when a signal has come.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.pause(Duration::ZERO)
    }
}

/// Says whether a process with this `status` ignores `signal` (man 5 proc_pid_status, `SigIgn`).
fn ignores(status: &str, signal: i32) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let set = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    set.is_some_and(|set| set >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_bit_by_bit() {
        let status = "SigBlk:\t0000000000000003\nSigIgn:\t0000000000001001\n";
        for (signal, ignored) in [
            (SIGHUP, true),
            (SIGINT, false),
            (13, true),
            (SIGTERM, false),
        ] {
            assert_eq!(ignores(status, signal), ignored, "{signal}");
        }
        assert!(!ignores("", SIGHUP));
    }
}
