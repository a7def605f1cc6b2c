//! How channels begin and end.

use std::sync::Arc;

use proto::phoenix::{End, Message, Ref, encode_end};

use crate::{
    Channel, ConnId, Hub, Output, Reply, Socket, StopReason,
    conns::Joined,
    context::{Call, Context},
    crash::caught,
    dispatch::BelongsTo,
    hub::Sink,
    ids::JoinId,
};

/// A join that was granted: what is to be kept, and what the client is told.
struct Granted<S: Socket> {
    state: Box<dyn Channel<S>>,
    topic: Arc<str>,
    join: JoinId,
    reply: Reply,
}

/// A join that was not.
struct Refused {
    belongs_to: BelongsTo,
    reply: Reply,
}

impl<S: Socket> Hub<S> {
    /// A client joins a topic, in which it may be `again`.
    ///
    /// The order on the wire is Phoenix's: the reply, what the old channel had to say, `phx_close`
    /// for the old join, what the new channel has to say.
    pub(crate) fn join(
        &mut self,
        conn: ConnId,
        message: &Message<'_>,
        again: Option<usize>,
        out: &mut Sink<'_>,
    ) {
        let mut last_words = Vec::new();
        if let Some(position) = again {
            self.counters.joins_duplicate += 1;
            self.terminate(conn, position, StopReason::DuplicateJoin);
            last_words = std::mem::take(&mut self.effects.list);
        }
        let verdict = self.ask_to_join(conn, message, again.is_some());
        let granted = self.answer_join(conn, message, verdict, out);
        if let Some(position) = again {
            let first_words = std::mem::take(&mut self.effects.list);
            self.apply(conn, last_words.into_iter(), out);
            self.end(conn, position, End::Closed, out);
            self.effects.list = first_words;
        }
        if let Some(granted) = granted {
            self.counters.joins += 1;
            self.insert_channel(conn, message, granted);
        } else {
            let topic = &*message.topic;
            self.effects.list.retain(|effect| !effect.is_within(topic));
        }
        self.apply_effects(conn, out);
    }

    /// The channel ends by a decision, its own or another's: it may say its last words.
    pub(crate) fn stop(
        &mut self,
        conn: ConnId,
        position: usize,
        reason: StopReason,
        out: &mut Sink<'_>,
    ) {
        self.terminate(conn, position, reason);
        self.apply_effects(conn, out);
        let end = match reason {
            StopReason::Crash => End::Crashed,
            _ => End::Closed,
        };
        self.end(conn, position, end, out);
    }

    /// The channel has panicked.
    pub(crate) fn crash(&mut self, conn: ConnId, position: usize, out: &mut Sink<'_>) {
        self.counters.channels_crashed += 1;
        self.end(conn, position, End::Crashed, out);
    }

    fn ask_to_join(
        &mut self,
        conn: ConnId,
        message: &Message<'_>,
        again: bool,
    ) -> Result<Granted<S>, Refused> {
        let Some(own) = self.conns.get_mut(conn) else {
            return Err(Refused::because("closed"));
        };
        let Some(join_channel) = self.router.join(&message.topic) else {
            self.counters.joins_refused += 1;
            let reply = Reply::reason("unmatched topic");
            return Err(Refused {
                belongs_to: BelongsTo::NoJoin,
                reply,
            });
        };
        let others_count = own.channels.as_slice().len() - usize::from(again);
        if others_count >= self.limits.channels_max {
            self.counters.joins_over_limit += 1;
            return Err(Refused::because("too many channels joined"));
        }
        let known = self
            .topics
            .find(&message.topic)
            .and_then(|id| self.topics.topic(id));
        let topic = known.map_or_else(|| Arc::from(&*message.topic), |topic| topic.name().clone());
        let join = JoinId(self.joins_count);
        self.joins_count = self.joins_count.wrapping_add(1);
        let join_ref = message.join_ref.as_ref().or(message.reference.as_ref());
        let mut ctx = Context {
            assigns: &mut own.assigns,
            effects: &mut self.effects,
            call: Call {
                post: &self.post,
                shard: self.shard,
                conn,
                serializer: own.serializer,
                topic: &topic,
                join,
                join_ref: join_ref.map(Ref::borrowed),
                reference: message.reference.as_ref().map(Ref::borrowed),
            },
        };
        match caught(|| join_channel(&topic, message.payload.borrowed(), &mut ctx)) {
            Ok(Ok((state, reply))) => Ok(Granted {
                state,
                topic,
                join,
                reply,
            }),
            Ok(Err(reply)) => {
                self.counters.joins_refused += 1;
                Err(Refused {
                    belongs_to: BelongsTo::GivenJoin,
                    reply,
                })
            }
            Err(_) => {
                self.counters.joins_crashed += 1;
                Err(Refused::because(JOIN_CRASHED))
            }
        }
    }

    /// Tells the client whether it has joined. Who cannot be told has not.
    fn answer_join(
        &mut self,
        conn: ConnId,
        message: &Message<'_>,
        verdict: Result<Granted<S>, Refused>,
        out: &mut Sink<'_>,
    ) -> Option<Granted<S>> {
        let (belongs_to, reply) = match &verdict {
            Ok(granted) => (BelongsTo::GivenJoin, &granted.reply),
            Err(refused) => (refused.belongs_to, &refused.reply),
        };
        if self.reply(conn, belongs_to, message, reply, out) {
            return verdict.ok();
        }
        // Without an answer a client waits for one and then asks again, for ever.
        let reply = Reply::reason(JOIN_CRASHED);
        self.reply(conn, BelongsTo::GivenJoin, message, &reply, out);
        if let Ok(granted) = verdict {
            self.counters.joins_crashed += 1;
            self.drop_application_value(granted.state);
        }
        None
    }

    fn insert_channel(&mut self, conn: ConnId, message: &Message<'_>, granted: Granted<S>) {
        let Some(own) = self.conns.get_mut(conn) else {
            return;
        };
        let Granted {
            state, topic, join, ..
        } = granted;
        let membership = self.topics.subscribe(&topic, conn, own.serializer);
        let (join_ref, reference) = (message.join_ref.as_ref(), message.reference.as_ref());
        own.channels
            .push(Joined::new(state, membership, join, join_ref, reference));
        self.channels_count += 1;
    }

    /// Lets the channel say its last words; they are not carried out yet.
    fn terminate(&mut self, conn: ConnId, position: usize, reason: StopReason) {
        let run = |channel: &mut dyn Channel<S>, ctx: &mut Context<'_, S>| {
            channel.terminate(reason, ctx);
        };
        if self.call(conn, position, None, run).is_none() {
            self.counters.terminates_crashed += 1;
        }
    }

    /// Takes the channel away and tells its client.
    fn end(&mut self, conn: ConnId, position: usize, end: End, out: &mut Sink<'_>) {
        let Some(own) = self.conns.get_mut(conn) else {
            return;
        };
        let serializer = own.serializer;
        let Some(joined) = own.channels.remove(position) else {
            return;
        };
        if let Some(topic) = self.topics.topic(joined.membership.topic) {
            let frame = self.effects.scratch.frame(|bytes| {
                encode_end(
                    bytes,
                    serializer,
                    joined.given_ref().as_ref(),
                    topic.name(),
                    end,
                );
                Ok::<_, std::convert::Infallible>(())
            });
            let Ok(frame) = frame;
            out(Output::Send { conn, frame });
        }
        self.channels_count -= 1;
        self.unsubscribe(joined.membership, serializer);
        self.drop_application_value(joined);
    }
}

impl Refused {
    fn because(reason: &str) -> Self {
        Self {
            belongs_to: BelongsTo::GivenJoin,
            reply: Reply::reason(reason),
        }
    }
}

/// The words of Phoenix, which clients may look for.
const JOIN_CRASHED: &str = "join crashed";
