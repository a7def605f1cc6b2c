//! The limits of the machine that the crowd runs on, as far as looking once a second costs nothing.

use std::{fs, time::Instant};

use capacity::{Limit, Machine, SockStat};
use rustix::time::{ClockId, clock_gettime};

use crate::timeline::Used;

/// Whose limits these are.
pub(super) const WHOSE: &str = Used::OWN;

/// Looks at this machine.
#[derive(Debug)]
pub(super) struct Own {
    /// What does not change from one look to the next. Reading it again would list the descriptors of this
    /// process, before Linux 6.2.
    machine: Machine,
    memory_bytes: Option<u64>,
    /// When was looked last, and the seconds of processors of this process then.
    before: Option<(Instant, f64)>,
}

impl Own {
    pub(super) fn new() -> Self {
        Self {
            machine: Machine::read(),
            memory_bytes: meminfo_bytes("MemTotal:"),
            before: None,
        }
    }

    pub(super) fn look(&mut self) -> Vec<Used> {
        let machine = &self.machine;
        // Where every thread has a table of its own, this is the one that the process began with.
        let descriptors = fs::metadata("/proc/self/fd").map(|folder| folder.len());
        let descriptors = descriptors.ok().filter(|&count| count > 0);
        let files_max = machine.file_max.filter(|_| !machine.is_file_max_exempt);
        let files = fs::read_to_string("/proc/sys/fs/file-nr").ok();
        let files = files.and_then(|text| text.split_whitespace().next()?.parse().ok());
        let memory = self.memory_bytes.zip(meminfo_bytes("MemAvailable:"));
        let memory = memory.map(|(all, left)| all.saturating_sub(left));
        let pages_max = machine.tcp_memory.as_ref().map(|memory| memory.high);
        let limits = [
            (Limit::Descriptors, descriptors, Some(machine.nofile.soft)),
            (Limit::OpenFiles, files, files_max),
            (Limit::TcpMemory, SockStat::read().mem_pages, pages_max),
            (Limit::Memory, memory, self.memory_bytes),
        ];
        let known = limits.into_iter().filter_map(|(limit, used, max)| {
            Some(Used {
                whose: WHOSE.to_owned(),
                name: limit.name().to_owned(),
                used: used? as f64,
                // What is so great is no limit.
                ceiling: max.filter(|&max| max < u64::MAX / 2).map(|max| max as f64),
            })
        });
        let mut all: Vec<_> = known.collect();
        all.extend(self.processors());
        all
    }

    fn processors(&mut self) -> Option<Used> {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        let (then, before) = self.before.replace((Instant::now(), seconds))?;
        let passed = then.elapsed().as_secs_f64().max(0.001);
        Some(Used {
            whose: WHOSE.to_owned(),
            name: "processors".to_owned(),
            used: ((seconds - before) / passed).max(0.0),
            ceiling: Some(self.machine.cores_count as f64),
        })
    }
}

/// A line of /proc/meminfo.
fn meminfo_bytes(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}
