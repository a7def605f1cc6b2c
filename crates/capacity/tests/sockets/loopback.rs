//! Sockets of this test on the loopback device, and both ways to read them.
//!
//! Other tests and programs have sockets, too, and may use the same port at another address of the
//! loopback network. What is looked at is therefore found by its whole address, or by its inode.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use capacity::sockets::{Filter, Listener, LocalPorts, Pair, Served, Sockets, Tally};
use rustix::{
    fs::fstat,
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with, sockopt},
};

/// Everything here is done long before, but on a busy machine with hundreds of thousands of sockets.
const TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) fn deadline() -> Instant {
    Instant::now() + TIMEOUT
}

/// A listener on a free port that nobody shares.
pub(crate) fn listener(address: &str, backlog: i32) -> TcpListener {
    let address = address.parse().expect("an address");
    listen_on(socket(address, SocketFlags::CLOEXEC), address, backlog)
}

/// Two listeners on one free port, with backlogs of their own.
///
/// Only one test may ask for these: the kernel may give a port that is shared to whoever else shares.
pub(crate) fn listeners_of_one_port(backlogs: [i32; 2]) -> [TcpListener; 2] {
    let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
    backlogs.map(|backlog| {
        let socket = socket(address, SocketFlags::CLOEXEC);
        sockopt::set_socket_reuseport(&socket, true).expect("SO_REUSEPORT");
        let listener = listen_on(socket, address, backlog);
        address = local(&listener);
        listener
    })
}

fn listen_on(socket: OwnedFd, address: SocketAddr, backlog: i32) -> TcpListener {
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false).expect("IPV6_V6ONLY");
    }
    bind(&socket, &address).expect("a free port");
    listen(&socket, backlog).expect("it can listen");
    socket.into()
}

/// A connection from an address of the loopback network.
pub(crate) fn dial(source: [u8; 4], destination: SocketAddr) -> TcpStream {
    let socket = socket(destination, SocketFlags::CLOEXEC);
    bind(&socket, &SocketAddr::from((source, 0))).expect("a free port");
    connect(&socket, &destination).expect("somebody listens");
    socket.into()
}

/// A connection that nobody waits for.
pub(crate) fn dial_and_leave(destination: SocketAddr) -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket(destination, flags);
    let outcome = connect(&socket, &destination);
    assert_eq!(outcome, Err(rustix::io::Errno::INPROGRESS));
    socket
}

fn socket(address: SocketAddr, flags: SocketFlags) -> OwnedFd {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    socket_with(family, SocketType::STREAM, flags, None).expect("a socket")
}

pub(crate) fn local(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("it is bound")
}

pub(crate) fn inode(socket: impl AsFd) -> u32 {
    let inode = fstat(socket).expect("it is open").st_ino;
    inode.try_into().expect("sockets have short inodes")
}

/// The sockets with this local port.
pub(crate) fn at(server: SocketAddr) -> Filter {
    Filter::at(server.port())
}

/// The sockets with this remote port.
pub(crate) fn towards(server: SocketAddr) -> Filter {
    Filter::towards(server.port())
}

/// Those of them with these inodes.
pub(crate) fn with(inodes: &[u32], filter: Filter) -> Filter {
    Filter {
        inodes: Some(inodes.iter().copied().collect()),
        ..filter
    }
}

/// The listeners of an address.
pub(crate) fn listeners(tally: &Tally, server: SocketAddr) -> Vec<Listener> {
    let all = tally.listeners.iter().copied();
    all.filter(|listener| listener.local == server).collect()
}

/// The connections of an address.
///
/// # Panics
///
/// When nobody listens there.
pub(crate) fn served(tally: &Tally, server: SocketAddr) -> Served {
    let mut all = tally.served.iter();
    *all.find(|served| served.local == server)
        .unwrap_or_else(|| panic!("{server} is not served: {tally:#?}"))
}

/// What was dialled from one address to the other.
///
/// # Panics
///
/// When nothing was.
pub(crate) fn pair(tally: &Tally, source: [u8; 4], server: SocketAddr) -> Pair {
    let (source, mut all) = (IpAddr::from(source), tally.pairs.iter());
    *all.find(|pair| (pair.source, pair.destination) == (source, server))
        .unwrap_or_else(|| panic!("{server} was not dialled: {tally:#?}"))
}

/// Netlink and /proc.
pub(crate) fn sources() -> [Sockets; 2] {
    [
        Sockets::open().expect("this machine lists sockets"),
        Sockets::open_proc().expect("this machine has /proc"),
    ]
}

/// Waits until both sources say what is wanted, and returns what they say.
///
/// Things happen when the kernel comes to it, and /proc may list a socket twice while others come.
/// All that is certain of a number is therefore part of what is wanted.
///
/// # Panics
///
/// When they never say it.
pub(crate) fn assert_eventually(filter: &Filter, is_wanted: impl Fn(&Tally) -> bool) -> [Tally; 2] {
    assert_eventually_with(&LocalPorts::default(), filter, is_wanted)
}

/// As [`assert_eventually`] on a machine where the kernel chooses among these ports.
pub(crate) fn assert_eventually_with(
    ports: &LocalPorts,
    filter: &Filter,
    is_wanted: impl Fn(&Tally) -> bool,
) -> [Tally; 2] {
    let deadline = deadline();
    sources().map(|mut sockets| {
        loop {
            let tally = Tally::take(&mut sockets, filter, ports, deadline).expect("a tally");
            if is_wanted(&tally) {
                return tally;
            }
            assert!(Instant::now() < deadline, "{tally:#?}");
            thread::yield_now();
        }
    })
}
