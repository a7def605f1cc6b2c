//! Which direct descriptor is whose, and what the ring still does with it.
//!
//! ```text
//!  vacant ──take──► taken ──close──► closed ──the last answer──► vacant
//! ```
//!
//! The ring's table of files has no numbers of its own to give: a slot is chosen here, and it is chosen
//! again only after everything asked for in its name was answered, or an old answer would be taken for
//! a new one's.

use crate::ConnId;

use super::word::What;

/// The slots of one ring.
#[derive(Debug)]
pub(super) struct Slots {
    /// Grows as far as slots were ever in use.
    table: Vec<Slot>,
    vacant: Vec<u32>,
    /// How many are closed and not vacant.
    closed: u32,
    max: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    conn: ConnId, // 8 bytes
    /// What is asked for and not answered, one bit for each kind; there is at most one of a kind.
    asked: u8,
    closed: bool,
}

/// What is known of a slot.
pub(super) const SLOT_BYTES: usize = 12;

const _: () = assert!(size_of::<Slot>() == SLOT_BYTES);

/// No connection: an index beyond any table.
const NOBODY: ConnId = ConnId {
    index: u32::MAX,
    generation: u32::MAX,
};

impl Slots {
    pub(super) const fn new(max: u32) -> Self {
        Self {
            table: Vec::new(),
            vacant: Vec::new(),
            closed: 0,
            max,
        }
    }

    /// A vacant slot, if there is one.
    pub(super) fn take(&mut self) -> Option<u32> {
        let fresh = Slot {
            conn: NOBODY,
            asked: 0,
            closed: false,
        };
        if let Some(slot) = self.vacant.pop() {
            self.table[slot as usize] = fresh;
            return Some(slot);
        }
        let slot = self.table.len() as u32;
        (slot < self.max).then(|| {
            self.table.push(fresh);
            slot
        })
    }

    /// Gives back a slot that nothing was put into.
    pub(super) fn give_back(&mut self, slot: u32) {
        self.mark_closed(slot);
        self.vacate_if_over(slot);
    }

    pub(super) fn set_conn(&mut self, slot: u32, conn: ConnId) {
        self.table[slot as usize].conn = conn;
    }

    /// The connection of a slot that is not closed.
    pub(super) fn conn(&self, slot: u32) -> Option<ConnId> {
        let slot = &self.table[slot as usize];
        (!slot.closed && slot.conn != NOBODY).then_some(slot.conn)
    }

    pub(super) fn ask(&mut self, slot: u32, what: What) {
        let asked = &mut self.table[slot as usize].asked;
        debug_assert_eq!(*asked & bit(what), 0, "{what:?} is asked for once");
        *asked |= bit(what);
    }

    pub(super) fn is_asked(&self, slot: u32, what: What) -> bool {
        self.table[slot as usize].asked & bit(what) != 0
    }

    /// An answer has come; the last one for a closed slot makes it vacant.
    pub(super) fn answered(&mut self, slot: u32, what: What) {
        self.table[slot as usize].asked &= !bit(what);
        self.vacate_if_over(slot);
    }

    /// Nobody asks for anything in this slot's name any more, but for its end.
    pub(super) fn close(&mut self, slot: u32) {
        self.ask(slot, What::Closed);
        self.mark_closed(slot);
    }

    /// Whether an answer is yet to come that makes a slot vacant.
    pub(super) const fn has_closed(&self) -> bool {
        self.closed > 0
    }

    #[cfg(test)]
    pub(super) fn is_vacant(&self, slot: u32) -> bool {
        self.vacant.contains(&slot)
    }

    /// How many are not vacant.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.table.len() - self.vacant.len()
    }

    fn mark_closed(&mut self, slot: u32) {
        self.table[slot as usize].closed = true;
        self.closed += 1;
    }

    fn vacate_if_over(&mut self, slot: u32) {
        let content = &self.table[slot as usize];
        if content.closed && content.asked == 0 {
            self.closed -= 1;
            self.vacant.push(slot);
        }
    }
}

const fn bit(what: What) -> u8 {
    match what {
        What::Readable => 1,
        What::Received => 2,
        What::Sent => 4,
        What::Writable => 8,
        What::Connected => 16,
        What::Installed => 32,
        What::Closed => 64,
        What::Shut => 128,
        What::Nothing
        | What::Prepared
        | What::Bound
        | What::Accepted
        | What::Woken
        | What::Knocked => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_vacant_only_after_the_last_answer() {
        let mut slots = Slots::new(1);
        let slot = slots.take().unwrap();
        let conn = ConnId {
            index: 3,
            generation: 4,
        };
        slots.set_conn(slot, conn);
        slots.ask(slot, What::Readable);
        assert_eq!(slots.conn(slot), Some(conn));
        assert!(!slots.has_closed());
        slots.close(slot);
        assert_eq!(slots.conn(slot), None);
        slots.answered(slot, What::Closed);
        assert_eq!(slots.take(), None, "the poll is still to be answered");
        assert!(slots.has_closed());
        slots.answered(slot, What::Readable);
        assert!(!slots.has_closed());
        assert_eq!(slots.take(), Some(slot));
        assert_eq!(slots.conn(slot), None, "a fresh tenant");
    }

    #[test]
    fn no_more_than_the_table_has() {
        let mut slots = Slots::new(2);
        assert_eq!((slots.take(), slots.take()), (Some(0), Some(1)));
        assert_eq!(slots.take(), None);
        slots.give_back(0);
        assert!(!slots.has_closed());
        assert_eq!(slots.take(), Some(0));
    }
}
