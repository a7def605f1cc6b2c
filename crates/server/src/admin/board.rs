//! What there is most of on the whole node, put together from what each shard has most of: the largest
//! topics, the busiest topics, the fullest outboxes, the addresses with most connections.
//!
//! Each is as good as its source, and says so: a *census* is exact for the moment at which each place was
//! looked at, which takes as many seconds as a table has slices; a *sketch* counts 128 names on each shard and
//! knows by how much it may be wrong.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use engine::ShardIndex;
use hub::Frequent;
use tokio::time::timeout;

use crate::{
    census::Pass,
    control::{Conn, Control},
    question::{Look, Question},
};

/// How long shards may take to answer; of who takes longer the last look counts.
const PATIENCE: Duration = Duration::from_millis(500);
/// Rates are smoothed over so many seconds: a change shows to two thirds after that time.
const SMOOTHED_OVER_S: f64 = 10.0;
/// Topics whose rates are kept.
const TOPICS_MAX: usize = 1_024;
/// Messages per second below which a topic is not busy any more.
const QUIET: f64 = 0.01;

/// What is known of the whole node.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// The last whole census of each shard, with when it was first seen.
    passes: Vec<Option<(Arc<Pass>, Instant)>>,
    rates: HashMap<Arc<str>, Rate>,
    /// When the rates were last changed.
    updated: Option<Instant>,
}

/// How much is sent to a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    /// Messages per second, at most.
    pub(crate) messages: f64,
    /// Members reached per second, at least.
    pub(crate) deliveries: f64,
    /// By how much `messages` may be too high.
    pub(crate) error: f64,
}

/// A list from the board.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed<T> {
    /// What there is most of first.
    pub(crate) items: Vec<T>,
    /// How old the oldest figure of it may be; none when nothing has been looked at yet.
    pub(crate) age: Option<Duration>,
    /// Whether these are all there are.
    pub(crate) is_complete: bool,
}

/// An address and its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    /// At most.
    pub(crate) connections: u64,
    /// By how much that may be too high.
    pub(crate) error: u64,
}

/// Asks every shard for so many slices of its census and for its busiest topics; nothing of those that do
/// not answer in time.
pub(crate) async fn look(control: &Control, slices: u32) -> Vec<Option<Look>> {
    let asked = Instant::now();
    // All are asked before any is waited for.
    let answers: Vec<_> = control
        .shards()
        .map(|shard| control.ask(shard, |reply| Question::Look(slices, reply)))
        .collect();
    let mut looks = Vec::with_capacity(answers.len());
    for answer in answers {
        let left = PATIENCE.saturating_sub(asked.elapsed());
        looks.push(match answer {
            Ok(answer) => timeout(left, answer).await.ok().and_then(Result::ok),
            Err(hub::Full) => None,
        });
    }
    looks
}

impl Board {
    /// Takes in what shards have looked at until now.
    pub(crate) fn update(&mut self, looks: Vec<Option<Look>>, now: Instant) {
        self.passes.resize(looks.len(), None);
        let mut busiest = Vec::with_capacity(looks.len());
        for (known, look) in self.passes.iter_mut().zip(looks) {
            let Some(look) = look else { continue };
            busiest.push(look.busiest);
            let Some(pass) = look.census else { continue };
            let is_known = matches!(known, Some((known, _)) if Arc::ptr_eq(known, &pass));
            if !is_known {
                *known = Some((pass, now));
            }
        }
        if let Some(before) = self.updated.replace(now) {
            self.smooth(&busiest, now.duration_since(before));
        }
    }

    fn smooth(&mut self, busiest: &[Vec<Frequent<Arc<str>>>], took: Duration) {
        let took = took.as_secs_f64().max(0.001);
        let weight = 1.0 - (-took / SMOOTHED_OVER_S).exp();
        for rate in self.rates.values_mut() {
            *rate = rate.toward(Rate::default(), weight);
        }
        for (topic, sum) in merge(busiest) {
            let rate = self.rates.entry(topic).or_default();
            // It was moved toward zero above; the new figure adds its share.
            rate.messages += weight * sum.messages / took;
            rate.deliveries += weight * sum.deliveries / took;
            rate.error += weight * sum.error / took;
        }
        self.rates.retain(|_, rate| rate.messages >= QUIET);
        if self.rates.len() > TOPICS_MAX {
            let mut all: Vec<_> = self.rates.drain().collect();
            all.sort_by(|(_, a), (_, b)| b.messages.total_cmp(&a.messages));
            all.truncate(TOPICS_MAX);
            self.rates.extend(all);
        }
    }

    /// The topics with most members, as far as one shard has many of them. How many they have must be asked
    /// for: these were counted some time ago.
    pub(crate) fn largest(&self, max: usize) -> Listed<Arc<str>> {
        let mut sums: HashMap<&str, usize> = HashMap::new();
        let mut all_listed = true;
        for (pass, _) in self.passes.iter().flatten() {
            all_listed &= pass.topics_count == pass.largest.len() as u64;
            for (topic, members) in &pass.largest {
                *sums.entry(topic).or_default() += members;
            }
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_unstable_by_key(|(topic, members)| (Reverse(*members), *topic));
        let is_complete = all_listed && self.is_whole() && sums.len() <= max;
        let items = sums.into_iter().take(max);
        Listed {
            items: items.map(|(topic, _)| topic.into()).collect(),
            age: self.age(),
            is_complete,
        }
    }

    /// The topics most is sent to.
    pub(crate) fn busiest(&self, max: usize) -> Listed<(Arc<str>, Rate)> {
        let all = self.rates.iter();
        let mut items: Vec<_> = all
            .map(|(topic, rate)| (Arc::clone(topic), *rate))
            .collect();
        items.sort_by(|(a_topic, a), (b_topic, b)| {
            b.messages.total_cmp(&a.messages).then(a_topic.cmp(b_topic))
        });
        items.truncate(max);
        Listed {
            items,
            age: self.updated.map(|updated| updated.elapsed()),
            // What is sent to seldom is not counted.
            is_complete: false,
        }
    }

    /// How much is sent to a topic; none when it is not among the busiest.
    pub(crate) fn rate(&self, topic: &str) -> Option<Rate> {
        self.rates.get(topic).copied()
    }

    /// The connections with most to write.
    pub(crate) fn slowest(&self, max: usize) -> Listed<Conn> {
        let passes = self.passes.iter().zip(0_u16..);
        let slowest = passes.filter_map(|(pass, shard)| Some((&pass.as_ref()?.0, shard)));
        let mut all: Vec<_> = slowest
            .flat_map(|(pass, shard)| {
                pass.slowest.iter().map(move |(conn, view)| {
                    let shard = ShardIndex(shard);
                    (view.outbox_bytes, Conn { shard, conn: *conn })
                })
            })
            .collect();
        all.sort_by_key(|(bytes, _)| Reverse(*bytes));
        let items = all.into_iter().take(max);
        Listed {
            items: items.map(|(_, conn)| conn).collect(),
            age: self.age(),
            // Those with nothing to write are not listed.
            is_complete: false,
        }
    }

    /// The addresses with most connections.
    pub(crate) fn addresses(&self, max: usize) -> Listed<Address> {
        let passes = self.passes.iter().flatten();
        let sketches: Vec<_> = passes.map(|(pass, _)| &*pass.addresses).collect();
        let mut items = merge_addresses(&sketches);
        let is_complete = self.is_whole()
            && items.len() <= max
            && sketches.iter().all(|sketch| least(sketch) == 0);
        items.truncate(max);
        Listed {
            items,
            age: self.age(),
            is_complete,
        }
    }

    /// Whether every shard has looked through all of its tables.
    fn is_whole(&self) -> bool {
        !self.passes.is_empty() && self.passes.iter().all(Option::is_some)
    }

    /// How long ago the first place of the oldest census was looked at.
    fn age(&self) -> Option<Duration> {
        let passes = self.passes.iter().flatten();
        passes.map(|(pass, seen)| seen.elapsed() + pass.took).max()
    }
}

impl Rate {
    fn toward(self, other: Self, weight: f64) -> Self {
        let mix = |from: f64, to: f64| from + weight * (to - from);
        Self {
            messages: mix(self.messages, other.messages),
            deliveries: mix(self.deliveries, other.deliveries),
            error: mix(self.error, other.error),
        }
    }
}

/// What all shards have counted of each topic. A broadcast comes once to each shard with members, so its
/// messages are the most that one shard has seen, and its deliveries are those of all.
fn merge(busiest: &[Vec<Frequent<Arc<str>>>]) -> HashMap<Arc<str>, Rate> {
    // At most and at least so many messages, and deliveries.
    let mut sums: HashMap<&Arc<str>, (u64, u64, u64)> = HashMap::new();
    for frequent in busiest.iter().flatten() {
        let (most, least, deliveries) = sums.entry(&frequent.key).or_default();
        *most = (*most).max(frequent.times);
        *least = (*least).max(frequent.times - frequent.error);
        *deliveries += frequent.weight;
    }
    let rate = |(most, least, deliveries): (u64, u64, u64)| Rate {
        messages: most as f64,
        deliveries: deliveries as f64,
        error: (most - least) as f64,
    };
    let sums = sums.into_iter();
    sums.map(|(topic, sum)| (Arc::clone(topic), rate(sum)))
        .collect()
}

/// The connections of each address over all shards, most first. An address that a full sketch does not list
/// may have as many there as the rarest that it lists.
fn merge_addresses(sketches: &[&[Frequent<IpAddr>]]) -> Vec<Address> {
    let unlisted: u64 = sketches.iter().map(|sketch| least(sketch)).sum();
    let mut sums: HashMap<IpAddr, Address> = HashMap::new();
    for sketch in sketches {
        for frequent in *sketch {
            let sum = sums.entry(frequent.key).or_insert(Address {
                ip: frequent.key,
                connections: unlisted,
                error: unlisted,
            });
            sum.connections += frequent.times - least(sketch);
            sum.error = (sum.error + frequent.error).saturating_sub(least(sketch));
        }
    }
    let mut all: Vec<_> = sums.into_values().collect();
    all.sort_by_key(|address| (Reverse(address.connections), address.ip));
    all
}

/// How often a key that the sketch does not list may have come.
fn least<K>(sketch: &[Frequent<K>]) -> u64 {
    // Only a full sketch gives a place to another key, and then that key's count has an error.
    if sketch.iter().all(|frequent| frequent.error == 0) {
        return 0;
    }
    let times = sketch.iter().map(|frequent| frequent.times);
    times.min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequent<K>(key: K, times: u64, error: u64, weight: u64) -> Frequent<K> {
        Frequent {
            key,
            times,
            error,
            weight,
        }
    }

    fn look(busiest: Vec<Frequent<Arc<str>>>, pass: Option<&Arc<Pass>>) -> Option<Look> {
        Some(Look {
            busiest,
            census: pass.cloned(),
        })
    }

    #[test]
    fn a_broadcast_to_two_shards_is_one_message_and_all_its_deliveries() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let first = vec![frequent(Arc::clone(&a), 10, 0, 100), frequent(b, 4, 3, 4)];
        let merged = merge(&[first, vec![frequent(Arc::clone(&a), 10, 0, 50)]]);
        let rate = merged[&a];
        assert_eq!(
            (rate.messages, rate.deliveries, rate.error),
            (10.0, 150.0, 0.0)
        );
        assert_eq!(merged["b"].error, 3.0);
    }

    #[test]
    fn a_steady_rate_is_reached_and_a_quiet_topic_forgotten() {
        let mut board = Board::default();
        let start = Instant::now();
        let busy = || vec![frequent("a".into(), 100, 0, 500)];
        let mut now = start;
        for _ in 0..=60 {
            board.update(vec![look(busy(), None)], now);
            now += Duration::from_secs(1);
        }
        let rate = board.rate("a").unwrap();
        assert!((99.0..=100.0).contains(&rate.messages), "{rate:?}");
        assert!((495.0..=500.0).contains(&rate.deliveries), "{rate:?}");
        for _ in 0..120 {
            board.update(vec![look(Vec::new(), None)], now);
            now += Duration::from_secs(1);
        }
        assert_eq!(board.rate("a"), None);
    }

    #[test]
    fn rates_are_kept_of_so_many_topics_and_no_more() {
        let mut board = Board::default();
        let topics = |count: u64| (1..=count).map(|n| frequent(n.to_string().into(), n, 0, 0));
        let now = Instant::now();
        board.update(vec![look(Vec::new(), None)], now);
        let many = topics(3_000).collect();
        board.update(vec![look(many, None)], now + Duration::from_secs(1));
        assert_eq!(board.rates.len(), TOPICS_MAX);
        assert!(board.rate("3000").is_some() && board.rate("1").is_none());
        let first = board.busiest(1).items;
        assert_eq!(&*first[0].0, "3000");
    }

    #[test]
    fn topics_of_all_shards_are_added_up() {
        let pass = |topics: &[(&str, usize)]| {
            let largest = topics.iter().map(|(topic, n)| ((*topic).to_owned(), *n));
            Arc::new(Pass {
                topics_count: topics.len() as u64,
                largest: largest.collect(),
                ..Pass::default()
            })
        };
        let mut board = Board::default();
        let (first, second) = (pass(&[("a", 5), ("b", 4)]), pass(&[("b", 3)]));
        board.update(vec![look(vec![], Some(&first)), None], Instant::now());
        assert!(!board.largest(10).is_complete, "a shard is missing");
        let looks = vec![None, look(vec![], Some(&second))];
        board.update(looks, Instant::now());
        let largest = board.largest(10);
        assert_eq!(largest.items, ["b".into(), "a".into()]);
        assert!(largest.is_complete);
        let one = board.largest(1);
        assert_eq!((one.items.len(), one.is_complete), (1, false));
    }

    #[test]
    fn an_address_that_a_full_sketch_does_not_list_may_have_some_there() {
        let [a, b] = [1, 2].map(|n| IpAddr::from([127, 0, 0, n]));
        let full = [frequent(a, 9, 0, 9), frequent(b, 5, 4, 1)];
        let part = [frequent(a, 2, 0, 2)];
        let merged = merge_addresses(&[&full, &part]);
        let address = |ip, connections, error| Address {
            ip,
            connections,
            error,
        };
        assert_eq!(merged, [address(a, 11, 0), address(b, 5, 4)]);
        let c = IpAddr::from([127, 0, 0, 3]);
        let merged = merge_addresses(&[&full, &[frequent(c, 1, 0, 1)]]);
        // Up to 5 of c may be on the first shard.
        assert!(merged.contains(&address(c, 6, 5)), "{merged:?}");
    }
}
