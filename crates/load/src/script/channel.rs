//! The steps of `engine: phoenix`: join, push, expect, leave.

use super::{
    expect::Expect,
    fields::Fields,
    flow::Compiler,
    program::{Act, Step},
    template::{Body, Template},
    tree::{Node, Value},
};

impl Compiler<'_, '_> {
    /// Reads a step of Phoenix Channels.
    pub(crate) fn phoenix(&mut self, kind: &str, node: &Node, key: &str) {
        let act = match (&node.value, kind) {
            (Value::Text(_), "join" | "leave") => self.short(kind, node, key),
            _ => self.long(kind, node, key),
        };
        if let Some(act) = act {
            self.push(Step::Act(Box::new(act)), key);
        }
    }

    /// `join: room:lobby`.
    fn short(&mut self, kind: &str, node: &Node, key: &str) -> Option<Act> {
        let topic = self.template(node, key)?;
        if kind == "leave" {
            return Some(Act::Leave { topic: Some(topic) });
        }
        self.note_join();
        Some(Act::Join {
            topic,
            payload: Body::Constant("{}".into()),
            expect: None,
        })
    }

    fn long(&mut self, kind: &str, node: &Node, key: &str) -> Option<Act> {
        let mut fields = Fields::of(node, key, self.problems)?;
        let topic = self.named(&mut fields, "topic");
        let event = match kind {
            "push" | "expect" => self.named(&mut fields, "event"),
            _ => None,
        };
        let payload = match kind {
            "join" | "push" => fields.take("payload"),
            _ => None,
        };
        let payload = payload.map(|node| {
            let key = fields.path_of("payload");
            Body::read(node, &key, self.names, self.problems)
        });
        let payload = payload.unwrap_or_else(|| Body::Constant("{}".into()));
        let expect = match kind {
            "leave" => None,
            _ => Expect::read(&mut fields, self.names, self.problems),
        };
        let reply = match kind {
            "push" => fields.boolean("reply", self.problems),
            _ => None,
        };
        if topic.is_none() && (kind == "join" || !self.has_joined()) {
            fields.missing("topic", "the topic, such as room:lobby", self.problems);
        }
        if kind == "join" {
            self.note_join();
        }
        if event.is_none() && matches!(kind, "push" | "expect") {
            fields.missing("event", "the name of the event", self.problems);
        }
        fields.finish(self.problems);
        Some(match kind {
            "join" => Act::Join {
                topic: topic?,
                payload,
                expect,
            },
            "push" => Act::Push {
                topic,
                event: event?,
                payload,
                waits: expect.is_some() || reply == Some(true),
                expect,
            },
            "expect" => Act::Hear {
                topic,
                event: event?,
                expect,
            },
            _ => Act::Leave { topic },
        })
    }

    fn named(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<Template> {
        let path = fields.path_of(key);
        let node = fields.take(key)?;
        self.template(node, &path)
    }
}
