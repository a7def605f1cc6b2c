//! The desk where whole periods go: into a timeline, into what is shown every ten seconds, and into the whole.

use std::time::Instant;

use super::{
    cast::PERIOD, figures::Figures, metrics::Metrics, phases, read::Script, report::shaped,
};
use crate::{
    gauges::Snapshot,
    lookout::Lookout,
    progress::{Moment, Progress},
    run::epoch_ms,
    timeline::{Timeline, Used},
};

/// Periods that are shown together: ten seconds, as in Artillery's reports.
const SHOWN: u32 = 10;
const PERIOD_MS: u64 = PERIOD.as_millis() as u64;

/// Shows whole periods, and keeps what a report needs of them.
pub(crate) struct Desk<'a> {
    script: &'a Script,
    lookout: Lookout,
    /// When the run began, in milliseconds of the epoch.
    pub(crate) began: u64,
    all: Option<Figures>,
    /// The periods since the last that was shown, and the first of them.
    tens: Option<(u32, Figures)>,
    intermediate: Vec<serde_json::Value>,
    timeline: Timeline,
    progress: &'a mut dyn Progress,
    started: Instant,
}

/// What a desk has kept.
pub(crate) struct Filed {
    pub(crate) figures: Figures,
    pub(crate) intermediate: Vec<serde_json::Value>,
    pub(crate) timeline: Timeline,
}

impl<'a> Desk<'a> {
    /// A desk for a run that begins now.
    pub(crate) fn open(
        script: &'a Script,
        lookout: Lookout,
        progress: &'a mut dyn Progress,
    ) -> Self {
        Self {
            script,
            lookout,
            began: epoch_ms(),
            all: None,
            tens: None,
            intermediate: Vec::new(),
            timeline: Timeline::new(PERIOD),
            progress,
            started: Instant::now(),
        }
    }

    /// Shows a line.
    pub(crate) fn line(&mut self, line: &str) {
        self.progress.tell(line);
    }

    /// Shows the users that are there, and the phase.
    pub(crate) fn stand(&mut self, crowd: &Snapshot) {
        let elapsed = self.started.elapsed();
        let phase = phases::now(&self.script.phases, elapsed);
        self.progress.update(&Moment {
            crowd,
            connections: 0,
            elapsed,
            in_stage: phase.map_or(elapsed, |phase| phase.elapsed),
            hold: phase.map_or(elapsed, |phase| phase.duration),
            phase,
        });
    }

    /// Adds what happened outside of all periods.
    pub(crate) fn add(&mut self, figures: Figures) {
        match &mut self.all {
            Some(all) => all.merge(figures),
            none => *none = Some(figures),
        }
    }

    /// Gives what it has kept of a run that is over.
    pub(crate) fn file(mut self) -> Filed {
        self.show();
        self.progress.finish();
        Filed {
            figures: self.all.unwrap_or_default(),
            intermediate: self.intermediate,
            timeline: self.timeline,
        }
    }

    /// A period is over: it goes into the timeline, with the limits of this machine or those that others have
    /// handed in with it, and into those that are shown together.
    pub(crate) fn close(&mut self, period: u32, figures: Figures, handed: Vec<Used>) {
        let start = u64::from(period) * PERIOD_MS;
        let covered = epoch_ms().saturating_sub(self.began + start).min(PERIOD_MS);
        let mut limits = self.lookout.latest();
        limits.extend(handed);
        limits.truncate(Timeline::LIMITS_MAX);
        let seen = figures.period(covered, limits);
        self.progress.handle_period(start, &seen);
        self.timeline.add(start, seen);
        if self
            .tens
            .as_ref()
            .is_some_and(|&(first, _)| period / SHOWN != first / SHOWN)
        {
            self.show();
        }
        match &mut self.tens {
            Some((_, all)) => all.follow(figures),
            none => *none = Some((period / SHOWN * SHOWN, figures)),
        }
        if period % SHOWN == SHOWN - 1 {
            self.show();
        }
    }

    /// Shows the periods that belong together, keeps them as Artillery's reports have them, and adds them
    /// to the whole.
    fn show(&mut self) {
        let Some((first, figures)) = self.tens.take() else {
            return;
        };
        let start = self.began + u64::from(first) * PERIOD_MS;
        let end = (start + u64::from(SHOWN) * PERIOD_MS).min(epoch_ms());
        let seconds = end.saturating_sub(start).max(1) as f64 / 1e3;
        let mut metrics = Metrics::of(&figures, self.script, seconds);
        // A gauge, and so of a period alone.
        metrics
            .counters
            .insert("vusers.active".to_owned(), figures.active);
        self.intermediate
            .push(shaped(&metrics, (start, end), start));
        let line = "-".repeat(38);
        let from_start = end.saturating_sub(self.began) / 1_000;
        let mut text = format!(
            "{line}\nMetrics for period to: {from_start}s (width: {seconds:.0}s)\n{line}\n\n"
        );
        for line in metrics.lines() {
            text.push_str(&line);
            text.push('\n');
        }
        self.progress.tell(&text);
        match &mut self.all {
            Some(all) => all.follow(figures),
            none => *none = Some(figures),
        }
    }
}
