//! What shards tell each other, and the handles by which other threads reach a channel.

use std::{fmt, sync::Arc};

use proto::{
    Frame,
    phoenix::{EncodeError, Ref, Serializer, encode_reply},
};
use thiserror::Error;

use crate::{Broadcast, ConnId, Reply, ShardIndex, channel::Info, ids::JoinId};

/// Something for the hub of one shard.
#[derive(Debug)]
pub enum Mail {
    /// What every shard is told.
    Publish(Publication),
    /// A late reply, encoded by the thread that gave it.
    Deliver {
        /// Whom it is for.
        conn: ConnId,
        /// One whole WebSocket frame.
        frame: Frame,
    },
    /// A message to a channel.
    Info(InfoMail),
}

/// What one shard has done and all others must do too.
#[derive(Clone, Debug)]
pub enum Publication {
    /// Deliver to the members of a topic.
    Broadcast(Arc<Broadcast>),
    /// Deliver to the members of a topic but this connection of the shard that is told.
    BroadcastFrom(Arc<Broadcast>, ConnId),
    /// Close the connections of a socket id.
    Disconnect(Arc<str>),
}

/// A message to the channel that one join made.
#[derive(Debug)]
pub struct InfoMail {
    pub(crate) conn: ConnId,
    pub(crate) topic: Arc<str>,
    pub(crate) join: JoinId,
    pub(crate) message: Info,
}

/// The way to the mailboxes of the shards; whoever runs the hubs provides it.
pub trait Post: Send + Sync {
    /// Puts mail into the mailbox of a shard, from any thread, without waiting.
    ///
    /// # Errors
    ///
    /// [`Full`] when the mailbox takes no more.
    fn post(&self, shard: ShardIndex, mail: Mail) -> Result<(), Full>;
}

/// A mailbox takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the shard's mailbox is full")]
pub struct Full;

/// A client waiting for an answer; may be answered from any thread, any number of times, as long as
/// the connection lives, even when the channel has ended.
#[derive(Clone)]
pub struct ReplyRef {
    pub(crate) post: Arc<dyn Post>,
    pub(crate) shard: ShardIndex,
    pub(crate) conn: ConnId,
    pub(crate) serializer: Serializer,
    pub(crate) topic: Arc<str>,
    pub(crate) join_ref: Option<Ref<'static>>,
    pub(crate) reference: Option<Ref<'static>>,
}

/// Why a late reply was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The shard is too busy.
    #[error(transparent)]
    Full(#[from] Full),
    /// The client's serializer cannot carry the reply.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl ReplyRef {
    /// Answers the client.
    ///
    /// # Errors
    ///
    /// [`ReplyError`]. That the connection has gone is no error.
    pub fn reply(&self, reply: &Reply) -> Result<(), ReplyError> {
        let mut bytes = Vec::new();
        encode_reply(
            &mut bytes,
            self.serializer,
            self.join_ref.as_ref(),
            self.reference.as_ref(),
            &self.topic,
            &reply.status,
            &reply.response,
        )?;
        let mail = Mail::Deliver {
            conn: self.conn,
            frame: bytes.into(),
        };
        Ok(self.post.post(self.shard, mail)?)
    }
}

/// A channel, as other threads know it. It does not keep the channel alive.
#[derive(Clone)]
pub struct ChannelRef {
    pub(crate) post: Arc<dyn Post>,
    pub(crate) shard: ShardIndex,
    pub(crate) conn: ConnId,
    pub(crate) topic: Arc<str>,
    pub(crate) join: JoinId,
}

impl ChannelRef {
    /// Sends a message to the channel's [`handle_info`](crate::Channel::handle_info).
    ///
    /// # Errors
    ///
    /// [`Full`] when the shard is too busy. That the channel has ended is no error.
    pub fn send<T: Send + 'static>(&self, message: T) -> Result<(), Full> {
        let mail = InfoMail {
            conn: self.conn,
            topic: Arc::clone(&self.topic),
            join: self.join,
            message: Info::new(message),
        };
        self.post.post(self.shard, Mail::Info(mail))
    }
}

impl fmt::Debug for ReplyRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReplyRef")
            .field("shard", &self.shard)
            .field("conn", &self.conn)
            .field("topic", &self.topic)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ChannelRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChannelRef")
            .field("shard", &self.shard)
            .field("conn", &self.conn)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
