//! What an app may do, and the state of a shard that it does it to.
//!
//! Nothing here touches a kernel: an app's wishes change tables and lists, and the reactor's next
//! steps carry them out. So an input never causes a write directly.

use std::{collections::VecDeque, net::SocketAddr, ops::Range, sync::Arc, time::Duration};

use proto::{
    Frame,
    ws::{self, CloseCode, handshake::ClientKey},
};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    Cause, Closed, ConnId, Counters, Phase, Remote, Settings, ShardIndex, Time,
    conn::{Conn, Origin, Stage},
    delayed::Delayed,
    dial::Dialled,
    peer::V6Peers,
    slab::Slab,
    sys::Socket,
    tls::Sessions,
    tunnel::Tunnels,
    view::View,
};

/// An app's hands: everything it may ask of its shard while it handles something.
#[derive(Debug)]
pub struct Io<'a, M> {
    core: &'a mut Core<M>,
}

/// Frames that a shard queues before it writes. What one input causes is queued whole, so this plus the
/// members of one topic is what the outboxes of a shard hold beyond what their peers do not take.
const FRAMES_QUEUED_MAX: usize = 16_384;

/// A shard without its kernel and its app.
#[derive(Debug)]
pub(crate) struct Core<M> {
    pub(crate) settings: Settings,
    pub(crate) counters: Arc<Counters>,
    pub(crate) conns: Slab<Conn>,
    pub(crate) v6_peers: V6Peers,
    pub(crate) tls: Sessions,
    pub(crate) tunnels: Tunnels,
    /// Room for what is decrypted, reused; empty between two inputs.
    pub(crate) plain: Vec<u8>,
    /// Connections with something to write, each once.
    pub(crate) dirty: Vec<ConnId>,
    /// Dials to carry out.
    pub(crate) dials: VecDeque<Dialled>,
    /// Ends that the app has still to hear of.
    pub(crate) closed: VecDeque<(ConnId, Closed)>,
    /// Sockets to end, and whether with a reset.
    pub(crate) gone: Vec<(Socket, bool)>,
    /// While there is any, the shard reads from no socket, so that the load which makes it comes to a
    /// stop at its source.
    pub(crate) delayed: Delayed<M>,
    /// Whether to write before anything else is taken up: an outbox is over its limit that was not tried
    /// to be written yet, or there is much to write in all.
    pub(crate) must_write: bool,
    /// Frames queued since the last write step began.
    pub(crate) frames_queued: usize,
    pub(crate) now: Time,
    pub(crate) tick_at: Option<Time>,
    pub(crate) accepting: bool,
    pub(crate) listening: bool,
    pub(crate) stopping: bool,
    /// Whether the app wants to hear when all that is queued was written.
    pub(crate) tells_written: bool,
    pub(crate) shard: ShardIndex,
    pub(crate) remote: Remote<M>,
    random: fastrand::Rng,
}

impl<'a, M: Send + 'static> Io<'a, M> {
    pub(crate) const fn new(core: &'a mut Core<M>) -> Self {
        Self { core }
    }

    pub(crate) const fn core(&mut self) -> &mut Core<M> {
        self.core
    }

    /// Queues whole WebSocket frames for an open connection; for any other it does nothing.
    ///
    /// A connection whose outbox is over `outbox_bytes_max` while its socket takes nothing is closed as
    /// a slow consumer ([`CloseCode::SLOW_CONSUMER`]), and what it had still to read is dropped. One
    /// frame always fits into an empty outbox.
    pub fn send(&mut self, conn: ConnId, frame: Frame) {
        self.core.send(conn, frame);
    }

    /// Says goodbye with a close frame and waits for the peer's, up to `close_timeout`. The app hears
    /// of the end at once, with [`Cause::Local`]. A connection that is not open yet is dropped.
    pub fn close(&mut self, conn: ConnId, code: CloseCode, reason: &str) {
        self.core
            .say_goodbye(conn, code, reason, Cause::Local(code));
    }

    /// Drops a connection with a reset: no close frame, no `TIME_WAIT`.
    pub fn abort(&mut self, conn: ConnId) {
        self.core.remove(conn, Cause::Aborted, true);
    }

    /// Sends mail to a shard of this process, this one included; per sender, mail keeps its order.
    pub fn post(&mut self, shard: ShardIndex, mail: M) {
        self.core.post(shard, mail);
    }

    /// The moment the current input was taken up.
    pub const fn now(&self) -> Time {
        self.core.now
    }

    /// Asks for [`App::handle_tick`](crate::App::handle_tick) at `time`, or earlier if an earlier tick
    /// was asked for already. One tick answers all requests.
    pub fn tick_at(&mut self, time: Time) {
        self.core.tick_at = Some(self.core.tick_at.map_or(time, |earlier| earlier.min(time)));
    }

    /// This shard.
    pub const fn shard(&self) -> ShardIndex {
        self.core.shard
    }

    /// How many shards the process has.
    pub fn shards_count(&self) -> u16 {
        self.core.remote.shards_count()
    }

    /// Connections of this shard, in all phases, those that are saying goodbye included.
    pub const fn conns_count(&self) -> u32 {
        self.core.conns.len()
    }

    /// Pauses or resumes accepting; new connections wait in the kernel's accept queue meanwhile.
    pub const fn set_accepting(&mut self, accepting: bool) {
        self.core.accepting = accepting;
    }

    /// Closes the listening socket: from here on the machine refuses new connections.
    pub const fn stop_listening(&mut self) {
        self.core.listening = false;
    }

    /// Ends the shard after this turn; connections that are left are dropped.
    pub const fn stop(&mut self) {
        self.core.stopping = true;
    }

    /// A fresh masking key for a client's frame, unpredictable to the server's operator as RFC 6455
    /// §5.3 asks for browsers' sake; not for secrets.
    pub fn mask(&mut self) -> [u8; 4] {
        self.core.random.u32(..).to_ne_bytes()
    }

    /// A fresh key for a client's upgrade request (RFC 6455 §4.1); as unpredictable as [`Io::mask`].
    pub fn client_key(&mut self) -> ClientKey {
        let mut random = [0; 16];
        for bytes in random.chunks_exact_mut(4) {
            bytes.copy_from_slice(&self.mask());
        }
        ClientKey::new(random)
    }

    /// What is known of a connection; none when it is gone.
    pub fn view(&self, conn: ConnId) -> Option<View> {
        let found = self.core.conns.get(conn)?;
        Some(View::of(self.core, conn, found, self.core.now))
    }

    /// The connections in a range of places of the shard's table, of which there are
    /// [`Io::places_count`]; each connection keeps its place, the index of its id.
    pub fn views(&self, places: Range<u32>) -> impl Iterator<Item = (ConnId, View)> {
        let core = &*self.core;
        places.filter_map(move |place| {
            let (id, conn) = core.conns.at(place)?;
            Some((id, View::of(core, id, conn, core.now)))
        })
    }

    /// How many places the shard's table has, taken or free.
    pub fn places_count(&self) -> u32 {
        self.core.conns.slots()
    }

    /// How much CPU the shard's thread has used; `man 2 clock_gettime`, `CLOCK_THREAD_CPUTIME_ID`.
    pub fn cpu_time(&self) -> Duration {
        let spec = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            u64::try_from(spec.tv_sec).unwrap_or(0),
            u32::try_from(spec.tv_nsec).unwrap_or(0),
        )
    }

    /// Asks for [`App::handle_written`](crate::App::handle_written), once.
    pub const fn tell_written(&mut self) {
        self.core.tells_written = true;
    }

    /// The shard's settings.
    pub const fn settings(&self) -> &Settings {
        &self.core.settings
    }
}

impl<M: Send + 'static> Core<M> {
    pub(crate) fn new(
        settings: Settings,
        shard: ShardIndex,
        remote: Remote<M>,
        counters: Arc<Counters>,
        seed: u64,
    ) -> Self {
        Self {
            settings,
            counters,
            conns: Slab::new(),
            v6_peers: V6Peers::default(),
            tls: Sessions::default(),
            tunnels: Tunnels::default(),
            plain: Vec::new(),
            dirty: Vec::new(),
            dials: VecDeque::new(),
            closed: VecDeque::new(),
            gone: Vec::new(),
            delayed: Delayed::new(remote.shards_count()),
            must_write: false,
            frames_queued: 0,
            now: Time::ZERO,
            tick_at: None,
            accepting: true,
            listening: true,
            stopping: false,
            tells_written: false,
            shard,
            remote,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes a connection into the table.
    pub(crate) fn insert(&mut self, conn: Conn, peer: SocketAddr) -> ConnId {
        let id = self.conns.insert(conn);
        self.v6_peers.insert(id.index, peer);
        self.counters.v6_peer_bytes.set(self.v6_peers.bytes());
        id
    }

    /// Queues whole frames for an open connection.
    fn send(&mut self, id: ConnId, frame: Frame) {
        if self
            .conns
            .get(id)
            .is_some_and(|conn| matches!(conn.stage, Stage::Open))
        {
            self.counters.frames_out.add(1);
            self.push(id, frame);
            self.weigh(id);
        }
    }

    /// Looks after an outbox that has grown. One that is over its limit because the kernel takes nothing
    /// belongs to a slow consumer; otherwise nothing was written yet, or the kernel has not said what
    /// became of it, and the turn goes on to write.
    pub(crate) fn weigh(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !matches!(conn.stage, Stage::Open)
            || !conn.outbox.is_over(self.settings.outbox_bytes_max)
        {
            return;
        }
        if !conn.sending || conn.held > 0 {
            self.must_write = true;
            return;
        }
        self.counters.slow_consumers.add(1);
        conn.drop_unsent();
        let (code, cause) = (CloseCode::SLOW_CONSUMER, Cause::SlowConsumer);
        self.say_goodbye(id, code, "slow consumer", cause);
    }

    /// A connection's socket takes nothing more for now, with this much left.
    pub(crate) fn note_stuck(&self, id: ConnId) {
        if let Some(conn) = self.conns.get(id).filter(|conn| !conn.outbox.is_empty()) {
            self.counters.outboxes.record(conn.outbox.bytes().into());
        }
    }

    /// Whether a connection has nothing to write any more.
    pub(crate) fn is_written(&self, id: ConnId) -> bool {
        let is_written = |conn: &Conn| {
            conn.outbox.is_empty() && !(conn.is_tls && self.tls.has_unwritten(id.index))
        };
        self.conns.get(id).is_none_or(is_written)
    }

    /// The kernel has written so much of what it was given last.
    pub(crate) fn advance(&mut self, id: ConnId, sent: usize) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let session = conn.is_tls.then(|| self.tls.find(id.index)).flatten();
        let outbox = session.map_or(&mut conn.outbox, |session| &mut session.sealed);
        outbox.advance(sent);
        self.counters.bytes_out.add(sent as u64);
    }

    /// Queues bytes for a connection, whatever its stage, and lists it for writing.
    pub(crate) fn push(&mut self, id: ConnId, bytes: Frame) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.outbox.push(bytes);
        self.frames_queued += 1;
        if self.frames_queued >= FRAMES_QUEUED_MAX {
            self.must_write = true;
        }
        self.touch(id);
    }

    /// Lists a connection for the write step, which also carries out what lingering ones wait for.
    pub(crate) fn touch(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !std::mem::replace(&mut conn.dirty, true) {
            self.dirty.push(id);
        }
    }

    /// Queues a control frame in this end's role. A peer that pings without reading is as slow as any.
    pub(crate) fn push_control(&mut self, id: ConnId, opcode: ws::OpCode, payload: &[u8]) {
        let mask = self.mask_of(id);
        let mut frame = Vec::with_capacity(payload.len() + 6);
        ws::encode(&mut frame, opcode, payload, mask);
        self.push(id, Frame::from(frame));
        self.weigh(id);
    }

    /// Sends a close frame and waits for the peer's; a connection that is not open is dropped.
    pub(crate) fn say_goodbye(&mut self, id: ConnId, code: CloseCode, reason: &str, cause: Cause) {
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        match conn.stage {
            Stage::Open => {
                self.push_close(id, Some(code), reason);
                self.leave_open(id, Stage::Closing, cause);
            }
            Stage::Dialling | Stage::Greeting(_) => self.remove(id, cause, false),
            Stage::Closing | Stage::Lingering { .. } => {}
        }
    }

    /// Queues a close frame.
    pub(crate) fn push_close(&mut self, id: ConnId, code: Option<CloseCode>, reason: &str) {
        let mask = self.mask_of(id);
        let mut frame = Vec::with_capacity(reason.len() + 8);
        ws::encode_close(&mut frame, code, reason, mask);
        self.push(id, Frame::from(frame));
    }

    /// Moves a connection on and tells the app of its end, if the app still knows it.
    pub(crate) fn leave_open(&mut self, id: ConnId, stage: Stage, cause: Cause) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let phase = conn.phase_known_to_app();
        // The time to say goodbye counts from its first word.
        if !matches!(conn.stage, Stage::Closing | Stage::Lingering { .. }) {
            conn.stamp = self.now.stamp();
        }
        conn.stage = stage;
        if phase == Some(Phase::Open) {
            self.counters.open.sub(1);
        }
        if let Some(phase) = phase {
            self.closed.push_back((id, Closed { phase, cause }));
        }
    }

    /// Lets the last bytes leave and waits for the peer to end the stream: ending it here while bytes
    /// of the peer are unread would be a reset, and a reset may overtake what was just written.
    pub(crate) fn linger(&mut self, id: ConnId, cause: Cause) {
        let stage = Stage::Lingering {
            hang_up: false,
            shut: false,
        };
        self.leave_open(id, stage, cause);
    }

    /// Ends a connection here and now.
    pub(crate) fn remove(&mut self, id: ConnId, cause: Cause, abort: bool) {
        let Some(conn) = self.conns.remove(id) else {
            return;
        };
        self.v6_peers.remove(id.index, conn.peer);
        if conn.is_tls {
            self.tls.remove(id.index);
        }
        self.tunnels.take(id.index);
        self.counters.v6_peer_bytes.set(self.v6_peers.bytes());
        self.counters.conns.sub(1);
        let phase = conn.phase_known_to_app();
        if phase == Some(Phase::Open) {
            self.counters.open.sub(1);
        }
        if let Some(phase) = phase {
            self.closed.push_back((id, Closed { phase, cause }));
        }
        if let Some(socket) = conn.socket {
            self.gone.push((socket, abort));
        }
    }

    fn post(&mut self, shard: ShardIndex, mail: M) {
        if self.delayed.post(shard, mail, &self.remote) {
            self.counters.mail_delayed.add(1);
        }
    }

    /// RFC 6455 §5.3: what a client sends is masked, each frame with a fresh key.
    fn mask_of(&mut self, id: ConnId) -> Option<[u8; 4]> {
        let dialled = self
            .conns
            .get(id)
            .is_some_and(|conn| conn.origin == Origin::Dialled);
        dialled.then(|| self.random.u32(..).to_ne_bytes())
    }
}
