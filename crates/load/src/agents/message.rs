//! What a coordinator and an agent say to each other.
//!
//! ```text
//! coordinator                                      agent
//!   ask: what is to be done        ───────────►
//!                                  ◄───────────    capacity, or why it cannot
//!   prepare: its part              ───────────►
//!                                  ◄───────────    prepared
//!   ping                           ◄──────────►    pong
//!   start: when                    ───────────►
//!                                  ◄───────────    standing, every second
//!                                  ◄───────────    second or period, every second
//!                                  ◄───────────    arrived (at a gate), line
//!   pass (the gate); end           ───────────►
//!                                  ◄───────────    done, or failed
//!   leave                          ───────────►     closes the session
//! ```
//!
//! Fields are only ever added, and what is added has a default; anything else is another
//! [`VERSION`](super::session::VERSION).

use std::time::Duration;

use capacity::{Holds, Layout, Machine};
use serde::{Deserialize, Serialize};

use crate::{
    gate::{News, Place},
    gauges::Snapshot,
    options::Options,
    outcome::Outcome,
    part::Part,
    proxy::Proxy,
    report::End,
    script::{Bundle, Figures},
    search::Evidence,
    timeline::{Period, Used},
    tls::Tls,
};

/// What is to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// A crowd against a URL; the options are those of the whole run.
    Crowd(Box<Options>),
    /// A script.
    Script(Box<ScriptWork>),
}

/// A script and how it is run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ScriptWork {
    pub(crate) bundle: Bundle,
    /// How many of its arrivals there are, in per cent.
    pub(crate) percent: u64,
    pub(crate) shards: Option<u16>,
    #[serde(with = "crate::spoken::kernel")]
    pub(crate) kernel: engine::KernelChoice,
    pub(crate) connect_timeout: Duration,
    pub(crate) tls: Tls,
    pub(crate) proxy: Option<Proxy>,
}

/// What an agent can carry of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capacity {
    /// Connections that one process can hold there.
    pub(crate) connections_max: u64,
    /// The same with the limit that says so, in a sentence.
    pub(crate) because: String,
    /// Source addresses that it dials from.
    pub(crate) addresses: u64,
    /// Whether a tuple rests after it was used: not on loopback (`tcp_tw_reuse`).
    pub(crate) rests: bool,
    /// Cores that it may run on.
    pub(crate) cores: u64,
}

impl Capacity {
    /// What a process with such a layout, and so many source addresses, can carry on `machine`.
    pub(crate) fn of(layout: &Layout, machine: &Machine, addresses: u64) -> Self {
        let holds = Holds::with(layout, machine);
        Self {
            connections_max: holds.connections_max,
            because: holds.to_string(),
            addresses,
            rests: false,
            cores: machine.cores_count as u64,
        }
    }
}

/// From the coordinator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ToAgent {
    /// What of this can you carry?
    Ask(Work),
    /// Prepare to do this part of what was asked, in the run of this name.
    Prepare { part: Part, run: u64 },
    /// What does your clock show?
    Ping,
    /// Begin when your clock shows this.
    Start { at: Duration },
    /// All have come to this gate; what the others have sent since the last one.
    Pass { place: Place, sent: Vec<(u32, u32)> },
    /// End the run early, with a report.
    End,
    /// That was all: close everything, and then this session.
    Leave,
    /// I am here.
    Alive,
}

/// From the agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromAgent {
    /// Another coordinator is being served.
    Busy {
        who: String,
    },
    Capacity(Capacity),
    /// What was asked cannot be done here.
    Unable {
        why: String,
    },
    Prepared,
    Pong {
        now: Duration,
    },
    /// I am here, and so is my crowd, if there is one.
    Standing(Option<Snapshot>),
    Arrived {
        place: Place,
        news: News,
    },
    /// Something that a script says.
    Line(String),
    /// A period of a crowd against a URL is over that began at `start_ms` of the run; for whoever follows it.
    Second {
        start_ms: u64,
        period: Box<Period>,
    },
    /// A period of a script, and the limits of this machine.
    Period {
        period: u32,
        figures: Box<Figures>,
        limits: Vec<Used>,
        is_last: bool,
    },
    /// The run is over.
    Done(Box<Done>),
    /// The machine has failed.
    Failed {
        why: String,
    },
}

/// What came of a run on one machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Of a crowd against a URL.
    pub(crate) outcome: Option<(Outcome, End)>,
    pub(crate) shards: u16,
    pub(crate) carrier: String,
    /// Processor time that the run took, of all cores.
    pub(crate) cpu: Duration,
    /// How long the run took.
    pub(crate) took: Duration,
    /// What was seen of the machine meanwhile.
    pub(crate) evidence: Evidence,
    pub(crate) is_interrupted: bool,
}
