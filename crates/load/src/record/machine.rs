//! The machine that a run was made on.

use std::fs;

use capacity::{Limit, Side, Survey};
use serde::{Deserialize, Serialize};

/// Facts of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MachineFacts {
    /// Its name.
    pub host: String,
    /// Cores that the crowd may run on.
    pub cores: u64,
    /// The model of its processor.
    pub processor: String,
    /// All of its memory.
    pub memory_bytes: u64,
    /// The release of its kernel.
    pub kernel: String,
    /// The program that made the run.
    pub program: String,
    /// The limits of the doctor that bound who dials, as they were after the run.
    pub limits: Vec<Bound>,
}

/// A limit and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Bound {
    /// The limit.
    pub name: String,
    /// Its value as it is written.
    pub value: String,
}

impl MachineFacts {
    /// Reads those of this machine; empty where one cannot be read.
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let line = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map(|(_, value)| value.trim().to_owned())
        };
        let survey = Survey::read();
        let memory = line(&text("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory = memory
            .split(' ')
            .next()
            .and_then(|kib| kib.parse::<u64>().ok());
        let limits = Limit::ALL
            .into_iter()
            .filter(|limit| limit.side() != Side::Server);
        let limits = limits.filter_map(|limit| {
            let reading = survey.reading(limit).ok()?;
            Some(Bound {
                name: limit.name().to_owned(),
                value: reading.text.clone(),
            })
        });
        Self {
            host: text("/proc/sys/kernel/hostname").trim().to_owned(),
            cores: survey.machine.cores_count as u64,
            processor: line(&text("/proc/cpuinfo"), "model name").unwrap_or_default(),
            memory_bytes: memory.unwrap_or(0).saturating_mul(1024),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            program: format!("fourtuple {}", env!("CARGO_PKG_VERSION")),
            limits: limits.collect(),
        }
    }
}
