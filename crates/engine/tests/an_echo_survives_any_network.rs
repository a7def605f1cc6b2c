//! Server shards and clients on a simulated network, one run per seed.
//!
//! A failing seed prints the command that repeats it: `SIMULATION_SEED=n cargo test …`.

mod apps;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use apps::{Clients, EchoServer, Seen, Tally};
use fourtuple_engine::{
    AcceptRate, Reactor, Settings, Time, Turn,
    sim::{Faults, Net, Shard},
};

const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000);

struct Outcome {
    tally: Tally,
    server_left: u64,
    clients_left: u64,
}

/// Two server shards, one crowd of 20 clients with 5 echoes each, all turned until every client ended.
fn run(seed: u64, faults: Faults) -> Outcome {
    let net = Net::new(seed, faults);
    let settings = Settings {
        idle_timeout: Some(Duration::from_secs(30)),
        ..Settings::default()
    };
    let seen = Arc::new(Mutex::new(Seen::default()));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let kernels = [net.kernel(Some(SERVER)), net.kernel(Some(SERVER))];
    let mut servers = Reactor::simulate(kernels, &settings, |_, _| {
        EchoServer::new(Arc::clone(&seen))
    });
    let mut crowd = Reactor::simulate([net.kernel(None)], &settings, |_, _| {
        Clients::new(Arc::clone(&tally), 5, true)
    });
    crowd[0].with_app(|app, io| {
        app.dials = (0..20)
            .map(|port| ([127, 0, 0, 2], 10_000 + port).into())
            .map(|a| (a, SERVER))
            .collect();
        app.dial_all(io);
    });
    let over = |tally: &Tally| tally.ends.len() == 20;
    {
        let (first, rest) = servers.split_at_mut(1);
        let mut shards: [&mut dyn Shard; 3] = [&mut first[0], &mut rest[0], &mut crowd[0]];
        let until = Time::ZERO.after(Duration::from_secs(600));
        let done = net.run(&mut shards, until, || over(&tally.lock().unwrap()));
        assert!(done, "every client ends: {:?}", tally.lock().unwrap());
        // And everything is cleaned up: run on until the last goodbye is over.
        net.set_faults(Faults::default());
        net.run(&mut shards, until, || false);
    }
    let server_left = servers.iter().map(|s| s.counters().snapshot().conns).sum();
    let clients_left = crowd[0].counters().snapshot().conns;
    drop(crowd);
    let tally = Arc::into_inner(tally)
        .map(|t| t.into_inner().unwrap())
        .expect("the last owner");
    Outcome {
        tally,
        server_left,
        clients_left,
    }
}

fn for_seeds(count: u64, check: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let chosen = std::env::var("SIMULATION_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = chosen.map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
            eprintln!(
                "repeat with: SIMULATION_SEED={seed} cargo test -p fourtuple-engine --test an_echo_survives_any_network"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn on_a_slow_network_nothing_is_lost() {
    for_seeds(200, |seed| {
        let outcome = run(seed, Faults::SLOW);
        assert_eq!(outcome.tally.opened, 20);
        assert_eq!(outcome.tally.echoes, 100);
        assert_eq!(outcome.tally.ended("local_close"), 20);
        assert_eq!((outcome.server_left, outcome.clients_left), (0, 0));
    });
}

#[test]
fn on_a_rough_network_every_connection_ends_once_and_nothing_leaks() {
    for_seeds(200, |seed| {
        let outcome = run(seed, Faults::ROUGH);
        assert_eq!(outcome.tally.ends.len(), 20);
        assert!(outcome.tally.echoes <= 100);
        assert_eq!((outcome.server_left, outcome.clients_left), (0, 0));
    });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (first, second) = (run(7, Faults::ROUGH), run(7, Faults::ROUGH));
    assert_eq!(format!("{:?}", first.tally), format!("{:?}", second.tally));
}

/// What a whole shard does with bytes that no client would send: scripted peers on one server shard.
mod scripted {
    use super::*;
    use crate::apps::{self, masked};
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use fourtuple_engine::{TcpPressure, Trouble, sim::Peer};

    const REQUEST: &[u8] =
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    struct Bench {
        net: Net,
        server: Reactor<EchoServer>,
        seen: Arc<Mutex<Seen>>,
    }

    fn bench(seed: u64, faults: Faults, settings: &Settings) -> Bench {
        let net = Net::new(seed, faults);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shards = Reactor::simulate([net.kernel(Some(SERVER))], settings, |_, _| {
            EchoServer::new(Arc::clone(&seen))
        });
        let server = shards.into_iter().next().expect("one shard");
        Bench { net, server, seen }
    }

    impl Bench {
        fn connect(&self, port: u16) -> Peer {
            let source = ([127, 0, 0, 9], port).into();
            self.net
                .connect(source, SERVER)
                .expect("the server listens")
        }

        /// Lets `millis` go by.
        fn settle(&mut self, millis: u64) {
            let until = self.net.now().after(Duration::from_millis(millis));
            self.net.run(&mut [&mut self.server], until, || false);
            self.net.pass(until);
        }

        /// Opens a WebSocket.
        fn open(&mut self, port: u16) -> Peer {
            let peer = self.connect(port);
            assert_eq!(peer.write(REQUEST), REQUEST.len());
            self.settle(10);
            assert!(peer.read().starts_with(b"HTTP/1.1 101 "));
            peer
        }
    }

    #[test]
    fn a_failing_accept_rests_and_then_goes_on() {
        let faults = Faults {
            accept: 900,
            ..Faults::default()
        };
        let mut bench = bench(1, faults, &Settings::default());
        let peers: Vec<_> = (0..5).map(|port| bench.connect(port)).collect();
        bench.settle(30_000);
        assert_eq!(bench.server.counters().snapshot().accepted, 5);
        let troubles = bench.seen.lock().unwrap().troubles.clone();
        assert!(!troubles.is_empty(), "nine of ten accepts fail");
        assert!(
            troubles
                .iter()
                .all(|t| *t == Trouble::Accept(rustix::io::Errno::MFILE))
        );
        // It never spun: each failure cost a rest of 100 ms on the clock.
        let rested = bench.net.now().since(Time::ZERO).as_millis() / 100;
        assert!(
            troubles.len() as u128 <= rested + 1,
            "{} in {rested} rests",
            troubles.len()
        );
        drop(peers);
    }

    #[test]
    fn connections_are_accepted_no_faster_than_allowed() {
        let settings = Settings {
            accept_rate: Some(Arc::new(AcceptRate::per_second(100))),
            ..Settings::default()
        };
        let mut bench = bench(2, Faults::default(), &settings);
        let _peers: Vec<_> = (0..300).map(|port| bench.connect(port)).collect();
        bench.settle(1000);
        let accepted = bench.server.counters().snapshot().accepted;
        assert!(
            (99..=112).contains(&accepted),
            "{accepted} in a second at 100/s"
        );
        bench.settle(2500);
        assert_eq!(bench.server.counters().snapshot().accepted, 300);
    }

    #[test]
    fn a_ping_is_answered_with_its_payload_also_between_fragments() {
        let mut bench = bench(3, Faults::default(), &Settings::default());
        let peer = bench.open(1);
        // RFC 6455 §5.4: a text in two fragments with a ping between them; all masks are zero.
        peer.write(&[0x01, 0x82, 0, 0, 0, 0, b'h', b'e']);
        peer.write(&[0x89, 0x82, 0, 0, 0, 0, b'p', b'!']);
        peer.write(&[0x80, 0x83, 0, 0, 0, 0, b'l', b'l', b'o']);
        bench.settle(10);
        assert_eq!(
            peer.read(),
            [&[0x8a, 2, b'p', b'!', 0x81, 5][..], b"hello"].concat()
        );
    }

    #[test]
    fn a_peer_that_pings_without_reading_is_closed() {
        let settings = Settings {
            outbox_bytes_max: 4096,
            ..Settings::default()
        };
        let mut bench = bench(4, Faults::default(), &settings);
        let peer = bench.open(1);
        let ping = [&[0x89, 0xfd, 0, 0, 0, 0][..], &[b'p'; 125]].concat();
        for _ in 0..400 {
            peer.write(&ping);
            bench.settle(1);
        }
        assert_eq!(
            bench.seen.lock().unwrap().ends.get("slow_consumer"),
            Some(&1)
        );
        bench.settle(60_000);
        assert_eq!(
            bench.server.counters().snapshot().conns,
            0,
            "and its memory is given back"
        );
    }

    #[test]
    fn who_reads_is_not_slow_however_much_comes_in_one_turn() {
        let settings = Settings {
            outbox_bytes_max: 8 * 1024,
            ..Settings::default()
        };
        let mut bench = bench(5, Faults::default(), &settings);
        let peers: Vec<_> = (0..10).map(|port| bench.open(port)).collect();
        // The shard stands still while each of them speaks to all: 20 KB for each arrive at once.
        let said = format!("all:{}", "x".repeat(200));
        for peer in &peers {
            let frames = masked(&said, [0; 4]).as_bytes().repeat(10);
            assert_eq!(peer.write(&frames), frames.len());
        }
        let expected = apps::text(&said).len() * 100;
        let mut heard = vec![0; peers.len()];
        for _ in 0..100 {
            bench.settle(1);
            heard
                .iter_mut()
                .zip(&peers)
                .for_each(|(heard, peer)| *heard += peer.read().len());
        }
        assert_eq!(heard, vec![expected; peers.len()]);
        assert_eq!(bench.server.counters().snapshot().slow_consumers, 0);
    }

    /// A bench whose shard finds as much TCP memory in use as the test says, of 100 pages that may be.
    fn bench_under_pressure(seed: u64, pages: &Arc<AtomicU64>) -> Bench {
        let read = Arc::clone(pages);
        let pressure = TcpPressure::new(100, move || Some(read.load(Relaxed)));
        let settings = Settings {
            tcp_pressure: Some(Arc::new(pressure)),
            idle_timeout: None,
            ..Settings::default()
        };
        bench(seed, Faults::default(), &settings)
    }

    fn count_heard(peers: &[Peer]) -> usize {
        peers.iter().map(|peer| peer.read().len()).sum()
    }

    #[test]
    fn a_broadcast_waits_for_the_machines_tcp_memory() {
        let pages = Arc::new(AtomicU64::new(0));
        let mut bench = bench_under_pressure(8, &pages);
        let peers: Vec<_> = (0..700).map(|port| bench.open(port)).collect();
        let frame = apps::text("all:x").len();
        pages.store(101, Relaxed);
        peers[0].write(masked("all:x", [0; 4]).as_bytes());
        bench.settle(900);
        assert_eq!(
            count_heard(&peers) / frame,
            256,
            "one look comes after 256 writes"
        );
        // Memory that somebody else keeps slows the shard and does not stop it.
        bench.settle(200);
        assert_eq!(count_heard(&peers) / frame, 700 - 256);
        // The next broadcast waits again, after as much time, and only until there is room.
        bench.settle(1_000);
        peers[0].write(masked("all:x", [0; 4]).as_bytes());
        bench.settle(500);
        assert_eq!(count_heard(&peers) / frame, 256);
        pages.store(100, Relaxed);
        bench.settle(50);
        assert_eq!(count_heard(&peers) / frame, 700 - 256);
    }

    #[test]
    fn what_waits_for_memory_is_bounded_and_nothing_of_it_is_lost() {
        let pages = Arc::new(AtomicU64::new(101));
        let mut bench = bench_under_pressure(9, &pages);
        let peers: Vec<_> = (0..400).map(|port| bench.open(port)).collect();
        let frame = apps::text("all:x").len();
        // Each of them speaks to all, which is 160,000 frames.
        for peer in &peers {
            peer.write(masked("all:x", [0; 4]).as_bytes());
        }
        bench.settle(900);
        let queued = bench.server.counters().snapshot().frames_out;
        assert!(
            (16_384..16_384 + 400).contains(&queued),
            "{queued} frames wait"
        );
        pages.store(0, Relaxed);
        bench.settle(20_000);
        assert_eq!(count_heard(&peers) / frame, 400 * 400);
    }

    #[test]
    fn bytes_that_are_no_http_are_refused_at_once() {
        let mut bench = bench(6, Faults::default(), &Settings::default());
        let peer = bench.connect(1);
        // The beginning of a TLS ClientHello.
        peer.write(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]);
        bench.settle(1);
        assert!(peer.read().starts_with(b"HTTP/1.1 400 "));
        assert!(peer.has_ended());
    }

    #[test]
    fn a_shard_wakes_up_for_nobody_who_cannot_be_overdue() {
        let next = |idle_timeout, is_open| {
            let settings = Settings {
                idle_timeout,
                ..Settings::default()
            };
            let mut bench = bench(10, Faults::default(), &settings);
            let _peer = match is_open {
                true => bench.open(1),
                false => bench.connect(1),
            };
            bench.settle(20);
            let Ok(Turn::Done(next)) = bench.server.turn() else {
                panic!("it goes on");
            };
            next.map(|next| next.since(bench.net.now()))
        };
        let minute = Some(Duration::from_secs(60));
        assert_eq!(next(None, true), None);
        let handshaking = next(None, false).expect("it may take too long");
        assert!(handshaking <= Duration::from_millis(120), "{handshaking:?}");
        let idle = next(minute, true).expect("it may be silent for too long");
        let seldom = Duration::from_millis(300)..Duration::from_millis(420);
        assert!(seldom.contains(&idle), "{idle:?}");
    }

    #[test]
    fn silence_ends_soon_after_its_time() {
        let mut bench = bench(11, Faults::default(), &Settings::default());
        let peers: Vec<_> = (0..20).map(|port| bench.open(port)).collect();
        bench.settle(59_000);
        assert_eq!(bench.server.counters().snapshot().idle_timeouts, 0);
        bench.settle(1_000 + 3_500);
        assert_eq!(bench.server.counters().snapshot().idle_timeouts, 20);
        drop(peers);
    }

    #[test]
    fn a_goodbye_has_one_deadline() {
        let settings = Settings {
            close_timeout: Duration::from_secs(2),
            idle_timeout: None,
            ..Settings::default()
        };
        let mut bench = bench(7, Faults::default(), &settings);
        let peer = bench.open(1);
        peer.write(masked("bye", [0; 4]).as_bytes());
        bench.settle(1500);
        assert_eq!(bench.server.counters().snapshot().conns, 1);
        // Its close frame comes late, and then it does not end the stream.
        peer.write(&[0x88, 0x80, 0, 0, 0, 0]);
        bench.settle(1400);
        assert_eq!(bench.server.counters().snapshot().conns, 0);
    }

    #[test]
    fn a_slow_consumer_is_told_so_after_what_the_kernel_holds() {
        for_seeds(50, |seed| {
            let faults = Faults {
                late_write: 1000,
                short_read: 500,
                short_write: 300,
                ..Faults::default()
            };
            let settings = Settings {
                outbox_bytes_max: 32 * 1024,
                ..Settings::default()
            };
            let mut bench = bench(seed, faults, &settings);
            let peer = bench.open(1);
            // Two floods, the second while the first is on its way.
            for flood in ["flood:8", "flood:40"] {
                peer.write(masked(flood, [0; 4]).as_bytes());
            }
            bench.settle(1);
            let mut heard = peer.read();
            // Answered once: bytes after that would make the server's end a reset.
            peer.write(&[0x88, 0x80, 0, 0, 0, 0]);
            while !peer.has_ended() {
                bench.settle(100);
                heard.append(&mut peer.read());
            }
            let close = [&[0x88, 15, 0x0f, 0xa8][..], b"slow consumer"].concat();
            assert!(
                heard.ends_with(&close),
                "{:?}",
                &heard[heard.len().saturating_sub(20)..]
            );
            assert_eq!(
                (heard.len() - close.len()) % 1024,
                0,
                "only whole frames come before it"
            );
        });
    }

    #[test]
    fn who_reads_is_not_slow_while_the_kernel_has_not_answered() {
        for_seeds(50, |seed| {
            let faults = Faults {
                late_write: 1000,
                ..Faults::default()
            };
            let settings = Settings {
                outbox_bytes_max: 8 * 1024,
                ..Settings::default()
            };
            let mut bench = bench(seed, faults, &settings);
            let peer = bench.open(1);
            let mut heard = 0;
            // Each answer goes out whole, and what became of it is told late, often after the next request;
            // both together are over the limit.
            for turn in 0..100 {
                if turn < 20 {
                    peer.write(masked("flood:6", [0; 4]).as_bytes());
                }
                bench.server.turn().unwrap();
                heard += peer.read().len();
            }
            assert_eq!(bench.server.counters().snapshot().slow_consumers, 0);
            assert_eq!(heard, 20 * 6 * 1024);
        });
    }

    #[test]
    fn whatever_bytes_come_the_shard_lives_and_lets_go() {
        for_seeds(300, |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            let settings = Settings {
                outbox_bytes_max: 64 * 1024,
                ..Settings::default()
            };
            let mut bench = bench(seed, Faults::ROUGH, &settings);
            let peers: Vec<_> = (0..6)
                .filter_map(|port| bench.net.connect(([127, 0, 0, 9], port).into(), SERVER))
                .collect();
            for _ in 0..60 {
                let Some(peer) = random.choice(&peers) else {
                    return;
                };
                match random.u32(0..10) {
                    0..3 => drop(peer.write(REQUEST)),
                    3..7 => {
                        let (opcode, len) = (random.u8(..), random.u8(..));
                        let mut bytes = vec![opcode, len, 0, 0, 0, 0];
                        bytes.extend((0..random.usize(0..200)).map(|_| random.u8(..)));
                        peer.write(&bytes);
                    }
                    7 => drop(peer.write(&[0x81, 0x83, 0, 0, 0, 0, b'b', b'y', b'e'])),
                    8 => drop(peer.read()),
                    _ if random.bool() => peer.close(),
                    _ => peer.reset(),
                }
                bench.settle(random.u64(0..500));
            }
            peers.iter().for_each(Peer::close);
            bench.net.set_faults(Faults::default());
            bench.settle(600_000);
            let left = bench.server.counters().snapshot();
            assert_eq!((left.conns, left.open), (0, 0));
        });
    }
}
