//! What the kernel says about its own memory.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use capacity::SockStat;
use serde_json::{Value, json};

use crate::interrupt::Interrupt;

/// The memory of the kernel at one moment, in bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct KernelMemory {
    /// Whatever is neither free nor pages of files nor a process's own, less the slab caches in
    /// which the kernel remembers files (`FILE_CACHES`): they come and go with other work. Pages that
    /// a processor keeps to hand out again are free, though `MemFree` does not count them; after
    /// many connections have closed these are hundreds of megabytes.
    pub(super) in_all: u64,
    /// `Slab` of `/proc/meminfo`, less the same caches.
    pub(super) slab: u64,
    /// `MemAvailable`.
    pub(super) available: u64,
    /// Pages of each slab cache (`/proc/slabinfo`, man 5 slabinfo); empty for who may not read it.
    pub(super) caches: BTreeMap<String, u64>,
    /// `mem` of the line `TCP` of `/proc/net/sockstat`: unread and unsent data, in whole pages.
    pub(super) tcp: u64,
    /// Sockets of TCP that exist (`alloc` there).
    pub(super) tcp_sockets: u64,
}

/// Events of the whole machine that end a measurement's worth, since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Distress {
    /// Pages written to swap.
    pub(super) swapped_out: u64,
    /// Processes killed because memory ran out.
    pub(super) out_of_memory: u64,
}

impl KernelMemory {
    pub(super) fn read() -> anyhow::Result<Self> {
        let meminfo = read("/proc/meminfo")?;
        let field = |name: &str| {
            parse_meminfo(&meminfo, name).with_context(|| format!("/proc/meminfo has no {name}"))
        };
        // Only root may read it.
        let slabinfo = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        let caches = parse_slabinfo(&slabinfo);
        let files: u64 = FILE_CACHES
            .iter()
            .filter_map(|name| caches.get(*name))
            .sum();
        let elsewhere = ["MemFree", "Buffers", "Cached", "AnonPages"]
            .into_iter()
            .map(field)
            .sum::<anyhow::Result<u64>>()?;
        let kept = parse_kept_pages(&read("/proc/zoneinfo")?) * rustix::param::page_size() as u64;
        let sockets = SockStat::read();
        let of_tcp = |number: Option<u64>, name| {
            number.with_context(|| format!("/proc/net/sockstat has no {name} of TCP"))
        };
        Ok(Self {
            in_all: field("MemTotal")?.saturating_sub(elsewhere + files + kept),
            slab: field("Slab")?.saturating_sub(files),
            available: field("MemAvailable")?,
            caches,
            tcp: of_tcp(sockets.mem_pages, "mem")? * rustix::param::page_size() as u64,
            tcp_sockets: of_tcp(sockets.alloc_count, "alloc")?,
        })
    }

    /// Waits until the sockets of what ran before are gone, and returns what is left then.
    ///
    /// The kernel gives memory back some time after the last use of it.
    ///
    /// # Errors
    ///
    /// When it still changes after `SETTLE_DEADLINE`.
    pub(super) fn settled(interrupt: &Interrupt) -> anyhow::Result<Self> {
        let deadline = Instant::now() + SETTLE_DEADLINE;
        let mut before = Self::read()?;
        loop {
            interrupt.pause(SETTLE_WINDOW)?;
            let now = Self::read()?;
            let change = now.slab.abs_diff(before.slab);
            if change <= SETTLE_CHANGE_MAX && now.tcp_sockets <= before.tcp_sockets + SOCKETS_SPARE
            {
                return Ok(now);
            }
            if Instant::now() > deadline {
                bail!(
                    "the kernel's memory still changes by {change} bytes in {SETTLE_WINDOW:?}: \
                     other programs on this machine open and close files or connections"
                );
            }
            before = now;
        }
    }

    /// Returns by how much each cache is larger than `before`, the largest first; what has grown by
    /// less than a byte per pair is left out.
    pub(super) fn growth(&self, before: &Self, pairs: f64) -> Vec<(String, f64)> {
        let mut growth: Vec<_> = self
            .caches
            .iter()
            .map(|(name, bytes)| {
                let grown = *bytes as f64 - before.caches.get(name).copied().unwrap_or(0) as f64;
                (name.clone(), grown / pairs)
            })
            .filter(|(name, per_pair)| {
                per_pair.abs() >= 1.0 && !FILE_CACHES.contains(&name.as_str())
            })
            .collect();
        growth.sort_by(|one, other| other.1.total_cmp(&one.1));
        growth
    }

    /// Returns what a pair has cost since `before`, as JSON.
    pub(super) fn per_pair(&self, before: &Self, pairs: f64) -> Value {
        let of = |now: u64, then: u64| (now as f64 - then as f64) / pairs;
        let caches: serde_json::Map<_, _> = self
            .growth(before, pairs)
            .into_iter()
            .map(|(name, bytes)| (name, json!(bytes)))
            .collect();
        json!({
            "in_all": of(self.in_all, before.in_all),
            "slab": of(self.slab, before.slab),
            "slab_by_cache": caches,
            "tcp_buffers": of(self.tcp, before.tcp),
            "less_available": -of(self.available, before.available),
        })
    }
}

impl Distress {
    pub(super) fn read() -> anyhow::Result<Self> {
        let vmstat = read("/proc/vmstat")?;
        let count = |name: &str| {
            let line = vmstat.lines().find_map(|line| line.strip_prefix(name));
            // Kernels without swap or without the counter do not have the line.
            line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
        };
        Ok(Self {
            swapped_out: count("pswpout "),
            out_of_memory: count("oom_kill "),
        })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            swapped_out: self.swapped_out - before.swapped_out,
            out_of_memory: self.out_of_memory - before.out_of_memory,
        }
    }
}

/// Returns the bytes of user-space memory that the process has now: `RssAnon` of
/// `/proc/PID/status`, which costs nothing to read, and is exact to some pages per thread.
pub(super) fn anonymous_bytes_now(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    parse_meminfo(&read(&path)?, "RssAnon").with_context(|| format!("{path} has no RssAnon"))
}

fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// Returns the bytes in a line like `Slab:     144212 kB`.
fn parse_meminfo(meminfo: &str, name: &str) -> Option<u64> {
    let mut rest = meminfo
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kibibytes: u64 = rest
        .next()?
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    Some(kibibytes * 1024)
}

/// Returns the free pages that processors keep for themselves: every `count` of `/proc/zoneinfo`.
fn parse_kept_pages(zoneinfo: &str) -> u64 {
    let counts = zoneinfo.lines().filter_map(|line| {
        let count = line.trim().strip_prefix("count:")?;
        count.trim().parse::<u64>().ok()
    });
    counts.sum()
}

/// Returns the bytes of each cache's slabs: pages of a slab, the sixth word, times slabs, the last but
/// one.
fn parse_slabinfo(slabinfo: &str) -> BTreeMap<String, u64> {
    let page = rustix::param::page_size() as u64;
    let cache = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let pages_per_slab: u64 = words.get(5)?.parse().ok()?;
        let slabs: u64 = words.get(words.len().checked_sub(2)?)?.parse().ok()?;
        Some((words[0].to_owned(), pages_per_slab * slabs * page))
    };
    slabinfo
        .lines()
        .filter(|line| line.contains("slabdata") && !line.starts_with('#'))
        .filter_map(cache)
        .collect()
}

/// Slab caches that grow when files are read and shrink when memory is wanted, none of which a
/// connection uses.
const FILE_CACHES: [&str; 9] = [
    "buffer_head",
    "btrfs_inode",
    "ext4_inode_cache",
    "extent_status",
    "inode_cache",
    "kernfs_node_cache",
    "proc_inode_cache",
    "radix_tree_node",
    "xfs_inode",
];
const SETTLE_WINDOW: Duration = Duration::from_millis(500);
/// A thousand sockets.
const SETTLE_CHANGE_MAX: u64 = 4 << 20;
const SOCKETS_SPARE: u64 = 100;
const SETTLE_DEADLINE: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_its_slabs() {
        let slabinfo = "slabinfo - version: 2.1\n\
            # name <active_objs> ... : tunables <limit> : slabdata <active_slabs> <num_slabs> <sharedavail>\n\
            TCP   92 143 2368 13 8 : tunables 0 0 0 : slabdata 11 12 0\n";
        let caches = parse_slabinfo(slabinfo);
        let page = rustix::param::page_size() as u64;
        assert_eq!(caches, BTreeMap::from([("TCP".to_owned(), 12 * 8 * page)]));
    }

    #[test]
    fn a_field_is_not_mistaken_for_its_namesakes() {
        let meminfo = "SlabX: 1 kB\nSlab:    144 kB\nCached: 7 kB\n";
        assert_eq!(parse_meminfo(meminfo, "Slab"), Some(144 * 1024));
        assert_eq!(parse_meminfo(meminfo, "Cache"), None);
        let sockstat = "UDP: inuse 9 mem 9\nTCP: inuse 1 orphan 0 tw 3 alloc 4 mem 85\n";
        let sockets = SockStat::parse(sockstat, "");
        assert_eq!(sockets.mem_pages, Some(85));
        assert_eq!(sockets.alloc_count, Some(4));
    }

    #[test]
    fn the_pages_of_all_processors_are_counted() {
        let zoneinfo = "Node 0, zone DMA\n  pages free 2816\n  pagesets\n    cpu: 0\n\
                        \x20             count:    63\n              high:     1000\n\
                        \x20   cpu: 1\n              count:    900\n";
        assert_eq!(parse_kept_pages(zoneinfo), 963);
    }

    #[test]
    fn growth_is_told_by_cache_and_without_files() {
        let memory = |caches: &[(&str, u64)]| KernelMemory {
            caches: caches
                .iter()
                .map(|(name, bytes)| ((*name).to_owned(), *bytes))
                .collect(),
            ..KernelMemory::default()
        };
        let before = memory(&[("TCP", 100), ("filp", 100), ("ext4_inode_cache", 0)]);
        let after = memory(&[
            ("TCP", 4_100),
            ("filp", 105),
            ("ext4_inode_cache", 9_000),
            ("ep", 80),
        ]);
        let growth = after.growth(&before, 10.0);
        assert_eq!(growth, [("TCP".to_owned(), 400.0), ("ep".to_owned(), 8.0)]);
    }

    #[test]
    fn this_machine_can_be_read() {
        let memory = KernelMemory::read().unwrap();
        assert!(memory.in_all > memory.slab, "{memory:?}");
        assert!(anonymous_bytes_now(std::process::id()).unwrap() > 0);
        let now = Distress::read().unwrap();
        assert_eq!(
            now.since(now),
            Distress {
                swapped_out: 0,
                out_of_memory: 0
            }
        );
    }
}
