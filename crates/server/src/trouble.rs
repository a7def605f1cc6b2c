//! What the kernel refuses a shard, said once in words that help.

use std::time::Duration;

use capacity::{Limit, Survey};
use engine::{Time, Trouble};

use crate::repetition::Repetitions;

/// What a node has said already. Shards meet the same limits at the same moment, and one of them is
/// enough to say so.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Repetitions<Trouble>);

impl Troubles {
    /// Says a trouble, or counts it when it was said a moment ago.
    pub(crate) fn handle(&self, trouble: Trouble, now: Time) {
        let now = Duration::from_nanos(now.as_nanos());
        if let Some(again) = self.0.note(trouble, now) {
            say(trouble, again);
        }
    }
}

fn say(trouble: Trouble, again: u64) {
    match trouble {
        Trouble::Accept(errno) => match Limit::behind(errno) {
            Some(limit) => tracing::warn!(
                limit = limit.name(),
                again,
                "cannot accept connections ({errno}): {} is used up{}; {}; accepting again in a moment",
                limit.name(),
                Survey::present(limit).map_or_else(String::new, |value| format!(" at {value}")),
                limit.remedy(),
            ),
            None => tracing::warn!(
                again,
                "cannot accept connections: {errno}; trying again in a moment"
            ),
        },
        Trouble::AcceptQueue { max } => tracing::warn!(
            limit = Limit::AcceptQueue.name(),
            max,
            again,
            "the accept queue is full at {max}: {}; {}",
            Limit::AcceptQueue.symptom(),
            Limit::AcceptQueue.remedy(),
        ),
        Trouble::Crowded => tracing::warn!(
            limit = Limit::ServerConnections.name(),
            again,
            "connections dropped unanswered: beside those that {} allows, no more can be refused or say \
             goodbye at once; to hold more, {}",
            Limit::ServerConnections.name(),
            Limit::ServerConnections.remedy(),
        ),
        _ => tracing::warn!(again, "the kernel refuses something: {trouble:?}"),
    }
}
