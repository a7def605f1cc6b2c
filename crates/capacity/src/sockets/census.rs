//! All sockets of a network, counted without listing most of them.
//!
//! A socket costs a microsecond to list, most of it the kernel's way through cold memory, and a tenth
//! of that to pass by. Where there are very many, what most of them would say is known without it:
//!
//! ```text
//!  a sample           ► one listener has many of the connections?
//!  the rest           ► listed
//!  to that listener   ► listed if they are in any state but ESTABLISHED
//!  and if they are    ► the kernel's number of open connections (CurrEstab), less those that were listed
//! ```
//!
//! That number and the lists are not of one moment, so it is off by what has opened or closed between
//! them; a list of everything would be, too. What is not listed does not say how much of it is unread.

use std::{collections::HashSet, time::Instant};

use super::{
    Counter, Counters, Dump, Filter, LocalEnd, LocalPorts, RESTARTS_MAX, Socket, Sockets,
    SocketsError, State, States, Tally, tally::Count,
};

/// From so many open connections on, not all are listed; fewer take a twentieth of a second.
const MANY: u64 = 50_000;

/// How many sockets show what most of them are.
const SAMPLE: u64 = 2_000;

/// Connections that were counted without being listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derived {
    /// Where they arrived.
    pub end: LocalEnd,
    /// How many of them are established: `CurrEstab` less those that were listed, right after that.
    pub established_count: u64,
}

impl Tally {
    /// Counts all sockets of this network. Pairs are told by `ports` how a port was chosen, and which
    /// of their sockets have an inode in `own` ([`Pair::own_count`](super::Pair::own_count)).
    ///
    /// With 50,000 open connections or more, a quarter of them to one listener, its established ones are
    /// not listed ([`derived`](Self::derived)): [`take`](Self::take) lists every socket, which takes several times
    /// as long.
    ///
    /// # Errors
    ///
    /// Those of [`Sockets::for_each`].
    pub fn of_network(
        sockets: &mut Sockets,
        own: Option<&HashSet<u32>>,
        ports: &LocalPorts,
        deadline: Instant,
    ) -> Result<Self, SocketsError> {
        Self::of_network_with(MANY, sockets, own, ports, deadline)
    }

    /// As [`of_network`](Self::of_network), where `many` are very many.
    fn of_network_with(
        many: u64,
        sockets: &mut Sockets,
        own: Option<&HashSet<u32>>,
        ports: &LocalPorts,
        deadline: Instant,
    ) -> Result<Self, SocketsError> {
        let all = Filter::default();
        let mut restarts = 0;
        loop {
            let mut count = Count::new(sockets.source(), &all, own, ports);
            let listeners = Filter {
                states: States::only(State::Listen),
                ..Filter::default()
            };
            let each = |socket: Socket| count.add_listener(&socket);
            let mut dump = sockets.for_each(&listeners, deadline, each)?;
            let bulk = bulk(&sample(many, sockets, deadline)?, &count);
            dump.append(&count_all(bulk, sockets, &mut count, deadline)?);
            if !dump.is_interrupted || restarts == RESTARTS_MAX {
                return Ok(count.finish(&dump));
            }
            restarts += 1;
        }
    }
}

/// Lists a sample, if there are very many connections and the kernel says how many.
fn sample(
    many: u64,
    sockets: &mut Sockets,
    deadline: Instant,
) -> Result<Vec<Socket>, SocketsError> {
    let mut sample = Vec::new();
    if open_count().is_some_and(|open| open >= many) {
        let established = Filter {
            states: States::only(State::Established),
            ..Filter::default()
        };
        sockets.for_some(&established, SAMPLE, deadline, |socket| sample.push(socket))?;
    }
    Ok(sample)
}

/// Counts everything but listeners, which were counted before, and lists all of that but the
/// established connections to `bulk`.
fn count_all(
    bulk: Option<LocalEnd>,
    sockets: &mut Sockets,
    count: &mut Count<'_>,
    deadline: Instant,
) -> Result<Dump, SocketsError> {
    let rest = Filter {
        states: States::ALL.without(State::Listen),
        except: bulk,
        ..Filter::default()
    };
    let mut dump = sockets.for_each(&rest, deadline, |socket| count.add(&socket))?;
    let Some(end) = bulk else {
        return Ok(dump);
    };
    let unestablished = Filter {
        states: rest.states.without(State::Established),
        ..Filter::at(end.local.port())
    };
    let part = sockets.for_each(&unestablished, deadline, |socket| {
        if end.has(&socket) {
            count.add(&socket);
        }
    })?;
    dump.append(&part);
    count.derive(end, open_count().unwrap_or(0));
    Ok(dump)
}

/// Open connections of this network by the kernel's own count.
fn open_count() -> Option<u64> {
    Counters::read().value(Counter::CurrEstab)
}

/// The listener that has most of the connections, if it has a quarter of them and its port to itself:
/// those of two that share a port cannot be told apart without a list.
fn bulk(sample: &[Socket], count: &Count<'_>) -> Option<LocalEnd> {
    let mut ends: Vec<_> = sample.iter().filter_map(|it| count.server(it)).collect();
    ends.sort_unstable();
    let largest = ends.chunk_by(|a, b| a == b).max_by_key(|same| same.len())?;
    let end = count.end(largest[0]);
    let is_large = largest.len() * 4 >= sample.len();
    (is_large && count.ends_at(end.local.port()) == 1).then_some(end)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    use super::*;
    use crate::sockets::{Family, Pair, Source};

    fn socket(state: State, local: &str, remote: &str) -> Socket {
        Socket {
            family: Family::V4,
            state,
            local: local.parse().expect("an address"),
            remote: remote.parse().expect("an address"),
            rqueue: 0,
            wqueue: 0,
            inode: 0,
            uid: 0,
        }
    }

    /// The end whose connections are not listed, of `served` to 10.0.0.1:4000 and `dialled` from there.
    fn bulk_of(listeners: &[&str], served: u16, dialled: u16) -> Option<LocalEnd> {
        let (all, ports) = (Filter::default(), LocalPorts::default());
        let mut count = Count::new(Source::Netlink, &all, None, &ports);
        for local in listeners {
            count.add_listener(&socket(State::Listen, local, "0.0.0.0:0"));
        }
        let end = |address: &str, port: u16| format!("{address}:{}", 40_000 + port);
        let established = |local: &str, remote: &str| socket(State::Established, local, remote);
        let served = (0..served).map(|port| established("10.0.0.1:4000", &end("10.9.0.1", port)));
        let dialled = (0..dialled).map(|port| established(&end("10.0.0.1", port), "10.1.0.1:443"));
        let sample: Vec<_> = served.chain(dialled).collect();
        bulk(&sample, &count)
    }

    #[test]
    fn the_listener_of_most_connections_is_not_listed() {
        let end = LocalEnd {
            family: Family::V4,
            local: "0.0.0.0:4000".parse().expect("an address"),
        };
        let both = ["0.0.0.0:4000", "0.0.0.0:22"];
        assert_eq!(bulk_of(&both, 100, 50), Some(end));
        // With another that shares the port, one cannot be told from the other.
        assert_eq!(bulk_of(&["0.0.0.0:4000", "10.0.0.1:4000"], 100, 50), None);
        assert_eq!(bulk_of(&["0.0.0.0:4000"], 10, 90), None);
        assert_eq!(bulk_of(&["0.0.0.0:22"], 100, 50), None);
        assert_eq!(bulk_of(&[], 0, 0), None);
    }

    /// 300 connections, and what there is besides: CurrEstab is everybody's.
    #[test]
    fn what_is_derived_is_what_a_list_has() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = listener.local_addr().expect("it is bound");
        let clients: Vec<_> = (0..300)
            .map(|_| {
                let client = TcpStream::connect(server).expect("it listens");
                (client, listener.accept().expect("a client"))
            })
            .collect();
        clients[0]
            .0
            .shutdown(std::net::Shutdown::Write)
            .expect("it is open");
        let (all, ports) = (Filter::default(), LocalPorts::default());
        let mut sockets = Sockets::open().expect("this machine lists sockets");
        let deadline = Instant::now() + Duration::from_secs(60);
        let end = LocalEnd {
            family: Family::V4,
            local: server,
        };
        // Others come and go between the lists and the count.
        loop {
            let mut count = Count::new(sockets.source(), &all, None, &ports);
            count.add_listener(&socket(State::Listen, &server.to_string(), "0.0.0.0:0"));
            let dump = count_all(Some(end), &mut sockets, &mut count, deadline).expect("lists");
            let tally = count.finish(&dump);
            let derived = tally.derived.expect("it is not listed");
            assert_eq!(derived.end, end);
            assert!(dump.sockets_count < tally.by_state.total());
            let served = tally.served[0];
            let closing = served.live_count - derived.established_count;
            // The other ends are dialled, as always.
            let dialled = tally.pairs.iter().find(|pair| pair.destination == server);
            let dialled = dialled.expect("300 were").used();
            if (closing, derived.established_count, dialled) == (1, 299, 300) {
                return;
            }
            assert!(Instant::now() < deadline, "{tally:#?}");
        }
    }

    #[test]
    fn a_network_with_many_is_counted_as_one_with_few() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = listener.local_addr().expect("it is bound");
        let _clients: Vec<_> = (0..300)
            .map(|_| {
                let client = TcpStream::connect(server).expect("it listens");
                (client, listener.accept().expect("a client"))
            })
            .collect();
        let ports = LocalPorts::default();
        let mut sockets = Sockets::open().expect("this machine lists sockets");
        let deadline = Instant::now() + Duration::from_secs(60);
        for many in [0, u64::MAX] {
            loop {
                let tally = Tally::of_network_with(many, &mut sockets, None, &ports, deadline);
                let tally = tally.expect("a tally");
                let served = tally.served.iter().find(|it| it.local == server);
                let pair = tally.pairs.iter().find(|it| it.destination == server);
                let found = (served.map(|it| it.live_count), pair.map(Pair::used));
                if found == (Some(300), Some(300)) {
                    break;
                }
                assert!(Instant::now() < deadline, "{tally:#?}");
            }
        }
    }
}
