//! What a person watches while a crowd runs: the state of the view, and the lines that it becomes.
//!
//! Nothing here knows a terminal. Lines are given by their importance: a window that is too low for all of
//! them shows the first, and one that is too narrow their beginnings.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use capacity::Grouped;
use load::{Measure, Moment, Percentiles, Period, Spectrum, Stage, Used};
use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
};

/// Seconds of connections that the curve shows, at most.
const HISTORY_MAX: usize = 300;
/// Lines of words that are kept.
const WORDS_MAX: usize = 3;
/// Classes of failures and limits that are shown, at most.
const ERRORS_MAX: usize = 5;
const LIMITS_MAX: usize = 6;
/// Whose limits are those of what is watched.
const TARGET: &str = "target";
/// Cells of a bar, and of the label before it.
const BAR_CELLS: usize = 16;
const LABEL_CELLS: usize = 18;
/// From this share on a gauge is yellow, and red.
const WARNS_FROM: f64 = 0.7;
const ALARMS_FROM: f64 = 0.9;

/// Everything that is shown.
#[derive(Debug, Default)]
pub(super) struct View {
    /// What is run: a URL or a script.
    title: String,
    stage: String,
    /// How much of the stage is over, where that is known.
    fraction: Option<f64>,
    elapsed: Duration,
    counts: Vec<(&'static str, u64)>,
    /// Connections that were asked for; 0 where nobody said.
    wanted: u64,
    history: VecDeque<u64>,
    /// The last second, and all of them.
    last: Period,
    all: Period,
    words: VecDeque<String>,
}

impl View {
    /// A view of the run of a URL or a script.
    pub(super) fn of(title: String) -> Self {
        Self {
            title,
            ..Self::default()
        }
    }

    /// Takes a look at the crowd.
    pub(super) fn update(&mut self, now: &Moment<'_>) {
        let crowd = now.crowd;
        self.elapsed = now.elapsed;
        self.wanted = now.connections;
        (self.stage, self.fraction) = match (&now.phase, crowd.stage) {
            (Some(phase), _) => (
                format!(
                    "phase {} of {}{}",
                    phase.number,
                    phase.count,
                    named(phase.name)
                ),
                Some(share(phase.elapsed, phase.duration)),
            ),
            (None, Stage::Opening) => {
                let part = crowd.ready as f64 / now.connections.max(1) as f64;
                ("opening".to_owned(), Some(part))
            }
            (None, Stage::Holding) => ("holding".to_owned(), Some(share(now.in_stage, now.hold))),
            (None, Stage::Broadcasting) => ("broadcasting".to_owned(), None),
            (None, Stage::Dropping) => ("dropping".to_owned(), None),
            (None, Stage::Settling) => ("settling".to_owned(), None),
            (None, _) => ("closing".to_owned(), None),
        };
        self.counts = vec![
            ("failed", crowd.failed),
            ("dropped", crowd.dropped),
            ("away", crowd.away),
        ];
        self.counts.insert(0, ("up", crowd.ready));
    }

    /// Takes what happened in a second.
    pub(super) fn handle_period(&mut self, period: &Period) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(period.open);
        self.all.follow(period.clone());
        self.last = period.clone();
    }

    /// Takes a line of words; tables of several lines are for where there is no view.
    pub(super) fn tell(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() || text.contains('\n') {
            return;
        }
        if self.words.len() == WORDS_MAX {
            self.words.pop_front();
        }
        // What would move the cursor is no text.
        let shown = text.chars().filter(|c| !c.is_control());
        self.words.push_back(shown.collect());
    }

    /// Begins anew with another run of the same search.
    pub(super) fn begin(&mut self) {
        self.history.clear();
        (self.last, self.all) = (Period::default(), Period::default());
    }

    /// The lines of a window of this size, with what ends the run in the last.
    pub(super) fn lines(&self, width: u16, height: u16) -> Vec<Line<'static>> {
        let (width, height) = (usize::from(width), usize::from(height));
        let mut lines = vec![
            self.head(),
            self.bar(width),
            self.count_line(),
            self.rate_line(),
        ];
        lines.extend(self.latency_lines());
        lines.extend(self.error_lines());
        lines.extend(self.words.iter().map(|text| Line::raw(text.clone())));
        lines.extend(self.limit_lines());
        let curve = self.curve_lines(width, height.saturating_sub(lines.len() + 1));
        lines.splice(4..4, curve);
        lines.truncate(height.saturating_sub(1));
        let dim = Style::new().add_modifier(Modifier::DIM);
        lines.resize(height.saturating_sub(1), Line::default());
        lines.push(Line::styled("q ends the run and reports", dim));
        lines
    }

    fn head(&self) -> Line<'static> {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let seconds = self.elapsed.as_secs();
        let text = format!(
            "{:02}:{:02} {} · {}",
            seconds / 60,
            seconds % 60,
            self.stage,
            self.title
        );
        Line::styled(text, bold)
    }

    fn bar(&self, width: usize) -> Line<'static> {
        let cells = width.saturating_sub(6).clamp(1, 60);
        match self.fraction {
            Some(fraction) => {
                let percent = (fraction.clamp(0.0, 1.0) * 100.0).floor();
                let (full, empty) = bar(fraction, cells);
                Line::from(vec![
                    Span::styled(full, Style::new().fg(Color::Cyan)),
                    Span::styled(empty, Style::new().add_modifier(Modifier::DIM)),
                    Span::raw(format!(" {percent:>3} %")),
                ])
            }
            None => Line::default(),
        }
    }

    fn count_line(&self) -> Line<'static> {
        let mut spans = Vec::new();
        for &(name, count) in self
            .counts
            .iter()
            .filter(|&&(name, count)| count > 0 || name == "up")
        {
            let of = match name {
                "up" if self.wanted > 0 => format!(" of {}", Grouped(self.wanted)),
                _ => String::new(),
            };
            let style = match name {
                "failed" | "dropped" => Style::new().fg(Color::Red),
                _ => Style::new(),
            };
            let before = if spans.is_empty() { "" } else { " · " };
            spans.push(Span::raw(before));
            spans.push(Span::styled(
                format!("{}{of} {name}", Grouped(count)),
                style,
            ));
        }
        Line::from(spans)
    }

    fn rate_line(&self) -> Line<'static> {
        let (counts, seconds) = (self.last.counts, self.last.covered_ms as f64 / 1e3);
        let rates = [
            ("dialled", counts.dialled),
            ("ready", counts.readied),
            ("sent", counts.sent),
            ("received", counts.received),
            ("answered", counts.answered),
        ];
        let shown = rates.into_iter().filter(|&(_, count)| count > 0);
        let texts: Vec<_> = shown
            .map(|(name, count)| {
                let rate = (count as f64 / seconds.max(0.001)).round() as u64;
                format!("{} {name}", Grouped(rate))
            })
            .collect();
        match texts.is_empty() {
            true => Line::default(),
            false => Line::raw(format!("per second: {}", texts.join(", "))),
        }
    }

    fn latency_lines(&self) -> Vec<Line<'static>> {
        let all = self
            .all
            .latencies
            .iter()
            .filter(|(_, spectrum)| spectrum.count() > 0);
        let mut lines: Vec<_> = all
            .map(|(&measure, spectrum)| {
                let now = self.last.latencies.get(&measure).map(Spectrum::percentiles);
                latency_line(measure, &spectrum.percentiles(), now.as_ref())
            })
            .collect();
        if !lines.is_empty() {
            let dim = Style::new().add_modifier(Modifier::DIM);
            let head = format!(
                "{:<14}{:>9}{:>9}{:>9}{:>10}",
                "", "median", "p95", "p99", "p99 now"
            );
            lines.insert(0, Line::styled(head, dim));
        }
        lines
    }

    fn error_lines(&self) -> Vec<Line<'static>> {
        let mut errors: Vec<_> = self.all.errors.iter().collect();
        errors.sort_by_key(|&(_, count)| std::cmp::Reverse(*count));
        let red = Style::new().fg(Color::Red);
        let shown = errors.into_iter().take(ERRORS_MAX);
        shown
            .map(|(class, &count)| Line::styled(format!("{} × {class}", Grouped(count)), red))
            .collect()
    }

    fn limit_lines(&self) -> Vec<Line<'static>> {
        let mut limits: Vec<_> = self
            .last
            .limits
            .iter()
            .filter_map(|used| Some((used, used.used / used.ceiling.filter(|&max| max > 0.0)?)))
            .collect();
        limits.sort_by(|a, b| b.1.total_cmp(&a.1));
        // Of many machines the fullest is shown, for each limit.
        let mut known = BTreeSet::new();
        limits.retain(|(used, _)| {
            let is_of_target = used.whose == TARGET;
            known.insert((is_of_target, used.name.as_str()))
        });
        let shown = limits.into_iter().take(LIMITS_MAX);
        shown.map(|(used, share)| limit_line(used, share)).collect()
    }

    /// The curve of connections, as high as there is room and no higher than it can be read.
    fn curve_lines(&self, width: usize, room: usize) -> Vec<Line<'static>> {
        const ROWS_MAX: usize = 6;
        let rows = room.min(ROWS_MAX);
        if rows == 0 || self.history.len() < 2 {
            return Vec::new();
        }
        let skipped = self.history.len().saturating_sub(width);
        let values: Vec<_> = self.history.iter().skip(skipped).copied().collect();
        let most = values.iter().copied().max().unwrap_or(0).max(1);
        let cyan = Style::new().fg(Color::Cyan);
        (0..rows)
            .rev()
            .map(|row| {
                let cells = values.iter().map(|&value| cell(value, most, row, rows));
                Line::styled(cells.collect::<String>(), cyan)
            })
            .collect()
    }
}

fn named(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(", {name}"))
}

fn share(part: Duration, of: Duration) -> f64 {
    part.as_secs_f64() / of.as_secs_f64().max(0.001)
}

/// A bar of so many cells, its full part and its empty part.
fn bar(share: f64, cells: usize) -> (String, String) {
    let full = ((share.clamp(0.0, 1.0) * cells as f64).round() as usize).min(cells);
    ("█".repeat(full), "░".repeat(cells - full))
}

/// What of a column stands in this row, from below.
fn cell(value: u64, most: u64, row: usize, rows: usize) -> char {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let eighths = (value as f64 / most as f64 * (rows * 8) as f64).round() as usize;
    EIGHTHS[eighths.saturating_sub(row * 8).min(8)]
}

fn latency_line(measure: Measure, all: &Percentiles, now: Option<&Percentiles>) -> Line<'static> {
    let now = now.filter(|now| now.count > 0);
    Line::raw(format!(
        "{:<14}{:>9}{:>9}{:>9}{:>10}",
        measure.name().replace('_', " "),
        time(all.p50_us),
        time(all.p95_us),
        time(all.p99_us),
        now.map_or_else(|| "–".to_owned(), |now| time(now.p99_us)),
    ))
}

fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

fn limit_line(used: &Used, share: f64) -> Line<'static> {
    let colour = match share {
        share if share >= ALARMS_FROM => Color::Red,
        share if share >= WARNS_FROM => Color::Yellow,
        _ => Color::Green,
    };
    let label: String = used.name.chars().take(LABEL_CELLS).collect();
    let (full, empty) = bar(share, BAR_CELLS);
    let whose = match used.whose.as_str() {
        "this machine" => String::new(),
        whose => format!(" ({whose})"),
    };
    Line::from(vec![
        Span::raw(format!("{label:<LABEL_CELLS$} ")),
        Span::styled(full, Style::new().fg(colour)),
        Span::styled(empty, Style::new().add_modifier(Modifier::DIM)),
        Span::raw(format!(" {:.0} %{whose}", share * 100.0)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let mut view = View {
            title: "ws://127.0.0.1:4000/socket".to_owned(),
            stage: "holding".to_owned(),
            fraction: Some(0.5),
            elapsed: Duration::from_secs(75),
            counts: vec![("up", 1_234), ("failed", 0), ("dropped", 7)],
            wanted: 2_000,
            ..View::default()
        };
        let mut period = Period::default();
        period.covered_ms = 1_000;
        period.counts.sent = 4_321;
        period.errors.insert("http_status".to_owned(), 12);
        let spectrum = Spectrum::of([(5_000_000, 10)].into_iter());
        period.latencies.insert(Measure::Join, spectrum);
        period.limits = vec![Used::new(
            "this machine",
            "file descriptors",
            95.0,
            Some(100.0),
        )];
        for open in 0..100 {
            period.open = open;
            view.handle_period(&period);
        }
        view.tell("step 1, rising: 100 connections\n");
        view.tell("a table\nof two lines");
        view.tell("evil \u{1b}[2J");
        view
    }

    fn text(view: &View, width: u16, height: u16) -> Vec<String> {
        let lines = view.lines(width, height);
        lines.iter().map(|line| line.to_string()).collect()
    }

    #[test]
    fn a_window_shows_all_of_it() {
        let lines = text(&view(), 100, 30);
        assert_eq!(lines.len(), 30);
        assert_eq!(lines[0], "01:15 holding · ws://127.0.0.1:4000/socket");
        assert!(lines[1].ends_with("░  50 %"), "{}", lines[1]);
        assert_eq!(lines[2], "1,234 of 2,000 up · 7 dropped");
        assert_eq!(lines[3], "per second: 4,321 sent");
        let whole = lines.join("\n");
        for words in [
            "1,200 × http_status",
            "join",
            "5.0 ms",
            "step 1, rising: 100 connections",
            "evil [2J",
            "file descriptors",
            "95 %",
            "q ends the run",
            "█",
        ] {
            assert!(whole.contains(words), "{words}: {whole}");
        }
        assert!(!whole.contains("a table"), "{whole}");
        assert!(!whole.contains('\u{1b}'));
    }

    #[test]
    fn of_many_machines_the_fullest_is_shown_for_each_limit() {
        let mut view = view();
        let mut period = Period::default();
        for number in 0..16 {
            let agent = format!("a{number}:7070");
            period.limits.extend([
                Used::new(&agent, "memory", f64::from(number), Some(100.0)),
                Used::new(&agent, "processors", f64::from(16 - number), Some(16.0)),
            ]);
        }
        period
            .limits
            .push(Used::new("target", "memory", 40.0, Some(100.0)));
        view.handle_period(&period);
        let lines = text(&view, 100, 30);
        let shown: Vec<_> = lines.iter().filter(|line| line.ends_with(')')).collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        for (line, end) in shown
            .iter()
            .zip(["100 % (a0:7070)", "40 % (target)", "15 % (a15:7070)"])
        {
            assert!(line.ends_with(end), "{line}");
        }
    }

    #[test]
    fn a_small_window_shows_what_matters_most() {
        for (width, height) in [(40, 12), (20, 5), (1, 1), (0, 1)] {
            let lines = text(&view(), width, height);
            assert_eq!(lines.len(), usize::from(height));
            assert!(lines.last().is_some_and(|line| line.starts_with("q ends")));
        }
        let lines = text(&view(), 40, 12);
        assert_eq!(lines[2], "1,234 of 2,000 up · 7 dropped");
        assert!(
            lines.iter().any(|line| line.contains("http_status")),
            "{lines:?}"
        );
        assert!(text(&View::default(), 40, 0).len() <= 1);
    }

    #[test]
    fn a_curve_has_its_highest_point_at_the_top() {
        assert_eq!(cell(8, 8, 0, 1), '█');
        assert_eq!(cell(4, 8, 0, 1), '▄');
        assert_eq!(
            (cell(8, 8, 1, 2), cell(4, 8, 1, 2), cell(4, 8, 0, 2)),
            ('█', ' ', '█')
        );
    }
}
