//! What a shard tells of itself: its gauges in every tick, and a pulse once in each period of the timeline.

use std::sync::mpsc::TrySendError;

use super::Swarm;
use crate::{
    gauges::Snapshot,
    outcome::Handed,
    timeline::{self, Measured, Pulse},
};

impl Swarm {
    /// Shows the gauges.
    pub(super) fn show(&self) {
        // There is nothing left to count in who has handed in its results.
        if self.results.is_none() {
            return;
        }
        self.gauges.show(&Snapshot {
            stage: self.stage,
            unsettled: self.unsettled(),
            open: u64::from(self.ready + self.joining),
            ready: self.ready.into(),
            away: self.away(),
            failed: self.outcome.not_opened.total(),
            dropped: self.outcome.dropped.total(),
            published: self.outcome.publishes.sent,
            delivered: self.outcome.deliveries.received,
            answered: self.outcome.pushes.answered,
            waiting: self.waiting,
            waiting_for: self.waiting_for,
            rounds: self.rounds_sent(),
            drops: self.drops,
        });
    }

    /// Hands in what was counted and measured. Where there is no room, the next pulse has it, too.
    pub(super) fn hand_in_pulse(&mut self) {
        let Some(results) = &self.results else {
            return;
        };
        let pulse = Pulse {
            shard: self.shard,
            counts: timeline::counts(&self.outcome),
            errors: timeline::errors(&self.outcome),
            measured: Measured::take(&mut self.outcome),
        };
        // There is room for one pulse of each shard, and the conductor asks for no second one before it has
        // the first.
        if let Err(error) = results.try_send(Handed::Pulse(Box::new(pulse))) {
            let (TrySendError::Full(handed) | TrySendError::Disconnected(handed)) = error;
            if let Handed::Pulse(pulse) = handed {
                pulse.measured.put_into(&mut self.outcome);
            }
        }
    }
}
