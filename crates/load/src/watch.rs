//! The time of each message, where the engine's time is that of a whole turn.
//!
//! A turn may read a thousand deliveries, which takes milliseconds. Dating them all with the turn's
//! beginning would make every latency too small by up to that.

use std::time::Instant;

use engine::Time;

/// Tells the time within a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Watch {
    /// Time stands still within a turn, as it does on the simulated kernel.
    #[cfg(test)]
    Turns,
    /// The machine's clock, not yet set to the engine's time.
    Unset,
    /// The machine's clock: when it was set, and what time it was then.
    Running(Instant, Time),
}

impl Watch {
    /// Sets the machine's clock to the engine's time, at the beginning of a turn.
    pub(crate) fn set(&mut self, turn: Time) {
        if matches!(self, Self::Unset) {
            *self = Self::Running(Instant::now(), turn);
        }
    }

    /// The time now, in a turn that began at `turn`.
    pub(crate) fn now(&self, turn: Time) -> Time {
        match self {
            #[cfg(test)]
            Self::Turns => turn,
            Self::Unset => turn,
            // What is read is never older than the turn that reads it.
            Self::Running(set, at) => at.after(set.elapsed()).max(turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_within_a_turn_unless_it_is_simulated() {
        let turn = Time::from_nanos(5_000);
        let mut watch = Watch::Unset;
        assert_eq!(watch.now(turn), turn);
        watch.set(turn);
        let first = watch.now(turn);
        while watch.now(turn) == first {}
        assert!(watch.now(turn) > first && first >= turn);
        let far = Time::from_nanos(u64::MAX);
        assert_eq!(watch.now(far), far);

        let mut simulated = Watch::Turns;
        simulated.set(turn);
        assert_eq!(simulated.now(turn), turn);
    }
}
