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
/// [`Refusal::NotAnUpgrade`] first, for an ordinary request that the caller may serve in its own
/// way; then whatever else is missing. `Sec-WebSocket-Protocol` and `Origin` are the caller's to
/// judge.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Limits, Parsed, parse_request};

    /// RFC 6455 §1.2: the example's request, one line each.
    const EXAMPLE: [&str; 8] = [
        "GET /chat HTTP/1.1",
        "Host: server.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Origin: http://example.com",
        "Sec-WebSocket-Protocol: chat, superchat",
        "Sec-WebSocket-Version: 13",
    ];

    fn answer(lines: &[&str]) -> Result<Accept, Refusal> {
        let bytes = format!("{}\r\n\r\n", lines.join("\r\n"));
        let limits = Limits {
            head_bytes_max: 1000,
            headers_max: 20,
        };
        match parse_request(bytes.as_bytes(), &limits) {
            Ok(Parsed::Complete { head, .. }) => accept(&head),
            other => panic!("{other:?}"),
        }
    }

    /// The answer to the example with one line changed (or, for "", left out).
    fn answer_with(line: usize, text: &str) -> Result<Accept, Refusal> {
        let mut lines = EXAMPLE.to_vec();
        lines[line] = text;
        lines.retain(|line| !line.is_empty());
        answer(&lines)
    }

    /// The answer to the example with one line more.
    fn answer_and(text: &str) -> Result<Accept, Refusal> {
        answer(&[&EXAMPLE[..], &[text]].concat())
    }

    // RFC 6455 §1.3: the example's answer.
    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let accept = answer(&EXAMPLE).unwrap();
        let mut out = Vec::new();
        accept.encode(&mut out, Some("chat"));
        let expected = "HTTP/1.1 101 Switching Protocols\r\n\
            upgrade: websocket\r\n\
            connection: upgrade\r\n\
            sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
            sec-websocket-protocol: chat\r\n\
            \r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    // RFC 6455 §4.2.1: what may differ.
    #[test]
    fn what_means_the_same_is_accepted() {
        let accept = answer(&EXAMPLE);
        assert!(accept.is_ok());
        assert_eq!(answer_with(2, "upgrade: h2c, WebSocket"), accept);
        assert_eq!(answer_with(3, "connection: keep-alive, UPGRADE"), accept);
        assert_eq!(
            answer_with(3, "Connection: keep-alive\r\nConnection: upgrade"),
            accept
        );
        assert_eq!(answer_with(5, ""), accept, "only browsers send an origin");
        assert_eq!(answer_with(6, ""), accept);
        assert_eq!(answer_and("Content-Length: 0"), accept);
        assert_eq!(
            answer_and("Sec-WebSocket-Extensions: permessage-deflate"),
            accept
        );
        assert_eq!(answer_and("Sec-WebSocket-Protocol: third"), accept);
    }

    // RFC 6455 §4.2.1 and §4.4: what may not.
    #[test]
    fn each_lack_has_a_refusal_of_its_own() {
        let cases = [
            (answer_with(0, "POST /chat HTTP/1.1"), Refusal::Method, 405),
            (
                answer_with(0, "GET /chat HTTP/1.0"),
                Refusal::HttpVersion,
                400,
            ),
            (answer_with(1, ""), Refusal::HostMissing, 400),
            (answer_with(2, ""), Refusal::NotAnUpgrade, 426),
            (answer_with(2, "Upgrade: h2c"), Refusal::NotAnUpgrade, 426),
            (answer_with(3, ""), Refusal::ConnectionNotUpgrade, 400),
            (
                answer_with(3, "Connection: close"),
                Refusal::ConnectionNotUpgrade,
                400,
            ),
            (answer_with(4, ""), Refusal::Key, 400),
            (
                answer_with(4, "Sec-WebSocket-Key: c2hvcnQ="),
                Refusal::Key,
                400,
            ),
            (answer_with(7, ""), Refusal::WebSocketVersion, 426),
            (
                answer_with(7, "Sec-WebSocket-Version: 8"),
                Refusal::WebSocketVersion,
                426,
            ),
            (answer_and("Content-Length: 1"), Refusal::Body, 400),
            (answer_and("Transfer-Encoding: chunked"), Refusal::Body, 400),
        ];
        for (answer, refusal, status) in cases {
            assert_eq!(answer, Err(refusal));
            assert_eq!(refusal.status(), status, "{refusal}");
        }
        for line in [1, 4, 5, 7] {
            let (name, _) = EXAMPLE[line].split_once(':').unwrap();
            let name = name.to_lowercase();
            match answer_and(EXAMPLE[line]) {
                Err(Refusal::HeaderDuplicate(duplicate)) => assert_eq!(duplicate, name),
                other => panic!("{name} twice: {other:?}"),
            }
        }
    }

    #[test]
    fn an_ordinary_request_is_told_apart_whatever_it_is() {
        for line in ["GET / HTTP/1.1", "POST / HTTP/1.1", "GET / HTTP/1.0"] {
            assert_eq!(answer(&[line]), Err(Refusal::NotAnUpgrade));
        }
    }
}
