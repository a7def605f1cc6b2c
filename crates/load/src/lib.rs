//! The crowd: clients as state machines, schedules, histograms, reports.
#![forbid(unsafe_code)]
#![allow(dead_code)]
mod account;
mod arrivals;
mod client;
mod failure;
mod gauges;
mod hand;
mod latency;
mod marker;
mod options;
mod outcome;
mod publisher;
mod rate;
mod schedule;
mod source;
mod speech;
mod table;
mod target;
mod topic;
pub use failure::{Failure, FailureCount};
pub use latency::Percentiles;
pub use options::{Audience, Dialect, Options, OptionsError, Push, parse_duration};
pub use rate::{Rate, RateError};
pub use target::{Target, TargetError};
pub use topic::{TopicError, TopicPattern};
