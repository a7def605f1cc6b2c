//! The memory that the TCP sockets of a machine may take together, and what they take.

use std::fs;

use crate::sockets::SockStat;

/// The three marks of `net.ipv4.tcp_mem`, in pages (`man 7 tcp`). What is counted is the account of
/// the sockets, in which even one small unread message is a whole page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpMemory {
    /// Up to here TCP does not care.
    pub low: u64,
    /// From here on TCP shrinks the buffers of its sockets.
    pub pressure: u64,
    /// Beyond it the kernel drops what arrives, and senders fail or wait.
    pub high: u64,
}

impl TcpMemory {
    /// Reads the marks of this machine; `None` where /proc is closed.
    pub fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").ok()?)
    }

    /// Reads how many pages are in use now, by all sockets that are counted with those of this process;
    /// `None` where /proc is closed.
    pub fn pages_in_use() -> Option<u64> {
        SockStat::parse(&fs::read_to_string("/proc/net/sockstat").ok()?, "").mem_pages
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            low: next()?,
            pressure: next()?,
            high: next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_machine() {
        let marks = TcpMemory::read().expect("a test machine has /proc");
        assert!(marks.low <= marks.pressure && marks.pressure <= marks.high);
        assert!(TcpMemory::pages_in_use().is_some());
    }

    #[test]
    fn parses_what_the_kernel_writes() {
        let marks = TcpMemory {
            low: 287_898,
            pressure: 383_867,
            high: 575_796,
        };
        assert_eq!(TcpMemory::parse("287898\t383867\t575796\n"), Some(marks));
        assert_eq!(TcpMemory::parse("287898\t383867\n"), None);
        assert_eq!(TcpMemory::parse("1 2 x"), None);
    }
}
