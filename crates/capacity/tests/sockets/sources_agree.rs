//! Netlink and /proc say the same of the same sockets.

use std::{collections::HashSet, net::SocketAddr, time::Instant};

use capacity::sockets::{
    Family, Filter, LocalEnd, Socket, Sockets, SocketsError, Source, State, States,
};

use crate::loopback::{at, deadline, dial, listener, local, sources, towards};

/// What a filter is for: the end of each connection at a server, or the other.
#[derive(Clone, Copy)]
enum End {
    Server(SocketAddr),
    Client(SocketAddr),
}

impl End {
    /// The sockets that are this end, without what /proc does not tell.
    fn list(self, sockets: &mut Sockets) -> HashSet<Socket> {
        let filter = match self {
            Self::Server(server) => at(server),
            Self::Client(server) => towards(server),
        };
        self.list_of(sockets, &filter)
    }

    /// Those of them that the filter admits.
    fn list_of(self, sockets: &mut Sockets, filter: &Filter) -> HashSet<Socket> {
        let (mut found, mut count) = (HashSet::new(), 0);
        let dump = sockets.for_each(filter, deadline(), |mut socket| {
            count += 1;
            assert!(filter.admits(&socket));
            if socket.state == State::Listen {
                socket.wqueue = 0;
            }
            if self.has(&socket) {
                found.insert(socket);
            }
        });
        let dump = dump.expect("a list");
        assert_eq!((dump.sockets_count, dump.odd_count), (count, 0));
        found
    }

    fn has(self, socket: &Socket) -> bool {
        match self {
            Self::Server(server) => {
                let is_any = socket.state == State::Listen && socket.local.ip().is_unspecified();
                socket.local == server || is_any
            }
            Self::Client(server) => socket.remote == server,
        }
    }
}

#[test]
fn both_sources_list_the_same_sockets() {
    for listener in [listener("127.0.0.1:0", 300), listener("[::]:0", 300)] {
        let mut server = local(&listener);
        server.set_ip([127, 0, 0, 1].into());
        let mut streams = Vec::new();
        for number in 0..200 {
            streams.push(dial([127, 0, 0, 90 + number % 3], server));
            if number % 2 == 0 {
                streams.push(listener.accept().expect("a client").0);
            }
        }
        let [mut netlink, mut proc] = sources();
        for (end, expected) in [(End::Server(server), 201), (End::Client(server), 200)] {
            // A last acknowledgement may be on its way.
            let deadline = deadline();
            loop {
                let lists = [&mut netlink, &mut proc].map(|source| end.list(source));
                if lists[0] == lists[1] && lists[0].len() == expected {
                    break;
                }
                let differ: Vec<_> = lists[0].symmetric_difference(&lists[1]).collect();
                assert!(Instant::now() < deadline, "{}: {differ:#?}", lists[0].len());
            }
        }
    }
}

/// What the kernel leaves out is what the filter does not admit.
#[test]
fn every_condition_means_the_same_to_both_sources() {
    for (family, address) in [(Family::V4, "127.0.0.1:0"), (Family::V6, "[::]:0")] {
        let listener = listener(address, 300);
        let end = LocalEnd {
            family,
            local: local(&listener),
        };
        let mut server = local(&listener);
        server.set_ip([127, 0, 0, 1].into());
        let _streams: Vec<_> = (0..60).map(|_| dial([127, 0, 0, 93], server)).collect();
        let except = |local: SocketAddr| Filter {
            except: Some(LocalEnd { local, ..end }),
            ..at(server)
        };
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], server.port()));
        let another = SocketAddr::new(end.local.ip(), server.port() ^ 1);
        let answered = |filter| Filter {
            states: States::only(State::Established),
            ..filter
        };
        let (server_end, client_end) = (End::Server(server), End::Client(server));
        for (filter, wanted_end, wanted) in [
            (except(end.local), server_end, 0),
            (answered(except(end.local)), server_end, 0),
            (except(another), server_end, 61),
            (except(elsewhere), server_end, 61),
            (answered(except(elsewhere)), server_end, 60),
            (answered(towards(server)), client_end, 60),
        ] {
            let deadline = deadline();
            for sockets in &mut sources() {
                loop {
                    let found = wanted_end.list_of(sockets, &filter).len();
                    if found == wanted {
                        break;
                    }
                    assert!(Instant::now() < deadline, "{filter:?}: {found}");
                }
            }
        }
    }
}

#[test]
fn netlink_is_taken_where_it_is_to_be_had() {
    let [netlink, proc] = sources();
    assert_eq!(netlink.source(), Source::Netlink);
    assert_eq!(proc.source(), Source::Proc);
}

#[test]
fn a_deadline_ends_a_list_and_the_next_one_begins_anew() {
    let listener = listener("127.0.0.1:0", 5);
    let server = local(&listener);
    for mut sockets in sources() {
        let late = sockets.for_each(&at(server), Instant::now(), |_| {});
        assert!(matches!(late, Err(SocketsError::Late)));
        assert_eq!(End::Server(server).list(&mut sockets).len(), 1);
    }
}
