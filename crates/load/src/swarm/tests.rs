//! What the crowd makes of good and bad manners, on the simulated kernel.

mod accounting;
mod headline;
mod pacing;

use std::{sync::Arc, time::Duration};

use engine::{Time, sim::Faults};
use proto::phoenix::Serializer;

use super::{
    Order,
    rehearsal::{
        Rehearsal, SHARDS,
        room::{Join, Manners, Third},
    },
};
use crate::{
    options::{Audience, Dialect, Options, Push},
    report::Report,
    source::Tuples,
};

const CONNECTIONS: u32 = 60;
const ALL: u64 = CONNECTIONS as u64;

/// Sixty clients in one topic that publish ten times within a second.
fn options() -> Options {
    let mut options = Options::new("ws://10.0.0.1:4000/socket".parse().expect("a URL"));
    options.connections = CONNECTIONS;
    options.join = Some("room:lobby".parse().expect("a topic"));
    options.publish = Some("10/s".parse().expect("a rate"));
    options.hold = Duration::from_secs(1);
    options.shards = Some(SHARDS);
    options
}

fn perform(manners: Manners, change: impl FnOnce(&mut Options)) -> Report {
    let mut options = options();
    change(&mut options);
    Rehearsal::new(7, Faults::default(), manners, options).perform()
}

/// The only failure of a run, by class.
fn only(failures: &[crate::FailureCount]) -> (&str, u64) {
    assert_eq!(failures.len(), 1, "{failures:?}");
    (failures[0].class, failures[0].count)
}

#[test]
fn a_well_mannered_server_is_held_with_every_delivery_counted() {
    for serializer in [Serializer::V1, Serializer::V2] {
        let report = perform(Manners::default(), |options| {
            options.dialect = Dialect::Phoenix(serializer);
        });
        assert!(report.held, "{report}");

        assert_eq!(report.connections.held, ALL);
        assert_eq!(report.publishes.sent, 10);
        assert_eq!(report.deliveries.received, 10 * ALL);
        assert_eq!(report.deliveries.extra, 0);
        assert_eq!(report.latency.delivery.count, 10 * ALL);
        assert_eq!(report.latency.last_delivery.count, 10);
        assert_eq!(report.latency.publish_reply.count, 10);
        assert_eq!(report.latency.join.count, ALL);
    }
}

#[test]
fn connections_are_opened_at_the_rate() {
    let report = perform(Manners::default(), |options| {
        options.rate = "20/s".parse().expect("a rate");
    });
    assert!(report.held, "{report}");
    // The last of 60 is due at 59/20 s.
    assert!(
        (2_950..3_000).contains(&report.opening_ms),
        "{}",
        report.opening_ms
    );
}

#[test]
fn one_lost_delivery_is_one_lost_delivery() {
    let report = perform(
        Manners {
            third: Third::Lost,
            ..Manners::default()
        },
        |_| (),
    );
    assert_eq!(report.deliveries.lost, 1);
    assert_eq!(report.shortfalls, ["deliveries lost: 1 of 600"]);
}

#[test]
fn one_repeated_delivery_is_one_duplicate() {
    let report = perform(
        Manners {
            third: Third::Twice,
            ..Manners::default()
        },
        |_| (),
    );
    assert_eq!(
        (report.deliveries.duplicated, report.deliveries.lost),
        (1, 0)
    );
    assert_eq!(report.shortfalls, ["deliveries duplicated: 1"]);
}

#[test]
fn a_delivery_under_another_topics_name_is_misrouted() {
    let report = perform(
        Manners {
            third: Third::Elsewhere,
            ..Manners::default()
        },
        |_| (),
    );
    assert_eq!(
        (report.deliveries.misrouted, report.deliveries.lost),
        (1, 1)
    );
}

#[test]
fn a_client_closed_while_idle_is_dropped_with_its_code() {
    let report = perform(
        Manners {
            third: Third::Closed,
            ..Manners::default()
        },
        |_| (),
    );
    assert_eq!(only(&report.dropped), ("closed_with_code", 1));
    assert_eq!(
        report.dropped[0].text,
        "closed by the server with code 1012"
    );
    assert_eq!(
        report.deliveries.lost, 0,
        "what it did not get was dropped with it: {report}"
    );
}

#[test]
fn a_crashed_channel_is_a_drop() {
    let report = perform(
        Manners {
            third: Third::Crashed,
            ..Manners::default()
        },
        |_| (),
    );
    assert_eq!(only(&report.dropped), ("channel_error", 1));
}

#[test]
fn refused_upgrades_are_counted_by_status() {
    let report = perform(
        Manners {
            status: Some(403),
            ..Manners::default()
        },
        |_| (),
    );
    assert_eq!(only(&report.not_opened), ("http_status", ALL));
    assert!(report.not_opened[0].text.ends_with("403"));
}

#[test]
fn refused_joins_are_counted_with_the_servers_reason() {
    let report = perform(
        Manners {
            join: Join::Refused,
            ..Manners::default()
        },
        |_| (),
    );
    assert_eq!(only(&report.not_opened), ("join_refused", ALL));
    assert_eq!(report.not_opened[0].text, "join refused: no room");
    assert_eq!(report.connections.opened, ALL);
}

#[test]
fn unanswered_joins_time_out() {
    let report = perform(
        Manners {
            join: Join::Unanswered,
            ..Manners::default()
        },
        |_| (),
    );
    assert_eq!(only(&report.not_opened), ("join_timeout", ALL));
}

#[test]
fn heartbeats_keep_their_own_time() {
    let report = perform(Manners::default(), |options| {
        options.hold = Duration::from_secs(61);
        options.publish = None;
        options.heartbeat = Some(Duration::from_secs(20));
    });
    assert!(report.held, "{report}");
    let sent = report.heartbeats.sent;
    // Three rounds in a minute, and one more for clients that were passed while opening.
    assert!((3 * ALL..=4 * ALL).contains(&sent), "{sent}");
    assert_eq!(report.heartbeats.answered, sent);
}

#[test]
fn unanswered_heartbeats_drop_the_client_one_period_later() {
    let report = perform(
        Manners {
            ignores_heartbeats: true,
            ..Manners::default()
        },
        |options| {
            options.hold = Duration::from_secs(60);
            options.heartbeat = Some(Duration::from_secs(20));
        },
    );
    assert_eq!(only(&report.dropped), ("heartbeat_timeout", ALL));
}

#[test]
fn many_topics_are_published_to_and_kept_apart() {
    let report = perform(Manners::default(), |options| {
        options.topics = 20;
        options.join = Some("room:{}".parse().expect("a pattern"));
    });
    assert!(report.held, "{report}");
    assert_eq!(report.publishes.sent, 200);
    // Three members in each of twenty topics.
    assert_eq!(report.deliveries.received, 600);
    assert_eq!(report.deliveries.extra, 0);
}

#[test]
fn a_publisher_that_is_left_out_expects_nothing() {
    let report = perform(
        Manners {
            to_others: true,
            ..Manners::default()
        },
        |options| {
            options.audience = Some(Audience::Others);
        },
    );
    assert!(report.held, "{report}");
    assert_eq!(report.deliveries.received, 10 * (ALL - 1));
    // The same server disappoints who expects to hear itself.
    let report = perform(
        Manners {
            to_others: true,
            ..Manners::default()
        },
        |_| (),
    );
    assert_eq!(report.deliveries.lost, 10);
}

#[test]
fn paced_pushes_keep_their_pace() {
    let report = perform(Manners::default(), |options| {
        options.publish = None;
        options.push = Some(Push::Paced("5/s".parse().expect("a rate")));
        options.hold = Duration::from_secs(2);
    });
    assert!(report.held, "{report}");
    assert_eq!(report.pushes.sent, 10 * ALL);
}

#[test]
fn refused_pushes_are_not_held() {
    let manners = Manners {
        refuses_pushes: true,
        ..Manners::default()
    };
    let report = perform(manners, |options| {
        options.publish = None;
        options.push = Some(Push::Paced("1/s".parse().expect("a rate")));
    });
    assert_eq!(report.shortfalls, ["pushes refused: 60"]);
}

#[test]
fn an_echo_server_answers_raw_publishes_and_pushes() {
    let report = perform(Manners::default(), |options| {
        (options.dialect, options.join) = (Dialect::Raw, None);
        options.target = "ws://10.0.0.1:4000/echo".parse().expect("a URL");
        options.push = Some(Push::Paced("2/s".parse().expect("a rate")));
    });
    assert!(report.held, "{report}");
    assert_eq!(
        (report.deliveries.expected, report.deliveries.received),
        (10, 10)
    );
    assert_eq!(report.pushes.answered, 2 * ALL);
    assert_eq!(report.heartbeats.sent, 0);
}

#[test]
fn a_run_that_is_cut_short_leaves_nobody_behind() {
    let mut options = options();
    options.rate = "10/s".parse().expect("a rate");
    let mut rehearsal = Rehearsal::new(3, Faults::default(), Manners::default(), options);
    rehearsal.order(Order::Open);
    rehearsal.pass(Duration::from_secs(2), |_| false);
    let report = rehearsal.close_early();
    assert_eq!(report.connections.held, report.connections.ready);
    assert!((15..=25).contains(&report.connections.ready), "{report}");
}

/// However slowly the network moves, nothing is lost and nothing comes twice.
#[test]
fn slow_networks_lose_nothing() {
    for seed in 0..50 {
        let report = Rehearsal::new(seed, Faults::SLOW, Manners::default(), options()).perform();
        assert!(report.held, "seed {seed}: {report}");
    }
}

/// Whatever the network does, every connection and every delivery ends in exactly one drawer
/// (`Rehearsal::close` checks it), and every failure has a name.
#[test]
fn rough_networks_are_accounted_for() {
    let mut resets = 0;
    for seed in 0..50 {
        let mut options = options();
        options.hold = Duration::from_secs(3);
        options.join_timeout = Duration::from_secs(2);
        let rehearsal = Rehearsal::new(seed, Faults::ROUGH, Manners::default(), options);
        let report = rehearsal.perform();
        let all = report.not_opened.iter().chain(&report.dropped);
        resets += all.filter(|failure| failure.class == "reset").count();
        assert_eq!(report.deliveries.duplicated, 0, "seed {seed}: {report}");
    }
    assert!(resets > 0, "the network was not rough at all");
}

/// Tuples that others use are skipped, counted, tried again later, and cost nobody their connection.
#[test]
fn tuples_in_use_are_skipped() {
    let mut rehearsal = Rehearsal::new(11, Faults::default(), Manners::default(), options());
    // Somebody else holds the first ten tuples that each shard would take.
    let plan = Arc::clone(&rehearsal.plan);
    let mut taken = Vec::new();
    for shard in 0..SHARDS {
        let mut tuples = Tuples::new(&plan.sources, plan.destination, shard, SHARDS, plan.run);
        for _ in 0..10 {
            let tuple = tuples.take(Time::ZERO).expect("a fresh tuple");
            let source = tuples.socket_addr(tuple);
            taken.extend(rehearsal.net.connect(source, plan.destination));
        }
    }
    assert_eq!(taken.len(), 20);
    rehearsal.open();
    for shard in &mut rehearsal.crowd {
        shard.with_app(|swarm, io| {
            // Once all are taken that nobody has tried, there are those that were skipped.
            while swarm.tuples.take(Time::ZERO).is_some() {}
            let rested = io.now().after(Duration::from_secs(61));
            let skipped = std::iter::from_fn(|| swarm.tuples.take(rested)).count();
            assert_eq!(skipped, 10);
        });
    }
    rehearsal.hold();
    let report = rehearsal.close();
    assert!(report.held, "{report}");
    assert_eq!(report.connections.tuples_busy, 20, "{report}");
    drop(taken);
}

/// A server that takes connections and says nothing: the crowd's own deadline ends every wait.
#[test]
fn unanswered_upgrades_time_out() {
    let mut options = options();
    options.connect_timeout = Duration::from_secs(5);
    // Nobody is accepted, so the kernel answers the dial and nobody the request.
    let faults = Faults {
        accept: 1000,
        ..Faults::default()
    };
    let mut rehearsal = Rehearsal::new(5, faults, Manners::default(), options);
    rehearsal.open();
    // The engine's sweep is at most a second late.
    let taken = rehearsal.net.now().since(Time::ZERO);
    assert!(
        (Duration::from_secs(5)..Duration::from_secs(6)).contains(&taken),
        "{taken:?}"
    );
    let report = rehearsal.close();
    assert_eq!(only(&report.not_opened), ("handshake_timeout", ALL));
    assert_eq!(report.connections.opened, 0);
}
