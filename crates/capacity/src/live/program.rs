//! One of the processes that are looked at: its limits and what it uses of them.

use std::path::Path;

use crate::{
    Gauge, Known, Limit,
    process::{DESCRIPTORS_LISTED_MAX, Pid, Process, Runtime, RuntimeLimit, Sockets},
};

use super::gauge;

/// A process, and what its runtime bounds.
#[derive(Debug)]
pub struct Program {
    /// The process.
    pub process: Process,
    /// What runs it.
    pub runtime: Runtime,
    /// The limits of the runtime.
    pub limits: Vec<RuntimeLimit>,
    /// The sockets among its descriptors, where these may be looked at.
    pub(super) sockets: Option<Sockets>,
}

impl Program {
    /// One of `programs_count`. To look at a descriptor costs the kernel memory, so all of them share
    /// what one may have.
    pub(super) fn read(pid: Pid, programs_count: usize) -> Known<Self> {
        let process = Process::read(Path::new("/"), pid)?;
        let descriptors_max = DESCRIPTORS_LISTED_MAX / programs_count.max(1);
        let sockets = process.sockets_among(descriptors_max).ok();
        let runtime = Runtime::detect(&process);
        let limits = runtime.limits(&process, sockets.as_ref());
        Ok(Self {
            process,
            runtime,
            limits,
            sockets,
        })
    }

    /// How many descriptors it has open, as far as that is known.
    pub(super) fn open_count(&self) -> u64 {
        let descriptors = self.process.descriptors.as_ref();
        descriptors.map_or(0, |it| it.open_count)
    }

    /// What a limit of it is called among those of `programs_count` programs.
    pub(super) fn label(&self, name: &str, programs_count: usize) -> String {
        match programs_count {
            0 | 1 => name.to_owned(),
            _ => format!("{name} of process {}", self.process.pid),
        }
    }

    /// The limits of the process and of its runtime.
    pub(super) fn gauges(&self, programs_count: usize) -> Vec<Gauge> {
        let mut gauges = Vec::new();
        let process = &self.process;
        let label = |name: &str| self.label(name, programs_count);
        let used = process.descriptors.as_ref().map(|it| it.open_count);
        if let (Ok(used), Ok(bounds)) = (used, &process.limits.open_files)
            // The table of one thread says nothing of those of the others.
            && self.runtime != Runtime::Fourtuple
            && !self.limits.iter().any(|it| it.name == Limit::Descriptors.name())
        {
            let label = match programs_count {
                0 | 1 => "descriptors of the process".to_owned(),
                _ => label("descriptors"),
            };
            gauges.push(gauge(Limit::Descriptors, &label, used, bounds.soft));
        }
        for limit in &self.limits {
            if let (Ok(max), Some(used)) = (&limit.value, limit.used) {
                let known = Limit::ALL.into_iter().find(|it| it.name() == limit.name);
                let which = known.unwrap_or(Limit::RuntimeHandles);
                gauges.push(gauge(which, &label(&limit.name), used, *max));
            }
        }
        gauges
    }

    /// The limits of the control groups that it is in, each with the path of the group that binds.
    pub(super) fn group_gauges(&self, programs_count: usize) -> Vec<(String, Gauge)> {
        let groups = &self.process.cgroup;
        let memory = groups.memory.as_ref().ok();
        let pids = groups.pids.as_ref().ok();
        let bounded = [
            (
                Limit::GroupMemory,
                memory.and_then(|group| group.tightest()),
                "memory of its control group",
            ),
            (
                Limit::GroupThreads,
                pids.and_then(|group| group.tightest()),
                "threads of its control group",
            ),
        ];
        let known = bounded.into_iter().filter_map(|(limit, tightest, name)| {
            let (level, left) = tightest?;
            let used = *level.current.as_ref().ok()?;
            let label = match programs_count {
                0 | 1 => name.to_owned(),
                _ => format!("{} {}", name.replace("its", "the"), level.path),
            };
            let max = used.saturating_add(left);
            Some((level.path.clone(), gauge(limit, &label, used, max)))
        });
        known.collect()
    }
}
