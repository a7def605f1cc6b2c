//! Where a scenario connects, and with which head.

use proto::phoenix::Serializer;
use serde_json::{Value as Json, json};

use super::{
    bundle::Files,
    fields::Fields,
    flow,
    memory::Scene,
    names::Names,
    problem::{Place, Problems},
    program::Dialect,
    route::Route,
    socketio::Session,
    template::Template,
    tls,
    tree::{Node, Value},
};
use crate::{target::Target, tls::Tls};

/// What `connect` and `config` say together.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    /// The server, which is the same for everybody.
    pub(crate) server: Target,
    /// The whole URL, if it differs from user to user.
    url: Option<Template>,
    headers: Box<[(String, Template)]>,
    protocols: Box<[Template]>,
    /// What the server is asked for if it speaks TLS.
    pub(crate) tls: Tls,
    /// How connections to it are made.
    pub(crate) route: Route,
    /// Parameters of a Phoenix socket.
    params: Box<[(String, Template)]>,
    /// What a session of Socket.IO asks for besides; its query is in the parameters.
    pub(crate) session: Option<Box<Session>>,
    /// The function that may change all of it.
    pub(crate) function: Option<u16>,
}

/// What the upgrade request of one user asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) protocols: Vec<String>,
}

/// What holds for all scenarios: `config.target`, `config.ws` and `config.phoenix`.
#[derive(Clone, Debug)]
pub(crate) struct Defaults<'n> {
    pub(crate) target: Option<&'n Node>,
    pub(crate) headers: Option<&'n Node>,
    pub(crate) protocols: &'n [Node],
    pub(crate) params: Option<&'n Node>,
    /// `config.socketio`, which is read for each scenario that speaks it.
    pub(crate) socketio: Option<&'n Node>,
    pub(crate) tls: Tls,
    pub(crate) route: Route,
    pub(crate) files: &'n Files<'n>,
}

/// Headers that the upgrade itself has.
const OWN_HEADERS: [&str; 5] = [
    "host",
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
];

/// Options of Node's `ws` that change nothing that is measured.
pub(crate) const IDLE_OPTIONS: [&str; 5] = [
    "handshakeTimeout",
    "maxRedirects",
    "followRedirects",
    "maxPayload",
    "skipUTF8Validation",
];

/// Reads the options of a connection, on top of those that hold for all, and notes those that are not there.
pub(crate) fn read_options(
    fields: &mut Fields<'_>,
    (tls, route): (&mut Tls, &mut Route),
    files: &Files<'_>,
    problems: &mut Problems,
) {
    tls::read(fields, tls, files, problems);
    route.read(fields, problems);
    refuse_options(fields, problems);
}

/// Notes the options of a connection that would change what is measured and that are not there.
pub(crate) fn refuse_options(fields: &mut Fields<'_>, problems: &mut Problems) {
    for key in IDLE_OPTIONS {
        fields.take(key);
    }
    fields.forbid(
        "agent",
        "an agent is an object of Node: delete it",
        problems,
    );
    if fields.boolean("perMessageDeflate", problems) == Some(true) {
        let key = fields.path_of("perMessageDeflate");
        let text = "compression is not supported: set it to false, and messages go uncompressed";
        problems.note(fields.place_of("perMessageDeflate"), &key, text);
    }
}

impl Connect {
    /// Reads the `connect` step of a scenario, if it has one.
    pub(crate) fn read(
        step: Option<(&Node, &str)>,
        place: Place,
        defaults: &Defaults<'_>,
        names: &mut Names<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let (mut target, mut headers, mut protocols, mut params) = (
            defaults
                .target
                .map(|node| (node, "config.target".to_owned())),
            defaults.headers,
            defaults.protocols,
            defaults.params,
        );
        let (mut own_tls, mut route) = (defaults.tls.clone(), defaults.route.clone());
        let mut function = None;
        match step {
            Some((node, path)) if matches!(node.value, Value::Text(_)) => {
                target = Some((node, path.to_owned()));
            }
            Some((node, path)) => {
                let mut fields = Fields::of(node, path, problems)?;
                if let Some(own) = fields.take("target") {
                    target = Some((own, fields.path_of("target")));
                }
                headers = fields.take("headers").or(headers);
                if fields.take("subprotocols").is_some() {
                    protocols = fields.list("subprotocols");
                }
                params = fields.take("params").or(params);
                let (key, node) = (fields.path_of("function"), fields.take("function"));
                function = node.and_then(|node| flow::function(node, &key, names, problems));
                let own = (&mut own_tls, &mut route);
                read_options(&mut fields, own, defaults.files, problems);
                fields.finish(problems);
            }
            None => {}
        }
        let Some((node, path)) = target else {
            let text = "expected the server's URL here, in a connect step or with --target";
            problems.note(place, "config.target", text);
            return None;
        };
        let (server, url) = server(node, &path, defaults, names, problems)?;
        let mut read = |node: Option<&Node>, key| pairs(node, key, names, problems);
        let (all_headers, params) = (read(headers, "headers"), read(params, "params"));
        let (protocol_headers, headers): (Vec<_>, Vec<_>) = all_headers
            .into_iter()
            .partition(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"));
        let protocols = protocols.iter();
        let protocols = protocols.filter_map(|node| text(node, "subprotocols", names, problems));
        let all = with_header(protocols.collect(), protocol_headers);
        refuse_headers(&headers, place, problems);
        Some(Self {
            server,
            url,
            headers: headers.into(),
            tls: own_tls,
            route,
            protocols: all.into(),
            params: params.into(),
            session: None,
            function,
        })
    }

    /// Whether everybody asks for the same, and always.
    pub(crate) fn is_constant(&self) -> bool {
        let pairs = self.headers.iter().chain(&self.params);
        let mut texts = pairs.map(|(_, text)| text).chain(&self.protocols);
        self.url.is_none()
            && self.function.is_none()
            && texts.all(|text| text.as_constant().is_some())
    }

    /// What the request of one user asks for; `None` when the URL that it makes is none, or one of
    /// another server.
    pub(crate) fn request(&self, dialect: Dialect, scene: &mut Scene<'_>) -> Option<Request> {
        let own = match &self.url {
            None => None,
            Some(template) => Some(self.own(&written(template, scene))?),
        };
        let mut request = Request::default();
        let headers = self.headers.iter();
        request.headers = headers
            .map(|(name, value)| (name.clone(), written(value, scene)))
            .collect();
        let protocols = self.protocols.iter();
        request.protocols = protocols.map(|one| written(one, scene)).collect();
        self.aim(&mut request, own.as_ref(), dialect, scene);
        Some(request)
    }

    /// What a function that connects is given, and may change.
    pub(crate) fn arguments(&self, scene: &mut Scene<'_>) -> Json {
        let url = match &self.url {
            Some(template) => written(template, scene),
            None => self.server.to_string(),
        };
        let headers = self.headers.iter();
        let headers: serde_json::Map<_, _> = headers
            .map(|(name, value)| (name.clone(), written(value, scene).into()))
            .collect();
        let protocols = self.protocols.iter();
        let protocols: Vec<_> = protocols.map(|one| written(one, scene)).collect();
        json!({"target": url, "subprotocols": protocols, "options": {"headers": headers}})
    }

    /// What a user asks for whose function has left `wanted`, or what is wrong with that.
    pub(crate) fn request_of(
        &self,
        wanted: &Json,
        dialect: Dialect,
        scene: &mut Scene<'_>,
    ) -> Result<Request, String> {
        let text = |value: &Json| match value {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let url = wanted["target"].as_str().unwrap_or_default();
        let own = self.own(url).ok_or_else(|| {
            format!(
                "wsArgs.target is `{url}`: expected a URL of {}, the server of the script",
                self.server.host()
            )
        })?;
        let mut request = Request::default();
        for (name, value) in wanted["options"]["headers"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let value = text(value);
            if is_refused(name) || value.contains(['\r', '\n']) {
                return Err(format!(
                    "wsArgs.options.headers has `{name}`, which cannot be sent"
                ));
            }
            request.headers.push((name.clone(), value));
        }
        let protocols = wanted["subprotocols"].as_array().into_iter().flatten();
        request.protocols = protocols.map(text).collect();
        self.aim(&mut request, Some(&own), dialect, scene);
        Ok(request)
    }

    /// A user's own URL; `None` when it is none, or one of another server.
    fn own(&self, url: &str) -> Option<Target> {
        let own = url.replace(' ', "%20").parse::<Target>().ok()?;
        (own.host() == self.server.host()).then_some(own)
    }

    /// Says which host and path a request is for.
    fn aim(
        &self,
        request: &mut Request,
        own: Option<&Target>,
        dialect: Dialect,
        scene: &mut Scene<'_>,
    ) {
        let server = own.unwrap_or(&self.server);
        request.host = server.host();
        let target = match (dialect, &self.session) {
            (Dialect::Phoenix(serializer, _), _) => server.phoenix(serializer.vsn()),
            (Dialect::SocketIo, Some(session)) => {
                let mount = written(&session.path, scene);
                server.socketio(&mount, !self.params.is_empty())
            }
            _ => {
                request.target = server.plain();
                return;
            }
        };
        let params = self.params.iter();
        let params = params.map(|(name, value)| (name, written(value, scene)));
        request.target = with_params(target, params);
    }
}

fn written(template: &Template, scene: &mut Scene<'_>) -> String {
    let mut text = String::new();
    template.write(&mut text, scene);
    text
}

/// Notes the headers that a script may not have.
fn refuse_headers(headers: &[(String, Template)], place: Place, problems: &mut Problems) {
    for (name, _) in headers.iter().filter(|(name, _)| is_refused(name)) {
        let text = format!("`{name}` is a header of the upgrade itself, or no name of one");
        problems.note(place, "headers", text);
    }
}

/// Whether a header is one of the upgrade itself, or has no name.
fn is_refused(name: &str) -> bool {
    let is_own = OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    is_own || name.is_empty() || !name.bytes().all(is_token)
}

/// The subprotocols of a script and those that it gives as a header, which are divided by commas.
fn with_header(mut all: Vec<Template>, headers: Vec<(String, Template)>) -> Vec<Template> {
    for (_, template) in headers {
        match template.as_constant() {
            Some(list) => all.extend(list.split(',').map(|one| Template::constant(one.trim()))),
            None => all.push(template),
        }
    }
    all
}

/// Appends connect parameters to a target that has a query already.
fn with_params<'a>(target: String, params: impl Iterator<Item = (&'a String, String)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in params {
        query.append_pair(name, &value);
    }
    match query.finish().as_str() {
        "" => target,
        query => format!("{target}&{query}"),
    }
}

/// The text of a URL, whole.
fn url(
    node: &Node,
    path: &str,
    defaults: &Defaults<'_>,
    problems: &mut Problems,
) -> Option<String> {
    let mut url = match &node.value {
        Value::Text(text) => text.clone(),
        _ => {
            problems.note(
                node.at,
                path,
                format!("expected a URL, found {}", node.kind()),
            );
            return None;
        }
    };
    // A path alone is one of the script's server.
    if let (
        true,
        Some(Node {
            value: Value::Text(base),
            ..
        }),
    ) = (url.starts_with('/'), defaults.target)
    {
        url = format!("{}{url}", base.trim_end_matches('/'));
    }
    if let Some(Node {
        value: Value::Text(base),
        ..
    }) = defaults.target
    {
        url = url
            .replace("{{ target }}", base)
            .replace("{{target}}", base);
    }
    Some(url)
}

/// The server of a URL, and the URL itself where it differs from user to user.
fn server(
    node: &Node,
    path: &str,
    defaults: &Defaults<'_>,
    names: &mut Names<'_>,
    problems: &mut Problems,
) -> Option<(Target, Option<Template>)> {
    let url = url(node, path, defaults, problems)?;
    let unknown = names.unknown.len();
    let template = Template::parse(&url, node.at, path, names, problems);
    if let Some(name) = names.unknown.get(unknown) {
        let text = format!(
            "`{name}` stands for nothing: expected a variable, a column or a capture; the server must \
             be the same for every user"
        );
        problems.note(node.at, path, text);
        return None;
    }
    let constant = template.as_constant();
    // A variable that steps or functions may set anew has its first value for the server's name.
    let captures = std::mem::take(&mut names.captures);
    let first = Template::parse(&url, node.at, path, names, &mut Problems::of(""));
    names.captures = captures;
    let known = first.as_constant();
    let known = known.as_deref().unwrap_or_else(|| first.constant_start());
    let authority_ends = known
        .find("://")
        .is_some_and(|scheme| known[scheme + 3..].contains(['/', '?']));
    if constant.is_none() && !authority_ends {
        let text = "the server must be the same for every user: only what comes behind \
                    ws://host:port/ may be a template";
        problems.note(node.at, path, text);
        return None;
    }
    match known.parse() {
        Ok(server) => Some((server, constant.is_none().then_some(template))),
        Err(error) => {
            problems.note(node.at, path, format!("{error}"));
            None
        }
    }
}

fn text(
    node: &Node,
    key: &str,
    names: &mut Names<'_>,
    problems: &mut Problems,
) -> Option<Template> {
    let text = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => {
            problems.note(
                node.at,
                key,
                format!("expected a text, found {}", node.kind()),
            );
            return None;
        }
    };
    Some(Template::parse(&text, node.at, key, names, problems))
}

fn pairs(
    node: Option<&Node>,
    key: &str,
    names: &mut Names<'_>,
    problems: &mut Problems,
) -> Vec<(String, Template)> {
    let Some(node) = node else { return Vec::new() };
    let Value::Map(entries) = &node.value else {
        let text = format!("expected names and values, found {}", node.kind());
        problems.note(node.at, key, text);
        return Vec::new();
    };
    let pair = |entry: &super::tree::Entry| {
        let key = format!("{key}.{}", entry.key);
        Some((entry.key.clone(), text(&entry.node, &key, names, problems)?))
    };
    entries.iter().filter_map(pair).collect()
}

/// The serializer of `vsn`.
pub(crate) fn serializer(vsn: Option<&str>) -> Option<Serializer> {
    match vsn {
        None => Some(Serializer::V2),
        some => Serializer::from_vsn(some).ok(),
    }
}
