//! A script from its file: overrides laid on top, variables put in, scenarios compiled.

use std::{fs, path::Path, sync::Arc, time::Duration};

use super::{
    bundle::Files,
    config::Config,
    connect::Connect,
    ensure::Ensure,
    fields::Fields,
    flags::{ScriptFlags, mark_of, overlay},
    flow::{self, Compiler},
    names::{self, Names, Variable},
    payload::Payload,
    phases::Phase,
    problem::{Place, Problems},
    processor::Processor,
    program::{Call, Dialect, Program, Step},
    socketio, sockets, storms,
    tree::{Node, Value},
};

/// A script that can be run.
#[derive(Clone, Debug)]
pub struct Script {
    pub(crate) file: String,
    pub(crate) phases: Arc<[Phase]>,
    pub(crate) programs: Vec<Program>,
    /// What one user does before all others arrive, and after they have left.
    before: Option<Box<Program>>,
    after: Option<Box<Program>>,
    /// Whether this is the script of that one user.
    pub(crate) is_alone: bool,
    pub(crate) variables: Vec<Variable>,
    pub(crate) payloads: Vec<Payload>,
    /// What steps capture, by slot.
    pub(crate) captures: Vec<String>,
    /// The functions in JavaScript.
    pub(crate) processor: Option<Arc<Processor>>,
    pub(crate) timeout: Duration,
    pub(crate) ensure: Ensure,
    /// Up to which time a response satisfies, if that is asked.
    pub(crate) apdex: Option<Duration>,
    /// Whether a user fails whose message is not as expected.
    pub(crate) fails_unexpected: bool,
    warnings: Vec<String>,
    /// What tells it from another script, or from the same one run in another way.
    pub(crate) mark: u64,
}

/// When one user is alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Before,
    After,
}

/// Scenarios of one script, at most.
const SCENARIOS_MAX: usize = 1_000;

impl Script {
    /// Reads the script at `path`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn read(path: &Path, flags: &ScriptFlags) -> Result<Self, Problems> {
        let file = path.display().to_string();
        let mut problems = Problems::of(&file);
        match fs::read_to_string(path) {
            Ok(text) => {
                let folder = path.parent().unwrap_or_else(|| Path::new("."));
                let environment = |name: &str| std::env::var(name).ok();
                Self::parse(&file, &text, folder, flags, &environment)
            }
            Err(error) => {
                let place = Place { line: 1, column: 1 };
                problems.note(place, "", format!("cannot read the script: {error}"));
                problems.or(None)
            }
        }
    }

    /// Reads the script in `text`, whose files are in `folder`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(
        file: &str,
        text: &str,
        folder: &Path,
        flags: &ScriptFlags,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        Self::parse_with(file, text, &Files::in_folder(folder), flags, environment)
    }

    /// The same with files that may be elsewhere.
    pub(crate) fn parse_with(
        file: &str,
        text: &str,
        files: &Files<'_>,
        flags: &ScriptFlags,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::of(file);
        let tree = Node::parse(text, &mut problems);
        let environment = &|name: &str| {
            let value = environment(name);
            value.or_else(|| flags.dotenv.get(name).cloned())
        };
        let script = tree.and_then(|mut tree| {
            overlay(&mut tree, flags, &mut problems);
            let mut warnings = Vec::new();
            put_in(&mut tree, flags, environment, &mut warnings);
            let source = Source {
                tree: &tree,
                files,
                environment,
            };
            compile(file, &source, flags, warnings, &mut problems)
        });
        let mut script = problems.or(script)?;
        script.mark = mark_of(text, flags);
        Ok(script)
    }

    /// The servers of its scenarios.
    pub fn targets(&self) -> impl Iterator<Item = &crate::target::Target> {
        self.connects().map(|connect| &connect.server)
    }

    /// Where the sockets of its scenarios connect: of each scenario, its users' own and those besides.
    pub(crate) fn connects(&self) -> impl Iterator<Item = &Connect> {
        self.programs.iter().flat_map(Program::connects)
    }

    /// Whether users of any of its scenarios come back.
    pub(crate) fn comes_back(&self) -> bool {
        let mut programs = self.programs.iter();
        programs.any(|program| program.reconnect.is_some())
    }

    /// How many sockets a user of any of its scenarios has at most.
    pub(crate) fn sockets_max(&self) -> u32 {
        let counts = self.programs.iter().map(Program::sockets_count);
        // A scenario has few.
        counts.max().unwrap_or(1) as u32
    }

    /// Whether one user does something before all others arrive.
    pub fn has_before(&self) -> bool {
        self.before.is_some()
    }

    /// The script of the one user before or after all others, if there is one.
    pub(crate) fn alone(&self, edge: Edge) -> Option<Self> {
        let program = match edge {
            Edge::Before => self.before.as_deref()?,
            Edge::After => self.after.as_deref()?,
        };
        Some(Self {
            phases: [Phase::of_one()].into(),
            programs: vec![program.clone()],
            ensure: Ensure::default(),
            is_alone: true,
            ..self.clone()
        })
    }

    /// What is odd about the script and does not keep it from running.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Puts in what is the same for the whole run: variables of the environment and the script's own names.
fn put_in(
    tree: &mut Node,
    flags: &ScriptFlags,
    environment: &dyn Fn(&str) -> Option<String>,
    warnings: &mut Vec<String>,
) {
    let chosen = flags.environment.clone().unwrap_or_default();
    tree.change_texts(&mut |text| {
        let mut from = 0;
        while let Some(start) = text[from..].find("{{").map(|at| from + at) {
            let Some(end) = text[start..].find("}}").map(|at| start + at + 2) else {
                return;
            };
            let name = text[start..end].trim_matches(['{', '}']).trim();
            let variable = name
                .strip_prefix("$env.")
                .or_else(|| name.strip_prefix("$processEnvironment."));
            let value = match (variable, name) {
                (Some(variable), _) => Some(environment(variable).unwrap_or_else(|| {
                    warnings.push(format!("{variable} is not set in the environment"));
                    "undefined".to_owned()
                })),
                (None, "$environment") => Some(chosen.clone()),
                _ => None,
            };
            from = end;
            if let Some(value) = value {
                from = start + value.len();
                text.replace_range(start..end, &value);
            }
        }
    });
}

/// What a script is made of.
struct Source<'s> {
    tree: &'s Node,
    files: &'s Files<'s>,
    environment: &'s dyn Fn(&str) -> Option<String>,
}

fn compile(
    file: &str,
    source: &Source<'_>,
    flags: &ScriptFlags,
    mut warnings: Vec<String>,
    problems: &mut Problems,
) -> Option<Script> {
    let &Source { tree, files, .. } = source;
    let mut fields = Fields::of(tree, "", problems)?;
    let edges = [fields.take("before"), fields.take("after")];
    let config = match fields.take("config") {
        Some(node) => Config::read(node, files, problems),
        None => {
            fields.missing("config", "target and phases", problems);
            None
        }
    };
    let scenarios = fields.take("scenarios");
    let at = fields.at;
    fields.finish(problems);
    let config = config?;
    let at = scenarios.map_or(at, |node| node.at);
    let items: &[Node] = match scenarios.map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    };
    if items.is_empty() || items.len() > SCENARIOS_MAX {
        let text = format!("expected a list of 1 to {SCENARIOS_MAX} scenarios");
        problems.note(at, "scenarios", text);
        return None;
    }
    let before = problems.count();
    let processor = processor(&config, source, problems);
    if problems.count() > before {
        return None;
    }
    let captures = names::captures(tree, processor.as_ref());
    let (programs, mut names) = programs(items, &config, &captures, processor, problems);
    let [before, after] = [("before", edges[0]), ("after", edges[1])].map(|(path, node)| {
        let program = scenario(node?, path, path, &config, &mut names, problems);
        program.map(Box::new)
    });
    let Names {
        unknown, processor, ..
    } = names;
    let programs = chosen(programs, at, flags, problems);
    storms::check(tree.find("config"), &programs, problems);
    note_lacks(processor.as_ref(), &config, &mut warnings, problems);
    let odd =
        |name: &String| format!("`{name}` in a template stands for nothing: it will be undefined");
    warnings.extend(unknown.iter().map(odd));
    Some(Script {
        mark: 0,
        file: file.to_owned(),
        phases: config.phases.into(),
        programs,
        before,
        after,
        is_alone: false,
        variables: config.variables,
        payloads: config.payloads,
        captures,
        processor: processor.map(Arc::new),
        timeout: config.timeout,
        ensure: config.ensure,
        apdex: config.apdex,
        fails_unexpected: config.fails_unexpected,
        warnings,
    })
}

/// Notes what functions ask for that is not there; where nobody comes, it is only a warning.
fn note_lacks(
    processor: Option<&Processor>,
    config: &Config<'_>,
    warnings: &mut Vec<String>,
    problems: &mut Problems,
) {
    let (Some(processor), Some(node)) = (processor, config.processor) else {
        return;
    };
    for (wrong, may_happen) in processor.lacking() {
        if may_happen {
            problems.note(node.at, "config.processor", wrong);
        } else {
            warnings.push(format!("{wrong}; no step comes there"));
        }
    }
}

/// Reads the functions of a script.
fn processor(
    config: &Config<'_>,
    source: &Source<'_>,
    problems: &mut Problems,
) -> Option<Processor> {
    let read = |name: &str| source.files.read(name);
    let mut processor = Processor::read(config.processor?, &read, source.environment, problems)?;
    for payload in &config.payloads {
        if let Some(name) = &payload.name {
            let rows = serde_json::Value::Array(payload.all.to_vec()).to_string();
            processor.shared.insert(name.clone(), rows.into());
        }
    }
    Some(processor)
}

/// Reads the scenarios; gives also what was found about names.
fn programs<'c>(
    items: &[Node],
    config: &'c Config<'_>,
    captures: &'c [String],
    processor: Option<Processor>,
    problems: &mut Problems,
) -> (Vec<Program>, Names<'c>) {
    let mut names = Names {
        variables: &config.variables,
        payloads: &config.payloads,
        captures,
        loops: Vec::new(),
        unknown: Vec::new(),
        processor,
    };
    let mut programs = Vec::new();
    for (number, item) in items.iter().enumerate() {
        names.loops.clear();
        let (path, name) = (format!("scenarios[{number}]"), number.to_string());
        programs.extend(scenario(item, &path, &name, config, &mut names, problems));
    }
    (programs, names)
}

/// Those scenarios that are to run.
fn chosen(
    mut programs: Vec<Program>,
    at: Place,
    flags: &ScriptFlags,
    problems: &mut Problems,
) -> Vec<Program> {
    if let Some(wanted) = &flags.scenario {
        programs.retain(|program| program.name == *wanted);
        if programs.is_empty() && problems.count() == 0 {
            let text = format!("no scenario is called `{wanted}`");
            problems.note(Place::default(), "--scenario-name", text);
        }
    }
    if programs.iter().all(|program| program.weight == 0.0) && problems.count() == 0 {
        let text = "every weight is 0: no scenario would run";
        problems.note(at, "scenarios", text);
    }
    programs
}

fn scenario(
    node: &Node,
    path: &str,
    number: &str,
    config: &Config<'_>,
    names: &mut Names<'_>,
    problems: &mut Problems,
) -> Option<Program> {
    let mut fields = Fields::of(node, path, problems)?;
    let name = fields.text("name", problems);
    let weight = fields.number("weight", (0.0, 1e9), problems).unwrap_or(1.0);
    // Of requests over HTTP, which this scenario does not make.
    let _ = ["beforeRequest", "afterResponse"].map(|key| fields.take(key));
    let before = hooks("beforeScenario", &mut fields, names, problems);
    let after = hooks("afterScenario", &mut fields, names, problems);
    let engine = fields.text("engine", problems);
    let dialect = dialect(engine, config, &fields, problems)?;
    let reconnect = storms::reconnect_of(&mut fields, dialect, config.reconnect, problems);
    let own = fields.take("socketio");
    let sides = sockets::read(&mut fields, dialect, config, names, problems);
    let flow_path = fields.path_of("flow");
    let items = flow_of(&mut fields, problems);
    fields.finish(problems);
    let connect_path = format!("{flow_path}[0].connect");
    let step = items.first().and_then(|first| first.find("connect"));
    let step = step.map(|step| (step, &*connect_path));
    let connect = match dialect {
        Dialect::SocketIo => socketio::connect(own, node.at, &config.connect, names, problems),
        _ => Connect::read(step, node.at, &config.connect, names, problems),
    };
    let before_flow = problems.count();
    let mut compiler = Compiler::new(names, problems, dialect, &sides);
    (compiler.jitter, compiler.comes_back) = (config.jitter, reconnect.is_some());
    compiler.steps(items, &flow_path, dialect != Dialect::SocketIo);
    for (number, function) in after.into_iter().enumerate() {
        let loops = Box::default();
        let label = format!("{path}.afterScenario[{number}]");
        compiler.push(Step::Call(Box::new(Call { function, loops })), &label);
    }
    if compiler.problems.count() == before_flow {
        compiler.check_sockets();
    }
    let Compiler {
        steps, labels, on, ..
    } = compiler;
    // Where there is one socket, no step need say which.
    let on = if sides.is_empty() { Vec::new() } else { on };
    Some(Program {
        name: name.unwrap_or(number).to_owned(),
        weight,
        dialect,
        connect: connect?,
        reconnect,
        before: before.into(),
        steps: steps.into(),
        on: on.into(),
        labels: labels.into(),
        sides: sides.into(),
    })
}

/// The steps of a scenario.
fn flow_of<'n>(fields: &mut Fields<'n>, problems: &mut Problems) -> &'n [Node] {
    match fields.take("flow") {
        Some(Node {
            value: Value::List(items),
            ..
        }) => return items,
        Some(node) => {
            let text = format!("expected a list of steps, found {}", node.kind());
            problems.note(node.at, &fields.path_of("flow"), text);
        }
        None => fields.missing("flow", "a list of steps", problems),
    }
    &[]
}

/// The functions that run before or after a scenario: a name, or several.
fn hooks(
    key: &'static str,
    fields: &mut Fields<'_>,
    names: &mut Names<'_>,
    problems: &mut Problems,
) -> Vec<u16> {
    let path = fields.path_of(key);
    let items = fields.list(key).iter();
    items
        .filter_map(|node| flow::function(node, &path, names, problems))
        .collect()
}

/// What a scenario, or one of its sockets, speaks.
pub(crate) fn dialect(
    engine: Option<&str>,
    config: &Config<'_>,
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Dialect> {
    match engine {
        Some("ws" | "websocket") => return Some(Dialect::Plain),
        Some("socketio") => return Some(Dialect::SocketIo),
        Some("phoenix") => return Some(Dialect::Phoenix(config.serializer, config.heartbeat)),
        _ => {}
    }
    let found = match engine {
        None => "http, which is meant where none is named, and fourtuple drives WebSockets alone",
        Some("http") => "http, and fourtuple drives WebSockets alone",
        Some(other) => other,
    };
    let text = format!("expected engine: ws, socketio or phoenix, found {found}");
    problems.note(fields.place_of("engine"), &fields.path_of("engine"), text);
    None
}
