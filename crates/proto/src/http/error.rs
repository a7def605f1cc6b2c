//! What a peer can do wrong in a head.

use std::fmt;

/// Why a head is not accepted; always the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not the head of an HTTP message.
    Malformed,
    /// The version is not 1.0 or 1.1.
    Version,
    /// The target of a request is neither a path nor an absolute URL.
    Target,
    /// The head is longer than `head_bytes_max`.
    HeadTooLong,
    /// The head has more than `headers_max` header lines.
    TooManyHeaders,
}

impl Error {
    /// The status that answers a request with this fault.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::Target => 400,
            // RFC 6585 §5: for a head that is too large as a whole, and for one field of it.
            Self::HeadTooLong | Self::TooManyHeaders => 431,
            Self::Version => 505,
        }
    }

    /// A name for metrics, one of a fixed set.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_head",
            Self::Version => "http_version",
            Self::Target => "request_target",
            Self::HeadTooLong => "head_too_long",
            Self::TooManyHeaders => "too_many_headers",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the head is malformed",
            Self::Version => "the http version is not supported",
            Self::Target => "the request's target is neither a path nor an absolute url",
            Self::HeadTooLong => "the head is longer than allowed",
            Self::TooManyHeaders => "the head has more headers than allowed",
        })
    }
}

impl std::error::Error for Error {}

impl From<httparse::Error> for Error {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyHeaders,
            httparse::Error::Version => Self::Version,
            _ => Self::Malformed,
        }
    }
}
