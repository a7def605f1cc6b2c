//! The handshakes and joins of a run that may be unfinished at one time.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Places for unfinished handshakes and joins, which all shards take from.
///
/// Shards that have nothing to open leave theirs to the others, so that a few of them can use all.
#[derive(Debug)]
pub(crate) struct Handshakes {
    free: AtomicU32,
}

impl Handshakes {
    /// `count` places.
    pub(crate) const fn new(count: u32) -> Self {
        Self {
            free: AtomicU32::new(count),
        }
    }

    /// Takes a place; `false` when none is free. Whoever takes one gives it back.
    pub(crate) fn begin(&self) -> bool {
        let taken = self
            .free
            .fetch_update(Relaxed, Relaxed, |free| free.checked_sub(1));
        taken.is_ok()
    }

    /// Gives back a place that was taken.
    pub(crate) fn end(&self) {
        self.free.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let handshakes = Handshakes::new(2);
        assert!(handshakes.begin() && handshakes.begin());
        assert!(!handshakes.begin());
        handshakes.end();
        assert!(handshakes.begin());
        assert!(!handshakes.begin());
    }
}
