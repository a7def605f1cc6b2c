//! A frame may arrive in any pieces: nothing about them changes what is heard.

use fourtuple_proto::ws::Role;
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    frames::{BINARY, CONTINUATION, FIN, PING, TEXT, frame_to},
    script::{Heard, WIDE, hear},
    streams::{self, pieces},
};

/// Hears `bytes` whole, byte by byte and in every two pieces, and expects `means` each time.
fn check(role: Role, bytes: &[u8], means: &[Heard]) {
    assert_eq!(hear(role, &WIDE, [bytes]), means, "whole");
    assert_eq!(hear(role, &WIDE, bytes.chunks(1)), means, "byte by byte");
    for at in 0..=bytes.len() {
        let (one, two) = bytes.split_at(at);
        assert_eq!(hear(role, &WIDE, [one, two]), means, "cut at {at}");
    }
}

// RFC 6455 §5.7: every example, byte for byte, in both directions where both have one.
#[test]
fn the_examples_of_the_rfc() {
    let hello = [Heard::Text("Hello".into())];
    check(Role::Client, b"\x81\x05Hello", &hello);
    check(
        Role::Server,
        b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        &hello,
    );
    check(Role::Client, b"\x01\x03Hel\x80\x02lo", &hello);
    check(
        Role::Client,
        b"\x89\x05Hello",
        &[Heard::Ping(b"Hello".into())],
    );
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    check(Role::Server, pong, &[Heard::Pong(b"Hello".into())]);

    let bytes = [b"\x82\x7e\x01\x00".as_slice(), &[7; 256]].concat();
    check(Role::Client, &bytes, &[Heard::Binary(vec![7; 256])]);
    let bytes = [b"\x82\x7f\0\0\0\0\0\x01\0\0".as_slice(), &[7; 65536]].concat();
    assert_eq!(
        hear(Role::Client, &WIDE, [&*bytes]),
        [Heard::Binary(vec![7; 65536])]
    );
    assert_eq!(
        hear(Role::Client, &WIDE, bytes.chunks(1)),
        [Heard::Binary(vec![7; 65536])]
    );
}

// RFC 6455 §5.4: fragments are joined in order, and control frames MAY be between them.
// RFC 6455 §5.5.1: what follows a close frame is not read.
#[test]
fn fragments_with_control_frames_between_them_and_bytes_after_the_end() {
    for role in [Role::Server, Role::Client] {
        let bytes = [
            frame_to(role, TEXT, "¿qu".as_bytes()),
            frame_to(role, FIN | PING, b"there?"),
            frame_to(role, CONTINUATION, b""),
            frame_to(role, CONTINUATION, &"é 🦀".as_bytes()[..5]),
            frame_to(role, FIN | PING, b""),
            frame_to(role, FIN | CONTINUATION, &"é 🦀".as_bytes()[5..]),
            frame_to(role, FIN | BINARY, b"\xFF"),
            frame_to(role, FIN | TEXT, b""),
            frame_to(role, FIN | 0x8, b"\x03\xE8bye"),
            frame_to(role, FIN | TEXT, b"unheard"),
            vec![0xFF; 20],
        ];
        let means = [
            Heard::Ping(b"there?".into()),
            Heard::Ping(b"".into()),
            Heard::Text("¿qué 🦀".into()),
            Heard::Binary(b"\xFF".into()),
            Heard::Text(String::new()),
            Heard::Close(Some((1000, "bye".into()))),
        ];
        check(role, &bytes.concat(), &means);
    }
}

proptest! {
    #[test]
    fn any_legal_stream_means_what_its_sender_meant(
        (role, stream) in role_and(streams::valid),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        prop_assert_eq!(&hear(role, &WIDE, pieces(&stream.bytes, &cuts)), &stream.means);
        prop_assert_eq!(&hear(role, &WIDE, [&*stream.bytes]), &stream.means);
    }

    #[test]
    fn any_damaged_stream_fails_alike(
        (role, bytes) in role_and(streams::mutated),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let whole = hear(role, &WIDE, [&*bytes]);
        prop_assert_eq!(&hear(role, &WIDE, pieces(&bytes, &cuts)), &whole);
        prop_assert_eq!(&hear(role, &WIDE, bytes.chunks(1)), &whole);
    }
}

/// A role and a stream towards it.
fn role_and<S: Strategy + 'static>(
    streams: fn(Role) -> S,
) -> impl Strategy<Value = (Role, S::Value)> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
        .prop_flat_map(move |role| (Just(role), streams(role)))
}
