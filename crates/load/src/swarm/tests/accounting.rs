//! Whose message it was: what is charged to whom when the server or a connection fails.

use proto::ws::CloseCode;

use super::*;
use crate::Backoff;

/// Raw clients that push five times within a second, at a server that relays everything.
fn relayed_pushes(to_others: bool) -> Report {
    let manners = Manners {
        relays: true,
        to_others,
        ..Manners::default()
    };
    perform(manners, |options| {
        (options.dialect, options.join) = (Dialect::Raw, None);
        options.target = "ws://10.0.0.1:4000/relay".parse().expect("a URL");
        options.publish = None;
        options.push = Some(Push::Paced("5/s".parse().expect("a rate")));
    })
}

#[test]
fn raw_pushes_are_answered_by_ones_own_alone() {
    let report = relayed_pushes(false);
    assert!(report.held, "{report}");
    assert_eq!(report.pushes.answered, 5 * ALL);

    let report = relayed_pushes(true);
    assert!(report.pushes.sent >= ALL, "{report}");
    assert_eq!(report.pushes.answered, 0, "{report}");
}

#[test]
fn what_ended_with_its_publisher_is_lost_by_nobody() {
    let manners = Manners {
        third: Third::Orphaned,
        ..Manners::default()
    };
    let report = perform(manners, |_| ());
    let got = report.deliveries;
    assert_eq!(report.publishes.sent, 10);
    // Everybody misses the third; to the publisher itself it was dropped in any case.
    assert_eq!((got.undelivered, got.dropped), (ALL - 1, ALL), "{report}");
    assert_eq!(got.received, 2 * ALL + 7 * (ALL - 1));
    assert_eq!(report.shortfalls, ["connections dropped: 1"]);

    // A delivery that is lost otherwise is still lost, though its publisher ends later.
    let manners = Manners {
        third: Third::Lost,
        ..Manners::default()
    };
    let report = perform(manners, |_| ());
    assert_eq!(
        (report.deliveries.undelivered, report.deliveries.lost),
        (0, 1)
    );
}

/// When a crowd loses its connections, as many topics lose their publishers.
#[test]
fn all_topics_without_a_publisher_find_another_at_once() {
    let mut options = options();
    options.topics = 20;
    options.join = Some("room:{}".parse().expect("a pattern"));
    let mut rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options);
    rehearsal.open();
    rehearsal.order(Order::Hold);
    for shard in &mut rehearsal.crowd {
        shard.with_app(|swarm, _| {
            let publishers = swarm.publishers.as_mut().expect("they publish");
            let first: Vec<_> = publishers.iter_mut().filter_map(|one| one.client).collect();
            assert_eq!(first.len(), 10);
            for &index in &first {
                swarm.dismiss_publisher(index);
            }
            assert_eq!(swarm.publisher_at(3), Some(first[3]));
            let publishers = swarm.publishers.as_mut().expect("they publish");
            assert!(publishers.iter_mut().all(|one| one.client.is_some()));
        });
    }
    rehearsal.hold_on();
    assert!(rehearsal.close().held);
}

#[test]
fn who_is_back_publishes_to_a_topic_that_nobody_was_left_in() {
    let mut options = options();
    options.connections = 6;
    options.topics = 6;
    options.join = Some("room:{}".parse().expect("a pattern"));
    options.reconnect = Some(Backoff::Phoenix);
    let mut rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options);
    rehearsal.open();
    rehearsal.order(Order::Hold);
    rehearsal.pass(Duration::from_millis(50), |_| false);
    // Everybody is alone in a topic, and misses one of its ten publishes.
    let pause = Duration::from_millis(100);
    rehearsal.close_one(CloseCode::SERVICE_RESTART, pause);
    rehearsal.hold_on();
    let report = rehearsal.close();
    assert_eq!(report.returns.back, 1, "{report}");
    let publishes = report.publishes;
    assert_eq!((publishes.asked, publishes.sent), (60, 59), "{report}");
}

#[test]
fn what_is_left_out_of_a_latency_is_said() {
    let mut options = options();
    options.hold = Duration::from_secs(60);
    let rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options);
    // As if so many had been published already.
    for _ in 0..(1 << 20) - 100 {
        rehearsal.plan.sent.announce(0);
    }
    let report = rehearsal.perform();
    assert!(report.held, "{report}");
    assert_eq!(report.publishes.unfollowed, 500, "{report}");
    assert_eq!(report.latency.last_delivery.count, 100);
    let text = report.to_string();
    assert!(
        text.contains("\n            500 not followed to their last delivery\n"),
        "{text}"
    );
}

#[test]
fn what_a_pulse_takes_out_is_in_the_results_again() {
    let mut rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options());
    rehearsal.open();
    rehearsal.order(Order::Pulse);
    rehearsal.hold();
    let report = rehearsal.close();
    assert!(report.held, "{report}");
    assert_eq!(report.latency.join.count, ALL);
    assert_eq!(report.latency.delivery.count, 10 * ALL);
}
