//! What a peer can do wrong on an open WebSocket.

use std::fmt;

use super::CloseCode;

/// A violation of the protocol or of our limits; always the peer's fault.
///
/// After an error the endpoint reads nothing more: the connection is failed with
/// [`close_code`](Self::close_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A reserved bit is set and no extension gave it a meaning.
    ReservedBits,
    /// An opcode without a meaning: 3 to 7 or 11 to 15.
    UnknownOpCode(u8),
    /// A payload length is written in more bytes than it needs.
    LengthNotMinimal,
    /// A 64-bit payload length has its highest bit set.
    LengthNegative,
    /// A frame from a client is not masked.
    UnmaskedClientFrame,
    /// A frame from a server is masked.
    MaskedServerFrame,
    /// A control frame carries more than 125 bytes.
    ControlTooLong,
    /// A control frame is not final.
    ControlFragmented,
    /// A continuation frame arrived and no message is in progress.
    ContinuationWithoutStart,
    /// A new message started while the fragments of another were still expected.
    MessageInterleaved,
    /// A text message is not UTF-8.
    TextNotUtf8,
    /// The payload of a close frame is one byte long.
    CloseTruncated,
    /// A close frame carries a code that may not be sent.
    CloseCodeInvalid(u16),
    /// The reason in a close frame is not UTF-8.
    CloseReasonNotUtf8,
    /// A frame declares more than `frame_bytes_max`.
    FrameTooBig,
    /// A message would become longer than `message_bytes_max`.
    MessageTooBig,
    /// A message came in more frames than `fragments_max`.
    TooManyFragments,
}

impl Error {
    /// The code to close the connection with.
    pub const fn close_code(self) -> CloseCode {
        match self {
            // RFC 6455 §8.1: bytes that are not UTF-8 fail the connection; §7.4.1 gives it 1007.
            Self::TextNotUtf8 | Self::CloseReasonNotUtf8 => CloseCode::INVALID_PAYLOAD,
            Self::FrameTooBig | Self::MessageTooBig | Self::TooManyFragments => CloseCode::TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// A name for metrics, one of a fixed set.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved_bits",
            Self::UnknownOpCode(_) => "unknown_opcode",
            Self::LengthNotMinimal => "length_not_minimal",
            Self::LengthNegative => "length_negative",
            Self::UnmaskedClientFrame => "unmasked_client_frame",
            Self::MaskedServerFrame => "masked_server_frame",
            Self::ControlTooLong => "control_too_long",
            Self::ControlFragmented => "control_fragmented",
            Self::ContinuationWithoutStart => "continuation_without_start",
            Self::MessageInterleaved => "message_interleaved",
            Self::TextNotUtf8 => "text_not_utf8",
            Self::CloseTruncated => "close_truncated",
            Self::CloseCodeInvalid(_) => "close_code_invalid",
            Self::CloseReasonNotUtf8 => "close_reason_not_utf8",
            Self::FrameTooBig => "frame_too_big",
            Self::MessageTooBig => "message_too_big",
            Self::TooManyFragments => "too_many_fragments",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("a reserved bit is set"),
            Self::UnknownOpCode(opcode) => write!(f, "opcode {opcode} has no meaning"),
            Self::LengthNotMinimal => f.write_str("the payload length is not minimally encoded"),
            Self::LengthNegative => f.write_str("the payload length has its highest bit set"),
            Self::UnmaskedClientFrame => f.write_str("a client's frame is not masked"),
            Self::MaskedServerFrame => f.write_str("a server's frame is masked"),
            Self::ControlTooLong => f.write_str("a control frame is longer than 125 bytes"),
            Self::ControlFragmented => f.write_str("a control frame is fragmented"),
            Self::ContinuationWithoutStart => f.write_str("a continuation continues nothing"),
            Self::MessageInterleaved => f.write_str("a message starts inside another"),
            Self::TextNotUtf8 => f.write_str("a text message is not utf-8"),
            Self::CloseTruncated => f.write_str("a close frame has half a code"),
            Self::CloseCodeInvalid(code) => write!(f, "close code {code} may not be sent"),
            Self::CloseReasonNotUtf8 => f.write_str("a close reason is not utf-8"),
            Self::FrameTooBig => f.write_str("a frame is longer than allowed"),
            Self::MessageTooBig => f.write_str("a message is longer than allowed"),
            Self::TooManyFragments => f.write_str("a message has more fragments than allowed"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_fact_has_a_label_and_words_of_its_own() {
        let all = [
            Error::ReservedBits,
            Error::UnknownOpCode(3),
            Error::LengthNotMinimal,
            Error::LengthNegative,
            Error::UnmaskedClientFrame,
            Error::MaskedServerFrame,
            Error::ControlTooLong,
            Error::ControlFragmented,
            Error::ContinuationWithoutStart,
            Error::MessageInterleaved,
            Error::TextNotUtf8,
            Error::CloseTruncated,
            Error::CloseCodeInvalid(1005),
            Error::CloseReasonNotUtf8,
            Error::FrameTooBig,
            Error::MessageTooBig,
            Error::TooManyFragments,
        ];
        let labels: HashSet<_> = all.iter().map(|error| error.label()).collect();
        let words: HashSet<_> = all.iter().map(Error::to_string).collect();
        assert_eq!((labels.len(), words.len()), (all.len(), all.len()));
        assert_eq!(
            Error::UnknownOpCode(3).to_string(),
            "opcode 3 has no meaning"
        );
        assert!(all.iter().all(|error| error.close_code().is_sendable()));
    }
}
