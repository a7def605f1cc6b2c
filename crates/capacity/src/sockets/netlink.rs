//! Lists of sockets over a netlink socket, `man 7 sock_diag`.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect,
        netlink::{SOCK_DIAG, SocketAddrNetlink},
        recv, send, socket_with,
    },
};

use super::{
    Dump, Family, Filter, Socket, SocketsError, States,
    messages::{Answers, Content, Cut, Request},
};

/// The kernel fills as much of a buffer as it is given, up to this (`net/netlink/af_netlink.c`,
/// `netlink_dump`): some 260 sockets a system call.
const BUFFER_BYTES: usize = 32 * 1_024;

/// One list of both families walks through the kernel's tables once.
const BOTH_AT_ONCE: [Option<Family>; 1] = [None];
/// For kernels that do not know the older request.
const ONE_BY_ONE: [Option<Family>; 2] = [Some(Family::V4), Some(Family::V6)];

/// How long the kernel may take to say that it has lists.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest single wait, so that a deadline of any distance can be waited for.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// A netlink socket on which the kernel has answered.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    buffer: Box<[u8]>,
    /// The lists that make one of all sockets.
    lists: &'static [Option<Family>],
    /// The number of the last request.
    sequence: u32,
    /// The last list was not read to its end; what is left of it would be in the way of the next.
    is_unfinished: bool,
}

impl Netlink {
    /// Opens the socket and asks for an empty list: a sandbox, or a kernel without the module
    /// `tcp_diag`, refuses only then.
    pub(super) fn open() -> Result<Self, Errno> {
        let mut netlink = Self {
            socket: open_socket()?,
            buffer: vec![0; BUFFER_BYTES].into(),
            lists: &BOTH_AT_ONCE,
            sequence: 0,
            is_unfinished: false,
        };
        if netlink.probe().is_err() {
            netlink.lists = &ONE_BY_ONE;
            netlink.probe()?;
        }
        Ok(netlink)
    }

    fn probe(&mut self) -> Result<(), Errno> {
        let nothing = Filter {
            states: States::NONE,
            ..Filter::default()
        };
        let deadline = Instant::now() + PROBE_TIMEOUT;
        match self.list(&nothing, u64::MAX, deadline, &mut |_| {}) {
            Ok(_) => Ok(()),
            Err(SocketsError::Netlink(errno)) => Err(errno),
            Err(SocketsError::Late) => Err(Errno::TIMEDOUT),
            Err(_) => Err(Errno::BADMSG),
        }
    }

    /// Hands out the sockets that the filter admits; of each list no more than come with the one that
    /// makes them `sockets_max` or more.
    pub(super) fn list(
        &mut self,
        filter: &Filter,
        sockets_max: u64,
        deadline: Instant,
        each: &mut impl FnMut(Socket),
    ) -> Result<Dump, SocketsError> {
        let mut dump = Dump::default();
        for family in self.lists {
            dump.append(&self.list_one(*family, filter, sockets_max, deadline, each)?);
        }
        Ok(dump)
    }

    fn list_one(
        &mut self,
        family: Option<Family>,
        filter: &Filter,
        sockets_max: u64,
        deadline: Instant,
        each: &mut impl FnMut(Socket),
    ) -> Result<Dump, SocketsError> {
        if self.is_unfinished {
            self.socket = open_socket()?;
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.is_unfinished = true;
        let request = Request {
            sequence: self.sequence,
            family,
            filter,
        };
        let bytes = request.encode();
        retry_on_intr(|| send(&self.socket, &bytes, SendFlags::empty()))?;
        let mut dump = Dump::default();
        loop {
            let length = self.receive(deadline)?;
            let datagram = &self.buffer[..length];
            if read_datagram(datagram, self.sequence, filter, &mut dump, each)? {
                self.is_unfinished = false;
                return Ok(dump);
            }
            if dump.sockets_count >= sockets_max {
                return Ok(dump);
            }
        }
    }

    /// Waits for the next datagram. The kernel makes it while it is asked for, so there is nothing
    /// to wait for but when something is wrong.
    fn receive(&mut self, deadline: Instant) -> Result<usize, SocketsError> {
        // The length of a datagram that does not fit is told nevertheless.
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SocketsError::Late);
            }
            match recv(&self.socket, &mut self.buffer[..], flags) {
                Ok((rest, stated)) if rest < stated => return Err(Cut { stated, rest }.into()),
                Ok((length, _)) => return Ok(length),
                Err(Errno::AGAIN) => wait(&self.socket, left)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Waits until there is something to receive, or for a while.
fn wait(socket: &OwnedFd, left: Duration) -> Result<(), Errno> {
    let timeout = Timespec::try_from(left.min(WAIT_MAX)).expect("a second fits");
    let mut sockets = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut sockets, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// A socket that talks to the kernel and to nobody else: `connect` leaves no other sender, `man 7
/// netlink`.
fn open_socket() -> Result<OwnedFd, Errno> {
    let kind = SocketType::RAW;
    let socket = socket_with(
        AddressFamily::NETLINK,
        kind,
        SocketFlags::CLOEXEC,
        Some(SOCK_DIAG),
    )?;
    connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    Ok(socket)
}

/// Hands out the sockets of one datagram; tells whether the list is at its end.
fn read_datagram(
    datagram: &[u8],
    sequence: u32,
    filter: &Filter,
    dump: &mut Dump,
    each: &mut impl FnMut(Socket),
) -> Result<bool, SocketsError> {
    for answer in Answers::new(datagram) {
        let answer = answer?;
        if answer.sequence != sequence {
            continue;
        }
        dump.is_interrupted |= answer.is_interrupted;
        match answer.content {
            Content::Socket(socket) if filter.admits(&socket) => {
                dump.sockets_count += 1;
                each(socket);
            }
            Content::Socket(_) | Content::Nothing => {}
            Content::Odd => dump.odd_count += 1,
            Content::Failed(errno) => return Err(errno.into()),
            Content::Done => return Ok(true),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::State;

    /// A message with its header, in the order of the machine.
    fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }

    fn socket(sequence: u32, state: State) -> Vec<u8> {
        let mut body = [0; 72];
        (body[0], body[1]) = (2, state.number());
        message(20, 2, sequence, &body)
    }

    /// What a datagram hands out as the answer to request 7, and how it ends.
    fn read(datagram: &[Vec<u8>]) -> (Vec<State>, Dump, Result<bool, SocketsError>) {
        let (mut states, mut dump) = (Vec::new(), Dump::default());
        let filter = Filter {
            states: States::ALL.without(State::TimeWait),
            ..Filter::default()
        };
        let mut each = |socket: Socket| states.push(socket.state);
        let end = read_datagram(&datagram.concat(), 7, &filter, &mut dump, &mut each);
        (states, dump, end)
    }

    #[test]
    fn a_datagram_is_read_to_its_end_or_that_of_the_list() {
        let established = || socket(7, State::Established);
        let done = message(3, 2, 7, &[0; 4]);
        let (states, dump, end) = read(&[established(), established()]);
        assert_eq!((states.len(), dump.sockets_count), (2, 2));
        assert!(matches!(end, Ok(false)));
        let (states, _, end) = read(&[established(), done, established()]);
        assert_eq!(states.len(), 1);
        assert!(matches!(end, Ok(true)));
    }

    #[test]
    fn what_belongs_to_another_list_or_was_not_asked_for_is_passed_over() {
        let (states, dump, end) = read(&[
            socket(6, State::Established),
            // The end and the error of the list before.
            message(3, 0x12, 6, &[0; 4]),
            message(2, 0, 6, &(-5_i32).to_ne_bytes()),
            // It changed its state after the kernel had chosen it.
            socket(7, State::TimeWait),
            message(99, 2, 7, &[]),
            socket(7, State::Established),
        ]);
        assert_eq!(states, [State::Established]);
        let wanted = Dump {
            sockets_count: 1,
            odd_count: 1,
            is_interrupted: false,
        };
        assert_eq!(dump, wanted);
        assert!(matches!(end, Ok(false)));
    }

    #[test]
    fn errors_and_interruptions_are_told() {
        let errno = (-12_i32).to_ne_bytes();
        for kind in [2, 3] {
            let (states, _, end) = read(&[socket(7, State::Listen), message(kind, 2, 7, &errno)]);
            assert_eq!(states.len(), 1);
            assert!(matches!(end, Err(SocketsError::Netlink(Errno::NOMEM))));
        }
        let (_, dump, end) = read(&[message(3, 0x10, 7, &[0; 4])]);
        assert!(dump.is_interrupted && matches!(end, Ok(true)));
        let mut cut = socket(7, State::Listen);
        cut.pop();
        let (states, _, end) = read(&[socket(7, State::Listen), cut]);
        assert_eq!(states.len(), 1);
        let cut = Cut {
            stated: 88,
            rest: 87,
        };
        assert!(matches!(end, Err(SocketsError::Cut(found)) if found == cut));
    }

    #[test]
    fn a_list_that_was_given_up_is_not_in_the_way_of_the_next() {
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut netlink = Netlink::open().expect("a test machine has sock_diag");
        let all = Filter::default();
        let soon = || Instant::now() + Duration::from_secs(60);
        for _ in 0..3 {
            // The deadline is over once the first list is on its way.
            let late = netlink.list(&all, u64::MAX, Instant::now(), &mut |_| {});
            assert!(matches!(late, Err(SocketsError::Late)));
            let mut count = 0;
            let dump = netlink.list(&all, u64::MAX, soon(), &mut |_| count += 1);
            let dump = dump.expect("the kernel lists its sockets");
            assert!(count >= 1 && dump.sockets_count == count);
            assert_eq!(dump.odd_count, 0);
        }
    }

    #[test]
    fn nothing_to_receive_is_waited_for_until_the_deadline() {
        let mut netlink = Netlink::open().expect("a test machine has sock_diag");
        let start = Instant::now();
        let silence = netlink.receive(start + Duration::from_millis(20));
        assert!(matches!(silence, Err(SocketsError::Late)));
        assert!(start.elapsed() >= Duration::from_millis(20));
    }
}
