//! The same apps over loopback, with real threads, on each kernel that the machine has.

mod apps;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use apps::{Clients, EchoServer, Seen, Tally, masked};
use fourtuple_engine::{AcceptRate, KernelChoice, Settings, ShardIndex, Shards, Trouble};
use proto::Frame;

/// Declares each case once for each kernel. Where there is no io_uring its half says so, or fails if
/// `REQUIRE_URING` is set.
macro_rules! on_each_kernel {
    ($($case:ident,)*) => {
        mod epoll {
            $(#[test] fn $case() { super::$case(super::KernelChoice::Epoll); })*
        }
        mod uring {
            $(#[test] fn $case() { super::on_uring(super::$case); })*
        }
    };
}

on_each_kernel! {
    dialled_connections_echo_through_every_shard,
    a_broadcast_reaches_every_shard_in_order,
    a_peer_that_does_not_read_is_closed_and_counted,
    a_silent_connection_is_closed_and_a_slow_head_is_answered,
    more_connections_than_slots_are_dropped_and_those_that_are_here_stay,
    a_close_is_answered_with_the_same_code,
    a_broken_frame_is_answered_with_a_close_that_arrives,
    a_full_accept_queue_is_noticed_and_emptied,
    a_full_mailbox_slows_the_sender_and_loses_nothing,
    a_port_that_is_taken_is_not_shared,
    a_shard_that_panics_is_not_waited_for_behind_the_others,
}

fn on_uring(case: impl FnOnce(KernelChoice)) {
    match KernelChoice::Uring.settle() {
        Ok(_) => case(KernelChoice::Uring),
        Err(reason) if std::env::var_os("REQUIRE_URING").is_some() => {
            panic!("io_uring is required here: {reason}")
        }
        Err(reason) => eprintln!("SKIPPED on io_uring: {reason}"),
    }
}

fn settings(kernel: KernelChoice) -> Settings {
    Settings {
        kernel,
        ..Settings::default()
    }
}

/// A running echo server; its shards end with the test's process.
struct Server {
    shards: Shards<Frame>,
    seen: Arc<Mutex<Seen>>,
    address: SocketAddr,
}

fn serve(settings: &Settings, count: u16) -> Server {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Arc::clone(&seen);
    let any = "127.0.0.1:0".parse().ok();
    let shards = Shards::start(settings, count, any, move |_, _| {
        EchoServer::new(Arc::clone(&shared))
    })
    .unwrap();
    let address = shards.local_addr().unwrap();
    Server {
        shards,
        seen,
        address,
    }
}

/// Waits for a condition, and fails loudly when it never comes.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "never came: {what}"
        );
        std::thread::yield_now();
    }
}

/// Opens a plain blocking WebSocket and returns what is left to read after the 101.
fn open(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

fn say(stream: &mut TcpStream, text: &str) {
    stream
        .write_all(masked(text, [1, 2, 3, 4]).as_bytes())
        .unwrap();
}

/// Reads to the end of the stream.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset ends the stream, too.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

fn lock<T>(shared: &Arc<Mutex<T>>) -> MutexGuard<'_, T> {
    shared.lock().unwrap()
}

fn dialled_connections_echo_through_every_shard(kernel: KernelChoice) {
    let server = serve(&settings(kernel), 2);
    let tally = Arc::new(Mutex::new(Tally::default()));
    let (shared, address) = (Arc::clone(&tally), server.address);
    // The cases run at the same time, each with its own addresses.
    let host = if kernel == KernelChoice::Epoll { 3 } else { 4 };
    let crowd = Shards::start(&settings(kernel), 1, None, move |_, _| {
        let mut clients = Clients::new(Arc::clone(&shared), 10, true);
        let source = |port| ([127, 0, 0, host], port).into();
        clients.dials = (20_000..20_100)
            .map(|port| (source(port), address))
            .collect();
        clients
    })
    .unwrap();
    crowd.post(ShardIndex(0), ()).unwrap();
    until("all clients have ended", || lock(&tally).ends.len() == 100);
    assert_eq!(lock(&tally).echoes, 1000);
    assert_eq!(lock(&tally).ended("local_close"), 100);
    until("the server has none left", || {
        server.shards.counters().conns == 0
    });
    assert_eq!(server.shards.counters().opened, 100);
}

fn a_broadcast_reaches_every_shard_in_order(kernel: KernelChoice) {
    let server = serve(&settings(kernel), 3);
    let mut streams: Vec<_> = (0..24).map(|_| open(server.address)).collect();
    until("all are open", || server.shards.counters().open == 24);
    for number in 0..50 {
        say(&mut streams[0], &format!("all:{number:04}"));
    }
    let expected: Vec<u8> = (0..50)
        .flat_map(|n| apps::text(&format!("all:{n:04}")).as_bytes().to_vec())
        .collect();
    for stream in &mut streams {
        let mut got = vec![0; expected.len()];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, expected);
    }
}

fn a_peer_that_does_not_read_is_closed_and_counted(kernel: KernelChoice) {
    let settings = Settings {
        outbox_bytes_max: 64 * 1024,
        ..settings(kernel)
    };
    let server = serve(&settings, 1);
    let mut slow = open(server.address);
    // More than the socket buffers of both sides and the outbox can hold.
    say(&mut slow, "flood:65536");
    until("it is closed", || {
        lock(&server.seen).ends.get("slow_consumer") == Some(&1)
    });
    assert_eq!(server.shards.counters().slow_consumers, 1);
    let bytes = rest(&mut slow);
    let close = [0x88, 15, 0x0f, 0xa8];
    let tail = &bytes[bytes.len() - 17..];
    assert_eq!(
        (&tail[..4], &tail[4..]),
        (&close[..], &b"slow consumer"[..])
    );
}

fn a_silent_connection_is_closed_and_a_slow_head_is_answered(kernel: KernelChoice) {
    let settings = Settings {
        idle_timeout: Some(Duration::from_millis(50)),
        handshake_timeout: Duration::from_millis(50),
        ..settings(kernel)
    };
    let server = serve(&settings, 1);
    let mut silent = open(server.address);
    assert_eq!(
        rest(&mut silent),
        [&[0x88, 14, 0x03, 0xea][..], b"idle timeout"].concat()
    );
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(b"GET / HT").unwrap();
    assert!(rest(&mut slow).starts_with(b"HTTP/1.1 408 "));
    assert_eq!(server.shards.counters().idle_timeouts, 1);
    assert_eq!(server.shards.counters().handshake_timeouts, 1);
}

fn more_connections_than_slots_are_dropped_and_those_that_are_here_stay(kernel: KernelChoice) {
    let server = serve(
        &Settings {
            connections_max: 2,
            ..settings(kernel)
        },
        1,
    );
    let mut first = open(server.address);
    let _second = open(server.address);
    let mut third = TcpStream::connect(server.address).unwrap();
    assert_eq!(rest(&mut third), b"");
    assert_eq!(lock(&server.seen).troubles, [Trouble::Crowded]);
    say(&mut first, "still here");
    let mut echo = [0; 12];
    first.read_exact(&mut echo).unwrap();
    assert_eq!(&echo[2..], b"still here");
}

fn a_close_is_answered_with_the_same_code(kernel: KernelChoice) {
    let server = serve(&settings(kernel), 1);
    let mut stream = open(server.address);
    // A masked close frame with code 1000; the mask is zero.
    stream
        .write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])
        .unwrap();
    assert_eq!(rest(&mut stream), [0x88, 2, 0x03, 0xe8]);
    until("the server has none left", || {
        server.shards.counters().conns == 0
    });
    assert_eq!(lock(&server.seen).ends.get("peer_closed"), Some(&1));
}

fn a_broken_frame_is_answered_with_a_close_that_arrives(kernel: KernelChoice) {
    let server = serve(&settings(kernel), 1);
    let mut stream = open(server.address);
    // RFC 6455 §5.1: a client's frame must be masked. More bytes follow, and yet there is no reset
    // that would overtake the answer.
    stream
        .write_all(&[0x81, 2, b'h', b'i', 0, 0, 0, 0, 0])
        .unwrap();
    assert_eq!(rest(&mut stream)[..4], [0x88, 2, 0x03, 0xea]);
    until("the app was told", || {
        lock(&server.seen).ends.get("protocol_error") == Some(&1)
    });
}

fn a_full_accept_queue_is_noticed_and_emptied(kernel: KernelChoice) {
    // One connection a second is let in, and two may wait: the third waits for the first to leave.
    let settings = Settings {
        backlog: 2,
        accept_rate: Some(Arc::new(AcceptRate::per_second(1))),
        ..settings(kernel)
    };
    let server = serve(&settings, 1);
    let address = server.address;
    let crowd: Vec<_> = (0..6)
        .map(|_| std::thread::spawn(move || open(address)))
        .collect();
    until("it is noticed", || {
        server.shards.counters().accept_queue_full > 0
    });
    assert!(
        lock(&server.seen)
            .troubles
            .iter()
            .all(|t| matches!(t, Trouble::AcceptQueue { max: 2 }))
    );
    for client in crowd {
        client.join().unwrap();
    }
    assert_eq!(server.shards.counters().opened, 6);
}

fn a_full_mailbox_slows_the_sender_and_loses_nothing(kernel: KernelChoice) {
    let server = serve(
        &Settings {
            mailbox_max: 1,
            ..settings(kernel)
        },
        3,
    );
    let mut streams: Vec<_> = (0..12).map(|_| open(server.address)).collect();
    until("all are open", || server.shards.counters().open == 12);
    // Every shard floods every other.
    let said: Vec<String> = (0..300).map(|number| format!("all:{number:04}")).collect();
    for text in &said {
        streams.iter_mut().for_each(|stream| say(stream, text));
    }
    let frame = apps::text(&said[0]).len();
    for stream in &mut streams {
        let mut heard = vec![0; frame * said.len() * 12];
        stream.read_exact(&mut heard).unwrap();
        // Each of the twelve senders is heard in order, so each number comes for the n-th time before
        // its successor does.
        let mut counts = vec![0; said.len()];
        for one in heard.chunks(frame) {
            let number: usize = std::str::from_utf8(&one[6..]).unwrap().parse().unwrap();
            counts[number] += 1;
            assert!(
                number == 0 || counts[number] <= counts[number - 1],
                "out of order"
            );
        }
        assert!(counts.iter().all(|&count| count == 12));
    }
    assert!(
        server.shards.counters().mail_delayed > 0,
        "the mailboxes were full"
    );
}

fn a_port_that_is_taken_is_not_shared(kernel: KernelChoice) {
    let server = serve(&settings(kernel), 2);
    let seen = Arc::default();
    let again = Shards::start(&settings(kernel), 1, Some(server.address), move |_, _| {
        EchoServer::new(Arc::clone(&seen))
    });
    let error = again.unwrap_err().to_string();
    assert!(error.ends_with("another program listens there"), "{error}");
}

fn a_shard_that_panics_is_not_waited_for_behind_the_others(kernel: KernelChoice) {
    let shards = Shards::start(&settings(kernel), 3, None, |shard, _| {
        assert_ne!(shard, ShardIndex(2), "as this test wants it");
        EchoServer::new(Arc::default())
    });
    let shards = shards.unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shards.join()));
    assert!(panic.is_err());
}
