//! The steps of `engine: socketio`.

use super::Wanted;
use crate::script::{
    expect::Expect,
    fields::Fields,
    flow::Compiler,
    names::Names,
    problem::Problems,
    program::Step,
    template::{Body, Shape, Template},
    tree::{Node, Value},
};

/// The steps, each by its key. What an `emit` waits for stands beside it, or in it.
pub(crate) const STEPS: [&str; 7] = ["emit", "think", "loop", "log", "function", "open", "close"];

/// Emits an event and, if it is to, waits for what comes of it.
#[derive(Clone, Debug)]
pub(crate) struct Emit {
    /// Where, behind what the target's path names; empty is there itself.
    pub(crate) namespace: Template,
    /// The event and its arguments, a list.
    pub(crate) arguments: Body,
    pub(crate) response: Option<Response>,
    pub(crate) acknowledge: Option<Wanted>,
}

/// An event from the server that a step waits for.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) event: Template,
    pub(crate) wanted: Wanted,
}

impl Compiler<'_, '_> {
    /// Reads an `emit`; `beside` are the keys beside it.
    pub(crate) fn emit(&mut self, node: &Node, key: &str, beside: &mut Fields<'_>) {
        let mut inside = match &node.value {
            Value::Map(_) => Fields::of(node, key, self.problems),
            _ => None,
        };
        let arguments = match &mut inside {
            Some(inside) => self.of_channel(node, inside),
            None => self.of_list(node, key),
        };
        // What stands beside goes before what stands inside, where older scripts have it.
        let mut take = |name: &'static str| {
            let inner = inside.as_mut().and_then(|inside| {
                let node = inside.take(name)?;
                Some((node, inside.path_of(name)))
            });
            let outer = beside.take(name).map(|node| (node, beside.path_of(name)));
            outer.or(inner)
        };
        let [namespace, response, acknowledge] =
            ["namespace", "response", "acknowledge"].map(&mut take);
        let namespace = match namespace {
            Some((node, key)) => self.namespace(node, &key),
            None => Some(Template::constant("")),
        };
        let response = response.map(|(node, key)| self.response(node, &key));
        let acknowledge = acknowledge.and_then(|(node, key)| self.acknowledge(node, &key));
        if let Some(inside) = inside {
            inside.finish(self.problems);
        }
        let (Some(namespace), Some(arguments)) = (namespace, arguments) else {
            return;
        };
        let emit = Emit {
            namespace,
            arguments,
            response: response.flatten(),
            acknowledge,
        };
        self.push(Step::Emit(Box::new(emit)), key);
    }

    /// `emit: {channel: echo, data: hello}`; without data nothing is its argument, as with
    /// Artillery.
    fn of_channel(&mut self, node: &Node, fields: &mut Fields<'_>) -> Option<Body> {
        let null = Node {
            at: node.at,
            value: Value::Null,
        };
        let data = fields.take("data").unwrap_or(&null);
        let Some(channel) = fields.take("channel") else {
            fields.missing("channel", "the name of the event", self.problems);
            return None;
        };
        let items = vec![channel.clone(), data.clone()];
        let path = fields.path_of("channel");
        self.arguments(node, items, &path)
    }

    /// `emit: [echo, hello, 5]`.
    fn of_list(&mut self, node: &Node, key: &str) -> Option<Body> {
        match &node.value {
            Value::List(items) if !items.is_empty() => self.arguments(node, items.clone(), key),
            _ => {
                let text = format!(
                    "expected a map with channel and data, or a list that begins with the event, found {}",
                    node.kind()
                );
                self.problems.note(node.at, key, text);
                None
            }
        }
    }

    fn arguments(&mut self, node: &Node, items: Vec<Node>, key: &str) -> Option<Body> {
        if !matches!(&items[0].value, Value::Text(_)) {
            let text = format!("expected the name of an event, found {}", items[0].kind());
            self.problems.note(items[0].at, key, text);
            return None;
        }
        let list = Node {
            at: node.at,
            value: Value::List(items),
        };
        Some(Body::read(&list, key, self.names, self.problems))
    }

    fn namespace(&mut self, node: &Node, key: &str) -> Option<Template> {
        let template = self.template(node, key)?;
        let start = template.constant_start();
        let is_whole = template.as_constant().is_some();
        if !(start.starts_with('/') || start.is_empty())
            || (is_whole && start.contains([',', '?', '#']))
        {
            let text =
                "expected a namespace such as /chat; a query stands in config.socketio.query";
            self.problems.note(node.at, key, text);
            return None;
        }
        Some(template)
    }

    fn response(&mut self, node: &Node, key: &str) -> Option<Response> {
        let mut fields = Fields::of(node, key, self.problems)?;
        let (on, channel) = (fields.take("on"), fields.take("channel"));
        let event = match channel.or(on) {
            Some(node) => self.template(node, &fields.path_of("on")),
            None => {
                fields.missing("on", "the name of the event", self.problems);
                None
            }
        };
        let wanted = Wanted::read(&mut fields, self.names, self.problems);
        fields.finish(self.problems);
        Some(Response {
            event: event?,
            wanted,
        })
    }

    /// `acknowledge: true`, or what is expected.
    fn acknowledge(&mut self, node: &Node, key: &str) -> Option<Wanted> {
        match &node.value {
            Value::Bool(true) => return Some(Wanted::default()),
            Value::Bool(false) => return None,
            _ => {}
        }
        let mut fields = Fields::of(node, key, self.problems)?;
        let wanted = Wanted::read(&mut fields, self.names, self.problems);
        fields.finish(self.problems);
        Some(wanted)
    }
}

impl Wanted {
    /// Reads `data` or `args`, `match` and `capture`.
    pub(super) fn read(
        fields: &mut Fields<'_>,
        names: &mut Names<'_>,
        problems: &mut Problems,
    ) -> Self {
        let mut data = None;
        for key in ["args", "data"] {
            // An empty text is no data, as in JavaScript.
            let node = fields.take(key);
            let node = node.filter(|node| node.value != Value::Text(String::new()));
            let path = fields.path_of(key);
            data = node
                .map(|node| Shape::read(node, &path, names, problems))
                .or(data);
        }
        Self {
            data,
            is_joined: fields.boolean("concat", problems) == Some(true),
            expect: Expect::read_of_arguments(fields, names, problems),
        }
    }
}
