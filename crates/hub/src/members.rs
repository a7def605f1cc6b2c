//! The connections that listen to a topic: 8 bytes each, in an order that any history repeats.

use crate::ConnId;

/// A list that grows by an eighth, and forgets by moving its last member into the gap. 24 bytes, and as
/// long as it has one member none elsewhere: most topics of a large node have one on each of a few
/// shards.
#[derive(Debug, Default)]
pub(crate) enum Members {
    #[default]
    None,
    One(ConnId),
    /// Invariant: two or more.
    Many(Vec<ConnId>),
}

/// What a member costs in the list of its topic, of which an eighth may be spare; the first of a topic
/// on its shard costs nothing.
pub const MEMBERSHIP_BYTES: usize = 8;

const _: () = assert!(size_of::<ConnId>() == MEMBERSHIP_BYTES);
const _: () = assert!(size_of::<Members>() == 24);

impl Members {
    /// Appends a member and says where it is.
    pub(crate) fn push(&mut self, conn: ConnId) -> u32 {
        let len = self.as_slice().len();
        match self {
            Self::None => *self = Self::One(conn),
            Self::One(first) => *self = Self::Many(vec![*first, conn]),
            Self::Many(list) => {
                if len == list.capacity() {
                    list.reserve_exact((len / 8).max(1));
                }
                list.push(conn);
            }
        }
        u32::try_from(len).expect("a shard has fewer connections than a u32 counts")
    }

    /// Removes the member at a place, and names the one that has moved there.
    pub(crate) fn remove(&mut self, place: u32) -> Option<ConnId> {
        let place = place as usize;
        let Self::Many(list) = self else {
            assert!(place < self.as_slice().len(), "nobody is at {place}");
            *self = Self::None;
            return None;
        };
        list.swap_remove(place);
        let len = list.len();
        let moved = list.get(place).copied();
        if let [last] = list[..] {
            *self = Self::One(last);
        } else if len < list.capacity() / 2 {
            list.shrink_to(len + len / 8);
        }
        moved
    }

    pub(crate) fn as_slice(&self) -> &[ConnId] {
        match self {
            Self::None => &[],
            Self::One(conn) => std::slice::from_ref(conn),
            Self::Many(list) => list,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Many(list) => list.capacity() * size_of::<ConnId>(),
        }
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
        assert_eq!(members.remove(0), Some(conn(3)));
        assert_eq!(
            (members.as_slice(), members.heap_bytes()),
            (&[conn(3)][..], 0)
        );
        assert_eq!(members.remove(0), None);
        assert!(members.is_empty());
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
