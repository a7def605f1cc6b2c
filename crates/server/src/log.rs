//! Where the log goes and in which form.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat};

/// Writes the log to standard error from here on, unless the program has set up its own.
pub(crate) fn start(log: &Log) {
    let lines = fmt()
        .with_ansi(io::stderr().is_terminal())
        .with_max_level(log.level)
        .with_writer(io::stderr)
        // A line that cannot be written would be complained of on the same standard error, and the
        // thread that logs panics when that fails: who reads the log must not be able to end a shard.
        .log_internal_errors(false)
        .with_target(false);
    // Fails when a program that uses the library logs already, and then its way is the right one.
    let _ = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}
