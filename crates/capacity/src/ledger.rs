//! What connections cost, term by term: an idle one that has joined a channel, the shard it is on, and
//! a message to all while nobody has read it.
//!
//! ```text
//!  what                         bytes   times              source
//!  TCP socket                   2,521   each connection    slab TCP
//!  ...
//! ```
//!
//! One [`Ledger`] is one end of the connections. It is arithmetic on the terms declared in `terms`, so it
//! holds for a machine that is not this one, too. The sum is what a machine must have free: the kernel
//! counts half of the sockets' inodes and names as "available" although nothing can take them back, so
//! what `MemAvailable` loses is less.

mod terms;

use std::fmt;

use crate::{End, Grouped, Kernel, Layout, TcpMemory, tuples::PORTS_COUNT};

/// What one end of so many connections costs.
///
/// Its `Display` is a table for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    layout: Layout,
    connections: u64,
    terms: Vec<Term>,
    unread_pages_max: u64,
}

/// One thing that costs memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// What it is.
    pub name: &'static str,
    /// Who has it.
    pub place: Place,
    /// How often it is there.
    pub per: Per,
    /// Bytes each time, with what slabs and allocator add.
    pub bytes: u64,
    /// Where the number is from, and can be looked up again.
    pub source: &'static str,
}

/// Where memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The kernel's: slabs, stacks, tables.
    Kernel,
    /// The process's own, as `RssAnon` in /proc/PID/status counts it.
    Process,
}

/// What a term is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// Each connection.
    Connection,
    /// Each shard.
    Shard,
    /// Once.
    Once,
    /// Each unread message of a broadcast, as many as TCP memory lets there be.
    Unread,
}

/// Bytes in the kernel of a message that is not read yet: its head of 576, 14 in 2 pages, and its two
/// descriptions in 512. Its payload is besides.
const UNREAD_BYTES: u64 = 585 + 512;

/// Bytes of the message that is counted as unread.
const MESSAGE_BYTES: u64 = 150;

/// Pages of TCP memory that a shard may take after its last look at the mark: one for each write.
pub const PAGES_BETWEEN_LOOKS: u64 = 256;

/// Bytes of kernel and process together that one end of an idle, joined connection takes.
pub fn connection_bytes(end: End, kernel: Kernel) -> u64 {
    terms::terms(end, kernel)
        .filter(|term| term.per == Per::Connection)
        .map(|term| term.bytes)
        .sum()
}

impl Ledger {
    /// What `connections` cost the end that `layout` describes, where TCP memory has such marks.
    pub fn of(connections: u64, layout: &Layout, marks: Option<TcpMemory>) -> Self {
        let shards = u64::from(layout.shards);
        // A broadcast rests while more pages than the low mark are in use.
        let rests_at = marks.map_or(u64::MAX, |marks| {
            marks.low.saturating_add(shards * PAGES_BETWEEN_LOOKS)
        });
        let mut ledger = Self {
            layout: *layout,
            connections,
            terms: terms::terms(layout.end, layout.kernel).collect(),
            unread_pages_max: connections.min(rests_at),
        };
        ledger.terms.push(descriptors(connections, layout));
        match layout.end {
            End::Server => ledger.terms.push(Term {
                name: "unread message",
                place: Place::Kernel,
                per: Per::Unread,
                bytes: UNREAD_BYTES + MESSAGE_BYTES,
                source: "slabs skbuff_small_head, skbuff_fclone_cache; 150 of payload",
            }),
            End::Crowd => ledger.terms.push(Term {
                name: "ports",
                place: Place::Kernel,
                per: Per::Once,
                bytes: 128 * connections.min(PORTS_COUNT),
                source: "slab tcp_bind_bucket, 128 for each port of all addresses",
            }),
        }
        ledger
    }

    /// The same with a term that only the program knows.
    pub fn and(mut self, term: Term) -> Self {
        self.terms.push(term);
        self
    }

    /// What it adds up, in the order of the table.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// How many connections it is for.
    pub const fn connections(&self) -> u64 {
        self.connections
    }

    /// What carries them.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How often a term is there.
    pub fn count(&self, per: Per) -> u64 {
        match per {
            Per::Connection => self.connections,
            Per::Shard => self.layout.shards.into(),
            Per::Once => 1,
            Per::Unread => self.unread_pages_max,
        }
    }

    /// Bytes of all idle connections and what carries them, in one place.
    pub fn idle_bytes(&self, place: Place) -> u64 {
        self.sum(|term| term.place == place && term.per != Per::Unread)
    }

    /// Bytes of all idle connections and what carries them, in both places.
    pub fn idle_total_bytes(&self) -> u64 {
        self.sum(|term| term.per != Per::Unread)
    }

    /// Bytes that a message to all adds at most, until the last has read it; 0 for a crowd, which reads.
    pub fn unread_bytes(&self) -> u64 {
        self.sum(|term| term.per == Per::Unread)
    }

    /// Bytes of everything: idle connections, and a message to all that nobody has read.
    pub fn total_bytes(&self) -> u64 {
        self.sum(|_| true)
    }

    /// Bytes of one more connection, in one place.
    pub fn connection_bytes(&self, place: Place) -> u64 {
        let terms = self.terms.iter();
        terms
            .filter(|term| term.per == Per::Connection && term.place == place)
            .map(|term| term.bytes)
            .sum()
    }

    /// Its sums by names for a report that programs read.
    pub fn values(&self) -> [(&'static str, u64); 7] {
        [
            ("connections", self.connections),
            ("shards", self.layout.shards.into()),
            (
                "kernel_bytes_per_connection",
                self.connection_bytes(Place::Kernel),
            ),
            (
                "process_bytes_per_connection",
                self.connection_bytes(Place::Process),
            ),
            ("kernel_bytes", self.idle_bytes(Place::Kernel)),
            ("process_bytes", self.idle_bytes(Place::Process)),
            ("unread_bytes_max", self.unread_bytes()),
        ]
    }

    fn sum(&self, wanted: impl Fn(&Term) -> bool) -> u64 {
        let terms = self.terms.iter().filter(|term| wanted(term));
        terms.fold(0, |sum, term| {
            sum.saturating_add(term.bytes.saturating_mul(self.count(term.per)))
        })
    }
}

/// The table of descriptors: a process's or a shard's own doubles, and has two bits more for each and
/// some for groups of them; a ring's is made whole.
fn descriptors(connections: u64, layout: &Layout) -> Term {
    let shares = layout.tables_count();
    let used = (connections / shares).saturating_add(layout.reserved());
    let (slots, source) = match layout.kernel {
        Kernel::Epoll => (
            used.checked_next_power_of_two().unwrap_or(u64::MAX),
            "8 and some bits for each, doubling",
        ),
        Kernel::Uring => (used, "8 for each"),
    };
    Term {
        name: "descriptors",
        place: Place::Kernel,
        per: if shares > 1 { Per::Shard } else { Per::Once },
        bytes: slots.saturating_mul(8).saturating_add(slots / 4),
        source,
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "kernel",
            Self::Process => "process",
        })
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connection => "each connection",
            Self::Shard => "each shard",
            Self::Once => "once",
            Self::Unread => "each unread message",
        })
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (end, shards) = (self.layout.end, self.layout.shards);
        let carrier = self.layout.kernel;
        let plural = if shards == 1 { "" } else { "s" };
        writeln!(
            f,
            "{end}: {} connections in {shards} shard{plural} on {carrier}\n",
            Grouped(self.connections)
        )?;
        let (what, bytes, times, total) = ("what", "bytes", "times", "total");
        writeln!(
            f,
            "  {what:<22} {bytes:>9}  {:<19} {times:>11} {total:>16}  source",
            "for"
        )?;
        for place in [Place::Kernel, Place::Process] {
            for term in self.terms.iter().filter(|term| term.place == place) {
                self.write_term(f, term)?;
            }
        }
        writeln!(f)?;
        for place in [Place::Kernel, Place::Process] {
            writeln!(
                f,
                "  {place:<8} {:>18} bytes, {} for each more connection",
                Grouped(self.idle_bytes(place)),
                Grouped(self.connection_bytes(place)),
            )?;
        }
        if self.unread_bytes() > 0 {
            writeln!(
                f,
                "  {:<8} {:>18} bytes at most, while a message to all is unread",
                "and",
                Grouped(self.unread_bytes())
            )?;
        }
        Ok(())
    }
}

impl Ledger {
    fn write_term(&self, f: &mut fmt::Formatter<'_>, term: &Term) -> fmt::Result {
        let count = self.count(term.per);
        writeln!(
            f,
            "  {:<22} {:>9}  {:<19} {:>11} {:>16}  {}, {}",
            term.name,
            Grouped(term.bytes),
            term.per,
            Grouped(count),
            Grouped(term.bytes.saturating_mul(count)),
            term.place,
            term.source
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tables;

    fn layout(end: End, kernel: Kernel) -> Layout {
        Layout {
            end,
            kernel,
            shards: 11,
            tables: Tables::PerShard,
            admin_connections: 0,
        }
    }

    fn pair_bytes(kernel: Kernel, place: Place) -> u64 {
        let ends = [End::Server, End::Crowd];
        let bytes =
            ends.map(|end| Ledger::of(200_000, &layout(end, kernel), None).idle_bytes(place));
        bytes.iter().sum::<u64>() / 200_000
    }

    fn is_within(bytes: u64, measured: u64, percent: u64) -> bool {
        bytes.abs_diff(measured) * 100 <= measured * percent
    }

    /// What was measured with 200,000 pairs on 11 shards each, Linux 6.18: `Slab` of /proc/meminfo, and
    /// `RssAnon` of server and crowd.
    #[test]
    fn the_sum_is_what_was_measured() {
        let kernel = |kernel| pair_bytes(kernel, Place::Kernel);
        let process = |kernel| pair_bytes(kernel, Place::Process);
        assert!(is_within(kernel(Kernel::Epoll), 8_345, 2));
        assert!(is_within(kernel(Kernel::Uring), 8_449, 2));
        // Server and crowd. The server was measured after connections grew by 16 bytes for their peer and their
        // beginning, the crowd before.
        assert!(is_within(process(Kernel::Epoll), 231 + 196 + 16, 5));
        assert!(is_within(process(Kernel::Uring), 244 + 210 + 16, 5));
    }

    #[test]
    fn sums_are_the_sums_of_the_terms() {
        for (end, kernel) in [
            (End::Server, Kernel::Epoll),
            (End::Server, Kernel::Uring),
            (End::Crowd, Kernel::Epoll),
            (End::Crowd, Kernel::Uring),
        ] {
            let ledger = |connections| Ledger::of(connections, &layout(end, kernel), None);
            let each: u64 = [Place::Kernel, Place::Process]
                .map(|place| ledger(1).connection_bytes(place))
                .iter()
                .sum();
            assert_eq!(each, connection_bytes(end, kernel));
            let (less, more) = (ledger(100_000), ledger(100_001));
            for place in [Place::Kernel, Place::Process] {
                let step = more.idle_bytes(place) - less.idle_bytes(place);
                // A port more, and a slot in each table of descriptors.
                let rest = step - more.connection_bytes(place);
                assert!(rest <= 11 * 9, "{end:?} {kernel:?} {place:?} {rest}");
            }
        }
    }

    #[test]
    fn a_report_has_the_sums_of_the_table() {
        let ledger = Ledger::of(1_000, &layout(End::Server, Kernel::Epoll), None);
        let of = |wanted: &str| {
            let value = ledger
                .values()
                .into_iter()
                .find(|(name, _)| *name == wanted);
            value.unwrap_or_else(|| panic!("no value {wanted}")).1
        };
        let total: u64 = ledger
            .terms()
            .iter()
            .map(|term| term.bytes * ledger.count(term.per))
            .sum();
        assert_eq!((of("connections"), of("shards")), (1_000, 11));
        assert_eq!(
            of("kernel_bytes") + of("process_bytes") + of("unread_bytes_max"),
            total
        );
        assert_eq!(ledger.total_bytes(), total);
        assert_eq!(
            of("kernel_bytes_per_connection") + of("process_bytes_per_connection"),
            connection_bytes(End::Server, Kernel::Epoll)
        );
    }

    #[test]
    fn a_broadcast_rests_before_all_of_it_is_unread() {
        let marks = TcpMemory {
            low: 10_000,
            pressure: 20_000,
            high: 30_000,
        };
        let unread = |connections, marks| {
            let layout = layout(End::Server, Kernel::Epoll);
            Ledger::of(connections, &layout, marks).unread_bytes()
        };
        let each = UNREAD_BYTES + MESSAGE_BYTES;
        assert_eq!(unread(12_816, Some(marks)), 12_816 * each);
        assert_eq!(unread(2_000_000, Some(marks)), (10_000 + 11 * 256) * each);
        assert_eq!(unread(2_000_000, None), 2_000_000 * each);
        let crowd = Ledger::of(9, &layout(End::Crowd, Kernel::Epoll), Some(marks));
        assert_eq!(crowd.unread_bytes(), 0);
    }

    #[test]
    fn a_term_of_the_program_is_counted_and_shown() {
        let before = Ledger::of(1, &layout(End::Server, Kernel::Epoll), None);
        let after = before.clone().and(Term {
            name: "map of the world",
            place: Place::Process,
            per: Per::Once,
            bytes: 1_234_567,
            source: "",
        });
        let bytes = |ledger: &Ledger| ledger.idle_bytes(Place::Process);
        assert_eq!(bytes(&after), bytes(&before) + 1_234_567);
        let line =
            "map of the world       1,234,567  once                          1        1,234,567";
        assert!(after.to_string().contains(line), "{after}");
    }

    #[test]
    fn no_number_of_connections_overflows() {
        for kernel in [Kernel::Epoll, Kernel::Uring] {
            for end in [End::Server, End::Crowd] {
                let ledger = Ledger::of(u64::MAX, &layout(end, kernel), None);
                assert_eq!(ledger.idle_bytes(Place::Kernel), u64::MAX);
                assert!(!ledger.to_string().is_empty());
            }
        }
    }
}
