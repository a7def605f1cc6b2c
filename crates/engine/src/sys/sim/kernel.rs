//! One shard's view of the simulated network: the seam of [`sys`](crate::sys), kept.

use std::net::SocketAddr;

use proto::Frame;
use rustix::io::Errno;

use super::{
    Net,
    wires::{End, Ready},
};
use crate::{
    ConnId, Time,
    sys::{Completion, Received, Socket, Sockets, Submission, Waiting, Wanted},
};

/// One shard's kernel on a simulated network.
#[derive(Debug)]
pub struct SimKernel {
    pub(super) net: Net,
    pub(super) index: usize,
    pub(super) ready: Vec<Ready>,
    pub(super) buffer: Vec<u8>,
}

impl SimKernel {
    pub(crate) fn now(&self) -> Time {
        self.net.now()
    }

    pub(crate) fn set_accepting(&self, accepting: bool) {
        for listening in self.net.0.borrow_mut().listeners.iter_mut() {
            if listening.kernel == self.index {
                listening.accepting = accepting;
            }
        }
    }

    pub(crate) fn stop_listening(&self) {
        let mut state = self.net.0.borrow_mut();
        let mut waiting = Vec::new();
        for listening in state.listeners.iter_mut() {
            if listening.kernel == self.index {
                listening.open = false;
                waiting.extend(listening.queue.drain(..));
            }
        }
        for socket in waiting {
            state.close(socket, true);
        }
    }

    pub(crate) fn attach(&self, conn: ConnId, socket: &Socket) -> Result<(), Errno> {
        let mut state = self.net.0.borrow_mut();
        let stream = &mut state.sockets[index(socket) as usize];
        stream.kernel = Some(self.index);
        stream.conn = Some(conn);
        Ok(())
    }

    pub(crate) fn connect(
        &self,
        conn: ConnId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Socket, Errno> {
        let mut state = self.net.0.borrow_mut();
        let socket = match state.dial(source, destination) {
            Ok(socket) => socket,
            Err(Errno::CONNREFUSED) => {
                let lone = state.lone(source, destination);
                state.sockets[lone as usize].dialled = Some(Err(Errno::CONNREFUSED));
                lone
            }
            Err(errno) => return Err(errno),
        };
        let stream = &mut state.sockets[socket as usize];
        stream.kernel = Some(self.index);
        stream.conn = Some(conn);
        stream.dialled = stream.dialled.or(Some(Ok(())));
        Ok(Socket::Sim(socket))
    }

    pub(crate) fn send(
        &self,
        _: ConnId,
        socket: &Socket,
        frames: &[Frame],
        skip: usize,
    ) -> Submission {
        let id = index(socket);
        let mut state = self.net.0.borrow_mut();
        if state.suffers(|faults| faults.reset) {
            state.reset_both(id);
        }
        if state.sockets[id as usize].end == Some(End::Reset) {
            return Submission::Failed(Errno::CONNRESET);
        }
        let other = state.sockets[id as usize].other;
        if state.sockets[other as usize].closed {
            return Submission::Failed(Errno::PIPE);
        }
        let bytes = frames.iter().flat_map(|frame| frame.as_bytes()).skip(skip);
        let total = frames.iter().map(Frame::len).sum::<usize>() - skip;
        let room = state.room(other);
        if room == 0 && state.suffers(|faults| faults.late_write) {
            state.sockets[id as usize].is_finding_no_room = true;
            return Submission::Pending {
                held: frames.len() as u8,
            };
        }
        if room == 0 {
            state.sockets[id as usize].late = Some(0);
            return Submission::Pending { held: 0 };
        }
        let mut taken = total.min(room);
        if state.suffers(|faults| faults.short_write) {
            taken = state.random.usize(1..=taken);
        }
        state.sockets[other as usize]
            .inbound
            .extend(bytes.take(taken));
        if state.suffers(|faults| faults.late_write) {
            state.sockets[id as usize].late = Some(taken);
            return Submission::Pending {
                held: frames.len() as u8,
            };
        }
        Submission::Done(taken)
    }

    pub(crate) fn shutdown(&self, socket: &Socket) {
        let mut state = self.net.0.borrow_mut();
        let other = state.sockets[index(socket) as usize].other;
        let other = &mut state.sockets[other as usize];
        other.end = other.end.or(Some(End::Fin));
    }

    pub(crate) fn close(&self, socket: Socket, abort: bool) {
        self.net.0.borrow_mut().close(index(&socket), abort);
    }

    /// Collects what is ready, in an order that the seed decides.
    pub(crate) fn wait(&mut self) {
        let mut state = self.net.0.borrow_mut();
        let mut ready = state.ready(self.index);
        ready.retain(|_| !state.suffers(|faults| faults.delay));
        state.random.shuffle(&mut ready);
        self.ready = ready;
    }

    pub(crate) fn next(
        &mut self,
        wanted: Wanted,
        sockets: &impl Sockets,
    ) -> Option<Completion<'_>> {
        while let Some(ready) = self.ready.pop() {
            let mut state = self.net.0.borrow_mut();
            let id = match ready {
                Ready::Listener(_) if wanted == Wanted::Answers => continue,
                Ready::Listener(listener) => match state.accept(listener) {
                    Some(completion) => return Some(completion),
                    None => continue,
                },
                Ready::Stream(id) => id,
            };
            let Some(conn) = state.sockets[id as usize].conn else {
                continue;
            };
            let Some((_, waiting)) = sockets.socket(conn) else {
                continue;
            };
            if let Some(result) = state.sockets[id as usize].dialled.take() {
                debug_assert_eq!(waiting, Waiting::Connect, "a dial is reported once");
                return Some(Completion::Connected { conn, result });
            }
            if std::mem::take(&mut state.sockets[id as usize].is_finding_no_room) {
                state.sockets[id as usize].late = Some(0);
                return Some(Completion::Blocked { conn });
            }
            if let Some(sent) = state.take_late(id) {
                return Some(Completion::Sent {
                    conn,
                    result: Ok(sent),
                });
            }
            if wanted == Wanted::Answers {
                continue;
            }
            if state.suffers(|faults| faults.reset) {
                state.reset_both(id);
            }
            self.buffer.clear();
            match state.receive(id, &mut self.buffer) {
                Some(Ok(())) => {
                    let what = Received::Bytes(&mut self.buffer);
                    return Some(Completion::Received { conn, what });
                }
                Some(Err(End::Fin)) => {
                    return Some(Completion::Received {
                        conn,
                        what: Received::End,
                    });
                }
                Some(Err(_)) => {
                    let what = Received::Failed(Errno::CONNRESET);
                    return Some(Completion::Received { conn, what });
                }
                None => {}
            }
        }
        None
    }
}

fn index(socket: &Socket) -> u32 {
    match socket {
        Socket::Sim(index) => *index,
        Socket::Fd(_) | Socket::Direct(_) => unreachable!("a real socket in a simulated kernel"),
    }
}
