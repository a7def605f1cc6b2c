//! What happens in a run as lines of JSON, each written at once, so that a tool can follow the run.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

use crate::{
    gauges::Snapshot,
    progress::{Moment, Progress},
    tally::Broadcast,
    timeline::Period,
};

/// Something that a tool may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The run has come so far.
    Stage {
        /// How far.
        stage: Milestone,
        /// Seconds since the start of the run.
        at_s: f64,
        /// The connections at this moment.
        connections: Standing,
    },
    /// A broadcast is over.
    Broadcast {
        /// Seconds since the start of the run.
        at_s: f64,
        /// What came of it.
        #[serde(flatten)]
        broadcast: Broadcast,
    },
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Milestone {
    /// The first connection is dialled.
    Opening,
    /// Every connection is up or has failed.
    Opened,
    /// Everything is held.
    Holding,
    /// The first broadcast leaves.
    Broadcasting,
    /// A share of the connections is ended, and comes back.
    Dropping,
    /// Nothing is sent any more.
    Settling,
    /// Everything is closed.
    Closing,
    /// All is over; the report follows.
    Done,
}

/// The connections at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Standing {
    /// Asked for.
    pub asked: u64,
    /// Their WebSocket is open.
    pub open: u64,
    /// Open, and joined if that was asked.
    pub ready: u64,
    /// They could not be opened.
    pub failed: u64,
    /// They were ready once and are gone for good.
    pub dropped: u64,
    /// They were ready once and are to come back.
    pub away: u64,
}

impl Standing {
    pub(crate) fn new(asked: u64, crowd: &Snapshot) -> Self {
        Self {
            asked,
            open: crowd.open,
            ready: crowd.ready,
            failed: crowd.failed,
            dropped: crowd.dropped,
            away: crowd.away,
        }
    }
}

/// Seconds to the millisecond.
pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1e3
}

/// Writes every event as a line of JSON, and lets somebody else show the progress.
#[derive(Debug)]
pub struct EventLines<W, P> {
    out: W,
    progress: P,
    failure: Option<io::Error>,
}

impl<W: Write, P: Progress> EventLines<W, P> {
    /// Lines to `out`; `progress` sees everything, too.
    pub fn new(out: W, progress: P) -> Self {
        Self {
            out,
            progress,
            failure: None,
        }
    }

    /// What became of the lines.
    ///
    /// # Errors
    ///
    /// The first line that could not be written; there are none after it.
    pub fn result(self) -> io::Result<()> {
        self.failure.map_or(Ok(()), Err)
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        // As one piece, so that nobody reads half a line.
        self.out.write_all(&line)?;
        self.out.flush()
    }
}

impl<W: Write, P: Progress> Progress for EventLines<W, P> {
    fn update(&mut self, now: &Moment<'_>) {
        self.progress.update(now);
    }

    fn handle_event(&mut self, event: &Event) {
        if self.failure.is_none() {
            self.failure = self.write(event).err();
        }
        self.progress.handle_event(event);
    }

    fn handle_period(&mut self, start_ms: u64, period: &Period) {
        self.progress.handle_period(start_ms, period);
    }

    fn tell(&mut self, text: &str) {
        self.progress.tell(text);
    }

    fn finish(&mut self) {
        self.progress.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{progress::Silent, tally::Tally};

    fn opened() -> Event {
        let crowd = Snapshot {
            open: 3,
            ready: 2,
            ..Snapshot::EMPTY
        };
        Event::Stage {
            stage: Milestone::Opened,
            at_s: seconds(Duration::from_micros(1_500_999)),
            connections: Standing::new(4, &crowd),
        }
    }

    /// Tools read these names: they are promised in docs/load.md.
    #[test]
    fn events_are_lines_of_json_with_promised_names() {
        let mut lines = EventLines::new(Vec::new(), Silent);
        lines.handle_event(&opened());
        let mut tally = Tally::default();
        tally.record(Duration::from_millis(4));
        lines.handle_event(&Event::Broadcast {
            at_s: 2.0,
            broadcast: Broadcast::new(1, &tally),
        });
        let text = String::from_utf8(lines.out).expect("text");
        let written: Vec<_> = text.lines().collect();
        assert_eq!(
            written[0],
            r#"{"event":"stage","stage":"opened","at_s":1.5,"connections":{"asked":4,"open":3,"ready":2,"failed":0,"dropped":0,"away":0}}"#
        );
        assert!(
            written[1].starts_with(r#"{"event":"broadcast","at_s":2.0,"number":1,"#),
            "{}",
            written[1]
        );
        assert_eq!(written.len(), 2);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_told_at_the_end() {
        let mut full = [0_u8; 4];
        let mut lines = EventLines::new(&mut full[..], Silent);
        lines.handle_event(&opened());
        lines.handle_event(&opened());
        assert!(lines.result().is_err());
    }
}
