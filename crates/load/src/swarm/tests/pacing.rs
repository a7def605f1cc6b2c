//! The crowd keeps its pace when it is late itself, and does not blame the server for it.

use super::*;

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
