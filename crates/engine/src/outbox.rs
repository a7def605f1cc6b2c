//! What a connection has still to write.

use std::collections::VecDeque;

use proto::Frame;

/// Frames in the order they go out, the first perhaps half written.
///
/// Empty, it owns nothing; with one frame, the common case in a fan-out, it owns no list either.
///
/// Invariant: `head_sent` is less than the first frame's length, and 0 when there is none; `bytes`
/// is the sum of the frames' lengths less `head_sent`.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Queue,   // 24 bytes
    bytes: u32,     // 4
    head_sent: u32, // 4
}

const _: () = assert!(size_of::<Outbox>() == 32);

/// What a queued frame costs beside its bytes, roughly: its place in the list, its reference count and
/// the allocator's share. Without it, frames of two bytes would cost many times the limit.
const FRAME_COST: usize = 64;

#[derive(Debug, Default)]
enum Queue {
    #[default]
    Empty,
    One(Frame),
    #[allow(
        clippy::box_collection,
        reason = "unboxed, a rare list would cost every idle connection 16 bytes"
    )]
    Many(Box<VecDeque<Frame>>),
}

impl Outbox {
    /// Appends a frame; an empty one is nothing to write.
    pub(crate) fn push(&mut self, frame: Frame) {
        if frame.is_empty() {
            return;
        }
        self.bytes = self
            .bytes
            .saturating_add(u32::try_from(frame.len()).unwrap_or(u32::MAX));
        self.queue = match std::mem::take(&mut self.queue) {
            Queue::Empty => Queue::One(frame),
            Queue::One(first) => Queue::Many(Box::new(VecDeque::from([first, frame]))),
            Queue::Many(mut frames) => {
                frames.push_back(frame);
                Queue::Many(frames)
            }
        };
    }

    /// Forgets what the wire has: `written` bytes from the front.
    ///
    /// # Panics
    ///
    /// A kernel claims to have written more than there was.
    pub(crate) fn advance(&mut self, written: usize) {
        let mut left = written + self.head_sent as usize;
        self.bytes = self
            .bytes
            .checked_sub(u32::try_from(written).expect("one write is below 4 GiB"))
            .expect("a kernel writes no more than it was given");
        while let Some(first) = self.frames().0.first().map(Frame::len) {
            if left < first {
                break;
            }
            left -= first;
            self.pop();
        }
        self.head_sent = left as u32;
    }

    /// Drops what has not started to go out, so that a goodbye can follow what is on the wire. The
    /// first `held` frames are in the hands of a kernel and stay, too.
    pub(crate) fn drop_unsent(&mut self, held: usize) {
        let kept = held.max(usize::from(self.head_sent > 0));
        if kept == 0 {
            *self = Self::default();
            return;
        }
        if let Queue::Many(frames) = &mut self.queue {
            frames.truncate(kept);
            let left: usize = frames.iter().map(Frame::len).sum();
            self.bytes = left as u32 - self.head_sent;
        }
    }

    /// The frames to write next, in order (perhaps not all there are), and how many bytes of the
    /// first are written already.
    pub(crate) fn frames(&self) -> (&[Frame], usize) {
        let frames = match &self.queue {
            Queue::Empty => &[],
            Queue::One(frame) => std::slice::from_ref(frame),
            Queue::Many(frames) => frames.as_slices().0,
        };
        (frames, self.head_sent as usize)
    }

    /// Bytes that are not written yet.
    pub(crate) const fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Frames that are not written yet, one half written included.
    pub(crate) fn len(&self) -> usize {
        match &self.queue {
            Queue::Empty => 0,
            Queue::One(_) => 1,
            Queue::Many(frames) => frames.len(),
        }
    }

    /// Whether it holds more than it may. Each frame counts [`FRAME_COST`] beside its bytes, and a
    /// single frame is never too much, or no message could be sent that is as long as the limit.
    pub(crate) fn is_over(&self, bytes_max: u32) -> bool {
        let frames = match &self.queue {
            Queue::Empty | Queue::One(_) => return false,
            Queue::Many(frames) => frames.len(),
        };
        self.bytes as usize + frames * FRAME_COST > bytes_max as usize
    }

    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self.queue, Queue::Empty)
    }

    fn pop(&mut self) {
        match &mut self.queue {
            Queue::Empty | Queue::One(_) => self.queue = Queue::Empty,
            Queue::Many(frames) => {
                frames.pop_front();
                if frames.is_empty() {
                    self.queue = Queue::Empty;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes like a kernel would: `budget` bytes of what is offered.
    fn write(outbox: &mut Outbox, budget: usize, wire: &mut Vec<u8>) {
        let (frames, skip) = outbox.frames();
        let offered: Vec<u8> = frames.iter().flat_map(|f| f.as_bytes()).copied().collect();
        let written = budget.min(offered.len() - skip);
        wire.extend_from_slice(&offered[skip..skip + written]);
        outbox.advance(written);
    }

    #[test]
    fn a_goodbye_follows_only_the_frame_that_is_on_the_wire() {
        let mut outbox = Outbox::default();
        for text in ["first", "second", "third"] {
            outbox.push(Frame::from(text.as_bytes()));
        }
        let mut wire = Vec::new();
        write(&mut outbox, 2, &mut wire);
        outbox.drop_unsent(0);
        assert_eq!(outbox.bytes(), 3);
        outbox.push(Frame::from(&b"bye"[..]));
        while !outbox.is_empty() {
            write(&mut outbox, 1, &mut wire);
        }
        assert_eq!(wire, b"firstbye");
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn one_frame_is_never_too_much_and_many_small_ones_are() {
        let mut outbox = Outbox::default();
        outbox.push(Frame::from(vec![0; 5000]));
        assert!(!outbox.is_over(1000));
        outbox.push(Frame::from(vec![0; 2]));
        assert!(outbox.is_over(1000));
        let mut outbox = Outbox::default();
        (0..15).for_each(|_| outbox.push(Frame::from(vec![0; 2])));
        assert!(!outbox.is_over(1000), "15 * (2 + 64) = 990");
        outbox.push(Frame::from(vec![0; 2]));
        assert!(outbox.is_over(1000));
    }

    #[test]
    fn what_a_kernel_holds_is_not_dropped() {
        let mut outbox = Outbox::default();
        for text in ["first", "second", "third"] {
            outbox.push(Frame::from(text.as_bytes()));
        }
        outbox.drop_unsent(2);
        assert_eq!(outbox.bytes(), 11);
        outbox.advance(11);
        assert!(outbox.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_the_kernel_takes_the_bytes_stay_in_order(
            steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 0usize..60), 1..60)
        ) {
            let mut outbox = Outbox::default();
            let (mut wire, mut expected) = (Vec::new(), Vec::new());
            for (payload, budget) in steps {
                expected.extend_from_slice(&payload);
                outbox.push(Frame::from(payload));
                write(&mut outbox, budget, &mut wire);
                prop_assert_eq!(outbox.bytes() as usize, expected.len() - wire.len());
            }
            while !outbox.is_empty() {
                write(&mut outbox, 7, &mut wire);
            }
            prop_assert_eq!(wire, expected);
        }
    }
}
