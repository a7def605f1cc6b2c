//! What a person sees while the crowd runs: a live line on a terminal, plain lines elsewhere.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use capacity::Grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    events::Event,
    gauges::{Snapshot, Stage},
    timeline::Period,
};

/// Somebody who wants to know how a run goes.
pub trait Progress {
    /// The crowd as it is now; called several times a second.
    fn update(&mut self, now: &Moment<'_>);

    /// Something has happened that a tool may wait for.
    fn handle_event(&mut self, event: &Event) {
        let _ = event;
    }

    /// A period is over that began at `start_ms` of the run, a second after the one before; each is shown once.
    fn handle_period(&mut self, start_ms: u64, period: &Period) {
        let _ = (start_ms, period);
    }

    /// Something is to be told in words: what a script shows of itself, the steps of a search.
    fn tell(&mut self, text: &str) {
        let _ = text;
    }

    /// The run is over.
    fn finish(&mut self) {}
}

/// One look at a running crowd.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Moment<'a> {
    /// All shards' gauges, added up.
    pub crowd: &'a Snapshot,
    /// Connections that were asked for.
    pub connections: u64,
    /// Time since the run began.
    pub elapsed: Duration,
    /// Time since the current stage began.
    pub in_stage: Duration,
    /// How long everything is to be held.
    pub hold: Duration,
    /// Of a script, the phase that it is in.
    pub phase: Option<PhaseNow<'a>>,
}

/// A phase of a script that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PhaseNow<'a> {
    /// Its name, if it has one.
    pub name: Option<&'a str>,
    /// Its number, from 1.
    pub number: usize,
    /// How many phases there are.
    pub count: usize,
    /// How much of it has passed; all of it while the last users are there.
    pub elapsed: Duration,
    /// How long it takes.
    pub duration: Duration,
}

/// Nobody looks.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&mut self, _: &Moment<'_>) {}
}

impl<P: Progress + ?Sized> Progress for Box<P> {
    fn update(&mut self, now: &Moment<'_>) {
        (**self).update(now);
    }

    fn handle_event(&mut self, event: &Event) {
        (**self).handle_event(event);
    }

    fn handle_period(&mut self, start_ms: u64, period: &Period) {
        (**self).handle_period(start_ms, period);
    }

    fn tell(&mut self, text: &str) {
        (**self).tell(text);
    }

    fn finish(&mut self) {
        (**self).finish();
    }
}

/// One line on a terminal that is written over and over.
#[derive(Debug)]
pub struct LiveLine {
    bar: ProgressBar,
}

impl LiveLine {
    /// A line on standard error.
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{spinner} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { bar }
    }
}

impl Default for LiveLine {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for LiveLine {
    fn update(&mut self, now: &Moment<'_>) {
        self.bar.set_message(line(now));
        self.bar.tick();
    }

    fn tell(&mut self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
        // A search runs more than once.
        *self = Self::new();
    }
}

/// A line every few seconds and at every change of stage, for logs.
#[derive(Debug)]
pub struct PlainLines<W> {
    out: W,
    last: Option<(Instant, Stage)>,
}

/// How often a plain line is written while nothing changes.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(5);

impl<W: Write> PlainLines<W> {
    /// Lines to `out`.
    pub fn new(out: W) -> Self {
        Self { out, last: None }
    }
}

impl<W: Write> Progress for PlainLines<W> {
    fn update(&mut self, now: &Moment<'_>) {
        let is_due = self.last.is_none_or(|(written, stage)| {
            stage != now.crowd.stage || written.elapsed() >= PLAIN_LINE_EVERY
        });
        if is_due {
            self.last = Some((Instant::now(), now.crowd.stage));
            // Whoever reads the log may have gone; the report still counts.
            let _ = writeln!(self.out, "{}", line(now));
        }
    }

    fn tell(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }
}

/// The crowd in one line.
fn line(now: &Moment<'_>) -> String {
    use std::fmt::Write as _;

    let crowd = now.crowd;
    let seconds = now.elapsed.as_secs();
    let mut line = format!("{:02}:{:02} ", seconds / 60, seconds % 60);
    // Writing to a String does not fail.
    let _ = match crowd.stage {
        Stage::Opening => write!(line, "opening"),
        Stage::Holding => {
            write!(
                line,
                "holding {}/{} s",
                now.in_stage.as_secs(),
                now.hold.as_secs()
            )
        }
        Stage::Broadcasting => write!(line, "broadcasting"),
        Stage::Dropping => write!(line, "dropping"),
        Stage::Settling => write!(line, "settling"),
        Stage::Closing => write!(line, "closing"),
    };
    let _ = write!(
        line,
        " · {} of {} up",
        Grouped(crowd.ready),
        Grouped(now.connections)
    );
    for (count, what) in [
        (crowd.failed, "failed"),
        (crowd.dropped, "dropped"),
        (crowd.away, "away"),
        (crowd.published, "published"),
        (crowd.delivered, "delivered"),
        (crowd.answered, "answered"),
    ] {
        if count > 0 {
            let _ = write!(line, " · {} {what}", Grouped(count));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(crowd: &Snapshot) -> Moment<'_> {
        Moment {
            crowd,
            connections: 10_000,
            elapsed: Duration::from_secs(75),
            in_stage: Duration::from_secs(12),
            hold: Duration::from_secs(30),
            phase: None,
        }
    }

    #[test]
    fn says_what_there_is_and_nothing_of_what_there_is_not() {
        let mut crowd = Snapshot {
            stage: Stage::Opening,
            ready: 1_234,
            ..Snapshot::EMPTY
        };
        assert_eq!(line(&moment(&crowd)), "01:15 opening · 1,234 of 10,000 up");
        crowd = Snapshot {
            stage: Stage::Holding,
            dropped: 2,
            delivered: 99_999,
            ..crowd
        };
        assert_eq!(
            line(&moment(&crowd)),
            "01:15 holding 12/30 s · 1,234 of 10,000 up · 2 dropped · 99,999 delivered"
        );
    }

    #[test]
    fn plain_lines_come_at_changes_of_stage() {
        let mut lines = PlainLines::new(Vec::new());
        for stage in [
            Stage::Opening,
            Stage::Opening,
            Stage::Holding,
            Stage::Holding,
        ] {
            lines.update(&moment(&Snapshot {
                stage,
                ..Snapshot::EMPTY
            }));
        }
        let text = String::from_utf8(lines.out).expect("text");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
