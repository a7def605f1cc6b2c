//! The server's side: is this request a WebSocket?

use super::{Refusal, key};
use crate::http::{self, Request, Version};

/// Headers of which a second one would leave open which counts.
const SINGLE: [&str; 4] = [
    "host",
    "origin",
    "sec-websocket-key",
    "sec-websocket-version",
];

/// A request that may become a WebSocket. Who is let in is decided elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The value of `Sec-WebSocket-Accept`, which is ASCII.
    pub key_digest: [u8; 28],
}

/// Checks all that RFC 6455 §4.2.1 asks of a client's request.
///
/// # Errors
///
/// [`Refusal::NotAnUpgrade`] first, for an ordinary request that the caller may serve in its own way;
/// then whatever else is missing. `Sec-WebSocket-Protocol` and `Origin` are the caller's to judge.
pub fn accept(request: &Request<'_>) -> Result<Accept, Refusal> {
    let headers = &request.headers;
    // RFC 6455 §4.2.1 (3): an Upgrade header with the value "websocket", in any case.
    if !headers.has_element("upgrade", "websocket") {
        return Err(Refusal::NotAnUpgrade);
    }
    // RFC 6455 §4.2.1 (1): HTTP/1.1 or higher, and GET.
    if request.method != "GET" {
        return Err(Refusal::Method);
    }
    if request.version < Version::Http11 {
        return Err(Refusal::HttpVersion);
    }
    for name in SINGLE {
        // RFC 6455 §11.3.1 and §11.3.5: key and version MUST NOT appear more than once; RFC 9112
        // §3.2 says it of Host, and a second Origin would make a check of origins a guess.
        headers
            .single(name)
            .map_err(|_| Refusal::HeaderDuplicate(name))?;
    }
    // RFC 6455 §4.2.1 (2): a Host header.
    request.header("host").ok_or(Refusal::HostMissing)?;
    // RFC 6455 §4.2.1 (4): a Connection header that includes "Upgrade", in any case.
    if !headers.has_element("connection", "upgrade") {
        return Err(Refusal::ConnectionNotUpgrade);
    }
    // RFC 6455 §4.2.1 (6): version 13; §4.4: anything else is answered with 426.
    if request.header("sec-websocket-version") != Some("13") {
        return Err(Refusal::WebSocketVersion);
    }
    // RFC 6455 §4.2.1 (5): a key that decodes to 16 bytes.
    let key_digest = request
        .header("sec-websocket-key")
        .and_then(key::answer)
        .ok_or(Refusal::Key)?;
    // Bytes after the head are frames. A body would be read as such, so there may be none.
    if request.announces_body() {
        return Err(Refusal::Body);
    }
    Ok(Accept { key_digest })
}

impl Accept {
    /// Appends the response that opens the WebSocket to `out`. `protocol` must be one of those that
    /// the client offered, or clients end the connection.
    pub fn encode(&self, out: &mut Vec<u8>, protocol: Option<&str>) {
        // RFC 6455 §4.2.2 (5): 101 with Upgrade, Connection and Sec-WebSocket-Accept.
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\n\
              upgrade: websocket\r\n\
              connection: upgrade\r\n\
              sec-websocket-accept: ",
        );
        out.extend_from_slice(&self.key_digest);
        out.extend_from_slice(b"\r\n");
        if let Some(protocol) = protocol {
            http::push_header(out, "sec-websocket-protocol", protocol);
        }
        out.extend_from_slice(b"\r\n");
    }
}
