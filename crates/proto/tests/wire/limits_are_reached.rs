//! Every limit lets through what it allows and refuses the next, before memory is taken for it.

use fourtuple_proto::ws::{Endpoint, Error, Limits, Role};

use crate::{
    frames::{BINARY, CONTINUATION, FIN, PING, TEXT, frame, frame_of_length},
    script::{Heard, WIDE, hear},
};

/// Hears frames of a server under `limits`.
fn hear_frames(limits: &Limits, frames: &[Vec<u8>]) -> Vec<Heard> {
    hear(Role::Client, limits, frames.iter().map(Vec::as_slice))
}

#[test]
fn frame_bytes() {
    let limits = Limits {
        frame_bytes_max: 10,
        ..WIDE
    };
    let heard = hear_frames(&limits, &[frame(FIN | BINARY, &[1; 10], None)]);
    assert_eq!(heard, [Heard::Binary(vec![1; 10])]);

    // The header alone is enough to refuse.
    let header = frame_of_length(FIN | BINARY, &[11], b"", None);
    assert_eq!(
        hear_frames(&limits, &[header]),
        [Heard::Failed(Error::FrameTooBig)]
    );
    let header = frame_of_length(
        TEXT,
        &[127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        b"",
        None,
    );
    assert_eq!(
        hear_frames(&limits, &[header]),
        [Heard::Failed(Error::FrameTooBig)]
    );

    // The limit is about data: a ping has its own, and may be longer.
    let heard = hear_frames(&limits, &[frame(FIN | PING, &[1; 125], None)]);
    assert_eq!(heard, [Heard::Ping(vec![1; 125])]);
}

#[test]
fn message_bytes() {
    let limits = Limits {
        message_bytes_max: 10,
        ..WIDE
    };
    let six = frame(TEXT, b"sixsix", None);
    let four = frame(FIN | CONTINUATION, b"four", None);
    let heard = hear_frames(&limits, &[six.clone(), four]);
    assert_eq!(heard, [Heard::Text("sixsixfour".into())]);

    let too_big = [Heard::Failed(Error::MessageTooBig)];
    let five = frame_of_length(CONTINUATION, &[5], b"", None);
    assert_eq!(hear_frames(&limits, &[six, five]), too_big);
    let eleven = frame_of_length(FIN | BINARY, &[11], b"", None);
    assert_eq!(hear_frames(&limits, &[eleven]), too_big);

    // The cut character at the end of a fragment counts, too.
    let nine = frame(TEXT, b"sixsix\xF0\x9F\xA6", None);
    let two = frame_of_length(CONTINUATION, &[2], b"", None);
    assert_eq!(hear_frames(&limits, &[nine, two]), too_big);
}

#[test]
fn fragments() {
    let limits = Limits {
        fragments_max: 3,
        ..WIDE
    };
    let start = frame(BINARY, b"", None);
    let empty = frame(CONTINUATION, b"", None);
    let end = frame(FIN | CONTINUATION, b"", None);
    let too_many = [Heard::Failed(Error::TooManyFragments)];
    let three = [start.clone(), empty.clone(), end.clone()];
    assert_eq!(hear_frames(&limits, &three), [Heard::Binary(Vec::new())]);

    // The fourth is refused even when it is only one more; the third still waits for its end.
    let mut frames = vec![start.clone(), empty.clone(), empty.clone()];
    assert_eq!(hear_frames(&limits, &frames), []);
    frames.push(empty.clone());
    assert_eq!(hear_frames(&limits, &frames), too_many);

    // A flood of empty fragments never grows a message and still ends.
    let mut flood = vec![start.clone()];
    flood.extend(std::iter::repeat_n(empty, 1000));
    assert_eq!(hear_frames(&limits, &flood), too_many);

    // One is enough for a message that is not fragmented, and for the next one.
    let limits = Limits {
        fragments_max: 1,
        ..WIDE
    };
    let whole = frame(FIN | TEXT, b"x", None);
    let heard = hear_frames(&limits, &[whole.clone(), whole]);
    assert_eq!(heard, [Heard::Text("x".into()), Heard::Text("x".into())]);
    assert_eq!(hear_frames(&limits, &[start, end]), too_many);
}

#[test]
fn memory_is_paid_for_by_bytes_that_arrived() {
    let limits = Limits {
        frame_bytes_max: u64::MAX,
        message_bytes_max: u64::MAX,
        ..WIDE
    };
    let mut endpoint = Endpoint::new(Role::Client);
    assert_eq!(endpoint.buffer_bytes(), 0);

    let promise = [127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    let mut bytes = frame_of_length(FIN | BINARY, &promise, b"ten bytes.", None);
    let mut reader = endpoint.read(&limits, &mut bytes);
    assert_eq!(reader.next_event(), Ok(None));
    assert!(
        endpoint.buffer_bytes() < 200,
        "{} bytes",
        endpoint.buffer_bytes()
    );
}

#[test]
fn memory_goes_with_the_message_that_needed_it() {
    let mut endpoint = Endpoint::new(Role::Client);
    let mut bytes = frame(FIN | TEXT, &[b'x'; 1000], None);
    let (one, two) = bytes.split_at_mut(500);

    assert_eq!(endpoint.read(&WIDE, one).next_event(), Ok(None));
    assert!(endpoint.owns_buffer());
    let mut reader = endpoint.read(&WIDE, two);
    assert!(matches!(reader.next_event(), Ok(Some(_))));
    // The reader holds what the event borrows; the endpoint is at rest already.
    drop(reader);
    assert!(!endpoint.owns_buffer());
}
