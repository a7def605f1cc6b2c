//! Whatever several clients do, on two shards and in both serializers, each gets exactly what the
//! naive model says, in that order.

use fourtuple_hub::{ConnId, Limits, Serializer};
use proptest::{prelude::*, sample::select};

use crate::{
    model::{CHANNELS_MAX, Model, Said},
    room::{Person, router},
    script::{Client, Node},
};

const PLACES: u32 = 6;
const SHARDS: u16 = 2;

#[derive(Clone, Debug)]
enum Step {
    Connect {
        place: u32,
        serializer: Serializer,
        name: Option<&'static str>,
    },
    Go {
        place: u32,
    },
    Say {
        place: u32,
        said: Said,
    },
    SayBytes {
        place: u32,
        said: Said,
    },
    Garbage {
        place: u32,
    },
    Drain {
        shard: u16,
        conns_max: usize,
    },
}

fn said() -> impl Strategy<Value = Said> {
    let refs = || select(vec![None, Some("\"1\""), Some("\"2\""), Some("7")]);
    let topics = select(vec![
        "room:a", "room:a", "room:b", "room:c", "lobby", "phoenix",
    ]);
    let join = select(vec![
        "{}",
        "{}",
        r#"{"push":{"n":1},"announce":{"n":2}}"#,
        r#"{"on_terminate":"speak"}"#,
        r#"{"refuse":{"reason":"no"}}"#,
        r#"{"panic":true}"#,
        r#"{"elsewhere":"room:b","panic":true}"#,
        r#"{"bytes":"ok"}"#,
    ]);
    let other = select(vec![
        "echo",
        "refuse",
        "push",
        "push_bytes",
        "reverse",
        "broadcast",
        "broadcast",
        "broadcast_from",
        "broadcast_bytes",
        "stop",
        "stop_with_reply",
        "give_up",
        "panic",
        "phx_leave",
        "heartbeat",
        "unknown",
    ]);
    let order = prop_oneof![
        6 => join.prop_map(|payload| ("phx_join", payload)),
        12 => (other, select(vec!["{}", r#"{"body":"h\u00e9"}"#, "[1, 2]", "null"])),
        1 => select(vec!["\"person:ann\"", "\"person:bob\""]).prop_map(|id| ("disconnect", id)),
    ];
    (refs(), refs(), topics, order).prop_map(|(join_ref, reference, topic, (event, payload))| {
        Said {
            join_ref,
            reference,
            topic,
            event,
            payload,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let serializer = select(vec![Serializer::V1, Serializer::V2, Serializer::V2]);
    let name = select(vec![None, None, Some("ann"), Some("bob")]);
    prop_oneof![
        4 => (0..PLACES, serializer, name)
            .prop_map(|(place, serializer, name)| Step::Connect { place, serializer, name }),
        1 => (0..PLACES).prop_map(|place| Step::Go { place }),
        30 => (0..PLACES, said()).prop_map(|(place, said)| Step::Say { place, said }),
        4 => (0..PLACES, said()).prop_map(|(place, said)| Step::SayBytes { place, said }),
        1 => (0..PLACES).prop_map(|place| Step::Garbage { place }),
        1 => (0..SHARDS, 0..4_usize).prop_map(|(shard, conns_max)| Step::Drain { shard, conns_max }),
    ]
}

/// The node, the model, and the clients by place with their serializer and whether they are named.
struct Pair {
    node: Node,
    model: Model,
    clients: Vec<Option<(Client, Serializer, bool)>>,
    generation: u32,
}

impl Pair {
    fn new() -> Self {
        let limits = Limits {
            channels_max: CHANNELS_MAX,
            ..Limits::default()
        };
        let clients = (0..PLACES).map(|_| None).collect();
        let node = Node::with(SHARDS, limits, router());
        Self {
            node,
            model: Model::default(),
            clients,
            generation: 0,
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Connect {
                place,
                serializer,
                name,
            } => self.connect(place, serializer, name),
            Step::Go { place } => {
                if let Some((client, ..)) = self.clients[place as usize].take() {
                    self.model.end(&[place], None);
                    client.goes();
                }
            }
            Step::Say { place, said } => self.say(place, said),
            Step::SayBytes { place, said } => self.say_bytes(place, said),
            Step::Garbage { place } => {
                if let Some((client, ..)) = &self.clients[place as usize] {
                    self.model.end(&[place], Some(1011));
                    client.says("[1,2");
                }
            }
            Step::Drain { shard, conns_max } => {
                let places = (0..PLACES).filter(|place| shard_of(*place) == shard);
                self.model.drain(places, conns_max);
                self.node.run(shard, |hub, out| {
                    hub.handle_drain(conns_max, out);
                });
            }
        }
    }

    fn connect(&mut self, place: u32, serializer: Serializer, name: Option<&'static str>) {
        if self.model.is_connected(place) {
            return;
        }
        self.generation += 1;
        let conn = ConnId {
            index: place,
            generation: self.generation,
        };
        let person = name.map_or_else(Person::default, Person::named);
        let client = self
            .node
            .connect_at(shard_of(place), conn, serializer, person);
        self.clients[place as usize] = Some((client, serializer, name.is_some()));
        self.model.connect(place, serializer, name);
    }

    fn say(&mut self, place: u32, said: Said) {
        let Some((client, serializer, is_named)) = &self.clients[place as usize] else {
            return;
        };
        let said = quiet(said, *is_named);
        let Said {
            topic,
            event,
            payload,
            ..
        } = said;
        let join_ref = said.join_ref.unwrap_or("null");
        let reference = said.reference.unwrap_or("null");
        client.says(&match serializer {
            Serializer::V1 => format!(
                r#"{{"topic":"{topic}","event":"{event}","payload":{payload},"ref":{reference},"join_ref":{join_ref}}}"#
            ),
            Serializer::V2 => format!(r#"[{join_ref},{reference},"{topic}","{event}",{payload}]"#),
        });
        self.model.say(place, &said);
    }

    /// Bytes carry only strings, and nothing is the empty one.
    fn say_bytes(&mut self, place: u32, said: Said) {
        let Some((client, Serializer::V2, is_named)) = &self.clients[place as usize] else {
            return;
        };
        let string = |reference: Option<&'static str>| match reference {
            None => "\"\"",
            Some("7") => "\"7\"",
            Some(reference) => reference,
        };
        let (join_ref, reference) = (string(said.join_ref), string(said.reference));
        let said = quiet(
            Said {
                join_ref: Some(join_ref),
                reference: Some(reference),
                ..said
            },
            *is_named,
        );
        let events = [
            "phx_join",
            "phx_leave",
            "heartbeat",
            "push_bytes",
            "reverse",
            "panic",
        ];
        if !events.contains(&said.event) {
            return;
        }
        let (join_ref, reference) = (join_ref.trim_matches('"'), reference.trim_matches('"'));
        let names = [join_ref, reference, said.topic, said.event];
        let mut bytes = vec![0];
        bytes.extend(names.map(|name| name.len() as u8));
        bytes.extend(names.concat().bytes());
        bytes.extend(said.payload.bytes());
        client.says_bytes(&bytes);
        // Bytes hold no orders for a join.
        let payload = match said.event {
            "phx_join" => "{}",
            _ => said.payload,
        };
        self.model.say(place, &Said { payload, ..said });
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        for place in 0..PLACES {
            let expected = self.model.take(place);
            let got: Vec<_> = match &self.clients[place as usize] {
                Some((client, ..)) => std::iter::from_fn(|| client.next()).collect(),
                None => Vec::new(),
            };
            prop_assert_eq!(got, expected, "client {}", place);
        }
        Ok(())
    }
}

/// When a socket id is disconnected, the order among its connections is the hub's own affair; so
/// those have no last words by which others would notice it.
fn quiet(said: Said, is_named: bool) -> Said {
    if is_named && said.payload == r#"{"on_terminate":"speak"}"# {
        return Said {
            payload: "{}",
            ..said
        };
    }
    said
}

const fn shard_of(place: u32) -> u16 {
    (place % SHARDS as u32) as u16
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn on_any_sequence_of_steps(steps in prop::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new();
        for (place, name) in [(0, None), (1, None), (2, Some("ann")), (3, None)] {
            pair.connect(place, if place == 3 { Serializer::V1 } else { Serializer::V2 }, name);
        }
        for step in steps {
            pair.run(step);
            pair.compare()?;
        }
    }
}
