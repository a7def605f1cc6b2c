//! A scripted end of a connection, and a scripted place to connect to.

use super::{Net, wires::End};

/// A listening socket in the hands of a test.
#[derive(Debug)]
pub struct Listener {
    pub(super) net: Net,
    pub(super) kernel: usize,
}

impl Listener {
    /// Takes the next connection that waits.
    pub fn accept(&self) -> Option<Peer> {
        let mut state = self.net.0.borrow_mut();
        let mut own = state.listeners.iter_mut();
        let own = own.find(|one| one.kernel == self.kernel)?;
        let socket = own.queue.pop_front()?;
        Some(Peer {
            net: self.net.clone(),
            socket,
        })
    }
}

/// One end of a connection in the hands of a test.
#[derive(Debug)]
pub struct Peer {
    pub(super) net: Net,
    pub(super) socket: u32,
}

impl Peer {
    /// Writes what the window takes and returns how much that was.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let mut state = self.net.0.borrow_mut();
        let other = state.sockets[self.socket as usize].other;
        let taken = state.room(other).min(bytes.len());
        state.sockets[other as usize]
            .inbound
            .extend(&bytes[..taken]);
        taken
    }

    /// Takes everything that has arrived.
    pub fn read(&self) -> Vec<u8> {
        let mut state = self.net.0.borrow_mut();
        state.sockets[self.socket as usize]
            .inbound
            .drain(..)
            .collect()
    }

    /// Whether something has arrived that was not read, or the end of the stream.
    pub fn is_readable(&self) -> bool {
        let state = self.net.0.borrow();
        let stream = &state.sockets[self.socket as usize];
        !stream.inbound.is_empty() || matches!(stream.end, Some(End::Fin | End::Reset))
    }

    /// Whether the other end has ended the stream and everything before that was read.
    pub fn has_ended(&self) -> bool {
        let state = self.net.0.borrow();
        let stream = &state.sockets[self.socket as usize];
        stream.inbound.is_empty() && stream.end.is_some()
    }

    /// Ends this end in order.
    pub fn close(&self) {
        self.net.0.borrow_mut().close(self.socket, false);
    }

    /// Ends this end with a reset.
    pub fn reset(&self) {
        self.net.0.borrow_mut().close(self.socket, true);
    }
}
