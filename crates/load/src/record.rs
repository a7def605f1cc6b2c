//! What a run leaves behind, of whatever kind it was: verdict, figures, durations, failures, the plan that
//! was run, the machine it ran on, and what happened over time.
//!
//! It is the key `fourtuple` of `--output`, what the page and JUnit's file are made from, and what
//! [`compare`](crate::compare()) reads. Fields are only ever added.

mod crowd;
mod machine;
mod overview;
mod plan;
mod script;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::{crowd::Behind, plan::of_options, script::ScriptBehind};
pub use self::{
    machine::{Bound, MachineFacts},
    overview::{Moment, Overview},
};
use crate::{agents::MachineReport, failure::FailureCount, latency::Percentiles, search::Found};

/// What a run leaves behind.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Record {
    /// The version of this form: 1. It changes when a field changes its meaning.
    pub version: u32,
    /// What was run.
    pub kind: Kind,
    /// The server's URL, or the script's file.
    pub name: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// Whether it was ended early.
    pub interrupted: bool,
    /// What carried the connections: `epoll` or `io_uring`.
    pub carrier: String,
    /// Threads of the crowd.
    pub shards: u16,
    /// What came of it.
    pub status: Status,
    /// Why it is not met, in sentences.
    pub reasons: Vec<String>,
    /// What kept this machine from generating the load.
    pub limits: Vec<Trouble>,
    /// What was asked of it, and whether it held.
    pub checks: Vec<Check>,
    /// Its key figures.
    pub figures: Vec<Figure>,
    /// Its durations.
    pub latencies: Vec<Row>,
    /// The steps of a script.
    pub steps: Vec<StepRow>,
    /// What failed, and what to do about it.
    pub failures: Vec<Trouble>,
    /// The plan that was run: every option with its value.
    pub plan: Vec<Setting>,
    /// The machine that it ran on.
    pub machine: MachineFacts,
    /// The machines, if there were several.
    pub machines: Vec<MachineReport>,
    /// The search that it was the last run of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Found>,
    /// What happened over time.
    pub timeline: Overview,
    /// The same in few periods, for charts.
    #[serde(skip)]
    pub(crate) charted: Overview,
    /// What stands beside the key `fourtuple`.
    #[serde(skip)]
    pub(crate) beside: Map<String, Value>,
    /// What else stands below it.
    #[serde(skip)]
    pub(crate) more: Map<String, Value>,
}

/// What was run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A crowd against a URL.
    #[default]
    Crowd,
    /// An Artillery script.
    Script,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// Everything that was asked held.
    Met,
    /// Something did not.
    #[default]
    NotMet,
    /// A limit of this machine kept it from generating the load, so the run says nothing about the server.
    NotGenerated,
}

/// Something that was asked of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Check {
    /// What was asked.
    pub expression: String,
    /// Whether it held.
    pub ok: bool,
    /// Whether the run fails with it.
    pub strict: bool,
    /// What there was instead, where that is known.
    pub found: Option<String>,
}

/// A number of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Figure {
    /// Its stable name.
    pub name: String,
    /// The same in words.
    pub title: String,
    /// The number.
    pub value: f64,
    /// What it counts: `connections`, `per second`, `ms`.
    pub unit: String,
    /// Which way is better.
    pub better: Better,
}

/// Which way a number is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Better {
    /// The more, the better.
    More,
    /// The less, the better.
    Less,
    /// It is neither good nor bad.
    #[default]
    Neither,
}

/// One kind of duration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Row {
    /// Its stable name: that of its [`Measure`](crate::Measure) where the timeline has it.
    pub name: String,
    /// The same in words.
    pub title: String,
    /// Its percentiles.
    #[serde(flatten)]
    pub percentiles: Percentiles,
    /// Where the percentiles lie with a confidence of 95 %, by name (`p99_us`): at least, at most.
    pub bounds_us: BTreeMap<String, (u64, u64)>,
}

/// What was measured of one step of a script.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StepRow {
    /// The name of its scenario.
    pub scenario: String,
    /// Where it stands in it.
    pub step: String,
    /// How often it was begun.
    pub begun: u64,
    /// Of these, more than 10 ms after it was meant to.
    pub late: u64,
    /// How much later than meant it was begun.
    pub lateness: Percentiles,
    /// From when it was meant to begin to the message that it waited for.
    pub response: Percentiles,
}

/// A class of failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Trouble {
    /// What happened to whom: `did not get up`, `dropped`, `users failed`.
    pub group: String,
    /// The stable name of the class.
    pub class: String,
    /// The whole sentence.
    pub text: String,
    /// How often it happened.
    pub count: u64,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// One option and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Setting {
    /// Its name, as on the command line.
    pub name: String,
    /// Its value, as one would write it.
    pub value: String,
}

impl Record {
    /// The report as JSON: Artillery's shape, and a key `fourtuple`.
    pub fn to_json(&self) -> String {
        let mut all = self.beside.clone();
        let own = serde_json::to_value(self).expect("the fields are numbers, strings and lists");
        let mut own = match own {
            Value::Object(own) => own,
            _ => Map::new(),
        };
        own.extend(self.more.clone());
        all.insert("fourtuple".to_owned(), Value::Object(own));
        format!("{:#}", Value::Object(all))
    }

    /// Reads a report that [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// A sentence that says what was expected.
    pub fn from_json(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Whole {
            fourtuple: Option<Record>,
        }
        let whole: Whole = serde_json::from_str(text)
            .map_err(|error| format!("it is no report of `--output`: {error}"))?;
        let record = whole.fourtuple.ok_or(
            "it has no key `fourtuple`: expected a report that `fourtuple load … --output FILE` wrote",
        )?;
        if record.version != Self::VERSION {
            return Err(format!(
                "its version is {}: this program reads {}",
                record.version,
                Self::VERSION
            ));
        }
        Ok(record)
    }

    /// How long it took, in seconds.
    pub fn seconds(&self) -> f64 {
        self.ended_ms.saturating_sub(self.began_ms) as f64 / 1e3
    }

    pub(crate) const VERSION: u32 = 1;
    /// Periods of charts, at most.
    pub(crate) const CHARTED_MAX: usize = 120;
}

impl Setting {
    pub(crate) fn new(name: &str, value: impl ToString) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_string(),
        }
    }
}

impl Figure {
    pub(crate) fn new(name: &str, title: &str, value: f64, unit: &str, better: Better) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            value,
            unit: unit.to_owned(),
            better,
        }
    }
}

impl Row {
    /// Of a latency, if anything was measured.
    pub(crate) fn of(name: &str, title: &str, latency: &crate::latency::Latency) -> Option<Self> {
        let percentiles = latency.percentiles();
        let bounds = [
            ("p50_us", 0.5),
            ("p90_us", 0.9),
            ("p99_us", 0.99),
            ("p999_us", 0.999),
        ];
        let bounds = bounds.map(|(name, quantile)| (name.to_owned(), latency.bounds(quantile)));
        (percentiles.count > 0).then(|| Self {
            name: name.to_owned(),
            title: title.to_owned(),
            percentiles,
            bounds_us: bounds.into(),
        })
    }
}

impl Trouble {
    /// A limit of a machine of the crowd.
    pub(crate) fn of_limit(failure: &FailureCount) -> Self {
        Self::of("limits", failure)
    }

    pub(crate) fn of(group: &str, failure: &FailureCount) -> Self {
        Self {
            group: group.to_owned(),
            class: failure.class.to_owned(),
            text: failure.text.clone(),
            count: failure.count,
            remedy: failure.remedy.map(str::to_owned),
        }
    }
}
