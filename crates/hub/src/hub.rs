//! The hub of one shard: what happened goes in, what is to be sent comes out.
//!
//! The hub knows no sockets and no time. Whoever runs it tells it of connections and messages by
//! the `handle_*` methods, and each output is given to the caller's sink at once; the hub keeps no
//! queue of them.

use std::{collections::VecDeque, fmt, sync::Arc};

use proto::{
    Frame,
    phoenix::{self, Serializer, decode_binary, decode_text},
    ws::CloseCode,
};

use crate::{
    ConnId, Counters, Interest, Mail, Post, Publication, Router, ShardIndex, Socket, StopReason,
    busiest::Busiest,
    conns::{Channels, Conn, Conns},
    context::Effects,
    crash::caught,
    interest::OwnInterest,
    topics::{Topic, Topics},
};

/// Topics, channels and connections of one shard.
pub struct Hub<S: Socket> {
    pub(crate) router: Arc<Router<S>>,
    pub(crate) shard: ShardIndex,
    /// Whom to tell of a broadcast.
    pub(crate) interest: Arc<Interest>,
    pub(crate) post: Arc<dyn Post>,
    pub(crate) limits: Limits,
    pub(crate) conns: Conns<S>,
    pub(crate) topics: Topics,
    /// Who is connected under which socket id.
    pub(crate) ids: Topics,
    pub(crate) channels_count: usize,
    pub(crate) joins_count: u32,
    pub(crate) effects: Effects,
    /// Socket ids whose connections are to be closed when the present input has been handled.
    /// Closing runs callbacks, which may ask for more of it; a queue keeps that off the stack.
    pub(crate) disconnects: VecDeque<Arc<str>>,
    pub(crate) counters: Counters,
    /// None until somebody asks.
    pub(crate) busiest: Option<Busiest<Arc<str>>>,
}

/// How much a connection may ask of its hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most channels that one connection may have joined. Default: 100, as in Phoenix.
    pub channels_max: usize,
    /// How long names may be.
    pub names: phoenix::Limits,
}

/// A message of a client as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

/// What is to be done now.
#[derive(Debug)]
pub enum Output {
    /// Send a frame.
    Send {
        /// To whom.
        conn: ConnId,
        /// One whole WebSocket frame.
        frame: Frame,
    },
    /// Tell another shard of this node, by [`Mail::Publish`].
    Publish {
        /// Which; never the hub's own.
        shard: ShardIndex,
        /// And what.
        publication: Publication,
    },
    /// Close a connection that the hub has already forgotten.
    Close {
        /// Which.
        conn: ConnId,
        /// With which code.
        code: CloseCode,
        /// And in which words.
        reason: &'static str,
    },
}

/// Where outputs go.
pub(crate) type Sink<'a> = dyn FnMut(Output) + 'a;

impl<S: Socket> Hub<S> {
    /// The hub of a shard, without connections. All hubs of a node share one table of interest.
    ///
    /// # Panics
    ///
    /// The table is for fewer shards than this one's index says.
    pub fn new(
        router: Arc<Router<S>>,
        shard: ShardIndex,
        interest: Arc<Interest>,
        post: Arc<dyn Post>,
        limits: Limits,
    ) -> Self {
        assert!(
            shard.0 < interest.shards_count(),
            "{shard:?} of {interest:?}"
        );
        let own_interest = OwnInterest::new(Arc::clone(&interest), shard);
        Self {
            router,
            shard,
            interest,
            post,
            limits,
            conns: Conns::new(),
            topics: Topics::new(Some(own_interest)),
            ids: Topics::new(None),
            channels_count: 0,
            joins_count: 0,
            effects: Effects::default(),
            disconnects: VecDeque::new(),
            counters: Counters::default(),
            busiest: None,
        }
    }

    /// A connection is open. Its assigns are what [`Router::connect`] gave.
    pub fn handle_open(
        &mut self,
        conn: ConnId,
        serializer: Serializer,
        assigns: S::Assigns,
        out: &mut Sink<'_>,
    ) {
        debug_assert!(self.conns.at(conn.index).is_none(), "{conn:?} is in use");
        let Ok(id) = caught(|| self.router.socket().id(&assigns)) else {
            self.counters.sockets_crashed += 1;
            self.drop_application_value(assigns);
            out(Output::Close {
                conn,
                code: CloseCode::INTERNAL,
                reason: "socket crashed",
            });
            return;
        };
        let id = id.map(|id| self.ids.subscribe(&id.into(), conn, serializer));
        let generation = conn.generation;
        let channels = Channels::None;
        self.conns.insert(
            conn,
            Conn {
                channels,
                id,
                generation,
                serializer,
                assigns,
            },
        );
    }

    /// A client sent a message. One that cannot be read closes its connection with 1011.
    pub fn handle_message(&mut self, conn: ConnId, message: Incoming<'_>, out: &mut Sink<'_>) {
        // After a close by the hub, messages may still be on their way up.
        let Some(Conn { serializer, .. }) = self.conns.get(conn) else {
            return;
        };
        self.counters.messages_in += 1;
        let message = match message {
            Incoming::Text(text) => decode_text(*serializer, text, &self.limits.names),
            Incoming::Binary(bytes) => decode_binary(*serializer, bytes, &self.limits.names),
        };
        match message {
            Ok(message) => self.dispatch(conn, &message, out),
            Err(_) => {
                self.counters.undecodable += 1;
                let reason = "message cannot be read";
                self.close(conn, CloseCode::INTERNAL, reason, StopReason::Closed, out);
            }
        }
        self.run_disconnects(out);
    }

    /// A connection is gone, whoever ended it. Its channels end.
    pub fn handle_close(&mut self, conn: ConnId, out: &mut Sink<'_>) {
        if let Some(detached) = self.detach(conn) {
            self.say_last_words(detached, StopReason::Closed, out);
        }
        self.run_disconnects(out);
    }

    /// Mail came from another shard or thread.
    pub fn handle_mail(&mut self, mail: Mail, out: &mut Sink<'_>) {
        match mail {
            Mail::Publish(Publication::Broadcast(broadcast)) => {
                self.counters.broadcasts_received += 1;
                self.deliver(&broadcast, None, out);
            }
            Mail::Publish(Publication::BroadcastFrom(broadcast, but)) => {
                self.counters.broadcasts_received += 1;
                self.deliver(&broadcast, Some(but), out);
            }
            Mail::Publish(Publication::Disconnect(id)) => self.disconnects.push_back(id),
            Mail::Deliver { conn, frame } => {
                if self.conns.get(conn).is_some() {
                    self.counters.replies += 1;
                    out(Output::Send { conn, frame });
                } else {
                    self.counters.mail_stale += 1;
                }
            }
            Mail::Info(mail) => self.inform(mail, out),
        }
        self.run_disconnects(out);
    }

    /// What has been counted so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The number of open connections.
    pub const fn conns_count(&self) -> usize {
        self.conns.len()
    }

    /// The number of joined channels of all connections.
    pub const fn channels_count(&self) -> usize {
        self.channels_count
    }

    /// The number of topics with members on this shard.
    pub const fn topics_count(&self) -> usize {
        self.topics.len()
    }

    /// The number of members that a topic has on this shard.
    pub fn members_count(&self, topic: &str) -> usize {
        let topic = self.topics.find(topic).and_then(|id| self.topics.topic(id));
        topic.map_or(0, Topic::members_count)
    }

    /// The topics with members on this shard, and how many each has.
    pub fn topics(&self) -> impl Iterator<Item = (&str, usize)> {
        self.topics
            .iter()
            .map(|(_, topic)| (&**topic.name(), topic.members_count()))
    }

    /// The heap that connections, channels and topics take, without what applications keep behind
    /// pointers of their own and without the allocator's overhead. Visits everything.
    pub fn heap_bytes(&self) -> usize {
        self.conns.heap_bytes() + self.topics.heap_bytes() + self.ids.heap_bytes()
    }

    /// Drops a value of the application's, whose drop may panic.
    pub(crate) fn drop_application_value<T>(&mut self, value: T) {
        if caught(|| drop(value)).is_err() {
            self.counters.terminates_crashed += 1;
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channels_max: 100,
            names: phoenix::Limits::default(),
        }
    }
}

impl<S: Socket> fmt::Debug for Hub<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hub")
            .field("shard", &self.shard)
            .field("conns_count", &self.conns_count())
            .field("channels_count", &self.channels_count())
            .field("topics_count", &self.topics_count())
            .finish_non_exhaustive()
    }
}
