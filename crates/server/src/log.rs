//! Where the log goes and in which form, and how much is said.

use std::{
    io::{self, IsTerminal as _},
    sync::OnceLock,
};

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, Registry, fmt, layer::SubscriberExt as _, registry, reload,
    util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat};

/// How the level is changed, once the log is ours.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// The program around the server logs in a way of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the program around the server has set up the log; its level is changed there")]
pub(crate) struct NotOurs;

/// Writes the log to standard error from here on, unless the program has set up its own.
pub(crate) fn start(log: &Log) {
    let (level, handle) = reload::Layer::new(log.level);
    let lines = fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // A line that cannot be written would be complained of on the same standard error, and the
        // thread that logs panics when that fails: who reads the log must not be able to end a shard.
        .log_internal_errors(false)
        .with_target(false);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // Fails when a program that uses the library logs already, and then its way is the right one.
    if registry().with(level).with(lines).try_init().is_ok() {
        // This program can have set up one log only.
        let _ = LEVEL.set(handle);
    }
}

/// How much is said now.
pub(crate) fn level() -> LevelFilter {
    LevelFilter::current()
}

/// Whether its level can be changed here.
pub(crate) fn is_ours() -> bool {
    LEVEL.get().is_some()
}

/// Says as much from here on.
///
/// # Errors
///
/// The log is not ours.
pub(crate) fn set_level(level: LevelFilter) -> Result<(), NotOurs> {
    let handle = LEVEL.get().ok_or(NotOurs)?;
    handle.reload(level).map_err(|_| NotOurs)
}
