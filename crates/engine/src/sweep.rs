//! Time without timers: a hand that goes around the table.
//!
//! Every step it looks at a slice of the slots and ends what is overdue. A connection keeps four bytes
//! for this, and a deadline is met at most one revolution late.

use std::time::Duration;

use proto::{Frame, http, ws::CloseCode};

use crate::{
    Cause, ConnId, Time,
    conn::{Origin, Stage},
    io::Core,
};

/// The least time between two steps of the hand.
const STEP: Duration = Duration::from_millis(80);
/// How much longer a step may take: a shard that wakes up within this for another reason does it then, and
/// wakes up less often.
const SLACK: Duration = Duration::from_millis(40);
/// Steps per revolution: a deadline is at most 0.96 s late.
const STEPS: u32 = 8;

/// A step this late means that the shard did not run.
const STALL: Duration = Duration::from_secs(1);

/// Where the sweep of a shard stands.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    next_slot: u32,
    next_step: Time,
}

impl Hand {
    /// When the hand moves at the latest; an empty table needs no sweeping.
    pub(crate) fn deadline<M>(&self, core: &Core<M>) -> Option<Time> {
        (core.conns.len() > 0).then(|| self.next_step.after(SLACK))
    }

    /// Moves the hand if it is time, which it may be before its deadline.
    ///
    /// While the shard is `choked` it hears nobody, and nobody is overdue for what was not heard.
    pub(crate) fn sweep<M: Send + 'static>(&mut self, core: &mut Core<M>, is_choked: bool) {
        let late = core.now.since(self.next_step);
        if core.conns.len() == 0 || (late.is_zero() && core.now < self.next_step) {
            self.next_step = self.next_step.max(core.now);
            return;
        }
        // A shard that stood still has not heard its peers for as long: they get a moment to be heard.
        if late > STALL || is_choked {
            self.next_step = core.now.after(STALL);
            return;
        }
        self.next_step = core.now.after(STEP);
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

/// Ends a connection whose stage has lasted too long, as politely as the stage allows.
fn end_overdue<M: Send + 'static>(core: &mut Core<M>, id: ConnId) {
    let Some(conn) = core.conns.get(id) else {
        return;
    };
    match (&conn.stage, conn.origin) {
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
