//! More shards than cores: new connections go to few of them until these have their share.

mod apps;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use apps::EchoServer;
use fourtuple_engine::{
    Answer, App, Closed, ConnId, Io, KernelChoice, Message, Settings, ShardIndex, Shards, Steering,
    Trouble,
};
use proto::{
    Frame, http,
    ws::handshake::{self, ClientKey},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a connection and waits until the server has answered it.
fn open(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    greet(&mut stream);
    stream
}

/// Says hello and waits for the answer.
fn greet(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
}

fn check_shares(kernel: KernelChoice) {
    let settings = Settings {
        kernel,
        steering: Some(Arc::new(Steering::new(5, 1, 10))),
        ..Settings::default()
    };
    let any = "127.0.0.1:0".parse().ok();
    let app = |_, _| EchoServer::new(Arc::default());
    let server: Shards<Frame> = Shards::start(&settings, 5, any, app).unwrap();
    let address = server.local_addr().unwrap();
    let counts = || (0..5).map(|shard| server.counters_of(ShardIndex(shard)).conns);

    let mut streams: Vec<_> = (0..25).map(|_| open(address)).collect();
    assert_eq!(counts().collect::<Vec<_>>(), [10, 10, 5, 0, 0]);

    // The first shard loses some of its share and takes what comes again.
    streams.drain(..4);
    let start = Instant::now();
    while counts().next() != Some(6) {
        assert!(start.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    // The machine hears of it at the end of a turn, so the first of these may still go elsewhere.
    streams.extend((0..3).map(|_| open(address)));
    let now: Vec<_> = counts().collect();
    assert!(now[0] > 7 && now[0] + now[2] == 14, "{now:?}");
    assert_eq!((now[1], now[3], now[4]), (10, 0, 0));

    // When all have their share, all take what comes.
    streams.extend((0..100).map(|_| open(address)));
    assert!(counts().all(|count| count > 10), "{:?}", counts());
}

/// Lets everybody in. While the door is to be closed, it is after the first guest and when as many wait
/// as may; mail opens it, and says whether it is to be closed again.
struct Door {
    closes: bool,
    full: SyncSender<u32>,
}

impl App for Door {
    type Mail = bool;

    fn handle_request(
        &mut self,
        _: ConnId,
        request: &http::Request<'_>,
        _: SocketAddr,
        response: &mut Vec<u8>,
        _: &mut Io<'_, bool>,
    ) -> Answer {
        handshake::accept(request).unwrap().encode(response, None);
        Answer::Upgrade
    }

    fn handle_connected(&mut self, _: ConnId, _: &mut Vec<u8>, _: &mut Io<'_, bool>) -> ClientKey {
        unreachable!("a server dials nobody")
    }

    fn handle_open(&mut self, _: ConnId, io: &mut Io<'_, bool>) {
        io.set_accepting(!self.closes);
    }

    fn handle_message(&mut self, _: ConnId, _: Message<'_>, _: &mut Io<'_, bool>) {
        unreachable!("nobody says anything")
    }

    fn handle_close(&mut self, _: ConnId, _: &Closed, _: &mut Io<'_, bool>) {}

    fn handle_mail(&mut self, closes: bool, io: &mut Io<'_, bool>) {
        self.closes = closes;
        io.set_accepting(true);
    }

    fn handle_trouble(&mut self, trouble: Trouble, io: &mut Io<'_, bool>) {
        let Trouble::AcceptQueue { max } = trouble else {
            panic!("{trouble:?}");
        };
        io.set_accepting(!self.closes);
        let _ = self.full.try_send(max);
    }
}

/// A server whose first shard closes its door, and what is heard of full queues.
fn serve(settings: &Settings, shards: u16) -> (Shards<bool>, SocketAddr, Receiver<u32>) {
    let any = "127.0.0.1:0".parse().ok();
    let (full, is_full) = sync_channel(1);
    let app = move |shard, _| Door {
        closes: shard == ShardIndex(0),
        full: full.clone(),
    };
    let server = Shards::start(settings, shards, any, app).unwrap();
    let address = server.local_addr().unwrap();
    (server, address, is_full)
}

fn check_flood(kernel: KernelChoice) {
    let settings = Settings {
        kernel,
        backlog: 2,
        steering: Some(Arc::new(Steering::new(4, 1, 100))),
        ..Settings::default()
    };
    let (server, address, is_full) = serve(&settings, 4);
    let counts = || [0, 1, 2, 3].map(|shard| server.counters_of(ShardIndex(shard)).conns);

    let mut streams = vec![open(address)];
    let mut waiting: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    server.post(ShardIndex(0), true).unwrap();
    assert_eq!(is_full.recv_timeout(PATIENCE), Ok(2));

    // The shard has a flood, so two others take what comes.
    streams.extend((0..12).map(|_| open(address)));
    let [_, one, another, rest] = counts();
    assert_eq!((one + another, rest), (12, 0));

    // When nobody waits for it any more, it takes everything again.
    server.post(ShardIndex(0), false).unwrap();
    waiting.iter_mut().for_each(greet);
    streams.extend((0..12).map(|_| open(address)));
    assert_eq!(counts(), [1 + 3 + 12, one, another, 0]);
    drop((waiting, streams));
}

fn check_room(kernel: KernelChoice) {
    // One guest, those who wait, and as many as a turn accepts.
    let steering = Steering::new(1, 1, 100).with_seats(1 + 70 + 128);
    let settings = Settings {
        kernel,
        backlog: 1024,
        steering: Some(Arc::new(steering)),
        ..Settings::default()
    };
    let (server, address, is_full) = serve(&settings, 1);
    let _guest = open(address);
    let mut waiting: Vec<_> = (0..70)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    server.post(ShardIndex(0), false).unwrap();
    waiting.iter_mut().for_each(greet);
    assert_eq!(server.counters().conns, 71);
    assert!(server.counters().accept_queue_full > 0, "70 were many");
    assert!(is_full.try_recv().is_err(), "no operator could help it");
}

fn on_uring(check: fn(KernelChoice)) {
    match KernelChoice::Uring.settle() {
        Ok(_) => check(KernelChoice::Uring),
        Err(reason) => assert!(std::env::var_os("REQUIRE_URING").is_none(), "{reason}"),
    }
}

#[test]
fn up_to_their_shares_on_epoll() {
    check_shares(KernelChoice::Epoll);
}

#[test]
fn up_to_their_shares_on_io_uring() {
    on_uring(check_shares);
}

#[test]
fn and_others_while_one_is_flooded_on_epoll() {
    check_flood(KernelChoice::Epoll);
}

#[test]
fn and_others_while_one_is_flooded_on_io_uring() {
    on_uring(check_flood);
}

#[test]
fn and_no_more_wait_for_one_than_fit_in_on_epoll() {
    check_room(KernelChoice::Epoll);
}

#[test]
fn and_no_more_wait_for_one_than_fit_in_on_io_uring() {
    on_uring(check_room);
}
