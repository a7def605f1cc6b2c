//! The exact lines that make changes of limits: commands for now, a file for each boot, and what a
//! service manager, a container or a pod is told.
//!
//! Each `Display` writes its lines, and nothing when there is nothing to write. What a kind cannot set it
//! says in a comment, so that no change is lost between two kinds.

mod kubernetes;
mod scope;

use std::fmt;

pub use kubernetes::KubernetesPod;

use crate::{Change, limit::Setting};
use scope::{Scope, scope};

/// Where [`SysctlFile`] belongs.
pub const SYSCTL_FILE: &str = "/etc/sysctl.d/90-fourtuple.conf";

/// Where [`SystemdUnit`] belongs.
pub const SYSTEMD_FILE: &str = "/etc/systemd/system/fourtuple.service.d/90-limits.conf";

/// Commands of a shell, as root, that hold until the machine or the shell ends.
///
/// ```
/// use fourtuple_capacity::{Change, Limit, plan::recipe::Commands};
///
/// let change = Change {
///     limit: Limit::PortRange,
///     from: "32768 60999".to_owned(),
///     to: "1024 65535".to_owned(),
/// };
/// assert_eq!(
///     Commands(&[change]).to_string(),
///     "sysctl -w net.ipv4.ip_local_port_range='1024 65535'\n"
/// );
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Commands<'a>(pub &'a [Change]);

/// A file for `sysctl.d`, which holds from each boot on (`man 5 sysctl.d`).
#[derive(Clone, Copy, Debug)]
pub struct SysctlFile<'a>(pub &'a [Change]);

/// A drop-in for a systemd unit (`man 5 systemd.exec`, `man 5 systemd.resource-control`).
#[derive(Clone, Copy, Debug)]
pub struct SystemdUnit<'a>(pub &'a [Change]);

/// A `docker run` with its flags; podman has the same.
#[derive(Clone, Copy, Debug)]
pub struct DockerRun<'a>(pub &'a [Change]);

/// A sysctl and the value that it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Assignment {
    key: &'static str,
    value: String,
}

impl Assignment {
    /// The sysctls among `changes`, in their order.
    fn all(changes: &[Change]) -> impl Iterator<Item = Self> + '_ {
        changes
            .iter()
            .filter_map(|change| match change.limit.setting() {
                Setting::Sysctl { key, .. } => Some(Self {
                    key,
                    value: value(change),
                }),
                _ => None,
            })
    }

    /// `KEY=VALUE` as one word of a shell.
    fn word(&self) -> String {
        format!("{}={}", self.key, shell_word(&self.value))
    }
}

impl fmt::Display for Commands<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RLIMIT_NOFILE may not be above fs.nr_open, so that sysctls come first.
        for sysctl in Assignment::all(self.0) {
            writeln!(f, "sysctl -w {}", sysctl.word())?;
        }
        for change in self.0 {
            let to = value(change);
            match change.limit.setting() {
                Setting::Sysctl { .. } => {}
                Setting::Rlimit { ulimit, .. } => {
                    let to = or_unlimited(&to, "unlimited");
                    writeln!(f, "prlimit --pid $$ --{ulimit}={to}:{to}")?;
                }
                Setting::Boot(parameter) => {
                    writeln!(f, "# on the command line of the kernel: {parameter}={to}")?;
                }
                _ => writeln!(
                    f,
                    "# {}: from {} to {to}: {}",
                    change.limit.name(),
                    change.from,
                    change.limit.remedy()
                )?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for SysctlFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sysctls = Assignment::all(self.0).peekable();
        if sysctls.peek().is_some() {
            writeln!(
                f,
                "# {SYSCTL_FILE}; read at boot, and at once by `sysctl --system`"
            )?;
        }
        sysctls.try_for_each(|sysctl| writeln!(f, "{} = {}", sysctl.key, sysctl.value))
    }
}

impl fmt::Display for SystemdUnit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.iter().filter_map(|change| {
            let to = value(change);
            match change.limit.setting() {
                Setting::Rlimit { unit_key, .. } | Setting::ControlGroup { unit_key, .. } => {
                    Some(format!("{unit_key}={}", or_unlimited(&to, "infinity")))
                }
                _ => None,
            }
        });
        let Some(first) = lines.next() else {
            return Ok(());
        };
        writeln!(
            f,
            "# {SYSTEMD_FILE}; then `systemctl daemon-reload` and a restart"
        )?;
        writeln!(f, "[Service]\n{first}")?;
        lines.try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for DockerRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_host = |sysctl: &Assignment| scope(sysctl.key) == Scope::Host;
        let (host, own): (Vec<_>, Vec<_>) = Assignment::all(self.0).partition(of_host);
        for sysctl in host {
            writeln!(f, "# on the host: sysctl -w {}", sysctl.word())?;
        }
        let flags = self.0.iter().filter_map(|change| {
            let to = value(change);
            match change.limit.setting() {
                Setting::Rlimit { ulimit, .. } => {
                    let to = or_unlimited(&to, "-1");
                    Some(format!("--ulimit {ulimit}={to}:{to}"))
                }
                Setting::ControlGroup { flag, .. } => {
                    Some(format!("{flag} {}", or_unlimited(&to, "-1")))
                }
                _ => None,
            }
        });
        let sysctls = own
            .iter()
            .map(|sysctl| format!("--sysctl {}", sysctl.word()));
        let flags: Vec<_> = flags.chain(sysctls).collect();
        if flags.is_empty() {
            return Ok(());
        }
        if !own.is_empty() {
            writeln!(
                f,
                "# with --network host, each --sysctl is the host's instead"
            )?;
        }
        writeln!(f, "docker run \\")?;
        flags
            .iter()
            .try_for_each(|flag| writeln!(f, "    {flag} \\"))?;
        writeln!(f, "    IMAGE")
    }
}

/// The value that a limit should have, its numbers with one blank between them.
fn value(change: &Change) -> String {
    let numbers: Vec<_> = change.to.split_whitespace().collect();
    numbers.join(" ")
}

/// Whether a value is the word for no limit, as one of the places where limits are read writes it.
fn is_unlimited(value: &str) -> bool {
    matches!(value, "unlimited" | "infinity" | "max" | "-1")
}

/// The number, or the word for no limit in the place where it is written.
fn or_unlimited<'a>(value: &'a str, unlimited: &'a str) -> &'a str {
    if is_unlimited(value) {
        unlimited
    } else {
        value
    }
}

/// A text that a shell takes for one word.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/".contains(c);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limit;

    pub(super) fn change(limit: Limit, from: &str, to: &str) -> Change {
        Change {
            limit,
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    /// What a server of two million asks of a machine where nobody has set anything.
    pub(super) fn two_million() -> Vec<Change> {
        vec![
            change(Limit::Descriptors, "524288", "2001024"),
            change(Limit::DescriptorCeiling, "1048576", "2001024"),
            change(Limit::PortRange, "32768\t60999", "1024\t65535"),
            change(Limit::AcceptQueue, "4096", "8192"),
            change(Limit::TcpMemory, "1 2 3", "287898 383867 2000000"),
            change(Limit::GroupThreads, "512", "4096"),
            change(Limit::GroupMemory, "4000000000", "9000000000"),
            change(Limit::EstablishedTable, "262144", "4194304"),
            change(Limit::RuntimeHandles, "65536", "2001024"),
        ]
    }

    #[test]
    fn commands_set_ceilings_before_what_is_below_them() {
        let text = Commands(&two_million()).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..6],
            [
                "sysctl -w fs.nr_open=2001024",
                "sysctl -w net.ipv4.ip_local_port_range='1024 65535'",
                "sysctl -w net.core.somaxconn=8192",
                "sysctl -w net.ipv4.tcp_mem='287898 383867 2000000'",
                "prlimit --pid $$ --nofile=2001024:2001024",
                "# pids.max: from 512 to 4096: set TasksMax=N in a systemd unit, or --pids-limit N for \
                 a container",
            ]
        );
        assert!(text.contains("# on the command line of the kernel: thash_entries=4194304\n"));
        // No change is without its line.
        assert_eq!(lines.len(), two_million().len());
    }

    #[test]
    fn a_file_for_each_boot() {
        assert_eq!(
            SysctlFile(&two_million()).to_string(),
            "# /etc/sysctl.d/90-fourtuple.conf; read at boot, and at once by `sysctl --system`\n\
             fs.nr_open = 2001024\n\
             net.ipv4.ip_local_port_range = 1024 65535\n\
             net.core.somaxconn = 8192\n\
             net.ipv4.tcp_mem = 287898 383867 2000000\n"
        );
    }

    #[test]
    fn a_unit_has_limits_and_groups() {
        assert_eq!(
            SystemdUnit(&two_million()).to_string(),
            "# /etc/systemd/system/fourtuple.service.d/90-limits.conf; then `systemctl daemon-reload` \
             and a restart\n\
             [Service]\n\
             LimitNOFILE=2001024\n\
             TasksMax=4096\n\
             MemoryMax=9000000000\n"
        );
    }

    #[test]
    fn a_container_sets_what_its_namespaces_have() {
        assert_eq!(
            DockerRun(&two_million()).to_string(),
            "# on the host: sysctl -w fs.nr_open=2001024\n\
             # on the host: sysctl -w net.ipv4.tcp_mem='287898 383867 2000000'\n\
             # with --network host, each --sysctl is the host's instead\n\
             docker run \\\n    \
                 --ulimit nofile=2001024:2001024 \\\n    \
                 --pids-limit 4096 \\\n    \
                 --memory 9000000000 \\\n    \
                 --sysctl net.ipv4.ip_local_port_range='1024 65535' \\\n    \
                 --sysctl net.core.somaxconn=8192 \\\n    \
                 IMAGE\n"
        );
    }

    #[test]
    fn no_limit_has_a_word_of_its_own_everywhere() {
        let changes = [
            change(Limit::LockedMemory, "8388608", "unlimited"),
            change(Limit::GroupMemory, "1", "max"),
        ];
        let commands = Commands(&changes).to_string();
        assert!(commands.starts_with("prlimit --pid $$ --memlock=unlimited:unlimited\n"));
        let unit = SystemdUnit(&changes).to_string();
        assert!(
            unit.ends_with("LimitMEMLOCK=infinity\nMemoryMax=infinity\n"),
            "{unit}"
        );
        let docker = DockerRun(&changes).to_string();
        assert!(docker.contains("--ulimit memlock=-1:-1"), "{docker}");
        assert!(docker.contains("--memory -1"), "{docker}");
    }

    #[test]
    fn nothing_to_change_is_nothing_to_write() {
        assert_eq!(Commands(&[]).to_string(), "");
        assert_eq!(SysctlFile(&[]).to_string(), "");
        assert_eq!(SystemdUnit(&[]).to_string(), "");
        assert_eq!(DockerRun(&[]).to_string(), "");
        // And nothing of a kind is nothing, too.
        let host = [change(Limit::DescriptorCeiling, "1", "2")];
        assert_eq!(SystemdUnit(&host).to_string(), "");
        assert_eq!(
            DockerRun(&host).to_string(),
            "# on the host: sysctl -w fs.nr_open=2\n"
        );
    }

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        assert_eq!(shell_word("4000,5000-5010"), "4000,5000-5010");
        assert_eq!(shell_word("1 2"), "'1 2'");
        assert_eq!(shell_word("a'$(b)"), r"'a'\''$(b)'");
    }
}
