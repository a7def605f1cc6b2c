//! What is kept of a member.

use super::*;

#[test]
fn connections_that_a_machine_has_closed_were_ready_before() {
    let mut member = Member {
        name: "a:7070".to_owned(),
        commands: None,
        thread: None,
        capacity: Capacity::default(),
        share: 100,
        clock: None,
        standing: None,
        most_ready: 0,
        state: State::Present,
    };
    let standing = |ready, dropped| Snapshot {
        ready,
        away: 5,
        dropped,
        failed: 10,
        ..Snapshot::EMPTY
    };
    for now in [Some(standing(60, 5)), None, Some(standing(3, 6))] {
        member.hear(now);
    }
    assert_eq!(member.most_ready, 70);
    assert_eq!(member.standing, Some(standing(3, 6)));
}
