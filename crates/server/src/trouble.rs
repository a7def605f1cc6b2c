//! What the kernel refuses a shard, said once in words that help.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use capacity::{Limit, Survey};
use engine::{Time, Trouble};

/// How long a trouble is not said again; its repetitions are counted.
const QUIET: Duration = Duration::from_secs(60);

/// What a node has said already. Shards meet the same limits at the same moment, and one of them is
/// enough to say so; the lock is taken when the kernel refuses something, never for a message.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<Vec<Said>>);

#[derive(Debug)]
struct Said {
    trouble: Trouble,
    at: Time,
    /// How often it came again since.
    again: u64,
}

impl Troubles {
    /// Says a trouble, or counts it when it was said a moment ago.
    pub(crate) fn handle(&self, trouble: Trouble, now: Time) {
        if let Some(again) = self.note(trouble, now) {
            say(trouble, again);
        }
    }

    /// Returns how often a trouble came unsaid, if it is to be said now.
    fn note(&self, trouble: Trouble, now: Time) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|said| said.trouble == trouble) {
            Some(said) if now.since(said.at) < QUIET => {
                said.again += 1;
                None
            }
            Some(said) => {
                said.at = now;
                Some(std::mem::take(&mut said.again))
            }
            None => {
                all.push(Said {
                    trouble,
                    at: now,
                    again: 0,
                });
                Some(0)
            }
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
            limit = "connections_max",
            again,
            "connections dropped unanswered: beside those that limits.connections_max allows, no more can \
             be refused or say goodbye at once",
        ),
        _ => tracing::warn!(again, "the kernel refuses something: {trouble:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_said_once_a_minute_with_what_was_left_unsaid() {
        let troubles = Troubles::default();
        let at = |seconds: u64| Time::from_nanos(seconds * 1_000_000_000);
        assert_eq!(troubles.note(Trouble::Crowded, at(1)), Some(0));
        assert_eq!(troubles.note(Trouble::Crowded, at(2)), None);
        assert_eq!(
            troubles.note(Trouble::AcceptQueue { max: 9 }, at(2)),
            Some(0)
        );
        assert_eq!(troubles.note(Trouble::Crowded, at(60)), None);
        assert_eq!(troubles.note(Trouble::Crowded, at(61)), Some(2));
    }
}
