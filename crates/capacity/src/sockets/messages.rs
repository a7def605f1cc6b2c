//! The bytes of sock_diag(7): what is asked, and what is answered.
//!
//! ```text
//!  request  | nlmsghdr 16 | inet_diag_req_v2 56 | or | nlmsghdr 16 | inet_diag_req 60 |
//!           | nlattr 4: length u16, type 1 u16 | program |       where a filter needs one
//!  answer   | nlmsghdr 16 | inet_diag_msg 72 | attributes | ┈ padded to 4 ┈ | nlmsghdr 16 | …
//!
//!  nlmsghdr           0 length u32   4 type u16    6 flags u16   8 sequence u32   12 port u32
//!  inet_diag_req_v2   0 family u8    1 protocol u8 2 ext u8      4 states u32     8 sockid
//!  inet_diag_req      0 family u8    3 ext u8      4 sockid        52 states u32  56 0 u32
//!  inet_diag_msg      0 family u8    1 state u8    4 sockid     56 rqueue u32    60 wqueue u32
//!                    64 uid u32     68 inode u32
//!  sockid, 48 bytes   0 local port   2 remote port 4 local address   20 remote address   36 …
//! ```
//!
//! The older request, `inet_diag_req`, lists both families in one walk through the kernel's tables.
//!
//! Ports and addresses are big-endian, everything else is in the order of the machine. The fields
//! are read where they lie: packet crates make structs with a list of attributes of each message,
//! which is most of the time of a dump and nothing that is counted here.
//!
//! Pure: bytes in, facts out.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use thiserror::Error;

use super::{Family, Filter, Socket, State, bytecode};

const HEADER_BYTES: usize = 16;
const REQUEST_BODY_BYTES: usize = 56;
const OLD_REQUEST_BODY_BYTES: usize = 60;
const ATTRIBUTE_BYTES: usize = 4;
const ANSWER_BYTES: usize = 72;

/// Messages begin at multiples of this.
const ALIGNMENT: usize = 4;

/// `linux/netlink.h`.
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;

/// `linux/sock_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// `linux/inet_diag.h`.
const TCPDIAG_GETSOCK: u16 = 18;
const INET_DIAG_REQ_BYTECODE: u16 = 1;

const IPPROTO_TCP: u8 = 6;

/// What is asked: a list of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Told back in every answer.
    pub sequence: u32,
    /// Sockets of this family, or of both in one list.
    pub family: Option<Family>,
    /// Sockets that it admits, whatever inodes it wants. Without any state, the answer is the end of an
    /// empty list, which tells at no cost that lists are to be had.
    pub filter: &'a Filter,
}

impl Request<'_> {
    /// The request in bytes.
    pub fn encode(&self) -> Vec<u8> {
        let program = self.filter.except.as_ref().map(bytecode::all_but);
        let (kind, body_bytes, sockid_at, states_at) = match self.family {
            Some(_) => (SOCK_DIAG_BY_FAMILY, REQUEST_BODY_BYTES, 8, 4),
            None => (TCPDIAG_GETSOCK, OLD_REQUEST_BODY_BYTES, 4, 52),
        };
        let attribute_at = HEADER_BYTES + body_bytes;
        let mut bytes = vec![0; attribute_at];
        if let Some(program) = program {
            let length = (ATTRIBUTE_BYTES + program.len()) as u16;
            bytes.extend(length.to_ne_bytes());
            bytes.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
            bytes.extend(program);
        }
        let length = bytes.len() as u32;
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &length.to_ne_bytes());
        put(4, &kind.to_ne_bytes());
        put(6, &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        put(8, &self.sequence.to_ne_bytes());
        match self.family {
            Some(family) => put(HEADER_BYTES, &[family.number(), IPPROTO_TCP]),
            // It asks for both, and yet the kernel wants to see one.
            None => put(HEADER_BYTES, &[Family::V4.number()]),
        }
        put(
            HEADER_BYTES + states_at,
            &self.filter.states.bits().to_ne_bytes(),
        );
        // The ports of a dump are a filter, 0 is any: net/ipv4/inet_diag.c `inet_diag_dump_icsk`.
        let port = |port: Option<u16>| port.unwrap_or(0).to_be_bytes();
        let sockid_at = HEADER_BYTES + sockid_at;
        put(sockid_at, &port(self.filter.local_port));
        put(sockid_at + 2, &port(self.filter.remote_port));
        bytes
    }
}

/// One message of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request that it belongs to.
    pub sequence: u32,
    /// Whether the kernel's tables changed so that the list may miss a socket or have it twice
    /// (`NLM_F_DUMP_INTR`).
    pub is_interrupted: bool,
    /// What it says.
    pub content: Content,
}

/// What one message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// One socket of the list.
    Socket(Socket),
    /// The list is at its end.
    Done,
    /// There is no list, or no more of it.
    Failed(Errno),
    /// Something that is no news.
    Nothing,
    /// A whole message that makes no sense here: a type, family or state that nobody knows, or too
    /// few bytes for its fields.
    Odd,
}

/// What arrived is not a sequence of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a message says that it has {stated} bytes: expected {HEADER_BYTES} at least, and the {rest} that arrived at most"
)]
pub struct Cut {
    /// The length that the message has by its own account, 0 when even that is not there.
    pub stated: usize,
    /// How many bytes there are from its beginning on.
    pub rest: usize,
}

/// The messages of one datagram, one after the other; ends after a [`Cut`].
#[derive(Clone, Debug)]
pub struct Answers<'a> {
    rest: &'a [u8],
}

impl<'a> Answers<'a> {
    /// Reads what one `recv` returned.
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl Iterator for Answers<'_> {
    type Item = Result<Answer, Cut>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let stated = u32_at(self.rest, 0).map_or(0, |stated| stated as usize);
        // Every message has a header, so each turn takes some bytes and the walk comes to an end.
        if !(HEADER_BYTES..=self.rest.len()).contains(&stated) {
            let rest = std::mem::take(&mut self.rest).len();
            return Some(Err(Cut { stated, rest }));
        }
        let message = &self.rest[..stated];
        // The padding of the last message may be missing.
        let next = self.rest.get(stated.next_multiple_of(ALIGNMENT)..);
        self.rest = next.unwrap_or_default();
        Some(Ok(parse_answer(message)))
    }
}

/// Reads a message that has a whole header.
fn parse_answer(message: &[u8]) -> Answer {
    let (header, body) = message.split_at(HEADER_BYTES);
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let flags = u16::from_ne_bytes([header[6], header[7]]);
    Answer {
        sequence: u32_at(header, 8).unwrap_or(0),
        is_interrupted: flags & NLM_F_DUMP_INTR != 0,
        content: match kind {
            SOCK_DIAG_BY_FAMILY | TCPDIAG_GETSOCK => {
                parse_socket(body).map_or(Content::Odd, Content::Socket)
            }
            NLMSG_DONE => parse_errno(body).map_or(Content::Done, Content::Failed),
            // An error without a number acknowledges, which nobody asked for.
            NLMSG_ERROR => parse_errno(body).map_or(Content::Nothing, Content::Failed),
            NLMSG_OVERRUN => Content::Failed(Errno::NOBUFS),
            NLMSG_NOOP => Content::Nothing,
            _ => Content::Odd,
        },
    }
}

/// The error at the head of `nlmsgerr` and of the end of a list, negative as the kernel returns it;
/// `None` for success.
fn parse_errno(body: &[u8]) -> Option<Errno> {
    let code = u32_at(body, 0)?.cast_signed();
    // What the kernel can return at all, linux/err.h `MAX_ERRNO`.
    match code.checked_neg()? {
        code @ 1..=4095 => Some(Errno::from_raw_os_error(code)),
        _ => None,
    }
}

/// Reads an `inet_diag_msg`; what follows it are attributes.
fn parse_socket(body: &[u8]) -> Option<Socket> {
    let body = body.first_chunk::<ANSWER_BYTES>()?;
    let family = Family::from_number(body[0])?;
    let word = |at: usize| u32::from_ne_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let address = |at: usize| match family {
        Family::V4 => IpAddr::from([body[at], body[at + 1], body[at + 2], body[at + 3]]),
        Family::V6 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(&body[at..at + 16]);
            Ipv6Addr::from(octets).to_canonical()
        }
    };
    Some(Socket {
        family,
        state: State::from_number(body[1])?,
        local: SocketAddr::new(address(8), port(4)),
        remote: SocketAddr::new(address(24), port(6)),
        rqueue: word(56),
        wqueue: word(60),
        uid: word(64),
        inode: word(68),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let (field, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u32::from_ne_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::{LocalEnd, States};

    /// A message with its header, in the order of the machine.
    fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER_BYTES + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(4_711_u32.to_ne_bytes());
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0xee);
        bytes
    }

    fn contents(bytes: &[u8]) -> Vec<Content> {
        Answers::new(bytes)
            .map(|answer| answer.expect("whole messages").content)
            .collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_request_is_these_bytes() {
        let listeners = Filter {
            states: States::only(State::Listen),
            ..Filter::at(4_000)
        };
        let request = Request {
            sequence: 0x0102_0304,
            family: Some(Family::V6),
            filter: &listeners,
        };
        let mut bytes = vec![
            72, 0, 0, 0, 20, 0, 1, 3, 4, 3, 2, 1, 0, 0, 0, 0, // nlmsghdr
            10, 6, 0, 0, 0, 4, 0, 0, // AF_INET6, TCP, 1 << 10
            0x0f, 0xa0, 0, 0, // ports
        ];
        bytes.resize(72, 0);
        assert_eq!(request.encode(), bytes);

        let request = Request {
            sequence: 0,
            family: Some(Family::V4),
            filter: &Filter::towards(443),
        };
        let encoded = request.encode();
        assert_eq!(encoded[16..24], [2, 6, 0, 0, 0xfe, 0x0f, 0, 0]);
        assert_eq!(encoded[24..28], [0, 0, 0x01, 0xbb]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_request_for_both_families_is_the_older_one() {
        let end = LocalEnd {
            family: Family::V4,
            local: ([0, 0, 0, 0], 4_000).into(),
        };
        let others = Filter {
            except: Some(end),
            ..Filter::towards(443)
        };
        let request = Request {
            sequence: 7,
            family: None,
            filter: &others,
        };
        let mut bytes = vec![
            100, 0, 0, 0, 18, 0, 1, 3, 7, 0, 0, 0, 0, 0, 0, 0, // nlmsghdr
            2, 0, 0, 0, // AF_INET
            0, 0, 0x01, 0xbb, // ports
        ];
        bytes.resize(16 + 52, 0);
        bytes.extend([0xfe, 0x0f, 0, 0, 0, 0, 0, 0]);
        bytes.extend([24, 0, 1, 0]);
        bytes.extend(bytecode::all_but(&end));
        assert_eq!(request.encode(), bytes);
    }

    /// As Linux 6 writes it, with two attributes behind the fields.
    #[cfg(target_endian = "little")]
    const ESTABLISHED: [u8; 96] = [
        2, 1, 0, 0, // AF_INET, ESTABLISHED, no timer
        0x0f, 0xa0, 0xc3, 0x50, // 4000, 50000
        127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // local
        127, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // remote
        0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, // interface, cookie
        0, 0, 0, 0, // expires
        5, 0, 0, 0, 0, 1, 0, 0, // 5 unread, 256 unsent
        0xe8, 3, 0, 0, 0x4e, 0x61, 0xbc, 0, // uid 1000, inode
        5, 0, 8, 0, 0, 0, 0, 0, // INET_DIAG_SHUTDOWN
        12, 0, 21, 0, 1, 0, 0, 0, 0, 0, 0, 0, // INET_DIAG_CGROUP_ID
        0, 0, 0, 0, // padding
    ];

    #[test]
    #[cfg(target_endian = "little")]
    fn a_socket_is_read_where_its_fields_lie() {
        let socket = Socket {
            family: Family::V4,
            state: State::Established,
            local: ([127, 0, 0, 1], 4_000).into(),
            remote: ([127, 0, 0, 2], 50_000).into(),
            rqueue: 5,
            wqueue: 256,
            inode: 12_345_678,
            uid: 1_000,
        };
        assert_eq!(parse_socket(&ESTABLISHED), Some(socket));
        assert_eq!(parse_socket(&ESTABLISHED[..72]), Some(socket));
        assert_eq!(parse_socket(&ESTABLISHED[..71]), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_ipv6_socket_shows_what_it_carries() {
        let mut bytes = ESTABLISHED;
        bytes[0] = 10;
        bytes[1] = 12;
        bytes[8..24].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        bytes[24..40].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 7]);
        let socket = parse_socket(&bytes).expect("a socket");
        assert_eq!((socket.family, socket.state), (Family::V6, State::SynRecv));
        assert_eq!(socket.local, "[::1]:4000".parse().unwrap());
        assert_eq!(socket.remote, "10.0.0.7:50000".parse().unwrap());
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_messages_of_a_datagram_follow_each_other() {
        let socket = Content::Socket(parse_socket(&ESTABLISHED).expect("a socket"));
        let mut bytes = message(SOCK_DIAG_BY_FAMILY, 2, 7, &ESTABLISHED);
        bytes.extend(message(NLMSG_NOOP, 0, 7, b"odd length"));
        bytes.extend(message(SOCK_DIAG_BY_FAMILY, 2, 7, &ESTABLISHED));
        bytes.extend(message(NLMSG_DONE, 2, 7, &[0; 4]));
        let wanted = [socket, Content::Nothing, socket, Content::Done];
        assert_eq!(contents(&bytes), wanted);
        // The last padding is not always sent.
        let mut bytes = message(NLMSG_NOOP, 0, 7, b"x");
        bytes.truncate(HEADER_BYTES + 1);
        assert_eq!(contents(&bytes), [Content::Nothing]);
        assert_eq!(contents(&[]), []);
    }

    #[test]
    fn ends_errors_and_flags_are_told_apart() {
        let errno = |code: i32| (-code).to_ne_bytes();
        for (kind, body, content) in [
            (TCPDIAG_GETSOCK, &[0; 72][..], Content::Odd),
            (NLMSG_DONE, &[][..], Content::Done),
            (NLMSG_DONE, &errno(0), Content::Done),
            (NLMSG_DONE, &errno(12), Content::Failed(Errno::NOMEM)),
            (NLMSG_ERROR, &errno(2), Content::Failed(Errno::NOENT)),
            (NLMSG_ERROR, &errno(0), Content::Nothing),
            (NLMSG_ERROR, &errno(-5), Content::Nothing),
            (NLMSG_ERROR, &errno(4_096), Content::Nothing),
            (NLMSG_ERROR, &i32::MIN.to_ne_bytes(), Content::Nothing),
            (NLMSG_OVERRUN, &[], Content::Failed(Errno::NOBUFS)),
            (SOCK_DIAG_BY_FAMILY, &[], Content::Odd),
            (SOCK_DIAG_BY_FAMILY, &[0; 72], Content::Odd),
            (99, &[], Content::Odd),
        ] {
            assert_eq!(contents(&message(kind, 0, 0, body)), [content], "{kind}");
        }
        let bytes = message(NLMSG_DONE, NLM_F_DUMP_INTR, 77, &[]);
        let answer = Answers::new(&bytes).next().expect("one").expect("whole");
        assert_eq!((answer.sequence, answer.is_interrupted), (77, true));
    }

    #[test]
    fn a_message_that_is_not_whole_ends_the_walk() {
        let whole = message(NLMSG_NOOP, 0, 0, &[0; 8]);
        for rest in 1..whole.len() {
            let mut answers = Answers::new(&whole[..rest]);
            let stated = if rest < 4 { 0 } else { whole.len() };
            assert_eq!(answers.next(), Some(Err(Cut { stated, rest })));
            assert_eq!(answers.next(), None);
        }
        for stated in [0, 15, 17, u32::MAX as usize] {
            let mut bytes = message(NLMSG_NOOP, 0, 0, &[]);
            bytes[..4].copy_from_slice(&(stated as u32).to_ne_bytes());
            let mut answers = Answers::new(&bytes);
            assert_eq!(answers.next(), Some(Err(Cut { stated, rest: 16 })));
            assert_eq!(answers.next(), None);
        }
    }
}
