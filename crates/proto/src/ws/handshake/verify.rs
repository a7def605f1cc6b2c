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
    /// The server chose a subprotocol that was not offered, or more than one.
    ProtocolNotOffered,
    /// The server chose an extension; none was offered.
    ExtensionNotOffered,
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
