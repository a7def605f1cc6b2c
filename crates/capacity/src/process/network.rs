//! Whether the sockets of a process are among those that can be seen from here.
//!
//! A container usually has a network of its own: other addresses, other ports, other limits, and
//! socket statistics that its own processes see and nobody else (`man 7 network_namespaces`).

use super::{
    Known, Pid, Unknown,
    directory::{Directory, link_below},
};

/// The network of a process, seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// The one that we are in.
    Ours,
    /// Another one.
    Other {
        /// Its name in the kernel, `net:[4026532201]`.
        theirs: String,
        /// The name of ours.
        ours: String,
    },
    /// It cannot be told which.
    Unknown(Unknown),
}

impl Network {
    pub(super) fn of(directory: &Directory) -> Self {
        let ours = || link_below(directory.root(), "/proc/self/ns/net");
        let names: Known<_> = directory
            .link("ns/net")
            .and_then(|theirs| Ok((theirs, ours()?)));
        match names {
            Ok((theirs, ours)) if theirs == ours => Self::Ours,
            Ok((theirs, ours)) => Self::Other { theirs, ours },
            Err(unknown) => Self::Unknown(unknown),
        }
    }

    /// What a reader of socket statistics must know, if anything: how to look from inside.
    pub fn caution(&self, pid: Pid) -> Option<String> {
        let how = format!("run `nsenter -t {pid} -n fourtuple doctor --pid {pid}` as root");
        match self {
            Self::Ours => None,
            Self::Other { theirs, ours } => Some(format!(
                "process {pid} is in another network namespace ({theirs}) than this program \
                 ({ours}): its sockets, addresses and ports are not among those seen from here; to \
                 see them, {how}"
            )),
            Self::Unknown(unknown) => Some(format!(
                "whether process {pid} is in this network namespace is not known ({unknown}); if it \
                 is in a container, its sockets are not among those seen from here: {how}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_network_says_how_to_get_there() {
        assert_eq!(Network::Ours.caution(Pid(7)), None);
        let other = Network::Other {
            theirs: "net:[2]".to_owned(),
            ours: "net:[1]".to_owned(),
        };
        let said = other.caution(Pid(7)).unwrap_or_default();
        assert!(
            said.contains("`nsenter -t 7 -n fourtuple doctor --pid 7`"),
            "{said}"
        );
        assert!(
            said.contains("net:[2]") && said.contains("net:[1]"),
            "{said}"
        );
        let denied = Unknown::Denied("/proc/7/ns/net".to_owned());
        let said = Network::Unknown(denied).caution(Pid(7)).unwrap_or_default();
        assert!(said.contains("/proc/7/ns/net may not be read"), "{said}");
    }
}
