//! Ends a process that hangs, so that it is reported instead of waited for.

use std::{
    process::Child,
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// Watches a process for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// Closed with the watchdog, which tells its thread to go.
    leash: SyncSender<()>,
    /// Ends with whether it had to kill.
    watch: JoinHandle<bool>,
}

impl Watchdog {
    /// Kills the process when it is still watched after `patience`.
    pub(crate) fn over(child: &Child, patience: Duration) -> Self {
        let (leash, pulled) = sync_channel(0);
        let pid = Pid::from_child(child);
        let watch = thread::spawn(move || {
            let late = pulled.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            if late {
                // An error means that it ended in this very moment.
                let _ = kill_process(pid, Signal::KILL);
            }
            late
        });
        Self { leash, watch }
    }

    /// Ends the watch, and says whether the process has been killed for its slowness: then its status
    /// is the watchdog's doing and says nothing about the process.
    #[must_use]
    pub(crate) fn had_to_kill(self) -> bool {
        drop(self.leash);
        self.watch.join().expect("the watch does not panic")
    }
}
