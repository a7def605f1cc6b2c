//! The client's request.

use super::ClientKey;
use crate::http::push_header;

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct Upgrade<'a> {
    /// The host, with its port unless that is the scheme's own.
    pub host: &'a str,
    /// The path and the query, percent-encoded, starting with `/`.
    pub target: &'a str,
    /// The key of this connection.
    pub key: &'a ClientKey,
    /// The subprotocols that the client speaks, the preferred one first.
    pub protocols: &'a [&'a str],
    /// The origin, as a browser would send it.
    pub origin: Option<&'a str>,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Appends the whole request to `out`.
///
/// Line breaks and NUL in a value become spaces, so no value can start a header of its own.
pub fn encode_upgrade(out: &mut Vec<u8>, upgrade: &Upgrade<'_>) {
    // RFC 6455 §4.1: a GET, HTTP/1.1, with Host, Upgrade, Connection, key and version.
    out.extend_from_slice(b"GET ");
    let breaks = |b: u8| b <= b' ' || b == 0x7F;
    out.extend(upgrade.target.bytes().filter(|&b| !breaks(b)));
    out.extend_from_slice(b" HTTP/1.1\r\n");
    push_header(out, "host", upgrade.host);
    push_header(out, "upgrade", "websocket");
    push_header(out, "connection", "Upgrade");
    push_header(out, "sec-websocket-key", &upgrade.key.encode());
    push_header(out, "sec-websocket-version", "13");
    if !upgrade.protocols.is_empty() {
        push_header(out, "sec-websocket-protocol", &upgrade.protocols.join(", "));
    }
    if let Some(origin) = upgrade.origin {
        push_header(out, "origin", origin);
    }
    for (name, value) in upgrade.headers {
        push_header(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}
