//! What an endpoint keeps while a frame or a message is incomplete.
//!
//! ```text
//!            header bytes                   payload bytes
//!  nothing ──────────────► header cut ────► frame open ─────┐ fin: the message is given out
//!     ▲                                        ▲            │ not fin: wait for the next fragment
//!     └────────────────────────────────────────┴────────────┘
//! ```
//!
//! Memory is taken for bytes that arrived, never for bytes that a header promises: a peer that
//! declares a gigabyte and sends ten bytes costs ten bytes.

use super::{
    Error, OpCode,
    growth::room,
    header::{HEADER_BYTES_MAX, Header},
    mask,
    utf8::TextBuffer,
};

/// An incomplete header, frame or message, or one inside the other.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// A header that was cut.
    pub(super) header: HeaderCut,
    /// A frame of which payload is missing.
    pub(super) frame: Option<Open>,
    /// A message of which fragments, or the rest of its only frame, are missing.
    pub(super) message: Option<Message>,
    /// The payload of the open frame if it is a control frame, at most 125 bytes.
    pub(super) control: Vec<u8>,
}

impl Partial {
    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.header.is_empty() && self.frame.is_none() && self.message.is_none()
    }

    /// Bytes of heap, itself included.
    pub(super) fn bytes(&self) -> usize {
        let message = self
            .message
            .as_ref()
            .map_or(0, |message| message.body.capacity());
        size_of::<Self>() + self.control.capacity() + message
    }
}

/// The bytes of a header that has not come to its end.
#[derive(Debug, Default)]
pub(super) struct HeaderCut {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl HeaderCut {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes what belongs to the header from the start of `bytes`: the header, if it is whole now,
    /// and the number of bytes taken.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(Option<Header>, usize), Error> {
        let mut taken = 0;
        // Twice at most: the first two bytes tell how many there are.
        loop {
            let len = usize::from(self.len);
            let missing = Header::len(&self.bytes[..len]) - len;
            let chunk = missing.min(bytes.len() - taken);
            if chunk == 0 {
                break;
            }
            self.bytes[len..len + chunk].copy_from_slice(&bytes[taken..taken + chunk]);
            self.len += chunk as u8;
            taken += chunk;
        }
        let header = Header::parse(&self.bytes[..usize::from(self.len)])?;
        if header.is_some() {
            self.len = 0;
        }
        Ok((header.map(|(header, _)| header), taken))
    }
}

/// A frame whose header is known and whose payload is not all there.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) header: Header,
    received: u64,
}

impl Open {
    pub(super) const fn new(header: Header) -> Self {
        Self {
            header,
            received: 0,
        }
    }

    pub(super) const fn missing(&self) -> u64 {
        self.header.payload_len - self.received
    }

    /// Unmasks the next bytes of the payload.
    pub(super) fn unmask(&mut self, bytes: &mut [u8]) {
        if let Some(key) = self.header.mask {
            mask::apply(key, self.received, bytes);
        }
        self.received += bytes.len() as u64;
    }
}

/// A data message in the making.
#[derive(Debug)]
pub(super) struct Message {
    /// Frames so far, the open one included.
    pub(super) fragments_count: u32,
    pub(super) body: Body,
}

impl Message {
    pub(super) fn new(opcode: OpCode) -> Self {
        let body = match opcode {
            OpCode::Text => Body::Text(TextBuffer::default()),
            _ => Body::Binary(Vec::new()),
        };
        Self {
            fragments_count: 1,
            body,
        }
    }
}

/// The content of a message so far.
#[derive(Debug)]
pub(super) enum Body {
    Text(TextBuffer),
    Binary(Vec<u8>),
}

impl Body {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    /// Takes unmasked bytes. `bytes_max` is the longest that this message can become.
    pub(super) fn push(&mut self, bytes: &[u8], bytes_max: u64) -> Result<(), Error> {
        match self {
            // RFC 6455 §8.1: text is checked here, chunk by chunk, so that a bad byte fails the
            // connection when it arrives and not when its message is complete.
            Self::Text(text) => text
                .push(bytes, bytes_max)
                .map_err(|_| Error::TextNotUtf8)?,
            Self::Binary(all) => {
                all.reserve_exact(room(all.capacity(), all.len(), bytes.len(), bytes_max));
                all.extend_from_slice(bytes);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_copied_a_logarithmic_number_of_times() {
        let mut body = Body::Binary(Vec::new());
        let mut growths = 0;
        for _ in 0..100_000 {
            let before = body.capacity();
            body.push(b"x", 100_000)
                .expect("binary content is never wrong");
            growths += usize::from(body.capacity() != before);
        }
        assert_eq!(body.len(), 100_000);
        assert_eq!(body.capacity(), 100_000);
        assert!(growths <= 18, "{growths} growths");
    }
}
