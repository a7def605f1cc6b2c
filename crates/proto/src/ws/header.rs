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
