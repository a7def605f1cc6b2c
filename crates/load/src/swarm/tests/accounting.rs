//! Whose message it was: what is charged to whom when the server or a connection fails.

use super::*;

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
