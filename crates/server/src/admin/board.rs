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

use super::lookout::Seen;
use crate::{census::Pass, control::Conn, question::Look};

/// Rates are smoothed over so many seconds: a change shows to two thirds after that time.
const SMOOTHED_OVER_S: f64 = 10.0;
/// A shard that has not answered for so long is silent: it is asked once a second.
const SILENCE: Duration = Duration::from_secs(3);
/// Topics of a shard whose rates are kept: twice as many as it counts at a time.
const TOPICS_MAX: usize = 256;
/// Messages per second below which a topic is not busy any more.
const QUIET: f64 = 0.01;

/// What is known of the whole node.
#[derive(Debug, Default)]
pub(crate) struct Board {
    shards: Vec<Shard>,
    /// The rates of all shards together.
    rates: HashMap<Arc<str>, Rate>,
}

/// What is known of one shard.
#[derive(Debug, Default)]
struct Shard {
    /// Its last whole census.
    pass: Option<Arc<Pass>>,
    rates: HashMap<Arc<str>, Rate>,
    /// Until when its messages are counted in these.
    counted_until: Option<Instant>,
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

impl Board {
    /// Takes in what shards have said since the last time.
    pub(crate) fn update(&mut self, seen: Seen) {
        self.shards.resize_with(seen.shards_count, Shard::default);
        for (shard, pass) in seen.passes {
            self.shards[usize::from(shard.0)].pass = Some(pass);
        }
        for (shard, look) in seen.looks {
            self.shards[usize::from(shard.0)].count(&look);
        }
        let now = self.shards.iter().filter_map(|shard| shard.counted_until);
        self.rates = now
            .max()
            .map_or_else(HashMap::new, |now| merge(&self.shards, now));
    }

    /// The topics with most members, as far as one shard has many of them. How many they have must be asked
    /// for: these were counted some time ago.
    pub(crate) fn largest(&self, max: usize) -> Listed<Arc<str>> {
        let mut sums: HashMap<&str, usize> = HashMap::new();
        let mut all_listed = true;
        for pass in self.passes() {
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
            age: self.counted_until().map(|until| until.elapsed()),
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
        let shards = self.shards.iter().zip(0_u16..);
        let slowest = shards.filter_map(|(known, shard)| Some((known.pass.as_ref()?, shard)));
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
        let sketches: Vec<_> = self.passes().map(|pass| &*pass.addresses).collect();
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

    fn passes(&self) -> impl Iterator<Item = &Pass> {
        self.shards.iter().filter_map(|shard| shard.pass.as_deref())
    }

    /// Whether every shard has looked through all of its tables.
    fn is_whole(&self) -> bool {
        !self.shards.is_empty() && self.shards.iter().all(|shard| shard.pass.is_some())
    }

    /// How long ago the first place of the oldest census was looked at.
    fn age(&self) -> Option<Duration> {
        let ages = self.passes().map(|pass| pass.ended.elapsed() + pass.took);
        ages.max()
    }

    /// Until when the messages of all shards that have ever told are counted.
    fn counted_until(&self) -> Option<Instant> {
        let shards = self.shards.iter();
        shards.filter_map(|shard| shard.counted_until).min()
    }
}

impl Shard {
    /// What its rates are worth: all while it answers, and less with each second of silence.
    fn fading(&self, now: Instant) -> f64 {
        let silent = self.counted_until.map(|until| now.duration_since(until));
        let silent = silent.map_or(0.0, |silent| silent.saturating_sub(SILENCE).as_secs_f64());
        (-silent / SMOOTHED_OVER_S).exp()
    }

    /// Takes in what its sketch has counted between its answer before and this, whenever these were asked for.
    fn count(&mut self, look: &Look) {
        // It began to count with the first.
        let Some(before) = self.counted_until.replace(look.taken) else {
            return;
        };
        let took = look.taken.duration_since(before);
        let took = took.as_secs_f64().max(0.001);
        let weight = 1.0 - (-took / SMOOTHED_OVER_S).exp();
        for rate in self.rates.values_mut() {
            *rate = rate.times(1.0 - weight);
        }
        for topic in &look.busiest {
            let counted = Rate {
                messages: topic.times as f64,
                deliveries: topic.weight as f64,
                error: topic.error as f64,
            };
            let rate = self.rates.entry(Arc::clone(&topic.key)).or_default();
            // It was moved toward zero above; the new figure adds its share.
            *rate = rate.plus(counted.times(weight / took));
        }
        self.rates.retain(|_, rate| rate.messages >= QUIET);
        if self.rates.len() > TOPICS_MAX {
            let mut all: Vec<_> = self.rates.drain().collect();
            all.sort_by(|(_, a), (_, b)| b.messages.total_cmp(&a.messages));
            all.truncate(TOPICS_MAX);
            self.rates.extend(all);
        }
    }
}

impl Rate {
    fn times(self, factor: f64) -> Self {
        Self {
            messages: self.messages * factor,
            deliveries: self.deliveries * factor,
            error: self.error * factor,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            deliveries: self.deliveries + other.deliveries,
            error: self.error + other.error,
        }
    }
}

/// The rates of all shards together. A broadcast comes once to each shard with members, so its messages are the
/// most that one shard has seen, and its deliveries are those of all. Those of a shard that does not answer fade.
fn merge(shards: &[Shard], now: Instant) -> HashMap<Arc<str>, Rate> {
    let mut sums: HashMap<Arc<str>, Rate> = HashMap::new();
    let rates = shards.iter().flat_map(|shard| {
        let factor = shard.fading(now);
        let rates = shard.rates.iter();
        rates.map(move |(topic, rate)| (topic, rate.times(factor)))
    });
    for (topic, rate) in rates {
        let sum = sums.entry(Arc::clone(topic)).or_default();
        let least = (sum.messages - sum.error).max(rate.messages - rate.error);
        sum.messages = sum.messages.max(rate.messages);
        sum.deliveries += rate.deliveries;
        sum.error = sum.messages - least;
    }
    sums
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

    const SECOND: Duration = Duration::from_secs(1);

    /// What a shard has said: who, what of topics, and when.
    type Said = (u16, Vec<Frequent<Arc<str>>>, Instant);

    fn seen(said: Vec<Said>) -> Seen {
        let look = |(shard, busiest, taken)| (ShardIndex(shard), Look { busiest, taken });
        Seen {
            shards_count: 2,
            looks: said.into_iter().map(look).collect(),
            passes: Vec::new(),
        }
    }

    fn pass(topics: &[(&str, usize)]) -> Arc<Pass> {
        let largest = topics.iter().map(|(topic, n)| ((*topic).to_owned(), *n));
        Arc::new(Pass {
            ended: Instant::now(),
            took: Duration::ZERO,
            topics_count: topics.len() as u64,
            slowest: Vec::new(),
            largest: largest.collect(),
            addresses: Vec::new(),
        })
    }

    #[test]
    fn a_broadcast_to_two_shards_is_one_message_and_all_its_deliveries() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let shard = |rates: &[(&Arc<str>, f64, f64, f64)]| {
            let rate = |(topic, messages, error, deliveries): &(&Arc<str>, f64, f64, f64)| {
                let rate = Rate {
                    messages: *messages,
                    deliveries: *deliveries,
                    error: *error,
                };
                (Arc::clone(topic), rate)
            };
            Shard {
                rates: rates.iter().map(rate).collect(),
                ..Shard::default()
            }
        };
        let first = shard(&[(&a, 10.0, 0.0, 100.0), (&b, 4.0, 3.0, 4.0)]);
        let now = Instant::now();
        let merged = merge(&[first, shard(&[(&a, 10.0, 2.0, 50.0)])], now);
        let rate = merged[&a];
        assert_eq!(
            (rate.messages, rate.deliveries, rate.error),
            (10.0, 150.0, 0.0)
        );
        assert_eq!(merged["b"].error, 3.0);
    }

    #[test]
    fn rates_of_a_shard_that_does_not_answer_fade() {
        let mut board = Board::default();
        let start = Instant::now();
        let busy = || vec![frequent("busy".into(), 1_000, 0, 1_000)];
        for second in 0..60 {
            let now = start + SECOND * second;
            board.update(seen(vec![(0, busy(), now), (1, Vec::new(), now)]));
        }
        let before = board.rate("busy").expect("it is busy").messages;
        // The first shard is silent from now on.
        for second in 60..100 {
            board.update(seen(vec![(1, Vec::new(), start + SECOND * second)]));
        }
        let after = board.rate("busy").expect("it is remembered").messages;
        assert!(before > 900.0 && after < before / 10.0, "{before} {after}");
    }

    #[test]
    fn a_steady_rate_is_reached_and_a_quiet_topic_forgotten() {
        let mut board = Board::default();
        let mut now = Instant::now();
        for _ in 0..=60 {
            board.update(seen(vec![(
                0,
                vec![frequent("a".into(), 100, 0, 500)],
                now,
            )]));
            now += SECOND;
        }
        let rate = board.rate("a").unwrap();
        assert!((99.0..=100.0).contains(&rate.messages), "{rate:?}");
        assert!((495.0..=500.0).contains(&rate.deliveries), "{rate:?}");
        for _ in 0..120 {
            board.update(seen(vec![(0, Vec::new(), now)]));
            now += SECOND;
        }
        assert_eq!(board.rate("a"), None);
    }

    #[test]
    fn an_answer_that_comes_late_counts_for_all_the_time_since_the_one_before() {
        let steady = |late: bool| {
            let mut board = Board::default();
            let mut now = Instant::now();
            board.update(seen(vec![(0, vec![], now), (1, vec![], now)]));
            for second in 1..=60 {
                now += SECOND;
                let both = |count| vec![frequent("a".into(), count, 0, 5 * count)];
                let mut said = vec![(0, both(100), now)];
                // The second shard is late every other second, and tells of both then.
                match (late, second % 2) {
                    (false, _) => said.push((1, both(100), now)),
                    (true, 0) => said.push((1, both(200), now)),
                    (true, _) => {}
                }
                board.update(seen(said));
            }
            board.rate("a").unwrap()
        };
        let (in_time, late) = (steady(false), steady(true));
        let is_near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-6;
        assert!(
            is_near(in_time.deliveries, late.deliveries),
            "{in_time:?} {late:?}"
        );
        assert!(
            is_near(in_time.messages, late.messages),
            "{in_time:?} {late:?}"
        );
        assert!(late.deliveries > 990.0, "{late:?}");
    }

    #[test]
    fn rates_are_kept_of_so_many_topics_and_no_more() {
        let mut board = Board::default();
        let topics = (1..=3_000).map(|n: u64| frequent(n.to_string().into(), n, 0, 0));
        let now = Instant::now();
        board.update(seen(vec![(0, Vec::new(), now)]));
        board.update(seen(vec![(0, topics.collect(), now + SECOND)]));
        assert_eq!(board.rates.len(), TOPICS_MAX);
        assert!(board.rate("3000").is_some() && board.rate("1").is_none());
        let first = board.busiest(1).items;
        assert_eq!(&*first[0].0, "3000");
    }

    #[test]
    fn topics_of_all_shards_are_added_up() {
        let mut board = Board::default();
        let (first, second) = (pass(&[("a", 5), ("b", 4)]), pass(&[("b", 3)]));
        let seen = |shard, pass| Seen {
            passes: vec![(ShardIndex(shard), pass)],
            ..seen(Vec::new())
        };
        board.update(seen(0, first));
        assert!(!board.largest(10).is_complete, "a shard is missing");
        board.update(seen(1, second));
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
