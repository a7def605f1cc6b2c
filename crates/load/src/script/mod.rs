//! Artillery's scripts: read, checked and compiled, and the virtual users that walk through them.
//!
//! - reading: `tree` (YAML and JSON with places), `problem` (all that is wrong), `fields` (the keys of a
//!   map), `config`, `phases`, `payload`, `ensure` and its `expression`;
//! - a scenario: `flow` and `channel` (its steps) become a `program`, with `connect`, `template`, `names`
//!   (what a name stands for) and `expect` (capture and match);
//! - a user: `memory`.
//!
//! Everything that is wrong with a script is found before the first connection.

#![allow(
    dead_code,
    reason = "scripts are read here, and run from the next change on"
)]

mod alarms;
mod channel;
mod config;
mod connect;
mod ensure;
mod expect;
mod expression;
mod fields;
mod flow;
mod memory;
mod names;
mod payload;
mod phases;
mod problem;
mod program;
mod read;
mod template;
mod tree;

pub use ensure::Verdict;
pub use problem::Problems;
pub use read::{Script, ScriptFlags};

#[cfg(test)]
mod tests;
