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
