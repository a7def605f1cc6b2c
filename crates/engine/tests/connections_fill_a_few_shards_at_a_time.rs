//! More shards than cores: new connections go to few of them until these have their share.

mod apps;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use apps::EchoServer;
use fourtuple_engine::{KernelChoice, Settings, ShardIndex, Shards, Steering};
use proto::Frame;

/// Opens a connection and waits until the server has answered it.
fn open(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
    stream
}

fn check(kernel: KernelChoice) {
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
        assert!(start.elapsed() < Duration::from_secs(30));
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

#[test]
fn on_epoll() {
    check(KernelChoice::Epoll);
}

#[test]
fn on_io_uring() {
    match KernelChoice::Uring.settle() {
        Ok(_) => check(KernelChoice::Uring),
        Err(reason) => assert!(std::env::var_os("REQUIRE_URING").is_none(), "{reason}"),
    }
}
