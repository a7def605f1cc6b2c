//! How connections end: all that end together leave everything, then each channel may say its last
//! words.
//!
//! ```text
//!  detach (each) ──► say_last_words (each) ──► Output::Close
//! ```
//!
//! In two steps, so that nobody who goes hears the last words of another who goes. One after the
//! other, a batch of `n` in one topic would cost `n²/2` frames for peers that are being closed, and
//! fill their outboxes instead of telling them why.

use std::sync::Arc;

use proto::{phoenix::Serializer, ws::CloseCode};

use crate::{
    ConnId, Hub, Output, Socket, StopReason,
    conns::Joined,
    context::{Call, Context},
    crash::caught,
    hub::Sink,
    topics::Membership,
};

/// A connection that the hub has forgotten, with the channels that are still to be told.
pub(crate) struct Detached<S: Socket> {
    conn: ConnId,
    serializer: Serializer,
    assigns: S::Assigns,
    /// With their topics, in the order of their joins.
    channels: Vec<(Joined<S>, Arc<str>)>,
}

/// What whoever is closed is told, and what its channels are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell {
    code: CloseCode,
    reason: &'static str,
    stop: StopReason,
}

impl<S: Socket> Hub<S> {
    /// The server is about to stop: closes up to `conns_max` connections with 1012, upon which
    /// clients connect again, and says how many it closed. Less than asked for means that none is
    /// left.
    pub fn handle_drain(&mut self, conns_max: usize, out: &mut Sink<'_>) -> usize {
        let conns = self.conns.iter().map(|(conn, _)| conn);
        let conns: Vec<_> = conns.take(conns_max).collect();
        let batch: Vec<_> = conns
            .into_iter()
            .filter_map(|conn| self.detach(conn))
            .collect();
        let closed_count = batch.len();
        self.counters.drained += closed_count as u64;
        self.close_detached(batch, DRAIN, out);
        self.run_disconnects(out);
        closed_count
    }

    /// Closes a connection and forgets it.
    pub(crate) fn close(
        &mut self,
        conn: ConnId,
        code: CloseCode,
        reason: &'static str,
        stop: StopReason,
        out: &mut Sink<'_>,
    ) {
        let batch = self.detach(conn).into_iter().collect();
        self.close_detached(batch, Farewell { code, reason, stop }, out);
    }

    /// Closes connections that have been detached together.
    pub(crate) fn close_detached(
        &mut self,
        batch: Vec<Detached<S>>,
        farewell: Farewell,
        out: &mut Sink<'_>,
    ) {
        for detached in batch {
            let conn = detached.conn;
            self.say_last_words(detached, farewell.stop, out);
            out(Output::Close {
                conn,
                code: farewell.code,
                reason: farewell.reason,
            });
        }
    }

    /// Forgets a connection: it is in no topic any more and reached by no socket id.
    pub(crate) fn detach(&mut self, conn: ConnId) -> Option<Detached<S>> {
        let own = self.conns.remove(conn)?;
        if let Some(id) = own.id {
            self.unsubscribe_id(id, own.serializer);
        }
        let mut channels = Vec::with_capacity(own.channels.as_slice().len());
        for joined in own.channels.into_iter() {
            let topic = self.topics.topic(joined.membership.topic);
            let name = topic
                .expect("a topic lives as long as its last member")
                .name()
                .clone();
            self.unsubscribe(joined.membership, own.serializer);
            channels.push((joined, name));
        }
        self.channels_count -= channels.len();
        Some(Detached {
            conn,
            serializer: own.serializer,
            assigns: own.assigns,
            channels,
        })
    }

    /// Ends the channels of a connection that is gone. What they push to it is dropped; what they
    /// broadcast reaches the others.
    pub(crate) fn say_last_words(
        &mut self,
        detached: Detached<S>,
        reason: StopReason,
        out: &mut Sink<'_>,
    ) {
        let Detached {
            conn,
            serializer,
            mut assigns,
            channels,
        } = detached;
        for (mut joined, topic) in channels {
            let join = joined.join;
            let (channel, join_ref) = joined.split();
            let mut ctx = Context {
                assigns: &mut assigns,
                effects: &mut self.effects,
                call: Call {
                    post: &self.post,
                    shard: self.shard,
                    conn,
                    serializer,
                    topic: &topic,
                    join,
                    join_ref,
                    reference: None,
                },
            };
            if caught(|| channel.terminate(reason, &mut ctx)).is_err() {
                self.counters.terminates_crashed += 1;
            }
            self.drop_application_value(joined);
            self.apply_effects(conn, out);
        }
        self.drop_application_value(assigns);
    }

    /// Closes the connections of the socket ids that callbacks and other shards have named. Those
    /// named by last words come next.
    pub(crate) fn run_disconnects(&mut self, out: &mut Sink<'_>) {
        while !self.disconnects.is_empty() {
            let mut batch = Vec::new();
            while let Some(id) = self.disconnects.pop_front() {
                let Some(named) = self.ids.find(&id).and_then(|id| self.ids.topic(id)) else {
                    continue;
                };
                let (v2, v1) = (named.members(Serializer::V2), named.members(Serializer::V1));
                for conn in [v2, v1].concat() {
                    batch.extend(self.detach(conn));
                }
            }
            self.counters.disconnects += batch.len() as u64;
            self.close_detached(batch, DISCONNECT, out);
        }
        self.disconnects.shrink_to(KEPT_DISCONNECTS_MAX);
    }

    /// Leaves a topic, and tells whoever takes the place where it now is.
    pub(crate) fn unsubscribe(&mut self, left: Membership, serializer: Serializer) {
        let Some(moved) = self.topics.unsubscribe(left, serializer) else {
            return;
        };
        let channels = self
            .conns
            .get_mut(moved)
            .map(|conn| conn.channels.as_mut_slice());
        let is_left = |joined: &&mut Joined<S>| joined.membership.topic == left.topic;
        if let Some(joined) = channels.and_then(|channels| channels.iter_mut().find(is_left)) {
            joined.membership.place = left.place;
        }
    }

    fn unsubscribe_id(&mut self, left: Membership, serializer: Serializer) {
        let Some(moved) = self.ids.unsubscribe(left, serializer) else {
            return;
        };
        if let Some(id) = self.conns.get_mut(moved).and_then(|conn| conn.id.as_mut()) {
            id.place = left.place;
        }
    }
}

/// How many socket ids one input may name before their queue gives its memory back.
const KEPT_DISCONNECTS_MAX: usize = 64;

pub(crate) const DISCONNECT: Farewell = Farewell {
    code: CloseCode::GOING_AWAY,
    reason: "disconnect",
    stop: StopReason::Closed,
};

const DRAIN: Farewell = Farewell {
    code: CloseCode::SERVICE_RESTART,
    reason: "server is about to stop",
    stop: StopReason::Draining,
};
