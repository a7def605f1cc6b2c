//! Time without timers: a hand that goes around the table.
//!
//! Every step it looks at a slice of the slots and ends what is overdue. A connection keeps four bytes
//! for this, and a deadline is met at most one revolution late.

use std::time::Duration;

use proto::{Frame, http, ws::CloseCode};

use crate::{
    Cause, ConnId, Time, TunnelFault,
    conn::{Origin, Stage},
    io::Core,
};

/// The least time between two steps of the hand.
const STEP: Duration = Duration::from_millis(80);
/// The same while all connections are open and none can be overdue for longer than this.
const STEP_MAX: Duration = Duration::from_secs(1);
/// How much longer a step may take: a shard that wakes up within this for another reason does it then, and
/// wakes up less often.
const SLACK: Duration = Duration::from_millis(40);
/// Steps per revolution: a deadline is at most 0.96 s late, that of an open connection a twentieth of the idle
/// timeout and 0.32 s where this is more, and never over 8.32 s.
const STEPS: u32 = 8;
/// The part of the idle timeout that one revolution may take.
const IDLE_SHARE: u32 = 20;

/// A step this late means that the shard did not run.
const STALL: Duration = Duration::from_secs(1);

/// Where the sweep of a shard stands.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    next_slot: u32,
    last_step: Time,
}

impl Hand {
    /// When the hand moves at the latest; `None` while nobody can be overdue.
    pub(crate) fn deadline<M>(&self, core: &Core<M>) -> Option<Time> {
        Some(self.last_step.after(step(core)? + SLACK))
    }

    /// Moves the hand if it is time, which it may be before its deadline.
    ///
    /// While the shard is `choked` it hears nobody, and nobody is overdue for what was not heard.
    pub(crate) fn sweep<M: Send + 'static>(&mut self, core: &mut Core<M>, is_choked: bool) {
        let Some(step) = step(core) else {
            self.last_step = self.last_step.max(core.now);
            return;
        };
        let next = self.last_step.after(step);
        if core.now < next {
            return;
        }
        // A shard that stood still has not heard its peers for as long: they get a moment to be heard.
        if core.now.since(next) > STALL || is_choked {
            self.last_step = core.now.after(STALL - step.min(STALL));
            return;
        }
        self.last_step = core.now;
        let slots = core.conns.slots();
        let now = core.now.stamp();
        for _ in 0..slots.div_ceil(STEPS) {
            let slot = self.next_slot % slots;
            self.next_slot = slot + 1;
            match core.conns.at(slot) {
                Some((id, conn)) if conn.is_overdue(now, &core.settings) => end_overdue(core, id),
                _ => {}
            }
        }
    }
}

/// The time between two steps; `None` while nobody can be overdue.
///
/// Looking at a connection that nobody has touched for a while is a miss of the cache: with a million of them and
/// a revolution a second, a tenth of a core.
fn step<M>(core: &Core<M>) -> Option<Duration> {
    if core.conns.len() == 0 {
        return None;
    }
    let all_are_open = core.counters.open.get() >= u64::from(core.conns.len());
    match core.settings.idle_timeout {
        None if all_are_open => None,
        Some(timeout) if all_are_open => {
            Some((timeout / (IDLE_SHARE * STEPS)).clamp(STEP, STEP_MAX))
        }
        _ => Some(STEP),
    }
}

/// Ends a connection whose stage has lasted too long, as politely as the stage allows.
fn end_overdue<M: Send + 'static>(core: &mut Core<M>, id: ConnId) {
    let Some(conn) = core.conns.get(id) else {
        return;
    };
    match (&conn.stage, conn.origin) {
        (Stage::Greeting(_), _) if conn.awaits_tunnel() => {
            core.counters.handshake_timeouts.add(1);
            core.remove(id, Cause::Tunnel(TunnelFault::Timeout), true);
        }
        (Stage::Dialling, _) | (Stage::Greeting(_), Origin::Dialled) => {
            core.counters.handshake_timeouts.add(1);
            core.remove(id, Cause::HandshakeTimeout, true);
        }
        (Stage::Greeting(_), Origin::Accepted) => {
            core.counters.handshake_timeouts.add(1);
            let mut response = Vec::new();
            http::encode_response(&mut response, 408, &[], b"no whole request head in time\n");
            core.push(id, Frame::from(response));
            core.linger(id, Cause::HandshakeTimeout);
        }
        (Stage::Open, _) => {
            core.counters.idle_timeouts.add(1);
            // The code that Phoenix on Bandit closes with; every phoenix.js reconnects on it.
            let code = CloseCode::PROTOCOL_ERROR;
            core.say_goodbye(id, code, "idle timeout", Cause::IdleTimeout);
        }
        // What is unread now stays unread: free the kernel's memory with a reset.
        (Stage::Closing | Stage::Lingering { .. }, _) => {
            let abort = !core.is_written(id);
            core.remove(id, Cause::Shutdown, abort);
        }
    }
}
