//! What a hub's work costs on this machine, without a network:
//! `cargo run --release -p fourtuple-hub --example costs`.
//!
//! Each line is the best of several runs, since everything else that runs here only adds.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use fourtuple_hub::{
    Broadcast, Channel, ConnId, ConnectError, ConnectRequest, Context, Full, Hub, Incoming,
    Interest, JoinResult, Limits, Mail, Outcome, Output, Payload, Post, Publication, Reply, Router,
    Serializer, ShardIndex, Socket,
};
use serde_json::json;

/// Members of a topic on one shard: what a shard holds where a table has 20,000 descriptors.
const MEMBERS: u32 = 18_000;

/// Shards of a node of 2,000,000 connections there.
const SHARDS: u16 = 110;

const RUNS: u32 = 20;

struct Anyone;

impl Socket for Anyone {
    type Assigns = ();

    fn connect(&self, _: &ConnectRequest<'_>) -> Result<(), ConnectError> {
        Ok(())
    }
}

struct Room;

impl Channel<Anyone> for Room {
    fn join(_: &str, _: Payload<'_>, _: &mut Context<'_, Anyone>) -> JoinResult<Self> {
        Ok((Self, Reply::empty()))
    }

    fn handle_in(
        &mut self,
        event: &str,
        payload: Payload<'_>,
        ctx: &mut Context<'_, Anyone>,
    ) -> Outcome {
        if event == "msg" {
            ctx.broadcast(event, payload);
        }
        Outcome::NoReply
    }
}

struct Nowhere;

impl Post for Nowhere {
    fn post(&self, _: ShardIndex, _: Mail) -> Result<(), Full> {
        Err(Full)
    }
}

/// The hubs of the first shards of a node.
fn hubs(count: u16) -> Vec<Hub<Anyone>> {
    hubs_with(count, &Arc::new(Interest::new(SHARDS, 0)))
}

fn hubs_with(count: u16, interest: &Arc<Interest>) -> Vec<Hub<Anyone>> {
    let router = Arc::new(Router::new(Anyone).channel::<Room>("room:*"));
    let hub = |shard| {
        let (router, interest) = (Arc::clone(&router), Arc::clone(interest));
        Hub::new(
            router,
            ShardIndex(shard),
            interest,
            Arc::new(Nowhere),
            Limits::default(),
        )
    };
    (0..count).map(hub).collect()
}

const fn conn(index: u32) -> ConnId {
    ConnId {
        index,
        generation: 0,
    }
}

fn open(hub: &mut Hub<Anyone>, index: u32) {
    hub.handle_open(conn(index), Serializer::V2, (), &mut |_| {});
}

fn say(hub: &mut Hub<Anyone>, index: u32, text: &str, out: &mut dyn FnMut(Output)) {
    hub.handle_message(conn(index), Incoming::Text(text), out);
}

fn join(hub: &mut Hub<Anyone>, index: u32, topic: &str) {
    open(hub, index);
    let text = format!(r#"["1","1","{topic}","phx_join",{{}}]"#);
    say(hub, index, &text, &mut |output| drop(black_box(output)));
}

/// Says what one of `count` things costs that `run` does.
fn tell(what: &str, count: u32, mut run: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let began = Instant::now();
        run();
        best = best.min(began.elapsed());
    }
    let nanos = best.as_secs_f64() * 1e9 / f64::from(count);
    println!("{nanos:>9.1} ns  {what}");
}

fn one_shard() {
    let mut hub = hubs(1).remove(0);
    for index in 0..MEMBERS {
        join(&mut hub, index, "room:all");
    }
    let bytes = hub.heap_bytes() as f64 / f64::from(MEMBERS);
    println!("{bytes:>9.1} B   a connection in one topic with {MEMBERS} others");

    let broadcast = Broadcast::new("room:all", "msg", json!({ "body": "x".repeat(64) }));
    let broadcast = broadcast.expect("it can be JSON");
    let mut receive = |kept: &mut Vec<Output>| {
        let mail = Mail::Publish(Publication::Broadcast(Arc::clone(&broadcast)));
        hub.handle_mail(mail, &mut |output| kept.push(output));
    };
    // An outbox keeps the frame until it is written, so that is part of the cost.
    let mut kept = Vec::with_capacity(MEMBERS as usize);
    tell("a delivery, of a broadcast to all of them", MEMBERS, || {
        kept.clear();
        receive(&mut kept);
    });
    tell("a delivery when nobody keeps the frame", MEMBERS, || {
        let mail = Mail::Publish(Publication::Broadcast(Arc::clone(&broadcast)));
        hub.handle_mail(mail, &mut |output| drop(black_box(output)));
    });

    let beat = r#"[null,"17","phoenix","heartbeat",{}]"#;
    tell("a heartbeat, read and answered", MEMBERS, || {
        for index in 0..MEMBERS {
            say(&mut hub, index, beat, &mut |output| {
                drop(black_box(output));
            });
        }
    });
    let push = r#"["1","17","room:all","quiet",{"body":"hello"}]"#;
    tell("a push, read and given to its channel", MEMBERS, || {
        for index in 0..MEMBERS {
            say(&mut hub, index, push, &mut |output| {
                drop(black_box(output));
            });
        }
    });
}

fn many_topics() {
    let topics: Vec<_> = (0..MEMBERS).map(|index| format!("room:{index}")).collect();
    let mut made = Vec::new();
    tell("a join of a topic of one's own", MEMBERS, || {
        made.clear();
        made.append(&mut hubs(1));
        for (topic, index) in topics.iter().zip(0..) {
            join(&mut made[0], index, topic);
        }
    });
    let bytes = made[0].heap_bytes() as f64 / f64::from(MEMBERS);
    println!("{bytes:>9.1} B   a connection in a topic of its own");
    tell("a join of a topic that others are in", MEMBERS, || {
        made.clear();
        made.append(&mut hubs(1));
        for index in 0..MEMBERS {
            join(&mut made[0], index, "room:all");
        }
    });
}

/// Publishes into topics with one member on each of some shards.
fn many_shards() {
    let mut hubs = hubs(SHARDS);
    for (hub, shard) in hubs.iter_mut().zip(0..) {
        join(hub, 0, "room:all");
        if shard < 2 {
            open(hub, 1);
            join(hub, 1, "room:two");
        }
    }
    let count = 10_000;
    for (member, topic) in [(0, "room:all"), (1, "room:two")] {
        let text = format!(r#"["1","1","{topic}","msg",{{"body":"hello"}}]"#);
        let mut told = 0;
        let what = format!("a publish into {topic}, without the mail and the wake-ups it causes");
        tell(&what, count, || {
            for _ in 0..count {
                say(&mut hubs[0], member, &text, &mut |output| {
                    told += usize::from(matches!(output, Output::Publish { .. }));
                    drop(black_box(output));
                });
            }
        });
        let told = told / (count * RUNS) as usize;
        println!("{told:>9}     shards are told of it");
    }
}

/// A node of 2,000,000 connections, ten in each topic, wherever the kernel puts them.
fn a_whole_node() {
    const TOPICS: u32 = 200_000;
    let interest = Arc::new(Interest::new(SHARDS, 0));
    let mut hubs = hubs_with(SHARDS, &interest);
    let mut shards_of = vec![0_u128; TOPICS as usize];
    let mut places = [0; SHARDS as usize];
    let mut random = 1_u64;
    for number in 0..TOPICS * 10 {
        // Knuth's constants; any shard will do.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let shard = (random >> 33) as usize % usize::from(SHARDS);
        let topic = number % TOPICS;
        shards_of[topic as usize] |= 1 << shard;
        join(&mut hubs[shard], places[shard], &format!("room:{topic}"));
        places[shard] += 1;
    }
    let bytes: usize = hubs.iter().map(Hub::heap_bytes).sum();
    let bytes = bytes as f64 / f64::from(TOPICS * 10);
    println!("{bytes:>9.1} B   a connection of 2,000,000 in {TOPICS} topics on {SHARDS} shards");
    let table = Interest::bytes(SHARDS) as f64 / f64::from(TOPICS * 10);
    println!("{table:>9.1} B   a connection's part of the table of interest");
    let have: u32 = shards_of.iter().map(|shards| shards.count_ones()).sum();
    let told: usize = (0..TOPICS)
        .map(|topic| interest.shards(&format!("room:{topic}")).count())
        .sum();
    let mean = |sum: f64| sum / f64::from(TOPICS);
    println!(
        "{:>9.1}     shards have members of a topic",
        mean(have.into())
    );
    println!(
        "{:>9.1}     shards are told of a publish",
        mean(told as f64)
    );
}

fn main() {
    one_shard();
    many_topics();
    many_shards();
    a_whole_node();
}
