//! A table that grows without ever copying or doubling.

/// Entries in one chunk.
const CHUNK: usize = 1024;

/// A table indexed by the engine's dense connection indices.
///
/// Memory comes in chunks of 1,024 entries, so growing costs one chunk and never twice the table,
/// and what the table takes is what its highest index needs.
#[derive(Debug)]
pub(crate) struct Table<T> {
    chunks: Vec<Box<[T]>>,
}

impl<T: Clone + Default> Table<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    /// The entry of `index`, which exists from now on.
    pub(crate) fn entry(&mut self, index: u32) -> &mut T {
        let index = index as usize;
        while self.chunks.len() <= index / CHUNK {
            self.chunks
                .push(vec![T::default(); CHUNK].into_boxed_slice());
        }
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }

    /// The entry of `index`, if the table has grown that far.
    pub(crate) fn find(&mut self, index: u32) -> Option<&mut T> {
        self.chunks
            .get_mut(index as usize / CHUNK)?
            .get_mut(index as usize % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_whole_chunks_and_keeps_what_it_has() {
        let mut table = Table::<u64>::new();
        assert!(table.find(0).is_none());
        *table.entry(1) = 11;
        assert!(table.find(1023).is_some() && table.find(1024).is_none());
        *table.entry(5_000) = 55;
        assert_eq!(table.find(1).copied(), Some(11));
        assert_eq!(table.find(5_000).copied(), Some(55));
        assert_eq!(table.find(4_999).copied(), Some(0));
        assert!(table.find(5 * 1024).is_none());
    }
}
