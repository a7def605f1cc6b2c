//! Holding: everything is up, and what was asked to happen then happens.

use std::time::Duration;

use engine::{Io, Time};

use super::{Order, Swarm};

/// How often a hold that is over looks whether all is sent.
const OWED_LOOK: Duration = Duration::from_millis(5);

impl Swarm {
    /// One tick of holding.
    ///
    /// The hold ends when its time is over and what was due within it is sent. Who falls so far
    /// behind that this takes longer than the settle timeout is cut off there.
    pub(super) fn hold(&mut self, io: &mut Io<'_, Order>) -> Time {
        let next = self
            .beat(io)
            .min(self.publish_due(io))
            .min(self.push_due(io));
        let now = io.now();
        let end = self.hold_end();
        if now < end {
            return next.min(end);
        }
        let cut_off = end.after(self.plan.options.settle_timeout);
        if now >= cut_off || !(self.owes_publishes() || self.owes_pushes(now)) {
            self.settle(io);
        }
        next.min(now.after(OWED_LOOK)).min(cut_off)
    }

    /// When the hold is over.
    pub(super) fn hold_end(&self) -> Time {
        self.since.after(self.plan.options.hold)
    }
}
