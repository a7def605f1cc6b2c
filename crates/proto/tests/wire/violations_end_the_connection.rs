//! Each thing that RFC 6455 forbids a sender is an error of its own, found at the first byte that
//! proves it, and the last thing that is heard.

use fourtuple_proto::ws::{CloseCode, Error, Role};

use crate::{
    frames::{
        BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, frame, frame_of_length, frame_to,
    },
    script::{Heard, WIDE, hear},
};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// Expects `bytes` to fail with `error`, whole and in single bytes, whatever follows them.
#[track_caller]
fn check(role: Role, bytes: &[u8], error: Error) {
    let after = [bytes, &frame_to(role, FIN | TEXT, b"unheard")].concat();
    let failed = [Heard::Failed(error)];
    assert_eq!(hear(role, &WIDE, [bytes]), failed, "{role:?}, whole");
    assert_eq!(
        hear(role, &WIDE, bytes.chunks(1)),
        failed,
        "{role:?}, byte by byte"
    );
    assert_eq!(
        hear(role, &WIDE, [&*after]),
        failed,
        "{role:?}, with more after it"
    );
}

// RFC 6455 §5.1: a server MUST close upon a frame that is not masked, a client upon one that is.
#[test]
fn masks_are_required_of_clients_and_forbidden_to_servers() {
    for first in [FIN | TEXT, TEXT, FIN | PING, FIN | CLOSE] {
        check(
            Role::Server,
            &frame(first, b"", None),
            Error::UnmaskedClientFrame,
        );
        check(
            Role::Client,
            &frame(first, b"", Some([0; 4])),
            Error::MaskedServerFrame,
        );
    }
}

// RFC 6455 §5.2: reserved bits MUST be 0 unless an extension was negotiated.
#[test]
fn reserved_bits() {
    for role in ROLES {
        for bit in [RSV1, RSV1 >> 1, RSV1 >> 2] {
            check(
                role,
                &frame_to(role, FIN | bit | TEXT, b"x"),
                Error::ReservedBits,
            );
            check(
                role,
                &frame_to(role, FIN | bit | PING, b"x"),
                Error::ReservedBits,
            );
        }
    }
}

// RFC 6455 §5.2: upon an unknown opcode the connection MUST be failed.
#[test]
fn unknown_opcodes() {
    for role in ROLES {
        for opcode in (0x3..=0x7).chain(0xB..=0xF) {
            check(
                role,
                &frame_to(role, FIN | opcode, b"x"),
                Error::UnknownOpCode(opcode),
            );
        }
    }
}

// RFC 6455 §5.2: the minimal number of bytes MUST be used for the length, and its highest bit MUST
// be 0.
#[test]
fn lengths() {
    for (role, mask) in [(Role::Server, Some([1; 4])), (Role::Client, None)] {
        let check_length = |length: &[u8], error| {
            check(
                role,
                &frame_of_length(FIN | BINARY, length, b"", mask),
                error,
            );
        };
        for short in [0_u16, 1, 125] {
            check_length(
                &[&[126][..], &short.to_be_bytes()].concat(),
                Error::LengthNotMinimal,
            );
        }
        for medium in [0_u64, 125, 126, 0xFFFF] {
            check_length(
                &[&[127][..], &medium.to_be_bytes()].concat(),
                Error::LengthNotMinimal,
            );
        }
        for long in [1_u64 << 63, u64::MAX] {
            check_length(
                &[&[127][..], &long.to_be_bytes()].concat(),
                Error::LengthNegative,
            );
        }
    }
}

// RFC 6455 §5.5: control frames MUST have at most 125 bytes and MUST NOT be fragmented.
#[test]
fn control_frames_are_short_and_whole() {
    for role in ROLES {
        for opcode in [CLOSE, PING, PONG] {
            check(role, &frame_to(role, opcode, b""), Error::ControlFragmented);
            check(
                role,
                &frame_to(role, FIN | opcode, &[0; 126]),
                Error::ControlTooLong,
            );
            check(
                role,
                &frame_to(role, FIN | opcode, &[0; 65536]),
                Error::ControlTooLong,
            );
        }
        let ping = frame_to(role, FIN | PING, &[0; 125]);
        assert_eq!(hear(role, &WIDE, [&*ping]), [Heard::Ping(vec![0; 125])]);
    }
}

// RFC 6455 §5.4: a continuation MUST follow a first fragment, and nothing else but control frames
// may.
#[test]
fn fragments_come_in_sequence() {
    for role in ROLES {
        for first in [CONTINUATION, FIN | CONTINUATION] {
            check(
                role,
                &frame_to(role, first, b""),
                Error::ContinuationWithoutStart,
            );
        }
        let complete = frame_to(role, FIN | TEXT, b"whole");
        let bytes = [complete, frame_to(role, FIN | CONTINUATION, b"")].concat();
        let failed = Heard::Failed(Error::ContinuationWithoutStart);
        assert_eq!(
            hear(role, &WIDE, [&*bytes]),
            [Heard::Text("whole".into()), failed]
        );

        for second in [TEXT, FIN | TEXT, BINARY, FIN | BINARY] {
            let bytes = [frame_to(role, TEXT, b"a"), frame_to(role, second, b"b")].concat();
            check(role, &bytes, Error::MessageInterleaved);
        }
    }
}

// RFC 6455 §8.1: bytes that are not UTF-8 in a text message fail the connection.
#[test]
fn text_is_utf8() {
    let bad: [&[u8]; 8] = [
        b"\x80",             // a continuation without a lead
        b"a\xC0\xAF",        // overlong
        b"\xE0\x80\x80",     // overlong
        b"\xED\xA0\x80",     // a surrogate
        b"\xF4\x90\x80\x80", // beyond U+10FFFF
        b"\xF5",             // no lead byte
        b"\xFF",             // no byte of UTF-8 at all
        b"\xE2\x82",         // cut by the end of the message
    ];
    for role in ROLES {
        for text in bad {
            check(role, &frame_to(role, FIN | TEXT, text), Error::TextNotUtf8);
            let long = [&[b'a'; 300], text].concat();
            check(role, &frame_to(role, FIN | TEXT, &long), Error::TextNotUtf8);
            for at in 0..text.len() {
                let (one, two) = text.split_at(at);
                let bytes = [
                    frame_to(role, TEXT, one),
                    frame_to(role, FIN | CONTINUATION, two),
                ];
                check(role, &bytes.concat(), Error::TextNotUtf8);
            }
        }
    }
}

// RFC 6455 §8.1, and the section 6.4 of the Autobahn test suite: a bad byte fails the connection
// when it arrives, long before its frame or its message is complete.
#[test]
fn text_fails_at_the_first_byte_that_is_wrong() {
    for role in ROLES {
        let good = "κόσμε".as_bytes();
        for (bad, at_once) in [
            (&b"\xF4\x90"[..], 2),
            (b"\xFF", 1),
            (b"\xED\xA0", 2),
            (b"\xC3a", 2),
        ] {
            let content = [good, bad, &[b'x'; 100]].concat();
            let frame = frame_to(role, FIN | TEXT, &content);
            let needed = frame.len() - content.len() + good.len() + at_once;
            let failed = [Heard::Failed(Error::TextNotUtf8)];
            assert_eq!(
                hear(role, &WIDE, frame[..needed - 1].chunks(1)),
                [],
                "{bad:x?}"
            );
            assert_eq!(
                hear(role, &WIDE, frame[..needed].chunks(1)),
                failed,
                "{bad:x?}"
            );
            assert_eq!(hear(role, &WIDE, [&frame[..needed]]), failed, "{bad:x?}");

            let fragments = [
                frame_to(role, TEXT, good),
                frame_to(role, CONTINUATION, bad),
            ];
            assert_eq!(
                hear(role, &WIDE, [&*fragments.concat()]),
                failed,
                "{bad:x?}"
            );
        }
    }
}

// RFC 6455 §5.5.1: a body of a close frame starts with a two-byte code, and the rest is UTF-8.
// RFC 6455 §7.4: which codes may be sent.
#[test]
fn close_frames() {
    for role in ROLES {
        let close = |payload: &[u8]| frame_to(role, FIN | CLOSE, payload);
        check(role, &close(b"\x03"), Error::CloseTruncated);
        check(role, &close(b"\x03\xE8\xFF"), Error::CloseReasonNotUtf8);
        check(role, &close(b"\x03\xE8caf\xC3"), Error::CloseReasonNotUtf8);
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            check(
                role,
                &close(&code.to_be_bytes()),
                Error::CloseCodeInvalid(code),
            );
        }
        for code in (1000..=1003_u16)
            .chain(1007..=1014)
            .chain([3000, 3999, 4000, 4999])
        {
            let heard = hear(role, &WIDE, [&*close(&code.to_be_bytes())]);
            assert_eq!(heard, [Heard::Close(Some((code, String::new())))]);
        }
        assert_eq!(hear(role, &WIDE, [&*close(b"")]), [Heard::Close(None)]);
    }
}

// RFC 6455 §7.4.1: 1002 for the protocol, 1007 for text that is none, 1009 for what is too big.
#[test]
fn each_error_has_the_code_of_its_kind() {
    assert_eq!(Error::ReservedBits.close_code(), CloseCode::PROTOCOL_ERROR);
    assert_eq!(
        Error::CloseCodeInvalid(1005).close_code(),
        CloseCode::PROTOCOL_ERROR
    );
    assert_eq!(Error::TextNotUtf8.close_code(), CloseCode::INVALID_PAYLOAD);
    assert_eq!(
        Error::CloseReasonNotUtf8.close_code(),
        CloseCode::INVALID_PAYLOAD
    );
    assert_eq!(Error::FrameTooBig.close_code(), CloseCode::TOO_BIG);
    assert_eq!(Error::TooManyFragments.close_code(), CloseCode::TOO_BIG);
}
