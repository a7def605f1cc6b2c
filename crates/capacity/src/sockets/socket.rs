//! One TCP socket as the kernel shows it, and what its numbers mean.

use std::{fmt, net::SocketAddr};

/// A TCP socket at the moment when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    /// What the program opened. An IPv6 socket may carry IPv4: then `family` is `V6` and the
    /// addresses are IPv4.
    pub family: Family,
    /// Where the connection stands.
    pub state: State,
    /// This end. IPv4 addresses in IPv6 clothes (`::ffff:10.0.0.1`) are undressed, since they use
    /// the same tuples as any IPv4 socket; the scope of link-local addresses is not known.
    pub local: SocketAddr,
    /// The other end; unspecified for a listener.
    pub remote: SocketAddr,
    /// As the kernel counts: sequence numbers received and not yet read, among them the peer's end
    /// ([`unread_bytes`](Self::unread_bytes) takes that away). Of a listener: connections that wait
    /// to be accepted.
    pub rqueue: u32,
    /// As the kernel counts: sequence numbers not yet acknowledged, among them our beginning and
    /// our end ([`unsent_bytes`](Self::unsent_bytes) takes these away). Of a listener: how many
    /// connections may wait, which /proc does not tell and shows as 0.
    pub wqueue: u32,
    /// The socket's inode, as in the links of `/proc/PID/fd`; 0 where no descriptor belongs to it:
    /// before it is accepted, and after it was closed.
    pub inode: u32,
    /// Who opened it; 0 on most kernels where there is no inode.
    pub uid: u32,
}

// A dump hands out millions of them by value.
const _: () = assert!(size_of::<Socket>() == 84);

impl Socket {
    /// Bytes that the program has not read; 0 for a listener.
    pub const fn unread_bytes(&self) -> u32 {
        match self.state {
            State::Listen => 0,
            // The peer's FIN takes a sequence number until the program has read the end of the
            // stream, RFC 9293 §3.4.
            State::CloseWait | State::Closing | State::LastAck => self.rqueue.saturating_sub(1),
            _ => self.rqueue,
        }
    }

    /// Bytes that the peer has not acknowledged, on their way or waiting for it; 0 for a listener.
    pub const fn unsent_bytes(&self) -> u32 {
        match self.state {
            State::Listen => 0,
            // In these states one number is our SYN or our FIN, which the peer has not acknowledged
            // either: when it does, the state changes, RFC 9293 §3.3.2.
            State::SynSent | State::FinWait1 | State::Closing | State::LastAck => {
                self.wqueue.saturating_sub(1)
            }
            _ => self.wqueue,
        }
    }
}

/// Which protocol a socket was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`, which may carry IPv4, too.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The number of `socket(2)`.
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    /// The family with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::V4),
            10 => Some(Self::V6),
            _ => None,
        }
    }
}

/// Where a connection stands, RFC 9293 §3.3.2, with the numbers of Linux
/// (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Open.
    Established = 1,
    /// Dialled, not answered yet.
    SynSent,
    /// Called and answered, not confirmed yet: a few hundred bytes, not a socket yet.
    SynRecv,
    /// Closed by us, which the peer does not know yet.
    FinWait1,
    /// Closed by us, not yet by the peer.
    FinWait2,
    /// Closed by both, by us first: keeps its tuple for a minute.
    TimeWait,
    /// About to disappear.
    Close,
    /// Closed by the peer, not yet by us.
    CloseWait,
    /// Closed by the peer, then by us, which the peer does not know yet.
    LastAck,
    /// Waits for connections.
    Listen,
    /// Closed by both at once.
    Closing,
}

impl State {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
    ];

    /// Its number in the kernel, from 1.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The state with this number. 12 is what Linux calls a `SYN_RECV` that is not a socket yet.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            12 => Some(Self::SynRecv),
            _ => Self::ALL.get(usize::from(number.checked_sub(1)?)).copied(),
        }
    }

    /// Its name in lower case, as a label of a metric.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::SynSent => "syn_sent",
            Self::SynRecv => "syn_recv",
            Self::FinWait1 => "fin_wait1",
            Self::FinWait2 => "fin_wait2",
            Self::TimeWait => "time_wait",
            Self::Close => "close",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::Listen => "listen",
            Self::Closing => "closing",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A set of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct States(u32);

impl States {
    /// No state.
    pub const NONE: Self = Self(0);

    /// Every state that a socket with a peer or a listener can have.
    pub const ALL: Self = Self(0b1111_1111_1110);

    /// This state alone.
    pub const fn only(state: State) -> Self {
        Self(1 << state.number())
    }

    /// All of these without one.
    pub const fn without(self, state: State) -> Self {
        Self(self.0 & !Self::only(state).0)
    }

    /// Whether a state is in the set.
    pub const fn contains(self, state: State) -> bool {
        self.0 & Self::only(state).0 != 0
    }

    /// A bit for each state at its number, as sock_diag(7) wants it.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(state: State, rqueue: u32, wqueue: u32) -> Socket {
        Socket {
            family: Family::V4,
            state,
            local: ([127, 0, 0, 1], 4_000).into(),
            remote: ([127, 0, 0, 2], 50_000).into(),
            rqueue,
            wqueue,
            inode: 7,
            uid: 0,
        }
    }

    #[test]
    fn numbers_and_names_are_those_of_the_kernel() {
        for (index, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state.number()), index + 1);
            assert_eq!(State::from_number(state.number()), Some(state));
            let debug: String = format!("{state:?}").to_lowercase();
            assert_eq!(state.name().replace('_', ""), debug);
        }
        assert_eq!(State::from_number(12), Some(State::SynRecv));
        for number in [0, 13, 14, 255] {
            assert_eq!(State::from_number(number), None);
        }
        for family in Family::ALL {
            assert_eq!(Family::from_number(family.number()), Some(family));
        }
        assert_eq!(Family::from_number(0), None);
    }

    #[test]
    fn a_set_has_what_was_put_into_it() {
        for state in State::ALL {
            assert!(States::ALL.contains(state));
            assert!(!States::NONE.contains(state));
            let others = States::ALL.without(state);
            let only = States::only(state);
            assert!(only.contains(state) && !others.contains(state));
            assert_eq!(only.bits() | others.bits(), States::ALL.bits());
        }
    }

    #[test]
    fn the_end_of_a_stream_is_not_a_byte() {
        let unread = |state| socket(state, 6, 0).unread_bytes();
        assert_eq!(unread(State::Established), 6);
        assert_eq!(unread(State::FinWait2), 6);
        assert_eq!(unread(State::CloseWait), 5);
        assert_eq!(unread(State::Listen), 0);
        // The program has read everything, the end included.
        assert_eq!(socket(State::CloseWait, 0, 0).unread_bytes(), 0);

        let unsent = |state| socket(state, 0, 6).unsent_bytes();
        assert_eq!(unsent(State::Established), 6);
        assert_eq!(unsent(State::CloseWait), 6);
        assert_eq!(unsent(State::SynSent), 5);
        assert_eq!(unsent(State::LastAck), 5);
        assert_eq!(unsent(State::Listen), 0);
    }
}
