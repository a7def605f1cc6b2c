//! `engine: socketio`: what its scenarios say beyond those of `engine: ws`.
//!
//! - `options`: `config.socketio`, and where that connects;
//! - `steps`: `emit` with `namespace`, `response` and `acknowledge`;
//! - `heard`: the arguments that came for a step so far;
//! - `wanted`: what the step makes of them.

mod heard;
mod options;
mod steps;
#[cfg(test)]
mod tests;
mod wanted;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    heard::Heard,
    options::{Session, connect},
    steps::{Emit, STEPS},
    wanted::{Unwanted, Wanted},
};
use crate::latency::Latency;

/// What sessions of Socket.IO have counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SocketIoFigures {
    /// Events that steps have emitted.
    pub(crate) emits: u64,
    /// Pings of the server that were answered.
    pub(crate) pings: u64,
    /// From the intended dial to the server's consent.
    pub(crate) connect: Latency,
    /// From when a step was meant to emit to the last of what it waited for.
    pub(crate) response: Latency,
}

impl SocketIoFigures {
    /// Adds what another shard or another period has counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.emits += other.emits;
        self.pings += other.pings;
        self.connect.merge(&other.connect);
        self.response.merge(&other.response);
    }

    /// Counts that a step has what it waited for.
    pub(crate) fn answer(&mut self, after: Duration) {
        self.response.record(after);
    }
}
