//! How a program keeps its connections: in how many shards, and with whose descriptors.
//!
//! The limit on descriptors bounds a *table*. Where each shard has one to itself ([`Tables`]), more
//! shards hold more connections, so their number follows from how many are wanted:
//!
//! ```text
//!  descriptors of a table       20,000   the lower of RLIMIT_NOFILE (hard) and fs.nr_open
//!  not for connections            -148   everything else the process has open, and a wake-up per shard;
//!                                        with one table for all, a server's admin connections, too
//!  lobby                           -64   room to answer 503 when the shard is full; a server's only
//!  seats of a shard             19,788   c
//!  connections a shard is for   18,961   m, so that m + 6 * sqrt(m) <= c; a crowd's m is c
//!  shards for 2,000,000            106
//! ```
//!
//! A crowd deals its connections out evenly. A server's come by the hash of `SO_REUSEPORT`, like balls
//! into bins: n connections over s shards give each n/s on average, with the deviation
//! sqrt(n/s * (1 - 1/s)) of a binomial. Six of these stay free, so that of a thousand shards one is
//! overfull in a million starts.

use std::fmt;

use crate::{Machine, Tables};

/// The most shards of a process.
pub const SHARDS_MAX: u16 = 1_024;

/// The descriptors of a process that are not connections: epoll instances, listeners, wake-ups,
/// files, logs, and one spare to read /proc with when the rest is gone. Many shards need more.
pub const DESCRIPTORS_RESERVED: u64 = 100;

/// Those of them that do not belong to any shard.
const DESCRIPTORS_OF_PROCESS: u64 = 40;

/// Connections of a server's control plane, when nobody decides. They fit beside everything else into the
/// [`DESCRIPTORS_RESERVED`] of a process with a few shards.
pub const ADMIN_CONNECTIONS: u16 = 48;

/// What a shard of a server keeps free of connections, for those that are told that it is full.
const LOBBY: u64 = 64;

/// How many deviations of its share a shard keeps free.
const DEVIATIONS: f64 = 6.0;

/// Which end of its connections a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// It accepts, and the kernel chooses the shard.
    Server,
    /// It dials, and deals its connections to its shards by itself.
    Crowd,
}

/// The interface of the machine that carries connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// epoll, `man 7 epoll`.
    Epoll,
    /// io_uring, `man 7 io_uring`, with direct descriptors.
    Uring,
}

/// How one process keeps its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Which end it is.
    pub end: End,
    /// What carries it.
    pub kernel: Kernel,
    /// How many shards it has, 1 to [`SHARDS_MAX`].
    pub shards: u16,
    /// Whose descriptors its shards use.
    pub tables: Tables,
    /// How many connections its control plane may have, which are none of its shards'; a server's only.
    pub admin_connections: u16,
}

impl Layout {
    /// One shard per core; tables are divided only where they are by nature, on io_uring.
    pub fn of_cores(machine: &Machine, end: End, kernel: Kernel) -> Self {
        let tables = match kernel {
            Kernel::Epoll => Tables::PerProcess,
            Kernel::Uring => Tables::PerShard,
        };
        Self {
            end,
            kernel,
            shards: machine.cores_count.clamp(1, SHARDS_MAX.into()) as u16,
            tables,
            admin_connections: match end {
                End::Server => ADMIN_CONNECTIONS,
                End::Crowd => 0,
            },
        }
    }

    /// The same with as much of it changed as `wanted` connections need: tables are divided if one is too
    /// small and `possible` allows it, and shards are added if their tables are too small together. What
    /// comes closest, when nothing is enough.
    ///
    /// Shards that an operator has counted are `fixed`, and none is added.
    pub fn for_connections(
        self,
        wanted: u64,
        fixed: Option<u16>,
        possible: Tables,
        machine: &Machine,
    ) -> Self {
        self.for_connections_at(wanted, fixed, possible, table_size(machine))
    }

    /// As [`Layout::for_connections`], when a table may have `limit` descriptors.
    pub(crate) fn for_connections_at(
        self,
        wanted: u64,
        fixed: Option<u16>,
        possible: Tables,
        limit: u64,
    ) -> Self {
        let start = Self {
            shards: fixed.unwrap_or(self.shards).clamp(1, SHARDS_MAX),
            ..self
        };
        let holds = |layout: &Self| layout.connections_max_at(limit);
        if holds(&start) >= wanted || possible == Tables::PerProcess {
            return start;
        }
        let most = if fixed.is_some() {
            start.shards
        } else {
            SHARDS_MAX
        };
        let divided = (start.shards..=most).map(|shards| Self {
            shards,
            tables: Tables::PerShard,
            ..start
        });
        let mut best = start;
        for layout in divided {
            if holds(&layout) > holds(&best) {
                best = layout;
            }
            if holds(&best) >= wanted {
                break;
            }
        }
        best
    }

    /// How many connections its tables have descriptors for, all shards together.
    pub fn connections_max(&self, machine: &Machine) -> u64 {
        self.connections_max_at(table_size(machine))
    }

    /// How many connections one shard has descriptors for; the lobby of a server is not among them.
    pub fn shard_connections_max(&self, machine: &Machine) -> u64 {
        self.seats(table_size(machine))
    }

    /// How many more descriptors than [`Layout::shard_connections_max`] a shard may use, to tell those
    /// who do not fit.
    pub const fn lobby(&self) -> u64 {
        match (self.end, self.tables) {
            (End::Server, Tables::PerShard) => LOBBY,
            _ => 0,
        }
    }

    /// As [`Layout::connections_max`], when a table may have `limit` descriptors.
    pub(crate) fn connections_max_at(&self, limit: u64) -> u64 {
        let seats = self.seats(limit);
        match (self.tables, self.end) {
            (Tables::PerProcess, _) => seats,
            (Tables::PerShard, End::Crowd) => seats.saturating_mul(self.shards.into()),
            (Tables::PerShard, End::Server) => spread_max(seats, self.shards),
        }
    }

    /// How many tables of descriptors the process has.
    pub(crate) const fn tables_count(&self) -> u64 {
        match self.tables {
            Tables::PerProcess => 1,
            Tables::PerShard => self.shards as u64,
        }
    }

    /// The descriptors in one of its tables that are not for connections.
    pub(crate) fn reserved(&self) -> u64 {
        let shards = u64::from(self.shards);
        let others = match self.tables {
            // An epoll instance, a listener and a wake-up for each; and the control plane is in this table.
            Tables::PerProcess => 3 * shards + u64::from(self.admin_connections),
            // All wake-ups are made before the tables are divided, so each table has all of them.
            Tables::PerShard => shards + 2,
        };
        DESCRIPTORS_RESERVED.max(DESCRIPTORS_OF_PROCESS + others)
    }

    /// The files of the process that are not connections of its shards, over all of its tables.
    pub(crate) fn files_reserved(&self) -> u64 {
        match self.tables {
            Tables::PerProcess => self.reserved(),
            Tables::PerShard => self.reserved() + u64::from(self.admin_connections),
        }
    }

    fn seats(&self, limit: u64) -> u64 {
        // Where shards have tables of their own, the first is the control plane's.
        if limit < self.files_reserved() {
            return 0;
        }
        limit.saturating_sub(self.reserved() + self.lobby())
    }
}

/// The descriptors that one table may have.
fn table_size(machine: &Machine) -> u64 {
    machine.nofile.hard.min(machine.nr_open.unwrap_or(u64::MAX))
}

/// How many connections may be spread by chance over shards of so many seats each.
///
/// With m for each shard on average and k = [`DEVIATIONS`] * sqrt(1 - 1/shards), the fullest has at most
/// m + k * sqrt(m), and that is `seats` when sqrt(m) = (sqrt(k * k + 4 * seats) - k) / 2.
fn spread_max(seats: u64, shards: u16) -> u64 {
    let shards = f64::from(shards);
    let k = DEVIATIONS * (1.0 - 1.0 / shards).sqrt();
    let root = ((k * k + 4.0 * seats as f64).sqrt() - k) / 2.0;
    // A cast saturates, so "no limit" stays one.
    (root * root * shards).floor() as u64
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Crowd => "crowd",
        })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Epoll => "epoll",
            Self::Uring => "io_uring",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn machine(hard: u64) -> Machine {
        Machine::with_descriptors(hard)
    }

    fn wanted(connections: u64, end: End, machine: &Machine) -> Layout {
        Layout::of_cores(machine, end, Kernel::Epoll).for_connections(
            connections,
            None,
            Tables::PerShard,
            machine,
        )
    }

    #[test]
    fn two_million_need_about_a_hundred_shards_of_twenty_thousand() {
        let machine = machine(20_000);
        let server = wanted(2_000_000, End::Server, &machine);
        assert_eq!((server.shards, server.tables), (106, Tables::PerShard));
        // The numbers that the head of this file shows.
        assert_eq!(server.reserved(), 148);
        assert_eq!(server.shard_connections_max(&machine), 19_788);
        let crowd = wanted(2_000_000, End::Crowd, &machine);
        assert_eq!(crowd.shards, 101);
        assert!(crowd.connections_max(&machine) >= 2_000_000);
    }

    #[test]
    fn the_connections_of_the_control_plane_have_descriptors() {
        let machine = machine(20_000);
        let server = Layout::of_cores(&machine, End::Server, Kernel::Epoll);
        assert_eq!((server.admin_connections, server.reserved()), (48, 100));
        let many = Layout {
            admin_connections: 1_000,
            ..server
        };
        assert_eq!(many.reserved(), 40 + 3 * 2 + 1_000);
        assert_eq!(many.connections_max(&machine), 20_000 - 1_046);
        // They are in no shard's table, but files of the machine, and the first table must have them.
        let divided = Layout {
            tables: Tables::PerShard,
            ..many
        };
        assert_eq!((divided.reserved(), divided.files_reserved()), (100, 1_100));
        assert_eq!(divided.connections_max_at(1_099), 0);
        assert!(divided.connections_max_at(1_400) > 0);
        let crowd = Layout::of_cores(&machine, End::Crowd, Kernel::Epoll);
        assert_eq!(crowd.admin_connections, 0);
    }

    #[test]
    fn what_fits_into_one_table_stays_in_it() {
        let machine = machine(20_000);
        for end in [End::Server, End::Crowd] {
            let layout = wanted(19_900, end, &machine);
            assert_eq!((layout.shards, layout.tables), (2, Tables::PerProcess));
            let layout = wanted(19_901, end, &machine);
            assert_eq!((layout.shards, layout.tables), (2, Tables::PerShard));
        }
    }

    #[test]
    fn shards_do_not_help_where_tables_cannot_be_divided() {
        let machine = machine(20_000);
        let cores = Layout::of_cores(&machine, End::Server, Kernel::Epoll);
        let layout = cores.for_connections(2_000_000, None, Tables::PerProcess, &machine);
        assert_eq!(layout, cores);
        assert_eq!(layout.connections_max(&machine), 19_900);
    }

    #[test]
    fn shards_that_were_counted_stay_as_many() {
        let machine = machine(20_000);
        let cores = Layout::of_cores(&machine, End::Crowd, Kernel::Epoll);
        let layout = cores.for_connections(2_000_000, Some(3), Tables::PerShard, &machine);
        assert_eq!((layout.shards, layout.tables), (3, Tables::PerShard));
        assert_eq!(layout.connections_max(&machine), 3 * 19_900);
    }

    #[test]
    fn a_tiny_table_is_not_divided_until_nothing_is_left_of_it() {
        let machine = machine(250);
        let layout = wanted(1_000_000, End::Crowd, &machine);
        let more = Layout {
            shards: layout.shards + 1,
            ..layout
        };
        assert!(layout.connections_max(&machine) >= 2 * 150);
        assert!(more.connections_max(&machine) <= layout.connections_max(&machine));
    }

    #[test]
    fn a_limit_that_is_none_stays_none() {
        let layout = Layout {
            tables: Tables::PerShard,
            ..Layout::of_cores(&machine(u64::MAX), End::Server, Kernel::Uring)
        };
        assert_eq!(layout.connections_max(&machine(u64::MAX)), u64::MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Throws the connections into the shards, as the kernel's hash does.
        #[test]
        fn the_fullest_shard_stays_within_its_table(
            hard in 1_000_u64..5_000,
            connections in 5_000_u64..200_000,
            seed in any::<u64>(),
        ) {
            let machine = machine(hard);
            let layout = wanted(connections, End::Server, &machine);
            let connections = connections.min(layout.connections_max(&machine));
            prop_assert!(layout.shards <= SHARDS_MAX);
            prop_assume!(layout.tables == Tables::PerShard);
            let mut random = fastrand::Rng::with_seed(seed);
            let mut shards = vec![0_u64; layout.shards.into()];
            for _ in 0..connections {
                shards[random.usize(..usize::from(layout.shards))] += 1;
            }
            let fullest = shards.into_iter().max().unwrap_or(0);
            prop_assert!(fullest <= layout.shard_connections_max(&machine));
        }

        #[test]
        fn no_shard_is_started_for_nothing(
            hard in 1_000_u64..100_000,
            connections in 1_u64..3_000_000,
        ) {
            let machine = machine(hard);
            for end in [End::Server, End::Crowd] {
                let layout = wanted(connections, end, &machine);
                if layout.shards > 2 {
                    let fewer = Layout { shards: layout.shards - 1, ..layout };
                    prop_assert!(fewer.connections_max(&machine) < connections);
                }
            }
        }
    }
}
