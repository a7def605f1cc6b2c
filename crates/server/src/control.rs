//! Everything that the control plane may do to a node, from any thread and without waiting.

use std::{
    fmt,
    net::SocketAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use engine::{Counters, Remote, ShardIndex};
use hub::{Broadcast, Full, Interest, Mail, Publication};
use tokio::sync::oneshot::{self, Receiver as Answer};

use crate::{
    config::Config,
    node,
    occupancy::Occupancy,
    plan::Plan,
    question::{Question, Reply},
    shard::ShardMail,
};

/// A connection of the node, as the control plane names it: `shard-index-generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Conn {
    pub(crate) shard: ShardIndex,
    pub(crate) conn: hub::ConnId,
}

/// A hand on every shard of a running node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    remote: Remote<ShardMail>,
    interest: Arc<Interest>,
    counters: Box<[Arc<Counters>]>,
    config: Arc<Config>,
    plan: Plan,
    address: SocketAddr,
    kernel: String,
    occupancy: Arc<Occupancy>,
    draining: AtomicBool,
    started: Instant,
}

/// Why nobody was sent a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpublished {
    /// A mailbox has no room now.
    Full,
    /// Every shard that had members has ended, and its members are gone.
    Ended,
}

/// Whether a node takes new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// It is closing everything in order.
    Draining,
    /// It holds as many connections as it may.
    Full,
}

/// What a control is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) remote: Remote<ShardMail>,
    pub(crate) interest: Arc<Interest>,
    pub(crate) counters: Box<[Arc<Counters>]>,
    pub(crate) config: Arc<Config>,
    pub(crate) plan: Plan,
    pub(crate) address: SocketAddr,
    pub(crate) kernel: String,
    pub(crate) occupancy: Arc<Occupancy>,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            remote,
            interest,
            counters,
            config,
            plan,
            address,
            kernel,
            occupancy,
        } = parts;
        Self(Arc::new(Inner {
            remote,
            interest,
            counters,
            config,
            plan,
            address,
            kernel,
            occupancy,
            draining: AtomicBool::new(false),
            started: Instant::now(),
        }))
    }

    /// Sends a broadcast to the members of its topic, on every shard that has any, all but one connection if
    /// one is named. Returns how many shards took it; one that has ended takes nothing.
    ///
    /// # Errors
    ///
    /// The mailbox of one of them has no room now, or all of them have ended; nothing was sent to any.
    pub(crate) fn publish(
        &self,
        broadcast: &Arc<Broadcast>,
        but: Option<Conn>,
    ) -> Result<usize, Unpublished> {
        let shards = self.interested(broadcast.topic());
        let publication = |shard| {
            let but = but.filter(|conn| conn.shard == shard);
            let broadcast = Arc::clone(broadcast);
            let publication = match but {
                Some(Conn { conn, .. }) => Publication::BroadcastFrom(broadcast, conn),
                None => Publication::Broadcast(broadcast),
            };
            ShardMail::Hub(Mail::Publish(publication))
        };
        let posted = self.0.remote.post_to_all(&shards, publication);
        taken(posted.map_err(|_| Full), shards.len())
    }

    /// The shards that may have members of a topic, lowest first: all that have, and few that have not.
    pub(crate) fn interested(&self, topic: &str) -> Vec<ShardIndex> {
        let shards = self.0.interest.shards(topic);
        shards.map(|shard| ShardIndex(shard.0)).collect()
    }

    /// Asks one shard something, and returns where the answer comes. It never comes from a shard that has
    /// ended.
    ///
    /// # Errors
    ///
    /// Its mailbox has no room now.
    pub(crate) fn ask<T>(
        &self,
        shard: ShardIndex,
        question: impl FnOnce(Reply<T>) -> Question,
    ) -> Result<Answer<T>, Full> {
        let (reply, answer) = oneshot::channel();
        let mail = ShardMail::Ask(Box::new(question(reply)));
        let posted = self.0.remote.post(shard, mail);
        posted.map(|()| answer).map_err(|_| Full)
    }

    /// Mail that waits for a shard.
    pub(crate) fn waiting_count(&self, shard: ShardIndex) -> usize {
        self.0.remote.waiting_count(shard)
    }

    pub(crate) fn readiness(&self) -> Readiness {
        if self.0.draining.load(Relaxed) {
            Readiness::Draining
        } else if self.0.occupancy.is_full() {
            Readiness::Full
        } else {
            Readiness::Ready
        }
    }

    /// Says from here on that it is draining, which [`Control::drain`] then begins; returns whether it was
    /// said before.
    pub(crate) fn announce_drain(&self) -> bool {
        self.0.draining.swap(true, Relaxed)
    }

    /// Begins to close everything in order. Waits while a shard's mailbox is full.
    pub(crate) fn drain(&self) {
        self.announce_drain();
        node::drain(&self.0.remote, &self.0.config);
    }

    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.0.config
    }

    /// Where WebSockets are accepted.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// What carries the shards, and why.
    pub(crate) fn kernel(&self) -> &str {
        &self.0.kernel
    }

    /// Connections that the node holds at most.
    pub(crate) fn connections_max(&self) -> u32 {
        self.0.plan.connections_max
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.0.plan
    }

    pub(crate) fn started(&self) -> Instant {
        self.0.started
    }

    pub(crate) fn shards_count(&self) -> u16 {
        self.0.remote.shards_count()
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardIndex> + use<> {
        (0..self.0.remote.shards_count()).map(ShardIndex)
    }

    /// What the engine of one shard counts; read without asking it.
    ///
    /// # Panics
    ///
    /// There is no such shard.
    pub(crate) fn counters(&self, shard: ShardIndex) -> &Counters {
        &self.0.counters[usize::from(shard.0)]
    }
}

impl fmt::Display for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hub::ConnId { index, generation } = self.conn;
        write!(f, "{}-{index}-{generation}", self.shard.0)
    }
}

impl FromStr for Conn {
    type Err = NoConn;

    fn from_str(text: &str) -> Result<Self, NoConn> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(NoConn);
        let (shard, index, generation) = (next()?, next()?, next()?);
        let conn = Self {
            shard: ShardIndex(shard.parse().map_err(|_| NoConn)?),
            conn: hub::ConnId {
                index: index.parse().map_err(|_| NoConn)?,
                generation: generation.parse().map_err(|_| NoConn)?,
            },
        };
        // Only what is written as it would be shown: no sign, no zeros in front, nothing behind.
        (conn.to_string() == text).then_some(conn).ok_or(NoConn)
    }
}

/// What came of a broadcast that so many shards should have got.
fn taken(posted: Result<usize, Full>, shards_count: usize) -> Result<usize, Unpublished> {
    match posted {
        Ok(0) if shards_count > 0 => Err(Unpublished::Ended),
        Ok(count) => Ok(count),
        Err(Full) => Err(Unpublished::Full),
    }
}

/// A text that names no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a connection is named by three numbers with - between them, such as 0-17-3")]
pub(crate) struct NoConn;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_living_shard_took_is_not_published() {
        assert_eq!(taken(Ok(2), 2), Ok(2));
        assert_eq!(taken(Ok(1), 2), Ok(1), "the other has no members any more");
        assert_eq!(taken(Ok(0), 0), Ok(0), "nobody is in the topic");
        assert_eq!(taken(Ok(0), 2), Err(Unpublished::Ended));
        assert_eq!(taken(Err(Full), 2), Err(Unpublished::Full));
    }

    #[test]
    fn a_connection_is_named_by_three_numbers() {
        let conn: Conn = "1-20-3".parse().expect("its form");
        assert_eq!(conn.to_string(), "1-20-3");
        for text in [
            "",
            "1-2",
            "1-2-3-4",
            "1-2-x",
            "+1-2-3",
            "01-2-3",
            "65536-1-1",
            "1-2-3 ",
        ] {
            assert_eq!(text.parse::<Conn>(), Err(NoConn), "{text}");
        }
    }
}
