//! The `config` of a script: what holds for all of its scenarios.

use std::time::Duration;

use proto::phoenix::Serializer;

use super::{
    apdex,
    bundle::Files,
    connect::{self, Defaults},
    ensure::Ensure,
    fields::Fields,
    flow,
    names::Variable,
    payload::{self, Payload},
    phases::{self, Phase},
    problem::Problems,
    program::Jitter,
    route::Route,
    storms, tls,
    tree::{Node, Value},
};
use crate::{comeback::Backoff, tls::Tls};

/// What `config` says, apart from what `connect` steps may change.
#[derive(Debug)]
pub(crate) struct Config<'n> {
    pub(crate) phases: Vec<Phase>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) payloads: Vec<Payload>,
    pub(crate) connect: Defaults<'n>,
    /// How long a step waits for its message.
    pub(crate) timeout: Duration,
    pub(crate) jitter: Jitter,
    pub(crate) ensure: Ensure,
    /// Up to which time a response satisfies, if that is asked.
    pub(crate) apdex: Option<Duration>,
    /// Whether a user fails whose message is not as expected.
    pub(crate) fails_unexpected: bool,
    pub(crate) serializer: Serializer,
    pub(crate) heartbeat: Option<Duration>,
    /// How long users wait before they come back, if they do.
    pub(crate) reconnect: Option<Backoff>,
    /// The file of functions in JavaScript.
    pub(crate) processor: Option<&'n Node>,
}

/// Plugins that look at HTTP alone, so that a script of WebSockets loses nothing without them.
const HTTP_PLUGINS: [&str; 1] = ["metrics-by-endpoint"];

/// What `config.plugins` has of those that are there.
#[derive(Debug, Default)]
struct Plugins<'n> {
    ensure: Option<&'n Node>,
    apdex: Option<&'n Node>,
    expect: Option<&'n Node>,
}

/// Keys of other engines and of Artillery's own ways of running: nothing here depends on them.
const OTHERS: [&str; 4] = ["http", "engines", "bundling", "includeFiles"];

impl<'n> Config<'n> {
    /// Reads `config`; what it names is in `files`.
    pub(crate) fn read(
        node: &'n Node,
        files: &'n Files<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut fields = Fields::of(node, "config", problems)?;
        let phases = phases::read(&mut fields, problems);
        let variables = fields.take("variables");
        let variables = variables.map(|node| read_variables(node, problems));
        let payloads = payload::read(&mut fields, files, problems);
        let timeout = timeout(&mut fields, problems);
        let mut connect = Defaults {
            target: fields.take("target"),
            headers: None,
            protocols: &[],
            params: None,
            socketio: fields.take("socketio"),
            tls: Tls::default(),
            route: Route::default(),
            files,
        };
        if let Some(own) = fields.take("tls")
            && let Some(mut own) = Fields::of(own, "config.tls", problems)
        {
            tls::read(&mut own, &mut connect.tls, files, problems);
            connect::refuse_options(&mut own, problems);
            own.finish(problems);
        }
        let ws_timeout = read_ws(&mut fields, &mut connect, problems);
        let (serializer, heartbeat) = read_phoenix(&mut fields, &mut connect, problems);
        let jitter = read_defaults(&mut fields, problems);
        let reconnect = storms::read_reconnect(&mut fields, problems);
        let plugins = Plugins::read(&mut fields, problems);
        let ensure = read_ensure(&mut fields, plugins.ensure, problems);
        let apdex = apdex::threshold(fields.take("apdex"), plugins.apdex, problems);
        let fails_unexpected = plugins.fails_unexpected(problems);
        let processor = fields.take("processor");
        // Merged into the rest before it was read.
        fields.take("environments");
        for key in OTHERS {
            fields.take(key);
        }
        fields.finish(problems);
        Some(Self {
            phases,
            variables: variables.unwrap_or_default(),
            payloads,
            connect,
            timeout: timeout.or(ws_timeout).unwrap_or(Duration::from_secs(10)),
            jitter,
            ensure,
            apdex,
            fails_unexpected,
            serializer,
            heartbeat,
            reconnect: reconnect.flatten(),
            processor,
        })
    }
}

/// How long to wait for a message; 0 is as good as nothing, as in Artillery.
fn timeout(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Duration> {
    let seconds = fields.number("timeout", (0.0, 86_400.0), problems)?;
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
}

fn read_variables(node: &Node, problems: &mut Problems) -> Vec<Variable> {
    let Value::Map(entries) = &node.value else {
        let text = format!("expected names and values, found {}", node.kind());
        problems.note(node.at, "config.variables", text);
        return Vec::new();
    };
    let variable = |entry: &super::tree::Entry| Variable {
        name: entry.key.clone(),
        values: match &entry.node.value {
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            _ => [entry.node.to_json()].into(),
        },
    };
    entries.iter().map(variable).collect()
}

fn read_ws<'n>(
    config: &mut Fields<'n>,
    connect: &mut Defaults<'n>,
    problems: &mut Problems,
) -> Option<Duration> {
    let mut fields = Fields::of(config.take("ws")?, "config.ws", problems)?;
    connect.headers = fields.take("headers");
    connect.protocols = fields.list("subprotocols");
    let timeout = timeout(&mut fields, problems);
    let own = (&mut connect.tls, &mut connect.route);
    connect::read_options(&mut fields, own, connect.files, problems);
    fields.finish(problems);
    timeout
}

fn read_phoenix<'n>(
    config: &mut Fields<'n>,
    connect: &mut Defaults<'n>,
    problems: &mut Problems,
) -> (Serializer, Option<Duration>) {
    let usual = (Serializer::V2, Some(Duration::from_secs(30)));
    let Some(node) = config.take("phoenix") else {
        return usual;
    };
    let Some(mut fields) = Fields::of(node, "config.phoenix", problems) else {
        return usual;
    };
    connect.params = fields.take("params");
    let vsn = fields.text("vsn", problems);
    let serializer = connect::serializer(vsn).unwrap_or_else(|| {
        let text = "expected 1.0.0 or 2.0.0";
        problems.note(fields.place_of("vsn"), "config.phoenix.vsn", text);
        Serializer::V2
    });
    let heartbeat = fields.time("heartbeat", problems);
    fields.finish(problems);
    let heartbeat = match heartbeat {
        None => usual.1,
        Some(time) => Some(time).filter(|time| !time.is_zero()),
    };
    (serializer, heartbeat)
}

fn read_defaults(config: &mut Fields<'_>, problems: &mut Problems) -> Jitter {
    let mut read = |problems: &mut Problems| {
        let mut defaults = Fields::of(config.take("defaults")?, "config.defaults", problems)?;
        let think = defaults.take("think");
        defaults.take("headers");
        defaults.take("strictCapture");
        defaults.finish(problems);
        let mut think = Fields::of(think?, "config.defaults.think", problems)?;
        let jitter = flow::jitter(&mut think, problems);
        think.finish(problems);
        jitter
    };
    read(problems).unwrap_or_default()
}

impl<'n> Plugins<'n> {
    fn read(config: &mut Fields<'n>, problems: &mut Problems) -> Self {
        let mut plugins = Self::default();
        let Some(Node {
            value: Value::Map(entries),
            ..
        }) = config.take("plugins")
        else {
            return plugins;
        };
        for entry in entries {
            let own = Some(&entry.node);
            match &*entry.key {
                "ensure" => plugins.ensure = own,
                "apdex" => plugins.apdex = own,
                "expect" => plugins.expect = own,
                name if HTTP_PLUGINS.contains(&name) => {}
                name => {
                    let text = "this plugin is not supported: delete it; the report is also JSON \
                                (--output)";
                    problems.note(entry.at, &format!("config.plugins.{name}"), text);
                }
            }
        }
        plugins
    }

    fn fails_unexpected(&self, problems: &mut Problems) -> bool {
        let Some(node) = self.expect.filter(|node| node.value != Value::Null) else {
            return false;
        };
        let Some(mut fields) = Fields::of(node, "config.plugins.expect", problems) else {
            return false;
        };
        // How the plugin prints, and what it does with HTTP.
        for key in [
            "outputFormat",
            "formatter",
            "useOnlyRequestNames",
            "expectDefault200",
        ] {
            fields.take(key);
        }
        let fails = fields.boolean("reportFailuresAsErrors", problems);
        fields.finish(problems);
        fails.unwrap_or(false)
    }
}

fn read_ensure(config: &mut Fields<'_>, plugin: Option<&Node>, problems: &mut Problems) -> Ensure {
    // Without checks the plugin's entry only switches it on.
    let plugin = plugin.filter(|node| matches!(&node.value, Value::Map(all) if !all.is_empty()));
    let own = config.take("ensure").map(|node| (node, "config.ensure"));
    let plugin = plugin.map(|node| (node, "config.plugins.ensure"));
    match own.or(plugin) {
        Some((node, path)) => Ensure::read(node, path, problems),
        None => Ensure::default(),
    }
}
