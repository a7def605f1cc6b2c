//! Sockets in every state that a test can bring about.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream},
    time::Instant,
};

use capacity::sockets::{Family, Filter, LocalPorts, Source, State, States, Tally};
use rustix::process::getuid;

use crate::loopback::{
    assert_eventually, at, deadline, dial, dial_and_leave, inode, listener, listeners, local, pair,
    served, sources, tallies, towards, with,
};

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

#[test]
fn a_listener_tells_who_waits() {
    let listener = listener("127.0.0.1:0", 5);
    let server = local(&listener);
    let _clients: Vec<_> = (0..3).map(|_| dial(LOOPBACK, server)).collect();
    let waiting = |tally: &Tally| listeners(tally, server)[0].accept_queue;
    for tally in assert_eventually(&at(server), |tally| waiting(tally) == 3) {
        let [found] = listeners(&tally, server)[..] else {
            panic!("one listener: {tally:?}");
        };
        assert_eq!(found.family, Family::V4);
        assert_eq!(
            (found.inode, found.uid),
            (inode(&listener), getuid().as_raw())
        );
        let max = (tally.source == Source::Netlink).then_some(5);
        assert_eq!(found.accept_queue_max, max);
        // Those that wait are connections already.
        let served = served(&tally, server);
        assert_eq!((served.live_count, served.total()), (3, 3));
        assert_eq!((served.family, served.listeners_count), (Family::V4, 1));
        assert_eq!(tally.odd_count, 0);
    }
    let _accepted = listener.accept().expect("somebody waits");
    assert_eventually(&at(server), |tally| waiting(tally) == 2);
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
    for tally in tallies(&towards(server)) {
        assert_eq!(pair(&tally, LOOPBACK, server).used(), 3);
    }
    for tally in tallies(&with(&[inode(&late)], towards(server))) {
        assert_eq!(tally.by_state.count(State::SynSent), 1);
        assert_eq!((tally.by_state.total(), tally.unsent_bytes), (1, 0));
    }
}

#[test]
fn listeners_of_one_port_are_told_apart_and_their_connections_are_not() {
    let first = listener("127.0.0.1:0", 9);
    let server = local(&first);
    let second = listener(&server.to_string(), 10);
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
    for tally in assert_eventually(&filter, is_closed) {
        assert_eq!(unread(&tally), (5, 1));
    }
    accepted.read_exact(&mut [0; 5]).expect("what was sent");
    for tally in tallies(&filter) {
        assert_eq!(unread(&tally), (0, 0));
    }
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
    let mut sent = 0;
    let here = loop {
        while let Ok(count) = accepted.write(&[0; 64 * 1_024]) {
            sent += count as u64;
        }
        let [here, _] = tallies(&here);
        if here.unsent_count == 1 {
            break here;
        }
    };
    let [there, _] = tallies(&there);
    assert_eq!((here.by_state.total(), there.unread_count), (1, 1));
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
        pair(tally, source, server).live_count == 1
    });
    let accepted = assert_eventually(&at(server), |tally| served(tally, server).live_count == 1);
    let kept = dialled
        .into_iter()
        .zip(accepted)
        .map(|(dialled, accepted)| {
            let (pair, served) = (pair(&dialled, source, server), served(&accepted, server));
            assert_eq!(pair.left_to_program(), 64_511 - pair.time_wait_count);
            (pair.time_wait_count, served.time_wait_count)
        });
    let kept: Vec<_> = kept.collect();
    let wanted = if is_client_first { (1, 0) } else { (0, 1) };
    assert!(kept == [wanted; 2] || kept == [(0, 0); 2], "{kept:?}");
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
    for mut sockets in sources() {
        let mut take = |filter: &Filter| {
            let tally = Tally::take(&mut sockets, filter, &ports, deadline());
            tally.expect("a tally")
        };
        let tally = take(&towards(one));
        let near_one = pair(&tally, near, one);
        assert_eq!((near_one.used(), near_one.explicit_count), (2, 1));
        assert_eq!(near_one.left_to_kernel(ports.count()), 0);
        assert_eq!(pair(&tally, far, one).used(), 1);
        assert_eq!(pair(&take(&towards(other)), near, other).used(), 1);
        let tally = take(&Filter::default());
        let totals = [one, other].map(|server| served(&tally, server).total());
        assert_eq!(totals, [3, 1]);
    }
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
    let both = |tally: &Tally| listeners(tally, server)[0].accept_queue == 2;
    for tally in assert_eventually(&at(server), both) {
        let served = served(&tally, server);
        assert_eq!((served.family, served.live_count), (Family::V6, 2));
    }
    for mut sockets in sources() {
        let mut found = Vec::new();
        let filter = with(&[inode(&clients[0]), inode(&clients[1])], towards(server));
        let dump = sockets.for_each(&filter, deadline(), |socket| found.push(socket));
        assert_eq!(dump.expect("a list").sockets_count, 2);
        assert_eq!((found[0].family, found[0].remote), (Family::V4, over_v4));
        assert_eq!((found[1].family, found[1].remote), (Family::V6, over_v6));
        for (found, client) in found.iter().zip(&clients) {
            assert_eq!(found.local, client.local_addr().expect("it is open"));
        }
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
    for tally in tallies(&filter) {
        assert_eq!(tally.by_state.total(), 3);
        assert_eq!((tally.listeners.len(), tally.served.len()), (1, 1));
        // The second waits to be accepted, which is in nobody's hands.
        assert_eq!(tally.served[0].total(), 1);
        assert_eq!((tally.pairs.len(), tally.pairs[0].used()), (1, 1));
    }
    let open = Filter {
        states: States::only(State::Established),
        ..filter
    };
    for tally in tallies(&open) {
        assert_eq!((tally.by_state.total(), tally.listeners.len()), (2, 0));
        assert_eq!((tally.served[0].total(), tally.pairs[0].used()), (1, 1));
    }
}
