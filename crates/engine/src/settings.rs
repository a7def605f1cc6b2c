//! What an operator decided about connections, as values that the engine can trust.

use std::{sync::Arc, time::Duration};

use capacity::Tables;
use proto::{http, ws};

use crate::{AcceptRate, KernelChoice, Steering, TcpPressure};

/// The limits and deadlines of every connection of one shard.
///
/// The engine takes them as they are; whoever reads them from an operator checks the ranges.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a peer's frames and messages may cost.
    pub ws: ws::Limits,
    /// What a head may cost.
    pub http: http::Limits,
    /// From accept (or connect) to an open WebSocket.
    pub handshake_timeout: Duration,
    /// Close a connection from which nothing arrived for this long; `None` waits for ever.
    pub idle_timeout: Option<Duration>,
    /// From the first word of a goodbye to the end of the socket.
    pub close_timeout: Duration,
    /// Bytes that a connection may have still to write, each frame counting 64 more than its length. One
    /// byte more, unless it is all one frame, while its socket takes nothing: a slow consumer.
    pub outbox_bytes_max: u32,
    /// Connections of this shard, in all phases.
    pub connections_max: u32,
    /// How fast connections are accepted, by all shards that share it; `None` is as fast as they can.
    pub accept_rate: Option<Arc<AcceptRate>>,
    /// The length of the accept queue asked of the kernel (`listen(2)`; `net.core.somaxconn` caps it). With
    /// [`Settings::steering`], no more may wait than the shard has seats for.
    pub backlog: i32,
    /// Messages that may wait in this shard's mailbox.
    pub mailbox_max: usize,
    /// When writing waits for the machine's TCP memory; `None` is never.
    pub tcp_pressure: Option<Arc<TcpPressure>>,
    /// How new connections are led to few shards at a time; `None` spreads them over all.
    pub steering: Option<Arc<Steering>>,
    /// What the shards are carried by.
    pub kernel: KernelChoice,
    /// Whether each shard takes a descriptor table of its own, so that `RLIMIT_NOFILE` bounds a shard and
    /// not the process ([`KernelInUse::tables`](crate::KernelInUse::tables) says whether it can). On
    /// io_uring connections are in the ring's table whatever this says.
    ///
    /// Code that runs in such a shard may use what was open before the shards were started and what it
    /// has opened itself. A descriptor that another thread opened later means nothing there, or something
    /// else: do not use one. So leave this off unless one table is too small.
    pub tables: Tables,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ws: ws::Limits {
                frame_bytes_max: 1 << 20,
                message_bytes_max: 1 << 20,
                fragments_max: 1_024,
            },
            http: http::Limits {
                head_bytes_max: 8_192,
                headers_max: 100,
            },
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Some(Duration::from_secs(60)),
            close_timeout: Duration::from_secs(5),
            outbox_bytes_max: 1 << 20,
            connections_max: 1 << 20,
            accept_rate: None,
            backlog: 65_535,
            mailbox_max: 4_096,
            tcp_pressure: None,
            steering: None,
            kernel: KernelChoice::Auto,
            tables: Tables::PerProcess,
        }
    }
}
