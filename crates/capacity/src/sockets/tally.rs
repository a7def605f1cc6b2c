//! What a diagnosis wants to know of all sockets together.
//!
//! ```text
//!  LISTEN                       ► listeners, one by one: their accept queues
//!  to a listener's address      ► served: counted by this address, whoever the clients are
//!  everything else              ► dialled: counted by pair of source and destination
//! ```
//!
//! A million clients of a server are thus one line, and a million sockets that a crowd has dialled
//! are one line for each of its sources. What a socket does not say is who began: one that was
//! dialled from the address of a listener counts as served.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use super::{
    Derived, Dump, Family, Filter, LocalEnd, LocalPorts, Others, PAIRS_MAX, Pair, Socket, Sockets,
    SocketsError, Source, State, States, pairs::Pairs,
};

/// The most listeners that are listed, and the most addresses whose connections are told apart.
/// Connections to addresses beyond count as dialled.
pub const LISTENERS_MAX: usize = 4_096;

/// How often a list that the kernel calls interrupted is made again, before its numbers are taken
/// as approximate.
pub const RESTARTS_MAX: u32 = 3;

/// Sockets, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What was read.
    pub source: Source,
    /// The kernel's tables changed too often while they were read, so a few sockets may be missing
    /// or counted twice.
    pub is_approximate: bool,
    /// Messages or lines that made no sense and were left out.
    pub odd_count: u64,
    /// All of them by state, listeners among them.
    pub by_state: ByState,
    /// What programs have not read yet.
    pub unread_bytes: u64,
    /// Sockets that have anything unread. Each holds a page at least
    /// ([`TcpMemory`](crate::TcpMemory)).
    pub unread_count: u64,
    /// What peers have not acknowledged yet.
    pub unsent_bytes: u64,
    /// Sockets that have anything not acknowledged.
    pub unsent_count: u64,
    /// The listeners, those with the most waiting connections first; at most [`LISTENERS_MAX`].
    pub listeners: Vec<Listener>,
    /// The connections to listeners by their address, the largest number first.
    pub served: Vec<Served>,
    /// The other connections, the largest pair first; at most [`PAIRS_MAX`].
    pub pairs: Vec<Pair>,
    /// Connections that are neither served nor in one of the pairs.
    pub others: Others,
    /// Of these the ones that were counted without being listed; what they have unread or unsent is
    /// in no sum. `None` where every socket was listed.
    pub derived: Option<Derived>,
}

/// A socket that waits for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What the program opened; an IPv6 socket may accept IPv4, too.
    pub family: Family,
    /// Where it listens.
    pub local: SocketAddr,
    /// Connections that wait to be accepted.
    pub accept_queue: u32,
    /// How many may wait, the lower of what `listen(2)` was given and `net.core.somaxconn`; `None`
    /// where /proc was read, which does not tell.
    pub accept_queue_max: Option<u32>,
    /// Its inode, as in the links of `/proc/PID/fd`.
    pub inode: u32,
    /// Who opened it.
    pub uid: u32,
}

/// The connections whose local address is that of a listener, or of several with `SO_REUSEPORT`:
/// the kernel does not tell which of them they came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// That of the listeners.
    pub family: Family,
    /// Where they listen.
    pub local: SocketAddr,
    /// How many of them there are among [`Tally::listeners`].
    pub listeners_count: u64,
    /// Connections that are answered and not confirmed yet.
    pub syn_recv_count: u64,
    /// Connections, accepted or waiting to be, in all states but this one before and that one
    /// after.
    pub live_count: u64,
    /// Connections that this end closed first, in TIME_WAIT.
    pub time_wait_count: u64,
}

/// A number for each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByState([u64; State::ALL.len()]);

impl Tally {
    /// Counts the sockets that the filter admits. Pairs are told by `ports` how a port was chosen.
    ///
    /// A tuple is used whoever has it: to learn how many are left, count without
    /// [`Filter::inodes`].
    ///
    /// # Errors
    ///
    /// Those of [`Sockets::for_each`].
    pub fn take(
        sockets: &mut Sockets,
        filter: &Filter,
        ports: &LocalPorts,
        deadline: Instant,
    ) -> Result<Self, SocketsError> {
        Self::of_lists(sockets.source(), filter, ports, |filter, each| {
            sockets.for_each(filter, deadline, each)
        })
    }

    /// Counts what `list` hands out: first listeners, then the rest.
    fn of_lists(
        source: Source,
        filter: &Filter,
        ports: &LocalPorts,
        mut list: impl FnMut(&Filter, &mut dyn FnMut(Socket)) -> Result<Dump, SocketsError>,
    ) -> Result<Self, SocketsError> {
        // Whose listener it is and what it is asked about its peers is no matter when connections
        // are told apart, so all listeners are needed.
        let listeners = Filter {
            states: States::only(State::Listen),
            local_port: filter.local_port,
            ..Filter::default()
        };
        let mut restarts = 0;
        loop {
            let mut count = Count::new(source, filter, None, ports);
            let mut dump = list(&listeners, &mut |socket| count.add_listener(&socket))?;
            dump.append(&list(filter, &mut |socket| count.add(&socket))?);
            if !dump.is_interrupted || restarts == RESTARTS_MAX {
                return Ok(count.finish(&dump));
            }
            restarts += 1;
        }
    }

    /// Counts sockets that were listed before, as `source` would have.
    pub fn of(sockets: &[Socket], source: Source, filter: &Filter, ports: &LocalPorts) -> Self {
        let mut count = Count::new(source, filter, None, ports);
        let listeners = sockets
            .iter()
            .filter(|socket| socket.state == State::Listen);
        listeners.for_each(|listener| count.add_listener(listener));
        let admitted = sockets.iter().filter(|socket| filter.admits(socket));
        admitted.for_each(|socket| count.add(socket));
        count.finish(&Dump::default())
    }

    /// Listeners that are beyond [`LISTENERS_MAX`].
    pub fn listeners_unlisted_count(&self) -> u64 {
        self.by_state.count(State::Listen) - self.listeners.len() as u64
    }
}

impl Listener {
    /// Whether the next connection must wait until one was accepted: the kernel takes one more than
    /// the maximum (`include/net/sock.h`, `sk_acceptq_is_full`). `None` where the maximum is not
    /// known.
    pub fn is_full(&self) -> Option<bool> {
        self.accept_queue_max.map(|max| self.accept_queue > max)
    }
}

impl Served {
    const fn new(family: Family, local: SocketAddr) -> Self {
        Self {
            family,
            local,
            listeners_count: 0,
            syn_recv_count: 0,
            live_count: 0,
            time_wait_count: 0,
        }
    }

    /// All connections.
    pub const fn total(&self) -> u64 {
        self.syn_recv_count + self.live_count + self.time_wait_count
    }

    const fn add(&mut self, state: State) {
        match state {
            State::SynRecv => self.syn_recv_count += 1,
            State::TimeWait => self.time_wait_count += 1,
            _ => self.live_count += 1,
        }
    }
}

impl ByState {
    /// The number of one state.
    pub const fn count(&self, state: State) -> u64 {
        self.0[state as usize - 1]
    }

    /// The number of all states.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every state with its number, in the order of [`State::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (State, u64)> + '_ {
        State::ALL.into_iter().zip(self.0)
    }

    const fn add(&mut self, state: State) {
        self.0[state as usize - 1] += 1;
    }
}

/// A tally in the making.
pub(super) struct Count<'a> {
    filter: &'a Filter,
    /// The inodes that are told from others.
    own: Option<&'a HashSet<u32>>,
    ports: &'a LocalPorts,
    tally: Tally,
    /// Where in `tally.served` an address of a listener is. Invariant: at most [`LISTENERS_MAX`].
    servers: HashMap<(Family, SocketAddr), usize>,
    /// Whether any of them has this port, which spares most dialled sockets the search.
    is_served: Box<[bool]>,
    pairs: Pairs,
}

impl<'a> Count<'a> {
    pub(super) fn new(
        source: Source,
        filter: &'a Filter,
        own: Option<&'a HashSet<u32>>,
        ports: &'a LocalPorts,
    ) -> Self {
        let tally = Tally {
            source,
            is_approximate: false,
            odd_count: 0,
            by_state: ByState::default(),
            unread_bytes: 0,
            unread_count: 0,
            unsent_bytes: 0,
            unsent_count: 0,
            listeners: Vec::new(),
            served: Vec::new(),
            pairs: Vec::new(),
            others: Others::default(),
            derived: None,
        };
        Self {
            filter,
            own,
            ports,
            tally,
            servers: HashMap::new(),
            is_served: vec![false; usize::from(u16::MAX) + 1].into(),
            pairs: Pairs::new(PAIRS_MAX),
        }
    }

    /// Counts a listener that the filter admits; every other one is known from now on, too.
    pub(super) fn add_listener(&mut self, socket: &Socket) {
        let is_admitted = self.filter.admits(socket);
        let is_listed = is_admitted && self.tally.listeners.len() < LISTENERS_MAX;
        if is_admitted {
            self.tally.by_state.add(socket.state);
        }
        if is_listed {
            let tells_max = self.tally.source.tells_accept_queue_max();
            self.tally.listeners.push(Listener {
                family: socket.family,
                local: socket.local,
                accept_queue: socket.rqueue,
                accept_queue_max: tells_max.then_some(socket.wqueue),
                inode: socket.inode,
                uid: socket.uid,
            });
        }
        let ends = (socket.family, socket.local);
        let known = self.servers.get(&ends).copied();
        let index = match known {
            Some(index) => index,
            None if self.servers.len() == LISTENERS_MAX => return,
            None => {
                let index = self.tally.served.len();
                self.tally.served.push(Served::new(ends.0, ends.1));
                self.servers.insert(ends, index);
                self.is_served[usize::from(ends.1.port())] = true;
                index
            }
        };
        self.tally.served[index].listeners_count += u64::from(is_listed);
    }

    /// Counts a socket that the filter admits, unless it is a listener, which was counted before.
    pub(super) fn add(&mut self, socket: &Socket) {
        if socket.state == State::Listen {
            return;
        }
        let tally = &mut self.tally;
        tally.by_state.add(socket.state);
        tally.unread_bytes += u64::from(socket.unread_bytes());
        tally.unread_count += u64::from(socket.unread_bytes() > 0);
        tally.unsent_bytes += u64::from(socket.unsent_bytes());
        tally.unsent_count += u64::from(socket.unsent_bytes() > 0);
        match self.server(socket) {
            // It has no tuple any more.
            _ if socket.state == State::Close => {}
            Some(index) => self.tally.served[index].add(socket.state),
            None => {
                let is_own = self.own.is_some_and(|own| own.contains(&socket.inode));
                self.pairs.add(socket, self.ports, is_own);
            }
        }
    }

    /// Counts the established connections to `end`, none of which was added: those of `open_count`
    /// that were not added either. Half-closed ones are open, too (RFC 4022, `tcpCurrEstab`).
    pub(super) fn derive(&mut self, end: LocalEnd, open_count: u64) {
        let tally = &mut self.tally;
        let added = [State::Established, State::CloseWait].map(|state| tally.by_state.count(state));
        let established_count = open_count.saturating_sub(added.iter().sum());
        tally.by_state.0[State::Established as usize - 1] += established_count;
        if let Some(index) = self.servers.get(&(end.family, end.local)) {
            tally.served[*index].live_count += established_count;
        }
        tally.derived = Some(Derived {
            end,
            established_count,
        });
    }

    /// Where the listeners of one address listen.
    pub(super) fn end(&self, index: usize) -> LocalEnd {
        let served = &self.tally.served[index];
        LocalEnd {
            family: served.family,
            local: served.local,
        }
    }

    /// How many addresses have a listener on this port.
    pub(super) fn ends_at(&self, port: u16) -> usize {
        let all = self.servers.keys();
        all.filter(|(_, local)| local.port() == port).count()
    }

    /// The listener whose connection this is, found as the kernel finds it for a new one: that of
    /// the very address, else that of any. A connection has the family of its listener.
    pub(super) fn server(&self, socket: &Socket) -> Option<usize> {
        let port = socket.local.port();
        // Nobody is served who was not heard of yet.
        if !self.is_served[usize::from(port)] || socket.state == State::SynSent {
            return None;
        }
        let any: &[IpAddr] = match socket.family {
            Family::V4 => &[IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
            // An IPv6 socket may listen to any IPv4 address, `::ffff:0.0.0.0`.
            Family::V6 => &[
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ],
        };
        let ips = std::iter::once(socket.local.ip()).chain(any.iter().copied());
        ips.map(|ip| (socket.family, SocketAddr::new(ip, port)))
            .find_map(|ends| self.servers.get(&ends).copied())
    }

    pub(super) fn finish(self, dump: &Dump) -> Tally {
        let mut tally = self.tally;
        tally.is_approximate = dump.is_interrupted;
        tally.odd_count = dump.odd_count;
        (tally.pairs, tally.others) = self.pairs.into_list();
        tally.listeners.sort_unstable_by_key(|listener| {
            let waiting = std::cmp::Reverse(listener.accept_queue);
            (waiting, listener.family, listener.local, listener.inode)
        });
        // Those of somebody else that nobody asked for.
        tally
            .served
            .retain(|served| served.listeners_count > 0 || served.total() > 0);
        tally.served.sort_unstable_by_key(|served| {
            let total = std::cmp::Reverse(served.total());
            (total, served.family, served.local)
        });
        tally
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::sockets::filter::tests::any_socket;

    fn socket(state: State, local: &str, remote: &str) -> Socket {
        let is_v6 = local.starts_with('6');
        Socket {
            family: if is_v6 { Family::V6 } else { Family::V4 },
            state,
            local: local.trim_start_matches("6 ").parse().expect("an address"),
            remote: remote.parse().expect("an address"),
            rqueue: 0,
            wqueue: 0,
            inode: 0,
            uid: 0,
        }
    }

    fn listener(local: &str, waiting: u32) -> Socket {
        Socket {
            rqueue: waiting,
            wqueue: 128,
            inode: waiting + 1_000,
            ..socket(State::Listen, local, "0.0.0.0:0")
        }
    }

    fn established(local: &str, remote: &str) -> Socket {
        socket(State::Established, local, remote)
    }

    fn tally(sockets: &[Socket]) -> Tally {
        let ports = LocalPorts::default();
        Tally::of(sockets, Source::Netlink, &Filter::default(), &ports)
    }

    /// The served of an address: by SYN_RECV, live and TIME_WAIT.
    fn served(tally: &Tally, local: &str) -> Option<(u64, u64, u64)> {
        let local = local.parse().expect("an address");
        let mut all = tally.served.iter();
        all.find(|served| served.local == local).map(|served| {
            (
                served.syn_recv_count,
                served.live_count,
                served.time_wait_count,
            )
        })
    }

    #[test]
    fn connections_are_under_the_listener_that_the_kernel_would_choose() {
        let tally = tally(&[
            listener("0.0.0.0:4000", 1),
            listener("10.0.0.1:4000", 2),
            listener("6 [::]:4000", 3),
            listener("6 [::1]:5000", 4),
            established("10.0.0.1:4000", "10.9.0.1:50000"),
            established("10.0.0.2:4000", "10.9.0.1:50000"),
            established("127.0.0.1:4000", "127.0.0.1:50000"),
            socket(State::SynRecv, "10.0.0.2:4000", "10.9.0.1:50001"),
            socket(State::TimeWait, "10.0.0.2:4000", "10.9.0.1:50002"),
            socket(State::CloseWait, "10.0.0.2:4000", "10.9.0.1:50003"),
            // An IPv6 socket, with either protocol in it.
            established("6 10.0.0.1:4000", "10.9.0.1:50004"),
            established("6 [fd00::1]:4000", "[fd00::2]:50000"),
            established("6 [::1]:5000", "[::1]:50000"),
            // Nobody listens there.
            established("6 [fd00::1]:5000", "[fd00::2]:50000"),
            established("10.0.0.1:5000", "10.9.0.1:50005"),
            // It is dialled, whatever its port.
            socket(State::SynSent, "10.0.0.2:4000", "10.9.0.1:50006"),
        ]);
        assert_eq!(served(&tally, "0.0.0.0:4000"), Some((1, 3, 1)));
        assert_eq!(served(&tally, "10.0.0.1:4000"), Some((0, 1, 0)));
        assert_eq!(served(&tally, "[::]:4000"), Some((0, 2, 0)));
        assert_eq!(served(&tally, "[::1]:5000"), Some((0, 1, 0)));
        assert_eq!(tally.served[0].local.to_string(), "0.0.0.0:4000");
        assert_eq!(tally.pairs.len(), 3);
        assert_eq!(tally.by_state.count(State::Established), 8);
        assert_eq!(tally.by_state.count(State::Listen), 4);
        assert_eq!(tally.by_state.total(), 16);
        // Those with the longest queues come first.
        let queues: Vec<_> = tally.listeners.iter().map(|l| l.accept_queue).collect();
        assert_eq!(queues, [4, 3, 2, 1]);
    }

    #[test]
    fn listeners_of_one_address_are_listed_and_their_connections_counted_once() {
        let tally = tally(&[
            listener("10.0.0.1:4000", 128),
            listener("10.0.0.1:4000", 129),
            established("10.0.0.1:4000", "10.9.0.1:50000"),
        ]);
        assert_eq!(tally.served.len(), 1);
        assert_eq!(
            (tally.served[0].listeners_count, tally.served[0].total()),
            (2, 1)
        );
        let full: Vec<_> = tally.listeners.iter().map(Listener::is_full).collect();
        assert_eq!(full, [Some(true), Some(false)]);
    }

    #[test]
    fn proc_does_not_tell_how_many_may_wait() {
        let (filter, ports) = (Filter::default(), LocalPorts::default());
        let tally = Tally::of(&[listener("10.0.0.1:80", 5)], Source::Proc, &filter, &ports);
        assert_eq!(tally.listeners[0].accept_queue_max, None);
        assert_eq!(tally.listeners[0].is_full(), None);
    }

    #[test]
    fn queues_are_summed_without_those_of_listeners() {
        let with = |state, rqueue, wqueue| Socket {
            rqueue,
            wqueue,
            ..socket(state, "10.0.0.1:4000", "10.9.0.1:50000")
        };
        let tally = tally(&[
            listener("10.0.0.1:4000", 7),
            with(State::Established, u32::MAX, 1),
            with(State::Established, 5, 0),
            with(State::Established, 0, u32::MAX),
            // Only the end of the stream.
            with(State::CloseWait, 1, 0),
        ]);
        assert_eq!(tally.unread_bytes, u64::from(u32::MAX) + 5);
        assert_eq!(tally.unread_count, 2);
        assert_eq!(tally.unsent_bytes, u64::from(u32::MAX) + 1);
        assert_eq!(tally.unsent_count, 2);
    }

    #[test]
    fn what_a_filter_leaves_out_still_tells_served_from_dialled() {
        let mine = |socket: Socket| Socket { inode: 5, ..socket };
        let sockets = [
            // A server whose listener belongs to another process, and a third process.
            listener("10.0.0.1:4000", 0),
            mine(established("10.0.0.1:4000", "10.9.0.1:50000")),
            established("10.0.0.1:4000", "10.9.0.1:50001"),
            listener("10.0.0.1:5000", 0),
            mine(established("10.0.0.1:40000", "10.9.0.1:443")),
        ];
        let filter = Filter {
            inodes: Some([5].into()),
            ..Filter::default()
        };
        let tally = Tally::of(&sockets, Source::Netlink, &filter, &LocalPorts::default());
        assert_eq!(tally.by_state.total(), 2);
        assert_eq!(tally.listeners, []);
        assert_eq!(tally.served.len(), 1);
        assert_eq!(served(&tally, "10.0.0.1:4000"), Some((0, 1, 0)));
        assert_eq!(tally.pairs.len(), 1);
    }

    #[test]
    fn listeners_are_bounded() {
        let count = LISTENERS_MAX + 10;
        let mut sockets: Vec<_> = (0..count)
            .map(|port| listener(&format!("10.0.0.1:{}", port + 1), 0))
            .collect();
        let last = format!("10.0.0.1:{count}");
        sockets.push(established("10.0.0.1:1", "10.9.0.1:50000"));
        sockets.push(established(&last, "10.9.0.1:50000"));
        let tally = tally(&sockets);
        assert_eq!(tally.listeners.len(), LISTENERS_MAX);
        assert_eq!(tally.served.len(), LISTENERS_MAX);
        assert_eq!(tally.listeners_unlisted_count(), 10);
        assert_eq!(tally.by_state.count(State::Listen), count as u64);
        assert_eq!((tally.served[0].total(), tally.pairs[0].used()), (1, 1));
    }

    #[test]
    fn an_interrupted_list_is_made_again_a_few_times() {
        let (filter, ports) = (Filter::default(), LocalPorts::default());
        for interruptions in 0..=RESTARTS_MAX + 2 {
            let mut lists = 0;
            let tally = Tally::of_lists(Source::Netlink, &filter, &ports, |filter, each| {
                // Two lists make a tally; it is the second that is interrupted.
                let is_second = lists % 2 == 1;
                let is_interrupted = is_second && lists / 2 < interruptions;
                lists += 1;
                for socket in [
                    listener("10.0.0.1:4000", 0),
                    established("10.0.0.1:4000", "10.9.0.1:50000"),
                ] {
                    if filter.admits(&socket) {
                        each(socket);
                    }
                }
                Ok(Dump {
                    sockets_count: 1,
                    odd_count: 1,
                    is_interrupted,
                })
            });
            let tally = tally.expect("no list fails");
            assert_eq!(lists, 2 * (interruptions.min(RESTARTS_MAX) + 1));
            assert_eq!(tally.is_approximate, interruptions > RESTARTS_MAX);
            // Nothing is left of the lists that were given up.
            assert_eq!((tally.by_state.total(), tally.odd_count), (2, 2));
        }
        let late = Tally::of_lists(Source::Proc, &filter, &ports, |_, _| {
            Err(SocketsError::Late)
        });
        assert!(matches!(late, Err(SocketsError::Late)));
    }

    #[test]
    fn all_listeners_of_a_port_are_asked_for_and_then_what_was_asked() {
        let filter = Filter {
            states: States::only(State::Established),
            remote_port: Some(50_000),
            inodes: Some([5].into()),
            ..Filter::at(4_000)
        };
        let mut asked = Vec::new();
        let tally = Tally::of_lists(
            Source::Netlink,
            &filter,
            &LocalPorts::default(),
            |filter, _| {
                asked.push(filter.clone());
                Ok(Dump::default())
            },
        );
        assert_eq!(tally.expect("no list fails").by_state.total(), 0);
        let listeners = Filter {
            states: States::only(State::Listen),
            ..Filter::at(4_000)
        };
        assert_eq!(asked, [listeners, filter]);
    }

    proptest! {
        #[test]
        fn every_socket_is_counted_in_one_place(sockets in vec(any_socket(), 0..60)) {
            let tally = tally(&sockets);
            prop_assert_eq!(tally.by_state.total(), sockets.len() as u64);
            for (state, count) in tally.by_state.iter() {
                let wanted = sockets.iter().filter(|socket| socket.state == state).count();
                prop_assert_eq!(count, wanted as u64, "{}", state);
            }
            let served: u64 = tally.served.iter().map(Served::total).sum();
            let dialled: u64 = tally.pairs.iter().map(Pair::used).sum();
            let nowhere = tally.by_state.count(State::Close);
            let placed = tally.listeners.len() as u64 + served + dialled + nowhere;
            prop_assert_eq!(placed, sockets.len() as u64);
            prop_assert_eq!(tally.others, Others::default());
            let listeners: u64 = tally.served.iter().map(|served| served.listeners_count).sum();
            prop_assert_eq!(listeners, tally.listeners.len() as u64);
        }
    }
}
