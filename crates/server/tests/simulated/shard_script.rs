//! What happens to a shard, spelled in bytes: any bytes are a script, and a change of one byte is
//! mostly a change of one step.
//!
//! ```text
//! setup: options seed   then steps: kind (arguments of one byte each, the last perhaps bytes)
//! ```
//!
//! A script that is cut short ends with arguments of zero.

use std::time::Duration;

use engine::sim::Faults;

/// The world before the first step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) faults: Faults,
    pub(crate) shards_count: usize,
    /// Whether the channels are those of the relay; else those of the hall.
    pub(crate) relay: bool,
    pub(crate) connect_rate_max: Option<u32>,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// A client connects; with a query it also asks for a WebSocket.
    Connect(Option<&'static str>),
    /// A client, by its number, does something.
    Act(u8, Act<'a>),
    Wait(Duration),
    Faults(Faults),
    Drain,
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act<'a> {
    Upgrade(&'static str),
    Say(Saying),
    /// Bytes of any kind, as they are.
    Bytes(&'a [u8]),
    /// One frame with this first byte.
    Frame(u8, &'a [u8]),
    /// Whether it reads from here on.
    Read(bool),
    /// Whether it writes from here on.
    Write(bool),
    /// Writes at most so many bytes although it has stopped to.
    Trickle(u8),
    HangUp,
    Reset,
}

/// A Phoenix message as a client would write it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saying {
    pub(crate) what: What,
    pub(crate) topic: &'static str,
    pub(crate) whose: Whose,
    /// How often it is said, each time with a ref of its own.
    pub(crate) times: u8,
    /// Fragments it is cut into, with a ping before the last.
    pub(crate) fragments: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Join,
    Leave,
    Heartbeat,
    Push(&'static str, &'static str),
    /// The same in the binary form, where the version has one.
    PushBytes(&'static str, &'static str),
}

/// The join that a message names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    Nobodys,
    Mine,
    Stale,
}

const QUERIES: [&str; 6] = [
    "vsn=2.0.0",
    "vsn=1.0.0",
    "vsn=2.0.0&id=me",
    "a[b][]=%20",
    "vsn=1.0.0&id=me",
    "vsn=3.0.0",
];

/// The last is longer than a topic may be.
const TOPICS: [&str; 8] = [
    "room:a",
    "room:b",
    "from:a",
    "echo:a",
    "own:me",
    "mute:a",
    "nowhere",
    "room:a-name-too-long",
];

/// The orders that the hall knows, and what is never to be relayed.
const EVENTS: [&str; 13] = [
    "msg",
    "echo",
    "push",
    "others",
    "bytes",
    "later",
    "answer",
    "info",
    "elsewhere",
    "kick",
    "stop",
    "give up",
    "phx_close",
];

const PAYLOADS: [&str; 4] = ["{}", r#"{"a":[1,null,"\u00e9"]}"#, "null", LONG];

/// Nearly as long as a message may be.
const LONG: &str = concat!(
    "{\"a\":\"",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\"}"
);

/// A network that cuts everything into pieces of a byte or two and holds much of it back.
const TORN: Faults = Faults {
    delay: 700,
    short_read: 950,
    short_write: 950,
    late_write: 700,
    reset: 0,
    accept: 300,
    refuse: 0,
};

const FAULTS: [Faults; 4] = [
    Faults {
        delay: 0,
        short_read: 0,
        short_write: 0,
        late_write: 0,
        reset: 0,
        accept: 0,
        refuse: 0,
    },
    Faults::SLOW,
    Faults::ROUGH,
    TORN,
];

/// Reads a script from its bytes.
pub(crate) fn read(data: &[u8]) -> (Setup, Vec<Step<'_>>) {
    let mut bytes = Bytes(data);
    let options = bytes.byte();
    let setup = Setup {
        seed: bytes.byte().into(),
        faults: FAULTS[usize::from(options >> 3) % FAULTS.len()],
        shards_count: usize::from(options & 1) + 1,
        relay: options & 2 == 0,
        connect_rate_max: (options & 4 != 0).then_some(3),
    };
    let mut steps = Vec::new();
    while !bytes.0.is_empty() {
        steps.push(bytes.step());
    }
    (setup, steps)
}

/// What is left of a script.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn step(&mut self) -> Step<'a> {
        match self.byte() % 24 {
            0 => Step::Connect(None),
            1..4 => Step::Connect(Some(self.choose(&QUERIES))),
            4 => Step::Faults(self.choose(&FAULTS)),
            // A drain ends the script's possibilities, so it is rare.
            5 if self.byte().is_multiple_of(4) => Step::Drain,
            5 => Step::Wait(Duration::ZERO),
            // Up to 1.3 seconds in fives of milliseconds, or up to a minute.
            6..8 => Step::Wait(Duration::from_millis(u64::from(self.byte()) * 5)),
            8 => Step::Wait(Duration::from_secs(u64::from(self.byte()) / 4)),
            kind => {
                let client = self.byte();
                Step::Act(client, self.act(kind))
            }
        }
    }

    fn act(&mut self, kind: u8) -> Act<'a> {
        match kind {
            9 => Act::Upgrade(self.choose(&QUERIES)),
            10 => Act::Bytes(self.some()),
            11 => Act::Frame(self.byte(), self.some()),
            12 => Act::Read(self.byte().is_multiple_of(2)),
            13 => Act::Write(self.byte().is_multiple_of(2)),
            14 => Act::Trickle(self.byte()),
            15 => Act::HangUp,
            16 => Act::Reset,
            17 | 18 => self.saying(What::Join),
            19 => self.saying(What::Leave),
            20 => self.saying(What::Heartbeat),
            21 => {
                let push = What::PushBytes(self.choose(&EVENTS), self.choose(&PAYLOADS));
                self.saying(push)
            }
            _ => {
                let push = What::Push(self.choose(&EVENTS), self.choose(&PAYLOADS));
                self.saying(push)
            }
        }
    }

    fn saying(&mut self, what: What) -> Act<'a> {
        let topic = self.choose(&TOPICS);
        let manner = self.byte();
        let is_push = matches!(what, What::Push(..) | What::PushBytes(..));
        Act::Say(Saying {
            what,
            topic,
            whose: match manner & 3 {
                0 => Whose::Nobodys,
                3 => Whose::Stale,
                _ => Whose::Mine,
            },
            // Forty long pushes are more than a window and an outbox.
            times: if is_push && manner & 4 != 0 { 40 } else { 1 },
            fragments: if manner & 8 != 0 { manner >> 4 } else { 1 },
        })
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    /// Bytes behind their count, at most 63.
    fn some(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte() % 64).min(self.0.len());
        let (some, rest) = self.0.split_at(len);
        self.0 = rest;
        some
    }

    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }
}
