//! With a table for each shard, the descriptor limit bounds a shard and not the process.
//!
//! The test lowers the limit of its process, so it stands in a file, and with it in a process, of its
//! own.

mod apps;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use apps::{Clients, EchoServer, Tally};
use capacity::Tables;
use fourtuple_engine::{KernelChoice, Settings, ShardIndex, Shards};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn more_connections_are_held_than_one_table_has_room_for() {
    let limit = Rlimit {
        current: Some(200),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let settings = Settings {
        kernel: KernelChoice::Epoll,
        tables: Tables::PerShard,
        ..Settings::default()
    };
    let any = "127.0.0.1:0".parse().ok();
    let server = Shards::start(&settings, 6, any, |_, _| EchoServer::new(Arc::default())).unwrap();
    let address = server.local_addr().unwrap();

    let tally = Arc::new(Mutex::new(Tally::default()));
    let shared = Arc::clone(&tally);
    let crowd = Shards::start(&settings, 4, None, move |shard, _| {
        let mut clients = Clients::new(Arc::clone(&shared), 3, false);
        let source = |port| ([127, 0, 9, 1], port).into();
        let first = 20_000 + 150 * shard.0;
        clients.dials = (first..first + 150)
            .map(|port| (source(port), address))
            .collect();
        clients
    })
    .unwrap();
    for shard in 0..4 {
        crowd.post(ShardIndex(shard), ()).unwrap();
    }
    let start = Instant::now();
    while tally.lock().unwrap().echoes < 600 * 3 {
        let tally = tally.lock().unwrap();
        assert!(tally.ends.is_empty(), "{:?}", tally.ends);
        assert!(start.elapsed() < Duration::from_secs(60), "{tally:?}");
        drop(tally);
        std::thread::yield_now();
    }
    assert_eq!(server.counters().open, 600);
    assert_eq!(crowd.counters().open, 600);
}
