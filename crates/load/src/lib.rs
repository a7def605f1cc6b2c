//! The crowd: very many WebSocket clients that are opened, held, driven and counted.
//!
//! [`run()`] takes [`Options`] and gives a [`Report`]. In between, each shard of the engine runs one
//! swarm of clients, and a conductor leads all swarms through the stages of a run.
//!
//! - what is asked: `options`, `target`, `topic`, `rate`, `share`;
//! - when and from where: `schedule` (an open loop), `source` (explicit tuples), `hand`
//!   (something for everybody once per period), `publisher`;
//! - a client: `client` (its state), `speech` (what it says and hears), `account` (what it
//!   was sent), `marker` (how it knows a publish), `comeback` (how it returns);
//! - the shard: `swarm` (the engine's app), `table` (its clients), `gauges` (what it shows), `watch`
//!   (its time);
//! - what came of it: `failure`, `latency`, `arrivals`, `orphans`, `tally`, `outcome`, `report`; over time
//!   `timeline` and `lookout`;
//! - what it leaves behind: `record` (all of it), `page`, `junit`, `compare`;
//! - what others have written down: `script` (Artillery's scripts and their virtual users);
//! - the most that holds: `search`;
//! - many machines: `agents`, `part` (whose connections are whose), `gate` (where all wait for each other),
//!   `sent` (how many publishes each topic has seen), `spoken`;
//! - the whole: `run`, `conductor`, `turns` (who opens when), `handshakes` (how many at once), `progress`, `events`, `interrupt`.
//!
//! *Architecture invariant:* nothing here knows the server crate; the crowd speaks to any server.

#![forbid(unsafe_code)]

mod account;
mod agents;
mod arrivals;
mod client;
mod comeback;
mod compare;
mod conductor;
mod events;
mod exporter;
mod failure;
mod gate;
mod gauges;
mod hand;
mod handshakes;
mod interrupt;
mod junit;
mod latency;
mod lookout;
mod marker;
mod options;
mod orphans;
mod outcome;
mod page;
mod part;
mod progress;
mod proxy;
mod publisher;
mod rate;
mod record;
mod report;
mod run;
mod schedule;
mod script;
mod search;
mod sent;
mod share;
mod source;
mod speech;
mod spoken;
mod swarm;
mod table;
mod tally;
mod target;
mod timeline;
mod tls;
mod topic;
mod turns;
mod watch;
mod way;

#[doc(hidden)]
pub use agents::probe;
pub use agents::{
    AGENT_PORT, Agent, AgentAddress, AgentAddressError, AgentAddresses, AgentError, AgentOptions,
    Agents, AgentsError, MachineReport, OnAgentLoss, Secret, SecretError, TlsError, run_on_agents,
    run_script_on_agents, serve_stdio,
};
pub use client::CLIENT_BYTES;
pub use comeback::Backoff;
pub use compare::{Change, CompareError, Comparison, Difference, Judgement, compare};
pub use engine::KernelChoice;
pub use events::{Event, EventLines, Milestone, Standing};
pub use exporter::{Exported, Exporter};
pub use failure::{Failure, FailureCount, ProxyFailure, SocketIoFailure, TlsFailure};
pub use gauges::{Snapshot, Stage};
pub use interrupt::Interrupt;
pub use latency::Percentiles;
pub use lookout::{WatchError, Watched};
pub use options::{Audience, Dialect, Options, OptionsError, Push, parse_duration};
pub use outcome::{Deliveries, Heartbeats, Publishes, Pushes, Returns};
pub use progress::{LiveLine, Moment, PhaseNow, PlainLines, Progress, Silent};
pub use proxy::{Proxy, ProxyError};
pub use rate::{Rate, RateError};
pub use record::{
    Better, Bound, Check, Figure, Kind, MachineFacts, Moment as Instant, Overview, Record, Row,
    Setting, Status, StepRow, Trouble,
};
pub use report::{Connections, Drop, Latencies, Report, Stages};
pub use run::{LoadError, run};
pub use script::{
    Bundle, Problems, Script, ScriptFlags, ScriptOptions, ScriptReport, USER_BYTES, Verdict,
    read_dotenv, run_after, run_before, run_script,
};
pub use search::{
    Axis, Culprit, Found, Objective, ObjectiveError, Search, SearchError, SearchReport, Step,
    search, search_script,
};
pub use share::{Share, ShareError};
pub use tally::Broadcast;
pub use target::{Target, TargetError};
pub use timeline::{Counts, Measure, Period, Spectrum, Timeline, Used};
pub use tls::Tls;
pub use topic::{TopicError, TopicPattern};
