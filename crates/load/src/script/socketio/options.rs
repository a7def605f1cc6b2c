//! `config.socketio`: where a session connects and what it asks for.

use crate::script::{
    connect::{Connect, Defaults, read_options},
    fields::Fields,
    names::Names,
    problem::{Place, Problems},
    route::Route,
    template::{Body, Template},
    tree::{Entry, Node, Value},
};

/// What a session asks for beyond what every WebSocket does.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Where Engine.IO is on the server, such as `/socket.io/`.
    pub(crate) path: Template,
    /// What the server is given with each namespace.
    pub(crate) auth: Option<Body>,
}

/// Options of socket.io-client about transports that are not used and returns that do not happen,
/// and others that change nothing.
const IDLE: [&str; 22] = [
    "ackTimeout",
    "autoConnect",
    "autoUnref",
    "closeOnBeforeunload",
    "forceBase64",
    "forceNew",
    "multiplex",
    "randomizationFactor",
    "reconnection",
    "reconnectionAttempts",
    "reconnectionDelay",
    "reconnectionDelayMax",
    "rememberUpgrade",
    "requestTimeout",
    "retries",
    "timeout",
    "timestampParam",
    "timestampRequests",
    "transportOptions",
    "tryAllTransports",
    "upgrade",
    "withCredentials",
];

/// Reads where the users of a scenario connect: `config.socketio`, with the scenario's own
/// `socketio` laid on top.
pub(crate) fn connect(
    own: Option<&Node>,
    place: Place,
    defaults: &Defaults<'_>,
    names: &mut Names<'_>,
    problems: &mut Problems,
) -> Option<Connect> {
    let options = laid(defaults.socketio, own, place);
    let mut fields = Fields::of(&options, "config.socketio", problems)?;
    // A proxy of `config.ws` is for its engine alone.
    let (mut tls, mut route) = (defaults.tls.clone(), Route::default());
    read_options(
        &mut fields,
        (&mut tls, &mut route),
        defaults.files,
        problems,
    );
    for key in IDLE {
        fields.take(key);
    }
    transports(&mut fields, problems);
    let path = path(&mut fields, names, problems);
    let auth = fields.take("auth").map(|node| {
        let key = fields.path_of("auth");
        if !matches!(node.value, Value::Map(_)) {
            let text = format!("expected names and values, found {}", node.kind());
            problems.note(node.at, &key, text);
        }
        Body::read(node, &key, names, problems)
    });
    let query = fields.take("query").map(pairs);
    let headers = fields.take("extraHeaders");
    fields.finish(problems);
    let defaults = Defaults {
        headers,
        protocols: &[],
        params: query.as_ref(),
        tls,
        route,
        ..defaults.clone()
    };
    let mut connect = Connect::read(None, place, &defaults, names, problems)?;
    connect.session = Some(Box::new(Session { path, auth }));
    Some(connect)
}

/// The options of all scenarios with those of one on top, key by key.
fn laid(all: Option<&Node>, own: Option<&Node>, at: Place) -> Node {
    let mut options = all.cloned().unwrap_or(Node {
        at,
        value: Value::Map(Vec::new()),
    });
    match (&mut options.value, own.map(|own| &own.value)) {
        (Value::Map(entries), Some(Value::Map(news))) => {
            entries.retain(|entry| news.iter().all(|new| new.key != entry.key));
            entries.extend(news.iter().cloned());
        }
        (_, Some(_)) => options = own.cloned().unwrap_or(options),
        _ => {}
    }
    if let Value::Map(entries) = &mut options.value {
        // Keys that somebody has put out of use; socket.io-client knows none like them.
        entries.retain(|entry| !entry.key.starts_with('_'));
    }
    options
}

/// Sessions go over WebSockets alone, whatever other transports a script would begin with.
fn transports(fields: &mut Fields<'_>, problems: &mut Problems) {
    let wanted = fields.texts("transports", problems);
    if !wanted.is_empty() && !wanted.contains(&"websocket") {
        let text = "only WebSockets are spoken: add websocket to the transports, or leave them out";
        problems.note(
            fields.place_of("transports"),
            &fields.path_of("transports"),
            text,
        );
    }
}

/// The path, with the slash at its end that socket.io-client gives it.
fn path(fields: &mut Fields<'_>, names: &mut Names<'_>, problems: &mut Problems) -> Template {
    let has_slash = fields.boolean("addTrailingSlash", problems).unwrap_or(true);
    let text = fields.text("path", problems).unwrap_or("/socket.io");
    let (at, key) = (fields.place_of("path"), fields.path_of("path"));
    if !text.starts_with('/') || text.contains(['?', '#', ' ']) {
        let text = "expected a path such as /socket.io; a query stands in config.socketio.query";
        problems.note(at, &key, text);
    }
    let slash = if has_slash { "/" } else { "" };
    let path = format!("{}{slash}", text.strip_suffix('/').unwrap_or(text));
    Template::parse(&path, at, &key, names, problems)
}

/// A query as names and values: `a=1&b=2` or a map.
fn pairs(node: &Node) -> Node {
    let Value::Text(text) = &node.value else {
        return node.clone();
    };
    // A plus stands for itself in a query of JavaScript, and not for a space.
    let text = text.replace('+', "%2B");
    let entry = |(key, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| Entry {
        key: key.into_owned(),
        at: node.at,
        node: Node {
            at: node.at,
            value: Value::Text(value.into_owned()),
        },
    };
    Node {
        at: node.at,
        value: Value::Map(form_urlencoded::parse(text.as_bytes()).map(entry).collect()),
    }
}
