//! `fourtuple doctor --watch`: the gauges again and again, with the time that is left at their rate.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Stdout},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use capacity::{Approach, Live, Trend, process::Pid};
use ratatui::{
    Frame, Terminal,
    backend::TermionBackend,
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use termion::{
    raw::{IntoRawMode as _, RawTerminal},
    screen::{AlternateScreen, IntoAlternateScreen as _},
};

/// Cells of a bar.
const BAR_CELLS: usize = 20;
/// Cells of a label.
const LABEL_CELLS: usize = 52;
/// From this share on a gauge is yellow, and red.
const WARNS_FROM: f64 = 0.7;
const ALARMS_FROM: f64 = 0.9;
/// Lines that the alarms at the foot may take.
const ALARM_LINES: u16 = 9;

/// Looks until a key ends it; without a terminal, until the program is ended.
///
/// # Errors
///
/// There is nothing to look at (any more), or the terminal fails.
pub(super) fn run(
    pid: Option<u32>,
    port: Option<u16>,
    interval: Duration,
) -> anyhow::Result<ExitCode> {
    let mut watch = Watch {
        pids: super::live::named(pid, port)?,
        port,
        trend: Trend::default(),
        started: Instant::now(),
    };
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        let mut screen = Screen::open()?;
        loop {
            let (live, approaches) = watch.look()?;
            screen.draw(&live, &approaches)?;
            if screen.is_left_within(interval)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    loop {
        let (live, approaches) = watch.look()?;
        super::print(&plain(&live, &approaches, watch.started.elapsed()))?;
        wait(&mut [], interval).context("cannot wait")?;
    }
}

/// What is watched.
struct Watch {
    /// Found once: another program on the port later is another program.
    pids: Vec<Pid>,
    port: Option<u16>,
    trend: Trend,
    started: Instant,
}

impl Watch {
    fn look(&mut self) -> anyhow::Result<(Live, Vec<Approach>)> {
        let live = Live::look(&self.pids, self.port).context("cannot look at the process")?;
        let approaches = self.trend.look(self.started.elapsed(), live.gauges());
        Ok((live, approaches))
    }
}

/// The whole terminal, given back at the end.
struct Screen {
    terminal: Terminal<TermionBackend<AlternateScreen<RawTerminal<Stdout>>>>,
    keys: File,
}

impl Screen {
    fn open() -> anyhow::Result<Self> {
        let keys = File::open("/dev/tty").context("cannot listen to the keyboard")?;
        let screen = io::stdout()
            .into_raw_mode()
            .and_then(|raw| raw.into_alternate_screen())
            .context("cannot take the terminal; without one, use `--watch` in a pipe")?;
        let terminal = Terminal::new(TermionBackend::new(screen)).context("cannot draw")?;
        Ok(Self { terminal, keys })
    }

    fn draw(&mut self, live: &Live, approaches: &[Approach]) -> anyhow::Result<()> {
        self.terminal
            .draw(|frame| draw(frame, live, approaches))
            .context("cannot draw")?;
        Ok(())
    }

    /// Waits so long, less if a key is pressed; whether it was one that ends the watch.
    fn is_left_within(&mut self, interval: Duration) -> anyhow::Result<bool> {
        let mut fds = [PollFd::new(&self.keys, PollFlags::IN)];
        if !wait(&mut fds, interval).context("cannot listen to the keyboard")? {
            return Ok(false);
        }
        let mut bytes = [0; 16];
        let len = self
            .keys
            .read(&mut bytes)
            .context("cannot listen to the keyboard")?;
        const CTRL_C: u8 = 3;
        const ESCAPE: u8 = 27;
        let leaves = |byte: &u8| matches!(*byte, b'q' | CTRL_C | ESCAPE);
        // Nothing to read is a terminal that is gone.
        Ok(len == 0 || bytes[..len].iter().any(leaves))
    }
}

/// Waits for `fds` or for the end of `time`; whether one of them is ready.
fn wait(fds: &mut [PollFd<'_>], time: Duration) -> Result<bool, Errno> {
    let time = Timespec::try_from(time).map_err(|_| Errno::INVAL)?;
    match poll(fds, Some(&time)) {
        Ok(count) => Ok(count > 0),
        // The window has another size: draw anew.
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn draw(frame: &mut Frame<'_>, live: &Live, approaches: &[Approach]) {
    let rows = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(3),
        Constraint::Max(ALARM_LINES),
        Constraint::Length(1),
    ]);
    let [head, body, foot, keys] = rows.areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Line::styled(title(live), bold), head);
    let lines: Vec<_> = approaches.iter().map(gauge_line).collect();
    frame.render_widget(Paragraph::new(lines), body);
    let words = live.cautions().into_iter().chain(live.alarms());
    let alarms: Vec<_> = words.map(Line::from).collect();
    let alarms = Paragraph::new(alarms).wrap(Wrap { trim: true });
    frame.render_widget(alarms.style(Style::new().fg(Color::Red)), foot);
    let dim = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Line::styled("q ends the watch", dim), keys);
}

fn title(live: &Live) -> String {
    let Some(first) = live.programs.first() else {
        return "this machine".to_owned();
    };
    let runtime = first.runtime.name();
    let runtime = runtime.map_or_else(String::new, |name| format!(" ({name})"));
    let pids = live.programs.iter().map(|it| it.process.pid.to_string());
    let pids: Vec<_> = pids.collect();
    let noun = if pids.len() == 1 {
        "process"
    } else {
        "processes"
    };
    let program = first.process.program();
    format!("{noun} {}: {program}{runtime}", pids.join(", "))
}

fn gauge_line(approach: &Approach) -> Line<'static> {
    let gauge = &approach.gauge;
    let share = gauge.share();
    let colour = match share {
        share if share >= ALARMS_FROM => Color::Red,
        share if share >= WARNS_FROM || gauge.is_beyond_knee() => Color::Yellow,
        _ => Color::Green,
    };
    let filled = ((share * BAR_CELLS as f64).ceil() as usize).min(BAR_CELLS);
    let label: String = gauge.label.chars().take(LABEL_CELLS).collect();
    Line::from(vec![
        Span::raw(format!("{label:<LABEL_CELLS$} ")),
        Span::styled("█".repeat(filled), Style::new().fg(colour)),
        Span::styled(
            "░".repeat(BAR_CELLS - filled),
            Style::new().add_modifier(Modifier::DIM),
        ),
        Span::raw(format!(" {}", approach.measure())),
    ])
}

/// A look as lines of text.
fn plain(live: &Live, approaches: &[Approach], at: Duration) -> String {
    let mut text = format!("{:.1} s  {}\n", at.as_secs_f64(), title(live));
    for approach in approaches {
        text += &format!("  {}: {}\n", approach.gauge.label, approach.measure());
    }
    for alarm in live.cautions().into_iter().chain(live.alarms()) {
        text += &format!("  ! {alarm}\n");
    }
    text
}
