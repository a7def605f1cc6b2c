//! Which channel a topic belongs to.

use std::fmt;

use proto::phoenix::Payload;

use crate::{Channel, ConnectError, ConnectRequest, Context, JoinResult, Socket, crash::caught};

/// A socket and its channels by topic; the first pattern that matches wins.
pub struct Router<S: Socket> {
    socket: S,
    routes: Vec<Route<S>>,
}

struct Route<S: Socket> {
    pattern: Pattern,
    join: Box<Join<S>>,
}

/// What a route does with a join; the channel's type is forgotten here.
pub(crate) type Join<S> =
    dyn Fn(&str, Payload<'_>, &mut Context<'_, S>) -> JoinResult<Box<dyn Channel<S>>> + Send + Sync;

/// A whole topic, or everything that starts alike.
#[derive(Debug)]
enum Pattern {
    Topic(Box<str>),
    Prefix(Box<str>),
}

impl<S: Socket> Router<S> {
    /// A socket without channels.
    pub const fn new(socket: S) -> Self {
        Self {
            socket,
            routes: Vec::new(),
        }
    }

    /// Adds a channel for a topic such as `lobby`, or for all that match a pattern such as
    /// `room:*`.
    ///
    /// # Panics
    ///
    /// When a `*` stands anywhere but at the end.
    #[must_use]
    pub fn channel<C: Channel<S>>(self, pattern: &str) -> Self {
        self.channel_with(pattern, C::join)
    }

    /// Adds a channel that a closure makes, which may know what [`Channel::join`] cannot.
    ///
    /// # Panics
    ///
    /// As [`channel`](Self::channel).
    #[must_use]
    pub fn channel_with<C, F>(mut self, pattern: &str, join: F) -> Self
    where
        C: Channel<S>,
        F: Fn(&str, Payload<'_>, &mut Context<'_, S>) -> JoinResult<C> + Send + Sync + 'static,
    {
        let join: Box<Join<S>> = Box::new(move |topic, payload, ctx| {
            let (channel, reply) = join(topic, payload, ctx)?;
            Ok((Box::new(channel), reply))
        });
        self.routes.push(Route {
            pattern: Pattern::parse(pattern),
            join,
        });
        self
    }

    /// Asks the socket whether a client may connect.
    ///
    /// # Errors
    ///
    /// What the socket says, or [`ConnectError::Crashed`] when it panicked.
    pub fn connect(&self, request: &ConnectRequest<'_>) -> Result<S::Assigns, ConnectError> {
        caught(|| self.socket.connect(request)).unwrap_or(Err(ConnectError::Crashed))
    }

    pub(crate) const fn socket(&self) -> &S {
        &self.socket
    }

    pub(crate) fn join(&self, topic: &str) -> Option<&Join<S>> {
        let route = self
            .routes
            .iter()
            .find(|route| route.pattern.matches(topic))?;
        Some(&*route.join)
    }
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let prefix = text.strip_suffix('*');
        let name = prefix.unwrap_or(text);
        assert!(
            !name.contains('*'),
            "only the end of a topic pattern may be a star: {text:?}"
        );
        match prefix {
            Some(prefix) => Self::Prefix(prefix.into()),
            None => Self::Topic(text.into()),
        }
    }

    fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Topic(own) => topic == &**own,
            Self::Prefix(prefix) => topic.starts_with(&**prefix),
        }
    }
}

impl<S: Socket> fmt::Debug for Router<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.routes.iter().map(|route| &route.pattern);
        formatter.debug_list().entries(patterns).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_end_and_a_name_only_itself() {
        assert!(Pattern::parse("room:*").matches("room:1"));
        assert!(Pattern::parse("room:*").matches("room:"));
        assert!(!Pattern::parse("room:*").matches("room"));
        assert!(Pattern::parse("*").matches(""));
        assert!(Pattern::parse("lobby").matches("lobby"));
        assert!(!Pattern::parse("lobby").matches("lobby2"));
    }

    #[test]
    #[should_panic(expected = "only the end")]
    fn a_star_inside_is_a_programmer_error() {
        Pattern::parse("room:*:private");
    }
}
