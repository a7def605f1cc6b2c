//! The crowd keeps its pace when it is late itself, and does not blame the server for it.

use proto::ws::CloseCode;

use super::*;
use crate::{Backoff, Snapshot};

fn heartbeats_only(period: Duration) -> Options {
    let mut options = options();
    options.publish = None;
    options.hold = Duration::from_secs(60);
    options.heartbeat = Some(period);
    options
}

#[test]
fn a_crowd_that_stood_still_gives_nobody_up() {
    let options = heartbeats_only(Duration::from_secs(1));
    let mut rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options);
    rehearsal.open();
    rehearsal.order(Order::Hold);
    rehearsal.pass(Duration::from_millis(2_500), |_| false);
    rehearsal.stand_still(Duration::from_secs(3));
    rehearsal.pass(Duration::from_secs(5), |_| false);
    let report = rehearsal.close();
    assert_eq!(report.connections.held, ALL, "{report}");
    // Seven and a half seconds of heartbeats, less one for the rest after the standstill.
    let sent = report.heartbeats.sent;
    assert!((6 * ALL..=8 * ALL).contains(&sent), "{report}");
    assert_eq!(report.heartbeats.answered, sent);
}

#[test]
fn heartbeats_faster_than_the_looks_give_nobody_up() {
    let mut options = heartbeats_only(Duration::from_millis(5));
    options.hold = Duration::from_secs(1);
    let report = Rehearsal::new(7, Faults::default(), Manners::default(), options).perform();
    assert!(report.held, "{report}");
    assert!(report.heartbeats.sent >= 100 * ALL, "{report}");
}

const FEW: u64 = 6;

/// Six clients that push at `rate` for `hold` and do nothing else, each in a topic of its own.
fn pushes_only(rate: &str, hold: Duration) -> Options {
    let mut options = options();
    options.connections = FEW as u32;
    options.topics = FEW as u32;
    options.join = Some("room:{}".parse().expect("a pattern"));
    options.publish = None;
    options.heartbeat = None;
    options.push = Some(Push::Paced(rate.parse().expect("a rate")));
    options.hold = hold;
    options
}

#[test]
fn a_push_that_is_due_leaves_with_the_answer_to_the_last() {
    // Four intervals pass between any two looks, and every push is answered at once.
    let options = pushes_only("1000/s", Duration::from_secs(1));
    let mut rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options);
    rehearsal.open();
    rehearsal.order(Order::Hold);
    for _ in 0..300 {
        rehearsal.stand_still(Duration::from_millis(4));
        rehearsal.pass(Duration::ZERO, |_| false);
    }
    rehearsal.hold_on();
    let report = rehearsal.close();
    assert!(report.held, "{report}");
    assert_eq!(report.pushes.asked, 1_000 * FEW);
    assert_eq!(report.pushes.sent, 1_000 * FEW);
}

#[test]
fn a_crowd_that_missed_its_pushes_counts_them_and_ends() {
    let options = pushes_only("1000/s", Duration::from_secs(30));
    let mut rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options);
    rehearsal.open();
    rehearsal.order(Order::Hold);
    rehearsal.stand_still(Duration::from_secs(29));
    rehearsal.hold_on();
    let report = rehearsal.close();
    let pushes = report.pushes;
    assert_eq!(pushes.asked, 30_000 * FEW);
    assert_eq!(pushes.sent + pushes.skipped, pushes.asked, "{report}");
    // What lies more than 50 ms back when the crowd wakes is skipped, the rest is sent.
    assert_eq!(pushes.sent / FEW, 1_050, "{report}");
    assert!(report.shortfalls[0].starts_with("pushes not sent in time: "));
}

#[test]
fn a_push_that_the_hold_leaves_behind_is_not_forgotten() {
    let manners = Manners {
        ignores_pushes: true,
        ..Manners::default()
    };
    // Each client pushes once and waits for the answer until the hold is over.
    let mut options = pushes_only("10/s", Duration::from_millis(200));
    options.settle_timeout = Duration::from_millis(100);
    let report = Rehearsal::new(7, Faults::default(), manners, options).perform();
    assert_eq!(report.pushes.asked, 2 * FEW);
    assert_eq!((report.pushes.sent, report.pushes.skipped), (FEW, FEW));
    assert_eq!(
        report.shortfalls,
        ["pushes not answered: 6", "pushes not sent in time: 6 of 12"]
    );
    assert_eq!(report.pushes_answered_per_second, 0);
}

/// The first wait of a client that comes back, and as much again.
const BACK: Duration = Duration::from_millis(20);

#[test]
fn who_is_back_in_a_slot_of_its_own_pushes_on() {
    let mut options = pushes_only("10/s", Duration::from_secs(2));
    options.reconnect = Some(Backoff::Phoenix);
    let mut rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options);
    rehearsal.open();
    rehearsal.order(Order::Hold);
    rehearsal.pass(Duration::from_millis(500), |_| false);
    rehearsal.close_one(CloseCode::SERVICE_RESTART, BACK);
    rehearsal.hold_on();
    let report = rehearsal.close();
    assert!(report.held, "{report}");
    assert_eq!(report.returns.back, 1);
    // Who is away for 20 ms misses one turn at most, and one more by coming back in between.
    assert!(report.pushes.sent >= 20 * FEW - 2, "{report}");
}

#[test]
fn who_is_back_in_a_slot_of_its_own_has_one_push_on_its_way() {
    let manners = Manners {
        ignores_pushes: true,
        ..Manners::default()
    };
    let mut options = pushes_only("10/s", Duration::from_secs(2));
    options.push = Some(Push::Max);
    options.reconnect = Some(Backoff::Phoenix);
    let mut rehearsal = Rehearsal::new(7, Faults::default(), manners, options);
    rehearsal.open();
    rehearsal.order(Order::Hold);
    rehearsal.pass(Duration::from_millis(500), |_| false);
    rehearsal.close_one(CloseCode::SERVICE_RESTART, BACK);
    rehearsal.hold_on();
    let report = rehearsal.close();
    assert_eq!(report.returns.back, 1, "{report}");
    // One of each before and one of who is back.
    assert_eq!(report.pushes.sent, FEW + 1, "{report}");
}

#[test]
fn who_stays_away_leaves_pushes_unsent_though_others_come_back() {
    let mut options = pushes_only("10/s", Duration::from_secs(2));
    options.reconnect = Some(Backoff::Phoenix);
    let mut rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options);
    rehearsal.open();
    rehearsal.order(Order::Hold);
    rehearsal.pass(Duration::from_millis(950), |_| false);
    // On this code no client of Phoenix comes back.
    rehearsal.close_one(CloseCode::NORMAL, BACK);
    rehearsal.hold_on();
    let report = rehearsal.close();
    assert_eq!(report.connections.dropped, 1, "{report}");
    assert_eq!(report.pushes.asked, 20 * FEW);
    assert_eq!(report.pushes.sent, 20 * FEW - 10, "{report}");
    assert_eq!(
        report.shortfalls,
        ["connections dropped: 1", "pushes not sent: 10 of 120"]
    );
}

#[test]
fn a_client_that_is_gone_leaves_pushes_unsent() {
    let options = pushes_only("10/s", Duration::from_secs(2));
    let mut rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options);
    rehearsal.open();
    rehearsal.order(Order::Hold);
    rehearsal.pass(Duration::from_secs(1), |_| false);
    let report = rehearsal.close();
    let pushes = report.pushes;
    assert_eq!(pushes.asked, 20 * FEW);
    assert!((10 * FEW..=11 * FEW).contains(&pushes.sent), "{report}");
    assert_eq!(
        report.shortfalls,
        [format!(
            "pushes not sent: {} of {}",
            capacity::Grouped(pushes.asked - pushes.sent),
            capacity::Grouped(pushes.asked)
        )]
    );
}

#[test]
fn handshakes_unfinished_are_limited_over_all_shards() {
    // Sixty joins that take a second each, so many at a time.
    for concurrency in [2, 3, 5] {
        let mut options = options();
        options.concurrency = concurrency;
        options.rate = "1000000/s".parse().expect("a rate");
        options.join_timeout = Duration::from_secs(1);
        let manners = Manners {
            join: Join::Unanswered,
            ..Manners::default()
        };
        let mut rehearsal = Rehearsal::new(1, Faults::default(), manners, options);
        rehearsal.open();
        let taken = rehearsal.net.now().since(Time::ZERO);
        let least = Duration::from_secs(ALL / u64::from(concurrency));
        assert!(taken >= least, "{concurrency}: {taken:?}");
        assert_eq!(rehearsal.close().connections.not_opened, ALL);
    }
}

#[test]
fn a_shard_opens_nothing_before_its_turn() {
    let (faults, manners) = (Faults::default(), Manners::default());
    let mut rehearsal = Rehearsal::in_turns(3, faults, manners, options(), 1);
    rehearsal.order(Order::Open);
    let minute = Duration::from_secs(60);
    let half = |crowd: &Snapshot| crowd.ready == ALL / 2;
    assert!(rehearsal.pass(minute, half));
    let more = |crowd: &Snapshot| crowd.open > ALL / 2;
    assert!(!rehearsal.pass(minute, more), "nobody has told the second");
    rehearsal.order_one(1, Order::Turn);
    assert!(rehearsal.pass(minute, |crowd| crowd.ready == ALL && crowd.unsettled == 0));
}

#[test]
fn a_hold_overruns_by_the_settle_timeout_at_most() {
    let mut options = options();
    options.publish = Some("1000/s".parse().expect("a rate"));
    options.settle_timeout = Duration::from_secs(1);
    let mut rehearsal = Rehearsal::new(7, Faults::default(), Manners::default(), options);
    rehearsal.open();
    rehearsal.order(Order::Hold);
    // A second of hold and a second to catch up are over before anything was sent.
    rehearsal.stand_still(Duration::from_secs(3));
    rehearsal.hold_on();
    let report = rehearsal.close();
    // One tick's worth left before the look at the time.
    assert_eq!((report.publishes.asked, report.publishes.sent), (1_000, 64));
    assert_eq!(
        report.shortfalls,
        ["publishes not sent: 936 of 1,000 (no member left on the publisher's thread, or no time)"]
    );
}
