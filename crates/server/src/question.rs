//! What the control plane asks of a shard, and what it is answered.
//!
//! Every question costs a shard a bounded piece of work, whatever the number of its connections: what would
//! take longer is asked for in slices, each of which says where the next begins.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use engine::Distribution;
use hub::Frequent;
use tokio::sync::oneshot;

use crate::census::Pass;

/// Where an answer goes. Nobody may be waiting any more.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// A question to one shard.
#[derive(Debug)]
pub(crate) enum Question {
    /// What it has counted, and when that was asked.
    Facts(Instant, Reply<Facts>),
    /// What is sent to most.
    Look(Reply<Look>),
    /// A slice of the census, and then the last whole one; none before the first has ended.
    Slice(Reply<Option<Arc<Pass>>>),
    /// One connection.
    Conn(hub::ConnId, Reply<Option<Detail>>),
    /// Several connections, those of them that are there; no more than [`ITEMS_MAX`].
    Briefs(Vec<hub::ConnId>, Reply<Vec<Brief>>),
    /// Connections, from a place on, and how many at most.
    Conns(Search, u32, usize, Reply<Page<Brief>>),
    /// Topics that match, from a place on, and how many at most.
    Topics(Pattern, u32, usize, Reply<Page<(String, usize)>>),
    /// How many members topics have here, in the order of the question.
    Members(Vec<Arc<str>>, Reply<Vec<usize>>),
    /// Close connections, from a place on; how many were closed.
    Close(Search, u32, Reply<Closed>),
}

/// Which connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// All.
    All,
    /// This one.
    Conn(hub::ConnId),
    /// Those that are connected under this socket id.
    SocketId(Arc<str>),
    /// The members of this topic.
    Topic(Arc<str>),
    /// Those from this address and, if one is given, this port.
    Address(IpAddr, Option<u16>),
}

/// Which topics: all characters as they are, but a `*` at the end stands for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

/// A slice of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// The place at which the next slice begins; none after the last.
    pub(crate) next: Option<u32>,
}

/// What became of an order to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) count: usize,
    /// The place at which the next slice begins; none after the last.
    pub(crate) next: Option<u32>,
}

/// A connection in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brief {
    pub(crate) conn: hub::ConnId,
    pub(crate) peer: SocketAddr,
    pub(crate) age: Duration,
    pub(crate) silence: Duration,
    pub(crate) socket_id: Option<String>,
    /// The serializer that the client chose: `"1.0.0"` or `"2.0.0"`.
    pub(crate) vsn: &'static str,
    pub(crate) channels_count: usize,
    pub(crate) outbox_bytes: u32,
    pub(crate) outbox_frames: usize,
}

/// A connection by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Detail {
    pub(crate) brief: Brief,
    /// The topics that it has joined, in the order of the joins.
    pub(crate) topics: Vec<String>,
}

/// What a shard has counted since it began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// How long the question waited for its turn: the time that anything sent to this shard waits.
    pub(crate) waited: Duration,
    /// CPU that its thread has used.
    pub(crate) cpu: Duration,
    pub(crate) hub: hub::Counters,
    /// Joined channels.
    pub(crate) channels_count: usize,
    /// Topics with members.
    pub(crate) topics_count: usize,
    /// Ends of open WebSockets by cause.
    pub(crate) closes: BTreeMap<&'static str, u64>,
    /// Refused upgrades by reason.
    pub(crate) refusals: BTreeMap<&'static str, u64>,
    /// Microseconds that joins took.
    pub(crate) joins: Distribution,
    /// Microseconds that other messages of clients took.
    pub(crate) handlers: Distribution,
    /// Microseconds from when broadcasts were taken up until the last of their frames was written.
    pub(crate) fanouts: Distribution,
    /// Members that broadcasts reached on this shard.
    pub(crate) fanout_members: Distribution,
}

/// What is sent to most on a shard.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Broadcasts of topics since the last such question, and members reached.
    pub(crate) busiest: Vec<Frequent<Arc<str>>>,
    /// When they were taken out, whenever the answer is read.
    pub(crate) taken: Instant,
}

/// Items in one answer.
pub(crate) const ITEMS_MAX: usize = 100;

impl Question {
    /// Whether nobody waits for the answer any more, so that there is nothing to do.
    pub(crate) fn is_void(&self) -> bool {
        match self {
            Self::Facts(_, reply) => reply.is_closed(),
            Self::Look(reply) => reply.is_closed(),
            Self::Slice(reply) => reply.is_closed(),
            Self::Conn(_, reply) => reply.is_closed(),
            Self::Briefs(_, reply) => reply.is_closed(),
            Self::Conns(_, _, _, reply) => reply.is_closed(),
            Self::Topics(_, _, _, reply) => reply.is_closed(),
            Self::Members(_, reply) => reply.is_closed(),
            Self::Close(_, _, reply) => reply.is_closed(),
        }
    }
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => topic.starts_with(prefix),
            None => topic == self.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_stands_for_the_rest() {
        assert!(Pattern::new("room:*").matches("room:1"));
        assert!(Pattern::new("*").matches("anything"));
        assert!(!Pattern::new("room:*").matches("rooms"));
        assert!(!Pattern::new("room").matches("room:1"));
        assert!(!Pattern::new("r*m").matches("room"));
    }
}
