//! What a channel can do while it handles a message.
//!
//! Nothing is done at once: effects are written down in order and carried out when the callback has
//! returned, also when it panicked. So no callback ever runs inside another. Of a join that is not
//! granted only what reaches beyond the topic is carried out.

use std::{fmt, sync::Arc};

use proto::{
    Frame,
    phoenix::{IntoPayload, Ref, Serializer, encode_push},
};

use crate::{
    Broadcast, ChannelRef, ConnId, Post, ReplyRef, ShardIndex, Socket, channel::payload,
    ids::JoinId, scratch::Scratch,
};

/// The connection and the topic that a callback is about; the `socket` of Phoenix's callbacks.
pub struct Context<'a, S: Socket> {
    pub(crate) assigns: &'a mut S::Assigns,
    pub(crate) effects: &'a mut Effects,
    pub(crate) call: Call<'a>,
}

/// Whose callback it is.
pub(crate) struct Call<'a> {
    pub(crate) post: &'a Arc<dyn Post>,
    pub(crate) shard: ShardIndex,
    pub(crate) conn: ConnId,
    pub(crate) serializer: Serializer,
    pub(crate) topic: &'a Arc<str>,
    pub(crate) join: JoinId,
    pub(crate) join_ref: Option<Ref<'a>>,
    pub(crate) reference: Option<Ref<'a>>,
}

impl<S: Socket> Context<'_, S> {
    /// Sends an event to this client. V1 has no binary messages: to a client that speaks it, a
    /// payload of bytes is dropped and counted as undeliverable.
    ///
    /// # Panics
    ///
    /// When the payload cannot be JSON, such as a map whose keys are not strings; or is bytes, and
    /// the topic or the event is longer than the 255 bytes that a binary message allows.
    pub fn push<'p>(&mut self, event: &str, value: impl IntoPayload<'p>) {
        let Call {
            serializer,
            topic,
            join_ref,
            ..
        } = &self.call;
        let payload = payload(value);
        if payload.as_binary().is_some() && *serializer == Serializer::V1 {
            self.effects.undeliverable += 1;
            return;
        }
        let frame = self
            .effects
            .scratch
            .frame(|out| encode_push(out, *serializer, join_ref.as_ref(), topic, event, &payload));
        match frame {
            Ok(frame) => self.effects.list.push(Effect::Send(frame)),
            Err(error) => panic!("cannot push {event:?}: {error}"),
        }
    }

    /// Sends an event to everyone in this topic, on every shard and this client too. As with
    /// [`push`](Self::push), bytes do not reach those who speak V1.
    ///
    /// # Panics
    ///
    /// As [`push`](Self::push).
    pub fn broadcast<'p>(&mut self, event: &str, value: impl IntoPayload<'p>) {
        self.record_broadcast(Arc::clone(self.call.topic), event, value, false);
    }

    /// Sends an event to everyone in this topic but this client.
    ///
    /// # Panics
    ///
    /// As [`push`](Self::push).
    pub fn broadcast_from<'p>(&mut self, event: &str, value: impl IntoPayload<'p>) {
        self.record_broadcast(Arc::clone(self.call.topic), event, value, true);
    }

    /// Sends an event to everyone in another topic; `Endpoint.broadcast`. In this topic it is the
    /// same as [`broadcast`](Self::broadcast).
    ///
    /// # Panics
    ///
    /// As [`push`](Self::push).
    pub fn broadcast_to<'p>(&mut self, topic: &str, event: &str, value: impl IntoPayload<'p>) {
        self.record_broadcast(topic.into(), event, value, false);
    }

    /// Closes every connection whose [`Socket::id`] is this one, on every shard. Their clients
    /// connect again, and [`Socket::connect`] may refuse them then.
    pub fn disconnect(&mut self, socket_id: &str) {
        self.effects.list.push(Effect::Disconnect(socket_id.into()));
    }

    /// What is remembered about the connection. All its channels share it.
    pub const fn assigns(&self) -> &S::Assigns {
        self.assigns
    }

    /// The same, to be changed.
    pub const fn assigns_mut(&mut self) -> &mut S::Assigns {
        self.assigns
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        self.call.topic
    }

    /// A handle to answer the message that is being handled later, from any thread. Return
    /// [`Outcome::NoReply`](crate::Outcome::NoReply) then.
    pub fn reply_ref(&self) -> ReplyRef {
        let call = &self.call;
        ReplyRef {
            post: Arc::clone(call.post),
            shard: call.shard,
            conn: call.conn,
            serializer: call.serializer,
            topic: Arc::clone(call.topic),
            join_ref: call.join_ref.clone().map(Ref::into_owned),
            reference: call.reference.clone().map(Ref::into_owned),
        }
    }

    /// A handle to send messages to this channel from any thread.
    pub fn channel_ref(&self) -> ChannelRef {
        let call = &self.call;
        ChannelRef {
            post: Arc::clone(call.post),
            shard: call.shard,
            conn: call.conn,
            topic: Arc::clone(call.topic),
            join: call.join,
        }
    }

    fn record_broadcast<'p>(
        &mut self,
        topic: Arc<str>,
        event: &str,
        value: impl IntoPayload<'p>,
        but_sender: bool,
    ) {
        match Broadcast::with_topic(topic, event, &payload(value)) {
            Ok(broadcast) => {
                let broadcast = Arc::new(broadcast);
                self.effects.list.push(Effect::Broadcast {
                    broadcast,
                    but_sender,
                });
            }
            Err(error) => panic!("cannot broadcast {event:?}: {error}"),
        }
    }
}

/// What a callback has asked for, in order.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) list: Vec<Effect>,
    /// Pushes that the client's serializer cannot carry.
    pub(crate) undeliverable: u64,
    pub(crate) scratch: Scratch,
}

#[derive(Debug)]
pub(crate) enum Effect {
    /// To this client.
    Send(Frame),
    /// To a topic.
    Broadcast {
        broadcast: Arc<Broadcast>,
        but_sender: bool,
    },
    /// Of a socket id.
    Disconnect(Arc<str>),
}

impl Effect {
    /// Whether it is for this client or for this topic only.
    pub(crate) fn is_within(&self, topic: &str) -> bool {
        match self {
            Self::Send(_) => true,
            Self::Broadcast { broadcast, .. } => broadcast.topic() == topic,
            Self::Disconnect(_) => false,
        }
    }
}

impl<S: Socket> fmt::Debug for Context<'_, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Context")
            .field("conn", &self.call.conn)
            .field("topic", &self.call.topic)
            .finish_non_exhaustive()
    }
}
