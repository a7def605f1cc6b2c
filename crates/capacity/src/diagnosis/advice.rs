//! Switches that have no number: which position helps, and which hurts.

use super::{Finding, Verdict};
use crate::{Change, Demand, Limit, plan::Program, survey::Reading, tuples::PORTS};

/// What a switch does for `demand`; `None` for a limit that is a number.
pub(super) fn finding(limit: Limit, reading: &Reading, demand: &Demand) -> Option<Finding> {
    let fourtuple = demand.program == Program::Fourtuple;
    let value = reading.value;
    // What is set for safety, or by who owns the machine, is for them to change.
    let (slows, why, to): (_, _, Option<&str>) = match limit {
        Limit::UnprivilegedPorts => (
            fourtuple && value > u64::from(*PORTS.start()),
            "a crowd binds ports from 1,024 on by itself",
            None,
        ),
        Limit::SynCookies => (
            value == 0,
            "with 0, handshakes beyond the queue are dropped",
            Some("1"),
        ),
        Limit::AbortOnOverflow => (
            value != 0,
            "with 1, a full accept queue resets its clients instead of letting them try again",
            Some("0"),
        ),
        Limit::ReversePathFilter => (
            value == 1 && demand.sources.is_some_and(|sources| sources > 1),
            "with 1, packets of addresses on another interface are dropped in silence",
            None,
        ),
        Limit::Overcommit => (
            value == 2,
            "with 2, memory that is reserved counts as used",
            None,
        ),
        Limit::IoUring if fourtuple => (
            value == 2,
            "with 2 nobody may use it, and fourtuple runs on epoll",
            None,
        ),
        Limit::HugePages => (
            value == 1,
            "with always, memory comes in steps of 2 MiB",
            None,
        ),
        _ => return None,
    };
    let to = to.filter(|_| slows);
    let change = to.map(|to| Change {
        limit,
        from: reading.text.clone(),
        to: to.to_owned(),
    });
    Some(Finding {
        limit,
        reading: Ok(reading.clone()),
        need: None,
        verdict: if slows { Verdict::Slows } else { Verdict::Fits },
        why: why.to_owned(),
        change,
        enough_for: None,
    })
}
