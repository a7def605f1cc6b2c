//! What the kernels at both ends keep for the connections of a plan, besides their sockets: what a
//! firewall remembers, what is watched, pages of unread data.

use std::fmt;

use serde::Serialize;

use super::{
    Question,
    memory::{PAGE_BYTES, marks_of},
    text::{heading, row, sentence},
};
use crate::{Bytes, Grouped, Kernel, Limit};

/// Bytes of a connection in the table of the firewall, `nf_conntrack` in /proc/slabinfo.
pub const CONNTRACK_BYTES: u64 = 256;

/// Bytes of a bucket of that table.
const CONNTRACK_BUCKET_BYTES: u64 = 8;

/// Tables and accounts of the kernel on one machine with one end of the connections. A machine with both
/// ends needs twice as much of all but the firewall's table, which has one entry for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KernelNeeds {
    /// Entries of the firewall's table: a fifth more than connections, for those that are closing.
    pub conntrack_entries_count: u64,
    /// What it takes, as many buckets as entries counted in.
    pub conntrack_bytes: u64,
    /// Pages of TCP memory while each connection has one unread message.
    pub tcp_mem_pages_count: u64,
    /// The same in bytes.
    pub tcp_mem_bytes: u64,
    /// The high mark of `net.ipv4.tcp_mem` that Linux makes of the server's memory, pages.
    pub tcp_mem_default_high_pages_count: Option<u64>,
    /// Watches of a program on epoll; both ends of one user count together.
    pub epoll_watches_count: u64,
    /// Whether the server needs these watches.
    pub is_server_on_epoll: bool,
}

impl KernelNeeds {
    pub(super) fn of(question: &Question) -> Self {
        let connections = question.connections_count();
        let entries = connections.saturating_add(connections / 5);
        let marks = question.server_memory_bytes.map(marks_of);
        Self {
            conntrack_entries_count: entries,
            conntrack_bytes: connections
                .saturating_mul(CONNTRACK_BYTES)
                .saturating_add(entries.saturating_mul(CONNTRACK_BUCKET_BYTES)),
            tcp_mem_pages_count: connections,
            tcp_mem_bytes: connections.saturating_mul(PAGE_BYTES),
            tcp_mem_default_high_pages_count: marks.map(|marks| marks.high),
            epoll_watches_count: connections,
            is_server_on_epoll: question.server_layout(connections).kernel == Kernel::Epoll,
        }
    }
}

impl fmt::Display for KernelNeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "Tables of the kernel")?;
        row(
            f,
            "firewall's entries",
            Grouped(self.conntrack_entries_count),
            &format!(
                "{}, {}",
                Limit::Conntrack.name(),
                Bytes(self.conntrack_bytes)
            ),
        )?;
        row(f, "", "", "or none, if the port is not tracked")?;
        row(
            f,
            "pages of TCP memory",
            Grouped(self.tcp_mem_pages_count),
            &format!(
                "if each has an unread message, {}",
                Bytes(self.tcp_mem_bytes)
            ),
        )?;
        if let Some(high) = self.tcp_mem_default_high_pages_count {
            row(
                f,
                "  there are by default",
                Grouped(high),
                &format!("high mark of {}", Limit::TcpMemory.name()),
            )?;
        }
        row(
            f,
            "watches of epoll",
            Grouped(self.epoll_watches_count),
            if self.is_server_on_epoll {
                Limit::EpollWatches.name()
            } else {
                "on epoll; none on io_uring"
            },
        )?;
        sentence(
            f,
            "A machine with both ends needs twice as much of all but the firewall's entries.",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;
    use crate::plan::PHOENIX_RECORD;

    fn needs(connections: u64) -> KernelNeeds {
        let connections = NonZero::new(connections).expect("some connections");
        KernelNeeds::of(&Question::new(connections))
    }

    #[test]
    fn two_million() {
        let needs = needs(2_000_000);
        assert_eq!(needs.conntrack_entries_count, 2_400_000);
        assert_eq!(needs.conntrack_bytes, 512_000_000 + 2_400_000 * 8);
        assert_eq!(needs.tcp_mem_bytes, 8_192_000_000);
        assert_eq!(needs.epoll_watches_count, 2_000_000);
        assert!(!needs.is_server_on_epoll);
    }

    #[test]
    fn another_program_watches_with_epoll() {
        let needs = KernelNeeds::of(&Question {
            program: PHOENIX_RECORD,
            server_memory_bytes: Some(128_000_000_000),
            ..Question::new(NonZero::<u64>::MIN)
        });
        assert!(needs.is_server_on_epoll);
        // About 9 % of memory.
        let high = needs
            .tcp_mem_default_high_pages_count
            .expect("memory is given");
        assert_eq!(high * PAGE_BYTES / 1_000_000_000, 11);
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(needs(u64::MAX).conntrack_bytes, u64::MAX);
        assert_eq!(needs(u64::MAX).conntrack_entries_count, u64::MAX);
    }
}
