//! The floor of a run: what the same connections, bytes and broadcasts cost bare loops over epoll.

use std::time::Duration;

use anyhow::bail;
use capacity::Grouped;
use serde_json::{Value, json};

use super::broadcasts::Broadcast;
use super::fleet::Fleet;
use super::kernel_memory::KernelMemory;
use super::options::Options;
use crate::interrupt::Interrupt;

/// What was measured of the floor.
#[derive(Debug)]
pub(super) struct Bare {
    pub(super) processes: usize,
    pub(super) opening: Duration,
    /// Before the first connection, and with all of them idle.
    pub(super) kernel: [KernelMemory; 2],
    pub(super) broadcasts: Vec<Broadcast>,
    /// Processor time of the servers for all broadcasts.
    pub(super) broadcasts_cpu: Duration,
}

impl Bare {
    pub(super) fn run(
        options: &Options,
        processes: usize,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let connections = options.connections as usize;
        eprintln!(
            "floor: {processes} servers and {processes} crowds, each a process of one thread"
        );
        let mut fleet = Fleet::start(processes, interrupt)?;
        let before = KernelMemory::settled(interrupt)?;
        let opening = fleet.open(connections, options.concurrency as usize)?;
        eprintln!(
            "floor: {} connections joined in {:.1} s",
            Grouped(connections as u64),
            opening.as_secs_f64()
        );
        let cpu_before = fleet.cpu_at_rest()?;
        let idle = KernelMemory::read()?;
        let mut broadcasts = Vec::new();
        for sequence in 1..=options.broadcasts {
            let (start_ns, arrivals) = fleet.broadcast(sequence)?;
            if arrivals.lost + arrivals.duplicated + arrivals.unexpected > 0 {
                bail!(
                    "the floor itself lost {}, repeated {} and invented {} messages: its numbers \
                     are no floor",
                    arrivals.lost,
                    arrivals.duplicated,
                    arrivals.unexpected
                );
            }
            let since = |time: Option<u64>| {
                Duration::from_nanos(time.unwrap_or(start_ns).saturating_sub(start_ns))
            };
            let broadcast = Broadcast {
                first: since(arrivals.first_ns),
                median: since(arrivals.median_ns()),
                last: since(arrivals.last_ns),
                received: arrivals.delivered(),
                lost: 0,
                duplicated: 0,
            };
            eprintln!(
                "floor: broadcast {sequence} took {:.2} s",
                broadcast.last.as_secs_f64()
            );
            broadcasts.push(broadcast);
        }
        let broadcasts_cpu = fleet.cpu_at_rest()?.saturating_sub(cpu_before);
        Ok(Self {
            processes,
            opening,
            kernel: [before, idle],
            broadcasts,
            broadcasts_cpu,
        })
    }

    pub(super) fn to_json(&self, pairs: f64) -> Value {
        let [before, idle] = &self.kernel;
        json!({
            "processes": 2 * self.processes,
            "opening_s": self.opening.as_secs_f64(),
            "kernel_bytes_per_pair": idle.per_pair(before, pairs),
            "broadcasts": self.broadcasts.iter().map(|it| it.to_json()).collect::<Vec<_>>(),
            "broadcasts_cpu_s": self.broadcasts_cpu.as_secs_f64(),
        })
    }
}
