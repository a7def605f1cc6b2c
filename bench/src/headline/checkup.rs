//! `fourtuple doctor` over the run's own sockets: how long it takes to count them.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::row::{Row, Target};

/// One look of the doctor at the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checkup {
    /// Sockets that it counted: both ends of each connection, and those of others.
    pub(super) sockets: u64,
    /// From its start to its end.
    pub(super) time: Duration,
}

impl Checkup {
    /// Lets the doctor look for the server at `addr`.
    pub(super) fn run(binary: &Path, addr: SocketAddrV4) -> anyhow::Result<Self> {
        let port = addr.port().to_string();
        let began = Instant::now();
        let output = Command::new(binary)
            .args(["doctor", "--port", &port, "--json"])
            .output()
            .context("cannot start the doctor")?;
        let time = began.elapsed();
        let found: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            let words = String::from_utf8_lossy(&output.stderr);
            format!("the doctor does not print its findings; it says: {words}")
        })?;
        let Some(states) = found["sockets"]["by_state"].as_object() else {
            bail!(
                "the doctor has counted no sockets: {}",
                found["sockets_unknown"]
            );
        };
        Ok(Self {
            sockets: states.values().filter_map(Value::as_u64).sum(),
            time,
        })
    }

    /// What the report has of it: both ends of all `pairs` are to be counted.
    pub(super) fn rows(&self, pairs: f64) -> [Row; 2] {
        let (sockets, seconds) = (self.sockets as f64, self.time.as_secs_f64());
        [
            Row::new(
                "doctor_sockets",
                "doctor, sockets counted",
                0,
                Some(sockets),
            )
            .target(Target::AtLeast(2.0 * pairs)),
            Row::new("doctor_s", "  seconds for all of it", 2, Some(seconds)),
        ]
    }
}
