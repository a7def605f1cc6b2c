//! The channel: what one connection does in one topic.

use std::{any::Any, borrow::Cow};

use proto::phoenix::{IntoPayload, Payload};

use crate::{Context, Socket};

/// A conversation between a connection and a topic; `Phoenix.Channel`.
///
/// The value is the state of the channel; a type without fields costs nothing to keep. A panic in
/// any method costs this channel and nothing else: in [`join`](Self::join) it is a refusal with the
/// reason `join crashed`, in [`handle_in`](Self::handle_in) and
/// [`handle_info`](Self::handle_info) the client is told `phx_error` and joins again.
pub trait Channel<S: Socket>: 'static {
    /// A client asks to join a topic that matches the channel's pattern.
    ///
    /// What is pushed and broadcast here goes out after the reply. If the join is refused or
    /// panics, what is for the client or for this topic does not; broadcasts to other topics and
    /// disconnects do.
    ///
    /// # Errors
    ///
    /// The reply that refuses the join. Unless written, every join is refused: a channel made by
    /// [`Router::channel_with`](crate::Router::channel_with) has its closure instead.
    fn join(topic: &str, payload: Payload<'_>, ctx: &mut Context<'_, S>) -> JoinResult<Self>
    where
        Self: Sized,
    {
        let _ = (topic, payload, ctx);
        Err(Reply::reason("unmatched topic"))
    }

    /// The client pushed an event.
    fn handle_in(&mut self, event: &str, payload: Payload<'_>, ctx: &mut Context<'_, S>)
    -> Outcome;

    /// Something was sent by a [`ChannelRef`](crate::ChannelRef). A reply makes no sense here and
    /// crashes the channel.
    fn handle_info(&mut self, message: Info, ctx: &mut Context<'_, S>) -> Outcome {
        let _ = (message, ctx);
        Outcome::NoReply
    }

    /// The channel ends, for any reason but a panic of its own. What is broadcast here still
    /// reaches the others. A panic here is counted and changes nothing that the client is told.
    fn terminate(&mut self, reason: StopReason, ctx: &mut Context<'_, S>) {
        let _ = (reason, ctx);
    }
}

/// The new channel and the reply to its client, or the reply that refuses the join.
pub type JoinResult<C> = Result<(C, Reply), Reply>;

/// What follows from a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Nothing; a reply may come later by [`Context::reply_ref`](crate::Context::reply_ref).
    NoReply,
    /// An answer to the client.
    Reply(Reply),
    /// The channel is done; its client is told `phx_close`.
    Stop,
    /// An answer, and then the end of the channel as by [`Stop`](Self::Stop).
    StopWithReply(Reply),
    /// The channel gives up; its client is told `phx_error` and joins again.
    Crash,
}

/// Why a channel ends, as its [`terminate`](Channel::terminate) is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// It is done: [`Outcome::Stop`].
    Normal,
    /// It gives up: [`Outcome::Crash`].
    Crash,
    /// The client left.
    Left,
    /// The connection is gone or going.
    Closed,
    /// The client joined the topic again.
    DuplicateJoin,
    /// The server is about to stop.
    Draining,
}

/// The answer to a message.
///
/// V1 has no binary messages: to a client that speaks it, a response of bytes is dropped and counted
/// as undeliverable. When it would answer a join, the join fails with `join crashed` instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `ok`, `error`, or a word of the application.
    pub status: Cow<'static, str>,
    /// What comes with it. Clients expect a JSON object, or bytes.
    pub response: Payload<'static>,
}

impl Reply {
    /// Grants the request.
    ///
    /// # Panics
    ///
    /// When the response cannot be JSON, such as a map whose keys are not strings.
    pub fn ok<'a>(response: impl IntoPayload<'a>) -> Self {
        Self::new("ok", response)
    }

    /// Grants the request without a word.
    pub const fn empty() -> Self {
        Self {
            status: Cow::Borrowed("ok"),
            response: Payload::EMPTY,
        }
    }

    /// Refuses the request.
    ///
    /// # Panics
    ///
    /// As [`Reply::ok`].
    pub fn error<'a>(response: impl IntoPayload<'a>) -> Self {
        Self::new("error", response)
    }

    /// Refuses the request with `{"reason": …}`.
    pub fn reason(reason: &str) -> Self {
        Self::error(serde_json::json!({ "reason": reason }))
    }

    /// Answers with a status of the application's own.
    ///
    /// # Panics
    ///
    /// As [`Reply::ok`].
    pub fn new<'a>(status: impl Into<Cow<'static, str>>, response: impl IntoPayload<'a>) -> Self {
        Self {
            status: status.into(),
            response: payload(response).into_owned(),
        }
    }
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// A message to a channel from elsewhere in the program, of any type.
#[derive(Debug)]
pub struct Info(Box<dyn Any + Send>);

impl Info {
    pub(crate) fn new(message: impl Any + Send) -> Self {
        Self(Box::new(message))
    }

    /// Takes the message out, if it is of this type.
    ///
    /// # Errors
    ///
    /// The message itself, when it is of another.
    pub fn downcast<T: Any>(self) -> Result<T, Self> {
        self.0.downcast().map(|message| *message).map_err(Self)
    }
}

/// Makes the payload that an application sends; it is the application's error when it cannot be.
pub(crate) fn payload<'a>(value: impl IntoPayload<'a>) -> Payload<'a> {
    match value.into_payload() {
        Ok(payload) => payload,
        Err(error) => panic!("a payload cannot be written as JSON: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_taken_out_by_its_type() {
        let info = Info::new(7_u32);
        let info = info.downcast::<String>().unwrap_err();
        assert_eq!(info.downcast::<u32>().unwrap(), 7);
    }

    #[test]
    #[should_panic(expected = "cannot be written as JSON")]
    fn what_cannot_be_json_is_a_programmer_error() {
        Reply::ok(std::collections::BTreeMap::from([((1, 2), 3)]));
    }
}
