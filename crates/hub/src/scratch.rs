//! A buffer to encode in, so that each frame is allocated once and in its exact size.

use proto::Frame;

/// Memory that is used for one frame after the other. Invariant: empty between two.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    /// Makes a frame of what `encode` appends.
    pub(crate) fn frame<E>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Frame, E> {
        let frame = encode(&mut self.0).map(|()| Frame::from(self.0.as_slice()));
        // Cleared first: a vector never shrinks below its length.
        self.0.clear();
        self.0.shrink_to(KEPT_BYTES_MAX);
        frame
    }
}

/// What stays allocated after a large frame.
const KEPT_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_frame_does_not_stay() {
        let mut scratch = Scratch::default();
        let large = scratch.frame(|out| {
            out.resize(1 << 20, 7);
            Ok::<_, ()>(())
        });
        assert_eq!(large.unwrap().len(), 1 << 20);
        assert!(scratch.0.capacity() <= KEPT_BYTES_MAX);
        let small = scratch.frame(|out| {
            out.push(1);
            Ok::<_, ()>(())
        });
        assert_eq!(small.unwrap().as_bytes(), [1]);
        let failed = scratch.frame(|out| {
            out.resize(1 << 20, 7);
            Err(3)
        });
        assert_eq!(failed, Err(3));
        assert!(scratch.0.capacity() <= KEPT_BYTES_MAX);
        assert_eq!(scratch.frame(|_| Ok::<_, ()>(())).unwrap().len(), 0);
    }
}
