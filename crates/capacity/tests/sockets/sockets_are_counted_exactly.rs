//! Sockets in every state that a test can bring about.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream},
    time::Instant,
};

use capacity::sockets::{Family, Filter, LocalPorts, Source, State, States, Tally};
use rustix::process::getuid;

use crate::loopback::{
    assert_eventually, assert_eventually_with, at, deadline, dial, dial_and_leave, inode, listener,
    listeners, listeners_of_one_port, local, pair, served, sources, towards, with,
};

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

#[test]
fn a_listener_tells_who_waits() {
    let listener = listener("127.0.0.1:0", 5);
    let server = local(&listener);
    let _clients: Vec<_> = (0..3).map(|_| dial(LOOPBACK, server)).collect();
    let queues = |tally: &Tally| -> Vec<u32> {
        let listeners = listeners(tally, server).into_iter();
        listeners.map(|listener| listener.accept_queue).collect()
    };
    // Those that wait are connections already.
    for tally in assert_eventually(&at(server), |tally| {
        let served = served(tally, server);
        queues(tally) == [3] && (served.live_count, served.total()) == (3, 3)
    }) {
        let found = listeners(&tally, server)[0];
        assert_eq!(found.family, Family::V4);
        assert_eq!(found.inode, inode(&listener));
        assert_eq!(found.uid, getuid().as_raw());
        let max = (tally.source == Source::Netlink).then_some(5);
        assert_eq!(found.accept_queue_max, max);
        let served = served(&tally, server);
        assert_eq!((served.family, served.listeners_count), (Family::V4, 1));
        assert_eq!(tally.odd_count, 0);
    }
    let _accepted = listener.accept().expect("somebody waits");
    assert_eventually(&at(server), |tally| queues(tally) == [2]);
}

#[test]
fn a_full_queue_leaves_the_next_one_dialling() {
    let listener = listener("127.0.0.1:0", 1);
    let server = local(&listener);
    // The kernel takes one more than the maximum.
    let _clients = [dial(LOOPBACK, server), dial(LOOPBACK, server)];
    let waiting = |tally: &Tally| listeners(tally, server)[0].accept_queue;
    let [netlink, _] = assert_eventually(&at(server), |tally| waiting(tally) == 2);
    assert_eq!(listeners(&netlink, server)[0].is_full(), Some(true));
    let late = dial_and_leave(server);
    assert_eventually(&towards(server), |tally| {
        pair(tally, LOOPBACK, server).used() == 3
    });
    assert_eventually(&with(&[inode(&late)], towards(server)), |tally| {
        let syn_sent = tally.by_state.count(State::SynSent);
        (syn_sent, tally.by_state.total(), tally.unsent_bytes) == (1, 1, 0)
    });
}

#[test]
fn listeners_of_one_port_are_told_apart_and_their_connections_are_not() {
    let [first, second] = listeners_of_one_port([9, 10]);
    let server = local(&first);
    assert_eq!(local(&second), server);
    let _clients: Vec<_> = (0..8).map(|_| dial(LOOPBACK, server)).collect();
    let waiting = |tally: &Tally| {
        let queues = listeners(tally, server).into_iter();
        queues.map(|listener| listener.accept_queue).sum::<u32>()
    };
    let [netlink, _] = assert_eventually(&at(server), |tally| waiting(tally) == 8);
    let served = served(&netlink, server);
    assert_eq!((served.listeners_count, served.total()), (2, 8));
    let mut found: Vec<_> = listeners(&netlink, server)
        .iter()
        .map(|listener| (listener.inode, listener.accept_queue_max))
        .collect();
    found.sort_unstable();
    let mut wanted = [(inode(&first), Some(9)), (inode(&second), Some(10))];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

#[test]
fn unread_bytes_are_counted_and_the_end_of_a_stream_is_none() {
    let listener = listener("127.0.0.1:0", 5);
    let server = local(&listener);
    let mut client = dial(LOOPBACK, server);
    let (mut accepted, _) = listener.accept().expect("a client");
    let filter = with(&[inode(&accepted)], at(server));
    client.write_all(b"hello").expect("there is room");
    let unread = |tally: &Tally| (tally.unread_bytes, tally.unread_count);
    assert_eventually(&filter, |tally| unread(tally) == (5, 1));
    client.shutdown(Shutdown::Write).expect("it is open");
    let is_closed = |tally: &Tally| tally.by_state.count(State::CloseWait) == 1;
    assert_eventually(&filter, |tally| is_closed(tally) && unread(tally) == (5, 1));
    accepted.read_exact(&mut [0; 5]).expect("what was sent");
    assert_eventually(&filter, |tally| is_closed(tally) && unread(tally) == (0, 0));
}

#[test]
fn unsent_bytes_are_counted_where_nobody_reads() {
    let listener = listener("127.0.0.1:0", 5);
    let server = local(&listener);
    let client = dial(LOOPBACK, server);
    let (mut accepted, _) = listener.accept().expect("a client");
    accepted.set_nonblocking(true).expect("it is open");
    let here = with(&[inode(&accepted)], at(server));
    let there = with(&[inode(&client)], towards(server));
    let [mut sockets, _] = sources();
    let mut take = |filter| {
        let ports = LocalPorts::default();
        Tally::take(&mut sockets, filter, &ports, deadline()).expect("a tally")
    };
    let mut sent = 0;
    let here = loop {
        while let Ok(count) = accepted.write(&[0; 64 * 1_024]) {
            sent += count as u64;
        }
        let here = take(&here);
        if here.unsent_count == 1 {
            break here;
        }
    };
    let there = take(&there);
    assert_eq!(there.unread_count, 1);
    // What has arrived may not be acknowledged yet, and is counted on both sides.
    assert!(here.unsent_bytes + there.unread_bytes >= sent);
    assert!((1..=sent).contains(&here.unsent_bytes) && (1..=sent).contains(&there.unread_bytes));
}

#[test]
fn who_closes_first_keeps_the_tuple() {
    let (source, deadline) = ([127, 0, 0, 77], deadline());
    // Where the machine has as many in TIME_WAIT as it may, a tuple is not kept.
    while !is_tuple_kept(source, true) || !is_tuple_kept(source, false) {
        assert!(Instant::now() < deadline, "TIME_WAIT is never counted");
    }
}

/// Closes one of two connections, and tells whether that is in TIME_WAIT at the end that closed first.
fn is_tuple_kept(source: [u8; 4], is_client_first: bool) -> bool {
    let listener = listener("127.0.0.1:0", 5);
    let server = local(&listener);
    let connect = || (dial(source, server), listener.accept().expect("a client").0);
    let _stays = connect();
    let (mut first, mut second) = connect();
    if !is_client_first {
        (first, second) = (second, first);
    }
    first.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(second.read(&mut [0; 8]).expect("an end"), 0);
    drop(second);
    assert_eq!(first.read(&mut [0; 8]).expect("an end"), 0);
    drop(first);

    let dialled = assert_eventually(&towards(server), |tally| {
        let pair = pair(tally, source, server);
        pair.live_count == 1 && pair.time_wait_count <= 1
    });
    let accepted = assert_eventually(&at(server), |tally| {
        let served = served(tally, server);
        served.live_count == 1 && served.time_wait_count <= 1
    });
    let kept = dialled
        .into_iter()
        .zip(accepted)
        .map(|(dialled, accepted)| {
            let (pair, served) = (pair(&dialled, source, server), served(&accepted, server));
            assert_eq!(pair.left_to_program(), 64_511 - pair.time_wait_count);
            (pair.time_wait_count, served.time_wait_count)
        });
    let kept: Vec<_> = kept.collect();
    let (wanted, other) = if is_client_first {
        ((1, 0), (0, 1))
    } else {
        ((0, 1), (1, 0))
    };
    assert!(!kept.contains(&other), "{kept:?}");
    kept == [wanted; 2]
}

#[test]
fn pairs_are_told_apart_and_ports_by_who_chose_them() {
    let servers = [listener("127.0.0.1:0", 9), listener("127.0.0.1:0", 9)];
    let [one, other] = [local(&servers[0]), local(&servers[1])];
    let (near, far) = ([127, 0, 0, 81], [127, 0, 0, 82]);
    let clients = [
        dial(near, one),
        dial(near, one),
        dial(far, one),
        dial(near, other),
    ];
    let port = clients[0].local_addr().expect("it is open").port();
    let ports = LocalPorts::new(port..=port, []);
    for tally in assert_eventually_with(&ports, &towards(one), |tally| {
        let used = [near, far].map(|source| pair(tally, source, one).used());
        used == [2, 1] && pair(tally, near, one).explicit_count == 1
    }) {
        assert_eq!(pair(&tally, near, one).left_to_kernel(ports.count()), 0);
    }
    assert_eventually_with(&ports, &towards(other), |tally| {
        pair(tally, near, other).used() == 1
    });
    assert_eventually(&Filter::default(), |tally| {
        [one, other].map(|server| served(tally, server).total()) == [3, 1]
    });
}

#[test]
fn an_ipv6_listener_serves_ipv4_too() {
    let listener = listener("[::]:0", 5);
    let server = local(&listener);
    let port = server.port();
    let over_v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let over_v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let clients = [
        dial(LOOPBACK, over_v4),
        TcpStream::connect(over_v6).expect("it listens"),
    ];
    assert_eventually(&at(server), |tally| {
        let served = served(tally, server);
        let waiting = listeners(tally, server)[0].accept_queue;
        (waiting, served.live_count, served.family) == (2, 2, Family::V6)
    });
    for mut sockets in sources() {
        let mut found = HashSet::new();
        let filter = with(&[inode(&clients[0]), inode(&clients[1])], towards(server));
        let dump = sockets.for_each(&filter, deadline(), |socket| {
            let client = if socket.family == Family::V4 {
                &clients[0]
            } else {
                &clients[1]
            };
            assert_eq!(socket.local, client.local_addr().expect("it is open"));
            assert_eq!(socket.remote, client.peer_addr().expect("it is open"));
            found.insert(socket.family);
        });
        assert!(dump.expect("a list").sockets_count >= 2 && found.len() == 2);
        // The other ends of both are IPv6 sockets, and one of them has IPv4 addresses.
        let mut ends = Vec::new();
        let dump = sockets.for_each(&at(server), deadline(), |socket| {
            assert_eq!(socket.local.port(), port);
            if [over_v4, over_v6].contains(&socket.local) {
                assert_eq!(socket.family, Family::V6);
                ends.push(socket.remote);
            }
        });
        assert!(dump.expect("a list").sockets_count >= 3);
        for client in &clients {
            assert!(ends.contains(&client.local_addr().expect("it is open")));
        }
    }
}

#[test]
fn sockets_of_a_process_are_found_by_inode() {
    let listener = listener("127.0.0.1:0", 5);
    let server = local(&listener);
    let clients = [dial(LOOPBACK, server), dial(LOOPBACK, server)];
    let (accepted, _) = listener.accept().expect("a client");
    let inodes = [&clients[0], &accepted].map(inode);
    let filter = with(&[inodes[0], inodes[1], inode(&listener)], Filter::default());
    // The second waits to be accepted, which is in nobody's hands.
    let is_listed = |tally: &Tally, total, listeners| {
        tally.by_state.total() == total
            && tally.listeners.len() == listeners
            && tally.served.len() == 1
            && tally.pairs.len() == 1
            && (tally.served[0].total(), tally.pairs[0].used()) == (1, 1)
    };
    assert_eventually(&filter, |tally| is_listed(tally, 3, 1));
    let open = Filter {
        states: States::only(State::Established),
        ..filter
    };
    assert_eventually(&open, |tally| is_listed(tally, 2, 0));
}
