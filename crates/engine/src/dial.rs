//! Dialling: which way a connection takes to its server, and the connection that takes it.
//!
//! ```text
//!  TCP ──► a tunnel through a proxy, if asked ──► TLS, if asked ──► the upgrade
//! ```
//!
//! The way is given once, with the dial; what of it a connection needs later stands in tables beside, by slot,
//! until it was needed. All of it falls under [`Settings::handshake_timeout`](crate::Settings::handshake_timeout).

use std::net::SocketAddr;

use thiserror::Error;

use crate::{ConnId, Io, conn::Conn, tls::TlsClient, tunnel::Tunnel};

/// A connection to be made.
#[derive(Clone, Debug)]
pub struct Dial {
    source: SocketAddr,
    destination: SocketAddr,
    tunnel: Option<Tunnel>,
    tls: Option<(TlsClient, bool)>,
}

/// Why a dial was not even tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The shard holds as many connections as its settings allow.
    #[error("the shard holds {0} connections, as many as it may")]
    Full(u32),
}

/// A dial that waits for its turn.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) conn: ConnId,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

impl Dial {
    /// From an explicit source address and port to `destination`, which is the proxy's where there is one.
    pub const fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
            tunnel: None,
            tls: None,
        }
    }

    /// The destination is a proxy, and is asked for this tunnel first.
    #[must_use]
    pub fn through(mut self, tunnel: &Tunnel) -> Self {
        self.tunnel = Some(tunnel.clone());
        self
    }

    /// The server is spoken to with TLS, in the tunnel if there is one; a connection that comes back may take up an
    /// earlier session (`resumes`). What [`App::handle_connected`](crate::App::handle_connected) writes waits for
    /// the handshake.
    #[must_use]
    pub fn with_tls(mut self, client: &TlsClient, resumes: bool) -> Self {
        self.tls = Some((client.clone(), resumes));
        self
    }
}

impl<M: Send + 'static> Io<'_, M> {
    /// Dials. Failure, too, comes as [`App::handle_close`](crate::App::handle_close).
    ///
    /// # Errors
    ///
    /// The shard holds as many connections as it may.
    pub fn dial(&mut self, dial: Dial) -> Result<ConnId, DialError> {
        let core = self.core();
        if core.conns.len() >= core.settings.connections_max {
            return Err(DialError::Full(core.conns.len()));
        }
        let mut conn = Conn::dialled(dial.destination, core.now.stamp());
        conn.is_tls = dial.tls.is_some();
        let id = core.insert(conn, dial.destination);
        core.counters.conns.add(1);
        core.counters.dialled.add(1);
        if let Some(tunnel) = dial.tunnel {
            core.tunnels.insert(id.index, tunnel);
        }
        if let Some((client, resumes)) = dial.tls {
            core.tls.ask(id.index, client, resumes);
        }
        core.dials.push_back(Dialled {
            conn: id,
            source: dial.source,
            destination: dial.destination,
        });
        Ok(id)
    }
}
