//! Frames on their way out: always whole, never fragmented.

use super::{CloseCode, OpCode, header::CONTROL_BYTES_MAX, mask};

/// Appends one whole frame to `out`; a client gives the key of its mask, a server gives `None`.
///
/// # Panics
///
/// If a control frame is given more than 125 bytes.
pub fn encode(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], mask: Option<[u8; 4]>) {
    encode_header(out, opcode, payload.len(), mask);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        // RFC 6455 §5.3: a client MUST mask every frame it sends.
        mask::apply(key, 0, &mut out[start..]);
    }
}

/// Appends the header of a whole frame to `out`. The caller appends exactly `payload_len` bytes,
/// masked if there is a mask.
///
/// # Panics
///
/// If a control frame is given more than 125 bytes.
pub fn encode_header(out: &mut Vec<u8>, opcode: OpCode, payload_len: usize, mask: Option<[u8; 4]>) {
    // RFC 6455 §5.5: all control frames MUST have a payload length of 125 bytes or less.
    assert!(
        !opcode.is_control() || payload_len as u64 <= CONTROL_BYTES_MAX,
        "a control frame carries at most {CONTROL_BYTES_MAX} bytes"
    );
    let fin = 0x80;
    out.push(fin | opcode as u8);

    // RFC 6455 §5.2: the minimal number of bytes MUST be used to encode the length.
    let masked = if mask.is_some() { 0x80 } else { 0 };
    if payload_len < 126 {
        out.push(masked | payload_len as u8);
    } else if let Ok(len) = u16::try_from(payload_len) {
        out.push(masked | 126);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(masked | 127);
        out.extend_from_slice(&(payload_len as u64).to_be_bytes());
    }
    if let Some(key) = mask {
        out.extend_from_slice(&key);
    }
}

/// Appends a close frame to `out`. Without a code the payload is empty, and so is the reason.
///
/// A reason that does not fit into a control frame (123 bytes) is cut at a character's boundary.
///
/// # Panics
///
/// If the code may not be sent, as [`CloseCode::is_sendable`] tells.
pub fn encode_close(
    out: &mut Vec<u8>,
    code: Option<CloseCode>,
    reason: &str,
    mask: Option<[u8; 4]>,
) {
    let Some(code) = code else {
        return encode(out, OpCode::Close, &[], mask);
    };
    // RFC 6455 §7.4.1: codes that only reports use MUST NOT be set in a close frame.
    assert!(code.is_sendable(), "close code {code} may not be sent");

    let mut payload = [0; CONTROL_BYTES_MAX as usize];
    let (head, tail) = payload.split_at_mut(2);
    let reason = &reason[..reason.floor_char_boundary(tail.len())];
    head.copy_from_slice(&code.0.to_be_bytes());
    tail[..reason.len()].copy_from_slice(reason.as_bytes());
    encode(out, OpCode::Close, &payload[..2 + reason.len()], mask);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(opcode: OpCode, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut out = b"before".to_vec();
        encode(&mut out, opcode, payload, mask);
        assert!(out.starts_with(b"before"), "what was there stays there");
        out.split_off(6)
    }

    // RFC 6455 §5.7: the examples that one frame is enough for.
    #[test]
    fn the_examples_of_the_rfc() {
        let key = Some([0x37, 0xFA, 0x21, 0x3D]);
        assert_eq!(encoded(OpCode::Text, b"Hello", None), b"\x81\x05Hello");
        let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(encoded(OpCode::Text, b"Hello", key), masked);
        assert_eq!(encoded(OpCode::Ping, b"Hello", None), b"\x89\x05Hello");
        let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(encoded(OpCode::Pong, b"Hello", key), pong);
        assert!(encoded(OpCode::Binary, &[0; 256], None).starts_with(b"\x82\x7e\x01\x00\0"));
        let long = encoded(OpCode::Binary, &[0; 65536], None);
        assert!(long.starts_with(b"\x82\x7f\0\0\0\0\0\x01\0\0\0"));
        assert_eq!(long.len(), 10 + 65536);
    }

    // RFC 6455 §5.2: the minimal number of bytes MUST be used to encode the length.
    #[test]
    fn lengths_are_minimal() {
        let lengths = [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)];
        for (payload_len, header_len) in lengths {
            let mut out = Vec::new();
            encode_header(&mut out, OpCode::Binary, payload_len, None);
            assert_eq!(out.len(), header_len, "{payload_len} bytes");
            out.clear();
            encode_header(&mut out, OpCode::Binary, payload_len, Some([9; 4]));
            assert_eq!(out.len(), header_len + 4, "{payload_len} bytes, masked");
            assert!(out.ends_with(&[9; 4]));
        }
    }

    #[test]
    fn a_close_carries_a_code_and_what_fits_of_a_reason() {
        let close = |code, reason: &str| {
            let mut out = Vec::new();
            encode_close(&mut out, code, reason, None);
            out
        };
        assert_eq!(close(None, "unsaid"), b"\x88\x00");
        assert_eq!(close(Some(CloseCode::GOING_AWAY), ""), b"\x88\x02\x03\xE9");
        assert_eq!(
            close(Some(CloseCode::SLOW_CONSUMER), "slow"),
            b"\x88\x06\x0F\xA8slow"
        );
        assert_eq!(
            close(Some(CloseCode::NORMAL), &"x".repeat(123)).len(),
            2 + 125
        );
        assert_eq!(
            close(Some(CloseCode::NORMAL), &"x".repeat(124)).len(),
            2 + 125
        );
        // 61 characters of two bytes fit into 123 bytes; the half of another does not.
        assert_eq!(
            close(Some(CloseCode::NORMAL), &"é".repeat(100)).len(),
            2 + 2 + 122
        );
    }

    // RFC 6455 §5.5: control frames MUST have at most 125 bytes.
    #[test]
    #[should_panic(expected = "at most 125 bytes")]
    fn a_long_ping_is_a_mistake_of_the_program() {
        encoded(OpCode::Ping, &[0; 126], None);
    }

    // RFC 6455 §7.4.1: 1006 MUST NOT be set in a close frame.
    #[test]
    #[should_panic(expected = "1006 may not be sent")]
    fn a_code_for_reports_is_a_mistake_of_the_program() {
        encode_close(&mut Vec::new(), Some(CloseCode::ABNORMAL), "", None);
    }
}
