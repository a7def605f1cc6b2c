//! What arrives on a connection that speaks TLS, and what becomes of it when that fails.

use super::TlsFault;
use crate::{
    App, Cause, ConnId,
    conn::{Origin, Stage},
    input,
    io::Core,
    outbox::Outbox,
};

/// Plaintext of one turn for which a shard keeps room; what a kernel hands over at once is little more.
const PLAIN_BYTES_KEPT: usize = 64 * 1024;

/// Begins the handshake of a connection that TCP has answered; `false` when there is none to begin.
pub(crate) fn start<M: Send + 'static>(core: &mut Core<M>, id: ConnId) -> bool {
    let begun = core.tls.begin(id.index).map(drop);
    match begun {
        Ok(()) => {
            core.touch(id);
            true
        }
        Err(fault) => {
            core.remove(id, Cause::Tls(fault), false);
            false
        }
    }
}

/// Bytes came out of the socket of a connection that speaks TLS.
pub(crate) fn read_records<A: App>(
    core: &mut Core<A::Mail>,
    app: &mut A,
    id: ConnId,
    arrived: &mut [u8],
) {
    let Some(session) = core.tls.find(id.index) else {
        return;
    };
    let was_open = session.is_open();
    // Out of the shard while the app reads it.
    let mut plain = std::mem::take(&mut core.plain);
    let heard = session.read(arrived, &mut plain);
    let has_opened = session.is_open() && !was_open;
    if has_opened {
        core.counters.tls_handshakes.add(1);
        core.counters
            .tls_resumed
            .add(u64::from(session.is_resumed()));
    }
    // An upgrade request has waited for the handshake.
    if has_opened || !session.sealed.is_empty() {
        core.touch(id);
    }
    if !plain.is_empty() {
        input::handle_plain(core, app, id, &mut plain);
    }
    plain.clear();
    plain.shrink_to(PLAIN_BYTES_KEPT);
    core.plain = plain;
    match heard {
        Ok(false) => {}
        // The end of the stream follows, and the peer is let end it first.
        Ok(true) => end(core, id, Cause::PeerGone),
        Err(fault) => {
            if let Some(conn) = core.conns.get_mut(id) {
                // Nothing can be sealed any more.
                conn.outbox = Outbox::default();
            }
            end(core, id, Cause::Tls(fault));
        }
    }
}

/// Lets the session's last words leave, and waits for the peer to end the stream.
fn end<M: Send + 'static>(core: &mut Core<M>, id: ConnId, cause: Cause) {
    match core.conns.get(id).map(|conn| &conn.stage) {
        None | Some(Stage::Lingering { .. }) => {}
        Some(_) => core.linger(id, cause),
    }
    core.touch(id);
}

/// What it means that a peer has ended the stream.
pub(crate) fn handle_cut<M: Send + 'static>(core: &mut Core<M>, id: ConnId) -> Cause {
    let is_tls = core
        .conns
        .get(id)
        .is_some_and(|conn| conn.is_tls && conn.origin == Origin::Dialled);
    let is_open = |session: &mut super::Session| session.is_open();
    if is_tls && !core.tls.find(id.index).is_some_and(is_open) {
        Cause::Tls(TlsFault::Cut)
    } else {
        Cause::PeerGone
    }
}
