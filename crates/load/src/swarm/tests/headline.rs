//! Broadcasts to everybody, connections that are dropped, and clients that come back.

use super::*;
use crate::{Backoff, client::Client, options::OptionsError};

/// Sixty quiet clients in one topic.
fn quiet() -> Options {
    let mut options = options();
    options.publish = None;
    options.broadcasts = 3;
    options
}

fn rehearse(options: Options, manners: Manners) -> Rehearsal {
    Rehearsal::new(7, Faults::default(), manners, options)
}

#[test]
fn broadcasts_go_one_after_the_other_and_each_is_counted() {
    for (topics, audience, received) in [
        (1, Audience::All, ALL),
        (20, Audience::All, ALL),
        (1, Audience::Others, ALL - 1),
    ] {
        let mut options = quiet();
        options.topics = topics;
        options.audience = Some(audience);
        options.join = Some("room:{}".parse().expect("a pattern"));
        let manners = Manners {
            to_others: audience == Audience::Others,
            ..Manners::default()
        };
        let mut rehearsal = Rehearsal::new(7, Faults::SLOW, manners, options);
        rehearsal.open();
        rehearsal.hold();
        for number in 1..=3 {
            let one = rehearsal.broadcast();
            assert_eq!((one.number, one.sent), (number, topics.into()), "{one:?}");
            assert_eq!((one.received, one.lost), (received, 0), "{one:?}");
            assert!(one.first_us <= one.median_us && one.median_us <= one.last_us);
        }
        let report = rehearsal.close();
        assert!(report.held, "{report}");
        assert_eq!(
            (report.publishes.asked, report.publishes.sent),
            (3 * u64::from(topics), 3 * u64::from(topics))
        );
        assert_eq!(report.deliveries.received, 3 * received);
        assert_eq!(report.broadcasts.len(), 3);
    }
}

/// A shard may have all of a broadcast before it is told that there is one.
#[test]
fn deliveries_that_come_before_the_order_are_of_the_same_broadcast() {
    let mut rehearsal = rehearse(quiet(), Manners::default());
    rehearsal.open();
    rehearsal.hold();
    for _ in 1..=3 {
        let one = rehearsal.broadcast_unevenly();
        assert_eq!((one.received, one.lost), (ALL, 0), "{one:?}");
    }
    assert!(rehearsal.close().held);
}

#[test]
fn what_is_wrong_with_one_broadcast_is_told_of_that_one() {
    for (third, lost, duplicated, dropped) in [
        (Third::Lost, 1, 0, 0),
        (Third::Twice, 0, 1, 0),
        (Third::Closed, 0, 0, 1),
    ] {
        let manners = Manners {
            third,
            ..Manners::default()
        };
        let mut rehearsal = rehearse(quiet(), manners);
        rehearsal.open();
        rehearsal.hold();
        for number in 1..=3 {
            let one = rehearsal.broadcast();
            let is_third = u64::from(number == 3);
            assert_eq!(one.lost, is_third * lost, "{third:?}: {one:?}");
            assert_eq!(one.duplicated, is_third * duplicated, "{third:?}: {one:?}");
            assert_eq!(one.dropped, is_third * dropped, "{third:?}: {one:?}");
        }
        assert!(!rehearsal.close().held);
    }
}

#[test]
fn what_was_lost_of_one_broadcast_does_not_hold_up_the_next() {
    let manners = Manners {
        third: Third::Lost,
        ..Manners::default()
    };
    let mut options = quiet();
    options.broadcasts = 5;
    let mut rehearsal = rehearse(options, manners);
    rehearsal.open();
    rehearsal.hold();
    for number in 1..=5 {
        let begun = rehearsal.net.now();
        let one = rehearsal.broadcast();
        let taken = rehearsal.net.now().since(begun);
        let is_third = number == 3;
        assert_eq!(one.lost, u64::from(is_third), "{one:?}");
        assert_eq!(
            taken > Duration::from_secs(1),
            is_third,
            "{one:?}: {taken:?}"
        );
    }
    assert_eq!(rehearsal.close().deliveries.lost, 1);
}

#[test]
fn a_broadcast_that_skips_a_topic_does_not_lose_its_last_one_again() {
    // Two members in each of three topics, on a shard each. The third publish ends with its publisher.
    let manners = Manners {
        third: Third::Orphaned,
        ..Manners::default()
    };
    let mut options = quiet();
    (options.connections, options.topics) = (6, 3);
    options.join = Some("room:{}".parse().expect("a pattern"));
    let mut rehearsal = rehearse(options, manners);
    rehearsal.open();
    rehearsal.hold();
    let first = rehearsal.broadcast();
    assert_eq!((first.sent, first.lost, first.dropped), (3, 1, 1));
    let begun = rehearsal.net.now();
    let second = rehearsal.broadcast();
    assert_eq!((second.sent, second.lost, second.received), (2, 0, 4));
    let taken = rehearsal.net.now().since(begun);
    assert!(taken < Duration::from_secs(1), "{taken:?}");
    rehearsal.close();
}

#[test]
fn a_share_is_dropped_on_all_shards_and_comes_back() {
    let mut options = quiet();
    options.drop = Some("30%".parse().expect("a share"));
    let mut rehearsal = rehearse(options, Manners::default());
    rehearsal.open();
    rehearsal.hold();
    rehearsal.broadcast();
    assert!(rehearsal.drop_share(), "all come back");
    // Those that are back are members like all others.
    assert_eq!(rehearsal.broadcast().received, ALL);
    rehearsal.broadcast();
    let report = rehearsal.close();
    assert!(report.held, "{report}");
    assert_eq!((report.drop.asked, report.drop.dropped), (18, 18));
    assert_eq!((report.drop.back, report.drop.attempts), (18, 18));
    assert_eq!((report.returns.back, report.returns.disconnected), (18, 0));
    assert_eq!(report.latency.back.count, 18);
    // The first wait of phoenix.js.
    assert!(report.latency.back.p50_us >= 10_000, "{report}");
    assert_eq!(report.connections.opened, ALL, "counted once: {report}");
}

/// After a hold the shards settle by themselves, and the drop must not be taken to be over.
#[test]
fn a_share_that_is_dropped_right_after_the_hold_is_waited_for() {
    let mut options = quiet();
    options.broadcasts = 0;
    options.drop = Some("30%".parse().expect("a share"));
    let mut rehearsal = rehearse(options, Manners::default());
    rehearsal.open();
    rehearsal.hold();
    assert!(rehearsal.drop_share(), "all come back");
    let report = rehearsal.close();
    assert!(report.held, "{report}");
    assert_eq!((report.drop.dropped, report.drop.back), (18, 18));
}

#[test]
fn who_is_closed_comes_back_only_if_that_was_asked() {
    for reconnect in [None, Some(Backoff::Phoenix), Some(Backoff::Jitter)] {
        let report = perform(
            Manners {
                third: Third::Closed,
                ..Manners::default()
            },
            |options| options.reconnect = reconnect,
        );
        let is_back = u64::from(reconnect.is_some());
        assert_eq!(report.held, reconnect.is_some(), "{report}");
        assert_eq!(report.returns.disconnected, is_back);
        assert_eq!(report.returns.back, is_back);
        assert_eq!(report.connections.dropped, 1 - is_back);
        assert_eq!(report.deliveries.lost, 0);
        assert!(report.deliveries.dropped > 0, "{report}");
    }
}

#[test]
fn who_cannot_come_back_tries_less_and_less_often_and_is_dropped_at_the_end() {
    let mut options = quiet();
    options.broadcasts = 0;
    options.reconnect = Some(Backoff::Phoenix);
    options.hold = Duration::from_secs(60);
    let mut rehearsal = rehearse(options, Manners::default());
    rehearsal.open();
    rehearsal.order(Order::Hold);
    rehearsal.shut_down();
    rehearsal.pass(Duration::from_secs(30), |_| false);
    let report = rehearsal.close();
    assert_eq!(report.returns.disconnected, ALL, "{report}");
    assert_eq!(report.returns.back, 0);
    assert_eq!(only(&report.dropped), ("not_back", ALL));
    // 10, 50, 100, 150, 200, 250, 500, 1000, 2000 ms and then 5 s: 14 tries in 30 s.
    let tries = report.returns.attempts / ALL;
    assert!((12..=14).contains(&tries), "{report}");
    assert!(!report.held);
}

/// However rough the network is, whoever was up is back or named as not back, and each client ends in
/// exactly one drawer (`Rehearsal::close` checks it).
#[test]
fn rough_networks_are_outlived() {
    let mut returned = 0;
    for seed in 0..40 {
        let mut options = options();
        options.hold = Duration::from_secs(3);
        options.join_timeout = Duration::from_secs(2);
        // A push is a message to each of the others, so they are few.
        options.connections = 20;
        options.push = Some(Push::Paced("1/s".parse().expect("a rate")));
        options.reconnect = Some(if seed % 2 == 0 {
            Backoff::Phoenix
        } else {
            Backoff::Jitter
        });
        let report = Rehearsal::new(seed, Faults::ROUGH, Manners::default(), options).perform();
        let not_back = report.dropped.iter().map(|one| one.count).sum::<u64>();
        assert_eq!(
            report.returns.back + not_back,
            report.returns.disconnected,
            "seed {seed}: {report}"
        );
        assert_eq!(report.latency.back.count, report.returns.back);
        returned += report.returns.back;
    }
    assert!(returned > 0, "nobody was ever disconnected");
}

#[test]
fn a_client_costs_what_the_ledger_says() {
    assert_eq!(size_of::<Client>(), crate::CLIENT_BYTES);
}

#[test]
fn broadcasts_exclude_publishes() {
    let mut options = quiet();
    options.publish = Some("1/s".parse().expect("a rate"));
    assert!(matches!(
        options.check(),
        Err(OptionsError::Contradiction(_))
    ));
}
