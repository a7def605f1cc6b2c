//! The steps of a scenario's flow, read into instructions.

use serde_json::Value as Json;

use super::{
    expect::Expect,
    fields::{Fields, duration, seconds, time_of},
    names::{LoopNames, Names},
    problem::{Place, Problems, nearest},
    program::{Call, Dialect, Jitter, STEPS_MAX, Side, Step, Think, Time, Times, parse_count},
    socketio,
    sockets::ON_SOCKETS,
    template::{Body, Part, Template},
    tree::{Entry, Node, Value},
};

/// Loops inside each other, at most.
const LOOPS_MAX: usize = 16;

/// Reads steps one after the other.
#[derive(Debug)]
pub(crate) struct Compiler<'c, 's> {
    pub(crate) names: &'c mut Names<'s>,
    pub(crate) problems: &'c mut Problems,
    /// What the scenario's own sockets speak.
    pub(crate) dialect: Dialect,
    /// The sockets besides.
    pub(crate) sides: &'c [Side],
    /// `config.defaults.think.jitter`.
    pub(crate) jitter: Jitter,
    pub(crate) steps: Vec<Step>,
    pub(crate) labels: Vec<Box<str>>,
    /// Of each step, the socket that it is for.
    pub(crate) on: Vec<u8>,
    /// The socket of the step that is read.
    pub(crate) socket: u8,
    /// Where the steps stand that are for sockets besides, by their numbers.
    pub(crate) uses: Vec<(usize, Place)>,
    /// The sockets, a bit for each, on which a step has joined a topic, for those that name none.
    pub(crate) joined: u16,
    /// Whether users come back.
    pub(crate) comes_back: bool,
}

/// The steps of `engine: ws`, each by its key.
const STEPS: [&str; 10] = [
    "connect", "send", "wait", "think", "loop", "log", "function", "open", "close", "drop",
];
/// Those that `engine: phoenix` has instead of `send` and `wait`.
const PHOENIX_STEPS: [&str; 12] = [
    "connect", "join", "push", "expect", "leave", "think", "loop", "log", "function", "open",
    "close", "drop",
];

impl<'c, 's> Compiler<'c, 's> {
    /// Nothing read yet, of a scenario with these sockets.
    pub(crate) const fn new(
        names: &'c mut Names<'s>,
        problems: &'c mut Problems,
        dialect: Dialect,
        sides: &'c [Side],
    ) -> Self {
        Self {
            names,
            problems,
            dialect,
            sides,
            jitter: Jitter::None,
            steps: Vec::new(),
            labels: Vec::new(),
            on: Vec::new(),
            socket: 0,
            uses: Vec::new(),
            joined: 0,
            comes_back: false,
        }
    }
}

impl Compiler<'_, '_> {
    /// Reads the steps of `items`, which stand at `path`.
    pub(crate) fn steps(&mut self, items: &[Node], path: &str, is_first_connect: bool) {
        for (number, item) in items.iter().enumerate() {
            // A connection is made before the first step, and a later `connect` does nothing.
            let is_connect = item.find("connect").is_some();
            if is_connect && number == 0 && is_first_connect {
                continue;
            }
            let path = format!("{path}[{number}]");
            let before = self.problems.count();
            self.step(item, &path);
            self.forget_missing();
            if self.steps.len() > STEPS_MAX && before == self.problems.count() {
                let text = format!("more than {STEPS_MAX} steps: use a loop");
                self.problems.note(item.at, &path, text);
                return;
            }
        }
    }

    fn step(&mut self, item: &Node, path: &str) {
        let Some(socket) = self.socket_on(item, path) else {
            return;
        };
        self.socket = socket;
        let known: &[&'static str] = match self.dialect_of(socket) {
            Dialect::Phoenix(..) => &PHOENIX_STEPS,
            Dialect::Plain => &STEPS,
            Dialect::SocketIo => &socketio::STEPS,
        };
        let entry = match entry_of(item, known) {
            Ok(entry) => entry,
            Err(wrong) => return self.problems.note(item.at, path, wrong),
        };
        let Some(mut fields) = Fields::of(item, path, self.problems) else {
            return;
        };
        let (node, key) = (&entry.node, format!("{path}.{}", entry.key));
        if let Some(known) = known.iter().find(|known| **known == entry.key) {
            fields.take(known);
        }
        if ON_SOCKETS.contains(&&*entry.key) {
            fields.take("on");
        }
        match &*entry.key {
            "open" | "close" => self.open_or_close(entry, &key),
            "emit" => self.emit(node, &key, &mut fields),
            "drop" => self.drop_socket(entry, &key),
            "send" => {
                self.send(node, &key);
            }
            "wait" => {
                self.wait(node, &key);
            }
            "think" => {
                self.think(node, &key, &mut fields);
            }
            "loop" => {
                self.repeat(node, &key, &mut fields);
            }
            "log" => {
                if let Some(template) = self.template(node, &key) {
                    self.push(Step::Log(template), &key);
                }
            }
            "function" => {
                if let Some(call) = self.call(Some(node), &key) {
                    self.push(Step::Call(Box::new(call)), &key);
                }
            }
            "connect" => {
                let text = "only the first step may connect: a user has one connection, which is \
                            open before its first step";
                self.problems.note(entry.at, &key, text);
            }
            _ => self.phoenix(&entry.key, node, &key),
        }
        fields.finish(self.problems);
    }

    pub(crate) fn push(&mut self, step: Step, label: &str) {
        self.steps.push(step);
        self.labels.push(label.into());
        self.on.push(std::mem::take(&mut self.socket));
    }

    fn send(&mut self, node: &Node, key: &str) {
        let (body, expect) = if Expect::is_in(node) {
            let Some(mut fields) = Fields::of(node, key, self.problems) else {
                return;
            };
            let payload = fields.take("payload");
            let expect = Expect::read(&mut fields, self.names, self.problems);
            fields.finish(self.problems);
            let Some(payload) = payload else {
                // Without a payload nothing is sent, and that is what `wait` is.
                if let Some(expect) = expect {
                    self.push(Step::Wait(Box::new(expect)), key);
                }
                return;
            };
            let body = Body::read(
                payload,
                &format!("{key}.payload"),
                self.names,
                self.problems,
            );
            (body, expect.map(Box::new))
        } else {
            (Body::read(node, key, self.names, self.problems), None)
        };
        self.push(Step::Send { body, expect }, key);
    }

    fn wait(&mut self, node: &Node, key: &str) {
        let Some(mut fields) = Fields::of(node, key, self.problems) else {
            return;
        };
        let expect = Expect::read(&mut fields, self.names, self.problems);
        fields.finish(self.problems);
        match expect {
            Some(expect) => self.push(Step::Wait(Box::new(expect)), key),
            None if Expect::is_in(node) => {}
            None => {
                let text = "expected capture or match: what is waited for?";
                self.problems.note(node.at, key, text);
            }
        }
    }

    fn think(&mut self, node: &Node, key: &str, fields: &mut Fields<'_>) {
        let jitter = jitter(fields, self.problems).unwrap_or(self.jitter);
        let time = match &node.value {
            Value::Text(text) if text.contains("{{") => {
                let template = Template::parse(text, node.at, key, self.names, self.problems);
                match template.as_constant() {
                    Some(text) => time_of(&text).map(Time::Always),
                    None => Some(Time::Template(template)),
                }
            }
            _ => duration(node).map(Time::Always),
        };
        match time {
            Some(time) => self.push(Step::Think(Box::new(Think { time, jitter })), key),
            None => {
                let text = "expected seconds, or a text such as 500ms or 1m, up to 30 days";
                self.problems.note(node.at, key, text);
            }
        }
    }

    fn repeat(&mut self, node: &Node, key: &str, fields: &mut Fields<'_>) {
        let Value::List(items) = &node.value else {
            let text = format!("expected a list of steps, found {}", node.kind());
            self.problems.note(node.at, key, text);
            return;
        };
        let mut times = self.times(fields);
        let name = |text: Option<&str>, or: &str| text.unwrap_or(or).to_owned();
        let names = LoopNames {
            count: name(fields.text("loopValue", self.problems), "$loopCount"),
            element: name(fields.text("loopElement", self.problems), "$loopElement"),
        };
        if self.names.loops.len() >= LOOPS_MAX {
            let text = format!("more than {LOOPS_MAX} loops inside each other");
            self.problems.note(node.at, key, text);
            return;
        }
        self.names.loops.push(names);
        // A function that says whether the loop goes on is in it.
        if let Some(Times::While(call)) = &mut times {
            call.loops = self.names.loops.clone().into();
        }
        let start = self.steps.len();
        let times = Box::new(times.unwrap_or(Times::Count(0, None)));
        self.push(Step::Loop { times, end: 0 }, key);
        self.steps(items, key, false);
        self.names.loops.pop();
        self.push(
            Step::Again {
                start: start as u16 + 1,
            },
            key,
        );
        let behind = self.steps.len() as u16;
        if let Step::Loop { end, .. } = &mut self.steps[start] {
            *end = behind;
        }
    }

    /// How often a loop goes round; `None` when that is wrong, which is noted.
    fn times(&mut self, fields: &mut Fields<'_>) -> Option<Times> {
        if let Some(node) = fields.take("whileTrue") {
            for key in ["count", "over"] {
                fields.take(key);
            }
            return self
                .call(Some(node), &fields.path_of("whileTrue"))
                .map(Times::While);
        }
        let (count, over) = (fields.take("count"), fields.take("over"));
        let path = fields.path_of("count");
        if let Some(node) = over {
            return self.over(node, &fields.path_of("over"));
        }
        let Some(node) = count else {
            return Some(Times::Count(0, None));
        };
        let text = match &node.value {
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            _ => String::new(),
        };
        let template = Template::parse(&text, node.at, &path, self.names, self.problems);
        let Some(constant) = template.as_constant() else {
            return Some(Times::Template(template));
        };
        match parse_count(&constant) {
            // Artillery takes 0 for no count at all.
            Some((0, Some(0))) => Some(Times::Count(0, None)),
            Some((from, to)) => Some(Times::Count(from, to)),
            None => {
                let text = format!("expected a number, -1 or a range such as 1-15, found `{text}`");
                self.problems.note(node.at, &path, text);
                None
            }
        }
    }

    fn over(&mut self, node: &Node, path: &str) -> Option<Times> {
        match &node.value {
            Value::List(items) => Some(Times::Over(items.iter().map(Node::to_json).collect())),
            Value::Text(name) => match self.names.find(name.trim_matches(['{', '}', ' '])) {
                Part::Fixed(Json::Array(values)) => Some(Times::Over(values.into())),
                Part::Var(var) => Some(Times::OverName(var.origin, var.path)),
                _ => {
                    let text = format!("`{name}` is no list: expected a list, or a name of one");
                    self.problems.note(node.at, path, text);
                    None
                }
            },
            _ => {
                let text = format!("expected a list, or a name of one, found {}", node.kind());
                self.problems.note(node.at, path, text);
                None
            }
        }
    }

    /// A call of the function that `node` names.
    pub(crate) fn call(&mut self, node: Option<&Node>, key: &str) -> Option<Call> {
        let function = function(node?, key, self.names, self.problems)?;
        let loops = self.names.loops.clone().into();
        Some(Call { function, loops })
    }

    /// A text that may be a template.
    pub(crate) fn template(&mut self, node: &Node, key: &str) -> Option<Template> {
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => node.to_json().to_string(),
            _ => {
                let text = format!("expected a text, found {}", node.kind());
                self.problems.note(node.at, key, text);
                return None;
            }
        };
        Some(Template::parse(
            &text,
            node.at,
            key,
            self.names,
            self.problems,
        ))
    }
}

/// The number of the function that `node` names.
pub(crate) fn function(
    node: &Node,
    key: &str,
    names: &mut Names<'_>,
    problems: &mut Problems,
) -> Option<u16> {
    let found = match &node.value {
        Value::Text(name) => names.function(name),
        _ => Err(format!(
            "expected the name of a function, found {}",
            node.kind()
        )),
    };
    found
        .map_err(|wrong| problems.note(node.at, key, wrong))
        .ok()
}

/// Reads `jitter`: `10%`, milliseconds, or a time.
pub(crate) fn jitter(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Jitter> {
    let node = fields.take("jitter")?;
    let jitter = match &node.value {
        Value::Number(number) => {
            let millis = number.as_f64().unwrap_or(-1.0);
            seconds(millis / 1e3).map(Jitter::By)
        }
        Value::Text(text) => match text.trim().strip_suffix('%') {
            Some(share) => {
                let share: Option<f64> = share.trim().parse().ok();
                let share = share.filter(|share| (0.0..=100.0).contains(share));
                share.map(|share| Jitter::Share(share / 100.0))
            }
            None => match text.trim().parse::<f64>() {
                Ok(millis) => seconds(millis / 1e3).map(Jitter::By),
                Err(_) => time_of(text).map(Jitter::By),
            },
        },
        _ => None,
    };
    if jitter.is_none() {
        let text = "expected a share such as 10%, milliseconds, or a time such as 500ms";
        problems.note(node.at, &fields.path_of("jitter"), text);
    }
    jitter
}

/// The key by which an item is a step, or what is wrong with it.
fn entry_of<'i>(item: &'i Node, known: &[&'static str]) -> Result<&'i Entry, String> {
    let Value::Map(entries) = &item.value else {
        return Err(format!(
            "expected a step such as {{think: 1}}, found {}",
            item.kind()
        ));
    };
    let mut found = entries.iter().filter(|entry| known.contains(&&*entry.key));
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (Some(one), Some(two)) => Err(format!(
            "`{}` and `{}` are two steps: write each with a dash of its own",
            one.key, two.key
        )),
        _ => Err(match entries.first() {
            Some(entry) => unknown_step(&entry.key, known),
            None => format!("an empty step: expected one of {}", known.join(", ")),
        }),
    }
}

/// Why a step is none.
fn unknown_step(key: &str, known: &[&str]) -> String {
    let of = match key {
        "response" | "acknowledge" | "namespace" if known.contains(&"emit") => {
            "no step, and stands beside the `emit` that it is for"
        }
        "emit" | "response" | "acknowledge" | "namespace" => "a step of engine: socketio",
        "get" | "post" | "put" | "delete" | "patch" | "head" | "options" | "request" => {
            "a step of engine: http, and fourtuple drives WebSockets alone"
        }
        "join" | "push" | "expect" | "leave" => "a step of engine: phoenix",
        "send" | "wait" if known.contains(&"emit") => {
            "a step of engine: ws, and this is engine: socketio"
        }
        "send" | "wait" => "a step of engine: ws, and this is engine: phoenix",
        "parallel" | "ifTrue" | "probability" => "a step that is not supported",
        _ => match nearest(key, known) {
            Some(name) => return format!("unknown step `{key}`: did you mean `{name}`?"),
            None => "no step",
        },
    };
    format!("`{key}` is {of}: expected one of {}", known.join(", "))
}
