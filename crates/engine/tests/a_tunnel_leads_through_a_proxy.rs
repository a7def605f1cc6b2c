//! Clients that reach their server through a proxy on a simulated network, one run per seed.
//!
//! The proxy is a script: it answers in pieces, refuses, keeps silent, says what is no HTTP, or talks before it is asked.

mod apps;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use apps::{Clients, EchoServer, Seen, Tally};
use fourtuple_engine::{
    Cause, Phase, Reactor, Settings, Snapshot, Time, Tunnel, TunnelFault, Turn,
    sim::{Faults, Listener, Net, Peer, Shard},
};
use proto::http;

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4000);
const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3128);
const CLIENTS: u16 = 10;

/// What the proxy does with everybody.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Answers so, and leads to the server.
    Grant(&'static [u8]),
    /// Says this once it was asked, and ends the stream.
    Say(&'static [u8]),
    /// Says this before it is asked, and stays.
    SayFirst(&'static [u8]),
    Silence,
}

/// A proxy in the hands of the test.
struct Proxy {
    net: Net,
    listener: Listener,
    way: Way,
    random: fastrand::Rng,
    clients: Vec<Client>,
    /// What each asked for, whole.
    requests: Vec<Vec<u8>>,
    next_port: u16,
}

struct Client {
    near: Peer,
    far: Option<Peer>,
    request: Vec<u8>,
    /// What is still to be written, to the client and to the server.
    back: Vec<u8>,
    forth: Vec<u8>,
    ends: bool,
}

impl Proxy {
    fn new(net: &Net, way: Way, seed: u64) -> Self {
        Self {
            net: net.clone(),
            listener: net.listen(PROXY),
            way,
            random: fastrand::Rng::with_seed(seed),
            clients: Vec::new(),
            requests: Vec::new(),
            next_port: 1,
        }
    }

    fn serve(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let heard = client.near.read();
        if client.far.is_some() {
            client.forth.extend(heard);
        } else {
            client.request.extend(heard);
            if let Some(end) = http::head_end(&client.request, 0).filter(|_| !client.ends) {
                // A request that was asked for is answered once.
                client.ends = true;
                client.forth = client.request.split_off(end);
                self.requests.push(std::mem::take(&mut client.request));
                match self.way {
                    Way::Grant(words) => {
                        client.back.extend_from_slice(words);
                        client.ends = false;
                        let source = ([127, 0, 0, 77], self.next_port).into();
                        self.next_port += 1;
                        client.far = self.net.connect(source, SERVER);
                    }
                    Way::Say(words) => client.back.extend_from_slice(words),
                    Way::SayFirst(_) | Way::Silence => {}
                }
            }
        }
        if let Some(far) = &client.far {
            client.back.extend(far.read());
            let written = far.write(&client.forth);
            client.forth.drain(..written);
        }
        // In pieces, so that a head may come byte by byte.
        let piece = self.random.usize(0..=client.back.len());
        let written = client.near.write(&client.back[..piece]);
        client.back.drain(..written);
        let is_over = client.far.as_ref().is_some_and(Peer::has_ended)
            || (client.ends && matches!(self.way, Way::Say(_)));
        if client.near.has_ended() || (is_over && client.back.is_empty()) {
            let client = self.clients.swap_remove(at);
            client.near.close();
            if let Some(far) = client.far {
                far.close();
            }
        }
    }
}

impl Shard for Proxy {
    fn turn(&mut self) -> Turn {
        while let Some(near) = self.listener.accept() {
            let back = match self.way {
                Way::SayFirst(words) => words.to_vec(),
                _ => Vec::new(),
            };
            self.clients.push(Client {
                near,
                far: None,
                request: Vec::new(),
                back,
                forth: Vec::new(),
                ends: false,
            });
        }
        for at in (0..self.clients.len()).rev() {
            self.serve(at);
        }
        Turn::Done(None)
    }

    fn is_idle(&self) -> bool {
        let is_idle = |client: &Client| {
            let far = client.far.as_ref().is_some_and(Peer::is_readable);
            client.back.is_empty() && !far && !client.near.is_readable()
        };
        self.clients.iter().all(is_idle)
    }

    fn counters(&self) -> Snapshot {
        Snapshot::default()
    }
}

struct Outcome {
    tally: Tally,
    requests: Vec<Vec<u8>>,
    clients_left: u64,
    took: Duration,
}

/// Some clients with three echoes each, all of them through the proxy.
fn run(seed: u64, faults: Faults, way: Way) -> Outcome {
    let net = Net::new(seed, faults);
    let settings = Settings::default();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut proxy = Proxy::new(&net, way, seed);
    let mut servers = Reactor::simulate([net.kernel(Some(SERVER))], &settings, |_, _| {
        EchoServer::new(Arc::clone(&seen))
    });
    let mut crowd = Reactor::simulate([net.kernel(None)], &settings, |_, _| {
        Clients::new(Arc::clone(&tally), 3, true)
    });
    crowd[0].with_app(|app, io| {
        let source = |port| ([127, 0, 0, 2], 10_000 + port).into();
        app.dials = (0..CLIENTS).map(|port| (source(port), PROXY)).collect();
        app.tunnel = Some(Tunnel::new("server.test:4000", Some(b"user:secret")));
        app.dial_all(io);
    });
    let over = |tally: &Tally| tally.ends.len() == usize::from(CLIENTS);
    let until = Time::ZERO.after(Duration::from_secs(600));
    let mut took = Duration::ZERO;
    {
        let mut shards: [&mut dyn Shard; 3] = [&mut proxy, &mut servers[0], &mut crowd[0]];
        let done = net.run(&mut shards, until, || over(&tally.lock().unwrap()));
        assert!(done, "every client ends: {:?}", tally.lock().unwrap());
        took += net.now().since(Time::ZERO);
        net.set_faults(Faults::default());
        net.run(&mut shards, until, || false);
    }
    let clients_left = crowd[0].counters().snapshot().conns;
    drop(crowd);
    let tally = Arc::into_inner(tally).expect("the last owner");
    Outcome {
        tally: tally.into_inner().unwrap(),
        requests: proxy.requests,
        clients_left,
        took,
    }
}

fn for_seeds(count: u64, check: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let chosen = std::env::var("SIMULATION_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    for seed in chosen.map_or(0..count, |seed| seed..seed + 1) {
        if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
            eprintln!(
                "repeat with: SIMULATION_SEED={seed} cargo test -p fourtuple-engine --test a_tunnel_leads_through_a_proxy"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

/// What everybody ended with, who was nowhere.
fn faults_of(outcome: &Outcome) -> Vec<TunnelFault> {
    let fault = |closed: &fourtuple_engine::Closed| match closed.cause {
        Cause::Tunnel(fault) => {
            assert_eq!(closed.phase, Phase::Connecting);
            fault
        }
        ref other => panic!("{other}"),
    };
    assert_eq!((outcome.tally.opened, outcome.clients_left), (0, 0));
    outcome.tally.ends.iter().map(fault).collect()
}

#[test]
fn on_a_slow_network_everybody_comes_through_and_nothing_is_lost() {
    for (seeds, words) in [
        (100, &b"HTTP/1.1 200 Connection established\r\n\r\n"[..]),
        (
            50,
            b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 x\r\ncontent-length: 7\r\n\r\n",
        ),
    ] {
        for_seeds(seeds, |seed| {
            let outcome = run(seed, Faults::SLOW, Way::Grant(words));
            assert_eq!(outcome.tally.opened, u32::from(CLIENTS));
            assert_eq!(outcome.tally.echoes, 3 * u32::from(CLIENTS));
            assert_eq!(outcome.tally.ended("local_close"), usize::from(CLIENTS));
            assert_eq!(outcome.clients_left, 0);
            // RFC 9110 §9.3.6: the host and its port, as they are.
            let request = b"CONNECT server.test:4000 HTTP/1.1\r\nhost: server.test:4000\r\n\
                            proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n";
            assert_eq!(outcome.requests, vec![request.to_vec(); CLIENTS.into()]);
        });
    }
}

#[test]
fn on_a_rough_network_every_connection_ends_once_and_nothing_leaks() {
    for_seeds(100, |seed| {
        let outcome = run(seed, Faults::ROUGH, Way::Grant(b"HTTP/1.1 200 x\r\n\r\n"));
        assert_eq!(outcome.tally.ends.len(), usize::from(CLIENTS));
        assert!(outcome.tally.echoes <= 3 * u32::from(CLIENTS));
        assert_eq!(outcome.clients_left, 0);
    });
}

#[test]
fn a_proxy_that_gives_no_tunnel_is_told_apart_from_a_server() {
    for (words, fault) in [
        (
            &b"HTTP/1.1 407 Who?\r\n\r\nwho are you?"[..],
            TunnelFault::Status(407),
        ),
        (
            b"HTTP/1.1 502 x\r\nconnection: close\r\n\r\n",
            TunnelFault::Status(502),
        ),
        (
            b"\x15\x03\x01\x00\x02\x02\x46",
            TunnelFault::Head(http::Error::Version),
        ),
        (b"HTTP/1.1 200 O", TunnelFault::Cut),
        (b"", TunnelFault::Cut),
    ] {
        for_seeds(30, |seed| {
            let outcome = run(seed, Faults::SLOW, Way::Say(words));
            assert_eq!(faults_of(&outcome), vec![fault; CLIENTS.into()]);
        });
    }
}

#[test]
fn a_proxy_that_does_not_answer_has_the_time_of_a_handshake() {
    let outcome = run(1, Faults::SLOW, Way::Silence);
    assert_eq!(
        faults_of(&outcome),
        vec![TunnelFault::Timeout; CLIENTS.into()]
    );
    assert!(
        (10..12).contains(&outcome.took.as_secs()),
        "{:?}",
        outcome.took
    );
}

#[test]
fn a_proxy_that_answers_before_it_was_asked_leads_nowhere_and_costs_nothing() {
    let endless = || std::iter::repeat_n(b'x', 40_000);
    let long: &'static [u8] = b"HTTP/1.1 200 x\r\n\r\n"
        .iter()
        .copied()
        .chain(endless())
        .collect::<Vec<_>>()
        .leak();
    let too_long = AtomicU32::new(0);
    for_seeds(30, |seed| {
        let outcome = run(seed, Faults::SLOW, Way::SayFirst(b"HTTP/1.1 503 x\r\n\r\n"));
        assert_eq!(
            faults_of(&outcome),
            vec![TunnelFault::Status(503); CLIENTS.into()]
        );
        let causes = |words| {
            let outcome = run(seed, Faults::SLOW, Way::SayFirst(words));
            assert_eq!((outcome.tally.opened, outcome.clients_left), (0, 0));
            let ends = outcome.tally.ends.into_iter();
            ends.map(|closed| closed.cause).collect::<Vec<_>>()
        };
        // It grants what it does not understand, and then keeps silent: whenever the grant came, the upgrade
        // is on its way and not answered.
        for cause in causes(b"HTTP/1.1 200 x\r\n\r\n") {
            assert!(matches!(cause, Cause::HandshakeTimeout), "{cause}");
        }
        // What it says then is kept as long as a head may be, and is no answer of a server.
        let mut kept_count = 0;
        for cause in causes(long) {
            let too_long = matches!(
                cause,
                Cause::Tunnel(TunnelFault::Head(http::Error::HeadTooLong))
            );
            kept_count += u32::from(too_long);
            assert!(too_long || matches!(cause, Cause::Head(_)), "{cause}");
        }
        too_long.fetch_add(kept_count, Relaxed);
    });
    assert!(too_long.into_inner() > 0, "the limit was never reached");
}
