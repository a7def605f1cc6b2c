//! Which sockets are those of the programs that are looked at.
//!
//! The kernel's lists name an inode for each socket, and /proc those of a process: that tells them
//! exactly. Descriptors on a ring are in no list of /proc, and those of somebody else may not be looked at;
//! then a port tells them: that of a listener, or the one that a crowd was told to dial.

use std::collections::HashSet;

use crate::{
    Grouped,
    process::{DESCRIPTORS_LISTED_MAX, Runtime, dialled_port},
    sockets::{Listener, Pair, Tally},
};

use super::Program;

/// How the sockets of the programs are told from those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nobody's were asked for in particular.
    All,
    /// By the descriptors of each process, all of which were looked at.
    ByDescriptor,
    /// By the lowest descriptors of each process, since there are too many to look at them all: whoever
    /// has dialled somewhere is known, and not how many of the sockets are whose.
    BySomeDescriptors,
    /// By ports: connections by the listener that they came through, and of those that were dialled
    /// those to the port that our crowd was told; of other dialled ones nothing is known.
    ByPort,
    /// Not at all.
    NotAtAll,
}

impl Told {
    /// How those of these programs can be told, on `port` if that was asked for.
    pub(super) fn of(programs: &[Program], port: Option<u16>) -> Self {
        let is_ours = |program: &Program| program.runtime == Runtime::Fourtuple;
        let sockets = || programs.iter().map(|program| program.sockets.as_ref());
        let is_open = sockets().all(|sockets| sockets.is_some());
        let is_all = sockets().flatten().all(|sockets| sockets.is_all);
        match (programs, port) {
            ([], _) => Self::All,
            _ if is_open && programs.iter().any(is_ours) => Self::ByPort,
            _ if is_open && is_all => Self::ByDescriptor,
            _ if is_open => Self::BySomeDescriptors,
            (_, Some(_)) => Self::ByPort,
            (_, None) => Self::NotAtAll,
        }
    }

    /// The listeners among those of `tally`.
    pub(super) fn listeners(
        self,
        tally: &Tally,
        own: &HashSet<u32>,
        port: Option<u16>,
    ) -> Vec<Listener> {
        let all = tally.listeners.iter().copied();
        // Our own keeps them among its ordinary descriptors.
        let is_own = |listener: &Listener| match port {
            Some(port) => listener.local.port() == port,
            None => matches!(self, Self::All | Self::NotAtAll) || own.contains(&listener.inode),
        };
        all.filter(is_own).collect()
    }

    /// The pairs that the programs have dialled, with what others use of them: a tuple is used whoever
    /// has it.
    pub(super) fn pairs(self, tally: &Tally, programs: &[Program]) -> Vec<Pair> {
        let ports: HashSet<u16> = match self {
            Self::ByPort => programs.iter().filter_map(told_port).collect(),
            _ => HashSet::new(),
        };
        let all = tally.pairs.iter().copied();
        let is_own = |pair: &Pair| match self {
            Self::All | Self::NotAtAll => true,
            Self::ByDescriptor | Self::BySomeDescriptors => pair.own_count > 0,
            Self::ByPort => pair.own_count > 0 || ports.contains(&pair.destination.port()),
        };
        all.filter(is_own).collect()
    }

    /// The open connections of a pair that are the programs'.
    pub(super) fn live_count(self, pair: &Pair) -> u64 {
        match self {
            Self::ByDescriptor => pair.own_count,
            _ => pair.live_count,
        }
    }

    /// What a reader must know of it.
    pub(super) fn caution(self, programs: &[Program]) -> Option<String> {
        match self {
            Self::All | Self::ByDescriptor => None,
            Self::BySomeDescriptors => Some(format!(
                "of so many descriptors only the lowest were looked at, {} in all: of each pair of source and \
                 destination that was found with them all sockets are counted, whoever has dialled them",
                Grouped(DESCRIPTORS_LISTED_MAX as u64)
            )),
            Self::ByPort => Some(match programs.iter().find_map(told_port) {
                Some(port) => format!(
                    "connections on rings are in no list of a process: all that are dialled to port {port}, \
                     where its URL leads, are taken for its own"
                ),
                None => "connections on rings, and those of somebody else's process, are in no list that \
                         can be read: those to the listeners shown are counted by their port, and what the \
                         program has dialled itself is not known"
                    .to_owned(),
            }),
            Self::NotAtAll => Some(
                "its sockets cannot be told from those of other programs: listeners and tuples below are \
                 those of all programs of this network; as root they can be, and with --port those of a port"
                    .to_owned(),
            ),
        }
    }
}

/// The port to which a program of ours dials.
fn told_port(program: &Program) -> Option<u16> {
    match program.runtime {
        Runtime::Fourtuple => dialled_port(program.process.arguments.as_ref().ok()?),
        _ => None,
    }
}
