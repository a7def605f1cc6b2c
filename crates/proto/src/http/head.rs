//! Heads as they arrive: where they end, what they say, how much of them is accepted.

use super::{Error, Headers, target};

/// What a peer may send before its head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, first line and final empty line included.
    pub head_bytes_max: usize,
    /// Header lines.
    pub headers_max: usize,
}

/// A head, if all of it is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The head, and the number of bytes it took; what follows belongs to what comes next.
    Complete {
        /// The head.
        head: T,
        /// Its length in bytes.
        len: usize,
    },
    /// More bytes are needed.
    Partial,
}

/// The version of HTTP that a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0, which cannot upgrade.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Request<'b> {
    /// The method, in the case it came in.
    pub method: &'b str,
    /// The whole target as it came.
    pub target: &'b str,
    /// The version.
    pub version: Version,
    /// The header lines.
    pub headers: Headers<'b>,
    path: &'b str,
    query: Option<&'b str>,
}

impl<'b> Request<'b> {
    /// The path of the target, still percent-encoded. It starts with `/`, except after an absolute
    /// URL without a path but with a query, where it is empty.
    pub fn path(&self) -> &'b str {
        self.path
    }

    /// What follows the first `?` of the target.
    pub fn query(&self) -> Option<&'b str> {
        self.query
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&'b str> {
        self.headers.first(name)
    }

    /// Every value of a header.
    pub fn headers<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'b str> + use<'b, 'n> {
        self.headers.all(name)
    }

    /// Whether a body follows the head, or is announced in a way that cannot be believed.
    pub fn announces_body(&self) -> bool {
        // RFC 9112 §6.3: without one of these two headers a request has no body.
        self.header("transfer-encoding").is_some()
            || self.headers("content-length").any(|length| length != "0")
    }
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct Response<'b> {
    /// The status.
    pub status: u16,
    /// The version.
    pub version: Version,
    /// The header lines.
    pub headers: Headers<'b>,
}

impl<'b> Response<'b> {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&'b str> {
        self.headers.first(name)
    }
}

/// The length of the head at the start of `bytes`, if its end is there.
///
/// `from` is the number of bytes that were searched before, so that a head which trickles in is
/// read once and not once per arrival (the cost that CVE-2023-43669 is about).
pub fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    // An empty line may be cut between its bytes: LF, CR | LF. Two bytes are looked at again.
    let from = from.saturating_sub(2);
    memchr::memchr_iter(b'\n', bytes.get(from..)?).find_map(|at| {
        let next = from + at + 1;
        match bytes[next..] {
            // RFC 9112 §2.2: a single LF MAY be taken as the end of a line.
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        }
    })
}

/// Reads the head of a request from the start of `bytes`.
///
/// It is complete exactly when [`head_end`] finds its end. A caller calls this once for the first
/// bytes, which refuses what is no HTTP at all, and then again when the end is there.
///
/// # Errors
///
/// [`Error::HeadTooLong`] and [`Error::TooManyHeaders`] beyond the limits; [`Error::Version`] for
/// anything but HTTP/1.0 and 1.1; [`Error::Target`] for a target that is no path and no absolute
/// URL; [`Error::Malformed`] otherwise.
pub fn parse_request<'b>(bytes: &'b [u8], limits: &Limits) -> Result<Parsed<Request<'b>>, Error> {
    let (bytes, whole) = bound(bytes, limits)?;
    let mut headers = vec![httparse::EMPTY_HEADER; limits.headers_max];
    let mut request = httparse::Request::new(&mut headers);
    let status = request.parse(bytes)?;
    if !whole {
        return Ok(Parsed::Partial);
    }
    // Where the end of the head is and the parser waits for more, there was no first line.
    let httparse::Status::Complete(len) = status else {
        return Err(Error::Malformed);
    };
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Error::Malformed);
    };
    let version = version_of(version)?;
    let (path, query) = target::split(target).ok_or(Error::Target)?;
    let headers_count = request.headers.len();
    headers.truncate(headers_count);
    let headers = Headers::new(headers);
    Ok(Parsed::Complete {
        head: Request {
            method,
            target,
            version,
            headers,
            path,
            query,
        },
        len,
    })
}

/// Reads the head of a response from the start of `bytes`, as [`parse_request`] does.
///
/// # Errors
///
/// As [`parse_request`], except for the target.
pub fn parse_response<'b>(bytes: &'b [u8], limits: &Limits) -> Result<Parsed<Response<'b>>, Error> {
    let (bytes, whole) = bound(bytes, limits)?;
    let mut headers = vec![httparse::EMPTY_HEADER; limits.headers_max];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes)?;
    if !whole {
        return Ok(Parsed::Partial);
    }
    let httparse::Status::Complete(len) = parsed else {
        return Err(Error::Malformed);
    };
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err(Error::Malformed);
    };
    let version = version_of(version)?;
    let headers_count = response.headers.len();
    headers.truncate(headers_count);
    let headers = Headers::new(headers);
    Ok(Parsed::Complete {
        head: Response {
            status,
            version,
            headers,
        },
        len,
    })
}

/// The bytes of the head as far as they are there, and whether that is all of it.
fn bound<'b>(bytes: &'b [u8], limits: &Limits) -> Result<(&'b [u8], bool), Error> {
    let end = head_end(bytes, 0);
    let len = end.unwrap_or(bytes.len());
    if len > limits.head_bytes_max {
        return Err(Error::HeadTooLong);
    }
    Ok((&bytes[..len], end.is_some()))
}

fn version_of(minor: u8) -> Result<Version, Error> {
    match minor {
        0 => Ok(Version::Http10),
        1 => Ok(Version::Http11),
        _ => Err(Error::Version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        head_bytes_max: 200,
        headers_max: 4,
    };

    fn request(bytes: &[u8]) -> Result<Request<'_>, Error> {
        match parse_request(bytes, &LIMITS)? {
            Parsed::Complete { head, len } => {
                assert_eq!(Some(len), head_end(bytes, 0));
                Ok(head)
            }
            Parsed::Partial => panic!("a part of a head: {}", bytes.escape_ascii()),
        }
    }

    fn refused(bytes: &[u8]) -> Option<Error> {
        request(bytes).err()
    }

    #[test]
    fn a_request_says_what_it_asks() {
        let bytes = b"GET /socket/websocket?vsn=2.0.0&a=%20 HTTP/1.1\r\n\
            Host: localhost:4000\r\nX-A:  one \r\nx-a: two\r\n\r\nrest";
        let request = request(bytes).unwrap();
        assert_eq!(request.method, "GET");
        assert_eq!(request.target, "/socket/websocket?vsn=2.0.0&a=%20");
        assert_eq!(request.path(), "/socket/websocket");
        assert_eq!(request.query(), Some("vsn=2.0.0&a=%20"));
        assert_eq!(request.version, Version::Http11);
        assert_eq!(request.header("HOST"), Some("localhost:4000"));
        assert_eq!(request.headers("x-a").collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(request.header("x-b"), None);
        assert_eq!(request.headers.len(), 3);
    }

    #[test]
    fn a_response_says_how_it_went() {
        let bytes = b"HTTP/1.0 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!";
        let parsed = parse_response(bytes, &LIMITS).unwrap();
        let Parsed::Complete { head, len } = parsed else {
            panic!("the head is whole")
        };
        assert_eq!((head.status, head.version), (403, Version::Http10));
        assert_eq!(head.header("content-length"), Some("3"));
        assert_eq!(&bytes[len..], b"no!");
        assert!(
            parse_response(b"HTTP/1.1 200\r\n\r\n", &LIMITS).is_ok(),
            "without a phrase"
        );
        let no_http = parse_response(b"SSH-2.0-x\r\n\r\n", &LIMITS).unwrap_err();
        assert_eq!(no_http, Error::Version);
    }

    #[test]
    fn the_end_of_a_head_is_an_empty_line() {
        assert_eq!(head_end(b"", 0), None);
        assert_eq!(head_end(b"GET / HTTP/1.1\r\nA: b\r\n", 0), None);
        assert_eq!(head_end(b"a\r\n\r\nrest\r\n\r\n", 0), Some(5));
        // RFC 9112 §2.2: a single LF MAY be taken as the end of a line.
        assert_eq!(head_end(b"a\n\n", 0), Some(3));
        assert_eq!(head_end(b"a\r\n\n", 0), Some(4));
        assert_eq!(head_end(b"a\n\r\n", 0), Some(4));
        assert_eq!(head_end(b"a\r\r\n\r", 0), None);
    }

    // The cost that CVE-2023-43669 is about: a head that trickles in is searched once in all.
    #[test]
    fn the_search_goes_on_where_it_stopped() {
        let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        for searched in 0..bytes.len() {
            assert_eq!(head_end(&bytes[..searched], 0), None);
            assert_eq!(
                head_end(bytes, searched),
                Some(bytes.len()),
                "after {searched}"
            );
        }
        // An end before the place to go on from is not found again: nobody reads it twice.
        assert_eq!(head_end(b"\n\n-----", 5), None);
    }

    #[test]
    fn a_part_of_a_head_is_a_part_or_wrong_already() {
        let whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for len in 0..whole.len() {
            assert!(matches!(
                parse_request(&whole[..len], &LIMITS),
                Ok(Parsed::Partial)
            ));
        }
        // The hello of TLS, a HTTP/2 preface, a space in a name.
        for wrong in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"PRI * HTTP/2.0\r\n",
            b"GET / HTTP/1.1\r\na b",
        ] {
            assert!(
                parse_request(wrong, &LIMITS).is_err(),
                "{}",
                wrong.escape_ascii()
            );
        }
    }

    #[test]
    fn what_is_no_request() {
        let cases: [(&[u8], Error); 9] = [
            (b"\r\n\r\n", Error::Malformed),
            (b"GET\r\n\r\n", Error::Malformed),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", Error::Malformed),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
                Error::Malformed,
            ),
            (b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", Error::Malformed),
            (b"GET / HTTP/1.2\r\n\r\n", Error::Version),
            (b"GET / HTTP/2.0\r\n\r\n", Error::Version),
            (b"OPTIONS * HTTP/1.1\r\n\r\n", Error::Target),
            (b"CONNECT a:443 HTTP/1.1\r\n\r\n", Error::Target),
        ];
        for (bytes, error) in cases {
            assert_eq!(refused(bytes), Some(error), "{}", bytes.escape_ascii());
        }
        assert_eq!(Error::Malformed.status(), 400);
        assert_eq!(Error::Target.status(), 400);
        assert_eq!(Error::Version.status(), 505);
    }

    #[test]
    fn head_bytes_are_limited() {
        let head = |len: usize| {
            let mut bytes = b"GET / HTTP/1.1\r\nA: ".to_vec();
            bytes.resize(len - 4, b'x');
            bytes.extend_from_slice(b"\r\n\r\n");
            bytes
        };
        assert_eq!(refused(&head(200)), None);
        assert_eq!(refused(&head(201)), Some(Error::HeadTooLong));
        // Without an end, as soon as it cannot come in time.
        assert!(matches!(
            parse_request(&head(300)[..200], &LIMITS),
            Ok(Parsed::Partial)
        ));
        let unfinished = parse_request(&head(300)[..201], &LIMITS).unwrap_err();
        assert_eq!(unfinished, Error::HeadTooLong);
        // What follows the head is not its length.
        assert_eq!(refused(&[head(200), vec![0; 500]].concat()), None);
        assert_eq!(Error::HeadTooLong.status(), 431);
    }

    #[test]
    fn header_lines_are_limited() {
        let head = |lines| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(lines));
        assert_eq!(request(head(4).as_bytes()).unwrap().headers.len(), 4);
        assert_eq!(refused(head(5).as_bytes()), Some(Error::TooManyHeaders));
        assert_eq!(Error::TooManyHeaders.status(), 431);
    }

    // RFC 9112 §6.3: a request has a body if it says so, by its length or by its encoding.
    #[test]
    fn a_body_is_announced() {
        let announces = |header: &str| {
            let bytes = format!("GET / HTTP/1.1\r\n{header}\r\n\r\n");
            request(bytes.as_bytes()).unwrap().announces_body()
        };
        assert!(!announces("Host: a"));
        assert!(!announces("Content-Length: 0"));
        assert!(announces("Content-Length: 1"));
        assert!(
            announces("Content-Length: 00"),
            "not what anybody sends for none"
        );
        assert!(announces("Content-Length: 0\r\nContent-Length: 7"));
        assert!(announces("Transfer-Encoding: chunked"));
    }
}
