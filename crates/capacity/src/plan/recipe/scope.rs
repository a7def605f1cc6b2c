//! Whose a sysctl is: a network namespace's, which a container has to itself, or the host's.
//!
//! `unshare -n ls -l /proc/sys/net/ipv4` shows what a namespace has: since Linux 5.13 a value that is not
//! its own is absent there or cannot be written.

/// Who has a value of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Each network namespace.
    Network(Pods),
    /// The machine.
    Host,
}

/// What Kubernetes thinks of a pod that sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pods {
    /// Any pod may, since this version (pkg/kubelet/sysctl/safe_sysctls.go).
    Safe {
        /// The version of Kubernetes.
        since: &'static str,
    },
    /// The kubelet has to allow it, `--allowed-unsafe-sysctls`.
    Unsafe,
}

/// Whose `key` is; what is not in the table is the host's, where it can always be set.
pub(super) fn scope(key: &str) -> Scope {
    let network = NETWORK.iter().find(|(known, _)| *known == key);
    network.map_or(Scope::Host, |(_, pods)| Scope::Network(*pods))
}

/// The sysctls of a network namespace.
const NETWORK: [(&str, Pods); 18] = [
    ("net.core.somaxconn", Pods::Unsafe),
    ("net.ipv4.conf.all.rp_filter", Pods::Unsafe),
    ("net.ipv4.ip_local_port_range", Pods::Safe { since: "1.4" }),
    (
        "net.ipv4.ip_local_reserved_ports",
        Pods::Safe { since: "1.27" },
    ),
    ("net.ipv4.ip_nonlocal_bind", Pods::Unsafe),
    (
        "net.ipv4.ip_unprivileged_port_start",
        Pods::Safe { since: "1.22" },
    ),
    ("net.ipv4.tcp_abort_on_overflow", Pods::Unsafe),
    ("net.ipv4.tcp_fin_timeout", Pods::Safe { since: "1.29" }),
    ("net.ipv4.tcp_keepalive_time", Pods::Safe { since: "1.29" }),
    ("net.ipv4.tcp_max_syn_backlog", Pods::Unsafe),
    ("net.ipv4.tcp_max_tw_buckets", Pods::Unsafe),
    ("net.ipv4.tcp_rmem", Pods::Safe { since: "1.32" }),
    ("net.ipv4.tcp_syn_retries", Pods::Unsafe),
    ("net.ipv4.tcp_synack_retries", Pods::Unsafe),
    ("net.ipv4.tcp_syncookies", Pods::Safe { since: "1.4" }),
    ("net.ipv4.tcp_tw_reuse", Pods::Unsafe),
    ("net.ipv4.tcp_wmem", Pods::Safe { since: "1.32" }),
    (
        "net.netfilter.nf_conntrack_tcp_timeout_established",
        Pods::Unsafe,
    ),
];

/// The sysctls of the machine that have a limit here. They need no entry to be found; a test asks that
/// each limit is in one list or the other, so that a new one is thought about.
#[cfg(test)]
const HOST: [&str; 13] = [
    "fs.epoll.max_user_watches",
    "fs.file-max",
    "fs.nr_open",
    "kernel.io_uring_disabled",
    "kernel.pid_max",
    "kernel.threads-max",
    "net.core.netdev_max_backlog",
    "net.ipv4.neigh.default.gc_thresh3",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_mem",
    // A namespace shows it, and cannot write it.
    "net.netfilter.nf_conntrack_max",
    "vm.max_map_count",
    "vm.overcommit_memory",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limit, limit::Setting};

    #[test]
    fn every_sysctl_that_is_a_limit_has_its_place() {
        for limit in Limit::ALL {
            if let Setting::Sysctl { key, .. } = limit.setting() {
                let is_network = scope(key) != Scope::Host;
                assert_ne!(is_network, HOST.contains(&key), "{key}");
            }
        }
    }

    #[test]
    fn tables_are_sorted_and_name_only_limits() {
        let network = NETWORK.map(|(key, _)| key);
        assert!(network.is_sorted() && HOST.is_sorted());
        let is_limit = |wanted: &str| {
            Limit::ALL.into_iter().any(
                |limit| matches!(limit.setting(), Setting::Sysctl { key, .. } if key == wanted),
            )
        };
        assert!(network.into_iter().chain(HOST).all(is_limit));
    }

    #[test]
    fn what_is_not_known_is_the_hosts() {
        assert_eq!(scope("net.core.rmem_max"), Scope::Host);
    }
}
