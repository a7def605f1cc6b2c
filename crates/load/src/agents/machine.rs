//! What a report says of each machine of a crowd.

use std::fmt;

use capacity::Grouped as G;
use serde::{Deserialize, Serialize};

use crate::{
    latency::{Micros, Percentiles},
    record::Trouble,
    search::Evidence,
};

/// One machine of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MachineReport {
    /// The agent, as it was named.
    pub agent: String,
    /// Its share of the run, from 0 to 1.
    pub share: f64,
    /// Connections that it can carry.
    pub can_carry: u64,
    /// Connections that it was to open; of a script, users that arrived.
    pub asked: u64,
    /// Those that got ready; of a script, users that came to the end of their scenario.
    pub ready: u64,
    /// Those that were still there at the end; of a script, none.
    pub held: u64,
    /// Its threads.
    pub shards: u16,
    /// What carried the connections: `epoll` or `io_uring`.
    pub carrier: String,
    /// How much later than intended connections were dialled.
    pub lateness: Percentiles,
    /// Processor time that its agent took over the run, in hundredths of one core.
    pub cpu_percent: u64,
    /// How far its clock may have been from the coordinator's at the start.
    pub clock_uncertainty_us: u64,
    /// What kept it from generating its part of the load.
    pub limits: Vec<Trouble>,
    /// Why it was lost, if it was.
    pub lost: Option<String>,
    /// What was seen of it from outside.
    #[serde(skip)]
    pub(crate) evidence: Evidence,
    /// Its source tuples, where each rests after it was used.
    #[serde(skip)]
    pub(crate) tuples: Option<u64>,
}

impl MachineReport {
    /// What it did, in words.
    pub(crate) fn deeds(&self) -> String {
        if let Some(why) = &self.lost {
            return format!("LOST: {why}");
        }
        format!(
            "{} asked, {} ready, {} held; {} threads on {}, {} % of a core, dialled {} late (p99), clock ± {}",
            G(self.asked),
            G(self.ready),
            G(self.held),
            self.shards,
            self.carrier,
            self.cpu_percent,
            Micros(self.lateness.p99_us),
            Micros(self.clock_uncertainty_us),
        )
    }
}

/// Writes the machines of a run, a line each; nothing where there are none.
pub(crate) fn write_machines(
    f: &mut fmt::Formatter<'_>,
    machines: &[MachineReport],
) -> fmt::Result {
    if machines.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nmachines")?;
    for one in machines {
        let (share, deeds) = (one.share * 100.0, one.deeds());
        writeln!(f, "  {:<24}{share:>5.1} %   {deeds}", one.agent)?;
        for limit in &one.limits {
            writeln!(f, "    {} × {}", G(limit.count), limit.text)?;
        }
    }
    Ok(())
}
