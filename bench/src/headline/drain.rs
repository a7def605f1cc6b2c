//! How the server leaves: SIGTERM while a crowd of all connections is there and stays.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::Value;

use super::crowds::Crowd;
use crate::interrupt::Interrupt;
use crate::leash::Leashed;

/// What was seen of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    /// From SIGTERM to the server's end.
    pub(super) time: Duration,
    /// The server's exit code.
    pub(super) code: Option<i32>,
    /// Connections that were closed with 1012, by the crowd's count.
    pub(super) told: u64,
}

impl Drain {
    /// Waits until `crowd` is complete, and asks `server` to end.
    ///
    /// # Errors
    ///
    /// When the crowd is not there, or when one of them does not end.
    pub(super) fn run(
        mut server: Leashed,
        mut crowd: Crowd,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        crowd.wait_until_it_holds(interrupt)?;
        let start = Instant::now();
        server.terminate()?;
        let status = wait_for_end(&mut server, "server", DRAIN_DEADLINE, interrupt)?;
        let time = start.elapsed();
        wait_for_end(&mut crowd.process, "crowd", CROWD_DEADLINE, interrupt)?;
        Ok(Self {
            time,
            code: exit_code(status),
            told: told_to_come_back(&crowd.report()?),
        })
    }
}

fn wait_for_end(
    process: &mut Leashed,
    name: &str,
    longest: Duration,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = process.ended()? {
            return Ok(status);
        }
        if start.elapsed() > longest {
            let words = process.last_words();
            bail!("the {name} has not ended after {longest:?}; it says:{words}");
        }
        interrupt.pause(END_WINDOW)?;
    }
}

/// Returns the exit code as a shell says it: for an end by a signal, 128 and its number.
fn exit_code(status: ExitStatus) -> Option<i32> {
    status.code().or_else(|| Some(128 + status.signal()?))
}

/// Returns how many connections ended with 1012, which a server says that comes back (`docs/load.md`,
/// `dropped[]`).
fn told_to_come_back(report: &Value) -> u64 {
    let failures = report["dropped"].as_array().map_or(&[][..], Vec::as_slice);
    let told = failures.iter().filter(|failure| {
        let text = failure["text"].as_str().unwrap_or_default();
        failure["class"] == "closed_with_code" && text.ends_with(" 1012")
    });
    told.filter_map(|failure| failure["count"].as_u64()).sum()
}

/// Longer than the server may take, which the bench sets.
const DRAIN_DEADLINE: Duration = Duration::from_secs(240);
/// Everybody's connection is over by then.
const CROWD_DEADLINE: Duration = Duration::from_secs(60);
const END_WINDOW: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_end_by_a_signal_has_a_code() {
        // man 2 wait: the code is the second byte, the signal the first.
        for (status, code) in [(0, 0), (3 << 8, 3), (15, 143), (9, 137)] {
            assert_eq!(exit_code(ExitStatus::from_raw(status)), Some(code));
        }
    }

    #[test]
    fn only_who_was_told_is_counted() {
        let code = "closed_with_code";
        let report = json!({ "dropped": [
            { "class": code, "text": "closed by the server with code 1012", "count": 70 },
            { "class": code, "text": "closed by the server with code 1000", "count": 20 },
            { "class": "reset", "text": "connection reset", "count": 9 },
        ]});
        assert_eq!(told_to_come_back(&report), 70);
        assert_eq!(told_to_come_back(&json!({})), 0);
    }
}
