//! The lines of `/proc/net/tcp` and `/proc/net/tcp6` (`man 5 proc_pid_net`), one socket each.
//!
//! ```text
//!   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//!    0: 0100007F:0FA0 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 8818 1 …
//! ```
//!
//! Addresses are the words of memory in hexadecimal, so the order of their bytes is the machine's;
//! ports and queues are numbers. The kernel writes listeners first (`net/ipv4/tcp_ipv4.c`,
//! `tcp_seq_start`).
//!
//! The files are read as a stream: of a million lines one is in memory.

use std::{
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{Family, Socket, State};

/// The longest line that is read; the kernel's have up to 200 bytes.
pub const LINE_BYTES_MAX: usize = 1_024;

/// What is read at once. The kernel gives a page at a time.
const BUFFER_BYTES: usize = 16 * 1_024;

/// Reads one line; `None` for what is no socket, like the heading.
pub fn parse_line(line: &[u8]) -> Option<Socket> {
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    let number = words.next()?.strip_suffix(b":")?;
    parse_decimal(number)?;
    let (family, local) = parse_address(words.next()?)?;
    let (remote_family, remote) = parse_address(words.next()?)?;
    let state = State::from_number(parse_hex(words.next()?)?.try_into().ok()?)?;
    let (wqueue, rqueue) = split_once(words.next()?, b':')?;
    // The timer, when it ends, and how often it did.
    let mut words = words.skip(2);
    let uid = parse_decimal(words.next()?)?;
    let _probes = words.next()?;
    let inode = parse_decimal(words.next()?)?;
    (family == remote_family).then_some(Socket {
        family,
        state,
        local,
        remote,
        rqueue: parse_hex(rqueue)?,
        wqueue: parse_hex(wqueue)?,
        inode,
        uid,
    })
}

/// `0100007F:0FA0`, or four such words in front of the port.
fn parse_address(word: &[u8]) -> Option<(Family, SocketAddr)> {
    let (address, port) = split_once(word, b':')?;
    let port = parse_hex(port)?.try_into().ok()?;
    // What was written is a word as it lay in memory, in network order.
    let octets = |hex: &[u8]| Some(parse_hex(hex)?.to_ne_bytes());
    let (family, ip) = match address.len() {
        8 => (Family::V4, IpAddr::V4(Ipv4Addr::from(octets(address)?))),
        32 => {
            let mut all = [0; 16];
            for (four, hex) in all.chunks_exact_mut(4).zip(address.chunks_exact(8)) {
                four.copy_from_slice(&octets(hex)?);
            }
            (Family::V6, Ipv6Addr::from(all).to_canonical())
        }
        _ => return None,
    };
    Some((family, SocketAddr::new(ip, port)))
}

/// Up to eight hexadecimal digits.
fn parse_hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        Some(number << 4 | char::from(*digit).to_digit(16)?)
    })
}

fn parse_decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// One line of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it, without its newline.
    Whole(&'a [u8]),
    /// It had more than [`LINE_BYTES_MAX`] bytes and was thrown away.
    TooLong,
}

/// A stream in lines, with memory for one buffer.
#[derive(Debug)]
pub struct Lines {
    buffer: Box<[u8]>,
    /// What was read and not yet handed out. Invariant: `start <= end <= buffer.len()`.
    start: usize,
    end: usize,
    /// The rest of a line that is too long is still to come.
    is_skipping: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES].into(),
            start: 0,
            end: 0,
            is_skipping: false,
        }
    }
}

impl Lines {
    /// Forgets what is left of a stream, for the next one.
    pub const fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        self.is_skipping = false;
    }

    /// The next line; `None` at the end of the stream. A last line without a newline is one, too.
    ///
    /// # Errors
    ///
    /// What reading the stream fails with, but for an interruption.
    pub fn next(&mut self, stream: &mut impl Read) -> io::Result<Option<Line<'_>>> {
        // Where no newline is for sure.
        let mut searched = self.start;
        loop {
            let unseen = &self.buffer[searched..self.end];
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                let line = self.start..searched + at;
                self.start = line.end + 1;
                let is_rest = std::mem::take(&mut self.is_skipping);
                return Ok(Some(self.line(line, is_rest)));
            }
            if self.end - self.start > LINE_BYTES_MAX {
                self.start = self.end;
                self.is_skipping = true;
            }
            let shift = self.start;
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - shift);
            searched = self.end;
            match stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let line = 0..std::mem::take(&mut self.end);
        let is_rest = std::mem::take(&mut self.is_skipping);
        Ok((is_rest || !line.is_empty()).then(|| self.line(line, is_rest)))
    }

    fn line(&self, line: std::ops::Range<usize>, is_rest: bool) -> Line<'_> {
        if is_rest || line.len() > LINE_BYTES_MAX {
            return Line::TooLong;
        }
        Line::Whole(&self.buffer[line])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    fn socket(line: &str) -> Socket {
        parse_line(line.as_bytes()).unwrap_or_else(|| panic!("no socket: {line}"))
    }

    /// Lines as kernels from 3.10 to 6.18 write them; they differ in what comes after the inode.
    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_of_both_families_in_several_states() {
        let listener = "   0: 0100007F:0FA0 00000000:0000 0A 00000000:00000003 00:00000000 00000000  \
                        1000        0 8818 1 00000000cfe93383 100 0 0 10 0                      ";
        let mut wanted = Socket {
            family: Family::V4,
            state: State::Listen,
            local: ([127, 0, 0, 1], 4_000).into(),
            remote: ([0, 0, 0, 0], 0).into(),
            rqueue: 3,
            wqueue: 0,
            inode: 8_818,
            uid: 1_000,
        };
        assert_eq!(socket(listener), wanted);

        let established = "1234567: 0100007F:0FA0 0700000A:C350 01 00000100:00000005 01:00000014 \
                           00000000     0        0 4294967295 2 ffff880036ed0740 20 4 31 10 -1";
        wanted.state = State::Established;
        wanted.remote = ([10, 0, 0, 7], 50_000).into();
        (wanted.rqueue, wanted.wqueue) = (5, 256);
        (wanted.inode, wanted.uid) = (u32::MAX, 0);
        assert_eq!(socket(established), wanted);

        let time_wait = "   9: 0100007F:C350 0100007F:0FA0 06 00000000:00000000 03:000013C4 00000000 \
                         0        0 0 3 0000000000000000                                      ";
        let time_wait = socket(time_wait);
        assert_eq!(time_wait.state, State::TimeWait);
        assert_eq!((time_wait.inode, time_wait.uid), (0, 0));

        let v6 = "   0: 00000000000000000000000001000000:0FA0 000080FE00000000FFFE0202DDCCBBAA:C350 \
                  08 00000000:00000001 00:00000000 00000000  1000        0 77 1 0000000000000000";
        let v6 = socket(v6);
        assert_eq!((v6.family, v6.state), (Family::V6, State::CloseWait));
        assert_eq!(v6.local, "[::1]:4000".parse().unwrap());
        let remote = "[fe80::202:feff:aabb:ccdd]:50000".parse().unwrap();
        assert_eq!(v6.remote, remote);

        let mapped = "   1: 0000000000000000FFFF00000100007F:0FA0 0000000000000000FFFF00000700000A:C350 \
                      01 00000000:00000000 00:00000000 00000000     0        0 78 1 0000000000000000";
        let mapped = socket(mapped);
        assert_eq!(mapped.family, Family::V6);
        assert_eq!(mapped.local, "127.0.0.1:4000".parse().unwrap());
        assert_eq!(mapped.remote, "10.0.0.7:50000".parse().unwrap());
    }

    #[test]
    fn what_is_no_socket_is_not_read_as_one() {
        let good = "0: 0100007F:0FA0 00000000:0000 0A 00000000:00000003 00:00000000 00000000 0 0 1";
        assert!(parse_line(good.as_bytes()).is_some());
        for (from, to) in [
            ("0: ", ""),
            ("0: ", "0 "),
            ("0: ", "x: "),
            ("0100007F:", "0100007:"),
            ("0100007F:", "0100007G:"),
            ("0100007F:", "+100007F:"),
            ("0FA0 ", "10FA0 "),
            ("00000000:0000 ", "00000000000000000000000001000000:0000 "),
            (":0FA0", ""),
            (" 0A ", " 00 "),
            (" 0A ", " 0D "),
            (" 0A ", " 10A "),
            (":00000003", ""),
            (":00000003", ":100000003"),
            (" 0 0 1", " 0 0"),
            (" 0 0 1", " 0 0 -1"),
            (" 0 0 1", " 0 0 4294967296"),
            (" 0 0 1", " x 0 1"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(parse_line(bad.as_bytes()), None, "{bad}");
        }
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt";
        assert_eq!(parse_line(heading.as_bytes()), None);
        assert_eq!(parse_line(b""), None);
    }

    /// A stream that comes in pieces, and is interrupted before each.
    struct Pieces<'a> {
        rest: &'a [u8],
        piece: usize,
        is_interrupted: bool,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.is_interrupted = !self.is_interrupted;
            if self.is_interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = self.piece.min(buffer.len());
            (&mut self.rest).take(count as u64).read(buffer)
        }
    }

    /// The lengths of the lines of a stream; `None` for those that are too long.
    fn lengths(stream: &[u8], piece: usize) -> Vec<Option<usize>> {
        let mut stream = Pieces {
            rest: stream,
            piece,
            is_interrupted: false,
        };
        let mut lines = Lines::default();
        let mut lengths = Vec::new();
        while let Some(line) = lines.next(&mut stream).expect("it does not fail") {
            lengths.push(match line {
                Line::Whole(line) => Some(line.len()),
                Line::TooLong => None,
            });
        }
        assert_eq!(lines.next(&mut stream).expect("it does not fail"), None);
        lengths
    }

    #[test]
    fn lines_are_found_in_any_pieces() {
        let lines = [
            0,
            1,
            150,
            0,
            LINE_BYTES_MAX,
            LINE_BYTES_MAX + 1,
            7,
            3 * BUFFER_BYTES,
            5,
        ];
        let wanted: Vec<_> = lines
            .iter()
            .map(|length| (*length <= LINE_BYTES_MAX).then_some(*length))
            .collect();
        let mut stream: Vec<u8> = lines
            .iter()
            .flat_map(|length| [vec![b'x'; *length], vec![b'\n']].concat())
            .collect();
        for piece in [1, 2, 13, 149, 1_024, 4_096, usize::MAX] {
            assert_eq!(lengths(&stream, piece), wanted, "in pieces of {piece}");
        }
        // Without the last newline, and with a last line that is too long.
        stream.pop();
        assert_eq!(lengths(&stream, 100), wanted);
        stream.extend([b'x'; LINE_BYTES_MAX]);
        let last = wanted.len() - 1;
        let cut = [&wanted[..last], &[None]].concat();
        for piece in [1, 100, usize::MAX] {
            assert_eq!(lengths(&stream, piece), cut);
        }
        assert_eq!(lengths(b"", 1), []);
    }

    #[test]
    fn a_stream_that_fails_says_so_and_can_be_forgotten() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }
        let mut lines = Lines::default();
        let mut stream = &b"first\nrest"[..];
        let first = lines.next(&mut stream).expect("it does not fail");
        assert_eq!(first, Some(Line::Whole(b"first")));
        let error = lines.next(&mut Broken).expect_err("it is broken");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        lines.clear();
        assert_eq!(lines.next(&mut stream).expect("it does not fail"), None);
    }
}
