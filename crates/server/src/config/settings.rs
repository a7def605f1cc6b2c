//! Every setting of `fourtuple serve`, each declared here and nowhere else.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use capacity::ADMIN_CONNECTIONS;
use engine::KernelChoice;
use proto::{
    http,
    phoenix::{self, connect::ParamsLimits},
    ws,
};
use tracing::level_filters::LevelFilter;

use super::{
    admin_access::{AdminKey, AdminUser},
    admin_listen::{AdminAddress, AdminListen},
    check_origin::{CheckOrigin, Origins},
    collector::CollectorUrl,
    kind::{Address, Bytes, Choice, Count, List, Or, Span, Switch, Text},
    rule::{Rule, default_rules},
    setting::settings,
};

settings! {
    /// What an operator decided about a server.
    Config {
        /// The address and the port on which WebSockets are accepted.
        listen: SocketAddr = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 4000), Address;

        /// Where the socket is mounted; clients connect to this path followed by `/websocket`.
        path: String = "/socket".to_owned(), PATH;

        /// How many shards carry the connections, each a thread of its own.
        ///
        /// `"auto"` is one per core, and more where `limits.connections_max` needs more descriptors than
        /// these have.
        shards: Option<u16> = None,
            Or { kind: Count { min: 1, max: 1_024, unit: "shards" }, word: "auto" };

        /// What carries the connections: io_uring or epoll.
        ///
        /// `"auto"` is io_uring where this machine has all that is needed of it, else epoll; the server
        /// says at its start which it is, and why. With `"uring"` nothing starts where it cannot be had.
        kernel: KernelChoice = KernelChoice::Auto, Choice(&[
            ("auto", KernelChoice::Auto),
            ("epoll", KernelChoice::Epoll),
            ("uring", KernelChoice::Uring),
        ]);

        /// The host that this server is known by, which `check_origin = "host"` compares with.
        ///
        /// Without it the `Host` header of the request counts. A dashboard that is opened by https connects to it
        /// by `wss://`, so a proxy with TLS belongs there.
        host: Option<String> = None, Or { kind: HOST, word: "" };

        /// Which pages may connect, by the `Origin` header that browsers send.
        ///
        /// `"host"`: pages of this server's host, whatever their scheme and port. `"conn"`: pages
        /// whose scheme, host and port are those of the request. `"off"`: all. A list: pages that
        /// match one of its patterns, in which a missing part matches any. A request without the
        /// header passes: it is not from a browser.
        check_origin: CheckOrigin = CheckOrigin::Host, Origins;

        /// How long a client may take from the accept to an open WebSocket.
        handshake_timeout: Duration = Duration::from_secs(10), Span { min: MS, max: HOUR };

        /// How long a client may be silent before its connection is closed.
        ///
        /// Phoenix clients send a heartbeat every 30 seconds, so one may get lost. It is noticed a second late
        /// at most, or a twentieth of the time and a third of a second where that is more, up to 8.4 seconds.
        idle_timeout: Option<Duration> = Some(Duration::from_secs(60)),
            Or { kind: Span { min: Duration::from_millis(100), max: DAY }, word: "off" };

        /// How long a client may take to answer a close frame and to read what was sent before it.
        close_timeout: Duration = Duration::from_secs(5), Span { min: MS, max: HOUR };
    }

    /// The socket: what is known of a client before it joins anything.
    socket: Socket {
        /// The connect param whose text is the socket's id.
        ///
        /// All connections of one id can be closed at once, and `join = "socket_id"` compares with
        /// it. Whoever connects chooses it freely: it tells clients apart and proves nothing.
        id_param: Option<String> = None, Or { kind: PARAM, word: "" };

        /// Whether the token in the subprotocols of a connect request is accepted and answered.
        auth_token: bool = false, Switch;
    }

    /// What the server does between the first signal to end and its end.
    ///
    /// Connections are closed in batches with 1012, so that their clients come back one batch after
    /// the other. The defaults are those of Phoenix.
    drain: Drain {
        /// How many connections are closed at a time, over all shards.
        batch: u32 = 10_000, Count { min: 1, max: CONNECTIONS, unit: "connections" };

        /// How long to wait between two batches.
        interval: Duration = Duration::from_secs(2), Span { min: MS, max: HOUR };

        /// How long the whole may take; what is left near its end is closed at once.
        ///
        /// The last quarter, at most `close_timeout`, is for the goodbyes of those; what is open then
        /// is cut off.
        timeout: Duration = Duration::from_secs(30), Span { min: MS, max: DAY };
    }

    /// How much there may be of everything that clients could make too much of.
    limits: Limits {
        /// How many connections are held at once; the next is refused with status 503.
        ///
        /// `"auto"` is what fits into the descriptors of one process. For a number above that, each
        /// shard takes a table of descriptors of its own, and as many shards start as it takes.
        connections_max: Option<u32> = None,
            Or { kind: Count { min: 1, max: CONNECTIONS, unit: "connections" }, word: "auto" },
            flag "max-connections";

        /// How many connections are accepted in a second; the others wait in the backlog.
        connect_rate_max: Option<u32> = None,
            Or { kind: Count { min: 1, max: 10_000_000, unit: "per second" }, word: "off" };

        /// How long the head of a request may be.
        head_bytes_max: usize = 8 << 10, Bytes { min: 256, max: 1 << 20 };

        /// How many header lines a request may have.
        ///
        /// An upgrade has at least five.
        headers_max: usize = 100, Count { min: 5, max: 1_000, unit: "lines" };

        /// How long one WebSocket frame may be.
        ///
        /// `"auto"` is as long as a message.
        frame_bytes_max: Option<u64> = None,
            Or { kind: Bytes { min: 125, max: 1 << 30 }, word: "auto" };

        /// How long a message may be, over all its frames.
        message_bytes_max: u64 = 1 << 20, Bytes { min: 1 << 10, max: 1 << 30 };

        /// How many frames a message may come in.
        fragments_max: u32 = 1_024, Count { min: 1, max: 1_000_000, unit: "frames" };

        /// How many channels a connection may have joined at once.
        ///
        /// The default is the same as in Phoenix. The range ends where it does because every message
        /// looks for its channel among those of its connection, one after the other.
        channels_per_socket_max: usize = 100, Count { min: 1, max: 10_000, unit: "channels" };

        /// How long the name of a topic may be.
        ///
        /// Its length is one byte in the binary format, and the heartbeat's topic has 7.
        topic_bytes_max: u8 = 255, Bytes { min: 7, max: 255 };

        /// How long the name of an event may be.
        ///
        /// Its length is one byte in the binary format, and the heartbeat's event has 9.
        event_bytes_max: u8 = 255, Bytes { min: 9, max: 255 };

        /// How much a connection may have still to write; who reads slower is closed with 4008.
        ///
        /// Each frame counts 64 bytes more than its length, and one frame alone is never too much.
        outbox_bytes_max: u32 = 1 << 20, Bytes { min: 1 << 10, max: 1 << 30 };

        /// How many messages of other shards may wait for a shard.
        mailbox_max: usize = 4_096, Count { min: 16, max: 1 << 24, unit: "messages" };

        /// How many connections may wait to be accepted, on each shard.
        ///
        /// The kernel takes the lower of this and `net.core.somaxconn`. When there are more shards than cores,
        /// no more wait at one than it has room for.
        backlog: i32 = 65_535, Count { min: 1, max: 1 << 24, unit: "connections" };

        /// How many params a connect request may have.
        ///
        /// The range ends where it does because each name is compared with those before it.
        params_pairs_max: usize = 128, Count { min: 1, max: 1_000, unit: "pairs" };

        /// How deep the params of a connect request may be nested.
        params_depth_max: u8 = 8, Count { min: 1, max: 64, unit: "levels" };
    }

    /// The control plane: dashboard, metrics and HTTP API, on a listener of its own.
    admin: Admin {
        /// Where the control plane listens.
        ///
        /// `"auto"` is 127.0.0.1:4001 or, where another program has that, any free port of 127.0.0.1; the
        /// server says at its start which it is. `"off"`: there is none.
        listen: AdminListen = AdminListen::Auto, AdminAddress;

        /// How many connections the control plane holds at once, each viewer of the dashboard being one.
        ///
        /// The next waits until another has ended. What the server can hold is counted without the descriptors of
        /// these.
        connections_max: u16 = ADMIN_CONNECTIONS, Count { min: 4, max: 10_000, unit: "connections" };

        /// How many of these connections one client address may hold; more are closed at once.
        ///
        /// `"auto"` is a quarter of `admin.connections_max`, and for loopback addresses no limit of their own:
        /// every program of this machine has one, and through a proxy on it everybody has. A number counts for
        /// all addresses. A network of IPv6 of 64 bits counts as one address.
        connections_per_address_max: Option<u16> = None,
            Or { kind: Count { min: 1, max: 10_000, unit: "connections" }, word: "auto" };

        /// How long a client may take to send the head of a request, and then the beginning of its body.
        ///
        /// A connection that waits for its next request is closed after the same time. A body has to keep coming
        /// with 16 KiB a second after it.
        request_timeout: Duration = Duration::from_secs(10),
            Span { min: Duration::from_millis(100), max: HOUR };

        /// How long a client may take nothing of an answer or of a stream of events.
        write_timeout: Duration = Duration::from_secs(30),
            Span { min: Duration::from_millis(100), max: HOUR };

        /// How long the body of a request may be.
        ///
        /// A batch of messages is one body. Each of the connections may have one in memory.
        body_bytes_max: usize = 1 << 20, Bytes { min: 1 << 10, max: 1 << 26 };

        /// The certificate of the control plane in PEM, followed by those that lead to its root.
        ///
        /// With it and `admin.tls_key` the control plane speaks HTTPS alone. When either file changes, both
        /// are read again; what cannot be used is said, and the old certificate stays.
        tls_cert: Option<String> = None, Or { kind: FILE, word: "" };

        /// The private key of `admin.tls_cert` in PEM.
        tls_key: Option<String> = None, Or { kind: FILE, word: "" };

        /// Names that the control plane is known by, besides those of this machine.
        ///
        /// Without keys and users only requests to `localhost`, to a loopback address and to these names are
        /// answered, so that no page in a browser gets in by a name that leads to 127.0.0.1. With keys or
        /// users every name counts, unless there are some here.
        hosts: Option<Vec<String>> = None, Or { kind: HOSTS, word: "" };

        /// Which pages of other sites may use the API, by the `Origin` header that browsers send.
        ///
        /// They need a key like anyone else.
        cors_origins: Option<Vec<String>> = None, Or { kind: CORS_ORIGINS, word: "" };

        /// Where metrics and traces of the control plane are sent as OTLP over HTTP, `""` for nowhere.
        ///
        /// Metrics go there every 15 seconds. Needs a server that was built with the feature `otel`, and
        /// `admin.listen` not to be off.
        otlp_endpoint: Option<String> = None, Or { kind: CollectorUrl, word: "" };

        tables {
            /// The keys of programs, `[[admin.key]]` in the file.
            keys: AdminKey;

            /// The users of the dashboard, `[[admin.user]]` in the file.
            users: AdminUser;
        }
    }

    /// What the server says of itself while it runs.
    log: Log {
        /// How much is said.
        level: LevelFilter = LevelFilter::INFO, Choice(&[
            ("off", LevelFilter::OFF),
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
        ]);

        /// For whom: text for people, JSON for programs.
        format: LogFormat = LogFormat::Text,
            Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    }

    list {
        /// The rules of the built-in channel, `[[channel]]` in the file; the first that matches a
        /// topic counts.
        channels: Vec<Rule> = default_rules();
    }
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Limits {
    /// The limits of a WebSocket.
    pub fn ws(&self) -> ws::Limits {
        ws::Limits {
            frame_bytes_max: self.frame_bytes_max.unwrap_or(self.message_bytes_max),
            message_bytes_max: self.message_bytes_max,
            fragments_max: self.fragments_max,
        }
    }

    /// The limits of a request's head.
    pub fn http(&self) -> http::Limits {
        http::Limits {
            head_bytes_max: self.head_bytes_max,
            headers_max: self.headers_max,
        }
    }

    /// The limits of names in a Phoenix message.
    pub fn names(&self) -> phoenix::Limits {
        phoenix::Limits {
            topic_bytes_max: self.topic_bytes_max,
            event_bytes_max: self.event_bytes_max,
            ..phoenix::Limits::default()
        }
    }

    /// The limits of connect params.
    pub fn params(&self) -> ParamsLimits {
        ParamsLimits {
            pairs_max: self.params_pairs_max,
            depth_max: self.params_depth_max,
        }
    }
}

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// More than any machine has memory for, and an index of a connection has 32 bits.
const CONNECTIONS: u32 = 1_000_000_000;

const PATH: Text = Text {
    placeholder: "PATH",
    expected: "a path of 1 to 255 bytes that begins with /, such as \"/socket\"",
    allows: |text| {
        // What RFC 3986 §3.3 lets stand in a path as it is.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b);
        text.starts_with('/') && text.len() <= 255 && text.bytes().all(plain)
    },
};

const HOST: Text = Text {
    placeholder: "HOST",
    expected: "a host name or an IP address without scheme and port, such as \"example.com\"",
    allows: |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        let v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
        (1..=253).contains(&text.len()) && text.bytes().all(plain) && (v6 || !text.contains(':'))
    },
};

const PARAM: Text = Text {
    placeholder: "NAME",
    expected: "the name of a param, 1 to 255 bytes",
    allows: |text| {
        let strange =
            |c: char| c.is_control() || matches!(c, '[' | ']' | char::REPLACEMENT_CHARACTER);
        (1..=255).contains(&text.len()) && !text.contains(strange)
    },
};

const FILE: Text = Text {
    placeholder: "FILE",
    expected: "the path of a PEM file",
    allows: |text| {
        let strange = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        (1..=4_096).contains(&text.len()) && !text.contains(strange)
    },
};

const HOSTS: List = List {
    item: HOST,
    items_max: 100,
};

const CORS_ORIGINS: List = List {
    item: Text {
        placeholder: "ORIGIN",
        expected: "a scheme, a host and maybe a port as browsers send them, such as \"https://ops.example.com\"",
        // RFC 6454 §6.2: in lower case, without the port that the scheme has anyway, and without a path.
        allows: |text| {
            let plain =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:[]".contains(&b);
            let authority = text
                .strip_prefix("https://")
                .or_else(|| text.strip_prefix("http://"));
            authority.is_some_and(|host| (1..=253).contains(&host.len()) && host.bytes().all(plain))
        },
    },
    items_max: 100,
};
