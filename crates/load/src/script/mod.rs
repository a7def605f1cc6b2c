//! Artillery's scripts: read, checked and compiled, and the virtual users that walk through them.
//!
//! - reading: `tree` (YAML and JSON with places), `problem` (all that is wrong), `fields` (the keys of a
//!   map), `config`, `phases` with their `storms`, `payload`, `ensure` and its `expression`;
//! - a scenario: `flow` and `channel` (its steps) become a `program`, with `connect`, `template`, `names`
//!   (what a name stands for), `expect` (capture and match) and `sockets` (those besides a user's own);
//! - `socketio`: what Socket.IO has beyond that;
//! - a user: `user` and its `memory`, woken by `alarms`; `links`, where it has several connections or comes back;
//! - a shard: `cast`, the engine's app;
//! - what came of it: `figures`, `metrics` (Artillery's names), `report`;
//! - the whole: `perform`, with `desk` (where periods come together); on many machines `bundle` (what a script
//!   is read from) and `part` (whose users are whose).
//!
//! Everything that is wrong with a script is found before the first connection.

mod alarms;
mod apdex;
mod bundle;
mod cast;
mod channel;
mod config;
mod connect;
mod desk;
mod edge;
mod ensure;
mod expect;
mod expectation;
mod expression;
mod fields;
mod figures;
mod flags;
mod flow;
mod links;
mod memory;
mod metrics;
mod names;
mod part;
mod payload;
mod perform;
mod periods;
mod phases;
mod problem;
mod processor;
mod program;
mod read;
mod report;
mod route;
mod scale;
mod servers;
mod socketio;
mod sockets;
mod storms;
mod template;
mod tls;
mod tree;
mod user;

pub(crate) use self::{
    phases::{Pace, Phase},
    report::Run,
};
pub use bundle::Bundle;
pub(crate) use desk::Desk;
pub use edge::{run_after, run_before};
pub use ensure::Verdict;
pub(crate) use figures::Figures;
pub use flags::{ScriptFlags, read_dotenv};
pub(crate) use part::{SLICES, ScriptPart};
pub(crate) use perform::{Said, capacity, perform_part, prepare, users_held};
pub use perform::{ScriptOptions, run_script};
pub(crate) use periods::Periods;
pub use problem::Problems;
pub use read::Script;
pub use report::ScriptReport;
pub(crate) use user::TOPICS_MAX;
pub use user::USER_BYTES;

#[cfg(test)]
mod tests;
