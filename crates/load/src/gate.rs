//! Where all machines of a crowd wait for each other: between the stages of a run.
//!
//! One machine alone waits for nobody.

use serde::{Deserialize, Serialize};

use crate::tally::Tally;

/// A place of a run at which all machines wait for each other; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place(u32);

impl Place {
    /// All that will open is open.
    pub(crate) const OPENED: Self = Self(0);
    /// The hold is over, and what was due in it is sent.
    pub(crate) const HELD: Self = Self(1);
    /// Broadcasts are over.
    pub(crate) const BROADCAST: Self = Self(u32::MAX - 2);
    /// Who was dropped is back.
    pub(crate) const RETURNED: Self = Self(u32::MAX - 1);
    /// Nothing is outstanding any more.
    pub(crate) const SETTLED: Self = Self(u32::MAX);

    /// Broadcast `number` may begin.
    pub(crate) const fn before(number: u32) -> Self {
        Self(2 * number)
    }

    /// Broadcast `number` is sent.
    pub(crate) const fn sent(number: u32) -> Self {
        Self(2 * number + 1)
    }

    /// The broadcast that may begin here.
    pub(crate) const fn broadcast(self) -> Option<u32> {
        let is_one = self.0 > 1 && self.0.is_multiple_of(2) && self.0 < Self::BROADCAST.0;
        if is_one { Some(self.0 / 2) } else { None }
    }
}

/// What a machine tells the others when it has come to a gate.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct News {
    /// How many publishes its own topics have seen, of those where that has changed.
    pub(crate) sent: Vec<(u32, u32)>,
    /// The number of the last broadcast and what came of it on this machine, once.
    pub(crate) tally: Option<(u32, Tally)>,
}

/// Lets a crowd pass from stage to stage.
pub(crate) trait Gate {
    /// This machine has come to `place`, and has `news` for the others.
    fn arrive(&mut self, place: Place, news: News);

    /// What the others have sent, once all have come to `place`; `None` as long as they have not.
    fn pass(&mut self, place: Place) -> Option<Vec<(u32, u32)>>;

    /// Whether there is nobody to wait for.
    fn is_open(&self) -> bool {
        false
    }
}

/// The gate of a machine that is the whole crowd.
#[derive(Debug)]
pub(crate) struct Open;

impl Gate for Open {
    fn arrive(&mut self, _: Place, _: News) {}

    fn pass(&mut self, _: Place) -> Option<Vec<(u32, u32)>> {
        Some(Vec::new())
    }

    fn is_open(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_order_of_a_run() {
        let last = crate::Options::BROADCASTS_MAX;
        let places = [
            Place::OPENED,
            Place::HELD,
            Place::before(1),
            Place::sent(1),
            Place::before(2),
            Place::sent(last),
            Place::BROADCAST,
            Place::RETURNED,
            Place::SETTLED,
        ];
        assert!(places.is_sorted_by(|one, two| one < two));
        let broadcasts = places.map(Place::broadcast);
        assert_eq!(broadcasts.into_iter().flatten().collect::<Vec<_>>(), [1, 2]);
    }
}
