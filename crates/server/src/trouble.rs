//! What the kernel refuses a shard, said once in words that help.

use std::time::Duration;

use capacity::Limit;
use engine::{Time, Trouble};

/// How long a trouble is not said again; its repetitions are counted.
const QUIET: Duration = Duration::from_secs(60);

/// What a shard has said already.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Vec<Said>);

#[derive(Debug)]
struct Said {
    trouble: Trouble,
    at: Time,
    /// How often it came again since.
    again: u64,
}

impl Troubles {
    /// Says a trouble, or counts it when it was said a moment ago.
    pub(crate) fn handle(&mut self, trouble: Trouble, now: Time) {
        let again = match self.0.iter_mut().find(|said| said.trouble == trouble) {
            Some(said) if now.since(said.at) < QUIET => {
                said.again += 1;
                return;
            }
            Some(said) => {
                said.at = now;
                std::mem::take(&mut said.again)
            }
            None => {
                self.0.push(Said {
                    trouble,
                    at: now,
                    again: 0,
                });
                0
            }
        };
        say(trouble, again);
    }
}

fn say(trouble: Trouble, again: u64) {
    match trouble {
        Trouble::Accept(errno) => match Limit::behind(errno) {
            Some(limit) => tracing::warn!(
                limit = limit.name(),
                again,
                "cannot accept connections ({errno}): {} is used up; {}; accepting again in a moment",
                limit.name(),
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
            "connections dropped: this server holds as many as limits.connections_max allows, and \
             as many again are being refused",
        ),
        _ => tracing::warn!(again, "the kernel refuses something: {trouble:?}"),
    }
}
