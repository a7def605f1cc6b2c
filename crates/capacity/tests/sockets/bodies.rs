//! What reading sockets promises for any bytes at all. Fuzz targets include this file.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr},
};

use capacity::sockets::{
    Family, Filter, LocalPorts, Pair, Served, Socket, Source, State, Tally,
    lines::{LINE_BYTES_MAX, Line, Lines, parse_line},
    messages::{Answers, Content},
};

/// Any bytes are messages, each of which is read or odd, to the end or to where one is cut; what is
/// read can be written and read again.
pub(crate) fn fuzz_socket_messages(data: &[u8]) {
    const HEADER_BYTES: usize = 16;
    let mut sockets = Vec::new();
    let mut answers = Answers::new(data);
    for _ in 0..=data.len() / HEADER_BYTES {
        match answers.next() {
            Some(Ok(answer)) => {
                if let Content::Socket(socket) = answer.content {
                    let again = Answers::new(&message(&socket)).next();
                    let again = again.map(|answer| answer.map(|answer| answer.content));
                    assert_eq!(again, Some(Ok(answer.content)));
                    sockets.push(socket);
                }
            }
            Some(Err(cut)) => {
                assert!(cut.rest <= data.len() && !(HEADER_BYTES..=cut.rest).contains(&cut.stated));
                break;
            }
            None => break,
        }
    }
    assert_eq!(answers.next(), None);
    check_tally(&sockets);
}

/// Any bytes are lines, however they come; each is a socket that can be written and read again, or
/// it is none.
pub(crate) fn fuzz_socket_lines(data: &[u8]) {
    let wanted: Vec<_> = data
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
        .map(|line| (line.len() <= LINE_BYTES_MAX).then(|| line.to_owned()))
        .collect();
    // Pieces of one byte, of a length that the input says, and as large as can be.
    let said = data.first().map_or(2, |byte| usize::from(*byte) + 2);
    for piece in [1, said, usize::MAX] {
        assert_eq!(lines(data, piece), wanted, "in pieces of {piece}");
    }
    let whole = wanted.iter().flatten();
    let sockets: Vec<_> = whole.filter_map(|line| parse_line(line)).collect();
    for socket in &sockets {
        assert_eq!(parse_line(line(socket).as_bytes()), Some(*socket));
    }
    check_tally(&sockets);
}

/// Every socket is counted in one place.
fn check_tally(sockets: &[Socket]) {
    for socket in sockets {
        let ends = [socket.local.ip(), socket.remote.ip()];
        assert_eq!(ends.map(|ip| ip.to_canonical()), ends);
        assert!(socket.family == Family::V6 || ends.iter().all(IpAddr::is_ipv4));
        assert!(socket.unread_bytes() <= socket.rqueue && socket.unsent_bytes() <= socket.wqueue);
    }
    let ports = LocalPorts::default();
    let tally = Tally::of(sockets, Source::Netlink, &Filter::default(), &ports);
    let listeners = tally.listeners.len() as u64 + tally.listeners_unlisted_count();
    let served: u64 = tally.served.iter().map(Served::total).sum();
    let dialled: u64 = tally.pairs.iter().map(Pair::used).sum();
    let nowhere = tally.by_state.count(State::Close);
    let placed = listeners + served + dialled + tally.others.sockets_count + nowhere;
    assert_eq!(placed, sockets.len() as u64);
    assert_eq!(tally.by_state.total(), sockets.len() as u64);
}

/// A message with nothing but a socket, as sock_diag(7) has it.
fn message(socket: &Socket) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(88_u32.to_ne_bytes());
    bytes.extend(20_u16.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend([socket.family.number(), socket.state.number(), 0, 0]);
    bytes.extend(socket.local.port().to_be_bytes());
    bytes.extend(socket.remote.port().to_be_bytes());
    for end in [socket.local, socket.remote] {
        let mut address = octets(socket.family, end);
        address.resize(16, 0);
        bytes.extend(address);
    }
    // Interface, cookie, timer.
    bytes.extend([0; 16]);
    for number in [socket.rqueue, socket.wqueue, socket.uid, socket.inode] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes
}

/// A line as `man 5 proc_pid_net` has it.
fn line(socket: &Socket) -> String {
    let end = |end: SocketAddr| {
        let octets = octets(socket.family, end);
        let words = octets.chunks_exact(4).map(|word| {
            let word = u32::from_ne_bytes(word.try_into().expect("four bytes"));
            format!("{word:08X}")
        });
        format!("{}:{:04X}", words.collect::<String>(), end.port())
    };
    format!(
        "   0: {} {} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:5}        0 {} 1 0000000000000000",
        end(socket.local),
        end(socket.remote),
        socket.state.number(),
        socket.wqueue,
        socket.rqueue,
        socket.uid,
        socket.inode,
    )
}

fn octets(family: Family, end: SocketAddr) -> Vec<u8> {
    match (family, end.ip()) {
        (Family::V4, IpAddr::V4(ip)) => ip.octets().to_vec(),
        (Family::V6, IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets().to_vec(),
        (_, IpAddr::V6(ip)) => ip.octets().to_vec(),
    }
}

/// The lines of a stream that comes in pieces; `None` for those that are too long.
fn lines(data: &[u8], piece: usize) -> Vec<Option<Vec<u8>>> {
    let mut stream = Pieces { rest: data, piece };
    let mut lines = Lines::default();
    let mut found = Vec::new();
    while let Some(line) = lines.next(&mut stream).expect("it does not fail") {
        found.push(match line {
            Line::Whole(line) => Some(line.to_owned()),
            Line::TooLong => None,
        });
    }
    found
}

/// A stream that comes in pieces.
struct Pieces<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.piece.min(buffer.len());
        self.rest.read(&mut buffer[..count])
    }
}
