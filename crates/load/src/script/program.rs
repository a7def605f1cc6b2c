//! A scenario as a flat list of instructions, which virtual users walk through.

use std::{sync::Arc, time::Duration};

use proto::phoenix::Serializer;
use serde_json::Value;

use super::{
    connect::Connect,
    expect::Expect,
    names::{LoopNames, Origin},
    socketio::Emit,
    template::{Body, Template},
};
use crate::comeback::Backoff;

/// One scenario.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) weight: f64,
    pub(crate) dialect: Dialect,
    pub(crate) connect: Connect,
    /// Sockets that its users open besides their own.
    pub(crate) sides: Box<[Side]>,
    /// How long its users wait before they come back, if they do.
    pub(crate) reconnect: Option<Backoff>,
    /// Functions that run before the user is dialled.
    pub(crate) before: Box<[u16]>,
    pub(crate) steps: Box<[Step]>,
    /// Of each step the socket that it is for; empty where users have one.
    pub(crate) on: Box<[u8]>,
    /// Where each step stands in the script, such as `flow[2].send`.
    pub(crate) labels: Box<[Box<str>]>,
}

/// A socket that users of a scenario open besides their own.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) name: Box<str>,
    pub(crate) dialect: Dialect,
    pub(crate) connect: Connect,
}

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Text messages, as the script has them.
    Plain,
    /// Phoenix Channels, with heartbeats this far apart.
    Phoenix(Serializer, Option<Duration>),
    /// Socket.IO.
    SocketIo,
}

/// One instruction. Large ones are boxed: most users are at a small one.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends a message and, with checks, waits for the next one.
    Send {
        body: Body,
        expect: Option<Box<Expect>>,
    },
    /// Waits for the next message.
    Wait(Box<Expect>),
    Think(Box<Think>),
    Log(Template),
    /// Calls a function in JavaScript.
    Call(Box<Call>),
    /// Enters a loop; `end` is the step behind it.
    Loop {
        times: Box<Times>,
        end: u16,
    },
    /// The end of a loop's round; `start` is its first step.
    Again {
        start: u16,
    },
    Act(Box<Act>),
    /// Emits an event of Socket.IO and, if it is to, waits for what comes of it.
    Emit(Box<Emit>),
    /// Opens the socket that the step is for, and waits until it is open.
    Open,
    /// Closes the socket that the step is for.
    Close,
    /// Resets the socket that the step is for, which then comes back.
    Drop,
}

/// A call of a function in JavaScript.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Its number in the processor.
    pub(crate) function: u16,
    /// The loops around, the outermost first.
    pub(crate) loops: Box<[LoopNames]>,
}

/// How long a user thinks.
#[derive(Clone, Debug)]
pub(crate) struct Think {
    pub(crate) time: Time,
    pub(crate) jitter: Jitter,
}

/// A time that may differ from user to user.
#[derive(Clone, Debug)]
pub(crate) enum Time {
    Always(Duration),
    Template(Template),
}

/// How much longer or shorter than asked a user thinks, at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Jitter {
    #[default]
    None,
    By(Duration),
    /// This part of the time.
    Share(f64),
}

/// How often a loop goes round.
#[derive(Clone, Debug)]
pub(crate) enum Times {
    /// From the first number up to the second; `None` is for ever.
    Count(u64, Option<u64>),
    /// As often as the text says: `5`, `-1` or `1-15`.
    Template(Template),
    /// Once for each.
    Over(Arc<[Value]>),
    /// Once for each element of what a name stands for.
    OverName(Origin, Box<[Box<str>]>),
    /// Once, and again as long as a function says so.
    While(Call),
}

/// A step of Phoenix Channels. Without a topic it is for the one that was joined last.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Joins a topic and waits until that is granted.
    Join {
        topic: Template,
        payload: Body,
        expect: Option<Expect>,
    },
    /// Pushes an event; waits for the reply if `waits`.
    Push {
        topic: Option<Template>,
        event: Template,
        payload: Body,
        expect: Option<Expect>,
        waits: bool,
    },
    /// Waits for an event from the server.
    Hear {
        topic: Option<Template>,
        event: Template,
        expect: Option<Expect>,
    },
    /// Leaves a topic and waits until that is granted.
    Leave { topic: Option<Template> },
}

/// Steps of one scenario, at most.
pub(crate) const STEPS_MAX: usize = 10_000;

impl Program {
    /// The socket that step `step` is for; 0 is the user's own.
    pub(crate) fn socket_of(&self, step: u16) -> u8 {
        self.on.get(usize::from(step)).copied().unwrap_or(0)
    }

    fn side(&self, socket: u8) -> Option<&Side> {
        self.sides.get(usize::from(socket).checked_sub(1)?)
    }

    /// What `socket` speaks.
    pub(crate) fn dialect_of(&self, socket: u8) -> Dialect {
        self.side(socket).map_or(self.dialect, |side| side.dialect)
    }

    /// Where `socket` connects.
    pub(crate) fn connect_of(&self, socket: u8) -> &Connect {
        self.side(socket)
            .map_or(&self.connect, |side| &side.connect)
    }

    /// What the script calls `socket`.
    pub(crate) fn name_of(&self, socket: u8) -> &str {
        self.side(socket).map_or("own", |side| &side.name)
    }

    /// Where its sockets connect, the user's own first.
    pub(crate) fn connects(&self) -> impl Iterator<Item = &Connect> {
        let sides = self.sides.iter().map(|side| &side.connect);
        std::iter::once(&self.connect).chain(sides)
    }

    /// How many sockets a user has at most.
    pub(crate) fn sockets_count(&self) -> usize {
        1 + self.sides.len()
    }
}

impl Jitter {
    /// A time near `time`; `random` is from 0 to 1.
    pub(crate) fn apply(self, time: Duration, random: f64) -> Duration {
        let by = match self {
            Self::None => return time,
            Self::By(by) => by.as_secs_f64(),
            Self::Share(share) => time.as_secs_f64() * share,
        };
        Duration::from_secs_f64((time.as_secs_f64() + by * (2.0 * random - 1.0)).max(0.0))
    }
}

/// Reads `5`, `-1` or `1-15` as the first round and the one behind the last.
pub(crate) fn parse_count(text: &str) -> Option<(u64, Option<u64>)> {
    let text = text.trim();
    if text == "-1" {
        return Some((0, None));
    }
    if let Ok(count) = text.parse() {
        return Some((0, Some(count)));
    }
    let (from, to) = text.split_once('-')?;
    Some((from.trim().parse().ok()?, Some(to.trim().parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_even_around_the_time() {
        let second = Duration::from_secs(1);
        let share = Jitter::Share(0.5);
        assert_eq!(share.apply(second, 0.0), Duration::from_millis(500));
        assert_eq!(share.apply(second, 0.5), second);
        assert_eq!(share.apply(second, 1.0), Duration::from_millis(1_500));
        let by = Jitter::By(Duration::from_secs(3));
        assert_eq!(by.apply(second, 0.0), Duration::ZERO);
        assert_eq!(Jitter::None.apply(second, 0.0), second);
    }

    #[test]
    fn counts_are_numbers_or_ranges() {
        assert_eq!(parse_count("5"), Some((0, Some(5))));
        assert_eq!(parse_count("-1"), Some((0, None)));
        assert_eq!(parse_count("1-15"), Some((1, Some(15))));
        for text in ["", "many", "-2", "1-", "1-2-3"] {
            assert_eq!(parse_count(text), None, "{text}");
        }
    }
}
