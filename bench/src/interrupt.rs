//! SIGINT and SIGTERM as an error of whatever the bench is waiting for.
//!
//! Every wait of the headline is a [`Interrupt::pause`], so an interrupted run returns through all
//! its callers, and what they own ends as it does at the end of a whole run: children are killed
//! and reaped, limits restored, files removed.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

/// The one place where the headline waits.
#[derive(Debug)]
pub(crate) struct Interrupt {
    signals: Receiver<i32>,
}

impl Interrupt {
    /// Takes the signals from now on. More of them change nothing: what the first one begins is
    /// short, and is to be finished.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for Ctrl-C")?;
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
