//! What all shards of a node have counted, read at one moment.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use engine::{Distribution, ShardIndex, Snapshot};
use tokio::time::timeout;

use crate::{
    control::Control,
    question::{Facts, Question},
};

/// How long shards may take to answer; who takes longer is shown as it was before.
const PATIENCE: Duration = Duration::from_millis(500);

/// The counts of a node.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) at: SystemTime,
    pub(crate) taken: Instant,
    pub(crate) shards: Vec<ShardReading>,
}

/// The counts of one shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardReading {
    pub(crate) engine: Snapshot,
    /// Microseconds from accept to an open WebSocket.
    pub(crate) handshakes: Distribution,
    /// Bytes left in an outbox each time its socket took nothing more.
    pub(crate) outboxes: Distribution,
    /// Mail that waits for it.
    pub(crate) waiting_count: usize,
    /// Its own words; older than the rest when it has not answered in time.
    pub(crate) facts: Arc<Facts>,
    /// When the question was asked that it answered last, or when it was first asked.
    answered: Instant,
    /// How long ago that was, if it has not answered this time; else zero.
    pub(crate) late: Duration,
}

impl Reading {
    /// Reads all shards. Those that do not answer in time keep the facts of an earlier reading.
    pub(crate) async fn take(control: &Control, earlier: Option<&Self>) -> Self {
        let asked = Instant::now();
        // All are asked before any is waited for.
        let answers: Vec<_> = control
            .shards()
            .map(|shard| control.ask(shard, |reply| Question::Facts(asked, reply)))
            .collect();
        let mut shards = Vec::with_capacity(answers.len());
        for (shard, answer) in control.shards().zip(answers) {
            let left = PATIENCE.saturating_sub(asked.elapsed());
            let facts = match answer {
                Ok(answer) => timeout(left, answer).await.ok().and_then(Result::ok),
                Err(hub::Full) => None,
            };
            let before = earlier.and_then(|reading| reading.shards.get(usize::from(shard.0)));
            shards.push(ShardReading::new(control, shard, facts, before, asked));
        }
        Self {
            at: SystemTime::now(),
            taken: asked,
            shards,
        }
    }

    /// The sum of a count over all shards.
    pub(crate) fn sum(&self, count: impl Fn(&ShardReading) -> u64) -> u64 {
        self.shards.iter().map(count).sum()
    }

    /// A histogram over all shards.
    pub(crate) fn total(&self, of: impl Fn(&ShardReading) -> &Distribution) -> Distribution {
        let add = |sum: Distribution, shard| sum.plus(of(shard));
        self.shards.iter().fold(Distribution::default(), add)
    }
}

impl ShardReading {
    fn new(
        control: &Control,
        shard: ShardIndex,
        facts: Option<Facts>,
        before: Option<&Self>,
        asked: Instant,
    ) -> Self {
        let counters = control.counters(shard);
        let answered = match (&facts, before) {
            (None, Some(before)) => before.answered,
            _ => asked,
        };
        let late = match &facts {
            Some(_) => Duration::ZERO,
            None => answered.elapsed(),
        };
        let known = || before.map(|before| Arc::clone(&before.facts));
        let facts = facts.map(Arc::new).or_else(known);
        Self {
            engine: counters.snapshot(),
            handshakes: counters.handshakes.distribution(),
            outboxes: counters.outboxes.distribution(),
            waiting_count: control.waiting_count(shard),
            facts: facts.unwrap_or_default(),
            answered,
            late,
        }
    }
}
