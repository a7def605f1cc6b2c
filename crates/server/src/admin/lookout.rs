//! Who asks the shards what they have most of, again and again, for the board.
//!
//! ```text
//!  shard 0   ask ─► answer          ask ─► answer       each shard has one question at a time
//!  shard 1   ask ──────────── late ─────► answer, ask   and what it says late is heard in the next round
//! ```
//!
//! A slice of the census is a question of its own, and the next is not asked before that is answered: between two
//! slices a shard does its other work.

use std::{sync::Arc, time::Duration};

use engine::ShardIndex;
use hub::Full;
use tokio::{
    sync::oneshot::{Receiver, error::TryRecvError},
    time::{Instant, timeout_at},
};

use crate::{
    census::Pass,
    control::Control,
    question::{Look, Question},
};

/// How long shards may take to answer; who takes longer is heard in a later round.
const PATIENCE: Duration = Duration::from_millis(500);

/// Who asks, and what has still to be answered.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    looks: Inquiry<Look>,
    slices: Inquiry<Option<Arc<Pass>>>,
    /// The last census of each shard.
    passes: Vec<Option<Arc<Pass>>>,
}

/// What shards have said since the last time.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) shards_count: usize,
    /// The topics most is sent to; of one shard in the order in which it said them.
    pub(crate) looks: Vec<(ShardIndex, Look)>,
    /// Whole censuses that were not known before.
    pub(crate) passes: Vec<(ShardIndex, Arc<Pass>)>,
}

/// A question that is put to every shard once in a round, unless it has still to answer the one before.
#[derive(Debug)]
struct Inquiry<T> {
    owed: Vec<Option<Receiver<T>>>,
}

impl Lookout {
    /// Asks every shard for its busiest topics, and for as many slices of its census, one after the other, until
    /// that is whole. Takes half a second at most.
    pub(crate) async fn look(&mut self, control: &Control, slices: u32) -> Seen {
        let count = control.shards_count();
        let began = Instant::now();
        let ask = |shard| control.ask(shard, Question::Look);
        // Each round has its share of the time, so that one late shard does not take it from the others.
        let share = PATIENCE / (slices + 1);
        let looks = self.looks.round(count, |_| true, ask, began + share).await;
        let mut seen = Seen {
            shards_count: count.into(),
            looks,
            passes: Vec::new(),
        };
        for round in 1..=slices {
            let ask = |shard| control.ask(shard, Question::Slice);
            let is_looking = |shard| seen.passes.iter().all(|(whole, _)| *whole != shard);
            let until = began + share * (round + 1);
            let said = self.slices.round(count, is_looking, ask, until).await;
            for (shard, pass) in said {
                self.keep(shard, pass, &mut seen);
            }
        }
        seen
    }

    /// Passes a census on that was not known.
    fn keep(&mut self, shard: ShardIndex, pass: Option<Arc<Pass>>, seen: &mut Seen) {
        self.passes.resize(seen.shards_count, None);
        let known = &mut self.passes[usize::from(shard.0)];
        let Some(pass) = pass else { return };
        if known
            .as_ref()
            .is_none_or(|known| !Arc::ptr_eq(known, &pass))
        {
            *known = Some(Arc::clone(&pass));
            seen.passes.push((shard, pass));
        }
    }
}

impl<T> Inquiry<T> {
    /// Asks those of the first `count` shards that are wanted and owe no answer, and returns what has come until
    /// then, that of earlier rounds included.
    async fn round(
        &mut self,
        count: u16,
        is_wanted: impl Fn(ShardIndex) -> bool,
        ask: impl Fn(ShardIndex) -> Result<Receiver<T>, Full>,
        until: Instant,
    ) -> Vec<(ShardIndex, T)> {
        self.owed.resize_with(count.into(), || None);
        let mut said = Vec::with_capacity(count.into());
        // All are asked before any is waited for.
        for (shard, owed) in (0..count).map(ShardIndex).zip(&mut self.owed) {
            match owed.as_mut().map(Receiver::try_recv) {
                Some(Err(TryRecvError::Empty)) => continue,
                Some(Ok(late)) => said.push((shard, late)),
                Some(Err(TryRecvError::Closed)) | None => {}
            }
            let may_ask = is_wanted(shard);
            *owed = may_ask.then(|| ask(shard).ok()).flatten();
        }
        for (shard, owed) in (0..count).map(ShardIndex).zip(&mut self.owed) {
            let Some(answer) = owed else { continue };
            // What has not come stays owed.
            let Ok(answer) = timeout_at(until, answer).await else {
                continue;
            };
            *owed = None;
            said.extend(answer.ok().map(|answer| (shard, answer)));
        }
        said
    }
}

impl<T> Default for Inquiry<T> {
    fn default() -> Self {
        Self { owed: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::{
        runtime::Builder,
        sync::oneshot::{Sender, channel},
    };

    use super::*;

    /// Shards that answer when they are told to.
    #[derive(Default)]
    struct Shards(RefCell<Vec<(ShardIndex, Sender<u32>)>>);

    impl Shards {
        fn ask(&self, shard: ShardIndex) -> Result<Receiver<u32>, Full> {
            let (reply, answer) = channel();
            // The third shard always answers at once.
            if shard == ShardIndex(2) {
                reply.send(2).expect("it is waited for");
            } else {
                self.0.borrow_mut().push((shard, reply));
            }
            Ok(answer)
        }

        fn asked(&self) -> Vec<u16> {
            self.0.borrow().iter().map(|(shard, _)| shard.0).collect()
        }

        fn answer(&self, what: u32) {
            let (_, reply) = self.0.borrow_mut().remove(0);
            reply.send(what).expect("it is waited for");
        }
    }

    #[test]
    fn who_is_late_is_heard_in_the_next_round_and_not_asked_twice() {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let shards = Shards::default();
            let mut inquiry = Inquiry::default();
            let mut round = async |count, is_wanted: fn(ShardIndex) -> bool| {
                let ask = |shard| shards.ask(shard);
                let said = inquiry.round(count, is_wanted, ask, Instant::now()).await;
                said.into_iter()
                    .map(|(shard, it)| (shard.0, it))
                    .collect::<Vec<_>>()
            };
            assert_eq!(round(3, |_| true).await, [(2, 2)]);
            assert_eq!(shards.asked(), [0, 1]);
            assert_eq!(round(3, |_| true).await, [(2, 2)], "two are late");
            assert_eq!(shards.asked(), [0, 1], "and not asked again");
            shards.answer(70);
            assert_eq!(
                round(3, |_| true).await,
                [(0, 70), (2, 2)],
                "late, and heard"
            );
            assert_eq!(shards.asked(), [1, 0], "and asked anew");
            shards.answer(71);
            let nobody = round(3, |_| false).await;
            assert_eq!(nobody, [(1, 71)], "who is not wanted is heard, too");
            assert_eq!(shards.asked(), [0]);
        });
    }

    #[test]
    fn who_has_ended_owes_nothing() {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let mut inquiry: Inquiry<u32> = Inquiry::default();
            let gone = |_| Ok(channel().1);
            let said = inquiry
                .round(2, |_| true, gone, Instant::now() + PATIENCE)
                .await;
            assert!(said.is_empty() && inquiry.owed.iter().all(Option::is_none));
            let full = |_| Err(Full);
            let said = inquiry
                .round(2, |_| true, full, Instant::now() + PATIENCE)
                .await;
            assert!(said.is_empty() && inquiry.owed.iter().all(Option::is_none));
        });
    }
}
