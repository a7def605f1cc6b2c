//! What a pod asks of Kubernetes, and what has to be asked of its node.

use std::fmt;

use super::{
    Assignment, is_unlimited, or_unlimited,
    scope::{Pods, Scope, scope},
    value,
};
use crate::{Change, limit::Setting};

/// The part of a pod that is about limits, with comments on what its node has to have.
///
/// A sysctl of the pod's network namespace is asked for in its `securityContext`; one of the machine is
/// set by a privileged container that runs before the others. Those of the machine below `net` are not to
/// be seen from a pod's network, so they are for the node, and so are the limits of a process, for which a
/// pod has no field.
#[derive(Clone, Copy, Debug)]
pub struct KubernetesPod<'a>(pub &'a [Change]);

/// Changes by who makes them.
struct Parts {
    /// Sysctls that any pod may set, or one for which the kubelet was asked.
    pod: Vec<(Assignment, Pods)>,
    /// Sysctls of the machine that a privileged container sees.
    machine: Vec<Assignment>,
    /// Sysctls of the machine that only its own network namespace has.
    node: Vec<Assignment>,
    /// Lines for the unit of the container runtime.
    runtime: Vec<String>,
    memory: Option<String>,
    threads: Option<String>,
}

impl Parts {
    fn of(changes: &[Change]) -> Self {
        let mut parts = Self {
            pod: Vec::new(),
            machine: Vec::new(),
            node: Vec::new(),
            runtime: Vec::new(),
            memory: None,
            threads: None,
        };
        for sysctl in Assignment::all(changes) {
            match scope(sysctl.key) {
                Scope::Network(pods) => parts.pod.push((sysctl, pods)),
                Scope::Host if sysctl.key.starts_with("net.") => parts.node.push(sysctl),
                Scope::Host => parts.machine.push(sysctl),
            }
        }
        for change in changes {
            let to = value(change);
            match change.limit.setting() {
                Setting::Rlimit { unit_key, .. } => {
                    let line = format!("{unit_key}={}", or_unlimited(&to, "infinity"));
                    parts.runtime.push(line);
                }
                Setting::ControlGroup {
                    file: "memory.max", ..
                } => parts.memory = Some(to),
                Setting::ControlGroup {
                    file: "pids.max", ..
                } => parts.threads = Some(to),
                _ => {}
            }
        }
        parts
    }

    /// What a pod cannot ask for.
    fn write_comments(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unsafe_keys: Vec<_> = self
            .pod
            .iter()
            .filter(|(_, pods)| *pods == Pods::Unsafe)
            .map(|(sysctl, _)| sysctl.key)
            .collect();
        if !unsafe_keys.is_empty() {
            let keys = unsafe_keys.join(",");
            writeln!(f, "# on the node: kubelet --allowed-unsafe-sysctls={keys}")?;
        }
        for sysctl in &self.node {
            writeln!(f, "# on the node: sysctl -w {}", sysctl.word())?;
        }
        for line in &self.runtime {
            writeln!(
                f,
                "# on the node: {line} in the unit of the container runtime"
            )?;
        }
        if let Some(threads) = &self.threads {
            let threads = or_unlimited(threads, "-1");
            writeln!(
                f,
                "# on the node: podPidsLimit: {threads} in the kubelet's configuration"
            )?;
        }
        Ok(())
    }

    fn write_spec(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self
            .memory
            .as_deref()
            .filter(|memory| !is_unlimited(memory));
        if self.pod.is_empty() && self.machine.is_empty() && memory.is_none() {
            return Ok(());
        }
        writeln!(f, "spec:")?;
        if !self.pod.is_empty() {
            writeln!(f, "  securityContext:\n    sysctls:")?;
        }
        for (Assignment { key, value }, pods) in &self.pod {
            let note = match pods {
                Pods::Safe { since } => format!("safe since Kubernetes {since}"),
                Pods::Unsafe => "unsafe".to_owned(),
            };
            writeln!(f, "      - name: {key} # {note}\n        value: {value:?}")?;
        }
        if !self.machine.is_empty() {
            // A list of words, so that no shell takes a value apart.
            let words: Vec<_> = self
                .machine
                .iter()
                .map(|Assignment { key, value }| format!("{:?}", format!("{key}={value}")))
                .collect();
            writeln!(
                f,
                "  initContainers:\n    \
                   - name: limits-of-the-node\n      \
                     image: busybox\n      \
                     securityContext:\n        \
                       privileged: true\n      \
                     command: [\"sysctl\", \"-w\", {}]",
                words.join(", ")
            )?;
        }
        let Some(memory) = memory else {
            return Ok(());
        };
        writeln!(
            f,
            "  containers:\n    \
               - name: fourtuple\n      \
                 resources:\n        \
                   limits:\n          \
                     memory: {memory:?}"
        )
    }
}

impl fmt::Display for KubernetesPod<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = Parts::of(self.0);
        parts.write_comments(f)?;
        parts.write_spec(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Limit,
        plan::recipe::tests::{change, two_million},
    };

    #[test]
    fn a_pod_asks_for_its_own_and_its_node_has_the_rest() {
        assert_eq!(
            KubernetesPod(&two_million()).to_string(),
            r#"# on the node: kubelet --allowed-unsafe-sysctls=net.core.somaxconn
# on the node: sysctl -w net.ipv4.tcp_mem='287898 383867 2000000'
# on the node: LimitNOFILE=2001024 in the unit of the container runtime
# on the node: podPidsLimit: 4096 in the kubelet's configuration
spec:
  securityContext:
    sysctls:
      - name: net.ipv4.ip_local_port_range # safe since Kubernetes 1.4
        value: "1024 65535"
      - name: net.core.somaxconn # unsafe
        value: "8192"
  initContainers:
    - name: limits-of-the-node
      image: busybox
      securityContext:
        privileged: true
      command: ["sysctl", "-w", "fs.nr_open=2001024"]
  containers:
    - name: fourtuple
      resources:
        limits:
          memory: "9000000000"
"#
        );
    }

    #[test]
    fn a_part_that_is_not_needed_is_not_written() {
        assert_eq!(KubernetesPod(&[]).to_string(), "");
        let node = [change(Limit::Conntrack, "262144", "2400000")];
        assert_eq!(
            KubernetesPod(&node).to_string(),
            "# on the node: sysctl -w net.netfilter.nf_conntrack_max=2400000\n"
        );
        let unlimited = [change(Limit::GroupMemory, "1", "max")];
        assert_eq!(KubernetesPod(&unlimited).to_string(), "");
        let machine = KubernetesPod(&[change(Limit::OpenFiles, "1", "4100000")]).to_string();
        assert!(machine.starts_with("spec:\n  initContainers:"), "{machine}");
        assert!(
            !machine.contains("containers:\n    - name: fourtuple"),
            "{machine}"
        );
    }
}
