//! A table of connections that grows by blocks and never moves what it holds.
//!
//! Growing a `Vec` to twice its size would cost up to twice the memory and a copy of everything at
//! the worst moment; blocks cost at most one block too much.

use crate::ids::ConnId;

/// Slots per block: large enough that the table of blocks is small, small enough to waste little.
const BLOCK: usize = 256;

/// Values by [`ConnId`].
#[derive(Debug)]
pub(crate) struct Slab<T> {
    blocks: Vec<Box<[Slot<T>]>>,
    /// The first slot of the chain of vacant ones.
    vacant: Option<u32>,
    /// Vacant slots that are not to be given out yet.
    retired: Vec<u32>,
    len: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Taken(T),
    Vacant { next: Option<u32> },
}

impl<T> Slab<T> {
    /// Bytes that a value takes here.
    pub(crate) const SLOT_BYTES: usize = size_of::<Slot<T>>();

    pub(crate) const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            vacant: None,
            retired: Vec::new(),
            len: 0,
        }
    }

    /// Puts a value into a vacant slot, the lowest block first after a fresh start.
    pub(crate) fn insert(&mut self, value: T) -> ConnId {
        let index = match self.vacant {
            Some(index) => index,
            None => self.grow(),
        };
        let slot = &mut self.blocks[index as usize / BLOCK][index as usize % BLOCK];
        if let Content::Vacant { next } = slot.content {
            self.vacant = next;
        }
        slot.content = Content::Taken(value);
        self.len += 1;
        ConnId {
            index,
            generation: slot.generation,
        }
    }

    /// Takes a value out; its id is stale from here on. Its slot is given out again only after
    /// [`Slab::reuse_retired`].
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        let slot = self.slot_mut(id.index)?;
        if slot.generation != id.generation {
            return None;
        }
        match std::mem::replace(&mut slot.content, Content::Vacant { next: None }) {
            Content::Taken(value) => {
                slot.generation = slot.generation.wrapping_add(1);
                self.retired.push(id.index);
                self.len -= 1;
                Some(value)
            }
            vacant @ Content::Vacant { .. } => {
                slot.content = vacant;
                None
            }
        }
    }

    /// Gives the slots of removed values free, once everybody has heard of their end.
    pub(crate) fn reuse_retired(&mut self) {
        while let Some(index) = self.retired.pop() {
            let next = self.vacant.replace(index);
            if let Some(slot) = self.slot_mut(index) {
                slot.content = Content::Vacant { next };
            }
        }
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        match self.slot_mut(id.index)? {
            Slot {
                generation,
                content: Content::Taken(value),
            } if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&T> {
        match self
            .blocks
            .get(id.index as usize / BLOCK)?
            .get(id.index as usize % BLOCK)?
        {
            Slot {
                generation,
                content: Content::Taken(value),
            } if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The value in a slot, whatever its generation.
    pub(crate) fn at(&self, index: u32) -> Option<(ConnId, &T)> {
        match self
            .blocks
            .get(index as usize / BLOCK)?
            .get(index as usize % BLOCK)?
        {
            Slot {
                generation,
                content: Content::Taken(value),
            } => Some((
                ConnId {
                    index,
                    generation: *generation,
                },
                value,
            )),
            Slot {
                content: Content::Vacant { .. },
                ..
            } => None,
        }
    }

    /// How many values there are.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// How many slots there are, taken or vacant.
    pub(crate) fn slots(&self) -> u32 {
        (self.blocks.len() * BLOCK) as u32
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.blocks
            .get_mut(index as usize / BLOCK)?
            .get_mut(index as usize % BLOCK)
    }

    /// Adds a block and returns its first slot; the rest is chained in rising order.
    fn grow(&mut self) -> u32 {
        let first = self.slots();
        let block = (0..BLOCK as u32).map(|offset| Slot {
            generation: 0,
            content: Content::Vacant {
                next: (offset + 1 < BLOCK as u32).then_some(first + offset + 1),
            },
        });
        self.blocks.push(block.collect());
        first
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut slab = Slab::new();
        let old = slab.insert('a');
        assert_eq!(slab.remove(old), Some('a'));
        assert_ne!(
            slab.insert('c').index,
            old.index,
            "its end may not be known yet"
        );
        slab.reuse_retired();
        let new = slab.insert('b');
        assert_eq!(new.index, old.index);
        assert_eq!((slab.get(old), slab.get(new)), (None, Some(&'b')));
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.len(), 2);
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec((any::<bool>(), any::<u16>()), 1..2000)) {
            let mut slab = Slab::new();
            let mut model: HashMap<ConnId, u16> = HashMap::new();
            let mut ids = Vec::new();
            for (insert, value) in steps {
                if insert || ids.is_empty() {
                    let id = slab.insert(value);
                    prop_assert!(model.insert(id, value).is_none(), "an id was given out twice");
                    ids.push(id);
                } else {
                    let id = ids[value as usize % ids.len()];
                    prop_assert_eq!(slab.remove(id), model.remove(&id));
                    if value % 3 == 0 {
                        slab.reuse_retired();
                    }
                }
            }
            prop_assert_eq!(slab.len() as usize, model.len());
            for id in ids {
                prop_assert_eq!(slab.get(id), model.get(&id));
            }
            let live = (0..slab.slots()).filter_map(|index| slab.at(index)).count();
            prop_assert_eq!(live, model.len());
        }
    }
}
