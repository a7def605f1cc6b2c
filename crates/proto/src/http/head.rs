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
/// `from` is the number of bytes that were searched before, so that a head which trickles in is read
/// once and not once per arrival (the cost that CVE-2023-43669 is about).
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
/// anything but HTTP/1.0 and 1.1; [`Error::Target`] for a target that is no path and no absolute URL;
/// [`Error::Malformed`] otherwise.
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
