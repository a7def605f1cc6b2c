//! The kernel's own counters. All tests of a machine move them, so they have at least what is done
//! here.

use capacity::sockets::{Counter, Counters, SockStat};

use crate::loopback::{assert_eventually, at, dial, dial_and_leave, listener, listeners, local};

#[test]
fn connections_are_counted_when_they_open() {
    let before = Counters::read();
    let listener = listener("127.0.0.1:0", 20);
    let server = local(&listener);
    let _streams: Vec<_> = (0..10)
        .map(|_| {
            let client = dial([127, 0, 0, 1], server);
            (client, listener.accept().expect("a client"))
        })
        .collect();
    let after = Counters::read();
    for counter in [Counter::ActiveOpens, Counter::PassiveOpens] {
        let value = |counters: &Counters| counters.value(counter).expect("Linux counts it");
        assert!(value(&after) >= value(&before) + 10, "{counter:?}");
    }
    assert!(after.value(Counter::CurrEstab) >= Some(20));

    let stat = SockStat::read();
    assert!(stat.inuse_count >= Some(21));
    assert!(stat.alloc_count >= Some(21));
}

#[test]
fn an_overflow_of_an_accept_queue_is_counted() {
    let listener = listener("127.0.0.1:0", 0);
    let server = local(&listener);
    let _waits = dial([127, 0, 0, 1], server);
    assert_eventually(&at(server), |tally| {
        listeners(tally, server)[0].accept_queue == 1
    });
    let before = Counters::read();
    let _overflows = dial_and_leave(server);
    let after = Counters::read();
    for counter in [Counter::ListenOverflows, Counter::ListenDrops] {
        assert!(after.value(counter) > before.value(counter), "{counter:?}");
    }
}
