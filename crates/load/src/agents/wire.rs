//! Frames between a coordinator and an agent, and what makes them genuine.
//!
//! ```text
//!  length     tag                content
//!  4 bytes    32 bytes           length - 32 bytes, JSON
//! ```
//!
//! The length is a big-endian number and counts tag and content. The tag is the HMAC-SHA-256 of the
//! direction (a byte), the frame's number in that direction (8 bytes, from 0) and the content, under a key
//! that both sides have made from the secret and this session's nonces: a frame that was made by somebody
//! else, sent before, left out or moved is refused, and the session ends. Frames of the greeting, before there is
//! a key, have no tag and are short.
//!
//! *Architecture invariant:* pure. No socket, clock or thread.

use aws_lc_rs::hmac;
use thiserror::Error;

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;
/// Bytes of a tag.
const TAG_BYTES: usize = 32;
/// The longest frame of the greeting, from whoever has found the port.
pub(crate) const GREETING_BYTES_MAX: usize = 4 << 10;
/// The longest frame after it: a script with its files, or the histograms and arrivals of a run.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;

/// Why bytes are no frames of this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum WireError {
    /// A frame says that it is longer than it may be.
    #[error(
        "a frame of {bytes} bytes came where {most} are the most: the other side is no fourtuple agent"
    )]
    TooLong { bytes: usize, most: usize },
    /// This side would send a frame that is longer than it may be.
    #[error("a message of {bytes} bytes is too long for an agents' session: {most} are the most")]
    OwnTooLong { bytes: usize, most: usize },
    /// A frame is too short for its tag.
    #[error("a frame came that is too short for its tag")]
    TooShort,
    /// A tag is not that of its frame.
    #[error("a frame came that is not genuine: it was changed, repeated or left out on its way")]
    Forged,
}

/// Which way frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToAgent = 1,
    ToCoordinator = 2,
}

/// Makes or checks the tags of one direction.
#[derive(Debug)]
pub(crate) struct Seal {
    key: hmac::Key,
    direction: Direction,
    /// The number of the next frame.
    number: u64,
}

impl Seal {
    /// The seal of frames that go in `direction`, under `key`.
    pub(crate) fn new(key: &[u8; 32], direction: Direction) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            direction,
            number: 0,
        }
    }

    /// The tag of the next frame.
    fn sign(&mut self, content: &[u8]) -> hmac::Tag {
        let tag = self.context(content).sign();
        self.number += 1;
        tag
    }

    /// Whether `tag` is that of the next frame. Takes as long wherever they differ.
    fn verify(&mut self, content: &[u8], tag: &[u8]) -> bool {
        let own = self.sign(content);
        aws_lc_rs::constant_time::verify_slices_are_equal(own.as_ref(), tag).is_ok()
    }

    fn context(&self, content: &[u8]) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[self.direction as u8]);
        context.update(&self.number.to_be_bytes());
        context.update(content);
        context
    }
}

/// Writes a frame; with a tag, if there is a seal.
///
/// # Errors
///
/// [`WireError::OwnTooLong`].
pub(crate) fn frame(content: &[u8], seal: Option<&mut Seal>) -> Result<Vec<u8>, WireError> {
    let mut frame = head(content, seal)?;
    frame.extend_from_slice(content);
    Ok(frame)
}

/// Writes what comes before the content of a frame.
///
/// # Errors
///
/// [`WireError::OwnTooLong`].
pub(crate) fn head(content: &[u8], seal: Option<&mut Seal>) -> Result<Vec<u8>, WireError> {
    let (tag_bytes, most) = match seal {
        Some(_) => (TAG_BYTES, FRAME_BYTES_MAX),
        None => (0, GREETING_BYTES_MAX),
    };
    let bytes = content.len() + tag_bytes;
    if bytes > most {
        return Err(WireError::OwnTooLong { bytes, most });
    }
    let mut head = Vec::with_capacity(LENGTH_BYTES + TAG_BYTES);
    // Both limits are below 2^32.
    head.extend_from_slice(&(bytes as u32).to_be_bytes());
    if let Some(seal) = seal {
        head.extend_from_slice(seal.sign(content).as_ref());
    }
    Ok(head)
}

/// Finds frames in bytes that come in any pieces.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// Bytes that were taken out already.
    taken: usize,
}

impl Inbox {
    /// Adds bytes that came.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.taken > 0 && self.taken == self.bytes.len() {
            // What one long frame took is not kept for the short ones.
            *self = Self::default();
        } else if self.taken > bytes.len() {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes out the content of the next frame, if all of it is there.
    ///
    /// # Errors
    ///
    /// It is no frame of this session. There is nothing to go on with then.
    pub(crate) fn next(&mut self, seal: Option<&mut Seal>) -> Result<Option<Vec<u8>>, WireError> {
        let there = &self.bytes[self.taken..];
        let Some((length, rest)) = there.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        let most = match seal {
            Some(_) => FRAME_BYTES_MAX,
            None => GREETING_BYTES_MAX,
        };
        if length > most {
            return Err(WireError::TooLong {
                bytes: length,
                most,
            });
        }
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let content = match seal {
            None => frame,
            Some(seal) => {
                let (tag, content) = frame
                    .split_at_checked(TAG_BYTES)
                    .ok_or(WireError::TooShort)?;
                if !seal.verify(content, tag) {
                    return Err(WireError::Forged);
                }
                content
            }
        };
        let content = content.to_vec();
        self.taken += LENGTH_BYTES + length;
        Ok(Some(content))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn seals() -> (Seal, Seal) {
        let seal = || Seal::new(&KEY, Direction::ToAgent);
        (seal(), seal())
    }

    fn all(inbox: &mut Inbox, seal: &mut Seal) -> Result<Vec<Vec<u8>>, WireError> {
        std::iter::from_fn(|| inbox.next(Some(&mut *seal)).transpose()).collect()
    }

    #[test]
    fn the_picture_is_true() {
        let mut seal = Seal::new(&KEY, Direction::ToCoordinator);
        let frame = frame(b"{}", Some(&mut seal)).expect("short");
        assert_eq!(frame[..4], [0, 0, 0, 34]);
        assert_eq!(&frame[36..], b"{}");
        let mut signed = vec![2, 0, 0, 0, 0, 0, 0, 0, 0];
        signed.extend_from_slice(b"{}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &KEY);
        assert_eq!(&frame[4..36], hmac::sign(&key, &signed).as_ref());
        assert_eq!(super::frame(b"{}", None).expect("short"), b"\0\0\0\x02{}");
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_from_its_length_on() {
        for (is_greeting, most) in [(true, GREETING_BYTES_MAX), (false, FRAME_BYTES_MAX)] {
            let mut seal = Seal::new(&KEY, Direction::ToAgent);
            let mut inbox = Inbox::default();
            inbox.feed(&(most as u32 + 1).to_be_bytes());
            let seal = (!is_greeting).then_some(&mut seal);
            let bytes = most + 1;
            assert_eq!(inbox.next(seal), Err(WireError::TooLong { bytes, most }));
        }
        // Who would send one hears of itself, not of the other side.
        let long = vec![0; GREETING_BYTES_MAX + 1];
        let own = frame(&long, None).expect_err("too long").to_string();
        assert!(own.starts_with("a message of 4097 bytes"), "{own}");
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..10),
            cuts in prop::collection::vec(1..100_usize, 1..10),
        ) {
            let (mut sign, mut check) = seals();
            let mut bytes = Vec::new();
            for content in &contents {
                bytes.extend(frame(content, Some(&mut sign)).expect("short"));
            }
            let mut inbox = Inbox::default();
            let (mut read, mut rest) = (Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at(rest.len().min(*cut));
                rest = later;
                inbox.feed(now);
                read.extend(all(&mut inbox, &mut check).expect("genuine"));
            }
            prop_assert_eq!(read, contents);
        }

        #[test]
        fn what_is_changed_left_out_or_moved_is_refused(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 2..6),
            at: prop::sample::Index, bit in 0..8_u32, deed in 0..4_u8,
        ) {
            let (mut sign, mut check) = seals();
            let frames: Vec<_> = contents.iter()
                .map(|content| frame(content, Some(&mut sign)).expect("short")).collect();
            let mut sent = frames.clone();
            let place = at.index(frames.len());
            match deed {
                0 => {
                    let byte = LENGTH_BYTES + at.index(frames[place].len() - LENGTH_BYTES);
                    sent[place][byte] ^= 1 << bit;
                }
                1 => { sent.insert(place, frames[place].clone()); }
                // What is left out at the end is missed by nobody here: the stream ends early.
                2 => { sent.remove(place.min(frames.len() - 2)); }
                _ => { let next = (place + 1) % frames.len(); sent.swap(place, next); }
            }
            let mut inbox = Inbox::default();
            inbox.feed(&sent.concat());
            prop_assert_eq!(all(&mut inbox, &mut check), Err(WireError::Forged));
        }

        #[test]
        fn no_bytes_of_others_are_frames(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_, mut check) = seals();
            let mut inbox = Inbox::default();
            inbox.feed(&bytes);
            if let Ok(frames) = all(&mut inbox, &mut check) {
                prop_assert!(frames.is_empty());
            }
            let mut greeting = Inbox::default();
            greeting.feed(&bytes);
            while let Ok(Some(content)) = greeting.next(None) {
                prop_assert!(content.len() <= GREETING_BYTES_MAX);
            }
        }
    }
}
