//! What the connections of a plan take of memory at each end, idle and while a message to all is on its
//! way, and how many of them a server's memory is enough for.

use std::fmt;

use serde::Serialize;

use super::{
    Program, Question, SourcePlan,
    text::{heading, row, sentence},
};
use crate::{Bytes, End, Grouped, Ledger, TcpMemory, ledger::Place};

/// What encryption adds to an idle connection in the program that holds it, bytes, all of it on the heap.
///
/// Measured as resident memory at the dialling end, for rustls without buffers, TLS 1.3 and AES-256: 4,208 over 2,000 sessions, of which the session's
/// own struct is 1,040 and the certificate of the server, which rustls keeps, half a KiB; the engine's test
/// `an_idle_session_takes_what_is_said` holds it. Longer chains of certificates add their length, and what is on its way its own. A server's end is
/// taken to be the same.
pub const TLS_BYTES: u64 = 4_300;

/// Bytes of a page, by which TCP counts what its sockets hold.
pub const PAGE_BYTES: u64 = 4_096;

/// Memory of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The machine of the server.
    pub server: EndMemory,
    /// Each machine of the clients, with its share.
    pub client: EndMemory,
    /// What the server's machine is said to have.
    pub server_memory_bytes: Option<u64>,
    /// Connections for which that is enough.
    pub connections_max_count: Option<u64>,
}

/// What one end takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EndMemory {
    /// Connections that it holds.
    pub connections_count: u64,
    /// The kernel's part while all are idle.
    pub kernel_bytes: u64,
    /// The program's part while all are idle, without encryption.
    pub program_bytes: u64,
    /// What encryption adds to that.
    pub tls_bytes: u64,
    /// All of these.
    pub idle_bytes: u64,
    /// What a message to all adds at most, until the last has read it.
    pub broadcast_bytes: u64,
    /// Everything together.
    pub total_bytes: u64,
    /// Everything together for each connection, rounded up.
    pub total_bytes_per_connection: u64,
}

impl Memory {
    pub(super) fn of(question: &Question, sources: &SourcePlan) -> Self {
        let connections = question.connections_count();
        let share = sources.connections_per_machine_count;
        let server = EndMemory::of_server(question, connections);
        let memory = question.server_memory_bytes;
        Self {
            server,
            client: EndMemory::of_client(question, share),
            server_memory_bytes: memory,
            connections_max_count: memory.map(|memory| {
                let fits = server.total_bytes <= memory;
                // A connection takes more than a byte, so as many bytes are too few for as many.
                let between = if fits {
                    (connections, memory.max(connections))
                } else {
                    (0, connections)
                };
                most(between, |count| {
                    EndMemory::of_server(question, count).total_bytes <= memory
                })
            }),
        }
    }
}

impl EndMemory {
    fn of_server(question: &Question, connections: u64) -> Self {
        let layout = question.server_layout(connections);
        let (marks, own) = match question.program {
            Program::Fourtuple => (question.server_memory_bytes.map(marks_of), None),
            // Nobody says whether it looks at the marks.
            Program::Other {
                bytes_per_connection,
            } => (None, Some(bytes_per_connection)),
        };
        let ledger = Ledger::of(connections, &layout, marks);
        let program_bytes = own.map(|each| connections.saturating_mul(each));
        Self::new(question, &ledger, program_bytes)
    }

    fn of_client(question: &Question, connections: u64) -> Self {
        let layout = question.client.layout(End::Crowd, connections);
        Self::new(question, &Ledger::of(connections, &layout, None), None)
    }

    fn new(question: &Question, ledger: &Ledger, program_bytes: Option<u64>) -> Self {
        let connections = ledger.connections();
        let kernel_bytes = ledger.idle_bytes(Place::Kernel);
        let program_bytes = program_bytes.unwrap_or_else(|| ledger.idle_bytes(Place::Process));
        let tls_bytes = if question.is_tls {
            connections.saturating_mul(TLS_BYTES)
        } else {
            0
        };
        let idle_bytes = kernel_bytes
            .saturating_add(program_bytes)
            .saturating_add(tls_bytes);
        let total_bytes = idle_bytes.saturating_add(ledger.unread_bytes());
        Self {
            connections_count: connections,
            kernel_bytes,
            program_bytes,
            tls_bytes,
            idle_bytes,
            broadcast_bytes: ledger.unread_bytes(),
            total_bytes,
            total_bytes_per_connection: total_bytes.div_ceil(connections.max(1)),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, title: &str) -> fmt::Result {
        let (each, count) = (
            Bytes(self.total_bytes_per_connection),
            Grouped(self.connections_count),
        );
        let note = match self.broadcast_bytes {
            0 => format!("{each} for each of {count}"),
            _ => format!(
                "{each} for each of {count}; {} idle",
                Bytes(self.idle_bytes)
            ),
        };
        row(f, title, Bytes(self.total_bytes), &note)?;
        row(
            f,
            "  kernel",
            Bytes(self.kernel_bytes),
            "sockets and what belongs to them",
        )?;
        row(f, "  program", Bytes(self.program_bytes), "")?;
        if self.tls_bytes > 0 {
            row(
                f,
                "  encryption",
                Bytes(self.tls_bytes),
                &format!("{} bytes each, measured", Grouped(TLS_BYTES)),
            )?;
        }
        if self.broadcast_bytes > 0 {
            row(
                f,
                "  a message to all",
                Bytes(self.broadcast_bytes),
                "at most, until the last has read it",
            )?;
        }
        Ok(())
    }
}

/// The marks of `net.ipv4.tcp_mem` that Linux makes at its boot of so much memory: a sixteenth of its
/// pages for pressure, three quarters of that for the low mark, and twice the low mark for the high one
/// (`tcp_init_mem` in net/ipv4/tcp.c). The kernel leaves out what it has taken before, so a machine's own
/// are some per cent lower.
pub(super) const fn marks_of(memory_bytes: u64) -> TcpMemory {
    let sixteenth = memory_bytes / PAGE_BYTES / 16;
    let pressure = if sixteenth < 128 { 128 } else { sixteenth };
    let low = pressure / 4 * 3;
    TcpMemory {
        low,
        pressure,
        high: 2 * low,
    }
}

/// The most from `low` to `high` that fits, where `low` fits and more than `high` does not.
fn most((mut low, mut high): (u64, u64), fits: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "Memory")?;
        self.server.write(f, "server")?;
        self.client.write(f, "each client machine")?;
        if let (Some(memory), Some(most)) = (self.server_memory_bytes, self.connections_max_count) {
            sentence(
                f,
                &format!(
                    "{} of the server are enough for {} connections.",
                    Bytes(memory),
                    Grouped(most)
                ),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        Kernel,
        plan::{Clients, Host, PHOENIX_RECORD},
    };

    fn memory(question: &Question) -> Memory {
        Memory::of(question, &SourcePlan::of(question))
    }

    fn question(connections: u64) -> Question {
        Question::new(NonZero::new(connections).expect("some connections"))
    }

    fn is_within(bytes: u64, expected: u64, percent: u64) -> bool {
        bytes.abs_diff(expected) * 100 <= expected * percent
    }

    /// The server of two million with a table of 20,000 descriptors to a shard: 8.4 GB of the kernel and
    /// 0.48 of its own, and what a broadcast adds on 24 GB.
    #[test]
    fn two_million_of_ours() {
        let host = Host {
            kernel: Kernel::Uring,
            cores_count: 2,
            descriptors_max: 20_000,
            ..Host::default()
        };
        let plan = memory(&Question {
            server_memory_bytes: Some(24_661_700 * 1_024),
            clients: NonZero::new(34).map(Clients::Machines),
            server: host,
            ..question(2_000_000)
        });
        assert!(
            is_within(plan.server.kernel_bytes, 8_400_000_000, 2),
            "{plan}"
        );
        assert!(
            is_within(plan.server.program_bytes, 512_000_000, 5),
            "{plan}"
        );
        assert!(
            is_within(plan.server.broadcast_bytes, 390_000_000, 5),
            "{plan}"
        );
        assert_eq!(plan.client.connections_count, 58_824);
        assert_eq!(plan.client.broadcast_bytes, 0);
        let most = plan.connections_max_count.expect("memory is given");
        assert!((5_000_000..6_500_000).contains(&most), "{most}");
    }

    #[test]
    fn the_phoenix_record_takes_what_its_machine_had() {
        let plan = memory(&Question {
            program: PHOENIX_RECORD,
            ..question(2_000_000)
        });
        assert!(
            is_within(plan.server.idle_bytes, 84_000_000_000, 2),
            "{plan}"
        );
        assert_eq!(plan.server.program_bytes, 2_000_000 * 38_000);
    }

    #[test]
    fn encryption_is_added_at_both_ends() {
        let plain = memory(&question(1_000_000));
        let encrypted = memory(&Question {
            is_tls: true,
            ..question(1_000_000)
        });
        assert_eq!(
            encrypted.server.idle_bytes - plain.server.idle_bytes,
            1_000_000 * TLS_BYTES
        );
        assert_eq!(
            encrypted.client.idle_bytes - plain.client.idle_bytes,
            TLS_BYTES * plain.client.connections_count
        );
    }

    /// Marks that a kernel of 6.18 made on a machine of 24,661,700 KiB.
    #[test]
    fn marks_are_those_of_the_kernel() {
        let made = marks_of(24_661_700 * 1_024);
        assert!(is_within(made.low, 287_898, 2), "{made:?}");
        assert!(is_within(made.pressure, 383_867, 2), "{made:?}");
        assert!(is_within(made.high, 575_796, 2), "{made:?}");
        assert_eq!(marks_of(0).low, 96);
    }

    #[test]
    fn a_search_finds_the_last_that_fits() {
        for last in [0, 1, 2, 99, 100] {
            assert_eq!(most((0, 100), |count| count <= last), last);
        }
        assert_eq!(most((7, 7), |_| false), 7);
        assert_eq!(most((0, u64::MAX), |_| true), u64::MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_fits_and_one_more_does_not(
            connections in 1..10_000_000_u64,
            memory_bytes in 0..200_000_000_000_u64,
            is_tls in any::<bool>(),
        ) {
            let question = Question {
                server_memory_bytes: Some(memory_bytes),
                is_tls,
                ..question(connections)
            };
            let plan = memory(&question);
            let most = plan.connections_max_count.expect("memory is given");
            let fits = |count| EndMemory::of_server(&question, count).total_bytes <= memory_bytes;
            prop_assert_eq!(most >= connections, fits(connections));
            prop_assert!(most == 0 || fits(most));
            prop_assert!(!fits(most + 1));
        }

        #[test]
        fn more_connections_take_more(connections in 1..=u64::MAX, more in 0..=u64::MAX) {
            let (less, most) = (
                EndMemory::of_server(&question(1), connections),
                EndMemory::of_server(&question(1), connections.saturating_add(more)),
            );
            prop_assert!(most.idle_bytes >= less.idle_bytes);
            prop_assert!(most.total_bytes >= less.total_bytes);
        }
    }
}
