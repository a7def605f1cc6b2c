//! What each message of a client means, in the order in which Phoenix looks.
//!
//! 1. a heartbeat, whatever has been joined
//! 2. `phx_join` of a topic: new, or again
//! 3. `phx_leave` of a topic: joined, or not
//! 4. any other event: for the joined channel, or an error
//!
//! Source: Phoenix `lib/phoenix/socket.ex`, `handle_in`.

use proto::phoenix::{HEARTBEAT, HEARTBEAT_TOPIC, JOIN, LEAVE, Message, Ref, encode_reply};

use crate::{
    ConnId, Hub, Outcome, Output, Reply, Socket, StopReason, conns::Channels, hub::Sink,
    mail::InfoMail,
};

impl<S: Socket> Hub<S> {
    /// Finds out what a message is and does it.
    pub(crate) fn dispatch(&mut self, conn: ConnId, message: &Message<'_>, out: &mut Sink<'_>) {
        if message.topic == HEARTBEAT_TOPIC && message.event == HEARTBEAT {
            self.counters.heartbeats += 1;
            self.reply(conn, BelongsTo::NoJoin, message, &Reply::empty(), out);
            return;
        }
        let position = self.position(conn, &message.topic);
        match (position, &*message.event) {
            (position, JOIN) => self.join(conn, message, position, out),
            (Some(position), _) if !self.takes(conn, position, message) => {
                self.counters.stale += 1;
            }
            (Some(position), LEAVE) => {
                self.counters.leaves += 1;
                let belongs_to = BelongsTo::Channel(position);
                self.reply(conn, belongs_to, message, &Reply::empty(), out);
                self.stop(conn, position, StopReason::Left, out);
            }
            (Some(position), _) => self.push(conn, position, message, out),
            (None, LEAVE) => {
                self.reply(conn, BelongsTo::GivenJoin, message, &Reply::empty(), out);
            }
            (None, _) => {
                self.counters.unmatched += 1;
                let reply = Reply::reason("unmatched topic");
                self.reply(conn, BelongsTo::NoJoin, message, &reply, out);
            }
        }
    }

    /// The channel handles an event of its client.
    fn push(&mut self, conn: ConnId, position: usize, message: &Message<'_>, out: &mut Sink<'_>) {
        let outcome = self.call(
            conn,
            position,
            message.reference.as_ref(),
            |channel, ctx| channel.handle_in(&message.event, message.payload.borrowed(), ctx),
        );
        self.conclude(conn, position, Some(message), outcome, out);
    }

    /// Hands a message from elsewhere to the channel it is for, if that still exists.
    pub(crate) fn inform(&mut self, mail: InfoMail, out: &mut Sink<'_>) {
        let position = self.position(mail.conn, &mail.topic).filter(|position| {
            let conn = self.conns.get(mail.conn);
            conn.is_some_and(|conn| conn.channels.as_slice()[*position].join == mail.join)
        });
        let Some(position) = position else {
            self.counters.mail_stale += 1;
            self.drop_application_value(mail.message);
            return;
        };
        let outcome = self.call(mail.conn, position, None, |channel, ctx| {
            let outcome = channel.handle_info(mail.message, ctx);
            let replies = matches!(outcome, Outcome::Reply(_) | Outcome::StopWithReply(_));
            assert!(!replies, "handle_info has no message to reply to");
            outcome
        });
        self.conclude(mail.conn, position, None, outcome, out);
    }

    /// Does what the channel decided, after what it asked for; `None` when it panicked.
    fn conclude(
        &mut self,
        conn: ConnId,
        position: usize,
        message: Option<&Message<'_>>,
        outcome: Option<Outcome>,
        out: &mut Sink<'_>,
    ) {
        self.apply_effects(conn, out);
        let (reply, stop) = match outcome {
            None => return self.crash(conn, position, out),
            Some(Outcome::NoReply) => (None, None),
            Some(Outcome::Reply(reply)) => (Some(reply), None),
            Some(Outcome::Stop) => (None, Some(StopReason::Normal)),
            Some(Outcome::StopWithReply(reply)) => (Some(reply), Some(StopReason::Normal)),
            Some(Outcome::Crash) => (None, Some(StopReason::Crash)),
        };
        if let (Some(reply), Some(message)) = (reply, message) {
            self.reply(conn, BelongsTo::Channel(position), message, &reply, out);
        }
        if let Some(reason) = stop {
            self.counters.stops += 1;
            self.stop(conn, position, reason, out);
        }
    }

    /// Where in a connection the channel of a topic is, if it has joined.
    fn position(&self, conn: ConnId, topic: &str) -> Option<usize> {
        let channels = &self.conns.get(conn)?.channels;
        match channels {
            Channels::None => None,
            // Nearly every connection has one channel; comparing its name saves the hash.
            Channels::One(joined) => {
                let own = self.topics.topic(joined.membership.topic)?;
                (**own.name() == *topic).then_some(0)
            }
            Channels::Many(_) => channels.position(self.topics.find(topic)?),
        }
    }

    fn takes(&self, conn: ConnId, position: usize, message: &Message<'_>) -> bool {
        self.conns
            .get(conn)
            .is_some_and(|conn| conn.channels.as_slice()[position].takes(message.join_ref.as_ref()))
    }

    /// Replies to a message, unless the client's serializer cannot carry the reply. Whether it was
    /// sent.
    pub(crate) fn reply(
        &mut self,
        conn: ConnId,
        belongs_to: BelongsTo,
        message: &Message<'_>,
        reply: &Reply,
        out: &mut Sink<'_>,
    ) -> bool {
        let Some(own) = self.conns.get(conn) else {
            return false;
        };
        let join_ref = match belongs_to {
            BelongsTo::NoJoin => None,
            BelongsTo::GivenJoin => message.join_ref.as_ref().map(Ref::borrowed),
            BelongsTo::Channel(position) => own.channels.as_slice()[position].own_ref(),
        };
        let frame = self.effects.scratch.frame(|bytes| {
            encode_reply(
                bytes,
                own.serializer,
                join_ref.as_ref(),
                message.reference.as_ref(),
                &message.topic,
                &reply.status,
                &reply.response,
            )
        });
        match frame {
            Ok(frame) => {
                self.counters.replies += 1;
                out(Output::Send { conn, frame });
                true
            }
            Err(_) => {
                self.counters.undeliverable += 1;
                false
            }
        }
    }
}

/// Whose `join_ref` a reply carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BelongsTo {
    /// Null.
    NoJoin,
    /// That of the message, if it has one.
    GivenJoin,
    /// That of the channel at this position.
    Channel(usize),
}
