//! What TCP has counted since the machine started, by name.

use std::fs;

/// A counter of TCP: what the kernel counts and never takes back, but for
/// [`CurrEstab`](Self::CurrEstab).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Counter {
    /// Connections dialled.
    ActiveOpens,
    /// Connections that arrived and were confirmed.
    PassiveOpens,
    /// Connections that failed before they were open, in either direction.
    AttemptFails,
    /// Open connections that were reset.
    EstabResets,
    /// Connections that are open now, half-closed ones among them.
    CurrEstab,
    /// Segments sent again.
    RetransSegs,
    /// Resets sent.
    OutRsts,
    /// Answers to connects that carried a cookie because the queue for them was full.
    SyncookiesSent,
    /// Connects and confirmations that found the accept queue full.
    ListenOverflows,
    /// Connects and confirmations that were dropped for whatever reason, overflows among them.
    ListenDrops,
    /// Connections closed because the memory of TCP was used up, or there were too many orphans.
    TcpAbortOnMemory,
    /// Times at which the memory of TCP came under pressure.
    TcpMemoryPressures,
    /// Connects that met a full queue and got a cookie.
    TcpReqQFullDoCookies,
    /// Connects that met a full queue and were dropped.
    TcpReqQFullDrop,
    /// Sockets that should have gone to TIME_WAIT when `net.ipv4.tcp_max_tw_buckets` were there.
    TcpTimeWaitOverflow,
    /// Connects, and answers to them, that were sent again.
    TcpSynRetrans,
    /// Segments that were dropped because a socket had too many waiting while its program held it.
    TcpBacklogDrop,
}

impl Counter {
    /// Every counter.
    pub const ALL: [Self; 17] = [
        Self::ActiveOpens,
        Self::PassiveOpens,
        Self::AttemptFails,
        Self::EstabResets,
        Self::CurrEstab,
        Self::RetransSegs,
        Self::OutRsts,
        Self::SyncookiesSent,
        Self::ListenOverflows,
        Self::ListenDrops,
        Self::TcpAbortOnMemory,
        Self::TcpMemoryPressures,
        Self::TcpReqQFullDoCookies,
        Self::TcpReqQFullDrop,
        Self::TcpTimeWaitOverflow,
        Self::TcpSynRetrans,
        Self::TcpBacklogDrop,
    ];

    /// What the kernel calls it; `nstat` writes the group in front of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ActiveOpens => "ActiveOpens",
            Self::PassiveOpens => "PassiveOpens",
            Self::AttemptFails => "AttemptFails",
            Self::EstabResets => "EstabResets",
            Self::CurrEstab => "CurrEstab",
            Self::RetransSegs => "RetransSegs",
            Self::OutRsts => "OutRsts",
            Self::SyncookiesSent => "SyncookiesSent",
            Self::ListenOverflows => "ListenOverflows",
            Self::ListenDrops => "ListenDrops",
            Self::TcpAbortOnMemory => "TCPAbortOnMemory",
            Self::TcpMemoryPressures => "TCPMemoryPressures",
            Self::TcpReqQFullDoCookies => "TCPReqQFullDoCookies",
            Self::TcpReqQFullDrop => "TCPReqQFullDrop",
            Self::TcpTimeWaitOverflow => "TCPTimeWaitOverflow",
            Self::TcpSynRetrans => "TCPSynRetrans",
            Self::TcpBacklogDrop => "TCPBacklogDrop",
        }
    }

    /// The group in whose lines it is: `Tcp` of `/proc/net/snmp`, `TcpExt` of `/proc/net/netstat`.
    pub const fn group(self) -> &'static str {
        match self {
            Self::ActiveOpens
            | Self::PassiveOpens
            | Self::AttemptFails
            | Self::EstabResets
            | Self::CurrEstab
            | Self::RetransSegs
            | Self::OutRsts => "Tcp",
            _ => "TcpExt",
        }
    }
}

/// The counters of a network namespace at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// In the order of [`Counter::ALL`].
    values: [Option<u64>; Counter::ALL.len()],
}

impl Counters {
    /// Reads those of this network namespace.
    pub fn read() -> Self {
        let snmp = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
        let netstat = fs::read_to_string("/proc/net/netstat").unwrap_or_default();
        Self::parse(&snmp, &netstat)
    }

    /// Reads the texts of `/proc/net/snmp` and `/proc/net/netstat`: of each group a line of names
    /// and one of values.
    pub fn parse(snmp: &str, netstat: &str) -> Self {
        let mut counters = Self::default();
        for text in [snmp, netstat] {
            let groups = text.lines().map(|line| line.split_once(':'));
            for (names, values) in groups.clone().zip(groups.skip(1)) {
                if let (Some((group, names)), Some((same, values))) = (names, values)
                    && group == same
                {
                    counters.parse_group(group, names, values);
                }
            }
        }
        counters
    }

    /// The value of one counter; `None` where this kernel does not count it.
    pub const fn value(&self, counter: Counter) -> Option<u64> {
        self.values[counter as usize]
    }

    fn parse_group(&mut self, group: &str, names: &str, values: &str) {
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            let counter = Counter::ALL
                .into_iter()
                .find(|counter| counter.name() == name && counter.group() == group);
            if let Some(counter) = counter {
                self.values[counter as usize] = value.parse().ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 2.6.32 writes it: fewer names, no checksum errors at the end.
    const SNMP_2_6: &str = "\
        Ip: Forwarding DefaultTTL InReceives InHdrErrors\n\
        Ip: 1 64 100 0\n\
        IcmpMsg: InType3\n\
        IcmpMsg: 1\n\
        Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets \
        CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts\n\
        Tcp: 1 200 120000 -1 11 22 33 44 55 66 77 88 0 99\n\
        Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\n\
        Udp: 39 0 0 40 0 0\n";
    const NETSTAT_2_6: &str = "\
        TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed TW ListenOverflows ListenDrops \
        TCPAbortOnMemory TCPMemoryPressures TCPBacklogDrop\n\
        TcpExt: 1 2 3 4 5 6 7 8 9\n\
        IpExt: InNoRoutes InTruncatedPkts\n\
        IpExt: 0 0\n";

    /// As Linux 6 writes it, with what it has in between left out.
    const NETSTAT_6: &str = "\
        TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPAbortOnMemory TCPMemoryPressures \
        TCPMemoryPressuresChrono TCPBacklogDrop TCPTimeWaitOverflow TCPReqQFullDoCookies \
        TCPReqQFullDrop TCPRetransFail TCPSynRetrans TCPAOBad\n\
        TcpExt: 0 18446744073709551615 6 0 1 2000 3 4 5 60 0 7 0\n\
        IpExt: InNoRoutes\n\
        IpExt: 0\n\
        MPTcpExt: MPCapableSYNRX ListenDrops\n\
        MPTcpExt: 0 12345\n";

    #[test]
    fn reads_this_machine() {
        let counters = Counters::read();
        for counter in [
            Counter::ActiveOpens,
            Counter::CurrEstab,
            Counter::ListenOverflows,
        ] {
            assert!(counters.value(counter).is_some(), "{counter:?}");
        }
    }

    #[test]
    fn every_counter_has_its_place_and_a_name_of_its_own() {
        for (index, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, index);
            let name = counter.name().to_lowercase();
            assert_eq!(name, format!("{counter:?}").to_lowercase());
        }
    }

    #[test]
    fn parses_what_kernels_write() {
        let old = Counters::parse(SNMP_2_6, NETSTAT_2_6);
        let known = [
            (Counter::ActiveOpens, 11),
            (Counter::PassiveOpens, 22),
            (Counter::AttemptFails, 33),
            (Counter::EstabResets, 44),
            (Counter::CurrEstab, 55),
            (Counter::RetransSegs, 88),
            (Counter::OutRsts, 99),
            (Counter::SyncookiesSent, 1),
            (Counter::ListenOverflows, 5),
            (Counter::ListenDrops, 6),
            (Counter::TcpAbortOnMemory, 7),
            (Counter::TcpMemoryPressures, 8),
            (Counter::TcpBacklogDrop, 9),
        ];
        for counter in Counter::ALL {
            let value = known.iter().find(|(known, _)| *known == counter);
            assert_eq!(
                old.value(counter),
                value.map(|(_, value)| *value),
                "{counter:?}"
            );
        }
        let new = Counters::parse("", NETSTAT_6);
        assert_eq!(new.value(Counter::ListenOverflows), Some(u64::MAX));
        assert_eq!(new.value(Counter::ListenDrops), Some(6));
        assert_eq!(new.value(Counter::TcpMemoryPressures), Some(1));
        assert_eq!(new.value(Counter::TcpTimeWaitOverflow), Some(4));
        assert_eq!(new.value(Counter::TcpReqQFullDoCookies), Some(5));
        assert_eq!(new.value(Counter::TcpReqQFullDrop), Some(60));
        assert_eq!(new.value(Counter::TcpSynRetrans), Some(7));
        assert_eq!(new.value(Counter::ActiveOpens), None);
    }

    #[test]
    fn what_is_missing_or_odd_is_not_known() {
        let parse = |netstat: &str| Counters::parse("", netstat);
        let nothing = Counters::default();
        assert_eq!(parse(""), nothing);
        assert_eq!(parse("\n\n:\n"), nothing);
        // A sandbox that writes the names alone.
        assert_eq!(parse("TcpExt: ListenOverflows ListenDrops\n"), nothing);
        assert_eq!(parse("TcpExt: ListenDrops\nIpExt: InNoRoutes\n"), nothing);
        assert_eq!(parse("TcpExt: ListenDrops\nIpExt: 5\n"), nothing);
        assert_eq!(parse("TcpExt ListenDrops\nTcpExt 5\n"), nothing);
        assert_eq!(parse("TcpExt: ListenDrops\nTcpExt: x\n"), nothing);
        assert_eq!(parse("TcpExt: ListenDrops\nTcpExt: -1\n"), nothing);
        // Fewer values than names, and more.
        let short = parse("TcpExt: ListenDrops ListenOverflows\nTcpExt: 5\n");
        assert_eq!(short.value(Counter::ListenDrops), Some(5));
        assert_eq!(short.value(Counter::ListenOverflows), None);
        assert_eq!(
            parse("TcpExt: ListenDrops\nTcpExt: 5 6\n").value(Counter::ListenDrops),
            Some(5)
        );
    }
}
