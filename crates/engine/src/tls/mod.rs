//! TLS between the bytes of a socket and the WebSocket of a connection.
//!
//! ```text
//!   socket ──ciphertext──► Session ──plaintext──► heads and frames ► app
//!   socket ◄──one record── Session ◄──plaintext── outbox ◄────────── app
//! ```
//!
//! A connection that speaks TLS has its [`Session`] in a table beside the connections, by slot, so a plain one pays
//! nothing. A session owns no buffer while it is idle: what arrives is decrypted where the kernel put it, and an
//! outbox stays plaintext until its socket takes bytes. Then one record at a time is sealed, so the ciphertext that
//! waits for a peer is bounded ([`SEALED_BYTES_MAX`]), a broadcast stays shared, and what a slow peer does not read can
//! still be dropped from the outbox without a gap in the records.
//!
//! *Architecture invariant:* sessions know no socket, no shard and no WebSocket. Only the dialling end is here; a
//! server's sessions would stand in the same table.

mod client;
mod fault;
mod input;
mod session;
mod tickets;

pub use self::{
    client::{TlsClient, TlsIdentity, TlsOptions, TlsRoots, TlsSetupError},
    fault::TlsFault,
};
pub(crate) use self::{
    input::{handle_cut, read_records, start},
    session::Session,
};

/// Bytes of ciphertext that a session may have still to write: a record of the outbox, or what the handshake has to
/// say, with a client's certificates.
pub(crate) const SEALED_BYTES_MAX: usize = 128 * 1024;

/// What an idle TLS connection takes on the heap beside its connection: measured, the allocator's share and a server's
/// certificate of half a KiB included, which rustls keeps as long as the connection. The number is that of plans and
/// ledgers; `an_idle_session_takes_what_is_said` holds it.
pub const TLS_CONNECTION_BYTES: usize = capacity::plan::TLS_BYTES as usize;

/// The sessions of a shard, by the slots of their connections.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// As long as the highest slot that ever had one needs it.
    slots: Vec<Option<Layer>>,
}

/// What stands between a connection and its socket.
#[derive(Debug)]
enum Layer {
    /// TCP has not answered yet; whether an earlier session is to be taken up.
    Asked(TlsClient, bool),
    Session(Box<Session>),
}

impl Sessions {
    /// The connection in a slot will speak TLS.
    pub(crate) fn ask(&mut self, slot: u32, client: TlsClient, resumes: bool) {
        let slot = slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(Layer::Asked(client, resumes));
    }

    /// Begins the session that was asked for.
    fn begin(&mut self, slot: u32) -> Result<&mut Session, TlsFault> {
        let layer = self.slots.get_mut(slot as usize);
        let Some(layer @ Some(Layer::Asked(..))) = layer else {
            return Err(TlsFault::Broken("no session was asked for".to_owned()));
        };
        let Some(Layer::Asked(client, resumes)) = layer.take() else {
            unreachable!("it was looked at");
        };
        let session = Layer::Session(Box::new(Session::new(&client, resumes)?));
        match layer.insert(session) {
            Layer::Session(session) => Ok(session),
            Layer::Asked(..) => unreachable!("a session was put in"),
        }
    }

    /// The session of a connection, once it has begun.
    pub(crate) fn find(&mut self, slot: u32) -> Option<&mut Session> {
        match self.slots.get_mut(slot as usize)? {
            Some(Layer::Session(session)) => Some(session),
            _ => None,
        }
    }

    /// Whether a connection's session has still to write.
    pub(crate) fn has_unwritten(&self, slot: u32) -> bool {
        match self.slots.get(slot as usize) {
            Some(Some(Layer::Session(session))) => !session.sealed.is_empty(),
            _ => false,
        }
    }

    /// The connection is gone.
    pub(crate) fn remove(&mut self, slot: u32) {
        if let Some(layer) = self.slots.get_mut(slot as usize) {
            *layer = None;
        }
    }
}
