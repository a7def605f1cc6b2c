//! An independent implementation hears the same messages in the same bytes, and refuses the same.
//!
//! Where the two may lawfully differ:
//!
//! - a length that is not minimal is refused here; tungstenite takes it (RFC 6455 §5.2 forbids it);
//! - a close code that may not be sent is refused here; tungstenite reports it as a close with
//!   1002;
//! - 1014 came after its table of codes, so it reports that as 1002, too;
//! - what a header proves, or the start of a text, is refused here at once; tungstenite waits for
//!   the whole frame. The padding behind every stream completes whatever frame it ends in.

use std::io;

use fourtuple_proto::ws::{Error, Limits, Role};
use proptest::prelude::*;
use tungstenite::{
    Message, WebSocket,
    protocol::{self, WebSocketConfig},
};

use crate::{
    script::{Heard, hear},
    streams,
};

/// The same for both. A control frame may be longer than the limit of the RFC and shorter than
/// this.
const BYTES_MAX: usize = 70_000;

const LIMITS: Limits = Limits {
    frame_bytes_max: BYTES_MAX as u64,
    message_bytes_max: BYTES_MAX as u64,
    fragments_max: u32::MAX,
};

/// What ends a conversation in their words.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Waiting,
    Closed(Option<(u16, String)>),
    Refused,
}

/// A stream that ends in silence, and takes what is written to it.
struct Silence<'b>(&'b [u8]);

impl io::Read for Silence<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            self.0.read(buffer)
        }
    }
}

impl io::Write for Silence<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(role: Role, bytes: &[u8]) -> (Vec<Heard>, End) {
    let role = match role {
        Role::Server => protocol::Role::Server,
        Role::Client => protocol::Role::Client,
    };
    let config = WebSocketConfig::default()
        .max_frame_size(Some(BYTES_MAX))
        .max_message_size(Some(BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Silence(bytes), role, Some(config));
    let mut heard = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => heard.push(Heard::Text(text.as_str().to_owned())),
            Ok(Message::Binary(bytes)) => heard.push(Heard::Binary(bytes.to_vec())),
            Ok(Message::Ping(bytes)) => heard.push(Heard::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => heard.push(Heard::Pong(bytes.to_vec())),
            Ok(Message::Close(close)) => {
                let close = close.map(|close| (close.code.into(), close.reason.to_string()));
                return (heard, End::Closed(close));
            }
            Ok(Message::Frame(frame)) => unreachable!("{frame} is only for writing"),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (heard, End::Waiting);
            }
            Err(_) => return (heard, End::Refused),
        }
    }
}

fn ours(role: Role, bytes: &[u8]) -> (Vec<Heard>, Option<Heard>) {
    let mut heard = hear(role, &LIMITS, [bytes]);
    let last = heard.pop_if(|last| matches!(last, Heard::Close(_) | Heard::Failed(_)));
    (heard, last)
}

/// Lets both hear `bytes` and compares.
fn check(role: Role, mut bytes: Vec<u8>) -> Result<(), TestCaseError> {
    bytes.extend(std::iter::repeat_n(0, BYTES_MAX + 14));
    let (ours, our_end) = ours(role, &bytes);
    let (theirs, their_end) = theirs(role, &bytes);

    if our_end == Some(Heard::Failed(Error::LengthNotMinimal)) {
        prop_assert!(
            theirs.starts_with(&ours),
            "{:?} is no start of {:?}",
            ours,
            theirs
        );
        return Ok(());
    }
    prop_assert_eq!(ours, theirs);
    match our_end {
        None => prop_assert_eq!(their_end, End::Waiting),
        Some(Heard::Failed(Error::CloseCodeInvalid(_))) => prop_assert!(
            matches!(&their_end, End::Closed(Some((1002, _))) | End::Refused),
            "{:?}",
            their_end
        ),
        Some(Heard::Failed(_)) => prop_assert_eq!(their_end, End::Refused),
        Some(Heard::Close(Some((1014, _)))) => {
            prop_assert!(matches!(their_end, End::Closed(Some((1002, _)))));
        }
        Some(Heard::Close(close)) => prop_assert_eq!(their_end, End::Closed(close)),
        Some(other) => unreachable!("{other:?} is no end"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn as_a_server_on_legal_streams(stream in streams::valid(Role::Server)) {
        check(Role::Server, stream.bytes)?;
    }

    #[test]
    fn as_a_client_on_legal_streams(stream in streams::valid(Role::Client)) {
        check(Role::Client, stream.bytes)?;
    }

    #[test]
    fn as_a_server_on_damaged_streams(bytes in streams::mutated(Role::Server)) {
        check(Role::Server, bytes)?;
    }

    #[test]
    fn as_a_client_on_damaged_streams(bytes in streams::mutated(Role::Client)) {
        check(Role::Client, bytes)?;
    }

    #[test]
    fn on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        check(Role::Server, bytes.clone())?;
        check(Role::Client, bytes)?;
    }
}
