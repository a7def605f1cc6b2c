//! What a number of connections needs of a machine that has both ends of each, and what this one
//! has of it.

use std::path::Path;

use anyhow::bail;
use capacity::ledger::connection_bytes;
use capacity::{End, Grouped, Kernel, Layout, Ledger, Machine, TcpMemory};

use super::options::Options;
use super::sysctls::Sysctl;

/// What the run wants to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// Connections, each of which has both its ends here.
    pub(super) pairs: u64,
    /// Processes and threads at most, of all parts of the run together.
    pub(super) threads: u64,
    /// Whether connections are watched by epoll: by the floor, or by the product.
    pub(super) epoll: bool,
    /// Open files that are none of this run's.
    pub(super) files_before: u64,
    /// Whether this process may open files beyond `fs.file-max`.
    pub(super) files_unlimited: bool,
    /// Whether the bare floor has as many connections first.
    pub(super) floor: bool,
    /// How the product's server keeps its end of them.
    pub(super) layout: Layout,
    /// The marks up to which a broadcast of the product may be unread.
    pub(super) tcp_memory: Option<TcpMemory>,
    /// Memory that can be had, bytes.
    pub(super) memory_available: u64,
}

/// One limit that must or should be higher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unmet {
    pub(super) sysctl: Sysctl,
    /// What it is now.
    pub(super) found: String,
    pub(super) why: &'static str,
    /// Whether the run cannot succeed without it.
    pub(super) hard: bool,
}

impl Demand {
    /// Reads the state of this machine for what `options` ask, with so many `threads`.
    pub(super) fn read(options: &Options, threads: u64) -> Self {
        let machine = Machine::read();
        Self {
            pairs: options.connections.into(),
            threads,
            epoll: !options.no_floor || options.kernel != "uring",
            floor: !options.no_floor,
            layout: options.server_layout(&machine),
            tcp_memory: machine.tcp_memory,
            files_before: machine.files_open_count.unwrap_or(0),
            files_unlimited: machine.is_file_max_exempt,
            memory_available: machine.memory_available_bytes.unwrap_or(u64::MAX),
        }
    }

    /// Returns the limits below `root` that are too low.
    pub(super) fn unmet(&self, root: &Path) -> anyhow::Result<Vec<Unmet>> {
        let mut unmet = Vec::new();
        for need in self.needs() {
            let Some(found) = Sysctl::read(root, need.name)? else {
                continue; // A kernel without the limit does not impose it.
            };
            if need.place >= found.len() {
                bail!(
                    "{} has {} numbers, which is fewer than expected",
                    need.name,
                    found.len()
                );
            }
            if found[need.place] >= need.least {
                continue;
            }
            let mut wanted = found.clone();
            // What follows must not be lower, as the three marks of tcp_mem.
            for number in &mut wanted[need.place..] {
                *number = need.least.max(*number);
            }
            unmet.push(Unmet {
                sysctl: Sysctl {
                    name: need.name.to_owned(),
                    value: words(&wanted),
                },
                found: words(&found),
                why: need.why,
                hard: need.hard,
            });
        }
        Ok(unmet)
    }

    /// Fails when there is not enough memory, which no limit can change.
    pub(super) fn require_memory(&self) -> anyhow::Result<()> {
        let needed = self.needed_bytes(self.pairs);
        if needed > self.memory_available {
            bail!(
                "{} connections with both ends on this machine need about {} MB, at {} bytes a pair \
                 and with a broadcast that is not read yet; {} MB are available: ask for at most {} \
                 connections",
                Grouped(self.pairs),
                Grouped(needed / 1_000_000),
                Grouped(self.pair_bytes()),
                Grouped(self.memory_available / 1_000_000),
                Grouped(self.pairs_max()),
            );
        }
        Ok(())
    }

    /// Returns what `pairs` need of the machine in all, with what a broadcast leaves unread.
    fn needed_bytes(&self, pairs: u64) -> u64 {
        let unread_bytes = Ledger::of(pairs, &self.layout, self.tcp_memory).unread_bytes();
        pairs * self.pair_bytes() + unread_bytes + self.threads * THREAD_BYTES
    }

    /// Returns what an idle pair takes of the machine: by the ledger of the product, on the carrier that
    /// takes more, or of the floor.
    fn pair_bytes(&self) -> u64 {
        let of_floor = if self.floor { FLOOR_PAIR_BYTES } else { 0 };
        let of_product = [Kernel::Epoll, Kernel::Uring].map(product_pair_bytes);
        of_product.into_iter().fold(of_floor, u64::max)
    }

    /// Returns how many of the connections there is memory for.
    fn pairs_max(&self) -> u64 {
        let (mut fit, mut too_many) = (0, self.pairs);
        while too_many - fit > 1 {
            let middle = u64::midpoint(fit, too_many);
            if self.needed_bytes(middle) <= self.memory_available {
                fit = middle;
            } else {
                too_many = middle;
            }
        }
        fit
    }

    fn needs(&self) -> Vec<Need> {
        let handshakes = HANDSHAKES.min(self.pairs);
        let mut needs = vec![
            Need {
                name: "fs.file-max",
                least: self.files_before + 2 * self.pairs + FILES_OF_THREAD * self.threads,
                why: "two files for each connection, one at each end, and those of the programs",
                hard: !self.files_unlimited,
                place: 0,
            },
            Need {
                name: "net.core.somaxconn",
                least: handshakes,
                why: "the queue of connections that wait for accept(); a client that does not fit tries \
                      again after a second",
                hard: false,
                place: 0,
            },
            Need {
                name: "net.ipv4.tcp_max_syn_backlog",
                least: handshakes,
                why: "handshakes of TCP that may be under way",
                hard: false,
                place: 0,
            },
            Need {
                name: "net.ipv4.tcp_mem",
                least: self.pairs / UNREAD_SHARE,
                why: "pages of messages that are sent and not yet read during a broadcast to all; \
                      beyond the last of the three the kernel drops what arrives",
                hard: false,
                place: 2,
            },
            Need {
                name: "kernel.threads-max",
                least: self.threads + THREADS_SPARE,
                why: "threads of the server, of the crowd and of the floor",
                hard: true,
                place: 0,
            },
            Need {
                name: "kernel.pid_max",
                least: self.threads + THREADS_SPARE,
                why: "each thread has a number of its own",
                hard: true,
                place: 0,
            },
            Need {
                name: "vm.max_map_count",
                least: MAPS_OF_THREAD * self.threads + THREADS_SPARE,
                why: "stacks and rings of many threads in one process",
                hard: true,
                place: 0,
            },
        ];
        if self.epoll {
            needs.push(Need {
                name: "fs.epoll.max_user_watches",
                least: 2 * self.pairs + FILES_OF_THREAD * self.threads,
                why: "each end of each connection is watched, by programs of one user",
                hard: true,
                place: 0,
            });
        }
        needs
    }
}

struct Need {
    name: &'static str,
    least: u64,
    why: &'static str,
    hard: bool,
    /// Which of its numbers is meant.
    place: usize,
}

/// Returns what an idle pair of the product takes by its ledger: both ends, in the kernel and in both
/// programs.
pub(super) fn product_pair_bytes(kernel: Kernel) -> u64 {
    connection_bytes(End::Server, kernel) + connection_bytes(End::Crowd, kernel)
}

fn words(numbers: &[u64]) -> String {
    let words: Vec<_> = numbers.iter().map(u64::to_string).collect();
    words.join(" ")
}

/// What a pair of the floor takes of the machine in all: 8,802 bytes in the kernel, as measured with
/// 2,000,000, and what its two programs keep of it.
const FLOOR_PAIR_BYTES: u64 = 8_900;
/// Stack, tables and buffers of a thread or process, generously.
const THREAD_BYTES: u64 = 1 << 20;
/// epoll, listener, wake-up, pipes and libraries of a part, rounded up.
const FILES_OF_THREAD: u64 = 24;
const MAPS_OF_THREAD: u64 = 16;
const THREADS_SPARE: u64 = 2_000;
/// As many handshakes as both crowds have under way, and room for a storm.
const HANDSHAKES: u64 = 2_048;
/// Of all connections, one in so many may have an unread message at a time: readers and writers
/// share the cores.
const UNREAD_SHARE: u64 = 8;

#[cfg(test)]
mod tests {
    use capacity::Tables;

    use super::*;

    const DEMAND: Demand = Demand {
        pairs: 2_000_000,
        threads: 600,
        epoll: true,
        floor: true,
        layout: Layout {
            end: End::Server,
            kernel: Kernel::Epoll,
            shards: 106,
            tables: Tables::PerShard,
            admin_connections: 0,
        },
        tcp_memory: Some(TcpMemory {
            low: 287_901,
            pressure: 383_869,
            high: 575_802,
        }),
        files_before: 600,
        files_unlimited: false,
        memory_available: 23_000_000_000,
    };

    /// A folder like `/proc/sys` with these limits.
    fn machine(name: &str, limits: &[(&str, &str)]) -> std::path::PathBuf {
        let root =
            std::env::temp_dir().join(format!("fourtuple-needs-{name}-{}", std::process::id()));
        for (limit, value) in limits {
            let path = root.join(limit.replace('.', "/"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, value).unwrap();
        }
        root
    }

    #[test]
    fn what_is_too_low_is_named_with_the_command() {
        let root = machine(
            "low",
            &[
                ("fs.file-max", "2466170\n"),
                ("net.core.somaxconn", "4096\n"),
                ("net.ipv4.tcp_mem", "1000\t2000\t3000\n"),
                ("fs.epoll.max_user_watches", "4014400\n"),
            ],
        );
        let unmet = DEMAND.unmet(&root).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        let commands: Vec<_> = unmet.iter().map(|it| it.sysctl.command()).collect();
        assert_eq!(
            commands,
            [
                "sysctl -w fs.file-max=\"4015000\"",
                "sysctl -w net.ipv4.tcp_mem=\"1000 2000 250000\"",
            ]
        );
        assert_eq!(unmet[0].found, "2466170");
        assert!(unmet[0].hard && !unmet[1].hard);
    }

    #[test]
    fn who_may_open_more_files_need_not_raise_the_limit() {
        let root = machine("privileged", &[("fs.file-max", "1000\n")]);
        let demand = Demand {
            files_unlimited: true,
            ..DEMAND
        };
        let unmet = demand.unmet(&root).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(unmet.len(), 1);
        assert!(!unmet[0].hard);
    }

    #[test]
    fn too_little_memory_is_refused_with_what_would_fit() {
        DEMAND.require_memory().unwrap();
        let demand = Demand {
            memory_available: 8_000_000_000,
            ..DEMAND
        };
        let words = demand.require_memory().unwrap_err().to_string();
        let fit = demand.pairs_max();
        assert!(
            words.contains(&format!("at most {} connections", Grouped(fit))),
            "{words}"
        );
        assert!(demand.needed_bytes(fit) <= demand.memory_available);
        assert!(demand.needed_bytes(fit + 1) > demand.memory_available);
    }

    /// With 2,000,000 pairs the kernel took 8,802 bytes for each of the floor's, and with both programs
    /// 8,909 for each of the product's.
    #[test]
    fn no_less_memory_is_asked_for_than_was_measured() {
        let product_alone = Demand {
            floor: false,
            ..DEMAND
        };
        assert!(DEMAND.pair_bytes() >= 8_802);
        assert!(product_alone.pair_bytes() * 100 >= 8_909 * 99);
        let unread_bytes = DEMAND.needed_bytes(DEMAND.pairs)
            - DEMAND.pairs * DEMAND.pair_bytes()
            - DEMAND.threads * THREAD_BYTES;
        // A message for each page of TCP memory up to the mark: its payload and what describes it.
        assert!(unread_bytes > 287_901 * 1_000, "{unread_bytes}");
    }
}
