//! Netlink and /proc say the same of the same sockets.

use std::{collections::HashSet, net::SocketAddr, time::Instant};

use capacity::sockets::{Filter, Socket, Sockets, SocketsError, Source, State};

use crate::loopback::{at, deadline, dial, listener, local, sources, towards};

/// The sockets of a list at either end of a connection to `server`, without what /proc does not
/// tell.
fn list(sockets: &mut Sockets, filter: &Filter, server: SocketAddr) -> HashSet<Socket> {
    let mut found = HashSet::new();
    let mut count = 0;
    let dump = sockets.for_each(filter, deadline(), |mut socket| {
        count += 1;
        assert!(filter.admits(&socket));
        let is_any = socket.local.ip().is_unspecified() && socket.local.port() == server.port();
        if socket.state == State::Listen {
            socket.wqueue = 0;
        }
        if is_any || [socket.local, socket.remote].contains(&server) {
            found.insert(socket);
        }
    });
    let dump = dump.expect("a list");
    assert_eq!((dump.sockets_count, dump.odd_count), (count, 0));
    found
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
        for (filter, expected) in [(at(server), 201), (towards(server), 200)] {
            // A last acknowledgement may be on its way.
            let deadline = deadline();
            loop {
                let lists = [&mut netlink, &mut proc].map(|source| list(source, &filter, server));
                if lists[0] == lists[1] && lists[0].len() == expected {
                    break;
                }
                let differ: Vec<_> = lists[0].symmetric_difference(&lists[1]).collect();
                assert!(Instant::now() < deadline, "{}: {differ:#?}", lists[0].len());
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
        assert_eq!(list(&mut sockets, &at(server), server).len(), 1);
    }
}
