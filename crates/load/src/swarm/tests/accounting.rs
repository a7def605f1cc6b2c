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
