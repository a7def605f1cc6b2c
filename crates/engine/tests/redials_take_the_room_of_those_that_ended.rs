//! A crowd that fills its table of descriptors drops everybody and dials as many again at once.
//!
//! The test lowers the limit of its process, so it stands in a file, and with it in a process, of its
//! own.

use std::{
    net::{SocketAddr, TcpListener},
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};

use fourtuple_engine::{
    Answer, App, Cause, Closed, ConnId, Dial, Io, KernelChoice, Message, Settings, ShardIndex,
    Shards,
};
use proto::{
    http,
    ws::handshake::{self, ClientKey, Upgrade},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections of the crowd. What else the process has open, and a part of as many again, fits too.
const COUNT: usize = 200;
const DESCRIPTORS: u64 = 300;
const ROUNDS: usize = 3;

/// Dials, and when all are connected drops all and dials again, before any of them has ended.
struct Crowd {
    destinations: Vec<SocketAddr>,
    connected: Vec<ConnId>,
    rounds: usize,
    /// Told of a round that is complete, or of what went wrong.
    news: SyncSender<Result<(), Cause>>,
}

impl Crowd {
    fn dial_all(&self, io: &mut Io<'_, ()>) {
        for &destination in self.destinations.iter().cycle().take(COUNT) {
            let any = ([127, 0, 0, 1], 0).into();
            io.dial(Dial::new(any, destination)).unwrap();
        }
    }
}

impl App for Crowd {
    type Mail = ();

    fn handle_request(
        &mut self,
        _: ConnId,
        _: &http::Request<'_>,
        _: SocketAddr,
        _: &mut Vec<u8>,
        _: &mut Io<'_, ()>,
    ) -> Answer {
        unreachable!("a crowd accepts nobody")
    }

    fn handle_connected(
        &mut self,
        conn: ConnId,
        request: &mut Vec<u8>,
        io: &mut Io<'_, ()>,
    ) -> ClientKey {
        let key = ClientKey::new([0; 16]);
        let upgrade = Upgrade {
            host: "localhost",
            target: "/",
            key: &key,
            protocols: &[],
            origin: None,
            headers: &[],
        };
        handshake::encode_upgrade(request, &upgrade);
        self.connected.push(conn);
        if self.connected.len() == COUNT {
            let _ = self.news.try_send(Ok(()));
            self.rounds += 1;
            if self.rounds == ROUNDS {
                io.stop();
                return key;
            }
            self.connected.drain(..).for_each(|conn| io.abort(conn));
            self.dial_all(io);
        }
        key
    }

    fn handle_open(&mut self, _: ConnId, _: &mut Io<'_, ()>) {
        unreachable!("nobody answers")
    }

    fn handle_message(&mut self, _: ConnId, _: Message<'_>, _: &mut Io<'_, ()>) {
        unreachable!("nobody answers")
    }

    fn handle_close(&mut self, _: ConnId, closed: &Closed, _: &mut Io<'_, ()>) {
        if !matches!(closed.cause, Cause::Aborted | Cause::Shutdown) {
            let _ = self.news.try_send(Err(closed.cause.clone()));
        }
    }

    fn handle_mail(&mut self, (): (), io: &mut Io<'_, ()>) {
        self.dial_all(io);
    }
}

fn check(kernel: KernelChoice) {
    let limit = Rlimit {
        current: Some(DESCRIPTORS),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    // Connections wait in accept queues, of which no machine's is too short for its part of them.
    let listeners: Vec<_> = (0..8)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let addresses = listeners.iter().map(|listener| listener.local_addr());
    let destinations: Vec<_> = addresses.collect::<Result<_, _>>().unwrap();
    let (news, told) = sync_channel(ROUNDS);
    let settings = Settings {
        kernel,
        ..Settings::default()
    };
    let crowd = Shards::start(&settings, 1, None, move |_, _| Crowd {
        destinations: destinations.clone(),
        connected: Vec::new(),
        rounds: 0,
        news: news.clone(),
    });
    let crowd = crowd.unwrap();
    crowd.post(ShardIndex(0), ()).unwrap();
    for round in 1..=ROUNDS {
        let news = told.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(news.is_ok(), "in round {round}: {news:?}");
    }
    crowd.join().unwrap();
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
