//! The connections that listen to a topic: 8 bytes each, in an order that any history repeats.

use crate::ConnId;

/// A list that grows by an eighth, and forgets by moving its last member into the gap.
#[derive(Debug, Default)]
pub(crate) struct Members(Vec<ConnId>);

impl Members {
    /// Appends a member and says where it is.
    pub(crate) fn push(&mut self, conn: ConnId) -> u32 {
        let len = self.0.len();
        if len == self.0.capacity() {
            self.0.reserve_exact((len / 8).max(1));
        }
        self.0.push(conn);
        u32::try_from(len).expect("a shard has fewer connections than a u32 counts")
    }

    /// Removes the member at a place, and names the one that has moved there.
    pub(crate) fn remove(&mut self, place: u32) -> Option<ConnId> {
        let place = place as usize;
        self.0.swap_remove(place);
        let len = self.0.len();
        if len < self.0.capacity() / 2 {
            self.0.shrink_to(len + len / 8);
        }
        self.0.get(place).copied()
    }

    pub(crate) fn as_slice(&self) -> &[ConnId] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<ConnId>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(index: u32) -> ConnId {
        ConnId {
            index,
            generation: 1,
        }
    }

    #[test]
    fn the_last_member_moves_into_the_gap() {
        let mut members = Members::default();
        for index in 0..4 {
            assert_eq!(members.push(conn(index)), index);
        }
        assert_eq!(members.remove(1), Some(conn(3)));
        assert_eq!(members.as_slice(), [conn(0), conn(3), conn(2)]);
        assert_eq!(members.remove(2), None);
        assert_eq!(members.as_slice(), [conn(0), conn(3)]);
    }

    #[test]
    fn at_most_an_eighth_is_spare_while_growing_and_half_while_shrinking() {
        let mut members = Members::default();
        for index in 0..100_000 {
            members.push(conn(index));
            let needed = size_of_val(members.as_slice());
            assert!(members.heap_bytes() <= needed + needed / 8 + 8);
        }
        while !members.is_empty() {
            members.remove(0);
            let needed = size_of_val(members.as_slice());
            assert!(members.heap_bytes() <= 2 * needed + 16);
        }
        assert_eq!(members.heap_bytes(), 0);
    }
}
