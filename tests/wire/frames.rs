//! RFC 6455 §5 and §7 over a real connection: what is answered, and what ends it with which code.

use serde_json::json;

use crate::support::{
    relay::Relay,
    wire::{Heard, Wire},
};

const BEAT: &[u8] = br#"[null,"1","phoenix","heartbeat",{}]"#;

/// One client frame with a mask of zeros, which leaves its payload readable here.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..=125) => bytes.push(0x80 | length.to_be_bytes()[1]),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

fn beat_answer() -> Heard {
    Heard::Json(json!([null, "1", "phoenix", "phx_reply", {"status": "ok", "response": {}}]))
}

#[test]
fn a_ping_is_answered_with_its_own_words() {
    let relay = Relay::start(&[]);
    let mut wire = Wire::open(relay.addr());
    for payload in [&b""[..], b"hello", &[0xff; 125]] {
        wire.raw(&frame(0x89, payload));
        assert_eq!(wire.hear(), Heard::Pong(payload.to_vec()));
    }
}

#[test]
fn a_message_may_come_in_pieces_with_a_ping_between_them() {
    let relay = Relay::start(&[]);
    let mut wire = Wire::open(relay.addr());
    let (head, tail) = BEAT.split_at(10);
    wire.raw(&frame(0x01, head));
    wire.raw(&frame(0x89, b"between"));
    assert_eq!(wire.hear(), Heard::Pong(b"between".to_vec()));
    wire.raw(&frame(0x00, b""));
    wire.raw(&frame(0x80, tail));
    assert_eq!(wire.hear(), beat_answer());
}

#[test]
fn a_frame_may_come_byte_by_byte_and_many_may_come_at_once() {
    let relay = Relay::start(&[]);
    let mut wire = Wire::open(relay.addr());
    for byte in frame(0x81, BEAT) {
        wire.raw(&[byte]);
    }
    assert_eq!(wire.hear(), beat_answer());
    wire.raw(&frame(0x81, BEAT).repeat(50));
    for _ in 0..50 {
        assert_eq!(wire.hear(), beat_answer());
    }
}

#[test]
fn a_broken_frame_ends_the_connection_with_its_code() {
    let relay = Relay::start(&[]);
    let unmasked = [&[0x81, 35][..], BEAT].concat();
    let cases: [(&str, Vec<u8>, u16); 14] = [
        // RFC 6455 §5.1: a server MUST close upon an unmasked frame.
        ("unmasked", unmasked, 1002),
        // RFC 6455 §5.2: reserved bits without an extension, reserved opcodes.
        ("a reserved bit", frame(0xc1, BEAT), 1002),
        ("a reserved opcode", frame(0x83, BEAT), 1002),
        ("a reserved control opcode", frame(0x8b, b""), 1002),
        // RFC 6455 §5.5: control frames are at most 125 bytes and never fragmented.
        ("a long ping", frame(0x89, &[0; 126]), 1002),
        ("a fragmented ping", frame(0x09, b""), 1002),
        // RFC 6455 §5.4: pieces of a message follow each other.
        ("a continuation of nothing", frame(0x80, BEAT), 1002),
        (
            "a message inside a message",
            [frame(0x01, b"["), frame(0x81, BEAT)].concat(),
            1002,
        ),
        // RFC 6455 §5.5.1 and §7.4: what a close may say.
        ("a close of one byte", frame(0x88, &[3]), 1002),
        (
            "a close code that never travels",
            frame(0x88, &1005_u16.to_be_bytes()),
            1002,
        ),
        (
            "a close code below all",
            frame(0x88, &999_u16.to_be_bytes()),
            1002,
        ),
        // RFC 6455 §8.1: text is UTF-8.
        ("text that is not UTF-8", frame(0x81, b"[\"\xff\"]"), 1007),
        ("a surrogate", frame(0x81, b"[\"\xed\xa0\x80\"]"), 1007),
        (
            "a close whose reason is not UTF-8",
            frame(0x88, &[3, 0xe8, 0xff]),
            1007,
        ),
    ];
    for (name, bytes, code) in cases {
        let mut wire = Wire::open(relay.addr());
        wire.raw(&bytes);
        let heard = wire.hear();
        assert_eq!(heard, Heard::Closed(code), "{name}");
        assert_eq!(wire.hear(), Heard::Gone, "{name}");
    }
}

#[test]
fn broken_text_is_noticed_before_the_message_is_complete() {
    let relay = Relay::start(&[]);
    let mut wire = Wire::open(relay.addr());
    wire.raw(&frame(0x01, b"[\"\xc3\x28"));
    assert_eq!(wire.hear(), Heard::Closed(1007));
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
    let relay = Relay::start(&["--frame-bytes-max", "1024", "--message-bytes-max", "2048"]);
    let mut wire = Wire::open(relay.addr());
    let declared = [&[0x81, 0x80 | 126][..], &1025_u16.to_be_bytes(), &[0; 4]].concat();
    wire.raw(&declared);
    assert_eq!(wire.hear(), Heard::Closed(1009));

    // A length whose highest bit is set is not a length. RFC 6455 §5.2.
    let mut wire = Wire::open(relay.addr());
    wire.raw(&[&[0x82, 0x80 | 127][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat());
    assert!(matches!(wire.hear(), Heard::Closed(1002 | 1009)));

    // Three frames within the limit make one message over it.
    let mut wire = Wire::open(relay.addr());
    wire.raw(&frame(0x01, &[b' '; 1024]));
    wire.raw(&frame(0x00, &[b' '; 1024]));
    wire.raw_while_it_lasts(&frame(0x80, b" "));
    assert_eq!(wire.hear(), Heard::Closed(1009));

    let mut wire = Wire::open(relay.addr());
    wire.raw(&frame(0x81, &[&[b' '; 900][..], BEAT].concat()));
    assert_eq!(wire.hear(), beat_answer());
}

#[test]
fn a_message_in_too_many_pieces_is_refused() {
    let relay = Relay::start(&["--fragments-max", "8"]);
    let mut wire = Wire::open(relay.addr());
    wire.raw(&frame(0x01, b"["));
    for _ in 0..8 {
        wire.raw_while_it_lasts(&frame(0x00, b" "));
    }
    assert!(matches!(wire.hear(), Heard::Closed(1008 | 1009)));
}

#[test]
fn a_close_is_answered_with_its_code() {
    let relay = Relay::start(&[]);
    for code in [1000, 1001, 1011, 3000, 4999] {
        let mut wire = Wire::open(relay.addr());
        wire.close(code);
        assert_eq!(wire.hear(), Heard::Closed(code));
        assert_eq!(wire.hear(), Heard::Gone);
    }
    let mut wire = Wire::open(relay.addr());
    wire.raw(&frame(0x88, b""));
    assert!(matches!(wire.hear(), Heard::Closed(1005 | 1000)));
    assert_eq!(wire.hear(), Heard::Gone);
}

#[test]
fn nothing_is_read_after_a_close() {
    let relay = Relay::start(&[]);
    let mut wire = Wire::open(relay.addr());
    wire.raw(&[frame(0x88, &1000_u16.to_be_bytes()), frame(0x81, BEAT)].concat());
    assert_eq!(wire.hear(), Heard::Closed(1000));
    assert_eq!(wire.hear(), Heard::Gone);
}
