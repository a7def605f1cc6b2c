//! What can go wrong with a connection, as named classes with their remedies.
//!
//! Every connection that did not do what was asked ends in exactly one class. A class is a fact and
//! a sentence, never a bare number of the kernel.

mod proxy;
mod socketio;
mod tls;

use std::{collections::BTreeMap, fmt};

use capacity::{Limit, Survey};
use engine::{Cause, Closed, Phase};
use rustix::io::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::spoken;

pub use self::{proxy::ProxyFailure, socketio::SocketIoFailure, tls::TlsFailure};

/// One class of failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Failure {
    /// No (source address, source port) was left to dial from.
    TuplesExhausted,
    /// Others hold the source ports that were tried: `bind(2)` refused each with `EADDRINUSE`. A program
    /// that lets the kernel choose a port before it knows where it will lead holds it towards
    /// everybody.
    PortsTaken,
    /// The kernel met a limit of the machine or of this process.
    Limit(#[serde(with = "spoken::limit")] Limit),
    /// The server's host answered that nobody listens there.
    Refused,
    /// There is no way to the server's network or host.
    Unreachable,
    /// TCP was not established in time.
    ConnectTimeout,
    /// TCP was established, but the upgrade was not answered in time.
    HandshakeTimeout,
    /// The upgrade was answered with this HTTP status.
    HttpStatus(u16),
    /// The upgrade was answered with something that RFC 6455 does not allow; says what.
    HandshakeInvalid(String),
    /// There was no TLS with the server, or not any more.
    Tls(TlsFailure),
    /// The proxy gave no tunnel to the server.
    Proxy(ProxyFailure),
    /// The session of Socket.IO ended, or a step of it failed.
    SocketIo(SocketIoFailure),
    /// The join was not answered in time.
    JoinTimeout,
    /// The join was answered with an error; the server's reason.
    JoinRefused(String),
    /// The channel crashed on the server (`phx_error`).
    ChannelError,
    /// The server closed the channel (`phx_close`).
    ChannelClosed,
    /// A heartbeat was not answered before the next one was due.
    HeartbeatTimeout,
    /// The server sent a close frame with this code.
    ClosedWith(u16),
    /// The server sent a close frame without a code.
    ClosedWithoutCode,
    /// The server ended the stream without a close frame.
    Gone,
    /// The connection was reset.
    Reset,
    /// A script had the crowd reset the connection, to see it come back.
    Dropped,
    /// The server broke the WebSocket or HTTP protocol; says how.
    ProtocolBroken(String),
    /// The server's host went silent on an open connection, and the kernel gave it up.
    Vanished,
    /// This machine forbids the connection, as a firewall rule does.
    Forbidden,
    /// The server did not read what this client sent.
    ServerReadsSlowly,
    /// The kernel reported something else; says what.
    Kernel(String),
    /// The connection ended, and its client had not come back at the end of the run.
    NotBack,
    /// The crowd ended before the connection could.
    Interrupted,
    /// A step of a script waited for a message in vain.
    NoResponse,
    /// A message was not what a step of a script expected.
    NoMatch,
    /// A message was not what the expectations of a step say; names the step.
    Unexpected(String),
    /// A step of a script waited for a message, and an empty one came.
    EmptyMessage,
    /// A step of a script speaks in a topic that its user has not joined.
    NotJoined,
    /// A step of a script joins one topic more than a user may have.
    TooManyTopics,
    /// A step of a script is for a socket that is not open; its name.
    SocketNotOpen(String),
    /// A step of a script opens a socket that is open; its name.
    SocketOpen(String),
    /// The server refused a push of a script; says with what.
    PushRefused(String),
    /// The machine of the crowd that held the connection was lost.
    AgentLost,
    /// A function of a script failed.
    FunctionFailed {
        /// What it said.
        message: String,
        /// Which function, in which file and line, as far as it is known.
        place: String,
    },
}

/// The most different texts of one class that are told apart; a server may invent a reason per
/// client.
pub(crate) const TEXTS_MAX: usize = 32;

/// The longest text of a server that is kept, in characters.
const TEXT_CHARS_MAX: usize = 120;

impl Failure {
    /// The class of a connection that the engine reports as over.
    pub(crate) fn of_closed(closed: &Closed) -> Self {
        match &closed.cause {
            Cause::Peer {
                code: Some(code), ..
            } => Self::ClosedWith(code.0),
            Cause::Peer { code: None, .. } => Self::ClosedWithoutCode,
            Cause::PeerGone => Self::Gone,
            Cause::Connect(errno) | Cause::Socket(errno) => Self::of_errno(*errno, closed.phase),
            Cause::HandshakeTimeout if closed.phase == Phase::Connecting => Self::ConnectTimeout,
            Cause::HandshakeTimeout => Self::HandshakeTimeout,
            Cause::Status(status) => Self::HttpStatus(*status),
            Cause::Handshake(error) => Self::HandshakeInvalid(error.to_string()),
            Cause::Protocol(error) => Self::ProtocolBroken(error.to_string()),
            Cause::Head(error) => Self::ProtocolBroken(error.to_string()),
            Cause::Tls(fault) => Self::Tls(TlsFailure::of(fault)),
            Cause::Tunnel(fault) => Self::Proxy(ProxyFailure::of(*fault)),
            Cause::SlowConsumer => Self::ServerReadsSlowly,
            _ => Self::Interrupted,
        }
    }

    /// The class of an error of the kernel on a connection in `phase`.
    fn of_errno(errno: Errno, phase: Phase) -> Self {
        match errno {
            Errno::CONNREFUSED => Self::Refused,
            Errno::NETUNREACH | Errno::HOSTUNREACH => Self::Unreachable,
            Errno::TIMEDOUT if phase == Phase::Connecting => Self::ConnectTimeout,
            Errno::TIMEDOUT => Self::Vanished,
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => Self::Reset,
            // The caller has tried other tuples before it asks for the class.
            Errno::ADDRINUSE => Self::PortsTaken,
            Errno::ADDRNOTAVAIL => Self::TuplesExhausted,
            other => {
                Limit::behind(other).map_or_else(|| Self::Kernel(other.to_string()), Self::Limit)
            }
        }
    }

    /// A refused join with the server's reason. What would move a terminal's cursor or change its
    /// colours is written out: a server must not be able to write lines of the report.
    pub(crate) fn join_refused(reason: &str) -> Self {
        Self::JoinRefused(Self::clean(reason))
    }

    /// A refused push with the server's reason, as [`Failure::join_refused`].
    pub(crate) fn push_refused(reason: &str) -> Self {
        Self::PushRefused(Self::clean(reason))
    }

    /// A function that failed, as [`Failure::join_refused`].
    pub(crate) fn function_failed(message: &str, place: &str) -> Self {
        Self::FunctionFailed {
            message: Self::clean(message),
            place: Self::clean(place),
        }
    }

    pub(crate) fn clean(reason: &str) -> String {
        let shown = |c: char| match c {
            c if c.is_control() => c.escape_default().to_string(),
            c => c.to_string(),
        };
        reason.chars().take(TEXT_CHARS_MAX).map(shown).collect()
    }

    /// The class as a sentence, with what the limit is on this machine where one was met.
    fn text_here(&self) -> String {
        match self.limit().and_then(Survey::present) {
            Some(value) => format!("{self}; here it is {value}"),
            None => self.to_string(),
        }
    }

    /// The limit that was met, if it was one.
    const fn limit(&self) -> Option<Limit> {
        match self {
            Self::TuplesExhausted | Self::PortsTaken => Some(Limit::Tuples),
            Self::Limit(limit) => Some(*limit),
            _ => None,
        }
    }

    /// Whether it says that this machine could not generate the load.
    pub(crate) const fn is_ours(&self) -> bool {
        self.limit().is_some() || matches!(self, Self::Forbidden)
    }

    /// The class's stable name in JSON, without what varies inside it.
    pub fn class(&self) -> &'static str {
        match self {
            Self::TuplesExhausted => "tuples_exhausted",
            Self::PortsTaken => "ports_taken",
            Self::Limit(Limit::Descriptors) => "file_descriptors",
            Self::Limit(Limit::OpenFiles) => "open_files",
            Self::Limit(Limit::EpollWatches) => "epoll_watches",
            Self::Limit(Limit::Memory) => "memory",
            Self::Limit(_) => "limit",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HttpStatus(_) => "http_status",
            Self::HandshakeInvalid(_) => "handshake_invalid",
            Self::Tls(failure) => failure.class(),
            Self::Proxy(failure) => failure.class(),
            Self::SocketIo(failure) => failure.class(),
            Self::JoinTimeout => "join_timeout",
            Self::JoinRefused(_) => "join_refused",
            Self::ChannelError => "channel_error",
            Self::ChannelClosed => "channel_closed",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::ClosedWith(_) => "closed_with_code",
            Self::ClosedWithoutCode => "closed_without_code",
            Self::Gone => "gone",
            Self::Reset => "reset",
            Self::Dropped => "dropped_on_purpose",
            Self::ProtocolBroken(_) => "protocol_broken",
            Self::Vanished => "vanished",
            Self::Forbidden => "forbidden",
            Self::ServerReadsSlowly => "server_reads_slowly",
            Self::Kernel(_) => "kernel",
            Self::NotBack => "not_back",
            Self::Interrupted => "interrupted",
            Self::NoResponse => "no_response",
            Self::NoMatch => "no_match",
            Self::Unexpected(_) => "failed_expectations",
            Self::EmptyMessage => "empty_message",
            Self::NotJoined => "not_joined",
            Self::TooManyTopics => "too_many_topics",
            Self::SocketNotOpen(_) => "socket_not_open",
            Self::SocketOpen(_) => "socket_open",
            Self::PushRefused(_) => "push_refused",
            Self::AgentLost => "agent_lost",
            Self::FunctionFailed { .. } => "function_failed",
        }
    }

    /// What to do about it, where there is something to say.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::TuplesExhausted | Self::PortsTaken => Some(Limit::Tuples.remedy()),
            Self::Limit(limit) => Some(limit.remedy()),
            Self::Refused => Some(
                "start the server (or the proxy), or check the address and the port in the URL",
            ),
            Self::Unreachable => Some("check the address in the URL and the route to it"),
            // A server that is alive and does not answer a SYN has no room in its accept queue.
            Self::ConnectTimeout => Some(Limit::AcceptQueue.remedy()),
            Self::HandshakeTimeout | Self::JoinTimeout => {
                Some("the server is slower than this rate: connect at a lower --rate")
            }
            Self::HttpStatus(403) => Some(
                "the server refuses to connect this client: check parameters, vsn and origin rules",
            ),
            Self::HttpStatus(404) => Some("check the path in the URL"),
            Self::HttpStatus(429 | 503) => {
                Some("the server has a limit on connections or on their rate")
            }
            Self::JoinRefused(_) => Some("check the topic and what the server asks of a join"),
            Self::HeartbeatTimeout => {
                Some("the server does not keep up, or does not speak Phoenix: see --raw")
            }
            Self::NoResponse => Some("the server is slower than config.timeout, or says nothing"),
            Self::AgentLost => {
                Some("look at the agent's machine and its log, and the network to it")
            }
            Self::Tls(failure) => failure.remedy(),
            Self::Proxy(failure) => Some(failure.remedy()),
            Self::SocketIo(failure) => failure.remedy(),
            Self::ClosedWith(1012) => Some("the server restarts or drains"),
            Self::Vanished => Some("check the server's host and the network to it"),
            Self::Forbidden => {
                Some("look for a firewall rule on this machine, or a source address it may not use")
            }
            _ => None,
        }
    }

    /// The text that varies within the class, which is bounded by [`TEXTS_MAX`].
    fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::JoinRefused(text)
            | Self::PushRefused(text)
            | Self::SocketNotOpen(text)
            | Self::SocketOpen(text)
            | Self::HandshakeInvalid(text)
            | Self::ProtocolBroken(text)
            | Self::Kernel(text)
            | Self::Unexpected(text)
            | Self::FunctionFailed { message: text, .. } => Some(text),
            Self::Tls(failure) => failure.text_mut(),
            Self::Proxy(failure) => failure.text_mut(),
            Self::SocketIo(failure) => failure.text_mut(),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TuplesExhausted => write!(
                f,
                "{}: no source address and port left to dial from",
                Limit::Tuples.name()
            ),
            Self::PortsTaken => write!(
                f,
                "{}: EADDRINUSE, other programs hold the source ports that were tried",
                Limit::Tuples.name()
            ),
            Self::Limit(limit) => write!(f, "{}: {}", limit.name(), limit.symptom()),
            Self::Refused => f.write_str("connection refused: nobody listens there"),
            Self::Unreachable => f.write_str("no route to the server"),
            Self::ConnectTimeout => f.write_str("TCP connect timed out"),
            Self::HandshakeTimeout => f.write_str("WebSocket upgrade timed out"),
            Self::HttpStatus(status) => write!(f, "upgrade answered with HTTP status {status}"),
            Self::HandshakeInvalid(what) => write!(f, "upgrade answered wrongly: {what}"),
            Self::Tls(failure) => write!(f, "{failure}"),
            Self::Proxy(failure) => write!(f, "{failure}"),
            Self::SocketIo(failure) => write!(f, "{failure}"),
            Self::JoinTimeout => f.write_str("join timed out"),
            Self::JoinRefused(reason) => write!(f, "join refused: {reason}"),
            Self::ChannelError => f.write_str("channel crashed on the server (phx_error)"),
            Self::ChannelClosed => f.write_str("channel closed by the server (phx_close)"),
            Self::HeartbeatTimeout => f.write_str("heartbeat not answered"),
            Self::ClosedWith(code) => write!(f, "closed by the server with code {code}"),
            Self::ClosedWithoutCode => f.write_str("closed by the server without a code"),
            Self::Gone => f.write_str("ended by the server without a close frame"),
            Self::Reset => f.write_str("connection reset"),
            Self::Dropped => f.write_str("reset by the crowd, as the script asks"),
            Self::ProtocolBroken(how) => write!(f, "protocol broken by the server: {how}"),
            Self::Vanished => f.write_str("the server's host went silent"),
            Self::Forbidden => f.write_str("this machine forbids the connection"),
            Self::ServerReadsSlowly => f.write_str("the server does not read what it is sent"),
            Self::Kernel(what) => write!(f, "the kernel reported: {what}"),
            Self::NotBack => f.write_str("not back at the end of the run"),
            Self::Interrupted => f.write_str("ended by the crowd before it was done"),
            Self::NoResponse => f.write_str("no message came within the timeout of the step"),
            Self::NoMatch => f.write_str("a message was not what capture or match expected"),
            Self::Unexpected(step) => write!(f, "expectations of {step} failed"),
            Self::EmptyMessage => f.write_str("an empty message came where one was expected"),
            Self::NotJoined => f.write_str("a step names a topic that is not joined"),
            Self::TooManyTopics => write!(
                f,
                "a step joins one topic more than the {} of a socket: leave some",
                crate::script::TOPICS_MAX
            ),
            Self::SocketNotOpen(name) => {
                write!(f, "a step is for the socket `{name}`, which is not open")
            }
            Self::SocketOpen(name) => write!(f, "a step opens the socket `{name}`, which is open"),
            Self::PushRefused(reason) => write!(f, "push refused: {reason}"),
            Self::AgentLost => {
                f.write_str("agent lost: its machine of the crowd was heard no more")
            }
            Self::FunctionFailed { message, place } if place.is_empty() => {
                write!(f, "a function failed: {message}")
            }
            Self::FunctionFailed { message, place } => {
                write!(f, "a function failed: {message} ({place})")
            }
        }
    }
}

/// How often each class happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    counts: BTreeMap<Failure, u64>,
    /// Whether any of it happened on another machine, whose limits are not those here.
    is_from_elsewhere: bool,
}

/// One line of a report's failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailureCount {
    /// The class's stable name.
    pub class: &'static str,
    /// The whole sentence, with the code, status or reason.
    pub text: String,
    /// How many connections ended so.
    pub count: u64,
    /// What to do about it.
    pub remedy: Option<&'static str>,
}

impl Failures {
    /// Counts one failure.
    pub(crate) fn count(&mut self, failure: Failure) {
        self.add(failure, 1);
    }

    /// Adds another shard's failures.
    pub(crate) fn merge(&mut self, other: Self) {
        self.is_from_elsewhere |= other.is_from_elsewhere;
        for (failure, count) in other.counts {
            self.add(failure, count);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Each class and how often it happened.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Failure, u64)> {
        self.counts.iter().map(|(failure, &count)| (failure, count))
    }

    /// Those of which `is_wanted` holds.
    pub(crate) fn only(&self, is_wanted: impl Fn(&Failure) -> bool) -> Self {
        let wanted = self.iter().filter(|(failure, _)| is_wanted(failure));
        Self {
            counts: wanted
                .map(|(failure, count)| (failure.clone(), count))
                .collect(),
            ..*self
        }
    }

    /// The classes, most frequent first.
    pub(crate) fn counts(&self) -> Vec<FailureCount> {
        let mut counts: Vec<_> = self
            .iter()
            .map(|(failure, count)| FailureCount {
                class: failure.class(),
                text: match self.is_from_elsewhere {
                    true => failure.to_string(),
                    false => failure.text_here(),
                },
                count,
                remedy: failure.remedy(),
            })
            .collect();
        counts.sort_by_key(|line| std::cmp::Reverse(line.count));
        counts
    }

    /// Counts a failure `count` times.
    pub(crate) fn add(&mut self, mut failure: Failure, count: u64) {
        if self.counts.len() >= TEXTS_MAX
            && !self.counts.contains_key(&failure)
            && let Some(text) = failure.text_mut()
        {
            "other".clone_into(text);
        }
        *self.counts.entry(failure).or_default() += count;
    }
}

impl Serialize for Failures {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Failures {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut failures = Self {
            is_from_elsewhere: true,
            ..Self::default()
        };
        for (failure, count) in Vec::<(Failure, u64)>::deserialize(from)? {
            failures.add(failure, count);
        }
        Ok(failures)
    }
}

#[cfg(test)]
mod tests {
    use proto::ws::CloseCode;

    use super::*;

    fn closed(phase: Phase, cause: Cause) -> Failure {
        Failure::of_closed(&Closed { phase, cause })
    }

    #[test]
    fn a_server_writes_no_lines_of_the_report() {
        let failure = Failure::join_refused("\u{1b}[31mno\nheld: everything that was asked");
        let text = failure.to_string();
        assert_eq!(
            text,
            "join refused: \\u{1b}[31mno\\nheld: everything that was asked"
        );
    }

    #[test]
    fn no_error_of_the_kernel_that_users_meet_is_a_bare_number() {
        let of = |errno| Failure::of_errno(errno, Phase::Open);
        assert_eq!(of(Errno::TIMEDOUT), Failure::Vanished);
        assert_eq!(of(Errno::PERM), Failure::Forbidden);
        assert_eq!(of(Errno::ACCESS), Failure::Forbidden);
    }

    #[test]
    fn errors_of_the_kernel_get_their_class() {
        let connect = |errno| closed(Phase::Connecting, Cause::Connect(errno));
        assert_eq!(connect(Errno::CONNREFUSED), Failure::Refused);
        assert_eq!(connect(Errno::TIMEDOUT), Failure::ConnectTimeout);
        assert_eq!(connect(Errno::HOSTUNREACH), Failure::Unreachable);
        assert_eq!(connect(Errno::ADDRNOTAVAIL), Failure::TuplesExhausted);
        assert_eq!(connect(Errno::ADDRINUSE), Failure::PortsTaken);
        assert_eq!(connect(Errno::MFILE), Failure::Limit(Limit::Descriptors));
        assert_eq!(connect(Errno::NFILE), Failure::Limit(Limit::OpenFiles));
        assert!(matches!(connect(Errno::NOPROTOOPT), Failure::Kernel(_)));
        assert_eq!(
            closed(Phase::Open, Cause::Socket(Errno::CONNRESET)),
            Failure::Reset
        );
    }

    #[test]
    fn timeouts_are_told_apart_by_how_far_the_connection_had_come() {
        assert_eq!(
            closed(Phase::Connecting, Cause::HandshakeTimeout),
            Failure::ConnectTimeout
        );
        assert_eq!(
            closed(Phase::Handshaking, Cause::HandshakeTimeout),
            Failure::HandshakeTimeout
        );
    }

    #[test]
    fn close_codes_are_kept() {
        let peer = |code| Cause::Peer {
            code,
            reason: "".into(),
        };
        assert_eq!(
            closed(Phase::Open, peer(Some(CloseCode(1012)))),
            Failure::ClosedWith(1012)
        );
        assert_eq!(closed(Phase::Open, peer(None)), Failure::ClosedWithoutCode);
        assert_eq!(closed(Phase::Open, Cause::PeerGone), Failure::Gone);
    }

    #[test]
    fn a_reason_per_client_does_not_fill_the_memory() {
        let mut failures = Failures::default();
        for client in 0..10_000 {
            failures.count(Failure::join_refused(&format!("client {client}")));
        }
        failures.count(Failure::Reset);
        assert_eq!(failures.total(), 10_001);
        let counts = failures.counts();
        assert!(counts.len() <= TEXTS_MAX + 2);
        assert_eq!(counts[0].text, "join refused: other");
        assert_eq!(
            Failure::join_refused(&"é".repeat(500))
                .to_string()
                .chars()
                .count(),
            134
        );
    }

    #[test]
    fn merged_counts_add_up_and_the_most_frequent_comes_first() {
        let (mut one, mut two) = (Failures::default(), Failures::default());
        one.count(Failure::Gone);
        two.count(Failure::Reset);
        two.count(Failure::Reset);
        two.count(Failure::Gone);
        two.count(Failure::Reset);
        one.merge(two);
        let counts: Vec<_> = one
            .counts()
            .iter()
            .map(|line| (line.class, line.count))
            .collect();
        assert_eq!(counts, [("reset", 3), ("gone", 2)]);
    }
}
