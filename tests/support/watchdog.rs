//! Ends a process that hangs, so that it is reported instead of waited for.

use std::{
    process::Child,
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// Watches a process for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// Closed with the watchdog, which tells its thread to go.
    _leash: SyncSender<()>,
}

impl Watchdog {
    /// Kills the process when it is still watched after `patience`.
    pub(crate) fn over(child: &Child, patience: Duration) -> Self {
        let (leash, pulled) = sync_channel(0);
        let pid = Pid::from_child(child);
        thread::spawn(move || {
            if pulled.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                // An error means that it ended in this very moment.
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Self { _leash: leash }
    }
}
