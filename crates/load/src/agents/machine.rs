//! What a report says of each machine of a crowd.

use std::fmt;

use capacity::Grouped as G;
use serde::Serialize;

use crate::latency::{Micros, Percentiles};

/// One machine of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
    /// Why it was lost, if it was.
    pub lost: Option<String>,
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
        write!(f, "  {:<24}{:>5.1} %", one.agent, one.share * 100.0)?;
        if let Some(why) = &one.lost {
            writeln!(f, "   LOST: {why}")?;
            continue;
        }
        writeln!(
            f,
            "   {} asked, {} ready, {} held; {} threads on {}, {} % of a core, dialled {} late (p99), clock ± {}",
            G(one.asked),
            G(one.ready),
            G(one.held),
            one.shards,
            one.carrier,
            one.cpu_percent,
            Micros(one.lateness.p99_us),
            Micros(one.clock_uncertainty_us),
        )?;
    }
    Ok(())
}
