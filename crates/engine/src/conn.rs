//! One connection: its socket, its WebSocket endpoint, what it has still to write, and how far it is.
//!
//! ```text
//!  dialled ──► Dialling ──connected──► Greeting ──101──► Open ──goodbye──► Closing ──► Lingering ──► gone
//!  through a proxy it greets twice: the proxy, and then the server
//!  accepted ─────────────────────────► Greeting ──refused──────────────────────────► Lingering
//! ```
//!
//! The app knows a connection until it leaves `Open` (or never reaches it); *Closing* waits for the
//! peer's close frame, *Lingering* only for the last bytes to leave and the stream to end.

use std::{net::SocketAddr, time::Duration};

use proto::ws::{Endpoint, Role};

use crate::{
    ConnId, Phase, Settings,
    greeting::{Awaits, Greeting},
    outbox::Outbox,
    peer::Peer,
    slab::Slab,
    sys::{Socket, Sockets, Waiting},
    time::Stamp,
};

/// What the engine keeps per connection; the largest part of what an idle one costs.
#[derive(Debug)]
pub(crate) struct Conn {
    /// 32 bytes, none on the heap while there is nothing to write.
    pub(crate) outbox: Outbox,
    /// 16 bytes, none on the heap while no frame is incomplete.
    pub(crate) endpoint: Endpoint,
    /// 16 bytes, none on the heap once open.
    pub(crate) stage: Stage,
    /// 8 bytes; `None` while a dial waits for its turn.
    pub(crate) socket: Option<Socket>,
    /// 4 bytes: when the stage began or, while open, when the peer was last heard.
    pub(crate) stamp: Stamp,
    /// 4 bytes: when the connection began.
    pub(crate) since: Stamp,
    /// 8 bytes: the other end's address.
    pub(crate) peer: Peer,
    /// Which end this is.
    pub(crate) origin: Origin,
    /// Whether the connection stands in the shard's list of outboxes to write.
    pub(crate) dirty: bool,
    /// Whether a send is pending.
    pub(crate) sending: bool,
    /// How many frames of the outbox the kernel holds for it; of the session's, where there is one.
    pub(crate) held: u8,
    /// Whether a session of TLS stands between the connection and its socket.
    pub(crate) is_tls: bool,
}

const _: () = assert!(size_of::<Conn>() == 96);

/// What an idle connection takes in the engine, all of it in its slab. An IPv6 peer's address stands in a
/// table beside, at about 40 bytes more.
pub const CONNECTION_BYTES: usize = 104;

const _: () = assert!(Slab::<Conn>::SLOT_BYTES == CONNECTION_BYTES);

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Accepted,
    Dialled,
}

/// How far the connection is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// TCP has not answered yet.
    Dialling,
    /// The heads are not exchanged yet; `None` while the app looks at a whole one.
    Greeting(Option<Box<Greeting>>),
    Open,
    /// A close frame is on its way out; the peer's is awaited.
    Closing,
    /// Nothing more is said; what arrives is thrown away.
    Lingering {
        /// End the socket once all is written, instead of waiting for the peer to end it.
        hang_up: bool,
        /// Whether the peer was told that nothing more comes.
        shut: bool,
    },
}

impl Conn {
    /// Drops what has not started to go out and is not in the kernel's hands.
    pub(crate) fn drop_unsent(&mut self) {
        // With TLS a kernel holds records, and never a frame.
        let held = if self.is_tls { 0 } else { self.held };
        self.outbox.drop_unsent(held.into());
    }

    pub(crate) fn accepted(
        socket: Socket,
        peer: SocketAddr,
        greeting: Greeting,
        stamp: Stamp,
    ) -> Self {
        let stage = Stage::Greeting(Some(Box::new(greeting)));
        Self::new(Some(socket), peer, Origin::Accepted, stage, stamp)
    }

    pub(crate) fn dialled(peer: SocketAddr, stamp: Stamp) -> Self {
        Self::new(None, peer, Origin::Dialled, Stage::Dialling, stamp)
    }

    fn new(
        socket: Option<Socket>,
        peer: SocketAddr,
        origin: Origin,
        stage: Stage,
        stamp: Stamp,
    ) -> Self {
        let role = match origin {
            Origin::Accepted => Role::Server,
            Origin::Dialled => Role::Client,
        };
        Self {
            outbox: Outbox::default(),
            endpoint: Endpoint::new(role),
            stage,
            socket,
            stamp,
            since: stamp,
            peer: Peer::of(peer),
            origin,
            dirty: false,
            sending: false,
            held: 0,
            is_tls: false,
        }
    }

    /// Which head the connection waits for.
    pub(crate) fn awaits(&self) -> Option<&Awaits> {
        match &self.stage {
            Stage::Greeting(Some(greeting)) => Some(&greeting.awaits),
            _ => None,
        }
    }

    /// Whether a proxy has still to grant the tunnel to the server.
    pub(crate) fn awaits_tunnel(&self) -> bool {
        matches!(self.awaits(), Some(Awaits::Tunnel(_)))
    }

    /// How far the connection has come, as long as the app knows it.
    pub(crate) fn phase_known_to_app(&self) -> Option<Phase> {
        match (&self.stage, self.origin) {
            (Stage::Dialling, _) => Some(Phase::Connecting),
            (Stage::Greeting(_), _) if self.awaits_tunnel() => Some(Phase::Connecting),
            (Stage::Greeting(_), Origin::Dialled) => Some(Phase::Handshaking),
            (Stage::Greeting(_), Origin::Accepted) => None,
            (Stage::Open, _) => Some(Phase::Open),
            (Stage::Closing | Stage::Lingering { .. }, _) => None,
        }
    }

    /// Whether the stage has lasted longer than it may.
    pub(crate) fn is_overdue(&self, now: Stamp, settings: &Settings) -> bool {
        let allowed = match self.stage {
            Stage::Dialling | Stage::Greeting(_) => settings.handshake_timeout,
            Stage::Open => settings.idle_timeout.unwrap_or(Duration::MAX),
            Stage::Closing | Stage::Lingering { .. } => settings.close_timeout,
        };
        self.stamp.age(now) > allowed
    }
}

impl Sockets for Slab<Conn> {
    fn socket(&self, conn: ConnId) -> Option<(&Socket, Waiting)> {
        let conn = self.get(conn)?;
        let waiting = match conn.stage {
            Stage::Dialling => Waiting::Connect,
            _ => Waiting::Data,
        };
        Some((conn.socket.as_ref()?, waiting))
    }
}
