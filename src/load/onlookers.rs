//! Who watches a run while it goes on: a person at a terminal, or a reader of lines.

use clap::{Arg, ArgAction, ArgMatches};
use load::{Interrupt, Progress, Silent};

use super::screen::{self, Screen};

pub(super) fn args() -> [Arg; 1] {
    [Arg::new("plain")
        .long("plain")
        .action(ArgAction::SetTrue)
        .help("Show progress as lines, on a terminal too, instead of a view of the whole screen")]
}

/// What is open for them; closed when this is dropped.
pub(super) struct Onlookers {
    screen: Option<Screen>,
}

impl Onlookers {
    /// Opens what the flags ask for of the run of `title`. Returns who is to be told, `plain` where there is
    /// no terminal to draw on.
    pub(super) fn gather(
        matches: &ArgMatches,
        title: String,
        interrupt: &Interrupt,
        plain: impl FnOnce() -> Box<dyn Progress>,
    ) -> (Self, Box<dyn Progress>) {
        let is_quiet = matches.get_flag("quiet");
        let has_view = !is_quiet && !matches.get_flag("plain") && screen::is_there();
        // Where the terminal is not to be had, lines will do.
        let screen = has_view
            .then(|| Screen::open(title, interrupt).ok())
            .flatten();
        let told: Box<dyn Progress> = match &screen {
            Some(screen) => Box::new(screen.progress()),
            None if is_quiet => Box::new(Silent),
            None => plain(),
        };
        (Self { screen }, told)
    }

    /// Gives the terminal back, for the report.
    pub(super) fn leave(&mut self) {
        self.screen = None;
    }
}
