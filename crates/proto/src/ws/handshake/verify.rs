//! The client's check of the response.

use std::fmt;

use super::ClientKey;
use crate::http::Response;

/// Why a response does not open a WebSocket; always the server's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The status is not 101: the server answered with something else.
    Status(u16),
    /// `Upgrade` is missing or not `websocket`.
    UpgradeMissing,
    /// `Connection` does not list `Upgrade`.
    ConnectionNotUpgrade,
    /// `Sec-WebSocket-Accept` is missing or does not answer the key.
    AcceptMismatch,
    /// The server chose an extension; none was offered.
    ExtensionNotOffered,
    /// The server chose a subprotocol that was not offered, or more than one.
    ProtocolNotOffered,
}

impl HandshakeError {
    /// A name for metrics, one of a fixed set.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::UpgradeMissing => "upgrade_missing",
            Self::ConnectionNotUpgrade => "connection_not_upgrade",
            Self::AcceptMismatch => "accept_mismatch",
            Self::ProtocolNotOffered => "protocol_not_offered",
            Self::ExtensionNotOffered => "extension_not_offered",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the server answered {status}"),
            Self::UpgradeMissing => f.write_str("the response does not upgrade to websocket"),
            Self::ConnectionNotUpgrade => f.write_str("the connection header lacks upgrade"),
            Self::AcceptMismatch => f.write_str("the sec-websocket-accept does not fit the key"),
            Self::ProtocolNotOffered => f.write_str("the server chose a protocol not offered"),
            Self::ExtensionNotOffered => f.write_str("the server chose an extension not offered"),
        }
    }
}

impl std::error::Error for HandshakeError {}

/// Checks all that RFC 6455 §4.1 asks of a server's response, and tells which of the offered
/// subprotocols it chose.
///
/// # Errors
///
/// The first fact of [`HandshakeError`] that holds, in the order of the variants.
pub fn verify<'b>(
    response: &Response<'b>,
    key: &ClientKey,
    protocols: &[&str],
) -> Result<Option<&'b str>, HandshakeError> {
    let headers = &response.headers;
    // RFC 6455 §4.1 (1): any other status is for HTTP to handle.
    if response.status != 101 {
        return Err(HandshakeError::Status(response.status));
    }
    // RFC 6455 §4.1 (2): Upgrade has the value "websocket", in any case.
    let upgrade = headers.single("upgrade").ok().flatten();
    if upgrade.is_none_or(|value| !value.eq_ignore_ascii_case("websocket")) {
        return Err(HandshakeError::UpgradeMissing);
    }
    // RFC 6455 §4.1 (3): Connection has the token "Upgrade", in any case.
    if !headers.has_element("connection", "upgrade") {
        return Err(HandshakeError::ConnectionNotUpgrade);
    }
    // RFC 6455 §4.1 (4): the digest of the key, nothing but white space around it; §11.3.3: once.
    let digest = headers.single("sec-websocket-accept").ok().flatten();
    if digest.is_none_or(|value| value.as_bytes() != key.digest()) {
        return Err(HandshakeError::AcceptMismatch);
    }
    // RFC 6455 §4.1 (5): no extension that was not in the request, and none was.
    if headers
        .elements("sec-websocket-extensions")
        .next()
        .is_some()
    {
        return Err(HandshakeError::ExtensionNotOffered);
    }
    // RFC 6455 §4.1 (6): no subprotocol that was not in the request; §11.3.4: at most one.
    let protocol = headers.single("sec-websocket-protocol");
    match protocol.map_err(|_| HandshakeError::ProtocolNotOffered)? {
        Some(chosen) if !protocols.contains(&chosen) => Err(HandshakeError::ProtocolNotOffered),
        chosen => Ok(chosen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Limits, Parsed, parse_response};

    /// RFC 6455 §1.2 and §1.3: the example's response, one line each.
    const EXAMPLE: [&str; 5] = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol: chat",
    ];

    /// The verdict on the example with one line changed (or, for "", left out).
    fn verdict_with(line: usize, text: &str) -> Result<Option<String>, HandshakeError> {
        let mut lines = EXAMPLE.to_vec();
        lines[line] = text;
        lines.retain(|line| !line.is_empty());
        let bytes = format!("{}\r\n\r\n", lines.join("\r\n"));
        let limits = Limits {
            head_bytes_max: 1000,
            headers_max: 20,
        };
        let Ok(Parsed::Complete { head, .. }) = parse_response(bytes.as_bytes(), &limits) else {
            panic!("{bytes}");
        };
        let key = ClientKey::new(*b"the sample nonce");
        verify(&head, &key, &["superchat", "chat"]).map(|chosen| chosen.map(str::to_owned))
    }

    #[test]
    fn the_example_of_the_rfc_opens_a_websocket() {
        let chat = Ok(Some("chat".to_owned()));
        assert_eq!(verdict_with(0, EXAMPLE[0]), chat);
        assert_eq!(verdict_with(0, "HTTP/1.1 101"), chat);
        assert_eq!(verdict_with(1, "upgrade: WebSocket"), chat);
        assert_eq!(verdict_with(2, "connection: keep-alive, upgrade"), chat);
        assert_eq!(
            verdict_with(3, "sec-websocket-accept:  s3pPLMBiTxaQ9kYGzzhZRbK+xOo= "),
            chat
        );
        assert_eq!(verdict_with(4, ""), Ok(None));
    }

    // RFC 6455 §4.1: upon each of these the client MUST fail the connection.
    #[test]
    fn each_lack_is_a_fact_of_its_own() {
        let twice = |line: usize| format!("{}\r\n{}", EXAMPLE[line], EXAMPLE[line]);
        let extension = format!("{}\r\nSec-WebSocket-Extensions: x", EXAMPLE[4]);
        let cases = [
            (
                verdict_with(0, "HTTP/1.1 403 Forbidden"),
                HandshakeError::Status(403),
            ),
            (verdict_with(1, ""), HandshakeError::UpgradeMissing),
            (
                verdict_with(1, "Upgrade: h2c"),
                HandshakeError::UpgradeMissing,
            ),
            (verdict_with(2, ""), HandshakeError::ConnectionNotUpgrade),
            (
                verdict_with(2, "Connection: close"),
                HandshakeError::ConnectionNotUpgrade,
            ),
            (verdict_with(3, ""), HandshakeError::AcceptMismatch),
            (
                verdict_with(3, "Sec-WebSocket-Accept: x"),
                HandshakeError::AcceptMismatch,
            ),
            (
                verdict_with(3, &EXAMPLE[3].to_lowercase()),
                HandshakeError::AcceptMismatch,
            ),
            (verdict_with(3, &twice(3)), HandshakeError::AcceptMismatch),
            (
                verdict_with(4, "Sec-WebSocket-Protocol: x"),
                HandshakeError::ProtocolNotOffered,
            ),
            (
                verdict_with(4, "Sec-WebSocket-Protocol: Chat"),
                HandshakeError::ProtocolNotOffered,
            ),
            (
                verdict_with(4, &twice(4)),
                HandshakeError::ProtocolNotOffered,
            ),
            (
                verdict_with(4, &extension),
                HandshakeError::ExtensionNotOffered,
            ),
        ];
        for (verdict, error) in cases {
            assert_eq!(verdict, Err(error));
        }
    }
}
