//! What an app may know of a connection beside its messages.

use std::{net::SocketAddr, time::Duration};

use crate::{
    ConnId, Time,
    conn::{Conn, Stage},
    io::Core,
};

/// One connection at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The other end's address.
    pub peer: SocketAddr,
    /// How long ago it was accepted or dialled, in steps of 10 ms.
    pub age: Duration,
    /// How long nothing has been heard of it, in steps of 10 ms.
    pub silence: Duration,
    /// Whether its WebSocket is open: heads are exchanged and nobody has said goodbye.
    pub is_open: bool,
    /// Bytes that it has still to be sent.
    pub outbox_bytes: u32,
    /// Frames that it has still to be sent.
    pub outbox_frames: usize,
}

impl View {
    pub(crate) fn of<M>(core: &Core<M>, id: ConnId, conn: &Conn, now: Time) -> Self {
        let now = now.stamp();
        Self {
            peer: core.v6_peers.address(id.index, conn.peer),
            age: conn.since.age(now),
            silence: conn.stamp.age(now),
            is_open: matches!(conn.stage, Stage::Open),
            outbox_bytes: conn.outbox.bytes(),
            outbox_frames: conn.outbox.len(),
        }
    }
}
