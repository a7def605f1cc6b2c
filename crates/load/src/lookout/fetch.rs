//! A page, by HTTP/1.1 on a connection of its own.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::target::Target;

/// How long connecting, and each read, may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest page.
const BODY_BYTES_MAX: u64 = 4 << 20;
/// The longest head.
const HEAD_BYTES_MAX: u64 = 64 << 10;
/// The environment variable that holds the key of the page, if it needs one.
const KEY: &str = "FOURTUPLE_WATCH_KEY";

/// Reads the page at `target`.
pub(super) fn fetch(target: &Target) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&target.resolve()?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\naccept: text/plain\r\nconnection: close\r\n",
        target.plain(),
        target.host()
    );
    // A key with a control character in it could write headers.
    if let Some(key) = env::var(KEY)
        .ok()
        .filter(|key| !key.contains(char::is_control))
    {
        request += &format!("authorization: Bearer {key}\r\n");
    }
    (&stream).write_all(format!("{request}\r\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let head = Head::read(&mut reader)?;
    match head.status {
        200 => {}
        401 | 403 => {
            return Err(wrong(format!(
                "status {}: put a key that may read it into {KEY}",
                head.status
            )));
        }
        status => return Err(wrong(format!("status {status}"))),
    }
    let mut body = Vec::new();
    match head.length {
        _ if head.is_chunked => read_chunks(&mut reader, &mut body)?,
        Some(length) if length > BODY_BYTES_MAX => return Err(too_long()),
        Some(length) => {
            reader.take(length).read_to_end(&mut body)?;
            if (body.len() as u64) < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        None => {
            reader.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)?;
        }
    }
    if body.len() as u64 > BODY_BYTES_MAX {
        return Err(too_long());
    }
    String::from_utf8(body).map_err(|_| wrong("it is not UTF-8".to_owned()))
}

/// What is needed of the head of a response.
struct Head {
    status: u16,
    length: Option<u64>,
    is_chunked: bool,
}

impl Head {
    fn read(reader: &mut impl io::BufRead) -> io::Result<Self> {
        let mut reader = reader.take(HEAD_BYTES_MAX);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5)?.parse().ok());
        let mut head = Self {
            status: status.ok_or_else(|| wrong("it does not speak HTTP/1.1".to_owned()))?,
            length: None,
            is_chunked: false,
        };
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.split_once(':') else {
                return Ok(head);
            };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.parse().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.is_chunked = value.eq_ignore_ascii_case("chunked");
            }
        }
    }
}

/// Reads a body in chunks (RFC 9112 §7.1).
fn read_chunks(reader: &mut impl io::BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.take(64).read_line(&mut line)?;
        let size = line.trim().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16);
        let size = size.map_err(|_| wrong("a chunk has no size".to_owned()))?;
        if body.len() as u64 + size > BODY_BYTES_MAX {
            return Err(too_long());
        }
        if reader.take(size).read_to_end(body)? as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if size == 0 {
            return Ok(());
        }
        line.clear();
        reader.take(2).read_line(&mut line)?;
    }
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn too_long() -> io::Error {
    wrong(format!("it is longer than {BODY_BYTES_MAX} bytes"))
}
