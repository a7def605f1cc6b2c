//! A table by dense index that grows by blocks, so that it never moves and never doubles.

/// Entries by index, in blocks of [`BLOCK_SLOTS`]; an empty block costs two words.
#[derive(Debug)]
pub(crate) struct Blocks<T> {
    blocks: Vec<Block<T>>,
    len: usize,
}

/// Invariant: `slots` is empty, or has [`BLOCK_SLOTS`] slots of which `used` hold something.
#[derive(Debug)]
struct Block<T> {
    slots: Box<[Option<T>]>,
    used: u32,
}

impl<T> Blocks<T> {
    pub(crate) const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            len: 0,
        }
    }

    /// Puts a value at an index and hands back what was there.
    pub(crate) fn insert(&mut self, index: u32, value: T) -> Option<T> {
        let (block, slot) = split(index);
        if block >= self.blocks.len() {
            self.blocks.resize_with(block + 1, Block::empty);
        }
        let block = &mut self.blocks[block];
        if block.slots.is_empty() {
            block.slots = std::iter::repeat_with(|| None).take(BLOCK_SLOTS).collect();
        }
        let replaced = block.slots[slot].replace(value);
        if replaced.is_none() {
            block.used += 1;
            self.len += 1;
        }
        replaced
    }

    /// Takes a value out; a block without values gives its memory back.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let (block, slot) = split(index);
        let block = self.blocks.get_mut(block)?;
        let value = block.slots.get_mut(slot)?.take()?;
        self.len -= 1;
        block.used -= 1;
        if block.used == 0 {
            *block = Block::empty();
        }
        Some(value)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let (block, slot) = split(index);
        self.blocks.get(block)?.slots.get(slot)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let (block, slot) = split(index);
        self.blocks.get_mut(block)?.slots.get_mut(slot)?.as_mut()
    }

    /// The number of values.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest index that a value may be at.
    pub(crate) fn places_count(&self) -> u32 {
        u32::try_from(self.blocks.len() * BLOCK_SLOTS).unwrap_or(u32::MAX)
    }

    /// All values with their indices, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.blocks.iter().zip(0_u32..).flat_map(|(block, number)| {
            let indices = number * BLOCK_SLOTS as u32..;
            let slots = block.slots.iter().zip(indices);
            slots.filter_map(|(value, index)| Some((index, value.as_ref()?)))
        })
    }

    /// The memory that the table owns, without what its values own.
    pub(crate) fn heap_bytes(&self) -> usize {
        let slots: usize = self.blocks.iter().map(|block| block.slots.len()).sum();
        slots * size_of::<Option<T>>() + self.blocks.capacity() * size_of::<Block<T>>()
    }
}

impl<T> Block<T> {
    fn empty() -> Self {
        Self {
            slots: Box::default(),
            used: 0,
        }
    }
}

/// Slots in a block: enough to make its header vanish, few enough that the last one wastes little.
const BLOCK_SLOTS: usize = 256;

const fn split(index: u32) -> (usize, usize) {
    let index = index as usize;
    (index / BLOCK_SLOTS, index % BLOCK_SLOTS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_without_values_owns_no_slots() {
        let mut blocks = Blocks::new();
        blocks.insert(300, "a");
        let with_one = blocks.heap_bytes();
        assert_eq!(blocks.remove(300), Some("a"));
        assert_eq!(blocks.remove(300), None);
        assert!(blocks.heap_bytes() + BLOCK_SLOTS * size_of::<Option<&str>>() == with_one);
        assert_eq!((blocks.get(300), blocks.get(7_000_000)), (None, None));
    }

    proptest! {
        #[test]
        fn it_is_a_map_by_index(
            operations in prop::collection::vec((0u32..1500, any::<Option<u8>>()), 0..200),
        ) {
            let mut blocks = Blocks::new();
            let mut model = BTreeMap::new();
            for (index, value) in operations {
                let (got, expected) = match value {
                    Some(value) => (blocks.insert(index, value), model.insert(index, value)),
                    None => (blocks.remove(index), model.remove(&index)),
                };
                prop_assert_eq!(got, expected);
                prop_assert_eq!(blocks.get(index), model.get(&index));
                prop_assert_eq!(blocks.len(), model.len());
            }
            let all: Vec<_> = blocks.iter().map(|(index, value)| (index, *value)).collect();
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }
}
