//! Opening the connections of a plan: how long it takes, and how long the server may pause meanwhile.

use std::fmt;

use serde::Serialize;

use super::{
    Program, Question,
    text::{heading, row, sentence},
};
use crate::{Grouped, Limit};

/// Connections that may wait to be accepted by one listener: `net.core.somaxconn` where nobody has set it.
pub const ACCEPT_QUEUE_COUNT: u64 = 4_096;

/// The pause of a server that a plan reckons with, seconds: a collection of garbage, a broadcast, a
/// neighbour on the same core.
pub const PAUSE_SECONDS: u64 = 1;

/// How connections are opened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Opening {
    /// The rate that the plan is asked for.
    pub connects_per_second: u64,
    /// Seconds until all are open.
    pub ramp_seconds: f64,
    /// Connections that come during a pause of a second, and have to find room.
    pub accept_queue_needed_count: u64,
    /// What one listener has room for by default.
    pub accept_queue_count: u64,
    /// Listeners that take new connections at one time.
    pub listeners_count: u64,
    /// Seconds that the server may pause before the default queues of its listeners are full.
    pub pause_seconds_max: f64,
    /// The same for a server with one listener.
    pub one_listener_pause_seconds_max: f64,
}

impl Opening {
    pub(super) fn of(question: &Question) -> Self {
        let rate = question.connects_per_second.get();
        let layout = question.server_layout(question.connections_count());
        let listeners = match question.program {
            // Each shard listens; of more than there are cores, as many as there are cores at a time.
            Program::Fourtuple => layout.shards.min(question.server.cores_count.max(1)).into(),
            Program::Other { .. } => 1,
        };
        let pause = |listeners: u64| (ACCEPT_QUEUE_COUNT * listeners) as f64 / rate as f64;
        Self {
            connects_per_second: rate,
            ramp_seconds: question.connections_count() as f64 / rate as f64,
            accept_queue_needed_count: rate.saturating_mul(PAUSE_SECONDS),
            accept_queue_count: ACCEPT_QUEUE_COUNT,
            listeners_count: listeners,
            pause_seconds_max: pause(listeners),
            one_listener_pause_seconds_max: pause(1),
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "Opening")?;
        row(
            f,
            "until all are open, s",
            Grouped(self.ramp_seconds.ceil() as u64),
            &format!("at {} a second", Grouped(self.connects_per_second)),
        )?;
        row(
            f,
            "come in a pause of 1 s",
            Grouped(self.accept_queue_needed_count),
            &format!(
                "for {} and the backlog of listen()",
                Limit::AcceptQueue.name()
            ),
        )?;
        row(
            f,
            "pause that is forgiven, s",
            format!("{:.1}", self.one_listener_pause_seconds_max),
            &format!("with a queue of {}", Grouped(self.accept_queue_count)),
        )?;
        if self.listeners_count > 1 {
            row(
                f,
                "",
                format!("{:.1}", self.pause_seconds_max),
                &format!("with {} of them, as fourtuple has", self.listeners_count),
            )?;
        }
        if self.accept_queue_needed_count > self.accept_queue_count * self.listeners_count {
            sentence(
                f,
                "Whoever finds the queue full tries again after 1, 3, 7 … seconds: raise it, or connect \
                 more slowly.",
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;
    use crate::plan::{Host, PHOENIX_RECORD};

    fn question() -> Question {
        Question::new(NonZero::new(2_000_000).expect("not zero"))
    }

    #[test]
    fn two_million_at_five_thousand_a_second() {
        let opening = Opening::of(&Question {
            program: PHOENIX_RECORD,
            ..question()
        });
        assert_eq!(opening.ramp_seconds, 400.0);
        assert_eq!(opening.accept_queue_needed_count, 5_000);
        assert_eq!(format!("{:.1}", opening.pause_seconds_max), "0.8");
        assert!(opening.to_string().contains("raise it"), "{opening}");
        let slow = Opening::of(&Question {
            connects_per_second: NonZero::new(1_000).expect("not zero"),
            ..question()
        });
        assert_eq!(slow.ramp_seconds, 2_000.0);
    }

    #[test]
    fn as_many_listeners_as_cores_take_connections_at_a_time() {
        let listeners = |cores_count, descriptors_max| {
            let server = Host {
                cores_count,
                descriptors_max,
                ..Host::default()
            };
            let opening = Opening::of(&Question {
                server,
                ..question()
            });
            opening.listeners_count
        };
        assert_eq!(listeners(2, 20_000), 2);
        assert_eq!(listeners(16, 1 << 20), 16);
        assert_eq!(listeners(0, 1 << 23), 1);
    }

    #[test]
    fn more_queues_forgive_more() {
        let opening = Opening::of(&question());
        assert_eq!(opening.pause_seconds_max, 16.0 * 4_096.0 / 5_000.0);
        assert!(!opening.to_string().contains("raise it"), "{opening}");
    }
}
