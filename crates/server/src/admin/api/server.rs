//! The server itself: what it is, its configuration, how much it logs, and its end.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::{Extension, Json, extract::State as Held, http::StatusCode};
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
use utoipa::ToSchema;

use super::{
    super::{
        guard::Deed,
        problem::{Asking, Kind, Problem, Telling},
        state::State,
    },
    input::Told,
};
use crate::{
    config::{Shown, ShownTable},
    control::Readiness,
    log,
};

/// A running server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Server {
    version: &'static str,
    /// Seconds since it was started.
    uptime_s: f64,
    /// When that was, in seconds since 1970.
    started_at: f64,
    /// The address on which WebSockets are accepted.
    #[schema(example = "0.0.0.0:4000")]
    listen: String,
    /// The host that it is known by, if one is configured: behind a proxy clients find it there.
    #[schema(example = "chat.example.com")]
    host: Option<String>,
    /// Where the socket is mounted.
    #[schema(example = "/socket")]
    path: String,
    /// The path that clients connect to.
    #[schema(example = "/socket/websocket")]
    websocket_path: String,
    /// What carries the connections, and why.
    kernel: String,
    shards: u16,
    /// Connections that it holds at most.
    connections_max: u32,
    /// What follows from the limits of this machine.
    plan: String,
    /// Whether it is closing everything in order.
    draining: bool,
}

/// The configuration that counts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Configuration {
    settings: Vec<Setting>,
    /// The rules of the built-in channel, in their order; of each, its settings in TOML.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, Option<String>>>)]
    channels: Vec<ShownTable>,
    /// The keys of the control plane; null stands for a secret.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, Option<String>>>)]
    keys: Vec<ShownTable>,
    /// The users of the control plane; null stands for a secret.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, Option<String>>>)]
    users: Vec<ShownTable>,
}

/// A setting.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Setting {
    #[schema(example = "limits.mailbox_max")]
    key: &'static str,
    /// In TOML; null when it is secret.
    #[schema(example = "4096")]
    value: Option<String>,
    /// The value when nobody decides, in TOML.
    default: String,
    secret: bool,
    /// What it is, in a sentence.
    about: String,
    /// The range and the unit of its values.
    expected: String,
}

/// How much the server says of itself.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogLevel {
    level: Level,
}

/// From nothing to everything.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The beginning of the end.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Drained {
    draining: bool,
}

/// Says what the server is.
#[utoipa::path(get, path = "/server", tag = "server", responses(
    (status = 200, description = "The server", body = Server),
))]
pub(crate) async fn server(Held(state): Held<State>) -> Json<Server> {
    let control = &state.control;
    let uptime = control.started().elapsed();
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let path = control.config().path.clone();
    Json(Server {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: uptime.as_secs_f64(),
        started_at: since_1970
            .unwrap_or_default()
            .saturating_sub(uptime)
            .as_secs_f64(),
        listen: control.address().to_string(),
        host: control.config().host.clone(),
        websocket_path: format!("{}/websocket", path.trim_end_matches('/')),
        path,
        kernel: control.kernel().to_owned(),
        shards: control.shards_count(),
        connections_max: control.connections_max(),
        plan: control.plan().words().trim_end().to_owned(),
        draining: control.readiness() == Readiness::Draining,
    })
}

/// Shows every setting with the value that counts; secrets are left out.
#[utoipa::path(get, path = "/config", tag = "server", responses(
    (status = 200, description = "The configuration", body = Configuration),
))]
pub(crate) async fn config(Held(state): Held<State>) -> Json<Configuration> {
    let config = state.control.config();
    let setting = |shown: Shown| Setting {
        key: shown.setting.key(),
        value: shown.value,
        default: shown.setting.default_value(),
        secret: shown.is_secret,
        about: shown.setting.summary(),
        expected: shown.setting.expected(),
    };
    Json(Configuration {
        settings: config.shown().map(setting).collect(),
        channels: config.shown_channels().collect(),
        keys: config.shown_keys().collect(),
        users: config.shown_users().collect(),
    })
}

/// Says how much is logged.
#[utoipa::path(get, path = "/log-level", tag = "server", responses(
    (status = 200, description = "The level", body = LogLevel),
))]
pub(crate) async fn log_level() -> Json<LogLevel> {
    let level = log::level().into();
    Json(LogLevel { level })
}

/// Changes how much is logged, until the server ends or it is changed again.
#[utoipa::path(put, path = "/log-level", tag = "server", request_body = LogLevel, responses(
    (status = 200, description = "The level is changed", body = LogLevel),
    (status = 409, description = "The log belongs to the program around the server", body = Problem, content_type = "application/problem+json"),
    Telling,
))]
pub(crate) async fn set_log_level(
    deed: Option<Extension<Deed>>,
    told: Told,
) -> Result<Json<LogLevel>, Problem> {
    let LogLevel { level } = told.read()?;
    // The line that says who has silenced the log must be in it.
    if let Some(Extension(deed)) = deed
        && log::is_ours()
        && LevelFilter::from(level) < LevelFilter::INFO
    {
        deed.end(StatusCode::OK);
    }
    let changed = log::set_level(level.into());
    changed.map_err(|error| Problem::new(Kind::LogNotOurs, error.to_string()))?;
    Ok(Json(LogLevel { level }))
}

/// Begins to close everything in order; then the server ends.
///
/// As SIGTERM does: connections are closed in batches with 1012, on which Phoenix clients come back, and the
/// process exits with 0. The control plane answers until all connections are closed.
#[utoipa::path(post, path = "/drain", tag = "server", responses(
    (status = 202, description = "It has begun, now or before", body = Drained),
    Asking,
))]
pub(crate) async fn drain(
    Held(state): Held<State>,
) -> Result<(StatusCode, Json<Drained>), Problem> {
    let control = state.control;
    // Whoever asks after this answer is told so. One drain is enough.
    if control.announce_drain() {
        return Ok((StatusCode::ACCEPTED, Json(Drained { draining: true })));
    }
    // On a thread of its own: it waits while a mailbox is full.
    let thread = std::thread::Builder::new().name("drain".to_owned());
    thread.spawn(move || control.drain()).map_err(|error| {
        let detail = format!("the machine has no more threads ({error}); send SIGTERM");
        Problem::new(Kind::Unavailable, detail)
    })?;
    Ok((StatusCode::ACCEPTED, Json(Drained { draining: true })))
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Off => Self::OFF,
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

impl From<LevelFilter> for Level {
    fn from(filter: LevelFilter) -> Self {
        let levels = [
            Self::Error,
            Self::Warn,
            Self::Info,
            Self::Debug,
            Self::Trace,
        ];
        let level = levels
            .into_iter()
            .find(|level| filter == LevelFilter::from(*level));
        level.unwrap_or(Self::Off)
    }
}
