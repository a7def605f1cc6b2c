//! A walk through the tables of all shards, a page at a time. A request asks a bounded number of questions,
//! each of which costs its shard a bounded piece of work; where it stops, its cursor says how to go on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use engine::ShardIndex;
use tokio::{
    sync::oneshot::Receiver,
    time::{Instant, timeout, timeout_at},
};

use super::{super::problem::Problem, cursor::Cursor};
use crate::{
    control::{Conn, Control},
    question::{Brief, Page, Pattern, Question, Reply, Search},
};

/// How long a shard may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// After so long no further question is asked, whatever is left: the page is as long as it has become.
const WALK_MAX: Duration = Duration::from_secs(8);
/// Questions of a request that look through places of a table, 16,384 at a time.
const SCANS_MAX: u32 = 32;
/// Questions of a request that find by name.
const FINDS_MAX: u32 = 128;

/// What a request has found.
#[derive(Debug)]
pub(crate) struct Found<T> {
    pub(crate) items: Vec<(ShardIndex, T)>,
    /// Where the next page begins; none after the last.
    pub(crate) next: Option<Cursor>,
}

/// The members of a topic, by shard.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Members {
    pub(crate) count: usize,
    /// The lowest shard that has any.
    pub(crate) first: Option<ShardIndex>,
}

/// Asks a shard and waits for its answer.
///
/// # Errors
///
/// Its mailbox is full, or it does not answer in time.
pub(crate) async fn ask<T>(
    control: &Control,
    shard: ShardIndex,
    question: impl FnOnce(Reply<T>) -> Question,
) -> Result<T, Problem> {
    let answer = control.ask(shard, question);
    let answer = answer.map_err(|hub::Full| Problem::busy(shard.0))?;
    wait(shard, answer).await
}

async fn wait<T>(shard: ShardIndex, answer: Receiver<T>) -> Result<T, Problem> {
    let answer = timeout(PATIENCE, answer).await.ok();
    answer
        .and_then(Result::ok)
        .ok_or_else(|| Problem::busy(shard.0))
}

/// A page of the connections that a search finds.
///
/// # Errors
///
/// A shard is too busy.
pub(crate) async fn conns(
    control: &Control,
    search: &Search,
    from: Cursor,
    limit: usize,
) -> Result<Found<Brief>, Problem> {
    let shards = shards_of(control, search);
    let questions_max = match search {
        Search::All | Search::Address(..) => SCANS_MAX,
        Search::Conn(_) | Search::SocketId(_) | Search::Topic(_) => FINDS_MAX,
    };
    let question = |place, max, reply| Question::Conns(search.clone(), place, max, reply);
    walk(control, &shards, from, limit, questions_max, question).await
}

/// A page of the topics that match, each once on every shard that has members of it.
///
/// # Errors
///
/// A shard is too busy.
pub(crate) async fn topics(
    control: &Control,
    pattern: &Pattern,
    from: Cursor,
    limit: usize,
) -> Result<Found<(String, usize)>, Problem> {
    let shards: Vec<_> = control.shards().collect();
    let question = |place, max, reply| Question::Topics(pattern.clone(), place, max, reply);
    walk(control, &shards, from, limit, SCANS_MAX, question).await
}

/// How many members topics have now, in their order: one question to each shard that may have any.
///
/// # Errors
///
/// A shard is too busy.
pub(crate) async fn members(
    control: &Control,
    topics: &[Arc<str>],
) -> Result<Vec<Members>, Problem> {
    let mut asked: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (index, topic) in topics.iter().enumerate() {
        for shard in control.interested(topic) {
            asked.entry(shard.0).or_default().push(index);
        }
    }
    // All are asked before any is waited for.
    let mut answers = Vec::with_capacity(asked.len());
    for (shard, indexes) in asked {
        let names = indexes.iter().map(|index| Arc::clone(&topics[*index]));
        let names = names.collect();
        let answer = control.ask(ShardIndex(shard), |reply| Question::Members(names, reply));
        let answer = answer.map_err(|hub::Full| Problem::busy(shard))?;
        answers.push((ShardIndex(shard), indexes, answer));
    }
    let mut members = vec![Members::default(); topics.len()];
    for (shard, indexes, answer) in answers {
        for (index, count) in indexes.into_iter().zip(wait(shard, answer).await?) {
            if count > 0 {
                members[index].count += count;
                members[index].first.get_or_insert(shard);
            }
        }
    }
    Ok(members)
}

/// Those of several connections that are there, one question to each of their shards, and the shards that did not
/// answer in time.
pub(crate) async fn briefs(
    control: &Control,
    conns: &[Conn],
) -> (Vec<(ShardIndex, Brief)>, Vec<ShardIndex>) {
    let mut asked: BTreeMap<u16, Vec<hub::ConnId>> = BTreeMap::new();
    for conn in conns {
        asked.entry(conn.shard.0).or_default().push(conn.conn);
    }
    // All are asked before any is waited for.
    let answers: Vec<_> = asked
        .into_iter()
        .map(|(shard, conns)| {
            let shard = ShardIndex(shard);
            let answer = control.ask(shard, |reply| Question::Briefs(conns, reply));
            (shard, answer)
        })
        .collect();
    let (told, missing) = gather(answers, PATIENCE).await;
    let briefs = told.into_iter().flat_map(|(shard, briefs)| {
        let with_shard = move |brief| (shard, brief);
        briefs.into_iter().map(with_shard)
    });
    (briefs.collect(), missing)
}

/// What comes in time, and who is late or was too busy to be asked.
async fn gather<T>(
    answers: Vec<(ShardIndex, Result<Receiver<T>, hub::Full>)>,
    patience: Duration,
) -> (Vec<(ShardIndex, T)>, Vec<ShardIndex>) {
    let until = Instant::now() + patience;
    let (mut told, mut missing) = (Vec::with_capacity(answers.len()), Vec::new());
    for (shard, answer) in answers {
        let answer = match answer {
            Ok(answer) => timeout_at(until, answer).await.ok().and_then(Result::ok),
            Err(hub::Full) => None,
        };
        match answer {
            Some(answer) => told.push((shard, answer)),
            None => missing.push(shard),
        }
    }
    (told, missing)
}

/// The shards on which a search may find anything, lowest first.
pub(crate) fn shards_of(control: &Control, search: &Search) -> Vec<ShardIndex> {
    match search {
        Search::Topic(topic) => control.interested(topic),
        _ => control.shards().collect(),
    }
}

async fn walk<T>(
    control: &Control,
    shards: &[ShardIndex],
    from: Cursor,
    limit: usize,
    mut questions_left: u32,
    question: impl Fn(u32, usize, Reply<Page<T>>) -> Question,
) -> Result<Found<T>, Problem> {
    let (mut items, until) = (Vec::new(), Instant::now() + WALK_MAX);
    for shard in shards.iter().copied().filter(|shard| shard.0 >= from.shard) {
        let is_first = shard.0 == from.shard;
        let mut at = Cursor {
            shard: shard.0,
            place: if is_first { from.place } else { 0 },
        };
        loop {
            let is_asked_enough = questions_left == 0 || Instant::now() >= until;
            if items.len() >= limit || is_asked_enough {
                let next = Some(at);
                return Ok(Found { items, next });
            }
            questions_left -= 1;
            let left = limit - items.len();
            let page = ask(control, shard, |reply| question(at.place, left, reply)).await?;
            items.extend(page.items.into_iter().map(|item| (shard, item)));
            match page.next {
                Some(place) => at.place = place,
                None => break,
            }
        }
    }
    Ok(Found { items, next: None })
}

#[cfg(test)]
mod tests {
    use tokio::{runtime::Builder, sync::oneshot::channel};

    use super::*;

    #[test]
    fn who_is_late_takes_nothing_from_the_others() {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let (late, silence) = channel();
            let (prompt, answer) = channel();
            let (gone, end) = channel();
            drop(gone);
            prompt.send("here").expect("it is waited for");
            // The late one is asked first: the others do not wait behind it.
            let answers = vec![
                (ShardIndex(0), Ok(silence)),
                (ShardIndex(1), Ok(answer)),
                (ShardIndex(2), Err(hub::Full)),
                (ShardIndex(3), Ok(end)),
            ];
            let (told, missing) = gather(answers, Duration::from_millis(5)).await;
            assert_eq!(told, [(ShardIndex(1), "here")]);
            assert_eq!(missing, [ShardIndex(0), ShardIndex(2), ShardIndex(3)]);
            drop(late);
        });
    }
}
