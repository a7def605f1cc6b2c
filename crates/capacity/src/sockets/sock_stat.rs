//! How many TCP sockets there are, without a list of them.

use std::{fs, path::Path};

/// The lines `TCP` of `/proc/net/sockstat` and `TCP6` of `/proc/net/sockstat6` (`man 5
/// proc_pid_net`); `None` for what this kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SockStat {
    /// IPv4 sockets of this network namespace, listeners among them, TIME_WAIT and SYN_RECV not.
    pub inuse_count: Option<u64>,
    /// The same of IPv6 sockets.
    pub inuse6_count: Option<u64>,
    /// Sockets that are closed to their program and not yet to the kernel, on the whole machine.
    pub orphan_count: Option<u64>,
    /// Sockets in TIME_WAIT, of both families, in this network namespace.
    pub time_wait_count: Option<u64>,
    /// Sockets that have memory, of both families, on the whole machine: those that have no port
    /// yet, too.
    pub alloc_count: Option<u64>,
    /// Pages that their buffers hold, on the whole machine: what [`TcpMemory`](crate::TcpMemory)
    /// bounds.
    pub mem_pages: Option<u64>,
}

impl SockStat {
    /// Reads those of this network namespace.
    pub fn read() -> Self {
        Self::read_below(Path::new("/"))
    }

    /// As [`SockStat::read`] from the files below `root`.
    pub(crate) fn read_below(root: &Path) -> Self {
        let text = |path| fs::read_to_string(root.join(path)).unwrap_or_default();
        Self::parse(&text("proc/net/sockstat"), &text("proc/net/sockstat6"))
    }

    /// Reads `TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1` and `TCP6: inuse 2`.
    pub fn parse(sockstat: &str, sockstat6: &str) -> Self {
        Self {
            inuse_count: value(sockstat, "TCP", "inuse"),
            inuse6_count: value(sockstat6, "TCP6", "inuse"),
            orphan_count: value(sockstat, "TCP", "orphan"),
            time_wait_count: value(sockstat, "TCP", "tw"),
            alloc_count: value(sockstat, "TCP", "alloc"),
            mem_pages: value(sockstat, "TCP", "mem"),
        }
    }
}

/// The number behind a name in the line of a protocol. Sums over processors that were not read at
/// one moment can be negative for that moment, which is no number of sockets.
fn value(text: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(protocol)?.strip_prefix(':'))?;
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        let number = words.next()?;
        if word == name {
            return number.parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_machine() {
        let stat = SockStat::read();
        assert!(stat.inuse_count.is_some() && stat.alloc_count.is_some());
        assert!(stat.orphan_count.is_some() && stat.time_wait_count.is_some());
        assert!(stat.mem_pages.is_some());
    }

    #[test]
    fn parses_what_kernels_write() {
        // Linux 3.10 to 6.18; `used` of the first line is of all protocols.
        let sockstat = "sockets: used 2200027\n\
                        TCP: inuse 2200003 orphan 1 tw 17 alloc 2200013 mem 97\n\
                        UDP: inuse 3 mem 2\n\
                        UDPLITE: inuse 0\n\
                        RAW: inuse 0\n\
                        FRAG: inuse 0 memory 0\n";
        let sockstat6 = "TCP6: inuse 5\n\
                         UDP6: inuse 2\n\
                         UDPLITE6: inuse 0\n\
                         RAW6: inuse 1\n\
                         FRAG6: inuse 0 memory 0\n";
        let wanted = SockStat {
            inuse_count: Some(2_200_003),
            inuse6_count: Some(5),
            orphan_count: Some(1),
            time_wait_count: Some(17),
            alloc_count: Some(2_200_013),
            mem_pages: Some(97),
        };
        assert_eq!(SockStat::parse(sockstat, sockstat6), wanted);
        // Without IPv6 there is no second file.
        let inuse6_count = None;
        assert_eq!(
            SockStat::parse(sockstat, ""),
            SockStat {
                inuse6_count,
                ..wanted
            }
        );
        // The files are not mixed up.
        assert_eq!(SockStat::parse(sockstat6, sockstat), SockStat::default());
    }

    #[test]
    fn what_is_missing_or_odd_is_not_known() {
        assert_eq!(SockStat::parse("", ""), SockStat::default());
        let without_tcp = "sockets: used 5\nUDP: inuse 0 mem 7\n";
        assert_eq!(
            SockStat::parse(without_tcp, "UDP6: inuse 1\n"),
            SockStat::default()
        );
        // A container runtime that knows less, and a count that was not read at one moment.
        let less = SockStat::parse("TCP: inuse -3 tw 5 news 7 alloc 9 mem", "TCP6:\n");
        let wanted = SockStat {
            time_wait_count: Some(5),
            alloc_count: Some(9),
            ..SockStat::default()
        };
        assert_eq!(less, wanted);
        assert_eq!(SockStat::parse("TCP: inuse x orphan", "").inuse_count, None);
        assert_eq!(SockStat::parse("TCP inuse 5", ""), SockStat::default());
    }
}
