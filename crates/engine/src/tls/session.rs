//! One TLS connection without a socket: ciphertext in, plaintext out, and the other way round.
//!
//! ```text
//!  Greeting ──handshake over──► Open ──close_notify──► Closed
//!      └────────────fault─────────┴──────────────────► Failed
//! ```

use std::fmt;

use proto::Frame;
use rustls::{
    Error, HandshakeKind,
    client::UnbufferedClientConnection,
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
    },
};

use super::{SEALED_BYTES_MAX, TlsClient, TlsFault};
use crate::outbox::Outbox;

/// Plaintext of one record at most (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 16_384;
/// What a record adds to its plaintext, with TLS 1.2 or 1.3; a longer one is asked for again.
const RECORD_OVERHEAD: usize = 64;
/// What may wait for its rest: a message of the handshake (rustls takes 64 KiB) and the record that continues it.
const PARTIAL_BYTES_MAX: usize = 128 * 1024;

/// A dialled TLS connection.
pub(crate) struct Session {
    tls: UnbufferedClientConnection,
    /// The beginning of a record or of a message of the handshake; empty, and nothing on the heap, otherwise.
    partial: Vec<u8>,
    /// Ciphertext that is still to be written: one record of the outbox, or what the handshake says.
    pub(crate) sealed: Outbox,
    /// Whether anything that the peer said was understood.
    has_understood: bool,
    has_said_goodbye: bool,
    has_failed: bool,
}

/// What there is to do once the session can write.
enum Wish<'a> {
    Nothing,
    Seal(&'a [u8]),
    Goodbye,
}

/// What came of a step.
#[derive(Default)]
struct Step {
    /// Bytes of the input that are done with.
    used: usize,
    /// The peer says that it sends nothing more.
    is_closed: bool,
}

impl Session {
    /// Begins a session: what it has to say first is in `sealed`.
    pub(super) fn new(client: &TlsClient, resumes: bool) -> Result<Self, TlsFault> {
        let early = |error| TlsFault::of(error, true);
        let tls = UnbufferedClientConnection::new(client.config(resumes), client.name());
        let mut session = Self {
            tls: tls.map_err(early)?,
            partial: Vec::new(),
            sealed: Outbox::default(),
            has_understood: false,
            has_said_goodbye: false,
            has_failed: false,
        };
        let step = session.step(&mut [], &mut Vec::new(), &Wish::Nothing);
        step.map_err(early)?;
        Ok(session)
    }

    /// Whether the handshake is over, and well.
    pub(crate) fn is_open(&self) -> bool {
        !self.has_failed && !self.tls.is_handshaking()
    }

    /// Whether an earlier session was taken up.
    pub(super) fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Takes up what arrived and appends what it says to `plain`; `true` when the peer says that nothing more comes.
    /// What the session has to answer is in `sealed`, after a fault the alert that says so.
    ///
    /// # Errors
    ///
    /// The session has failed. What stands in `plain` was said before.
    pub(super) fn read(
        &mut self,
        arrived: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<bool, TlsFault> {
        if self.has_failed {
            return Ok(false);
        }
        let mut whole = Vec::new();
        let input = if self.partial.is_empty() {
            &mut *arrived
        } else {
            whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(arrived);
            &mut whole[..]
        };
        let result = self.step(input, plain, &Wish::Nothing);
        let step = match result {
            Ok(step) => step,
            Err(error) => {
                let fault = TlsFault::of(error, !self.has_understood);
                self.fail();
                return Err(fault);
            }
        };
        self.has_understood |= step.used > 0;
        if whole.is_empty() {
            self.partial.extend_from_slice(&arrived[step.used..]);
        } else {
            self.keep(whole, step.used);
        }
        if self.partial.len() > PARTIAL_BYTES_MAX {
            self.fail();
            return Err(TlsFault::Broken("a message has no end".to_owned()));
        }
        Ok(step.is_closed)
    }

    /// Seals what comes next of the outbox, one record, once the last is written; when there is nothing more and
    /// the connection `ends`, the goodbye of TLS.
    pub(crate) fn fill(&mut self, outbox: &mut Outbox, ends: bool) -> Result<(), TlsFault> {
        if !self.sealed.is_empty() || !self.is_open() {
            return Ok(());
        }
        if outbox.is_empty() {
            if ends && !std::mem::replace(&mut self.has_said_goodbye, true) {
                self.write(&Wish::Goodbye)?;
            }
            return Ok(());
        }
        let (frames, skip) = outbox.frames();
        let first = &frames[0].as_bytes()[skip..];
        let count = if frames.len() == 1 || first.len() >= RECORD_BYTES_MAX {
            let record = &first[..first.len().min(RECORD_BYTES_MAX)];
            self.write(&Wish::Seal(record))?;
            record.len()
        } else {
            // Many small frames make one record.
            let all = frames.iter().flat_map(|frame| frame.as_bytes());
            let record: Vec<u8> = all.skip(skip).take(RECORD_BYTES_MAX).copied().collect();
            self.write(&Wish::Seal(&record))?;
            record.len()
        };
        outbox.advance(count);
        Ok(())
    }

    fn write(&mut self, wish: &Wish<'_>) -> Result<(), TlsFault> {
        let mut partial = std::mem::take(&mut self.partial);
        let step = self.step(&mut partial, &mut Vec::new(), wish);
        match step {
            Ok(step) => {
                self.keep(partial, step.used);
                Ok(())
            }
            Err(error) => {
                self.fail();
                Err(TlsFault::of(error, false))
            }
        }
    }

    /// Keeps what has still no end.
    fn keep(&mut self, mut bytes: Vec<u8>, used: usize) {
        if used < bytes.len() {
            bytes.drain(..used);
            self.partial = bytes;
        }
    }

    /// The session is over.
    fn fail(&mut self) {
        self.has_failed = true;
        self.partial = Vec::new();
    }

    /// Goes on until the session wants more bytes of the peer, and fulfils a wish once it can write. After an error
    /// the alert that says so, if there is one, is in `sealed`.
    fn step(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        wish: &Wish<'_>,
    ) -> Result<Step, Error> {
        let mut step = Step::default();
        let result = self.go_on(input, plain, wish, &mut step);
        if result.is_err() {
            // rustls hands the alert out once it is asked again, of the same bytes: it may know places in them.
            let UnbufferedStatus { state, .. } =
                self.tls.process_tls_records(&mut input[step.used..]);
            if let Ok(ConnectionState::EncodeTlsData(mut data)) = state {
                put(&mut self.sealed, &mut data)?;
            }
        }
        result.map(|()| step)
    }

    fn go_on(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        wish: &Wish<'_>,
        step: &mut Step,
    ) -> Result<(), Error> {
        loop {
            let UnbufferedStatus { discard, state, .. } =
                self.tls.process_tls_records(&mut input[step.used..]);
            let mut discard = discard;
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    step.used += discard;
                    return Err(error);
                }
            };
            let is_done = match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    false
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    put(&mut self.sealed, &mut data)?;
                    false
                }
                ConnectionState::TransmitTlsData(sent) => {
                    sent.done();
                    false
                }
                ConnectionState::PeerClosed => {
                    step.is_closed = true;
                    false
                }
                ConnectionState::WriteTraffic(mut traffic) => {
                    let bytes = match wish {
                        Wish::Nothing => Vec::new(),
                        Wish::Seal(plain) => seal(&mut traffic, plain)?,
                        Wish::Goodbye => say_goodbye(&mut traffic)?,
                    };
                    self.sealed.push(Frame::from(bytes));
                    true
                }
                // `BlockedHandshake` and `Closed`; early data is never sent.
                _ => true,
            };
            step.used += discard;
            if self.sealed.bytes() as usize > SEALED_BYTES_MAX {
                return Err(Error::General(
                    "the peer asks for too many answers".to_owned(),
                ));
            }
            if is_done {
                return Ok(());
            }
        }
    }
}

/// Without what rustls holds, which are keys.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("is_open", &self.is_open())
            .field("partial_bytes", &self.partial.len())
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}

/// Puts what the handshake says into the queue.
fn put<D>(sealed: &mut Outbox, data: &mut EncodeTlsData<'_, D>) -> Result<(), Error> {
    let mut bytes = Vec::new();
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut bytes) {
        bytes.resize(size.required_size, 0);
        let encoded = data.encode(&mut bytes);
        encoded.map_err(|error| Error::General(error.to_string()))?;
    }
    sealed.push(Frame::from(bytes));
    Ok(())
}

fn seal<D>(traffic: &mut WriteTraffic<'_, D>, plain: &[u8]) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; plain.len() + RECORD_OVERHEAD];
    let sealed = match traffic.encrypt(plain, &mut bytes) {
        Err(EncryptError::InsufficientSize(size)) => {
            bytes.resize(size.required_size, 0);
            traffic.encrypt(plain, &mut bytes)
        }
        sealed => sealed,
    };
    bytes.truncate(sealed.map_err(|error| Error::General(error.to_string()))?);
    Ok(bytes)
}

fn say_goodbye<D>(traffic: &mut WriteTraffic<'_, D>) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; 2 * RECORD_OVERHEAD];
    let sealed = traffic.queue_close_notify(&mut bytes);
    bytes.truncate(sealed.map_err(|error| Error::General(error.to_string()))?);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
