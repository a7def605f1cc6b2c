//! What is asked of a machine: so many connections, at one end or at both.

use std::time::Duration;

use crate::{End, Kernel, Layout, Ledger, Machine, Side, Tables, plan::Program};

/// Connections that a machine should carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// How many, at each end that is here.
    pub connections: u64,
    /// Which ends are here.
    pub role: Side,
    /// Whose. Another program than ours has one table of descriptors, watches it by epoll, and leaves
    /// the source port to the kernel.
    pub program: Program,
    /// What carries the connections of ours.
    pub kernel: Kernel,
    /// Source addresses that are dialled from; `None` for all that the machine has.
    pub sources: Option<u64>,
    /// (Address, port) pairs that are dialled.
    pub destinations: u64,
    /// Connections opened in a second.
    pub connects_per_second: u64,
    /// The longest time in which the server does not accept.
    pub pause: Duration,
}

impl Demand {
    /// Connections opened in a second, unless it is said how many.
    pub const CONNECTS_PER_SECOND: u64 = crate::plan::CONNECTS_PER_SECOND.get();
    /// How long a server may not accept, unless it is said: a collection of garbage, a burst of work.
    pub const PAUSE: Duration = Duration::from_secs(crate::plan::PAUSE_SECONDS);

    /// `connections` of `program` at the ends of `role`, opened at the usual rate; those of ours are
    /// carried by io_uring.
    pub const fn new(connections: u64, role: Side, program: Program) -> Self {
        Self {
            connections,
            role,
            program,
            kernel: Kernel::Uring,
            sources: None,
            destinations: 1,
            connects_per_second: Self::CONNECTS_PER_SECOND,
            pause: Self::PAUSE,
        }
    }

    /// The ends that are here.
    pub(crate) fn ends(&self) -> impl Iterator<Item = End> + use<> {
        let role = self.role;
        [End::Server, End::Crowd]
            .into_iter()
            .filter(move |end| side_of(*end).concerns(role))
    }

    /// How many sockets all of it takes on this machine.
    pub fn sockets(&self) -> u64 {
        self.connections.saturating_mul(self.ends().count() as u64)
    }

    /// How fourtuple would keep one end of it on `machine`; `None` for another program.
    pub(crate) fn layout(&self, end: End, machine: &Machine) -> Option<Layout> {
        if self.program != Program::Fourtuple {
            return None;
        }
        Some(Layout::of_cores(machine, end, self.kernel).for_connections(
            self.connections,
            None,
            Tables::PerShard,
            machine,
        ))
    }

    /// Threads that it starts.
    pub(crate) fn threads(&self, machine: &Machine) -> u64 {
        self.ends()
            .map(|end| match self.layout(end, machine) {
                Some(layout) => u64::from(layout.shards) + 2,
                None => machine.cores_count as u64 + 2,
            })
            .sum()
    }

    /// Bytes of memory of it while all are idle.
    pub(crate) fn idle_bytes(&self, machine: &Machine) -> u64 {
        self.ends()
            .map(|end| self.end_bytes(end, machine, Ledger::idle_total_bytes))
            .fold(0, u64::saturating_add)
    }

    /// Bytes of memory of it while nobody has read a message to all.
    pub fn broadcast_bytes(&self, machine: &Machine) -> u64 {
        self.ends()
            .map(|end| self.end_bytes(end, machine, Ledger::total_bytes))
            .fold(0, u64::saturating_add)
    }

    fn end_bytes(&self, end: End, machine: &Machine, sum: impl Fn(&Ledger) -> u64) -> u64 {
        match self.program {
            Program::Fourtuple => {
                let layout = self.layout(end, machine);
                layout.map_or(0, |layout| {
                    sum(&Ledger::of(self.connections, &layout, machine.tcp_memory))
                })
            }
            Program::Other {
                bytes_per_connection,
            } => {
                let layout = Layout {
                    end,
                    kernel: Kernel::Epoll,
                    shards: 1,
                    tables: Tables::PerProcess,
                    admin_connections: 0,
                };
                let ledger = Ledger::of(self.connections, &layout, None);
                // All of it but what our own program would take.
                let ours = ledger.idle_bytes(crate::ledger::Place::Process);
                let theirs = self.connections.saturating_mul(bytes_per_connection);
                sum(&ledger).saturating_sub(ours).saturating_add(theirs)
            }
        }
    }
}

/// The side that an end of ours is on.
pub(crate) const fn side_of(end: End) -> Side {
    match end {
        End::Server => Side::Server,
        End::Crowd => Side::Client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Program = Program::Other {
        bytes_per_connection: 41_000,
    };

    #[test]
    fn both_ends_are_twice_the_sockets() {
        let sockets = |role| Demand::new(2_000_000, role, OTHER).sockets();
        assert_eq!(sockets(Side::Server), 2_000_000);
        assert_eq!(sockets(Side::Client), 2_000_000);
        assert_eq!(sockets(Side::Both), 4_000_000);
    }

    #[test]
    fn two_million_of_ours_fit_where_theirs_do_not() {
        let machine = Machine::with_descriptors(20_000);
        let bytes = |program| Demand::new(2_000_000, Side::Both, program).idle_bytes(&machine);
        let ours = bytes(Program::Fourtuple);
        // Measured: 8,909 bytes a pair with both programs (docs/two-million.md).
        assert!((17_500_000_000..18_500_000_000).contains(&ours), "{ours}");
        let theirs = bytes(OTHER);
        assert!(theirs > ours + 2 * 2_000_000 * 40_000, "{theirs}");
    }

    #[test]
    fn a_message_to_all_takes_more_than_idling() {
        let machine = Machine::with_descriptors(20_000);
        for program in [OTHER, Program::Fourtuple] {
            let demand = Demand::new(100_000, Side::Server, program);
            assert!(demand.broadcast_bytes(&machine) > demand.idle_bytes(&machine) + 100_000_000);
        }
    }
}
