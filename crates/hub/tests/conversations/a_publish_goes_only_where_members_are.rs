//! Many shards, members on few, and mail that takes its time: a publish goes to the shards with members
//! and to no other; whoever is in the topic hears it once, in the order of its publisher.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use fourtuple_hub::{
    ConnId, Hub, Incoming, Interest, Limits, Mail, Output, Publication, Serializer, ShardIndex,
};
use proptest::{prelude::*, sample::select};
use serde_json::Value;

use crate::{
    room::{House, Person, router},
    script::{Got, Office, SEED, read},
};

/// More than one word of a row holds.
const SHARDS: u16 = 130;

/// Each of these shards has one connection, all others have none.
const HOMES: [u16; 6] = [0, 1, 63, 64, 127, 129];

const TOPICS: [&str; 2] = ["room:a", "room:b"];

const CONN: ConnId = ConnId {
    index: 0,
    generation: 0,
};

#[derive(Clone, Debug)]
enum Step {
    Join { home: u16, topic: &'static str },
    Leave { home: u16, topic: &'static str },
    Publish { home: u16, topic: &'static str },
    Carry { choice: usize },
}

/// A node whose mail is on its way until it is carried, one piece at a time.
struct Slow {
    hubs: Vec<Hub<House>>,
    interest: Arc<Interest>,
    /// By sender and receiver.
    mail: BTreeMap<(u16, u16), VecDeque<Mail>>,
    members: BTreeSet<(&'static str, u16)>,
    published_count: u64,
    /// What each home has heard, by number of the publish, and what it must hear and may hear.
    heard: BTreeMap<u16, Vec<u64>>,
    due: BTreeSet<(u16, &'static str, u64)>,
    allowed: BTreeSet<(u16, u64)>,
    /// Who published what.
    publishers: Vec<u16>,
}

impl Slow {
    fn new() -> Self {
        let (router, interest) = (Arc::new(router()), Arc::new(Interest::new(SHARDS, SEED)));
        let hub = |shard| {
            let (router, interest) = (Arc::clone(&router), Arc::clone(&interest));
            let (post, limits) = (Arc::new(Office::default()), Limits::default());
            Hub::new(router, ShardIndex(shard), interest, post, limits)
        };
        let mut node = Self {
            hubs: (0..SHARDS).map(hub).collect(),
            interest: Arc::clone(&interest),
            mail: BTreeMap::new(),
            members: BTreeSet::new(),
            published_count: 0,
            heard: BTreeMap::new(),
            due: BTreeSet::new(),
            allowed: BTreeSet::new(),
            publishers: Vec::new(),
        };
        for home in HOMES {
            node.input(home, |hub, out| {
                hub.handle_open(CONN, Serializer::V2, Person::default(), out);
            });
        }
        node
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Join { home, topic } => {
                if self.members.insert((topic, home)) {
                    self.say(home, topic, "phx_join", "{}");
                }
            }
            Step::Leave { home, topic } => {
                if self.members.remove(&(topic, home)) {
                    self.say(home, topic, "phx_leave", "{}");
                    // What is still on its way to it is heard if it is back in time, and else not.
                    self.due.retain(|due| (due.0, due.1) != (home, topic));
                }
            }
            Step::Publish { home, topic } => {
                if self.members.contains(&(topic, home)) {
                    self.publish(home, topic);
                }
            }
            Step::Carry { choice } => {
                let ways: Vec<_> = self.mail.keys().copied().collect();
                if !ways.is_empty() {
                    self.carry(ways[choice % ways.len()]);
                }
            }
        }
    }

    fn publish(&mut self, home: u16, topic: &'static str) {
        let number = self.published_count;
        self.published_count += 1;
        self.publishers.push(home);
        let members: Vec<_> = HOMES
            .into_iter()
            .filter(|member| self.members.contains(&(topic, *member)))
            .collect();
        for member in &members {
            self.due.insert((*member, topic, number));
            self.allowed.insert((*member, number));
        }
        let told = self.say(home, topic, "broadcast", &number.to_string());
        let others = members.iter().copied().filter(|member| *member != home);
        assert_eq!(told, others.collect::<Vec<_>>(), "of {topic}");
        let named: Vec<_> = self.interest.shards(topic).map(|shard| shard.0).collect();
        assert_eq!(
            named, members,
            "whoever posts from outside is told the same"
        );
    }

    /// The connection of a shard says something; the shards that are told because of it.
    fn say(&mut self, home: u16, topic: &str, event: &str, payload: &str) -> Vec<u16> {
        let text = format!(r#"["1","1","{topic}","{event}",{payload}]"#);
        self.input(home, |hub, out| {
            hub.handle_message(CONN, Incoming::Text(&text), out);
        })
    }

    fn carry(&mut self, way: (u16, u16)) {
        let queue = self.mail.get_mut(&way).expect("mail is on this way");
        let mail = queue.pop_front().expect("a way without mail is forgotten");
        if queue.is_empty() {
            self.mail.remove(&way);
        }
        self.input(way.1, |hub, out| hub.handle_mail(mail, out));
    }

    fn input(
        &mut self,
        shard: u16,
        input: impl FnOnce(&mut Hub<House>, &mut dyn FnMut(Output)),
    ) -> Vec<u16> {
        let mut outputs = Vec::new();
        let hub = &mut self.hubs[usize::from(shard)];
        input(hub, &mut |output| outputs.push(output));
        hub.invariants();
        let mut told = Vec::new();
        for output in outputs {
            match output {
                Output::Send { frame, .. } => self.hear(shard, read(frame.as_bytes())),
                Output::Publish {
                    shard: ShardIndex(to),
                    publication: publication @ Publication::Broadcast(_),
                } => {
                    told.push(to);
                    let way = self.mail.entry((shard, to)).or_default();
                    way.push_back(Mail::Publish(publication));
                }
                other => panic!("nobody asked for {other:?}"),
            }
        }
        told
    }

    fn hear(&mut self, home: u16, got: Got) {
        let Got::Text(text) = got else {
            panic!("{got:?} is no text");
        };
        let message: Value = serde_json::from_str(&text).expect("JSON");
        if message[3] == "shout" {
            let number = message[4].as_u64().expect("the number of a publish");
            self.heard.entry(home).or_default().push(number);
            let topic = TOPICS.into_iter().find(|topic| message[2] == **topic);
            self.due.remove(&(home, topic.expect("a topic"), number));
            let is_first = self.allowed.remove(&(home, number));
            assert!(is_first, "shard {home} heard {number} twice, or unasked");
        }
    }

    /// Carries all mail, and then checks what everybody has heard.
    fn end(mut self) {
        while let Some(way) = self.mail.keys().next().copied() {
            self.carry(way);
        }
        assert!(self.due.is_empty(), "not heard: {:?}", self.due);
        for (home, numbers) in &self.heard {
            for publisher in HOMES {
                let own: Vec<_> = numbers
                    .iter()
                    .filter(|number| self.publishers[**number as usize] == publisher)
                    .collect();
                assert!(own.is_sorted(), "{publisher} to {home}: {own:?}");
            }
        }
        let received = |shard: u16| self.hubs[usize::from(shard)].counters().broadcasts_received;
        let elsewhere = (0..SHARDS).filter(|shard| !HOMES.contains(shard));
        assert_eq!(elsewhere.map(received).sum::<u64>(), 0);
    }
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (select(HOMES.to_vec()), select(TOPICS.to_vec()));
    prop_oneof![
        3 => place().prop_map(|(home, topic)| Step::Join { home, topic }),
        2 => place().prop_map(|(home, topic)| Step::Leave { home, topic }),
        6 => place().prop_map(|(home, topic)| Step::Publish { home, topic }),
        6 => any::<usize>().prop_map(|choice| Step::Carry { choice }),
    ]
}

proptest! {
    #[test]
    fn while_members_come_and_go(steps in prop::collection::vec(step(), 1..120)) {
        let mut node = Slow::new();
        for step in steps {
            node.run(step);
        }
        node.end();
    }
}

#[test]
fn a_disconnect_goes_to_all_others() {
    let mut node = Slow::new();
    let mut told = Vec::new();
    node.say(64, "room:a", "phx_join", "{}");
    let kick = Incoming::Text(r#"["1","2","room:a","disconnect","person:ann"]"#);
    node.hubs[64].handle_message(CONN, kick, &mut |output| {
        if let Output::Publish { shard, .. } = output {
            told.push(shard.0);
        }
    });
    let others: Vec<_> = (0..SHARDS).filter(|shard| *shard != 64).collect();
    assert_eq!(told, others);
}
