//! One end of an open WebSocket: bytes arrive, events come out.
//!
//! An endpoint at rest is two words. It owns memory only while a frame or a message is incomplete,
//! and gives it back with the event that completes it. Frames that lie whole in the caller's
//! buffer, nearly all of them, are unmasked where they are and handed out as borrows.

use std::{fmt, ops::Range};

use super::{
    CloseFrame, Error, OpCode, close,
    header::Header,
    mask,
    partial::{Body, Message, Open, Partial},
    utf8,
};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts connections: expects masked frames and sends unmasked ones.
    Server,
    /// Dials: expects unmasked frames and sends masked ones.
    Client,
}

/// What a peer may send. Each is checked against a header, before memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of payload in one data frame. Control frames have the limit of the RFC, 125.
    pub frame_bytes_max: u64,
    /// Bytes of payload in one message, over all its fragments.
    pub message_bytes_max: u64,
    /// Frames that one message may come in, at least 1. Empty ones count: they cost work, too.
    pub fragments_max: u32,
}

/// What came from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A ping; a pong with the same bytes is owed.
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The peer's last frame; a close is owed if none was sent yet.
    Close(Option<CloseFrame<'a>>),
}

/// The reading half of an open WebSocket.
pub struct Endpoint {
    /// 8 bytes. Invariant: `None` unless something is incomplete.
    partial: Option<Box<Partial>>,
    /// 1 byte.
    role: Role,
    /// 1 byte. After a close frame or an error nothing is read any more.
    ended: bool,
}

const _: () = assert!(size_of::<Endpoint>() == 16);

impl Endpoint {
    /// An endpoint of a WebSocket that has just opened.
    pub const fn new(role: Role) -> Self {
        Self {
            partial: None,
            role,
            ended: false,
        }
    }

    /// Reads bytes that arrived. Payloads are unmasked in place; the events borrow from `bytes` or
    /// from the endpoint.
    ///
    /// The reader must be asked until it has no more events: bytes it was not asked for are lost.
    pub fn read<'a>(&'a mut self, limits: &'a Limits, bytes: &'a mut [u8]) -> Reader<'a> {
        Reader {
            endpoint: self,
            limits,
            bytes,
            used: 0,
            assembled: Assembled::Nothing,
        }
    }

    /// Whether something is incomplete and memory is held for it.
    pub fn owns_buffer(&self) -> bool {
        self.partial.is_some()
    }

    /// Bytes of heap memory held, 0 at rest.
    pub fn buffer_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.bytes())
    }

    /// Whether a close frame or an error has been read, after which nothing is.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn end(&mut self) {
        self.ended = true;
        self.partial = None;
    }

    /// Whether a header was cut.
    fn awaits_header(&self) -> bool {
        let partial = self.partial.as_deref();
        partial.is_some_and(|partial| !partial.header.is_empty())
    }

    /// Whether a frame is open.
    fn awaits_payload(&self) -> bool {
        let partial = self.partial.as_deref();
        partial.is_some_and(|partial| partial.frame.is_some())
    }

    fn release_if_empty(&mut self) {
        if self
            .partial
            .as_ref()
            .is_some_and(|partial| partial.is_empty())
        {
            self.partial = None;
        }
    }

    /// Checks what a header means here and now, before anything is done for its payload.
    fn check(&self, header: &Header, limits: &Limits) -> Result<(), Error> {
        match (self.role, header.mask) {
            // RFC 6455 §5.1: a server MUST close upon a frame that is not masked.
            (Role::Server, None) => return Err(Error::UnmaskedClientFrame),
            // RFC 6455 §5.1: a client MUST close upon a frame that is masked.
            (Role::Client, Some(_)) => return Err(Error::MaskedServerFrame),
            _ => {}
        }
        if header.opcode.is_control() {
            // RFC 6455 §5.4: control frames MAY come between the fragments of a message.
            return Ok(());
        }
        let message = self
            .partial
            .as_ref()
            .and_then(|partial| partial.message.as_ref());
        let (len, fragments_count) = match (header.opcode, message) {
            // RFC 6455 §5.4: fragments of one message MUST NOT be interleaved with another's.
            (OpCode::Text | OpCode::Binary, Some(_)) => return Err(Error::MessageInterleaved),
            (OpCode::Continuation, None) => return Err(Error::ContinuationWithoutStart),
            (_, Some(message)) => (message.body.len() as u64, message.fragments_count),
            (_, None) => (0, 0),
        };
        // RFC 6455 §10.4: limits on the size of a frame and of a message made of fragments.
        if header.payload_len > limits.frame_bytes_max {
            return Err(Error::FrameTooBig);
        }
        if header.payload_len > limits.message_bytes_max.saturating_sub(len) {
            return Err(Error::MessageTooBig);
        }
        if fragments_count >= limits.fragments_max {
            return Err(Error::TooManyFragments);
        }
        Ok(())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("role", &self.role)
            .field("ended", &self.ended)
            .field("buffer_bytes", &self.buffer_bytes())
            .finish()
    }
}

/// Reads the bytes of one arrival; see [`Endpoint::read`].
pub struct Reader<'a> {
    endpoint: &'a mut Endpoint,
    limits: &'a Limits,
    bytes: &'a mut [u8],
    /// Invariant: `bytes[..used]` have become events or are kept by the endpoint.
    used: usize,
    /// What the endpoint gave up for the event that was asked for last; freed when the next is.
    assembled: Assembled,
}

/// Content that came in pieces.
enum Assembled {
    Nothing,
    Text(String),
    Bytes(Vec<u8>),
}

/// Where the content of an event is.
enum Content {
    /// In the caller's buffer.
    Here(Range<usize>),
    /// In `Reader::assembled`.
    Assembled,
}

impl Reader<'_> {
    /// The next thing that came from the peer, or `None` when the bytes are used up.
    ///
    /// After a close frame or an error there is nothing more, whatever comes.
    ///
    /// # Errors
    ///
    /// Every variant of [`Error`], once: what a header proves when it is whole, before anything is
    /// done for its payload; what a payload proves at the byte that proves it.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.assembled = Assembled::Nothing;
        if self.endpoint.ended {
            return Ok(None);
        }
        let (opcode, content) = match self.advance() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.endpoint.end();
                return Err(error);
            }
        };
        let event = match (content, &self.assembled) {
            (Content::Here(range), _) => event(opcode, &self.bytes[range]),
            (Content::Assembled, Assembled::Text(text)) => Ok(Event::Text(text)),
            (Content::Assembled, Assembled::Bytes(bytes)) => event(opcode, bytes),
            (Content::Assembled, Assembled::Nothing) => event(opcode, &[]),
        };
        // RFC 6455 §5.5.1 and §7.1.7: nothing is read after a close frame or a failure.
        if matches!(event, Ok(Event::Close(_)) | Err(_)) {
            self.endpoint.end();
        }
        event.map(Some)
    }

    /// Uses bytes until something is whole.
    fn advance(&mut self) -> Result<Option<(OpCode, Content)>, Error> {
        loop {
            if self.endpoint.awaits_payload() {
                if !self.continue_frame()? {
                    return Ok(None);
                }
                if let Some(opcode) = self.finish_frame()? {
                    return Ok(Some((opcode, Content::Assembled)));
                }
            }
            let Some(header) = self.take_header()? else {
                return Ok(None);
            };
            self.endpoint.check(&header, self.limits)?;
            if let Some(range) = self.take_payload(&header) {
                self.endpoint.release_if_empty();
                return Ok(Some((header.opcode, Content::Here(range))));
            }
            self.open_frame(header);
        }
    }

    /// Reads a header, or keeps what there is of one.
    fn take_header(&mut self) -> Result<Option<Header>, Error> {
        let rest = &self.bytes[self.used..];
        if !self.endpoint.awaits_header() {
            if let Some((header, len)) = Header::parse(rest)? {
                self.used += len;
                return Ok(Some(header));
            }
            if rest.is_empty() {
                return Ok(None);
            }
        }
        let partial = self.endpoint.partial.get_or_insert_default();
        let (header, taken) = partial.header.push(rest)?;
        self.used += taken;
        Ok(header)
    }

    /// Takes the payload of a frame that is a whole event, if all of it is here, and unmasks it.
    fn take_payload(&mut self, header: &Header) -> Option<Range<usize>> {
        if !header.fin || header.opcode == OpCode::Continuation {
            return None;
        }
        let len = usize::try_from(header.payload_len).ok()?;
        let payload = self.bytes[self.used..].get_mut(..len)?;
        if let Some(key) = header.mask {
            mask::apply(key, 0, payload);
        }
        let start = self.used;
        self.used += len;
        Some(start..self.used)
    }

    /// Starts to keep a frame.
    fn open_frame(&mut self, header: Header) {
        let partial = self.endpoint.partial.get_or_insert_default();
        match &mut partial.message {
            _ if header.opcode.is_control() => {}
            Some(message) => message.fragments_count += 1,
            None => partial.message = Some(Message::new(header.opcode)),
        }
        partial.frame = Some(Open::new(header));
    }

    /// Gives the open frame the bytes that belong to it; tells whether all of it is there now.
    fn continue_frame(&mut self) -> Result<bool, Error> {
        let Some(partial) = self.endpoint.partial.as_deref_mut() else {
            return Ok(true);
        };
        let Some(frame) = &mut partial.frame else {
            return Ok(true);
        };
        let rest = &mut self.bytes[self.used..];
        let len = usize::try_from(frame.missing()).map_or(rest.len(), |len| len.min(rest.len()));
        let chunk = &mut rest[..len];
        frame.unmask(chunk);
        self.used += len;
        let missing = frame.missing();
        if frame.header.opcode.is_control() {
            partial.control.extend_from_slice(chunk);
        } else if let Some(message) = &mut partial.message {
            // Only the last frame tells how long the message will be.
            let bytes_max = if frame.header.fin {
                (message.body.len() + len) as u64 + missing
            } else {
                self.limits.message_bytes_max
            };
            message.body.push(chunk, bytes_max)?;
        }
        Ok(missing == 0)
    }

    /// Ends the open frame. If that makes an event, its content is in `assembled` and the endpoint
    /// has given up its memory.
    fn finish_frame(&mut self) -> Result<Option<OpCode>, Error> {
        let Some(partial) = self.endpoint.partial.as_deref_mut() else {
            return Ok(None);
        };
        let Some(Open { header, .. }) = partial.frame.take() else {
            return Ok(None);
        };
        if header.opcode.is_control() {
            self.assembled = Assembled::Bytes(std::mem::take(&mut partial.control));
            self.endpoint.release_if_empty();
            return Ok(Some(header.opcode));
        }
        let Some(message) = partial.message.take_if(|_| header.fin) else {
            return Ok(None);
        };
        let opcode = match message.body {
            Body::Text(text) => {
                // A message may not end inside a character.
                self.assembled = Assembled::Text(text.finish().map_err(|_| Error::TextNotUtf8)?);
                OpCode::Text
            }
            Body::Binary(bytes) => {
                self.assembled = Assembled::Bytes(bytes);
                OpCode::Binary
            }
        };
        self.endpoint.release_if_empty();
        Ok(Some(opcode))
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("endpoint", &self.endpoint)
            .field("unused", &(self.bytes.len() - self.used))
            .finish_non_exhaustive()
    }
}

/// Gives the content of a whole frame its meaning.
fn event(opcode: OpCode, payload: &[u8]) -> Result<Event<'_>, Error> {
    match opcode {
        OpCode::Text => utf8::check(payload)
            .map(Event::Text)
            .ok_or(Error::TextNotUtf8),
        OpCode::Binary | OpCode::Continuation => Ok(Event::Binary(payload)),
        OpCode::Ping => Ok(Event::Ping(payload)),
        OpCode::Pong => Ok(Event::Pong(payload)),
        OpCode::Close => close::parse(payload).map(Event::Close),
    }
}
