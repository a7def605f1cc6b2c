//! What has to be read from the kernel for a look, on a thread that may wait.

use std::time::{Duration, Instant};

use capacity::{
    Limit, Survey,
    sockets::{Filter, Listener, LocalPorts, Sockets, State, States, Tally},
};

/// How long the kernel may take to list the listeners.
const PATIENCE: Duration = Duration::from_secs(2);

/// The machine and this process at one moment.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) survey: Survey,
    /// The listeners on the port of the server, whoever has them; none where they cannot be listed.
    pub(super) listeners: Vec<Listener>,
    /// How long it took to read all of this.
    pub(super) took: Duration,
}

impl Surveyed {
    /// Reads everything; takes milliseconds and may wait.
    pub(super) fn take(port: u16) -> Self {
        let began = Instant::now();
        Self {
            survey: Survey::read(),
            listeners: listeners(port, began + PATIENCE).unwrap_or_default(),
            took: began.elapsed(),
        }
    }

    pub(super) fn descriptors_count(&self) -> Option<u64> {
        self.survey.reading(Limit::Descriptors).ok()?.used
    }
}

/// Without connections: the kernel then looks at listeners alone.
fn listeners(port: u16, deadline: Instant) -> Option<Vec<Listener>> {
    let filter = Filter {
        states: States::only(State::Listen),
        local_port: Some(port),
        ..Filter::default()
    };
    let mut sockets = Sockets::open().ok()?;
    let tally = Tally::take(&mut sockets, &filter, &LocalPorts::default(), deadline);
    tally.ok().map(|tally| tally.listeners)
}
