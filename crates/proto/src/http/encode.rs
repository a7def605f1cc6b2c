//! Heads on their way out: responses, and the request for a tunnel.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Appends a whole response with a body to `out`, after which the connection is closed.
///
/// `content-length` and `connection: close` are added to `headers`. Line breaks and NUL in a value
/// become spaces, so no value can start a header or a body of its own.
pub fn encode_response(out: &mut Vec<u8>, status: u16, headers: &[(&str, &str)], body: &[u8]) {
    push_status_line(out, status);
    for (name, value) in headers {
        push_header(out, name, value);
    }
    push_header(out, "content-length", &body.len().to_string());
    push_header(out, "connection", "close");
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// Appends the request for a tunnel to `authority`, which is `host:port` (RFC 9110 §9.3.6). `credentials` are
/// `user:password`, for a proxy that asks who it is (RFC 7617 §2). Line breaks, NUL and spaces in the authority
/// become `_`, so that it can start no header of its own.
pub fn encode_connect(out: &mut Vec<u8>, authority: &str, credentials: Option<&[u8]>) {
    let authority: String = authority
        .chars()
        .map(|c| if c <= ' ' || c == '\x7f' { '_' } else { c })
        .collect();
    // RFC 9110 §9.3.6: the target of CONNECT is only the host and the port, and the port is always there.
    out.extend_from_slice(b"CONNECT ");
    out.extend_from_slice(authority.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // RFC 9112 §3.2: every request of HTTP/1.1 has a Host.
    push_header(out, "host", &authority);
    if let Some(credentials) = credentials {
        let proof = format!("Basic {}", STANDARD.encode(credentials));
        push_header(out, "proxy-authorization", &proof);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the first line of a response.
fn push_status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends one header line.
pub(crate) fn push_header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    // RFC 9110 §5.5: CR, LF and NUL are dangerous in a value and are replaced by SP.
    out.extend(value.bytes().map(|b| {
        if matches!(b, b'\r' | b'\n' | 0) {
            b' '
        } else {
            b
        }
    }));
    out.extend_from_slice(b"\r\n");
}

/// The words for a status, empty for one that has none here.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_and_ends_the_connection() {
        let mut out = Vec::new();
        encode_response(
            &mut out,
            404,
            &[("content-type", "text/plain")],
            b"not here\n",
        );
        let expected = "HTTP/1.1 404 Not Found\r\n\
            content-type: text/plain\r\n\
            content-length: 9\r\n\
            connection: close\r\n\
            \r\n\
            not here\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    // RFC 9110 §9.3.6 and RFC 7617 §2: the example's user and password.
    #[test]
    fn a_tunnel_is_asked_for_by_host_and_port() {
        let encoded = |authority: &str, credentials: Option<&[u8]>| {
            let mut out = Vec::new();
            encode_connect(&mut out, authority, credentials);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            encoded("server.example.com:80", None),
            "CONNECT server.example.com:80 HTTP/1.1\r\nhost: server.example.com:80\r\n\r\n"
        );
        assert_eq!(
            encoded("[::1]:443", Some(b"Aladdin:open sesame")),
            "CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\n\
             proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
        assert_eq!(encoded("a b\r\nx: y\0:1", None).lines().count(), 3);
    }

    // RFC 9110 §5.5: CR, LF and NUL are dangerous in a value.
    #[test]
    fn a_value_cannot_start_a_header() {
        let mut out = Vec::new();
        push_header(&mut out, "location", "/a\r\nset-cookie: b\0");
        assert_eq!(out, b"location: /a  set-cookie: b \r\n");
    }

    // RFC 9112 §4: the space behind the status is there even if the phrase is not.
    #[test]
    fn a_status_without_words() {
        let mut out = Vec::new();
        encode_response(&mut out, 599, &[], b"");
        assert!(out.starts_with(b"HTTP/1.1 599 \r\n"));
    }
}
