//! What a shard tells of itself once in each period of the timeline.

use std::sync::mpsc::TrySendError;

use super::Swarm;
use crate::{
    outcome::Handed,
    timeline::{self, Measured, Pulse},
};

impl Swarm {
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
