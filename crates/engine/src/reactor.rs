//! One shard's loop: its kernel, its connections and its app, turned around.
//!
//! ```text
//!  wait ► receive ► mail ► time ► dial ► write ► close
//!    ▲                                             │
//!    └─────────────────────────────────────────────┘
//! ```
//!
//! Each step is one function. Inputs change tables; only the last three steps touch the kernel, so a
//! broadcast to a thousand connections that answers one message is a thousand outboxes first and a
//! thousand writes after, and never a write in the middle of a read.

mod admission;

use std::{sync::Arc, time::Duration};

use rustix::io::Errno;

use crate::{
    App, Cause, ConnId, Counters, Io, Remote, Settings, ShardIndex, Time,
    accept::{Backlog, Gate},
    conn::Stage,
    input,
    io::Core,
    mailbox::Mailbox,
    pressure::{Pace, WRITES_PER_LOOK},
    sweep::Hand,
    sys::{Completion, FRAMES_PER_SEND, Kernel, Submission, Waker, Wanted, sim::SimKernel},
    tunnel,
};

/// Mail read per turn, so that a flood of it does not keep the shard from its sockets.
const MAIL_PER_TURN: usize = 1024;
/// Sends under way at most, whose frames are held twice: by outboxes and by the kernel.
const SENDS_MAX: usize = 1024;
/// Writes of a shard that stops. What a socket has not taken by then, its peer does not read.
const LAST_WRITES: usize = 1024;
/// How soon to try again when another shard's mailbox was full.
const DELAYED_MAIL_RETRY: Duration = Duration::from_millis(1);

/// One shard.
#[derive(Debug)]
pub struct Reactor<A: App> {
    kernel: Kernel,
    app: A,
    core: Core<A::Mail>,
    gate: Gate,
    hand: Hand,
    pace: Pace,
    listening: bool,
    /// Whether anybody was accepted in this turn.
    has_accepted: bool,
    /// Whether anybody was heard in the turn before this one.
    has_received: bool,
    backlog: Backlog,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There may be more to do; turn again. The next deadline, if any.
    Done(Option<Time>),
    /// The app has stopped the shard.
    Stopped,
}

impl<A: App> Reactor<A> {
    pub(crate) fn new(
        kernel: Kernel,
        app: A,
        settings: Settings,
        shard: ShardIndex,
        remote: Remote<A::Mail>,
        counters: Arc<Counters>,
        seed: u64,
    ) -> Self {
        let gate = Gate::new(settings.accept_rate.clone());
        let pace = Pace::new(settings.tcp_pressure.clone());
        let backlog = Backlog::new(kernel.backlog());
        let mut core = Core::new(settings, shard, remote, counters, seed);
        core.now = kernel.now();
        Self {
            kernel,
            app,
            core,
            gate,
            hand: Hand::default(),
            pace,
            listening: true,
            has_accepted: false,
            has_received: false,
            backlog,
        }
    }

    /// The shards of one simulated process: they share mailboxes, and each has its own kernel of one
    /// simulated network. The caller turns them.
    pub fn simulate(
        kernels: impl IntoIterator<Item = SimKernel>,
        settings: &Settings,
        mut app: impl FnMut(ShardIndex, Remote<A::Mail>) -> A,
    ) -> Vec<Self> {
        let kernels: Vec<_> = kernels.into_iter().collect();
        let remote = Remote::new(
            kernels
                .iter()
                .map(|_| Mailbox::new(settings.mailbox_max, Waker::Sim)),
        );
        let shards = kernels.into_iter().zip(0..).map(|(kernel, index)| {
            let shard = ShardIndex(index);
            let app = app(shard, remote.clone());
            let kernel = Kernel::Sim(kernel);
            let (counters, seed) = (Arc::default(), u64::from(index));
            Self::new(
                kernel,
                app,
                settings.clone(),
                shard,
                remote.clone(),
                counters,
                seed,
            )
        });
        shards.collect()
    }

    /// Turns until the app stops the shard.
    ///
    /// # Errors
    ///
    /// `epoll_wait(2)` or `io_uring_enter(2)` fails, which it does for a programming error only.
    pub fn run(&mut self) -> Result<(), Errno> {
        while self.turn()? != Turn::Stopped {}
        Ok(())
    }

    /// One turn. It sleeps, on a real kernel, until something has happened or a deadline has come.
    ///
    /// # Errors
    ///
    /// As [`Reactor::run`].
    pub fn turn(&mut self) -> Result<Turn, Errno> {
        self.wait()?;
        self.receive();
        if std::mem::take(&mut self.has_accepted) {
            self.steer();
        }
        self.read_mail();
        self.keep_time();
        self.dial();
        self.write();
        self.tell_written();
        self.close();
        if self.core.stopping {
            self.write_rest();
            self.abandon();
            return Ok(Turn::Stopped);
        }
        Ok(Turn::Done(self.deadline()))
    }

    /// The shard's counters.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.core.counters
    }

    /// The app.
    pub const fn app(&self) -> &A {
        &self.app
    }

    /// The app and its hands, for drivers that have something to say to it outside of a turn.
    pub fn with_app<R>(&mut self, act: impl FnOnce(&mut A, &mut Io<'_, A::Mail>) -> R) -> R {
        self.core.now = self.kernel.now();
        let result = act(&mut self.app, &mut Io::new(&mut self.core));
        input::report_closed(&mut self.core, &mut self.app);
        result
    }

    /// Whether there is nothing to do before the next deadline or the next thing that happens.
    pub fn is_idle(&self) -> bool {
        (self.core.dirty.is_empty() || self.pace.deadline().is_some())
            && self.core.dials.is_empty()
            && self.core.delayed.is_empty()
            && self.core.gone.is_empty()
            && self.mailbox_len() == 0
    }

    fn wait(&mut self) -> Result<(), Errno> {
        self.core.delayed.retry(&self.core.remote);
        let can_write = !self.core.dirty.is_empty() && self.pace.deadline().is_none();
        // The answer to an end is something that happens, and dials that wait for it are next then.
        let can_dial = !self.core.dials.is_empty() && !self.kernel.has_ends_under_way();
        let must_turn = can_write || can_dial;
        let mailbox = self.core.remote.mailbox(self.core.shard);
        let mut deadline = if must_turn || !mailbox.may_sleep() {
            Some(Time::ZERO)
        } else {
            self.deadline()
        };
        if self.is_choked() {
            // Sockets that nobody reads now must not end the sleep.
            self.kernel.wait_for_waker(deadline.unwrap_or(Time::ZERO))?;
            deadline = Some(Time::ZERO);
        }
        let waited = self.kernel.wait(deadline);
        if std::mem::take(&mut self.has_received) {
            // What was answered is on its way now, and who waits for it may be waiting for this core.
            self.kernel.let_others_run();
        }
        self.core.remote.mailbox(self.core.shard).awake();
        self.core.now = self.kernel.now();
        waited
    }

    /// Whether nothing may come in that makes more to do: what was done already is not got rid of.
    pub(crate) fn is_choked(&self) -> bool {
        let cannot_write = self.core.must_write && self.pace.deadline().is_some();
        cannot_write || !self.core.delayed.is_empty()
    }

    /// Takes up what the kernel reports: everything or, while the shard is choked, only what makes no
    /// more to do. When there is much to write, that comes first; the rest is reported again.
    fn receive(&mut self) {
        let wanted = if self.is_choked() {
            Wanted::Answers
        } else {
            Wanted::Everything
        };
        while let Some(completion) = self.kernel.next(wanted, &self.core.conns) {
            match completion {
                Completion::Accepted { socket, peer } => self.accept(socket, peer),
                Completion::AcceptFailed(errno) => self.handle_accept_failure(errno),
                Completion::AcceptQueueFull { max } => self.handle_queue_full(max),
                Completion::Received { conn, what } => {
                    self.has_received = true;
                    input::handle_received(&mut self.core, &mut self.app, conn, what);
                }
                answer => input::handle_answer(&mut self.core, &mut self.app, answer),
            }
            input::report_closed(&mut self.core, &mut self.app);
            let must_stop = self.core.must_write || !self.core.delayed.is_empty();
            if wanted == Wanted::Everything && must_stop {
                return;
            }
        }
    }

    fn read_mail(&mut self) {
        for _ in 0..MAIL_PER_TURN {
            if self.core.must_write {
                return;
            }
            let Some(mail) = self.core.remote.mailbox(self.core.shard).take() else {
                return;
            };
            self.app.handle_mail(mail, &mut Io::new(&mut self.core));
            input::report_closed(&mut self.core, &mut self.app);
        }
    }

    fn keep_time(&mut self) {
        let is_choked = self.is_choked();
        self.hand.sweep(&mut self.core, is_choked);
        input::report_closed(&mut self.core, &mut self.app);
        if self.core.tick_at.is_some_and(|time| time <= self.core.now) {
            self.core.tick_at = None;
            self.app.handle_tick(&mut Io::new(&mut self.core));
            input::report_closed(&mut self.core, &mut self.app);
        }
        if self.listening && !self.core.listening {
            self.listening = false;
            self.kernel.stop_listening();
        }
        self.tell_gate();
    }

    /// Carries out the dials, or as many as there is room for while sockets are ending.
    fn dial(&mut self) {
        while let Some(dial) = self.core.dials.pop_front() {
            // The app may have dropped the connection before its turn came.
            if self.core.conns.get(dial.conn).is_none() {
                continue;
            }
            let connected = self
                .kernel
                .connect(dial.conn, dial.source, dial.destination);
            match connected {
                Ok(socket) => {
                    if let Some(conn) = self.core.conns.get_mut(dial.conn) {
                        conn.socket = Some(socket);
                    }
                }
                // A socket is there until the turn's end, and on io_uring until its end is answered.
                Err(Errno::MFILE)
                    if !self.core.gone.is_empty() || self.kernel.has_ends_under_way() =>
                {
                    self.core.dials.push_front(dial);
                    break;
                }
                Err(errno) => self.core.remove(dial.conn, Cause::Connect(errno), false),
            }
        }
        input::report_closed(&mut self.core, &mut self.app);
    }

    /// Writes each dirty outbox once, or as many as the machine's memory has room for.
    fn write(&mut self) {
        if !self.core.stopping && self.pace.is_resting(self.core.now) {
            return;
        }
        let was_urgent = std::mem::take(&mut self.core.must_write);
        let mut dirty = std::mem::take(&mut self.core.dirty);
        let mut written = 0;
        for batch in dirty.chunks(WRITES_PER_LOOK) {
            let must_look = written > 0 && !self.core.stopping;
            if must_look && !self.pace.may_go_on(self.kernel.now()) {
                break;
            }
            for &conn in batch {
                self.write_one(conn);
            }
            written += batch.len();
            if self.kernel.sends_count() >= SENDS_MAX {
                self.hear_answers();
            }
        }
        let waits_for_answers = was_urgent && self.kernel.sends_count() > 0;
        if waits_for_answers {
            self.hear_answers();
        }
        if written == dirty.len() {
            self.core.frames_queued = 0;
        } else {
            self.core.must_write |= was_urgent;
        }
        dirty.drain(..written);
        // Nothing became dirty meanwhile unless the app wrote on hearing of an end, or through a tunnel
        // that was granted before it was asked for; keep the larger list.
        dirty.append(&mut self.core.dirty);
        self.core.dirty = dirty;
        self.core.must_write |= waits_for_answers && !self.core.dirty.is_empty();
        input::report_closed(&mut self.core, &mut self.app);
    }

    /// Tells an app that asked for it that every frame queued before was given to its socket, or waits
    /// for a peer that does not read.
    fn tell_written(&mut self) {
        let is_done = self.core.dirty.is_empty() && self.kernel.sends_count() == 0;
        if is_done && std::mem::take(&mut self.core.tells_written) {
            let now = self.kernel.now();
            self.app.handle_written(now);
        }
    }

    /// Takes up what became of the sends that a kernel has not answered yet.
    fn hear_answers(&mut self) {
        while let Some(answer) = self.kernel.next(Wanted::Answers, &self.core.conns) {
            input::handle_answer(&mut self.core, &mut self.app, answer);
        }
    }

    fn write_one(&mut self, id: ConnId) {
        let Some(conn) = self.core.conns.get_mut(id) else {
            return;
        };
        conn.dirty = false;
        let Some(socket) = &conn.socket else { return };
        let mut session = conn.is_tls.then(|| self.core.tls.find(id.index)).flatten();
        while !conn.sending {
            if let Some(session) = &mut session {
                let ends = matches!(conn.stage, Stage::Lingering { .. });
                if let Err(fault) = session.fill(&mut conn.outbox, ends) {
                    return self.core.remove(id, Cause::Tls(fault), true);
                }
            }
            let outbox = session
                .as_mut()
                .map_or(&mut conn.outbox, |session| &mut session.sealed);
            let (frames, skip) = outbox.frames();
            if frames.is_empty() {
                break;
            }
            let frames = &frames[..frames.len().min(FRAMES_PER_SEND)];
            self.core.counters.sends.add(1);
            match self.kernel.send(id, socket, frames, skip) {
                Submission::Done(sent) => {
                    self.core.counters.bytes_out.add(sent as u64);
                    outbox.advance(sent);
                }
                Submission::Pending { held } => {
                    conn.sending = true;
                    conn.held = held;
                }
                Submission::Failed(errno) => {
                    return self.core.remove(id, Cause::Socket(errno), false);
                }
            }
        }
        let is_stuck = conn.sending && conn.held == 0;
        let Stage::Lingering { hang_up, shut } = &mut conn.stage else {
            let is_greeting = matches!(conn.stage, Stage::Greeting(_));
            if is_stuck {
                self.core.note_stuck(id);
            }
            self.core.weigh(id);
            if is_greeting {
                tunnel::handle_written(&mut self.core, &mut self.app, id);
            }
            return;
        };
        let has_sealed = session.is_some_and(|session| !session.sealed.is_empty());
        if has_sealed || !conn.outbox.is_empty() {
            return;
        }
        if *hang_up {
            self.core.remove(id, Cause::Shutdown, false);
        } else if !std::mem::replace(shut, true) {
            self.kernel.shutdown(socket);
        }
    }

    fn close(&mut self) {
        if !self.core.gone.is_empty() {
            self.steer();
        }
        for (socket, abort) in self.core.gone.drain(..) {
            self.kernel.close(socket, abort);
        }
    }

    /// Writes on for as long as a kernel has sends under way, so that last words longer than one send
    /// leave as far as sockets take them.
    fn write_rest(&mut self) {
        for _ in 0..LAST_WRITES {
            if self.kernel.sends_count() == 0 {
                return;
            }
            self.hear_answers();
            self.write();
        }
    }

    /// Drops what is left, so that the app hears of every end.
    fn abandon(&mut self) {
        for index in 0..self.core.conns.slots() {
            if let Some((conn, _)) = self.core.conns.at(index) {
                self.core.remove(conn, Cause::Shutdown, false);
            }
        }
        input::report_closed(&mut self.core, &mut self.app);
        self.close();
    }

    fn deadline(&self) -> Option<Time> {
        let retry =
            (!self.core.delayed.is_empty()).then(|| self.core.now.after(DELAYED_MAIL_RETRY));
        [
            self.core.tick_at,
            self.hand.deadline(&self.core),
            self.gate.deadline(),
            self.pace.deadline(),
            retry,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn mailbox_len(&self) -> usize {
        self.core.remote.mailbox(self.core.shard).len()
    }
}

/// Also when the app panics: mail for a shard that has ended must not fill its mailbox.
impl<A: App> Drop for Reactor<A> {
    fn drop(&mut self) {
        self.core.remote.mailbox(self.core.shard).close();
    }
}
