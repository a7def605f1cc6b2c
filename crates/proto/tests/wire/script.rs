//! The vocabulary of these tests: let an endpoint hear bytes in pieces and say what it heard.
//!
//! Whatever the bytes are, what an endpoint promises about memory and about its end is asserted on
//! the way. The fuzz targets include this file.

use fourtuple_proto::ws::{Endpoint, Error, Event, Limits, Role};

/// Room for everything, for tests that are not about limits.
pub(crate) const WIDE: Limits = Limits {
    frame_bytes_max: 1 << 20,
    message_bytes_max: 1 << 20,
    fragments_max: 1 << 20,
};

/// An event with memory of its own, or the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Failed(Error),
}

impl Heard {
    fn is_last(&self) -> bool {
        matches!(self, Self::Close(_) | Self::Failed(_))
    }
}

impl From<Event<'_>> for Heard {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Event::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Event::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Event::Close(None) => Self::Close(None),
            Event::Close(Some(close)) => Self::Close(Some((close.code.0, close.reason.to_owned()))),
        }
    }
}

/// What an endpoint hears when `pieces` arrive one after the other.
pub(crate) fn hear<'p>(
    role: Role,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Vec<Heard> {
    let mut endpoint = Endpoint::new(role);
    let mut heard: Vec<Heard> = Vec::new();
    let mut arrived = 0;
    for piece in pieces {
        arrived += piece.len();
        let mut bytes = piece.to_vec();
        let mut reader = endpoint.read(limits, &mut bytes);
        let ended = heard.last().is_some_and(Heard::is_last);
        loop {
            match reader.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => heard.push(event.into()),
                Err(error) => heard.push(Heard::Failed(error)),
            }
            assert!(!ended, "nothing is heard after the end: {heard:?}");
        }
        assert!(
            reader.next_event().is_ok_and(|event| event.is_none()),
            "the end stays the end"
        );
        assert_memory(&endpoint, limits, arrived);
    }
    let lasts = heard.iter().filter(|heard| heard.is_last()).count();
    assert!(lasts <= 1, "one end at most: {heard:?}");
    if heard.last().is_some_and(Heard::is_last) {
        assert!(endpoint.has_ended());
        assert!(!endpoint.owns_buffer(), "an ended endpoint owns nothing");
    } else {
        assert!(lasts == 0 && !endpoint.has_ended());
    }
    heard
}

/// What an endpoint that expects anything at all may keep beside content: its own bookkeeping, and
/// the payload of one control frame in a buffer that doubled.
const BOOKKEEPING_BYTES: usize = 160 + 2 * 125;

fn assert_memory(endpoint: &Endpoint, limits: &Limits, arrived: usize) {
    let bytes = endpoint.buffer_bytes();
    assert_eq!(endpoint.owns_buffer(), bytes > 0);
    let paid = BOOKKEEPING_BYTES + 2 * arrived;
    assert!(
        bytes <= paid,
        "{bytes} bytes are kept and {arrived} arrived"
    );
    let allowed = BOOKKEEPING_BYTES as u64 + limits.message_bytes_max;
    assert!(
        bytes as u64 <= allowed,
        "{bytes} bytes are kept, against {limits:?}"
    );
}
