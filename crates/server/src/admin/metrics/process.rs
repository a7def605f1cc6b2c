//! What every process can tell of itself, under the names that it has everywhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::super::{limits::Look, observatory::resident_bytes};

/// This process at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Process {
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
    /// Descriptors in the table that the process began with, a few seconds ago at most.
    pub(super) descriptors_count: Option<u64>,
    pub(super) descriptors_max: Option<u64>,
    /// Since 1970.
    pub(super) started: Duration,
}

impl Process {
    pub(super) fn read(started: SystemTime, limits: Option<&Look>) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu: cpu.try_into().unwrap_or_default(),
            resident_bytes: resident_bytes(),
            descriptors_count: limits.and_then(|look| look.descriptors_count),
            descriptors_max: getrlimit(Resource::Nofile).current,
            started: started.duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }
}
