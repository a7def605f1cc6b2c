//! Close codes and the payload of a close frame.
//!
//! ```text
//!  0       1       2 ...           125
//! +-------+-------+----------------+
//! |  code (BE)    | reason, UTF-8  |     or nothing at all
//! +-------+-------+----------------+
//! ```
//!
//! Source: RFC 6455 §5.5.1 and §7.4.

use std::fmt;

use super::{Error, utf8};

/// Why a WebSocket is closed, as two bytes on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose is fulfilled. Phoenix clients up to 1.8.12 do not reconnect after it.
    pub const NORMAL: Self = Self(1000);
    /// The server goes away or forces a disconnect.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a kind of data that cannot be accepted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// No code was sent; never on the wire, only in reports.
    pub const NONE: Self = Self(1005);
    /// The connection ended without a close frame; never on the wire, only in reports.
    pub const ABNORMAL: Self = Self(1006);
    /// A message's content does not fit its type.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer broke a rule that no other code names.
    pub const POLICY: Self = Self(1008);
    /// A message was too big.
    pub const TOO_BIG: Self = Self(1009);
    /// The client needs an extension that the server did not negotiate.
    pub const EXTENSION_MISSING: Self = Self(1010);
    /// An unexpected condition on our side.
    pub const INTERNAL: Self = Self(1011);
    /// The service restarts; come back.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The service is overloaded; come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// The peer reads more slowly than it is sent to. Private use.
    pub const SLOW_CONSUMER: Self = Self(4008);

    /// Whether an endpoint may put this code on the wire.
    pub const fn is_sendable(self) -> bool {
        // RFC 6455 §7.4.1: 1005, 1006 and 1015 MUST NOT be set in a close frame; 1004 is reserved.
        // RFC 6455 §7.4.2: 0 to 999 are not used, 1000 to 2999 need a registration (1012 to 1014
        // have one at IANA), 3000 to 4999 belong to libraries and applications.
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The code and the reason that a close frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// Why; always sendable.
    pub code: CloseCode,
    /// Words for a person who debugs, often empty.
    pub reason: &'a str,
}

/// Reads the unmasked payload of a close frame; an empty one has no code.
pub(super) fn parse(payload: &[u8]) -> Result<Option<CloseFrame<'_>>, Error> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        // RFC 6455 §5.5.1: if there is a body, its first two bytes MUST be the code.
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(Error::CloseTruncated)
        };
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.is_sendable() {
        return Err(Error::CloseCodeInvalid(code.0));
    }
    // RFC 6455 §5.5.1: the reason is UTF-8; §8.1 fails the connection otherwise.
    let reason = utf8::check(reason).ok_or(Error::CloseReasonNotUtf8)?;
    Ok(Some(CloseFrame { code, reason }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_nothing_or_a_code_and_a_reason() {
        let frame = |code, reason| Ok(Some(CloseFrame { code, reason }));
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03\xE8"), frame(CloseCode::NORMAL, ""));
        assert_eq!(parse(b"\x03\xED"), Err(Error::CloseCodeInvalid(1005)));
        assert_eq!(
            parse(b"\x0F\xA8slow"),
            frame(CloseCode::SLOW_CONSUMER, "slow")
        );
        assert_eq!(parse(b"\x03"), Err(Error::CloseTruncated));
        assert_eq!(parse(b"\x03\xE8\xC3"), Err(Error::CloseReasonNotUtf8));
    }

    // RFC 6455 §7.4: every code there is.
    #[test]
    fn the_codes_that_may_be_sent() {
        let allowed = [1000..=1003, 1007..=1014, 3000..=4999];
        for code in 0..=u16::MAX {
            let expected = allowed.iter().any(|range| range.contains(&code));
            assert_eq!(CloseCode(code).is_sendable(), expected, "{code}");
        }
    }
}
