//! Who watches a run while it goes on: a person at a terminal, a reader of lines, Prometheus.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use load::{Exporter, Interrupt, Progress, Silent};

use super::screen::{self, Screen};

pub(super) fn args() -> [Arg; 2] {
    [
        Arg::new("plain")
            .long("plain")
            .action(ArgAction::SetTrue)
            .help(
                "Show progress as lines, on a terminal too, instead of a view of the whole screen",
            ),
        Arg::new("metrics")
            .long("metrics")
            .value_name("ADDRESS")
            .value_parser(value_parser!(SocketAddr))
            .help(
                "Show the run to Prometheus at http://ADDRESS/metrics while it goes on, such as \
                 127.0.0.1:9464",
            ),
    ]
}

/// What is open for them; closed when this is dropped.
pub(super) struct Onlookers {
    screen: Option<Screen>,
    exporter: Option<Exporter>,
}

impl Onlookers {
    /// Opens what the flags ask for of the run of `title`. Returns who is to be told, `plain` where there is
    /// no terminal to draw on.
    ///
    /// # Errors
    ///
    /// The address for Prometheus cannot be had.
    pub(super) fn gather(
        matches: &ArgMatches,
        title: String,
        interrupt: &Interrupt,
        plain: impl FnOnce() -> Box<dyn Progress>,
    ) -> anyhow::Result<(Self, Box<dyn Progress>)> {
        let exporter = match matches.get_one::<SocketAddr>("metrics") {
            Some(&addr) => Some(listen(addr)?),
            None => None,
        };
        let is_quiet = matches.get_flag("quiet");
        if let Some(exporter) = exporter.as_ref().filter(|_| !is_quiet) {
            eprintln!("metrics at http://{}/metrics", exporter.addr());
        }
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
        let told: Box<dyn Progress> = match &exporter {
            Some(exporter) => Box::new(exporter.beside(told)),
            None => told,
        };
        Ok((Self { screen, exporter }, told))
    }

    /// Gives the terminal back, for the report, and stops listening.
    pub(super) fn leave(&mut self) {
        self.screen = None;
        self.exporter = None;
    }
}

fn listen(addr: SocketAddr) -> anyhow::Result<Exporter> {
    let words = || format!("cannot listen on {addr} for --metrics: is another program there?");
    Exporter::listen(addr).with_context(words)
}
