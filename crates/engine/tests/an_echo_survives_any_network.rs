//! Server shards and clients on a simulated network, one run per seed.
//!
//! A failing seed prints the command that repeats it: `FOURTUPLE_SEED=n cargo test …`.

mod apps;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use apps::{Clients, EchoServer, Seen, Tally};
use fourtuple_engine::{
    Reactor, Settings, Time,
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
    let chosen = std::env::var("FOURTUPLE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = chosen.map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
            eprintln!(
                "repeat with: FOURTUPLE_SEED={seed} cargo test -p fourtuple-engine --test an_echo_survives_any_network"
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
