//! The crowd: very many WebSocket clients that are opened, held, driven and counted.
//!
//! [`run()`] takes [`Options`] and gives a [`Report`]. In between, each shard of the engine runs one
//! swarm of clients, and a conductor leads all swarms through the stages of a run.
//!
//! - what is asked: `options`, `target`, `topic`, `rate`;
//! - when and from where: `schedule` (an open loop), `source` (explicit tuples), `hand`
//!   (something for everybody once per period), `publisher`;
//! - a client: `client` (its state), `speech` (what it says and hears), `account` (what it
//!   was sent), `marker` (how it knows a publish);
//! - the shard: `swarm` (the engine's app), `table` (its clients), `gauges` (what it shows), `watch`
//!   (its time);
//! - what came of it: `failure`, `latency`, `arrivals`, `orphans`, `outcome`, `report`;
//! - the whole: `run`, `progress`, `interrupt`.
//!
//! *Architecture invariant:* nothing here knows the server crate; the crowd speaks to any server.

#![forbid(unsafe_code)]

mod account;
mod arrivals;
mod client;
mod failure;
mod gauges;
mod hand;
mod interrupt;
mod latency;
mod marker;
mod options;
mod orphans;
mod outcome;
mod progress;
mod publisher;
mod rate;
mod report;
mod run;
mod schedule;
mod source;
mod speech;
mod swarm;
mod table;
mod target;
mod topic;
mod watch;

pub use failure::{Failure, FailureCount};
pub use gauges::{Snapshot, Stage};
pub use interrupt::Interrupt;
pub use latency::Percentiles;
pub use options::{Audience, Dialect, Options, OptionsError, Push, parse_duration};
pub use outcome::{Deliveries, Heartbeats, Publishes, Pushes};
pub use progress::{LiveLine, Moment, PlainLines, Progress, Silent};
pub use rate::{Rate, RateError};
pub use report::{Connections, Latencies, Report};
pub use run::{LoadError, run};
pub use target::{Target, TargetError};
pub use topic::{TopicError, TopicPattern};
