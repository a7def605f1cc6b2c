//! What a completion is the answer to, in the word that travels through the ring and back.

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum What {
    /// Nobody waits for this answer.
    Nothing,
    /// A poll for bytes to read, of a slot.
    Readable,
    /// A receive into the buffer in `extra`, of a slot.
    Received,
    /// The send in `extra`, of a slot.
    Sent,
    /// A poll for room to write, of a slot.
    Writable,
    /// The connect of a slot's dial.
    Connected,
    /// Something before the bind of a slot's dial, of which only failure is told.
    Prepared,
    /// The accept in `extra`, into a slot.
    Accepted,
    /// The end of a slot's socket.
    Closed,
    /// An ordinary descriptor for a slot's socket.
    Installed,
    /// The poll of the shard's waker.
    Woken,
    /// The end of what a slot's socket sends, by a thread of the kernel's.
    Shut,
    /// The poll of the listener, while there is no slot for an accept.
    Knocked,
    /// The bind of a slot's dial.
    Bound,
}

/// The word: what, 24 bits that say which, and a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) what: What,
    /// Below 2^24.
    pub(super) extra: u32,
    pub(super) slot: u32,
}

impl Word {
    pub(super) const NOTHING: Self = Self::new(What::Nothing, 0, 0);

    pub(super) const fn new(what: What, extra: u32, slot: u32) -> Self {
        debug_assert!(extra < 1 << 24, "more than a word has room for");
        Self { what, extra, slot }
    }

    /// The word of what a slot has one of.
    pub(super) const fn of(what: What, slot: u32) -> Self {
        Self::new(what, 0, slot)
    }

    pub(super) const fn to_u64(self) -> u64 {
        (self.what as u64) << 56 | (self.extra as u64) << 32 | self.slot as u64
    }

    pub(super) const fn from_u64(word: u64) -> Self {
        let what = match (word >> 56) as u8 {
            1 => What::Readable,
            2 => What::Received,
            3 => What::Sent,
            4 => What::Writable,
            5 => What::Connected,
            6 => What::Prepared,
            7 => What::Accepted,
            8 => What::Closed,
            9 => What::Installed,
            10 => What::Woken,
            11 => What::Shut,
            12 => What::Knocked,
            13 => What::Bound,
            _ => What::Nothing,
        };
        Self {
            what,
            extra: (word >> 32) as u32 & 0xff_ffff,
            slot: word as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_back_as_it_went() {
        let all = [
            What::Nothing,
            What::Readable,
            What::Received,
            What::Sent,
            What::Writable,
            What::Connected,
            What::Prepared,
            What::Accepted,
            What::Closed,
            What::Installed,
            What::Woken,
            What::Shut,
            What::Knocked,
            What::Bound,
        ];
        for what in all {
            for (extra, slot) in [(0, 0), (1, u32::MAX), ((1 << 24) - 1, 7)] {
                let word = Word::new(what, extra, slot);
                assert_eq!(Word::from_u64(word.to_u64()), word);
            }
        }
    }
}
