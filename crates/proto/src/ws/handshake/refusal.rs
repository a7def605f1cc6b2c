//! Why a request does not become a WebSocket.

use std::fmt;

use crate::http;

/// What a request lacks to become a WebSocket; always the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no `Upgrade: websocket`: an ordinary request.
    NotAnUpgrade,
    /// The method is not `GET`.
    Method,
    /// The version of HTTP is below 1.1.
    HttpVersion,
    /// `Host` is missing.
    HostMissing,
    /// `Connection` does not list `Upgrade`.
    ConnectionNotUpgrade,
    /// `Sec-WebSocket-Version` is missing or not 13.
    WebSocketVersion,
    /// `Sec-WebSocket-Key` is missing or not 16 bytes in base64.
    Key,
    /// A header that may come once came more often.
    HeaderDuplicate(&'static str),
    /// A body is announced.
    Body,
}

impl Refusal {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            // RFC 9110 §15.5.22: the resource is there for clients that upgrade.
            Self::NotAnUpgrade => 426,
            Self::Method => 405,
            // RFC 6455 §4.4: another version is answered with the versions that are supported.
            Self::WebSocketVersion => 426,
            // RFC 6455 §4.2.1: any other request that does not match is answered with an error.
            _ => 400,
        }
    }

    /// A name for metrics, one of a fixed set.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotAnUpgrade => "not_an_upgrade",
            Self::Method => "method",
            Self::HttpVersion => "http_version",
            Self::HostMissing => "host_missing",
            Self::ConnectionNotUpgrade => "connection_not_upgrade",
            Self::WebSocketVersion => "websocket_version",
            Self::Key => "websocket_key",
            Self::HeaderDuplicate(_) => "header_duplicate",
            Self::Body => "body",
        }
    }

    /// Appends the whole response to `out`: the status, what it requires, and the reason as text.
    pub fn encode(self, out: &mut Vec<u8>) {
        let required: &[(&str, &str)] = match self {
            // RFC 9110 §15.5.22: a 426 MUST name the protocols that are required.
            Self::NotAnUpgrade => &[("upgrade", "websocket")],
            // RFC 6455 §4.2.2: a 426 for the version MUST name the versions that are supported.
            Self::WebSocketVersion => &[("upgrade", "websocket"), ("sec-websocket-version", "13")],
            // RFC 9110 §15.5.6: a 405 MUST name the methods that are allowed.
            Self::Method => &[("allow", "GET")],
            _ => &[],
        };
        let mut headers = vec![("content-type", "text/plain; charset=utf-8")];
        headers.extend_from_slice(required);
        http::encode_response(out, self.status(), &headers, format!("{self}\n").as_bytes());
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnUpgrade => f.write_str("the request is no websocket upgrade"),
            Self::Method => f.write_str("a websocket upgrade is a GET"),
            Self::HttpVersion => f.write_str("a websocket upgrade needs HTTP/1.1"),
            Self::HostMissing => f.write_str("the host header is missing"),
            Self::ConnectionNotUpgrade => f.write_str("the connection header lacks upgrade"),
            Self::WebSocketVersion => f.write_str("the sec-websocket-version is not 13"),
            Self::Key => f.write_str("the sec-websocket-key is not 16 bytes in base64"),
            Self::HeaderDuplicate(name) => write!(f, "the {name} header came more than once"),
            Self::Body => f.write_str("a websocket upgrade has no body"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(refusal: Refusal) -> String {
        let mut out = Vec::new();
        refusal.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_refusal_is_a_whole_response() {
        let expected = "HTTP/1.1 400 Bad Request\r\n\
            content-type: text/plain; charset=utf-8\r\n\
            content-length: 27\r\n\
            connection: close\r\n\
            \r\n\
            the host header is missing\n";
        assert_eq!(encoded(Refusal::HostMissing), expected);
    }

    // RFC 6455 §4.4 and §4.2.2: the version that is supported MUST be named.
    // RFC 9110 §15.5.22 and §15.5.6: so MUST the protocol in a 426 and the method in a 405.
    #[test]
    fn what_is_required_is_named() {
        let version = encoded(Refusal::WebSocketVersion);
        assert!(version.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
        assert!(version.contains("\r\nsec-websocket-version: 13\r\n"));
        assert!(version.contains("\r\nupgrade: websocket\r\n"));
        assert!(encoded(Refusal::NotAnUpgrade).contains("\r\nupgrade: websocket\r\n"));
        assert!(encoded(Refusal::Method).contains("\r\nallow: GET\r\n"));
    }
}
