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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::{Limits, Parsed, parse_request},
        ws::handshake::accept,
    };

    fn encoded(target: &str, protocols: &[&str], headers: &[(&str, &str)]) -> String {
        let key = ClientKey::new(*b"the sample nonce");
        let origin = Some("http://a.example");
        let upgrade = Upgrade {
            host: "a.example:4000",
            target,
            key: &key,
            protocols,
            origin,
            headers,
        };
        let mut out = Vec::new();
        encode_upgrade(&mut out, &upgrade);
        String::from_utf8(out).unwrap()
    }

    // RFC 6455 §4.1: what a client's request MUST have.
    #[test]
    fn a_request_has_all_that_a_server_asks_for() {
        let request = encoded("/socket?vsn=2.0.0", &["phoenix", "other"], &[("x-a", "b")]);
        let expected = "GET /socket?vsn=2.0.0 HTTP/1.1\r\n\
            host: a.example:4000\r\n\
            upgrade: websocket\r\n\
            connection: Upgrade\r\n\
            sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            sec-websocket-version: 13\r\n\
            sec-websocket-protocol: phoenix, other\r\n\
            origin: http://a.example\r\n\
            x-a: b\r\n\
            \r\n";
        assert_eq!(request, expected);

        let limits = Limits {
            head_bytes_max: 1000,
            headers_max: 20,
        };
        match parse_request(request.as_bytes(), &limits) {
            Ok(Parsed::Complete { head, .. }) => assert!(accept(&head).is_ok()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_value_starts_a_header_or_ends_the_request() {
        let request = encoded("/a HTTP/1.1\r\nx: y", &[], &[("x-a", "b\r\n\r\nGET /")]);
        assert!(request.starts_with("GET /aHTTP/1.1x:y HTTP/1.1\r\n"));
        assert!(request.contains("\r\nx-a: b    GET /\r\n"));
        assert!(request.find("\r\n\r\n") == Some(request.len() - 4));
    }
}
