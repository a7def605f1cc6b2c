//! Callbacks are run, and afterwards what they asked for is carried out.
//!
//! *Invariant:* whatever runs the application's code carries nothing out, and whatever carries
//! something out runs none of it. So no callback finds the hub in the middle of another input.

use proto::phoenix::{
    Ref,
    Serializer::{V1, V2},
};

use crate::{
    Broadcast, Channel, ConnId, Hub, Output, Publication, ShardIndex, Socket,
    context::{Call, Context, Effect},
    crash::caught,
    hub::Sink,
};

impl<S: Socket> Hub<S> {
    /// Runs a callback of a joined channel; `None` when it panicked.
    pub(crate) fn call<R>(
        &mut self,
        conn: ConnId,
        position: usize,
        reference: Option<&Ref<'_>>,
        run: impl FnOnce(&mut dyn Channel<S>, &mut Context<'_, S>) -> R,
    ) -> Option<R> {
        let own = self.conns.get_mut(conn)?;
        let joined = own.channels.as_mut_slice().get_mut(position)?;
        let topic = self.topics.topic(joined.membership.topic)?.name();
        let join = joined.join;
        let (channel, join_ref) = joined.split();
        let mut ctx = Context {
            assigns: &mut own.assigns,
            effects: &mut self.effects,
            call: Call {
                post: &self.post,
                shard: self.shard,
                conn,
                serializer: own.serializer,
                topic,
                join,
                join_ref,
                reference: reference.map(Ref::borrowed),
            },
        };
        caught(|| run(channel, &mut ctx)).ok()
    }

    /// Carries out what a callback asked for. Runs no callback itself.
    pub(crate) fn apply_effects(&mut self, conn: ConnId, out: &mut Sink<'_>) {
        let mut effects = std::mem::take(&mut self.effects.list);
        self.apply(conn, effects.drain(..), out);
        effects.shrink_to(KEPT_EFFECTS_MAX);
        self.effects.list = effects;
    }

    /// Carries out effects that were kept aside.
    pub(crate) fn apply(
        &mut self,
        conn: ConnId,
        effects: impl Iterator<Item = Effect>,
        out: &mut Sink<'_>,
    ) {
        self.counters.undeliverable += std::mem::take(&mut self.effects.undeliverable);
        let is_open = self.conns.get(conn).is_some();
        for effect in effects {
            match effect {
                Effect::Send(frame) if is_open => {
                    self.counters.pushes += 1;
                    out(Output::Send { conn, frame });
                }
                Effect::Send(_) => {}
                Effect::Broadcast {
                    broadcast,
                    but_sender,
                } => {
                    self.counters.broadcasts += 1;
                    self.deliver(&broadcast, but_sender.then_some(conn), out);
                    let shards = self.interest.shards(broadcast.topic());
                    self.publish(&Publication::Broadcast(broadcast), shards, out);
                }
                Effect::Disconnect(id) => {
                    let shards = (0..self.interest.shards_count()).map(ShardIndex);
                    self.publish(&Publication::Disconnect(id.clone()), shards, out);
                    self.disconnects.push_back(id);
                }
            }
        }
    }

    /// Tells those of the shards that are not this one.
    fn publish(
        &self,
        publication: &Publication,
        shards: impl Iterator<Item = ShardIndex>,
        out: &mut Sink<'_>,
    ) {
        for shard in shards.filter(|shard| *shard != self.shard) {
            let publication = publication.clone();
            out(Output::Publish { shard, publication });
        }
    }

    /// Sends a broadcast to the members on this shard.
    pub(crate) fn deliver(
        &mut self,
        broadcast: &Broadcast,
        but: Option<ConnId>,
        out: &mut Sink<'_>,
    ) {
        let topic = self
            .topics
            .find(broadcast.topic())
            .and_then(|id| self.topics.topic(id));
        let Some(topic) = topic else {
            return;
        };
        let before = self.counters.deliveries;
        for serializer in [V2, V1] {
            let members = topic.members(serializer);
            if members.is_empty() {
                continue;
            }
            let receivers = members.iter().filter(|member| Some(**member) != but);
            let Some(frame) = broadcast.frame(serializer) else {
                self.counters.undeliverable += receivers.count() as u64;
                continue;
            };
            for member in receivers {
                self.counters.deliveries += 1;
                out(Output::Send {
                    conn: *member,
                    frame: frame.clone(),
                });
            }
        }
        let reached = self.counters.deliveries - before;
        self.counters.fanouts += u64::from(reached > 0);
        if let Some(busiest) = &mut self.busiest
            && reached > 0
        {
            busiest.record(topic.name(), reached);
        }
    }
}

/// How many effects a callback may have before their list gives its memory back.
const KEPT_EFFECTS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{ConnectError, ConnectRequest, Full, Interest, Limits, Mail, Post, Router};

    struct Anyone;

    impl Socket for Anyone {
        type Assigns = ();

        fn connect(&self, _: &ConnectRequest<'_>) -> Result<(), ConnectError> {
            Ok(())
        }
    }

    struct Nowhere;

    impl Post for Nowhere {
        fn post(&self, _: ShardIndex, _: Mail) -> Result<(), Full> {
            Err(Full)
        }
    }

    #[test]
    fn a_callback_that_asks_for_much_leaves_no_memory_behind() {
        let (router, post) = (Arc::new(Router::new(Anyone)), Arc::new(Nowhere));
        let interest = Arc::new(Interest::new(2, 0));
        let mut hub = Hub::new(router, ShardIndex(0), interest, post, Limits::default());
        let conn = ConnId {
            index: 0,
            generation: 0,
        };
        let asked = std::iter::repeat_with(|| Effect::Disconnect("nobody".into())).take(1000);
        hub.effects.list.extend(asked);
        let mut published = 0;
        hub.apply_effects(conn, &mut |_| published += 1);
        hub.run_disconnects(&mut |_| {});
        assert_eq!(published, 1000);
        assert!(hub.effects.list.capacity() <= KEPT_EFFECTS_MAX);
        assert!(hub.disconnects.capacity() <= KEPT_EFFECTS_MAX);
    }
}
