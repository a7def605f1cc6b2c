//! What a run is asked to do.

use std::{net::SocketAddr, time::Duration};

use capacity::{Shortage, Sources};
use engine::KernelChoice;
use proto::phoenix::Serializer;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    comeback::Backoff, lookout::Watched, marker, proxy::Proxy, rate::Rate, share::Share, spoken,
    target::Target, tls::Tls, topic::TopicPattern,
};

/// What the crowd does. Start from [`Options::new`] and change what differs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Options {
    /// The server.
    #[serde(with = "spoken::text")]
    pub target: Target,
    /// What a `wss://` server is asked for.
    pub tls: Tls,
    /// Through which proxy the server is reached.
    pub proxy: Option<Proxy>,
    /// What the clients speak.
    pub dialect: Dialect,
    /// How many connections are opened and held.
    pub connections: u32,
    /// Connections opened per second, over all shards.
    #[serde(with = "spoken::text")]
    pub rate: Rate,
    /// The time over which the rate grows from nothing; zero starts at the full rate.
    pub ramp: Duration,
    /// Handshakes and joins that may be unfinished at once, over all shards.
    pub concurrency: u32,
    /// How long everything is held, from the moment at which the last connection is there.
    pub hold: Duration,
    /// Addresses to dial from; `None` chooses them, see [`Options::sources`].
    #[serde(with = "spoken::text_or_none")]
    pub sources: Option<Sources>,
    /// The topic that every client joins; `None` only connects. Phoenix only.
    #[serde(with = "spoken::text_or_none")]
    pub join: Option<TopicPattern>,
    /// How many topics the clients spread over; client `i` joins topic `i mod topics`.
    pub topics: u32,
    /// The payload of the join, JSON.
    pub join_payload: String,
    /// How often one client of each topic publishes while everything is held.
    #[serde(with = "spoken::text_or_none")]
    pub publish: Option<Rate>,
    /// Who must receive a publish; `None` is [`Audience::All`] for Phoenix and
    /// [`Audience::Publisher`] for raw servers.
    pub audience: Option<Audience>,
    /// How many publishes go to every topic after the hold, one after the other: the next when all
    /// members have the one before. Not together with `publish`.
    pub broadcasts: u32,
    /// The share of the connections that is ended abruptly after the broadcasts, and comes back.
    #[serde(with = "spoken::text_or_none")]
    pub drop: Option<Share>,
    /// Whether and when clients come back whose connection ends; those that are dropped on purpose
    /// always do, `None` meaning [`Backoff::Phoenix`].
    pub reconnect: Option<Backoff>,
    /// How often every client pushes and waits for the reply while everything is held.
    pub push: Option<Push>,
    /// The event of publishes and pushes. Phoenix only.
    pub event: String,
    /// Bytes of the payload of a publish or a push; shorter than the run's own mark is raised to it.
    pub payload_bytes: u32,
    /// How often each client sends a heartbeat; `None` never does. Phoenix only.
    pub heartbeat: Option<Duration>,
    /// From the dial to an open WebSocket, not zero; noticed up to a second later.
    pub connect_timeout: Duration,
    /// From the join to its reply, not zero; noticed up to a quarter of a second later.
    pub join_timeout: Duration,
    /// How long the crowd waits for outstanding deliveries after the last publish.
    pub settle_timeout: Duration,
    /// Threads; `None` is one per core, at most eight, or as many as the connections need to have
    /// descriptors.
    pub shards: Option<u16>,
    /// What carries the connections.
    #[serde(with = "spoken::kernel")]
    pub kernel: KernelChoice,
    /// A page of metrics that tells of the target's limits while the crowd is there.
    pub watch: Option<Watched>,
}

/// What the clients of a run speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// Phoenix Channels.
    Phoenix(#[serde(with = "spoken::serializer")] Serializer),
    /// Text messages to any WebSocket server.
    Raw,
}

/// Who must receive a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// Every member of the topic, the publisher too (Phoenix `broadcast`).
    All,
    /// Every member but the publisher (Phoenix `broadcast_from`).
    Others,
    /// The publisher alone (an echo server).
    Publisher,
}

/// The pace of pushes, per client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Push {
    /// The next as soon as the reply to the last has come (closed loop).
    Max,
    /// This often, with one unanswered at most and [`Options::PUSH_INTERVAL_MIN`] between two at
    /// least; latency counts from the intended time.
    Paced(#[serde(with = "spoken::text")] Rate),
}

/// Why a run does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A number is zero or beyond what it may be.
    #[error("{name} is {value}: expected {expected}")]
    Range {
        /// The option's name.
        name: &'static str,
        /// What it was.
        value: u64,
        /// What it may be.
        expected: String,
    },
    /// A timeout that leaves no time at all.
    #[error("{0} is 0s: expected at least 1ms")]
    NoTime(&'static str),
    /// Pushes at a pace that the crowd's timers cannot keep.
    #[error(
        "--push is {0}: expected at most 1000/s for each client, or max to push as soon as the \
         last push is answered"
    )]
    PushRate(Rate),
    /// Two options exclude each other, or one needs another.
    #[error("{0}")]
    Contradiction(&'static str),
    /// The join payload is not JSON.
    #[error("the join payload is not JSON: {0}")]
    JoinPayload(#[source] serde_json::Error),
    /// A source address is not one of this machine.
    #[error("{0} is not an address of this machine; `ip addr` lists those that are")]
    SourceNotLocal(std::net::IpAddr),
    /// Sources and destination are of different families.
    #[error("{0} cannot reach {1}: one is IPv4 and the other IPv6")]
    SourceFamily(std::net::IpAddr, SocketAddr),
    /// No source address could be found.
    #[error("no source address leads to {0}: {1}")]
    NoRoute(SocketAddr, #[source] std::io::Error),
    /// TLS cannot be spoken as asked.
    #[error(transparent)]
    Tls(#[from] engine::TlsSetupError),
    /// This process or its addresses are too few for so many connections.
    #[error("{0}")]
    Shortage(Shortage),
}

impl Options {
    /// The defaults: a thousand Phoenix V2 clients against `target`, opened at 1,000 per second,
    /// held for 30 seconds, nothing joined and nothing published.
    pub fn new(target: Target) -> Self {
        let default_rate = Rate::per_second(1_000).expect("a constant in the range of rates");
        Self {
            target,
            tls: Tls::default(),
            proxy: None,
            dialect: Dialect::Phoenix(Serializer::V2),
            connections: 1_000,
            rate: default_rate,
            ramp: Duration::ZERO,
            concurrency: 1_000,
            hold: Duration::from_secs(30),
            sources: None,
            join: None,
            topics: 1,
            join_payload: "{}".to_owned(),
            publish: None,
            broadcasts: 0,
            drop: None,
            reconnect: None,
            audience: None,
            push: None,
            event: "new_msg".to_owned(),
            payload_bytes: 128,
            heartbeat: Some(Duration::from_secs(30)),
            connect_timeout: Duration::from_secs(30),
            join_timeout: Duration::from_secs(10),
            settle_timeout: Duration::from_secs(5),
            shards: None,
            kernel: KernelChoice::Auto,
            watch: None,
        }
    }

    /// The most bytes of a payload.
    pub const PAYLOAD_BYTES_MAX: u32 = 1 << 20;
    /// The most threads.
    pub const SHARDS_MAX: u16 = capacity::SHARDS_MAX;
    /// The most broadcasts.
    pub const BROADCASTS_MAX: u32 = 100_000;
    /// The least time between a client's pushes: the crowd's timers are no finer.
    pub const PUSH_INTERVAL_MIN: Duration = Duration::from_millis(1);

    /// Checks everything that can be checked without the network.
    ///
    /// # Errors
    ///
    /// [`OptionsError::Range`], [`OptionsError::NoTime`], [`OptionsError::PushRate`],
    /// [`OptionsError::Contradiction`], [`OptionsError::JoinPayload`].
    pub fn check(&self) -> Result<(), OptionsError> {
        range("--connections", self.connections, 1, u32::MAX)?;
        range("--concurrency", self.concurrency, 1, u32::MAX)?;
        range("--topics", self.topics, 1, self.connections)?;
        range("--size", self.payload_bytes, 1, Self::PAYLOAD_BYTES_MAX)?;
        range("--broadcasts", self.broadcasts, 0, Self::BROADCASTS_MAX)?;
        if let Some(shards) = self.shards {
            let most = self.connections.min(Self::SHARDS_MAX.into());
            range("--shards", shards.into(), 1, most)?;
        }
        for (name, time) in [
            ("--connect-timeout", self.connect_timeout),
            ("--join-timeout", self.join_timeout),
        ] {
            if time.is_zero() {
                return Err(OptionsError::NoTime(name));
            }
        }
        if let Some(Push::Paced(rate)) = self.push
            && rate.interval() < Self::PUSH_INTERVAL_MIN
        {
            return Err(OptionsError::PushRate(rate));
        }
        serde_json::from_str::<serde_json::Value>(&self.join_payload)
            .map_err(OptionsError::JoinPayload)?;
        let numbered = self.join.as_ref().is_some_and(TopicPattern::is_numbered);
        let contradiction = match self.dialect {
            Dialect::Raw if self.join.is_some() => {
                "--raw clients cannot --join: channels are Phoenix's"
            }
            Dialect::Phoenix(_) if self.topics > 1 && !numbered => {
                "--topics needs a --join with {} for the topic's number, such as room:{}"
            }
            Dialect::Phoenix(_) if self.join.is_none() && self.publish.is_some() => {
                "--publish needs a topic to --join (or --raw)"
            }
            Dialect::Phoenix(_) if self.join.is_none() && self.broadcasts > 0 => {
                "--broadcasts needs a topic to --join (or --raw)"
            }
            _ if self.broadcasts > 0 && self.publish.is_some() => {
                "--broadcasts and --publish exclude each other: one publishes after the hold, the \
                 other during it"
            }
            Dialect::Phoenix(_) if self.join.is_none() && self.push.is_some() => {
                "--push needs a topic to --join (or --raw)"
            }
            _ => return Ok(()),
        };
        Err(OptionsError::Contradiction(contradiction))
    }

    /// Whether anything is published in the run.
    pub(crate) fn publishes(&self) -> bool {
        self.publish.is_some() || self.broadcasts > 0
    }

    /// Whether anybody may have to come back.
    pub(crate) fn returns(&self) -> bool {
        self.reconnect.is_some() || self.drop.is_some()
    }

    /// The audience of publishes, the default applied.
    pub fn audience(&self) -> Audience {
        self.audience.unwrap_or(match self.dialect {
            Dialect::Phoenix(_) => Audience::All,
            Dialect::Raw => Audience::Publisher,
        })
    }

    /// The number of shards, the default applied; never more than connections.
    pub fn shards(&self, cores: usize) -> u16 {
        let by_cores = u16::try_from(cores.clamp(1, 8)).unwrap_or(1);
        let shards = self.shards.unwrap_or(by_cores);
        shards
            .min(u16::try_from(self.connections).unwrap_or(u16::MAX))
            .max(1)
    }

    /// Bytes of a publish's mark, so that the whole payload has the size that was asked for.
    pub(crate) fn mark_bytes(&self) -> usize {
        let around = match self.dialect {
            Dialect::Phoenix(_) => r#"{"body":""}"#.len(),
            Dialect::Raw => 0,
        };
        (self.payload_bytes as usize)
            .saturating_sub(around)
            .max(marker::MARK_BYTES)
    }
}

fn range(name: &'static str, value: u32, least: u32, most: u32) -> Result<(), OptionsError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let expected = if most == u32::MAX {
        format!("at least {least}")
    } else {
        format!("{least} to {}", capacity::Grouped(most.into()))
    };
    Err(OptionsError::Range {
        name,
        value: value.into(),
        expected,
    })
}

/// Reads a duration such as `500ms`, `30s`, `5m` or `1h`; a bare number is seconds.
///
/// # Errors
///
/// A sentence that says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || {
        format!(
            "`{text}` is not a duration: expected a whole number with ms, s, m or h, such as 30s"
        )
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis_per_unit = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(millis_per_unit)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        let mut options = Options::new("ws://127.0.0.1:4000/socket".parse().expect("a URL"));
        options.join = Some("room:lobby".parse().expect("a topic"));
        options
    }

    fn refusal(change: fn(&mut Options)) -> String {
        let mut options = options();
        change(&mut options);
        options.check().expect_err("must be refused").to_string()
    }

    #[test]
    fn the_defaults_are_allowed() {
        options().check().expect("defaults with a topic");
        Options::new("ws://h/".parse().expect("a URL"))
            .check()
            .expect("defaults");
    }

    #[test]
    fn refusals_say_what_was_expected() {
        assert_eq!(
            refusal(|o| o.connections = 0),
            "--connections is 0: expected at least 1"
        );
        assert_eq!(
            refusal(|o| o.topics = 0),
            "--topics is 0: expected 1 to 1,000"
        );
        assert_eq!(
            refusal(|o| o.shards = Some(1_001)),
            "--shards is 1001: expected 1 to 1,000"
        );
        assert_eq!(
            refusal(|o| o.broadcasts = 100_001),
            "--broadcasts is 100001: expected 0 to 100,000"
        );
        assert!(
            refusal(|o| {
                o.broadcasts = 1;
                o.publish = Rate::per_second(1);
            })
            .contains("exclude each other")
        );
        assert!(
            refusal(|o| {
                o.join = None;
                o.broadcasts = 1;
            })
            .contains("--broadcasts needs a topic")
        );
        assert!(refusal(|o| o.topics = 2).contains("needs a --join with {}"));
        assert!(refusal(|o| o.dialect = Dialect::Raw).contains("cannot --join"));
        assert!(refusal(|o| o.join_payload = "{".into()).contains("not JSON"));
        assert!(
            refusal(|o| {
                o.join = None;
                o.publish = Rate::per_second(1);
            })
            .contains("--publish needs a topic")
        );
        assert!(
            refusal(|o| {
                o.join = None;
                o.push = Some(Push::Max);
            })
            .contains("--push needs a topic")
        );
    }

    #[test]
    fn paces_and_times_that_cannot_be_kept_are_refused() {
        let push = |options: &mut Options, rate: &str| {
            options.push = Some(Push::Paced(rate.parse().expect(rate)));
        };
        assert_eq!(
            refusal(|o| o.connect_timeout = Duration::ZERO),
            "--connect-timeout is 0s: expected at least 1ms"
        );
        assert!(refusal(|o| o.join_timeout = Duration::ZERO).starts_with("--join-timeout is 0s"));
        for rate in ["1001/s", "100000000/s", "60001/min"] {
            let mut options = options();
            push(&mut options, rate);
            let text = options.check().expect_err(rate).to_string();
            assert!(text.starts_with(&format!("--push is {rate}: expected at most 1000/s")));
        }
        for rate in ["1000/s", "100000/h"] {
            let mut options = options();
            push(&mut options, rate);
            options.check().expect(rate);
        }
    }

    #[test]
    fn shards_never_outnumber_connections() {
        let mut options = options();
        assert_eq!(options.shards(2), 2);
        assert_eq!(options.shards(64), 8);
        options.connections = 1;
        assert_eq!(options.shards(8), 1);
    }

    #[test]
    fn payloads_have_the_size_that_was_asked_for() {
        let mut options = options();
        assert_eq!(options.mark_bytes(), 128 - 11);
        options.payload_bytes = 1;
        assert_eq!(options.mark_bytes(), marker::MARK_BYTES);
        (options.join, options.dialect, options.payload_bytes) = (None, Dialect::Raw, 300);
        assert_eq!(options.mark_bytes(), 300);
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("500ms", 500),
            ("30", 30_000),
            ("30s", 30_000),
            ("2m", 120_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "1d",
            "99999999999999999999",
            "18446744073709551615h",
        ] {
            let error = parse_duration(text).expect_err(text);
            assert!(error.contains("expected a whole number"), "{error}");
        }
    }
}
