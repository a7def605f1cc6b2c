//! The header of a frame.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |F|R|R|R|opcode |M| length 0-125|  length, 16 bits if 126       |
//! |I|S|S|S|       |A| 126 or 127  |  length, 64 bits if 127       |
//! |N|V|V|V|       |S|             |                               |
//! | |1|2|3|       |K|             |                               |
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |  key of the mask, 32 bits if MASK                             |
//! +---------------------------------------------------------------+
//! ```
//!
//! Source: RFC 6455 §5.2.

use super::Error;

/// The longest header in bytes: two, a 64-bit length and a masking key.
pub const HEADER_BYTES_MAX: usize = 14;

/// The longest payload of a control frame in bytes.
pub(super) const CONTROL_BYTES_MAX: u64 = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OpCode {
    /// A further fragment of the message in progress.
    Continuation = 0x0,
    /// A text message or its first fragment.
    Text = 0x1,
    /// A binary message or its first fragment.
    Binary = 0x2,
    /// The last frame of its sender.
    Close = 0x8,
    /// A question for life.
    Ping = 0x9,
    /// The answer to a ping, or a one-sided heartbeat.
    Pong = 0xA,
}

impl OpCode {
    /// Whether this is close, ping or pong: short, whole and allowed between fragments.
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    const fn from_bits(bits: u8) -> Result<Self, Error> {
        match bits {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xA => Ok(Self::Pong),
            // RFC 6455 §5.2: on an unknown opcode the connection MUST be failed.
            _ => Err(Error::UnknownOpCode(bits)),
        }
    }
}

/// A whole, well-formed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: OpCode,
    pub(super) mask: Option<[u8; 4]>,
    /// Bytes of payload, below 2^63.
    pub(super) payload_len: u64,
}

impl Header {
    /// The bytes of the header that starts like `bytes`, as far as they tell: at least 2, and exact
    /// as soon as 2 are there.
    pub(super) fn len(bytes: &[u8]) -> usize {
        let [_, second, ..] = bytes else { return 2 };
        let length = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 != 0 { 4 } else { 0 };
        2 + length + mask
    }

    /// Reads the header at the start of `bytes` and tells its length; `None` if it is incomplete.
    ///
    /// # Errors
    ///
    /// What no header may say in either direction: [`Error::ReservedBits`],
    /// [`Error::UnknownOpCode`], [`Error::ControlFragmented`], [`Error::ControlTooLong`],
    /// [`Error::LengthNotMinimal`], [`Error::LengthNegative`].
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let len = Self::len(bytes);
        let Some(bytes) = bytes.get(..len) else {
            return Ok(None);
        };
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };

        // RFC 6455 §5.2: RSV1, RSV2 and RSV3 MUST be 0 unless an extension gives them a meaning.
        if first & 0x70 != 0 {
            return Err(Error::ReservedBits);
        }
        let opcode = OpCode::from_bits(first & 0x0F)?;
        let fin = first & 0x80 != 0;
        let (payload_len, rest) = parse_length(second & 0x7F, rest)?;
        if opcode.is_control() {
            // RFC 6455 §5.5: control frames MUST have at most 125 bytes and MUST NOT be fragmented.
            if !fin {
                return Err(Error::ControlFragmented);
            }
            if payload_len > CONTROL_BYTES_MAX {
                return Err(Error::ControlTooLong);
            }
        }
        let mask = rest.first_chunk::<4>().copied();
        Ok(Some((
            Self {
                fin,
                opcode,
                mask,
                payload_len,
            },
            len,
        )))
    }
}

/// Reads the payload length that `short` announces, and gives back what follows it.
fn parse_length(short: u8, rest: &[u8]) -> Result<(u64, &[u8]), Error> {
    let (len, minimum, rest) = match (short, rest) {
        (126, &[a, b, ref rest @ ..]) => (u64::from(u16::from_be_bytes([a, b])), 126, rest),
        (127, &[a, b, c, d, e, f, g, h, ref rest @ ..]) => {
            (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 1 << 16, rest)
        }
        _ => (u64::from(short), 0, rest),
    };
    // RFC 6455 §5.2: the minimal number of bytes MUST be used to encode the length.
    if len < minimum {
        return Err(Error::LengthNotMinimal);
    }
    // RFC 6455 §5.2: the most significant bit of a 64-bit length MUST be 0.
    if len >> 63 != 0 {
        return Err(Error::LengthNegative);
    }
    Ok((len, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_its_bytes_say() {
        let header = |fin, opcode, mask, payload_len| Header {
            fin,
            opcode,
            mask,
            payload_len,
        };
        let check = |bytes: &[u8], expected: Header| {
            assert_eq!(Header::parse(bytes), Ok(Some((expected, bytes.len()))));
            let more = [bytes, &[0xAA; 9]].concat();
            assert_eq!(
                Header::parse(&more),
                Ok(Some((expected, bytes.len()))),
                "with more"
            );
            for len in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..len]), Ok(None), "{len} bytes");
                assert!(Header::len(&bytes[..len]) > len, "{len} bytes");
            }
        };
        check(b"\x81\x05", header(true, OpCode::Text, None, 5));
        check(b"\x01\x03", header(false, OpCode::Text, None, 3));
        check(b"\x80\x02", header(true, OpCode::Continuation, None, 2));
        check(
            b"\x8A\x85\x37\xfa\x21\x3d",
            header(true, OpCode::Pong, Some(*b"\x37\xfa\x21\x3d"), 5),
        );
        check(b"\x82\x7D", header(true, OpCode::Binary, None, 125));
        check(b"\x82\x7E\x00\x7E", header(true, OpCode::Binary, None, 126));
        check(
            b"\x82\xFE\xFF\xFF1234",
            header(true, OpCode::Binary, Some(*b"1234"), 0xFFFF),
        );
        check(
            b"\x82\x7F\0\0\0\0\0\x01\0\0",
            header(true, OpCode::Binary, None, 0x1_0000),
        );
        let longest = b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF1234";
        assert_eq!(longest.len(), HEADER_BYTES_MAX);
        check(
            longest,
            header(true, OpCode::Binary, Some(*b"1234"), u64::MAX >> 1),
        );
    }

    #[test]
    fn every_pair_of_first_bytes_is_read_as_the_rfc_draws_it() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let (short, control) = (second & 0x7F, first & 0x08 != 0);
                // The rest of the longest header; lengths of both forms are minimal with it.
                let bytes = [first, second, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
                let expected = if first & 0x70 != 0 {
                    Some(Error::ReservedBits)
                } else if !matches!(first & 0x0F, 0..=2 | 8..=10) {
                    Some(Error::UnknownOpCode(first & 0x0F))
                } else if control && first & 0x80 == 0 {
                    Some(Error::ControlFragmented)
                } else if control && short > 125 {
                    Some(Error::ControlTooLong)
                } else {
                    None
                };
                match (Header::parse(&bytes), expected) {
                    (Err(error), Some(expected)) => assert_eq!(error, expected),
                    (Ok(Some((header, _))), None) => {
                        assert_eq!(header.opcode as u8, first & 0x0F);
                        assert_eq!(header.opcode.is_control(), control);
                        assert_eq!(header.fin, first & 0x80 != 0);
                        assert_eq!(header.mask.is_some(), second & 0x80 != 0);
                    }
                    other => panic!("{first:#x} {second:#x}: {other:?}"),
                }
            }
        }
    }
}
