//! What a script leaves behind.

use serde_json::Value;

use super::{
    Better, Figure, Kind, MachineFacts, Overview, Record, Row, Setting,
    plan::{time, waits},
};
use crate::{
    script::{Figures, Pace, Phase, Run, Script, ScriptOptions},
    timeline::Timeline,
};

/// What a report of a script is made of and does not show.
#[derive(Clone, Debug)]
pub(crate) struct ScriptBehind {
    plan: Vec<Setting>,
    rows: Vec<Row>,
    timeline: Timeline,
    carrier: String,
    shards: u16,
    pub(crate) intermediate: Vec<Value>,
    pub(crate) file: String,
}

impl ScriptBehind {
    pub(crate) fn of(
        script: &Script,
        options: &ScriptOptions,
        figures: &Figures,
        run: Run,
    ) -> Self {
        let rows = [
            ("lateness", "users dialled late", &figures.lateness),
            ("connect", "connect and upgrade", &figures.connect),
            ("response", "response", &figures.response),
            ("session", "session", &figures.session),
            ("back", "back", &figures.back),
        ];
        let rows = rows
            .into_iter()
            .filter_map(|(name, title, latency)| Row::of(name, title, latency));
        Self {
            plan: plan(script, options),
            rows: rows.collect(),
            timeline: run.timeline,
            carrier: run.carrier,
            shards: run.shards,
            intermediate: run.intermediate,
            file: script.file.clone(),
        }
    }

    /// All but the verdict; `metric` knows the value of each name.
    pub(crate) fn record(&self, span: (u64, u64), metric: &dyn Fn(&str) -> Option<f64>) -> Record {
        Record {
            version: Record::VERSION,
            kind: Kind::Script,
            name: self.file.clone(),
            began_ms: span.0,
            ended_ms: span.1,
            carrier: self.carrier.clone(),
            shards: self.shards,
            figures: figures(metric),
            latencies: self.rows.clone(),
            plan: self.plan.clone(),
            machine: MachineFacts::read(),
            timeline: Overview::of(&self.timeline),
            charted: Overview::of(&self.timeline.in_periods(Record::CHARTED_MAX)),
            ..Record::default()
        }
    }
}

fn figures(metric: &dyn Fn(&str) -> Option<f64>) -> Vec<Figure> {
    let (more, less, neither) = (Better::More, Better::Less, Better::Neither);
    let all = [
        ("vusers.created", "users arrived", "", neither),
        ("vusers.completed", "users completed", "", more),
        ("vusers.failed", "users failed", "", less),
        ("vusers.skipped", "users skipped", "", less),
        ("websocket.messages_sent", "messages sent", "", more),
        ("websocket.messages_received", "messages received", "", more),
        (
            "websocket.messages_awaited",
            "answers that were waited for",
            "",
            more,
        ),
        (
            "websocket.send_rate",
            "messages sent per second",
            "/s",
            more,
        ),
        (
            "websocket.receive_rate",
            "messages received per second",
            "/s",
            more,
        ),
        ("websocket.bytes_sent", "bytes sent", "B", neither),
        ("websocket.bytes_received", "bytes received", "B", neither),
        ("steps.late", "steps begun late", "", less),
        ("websocket.disconnected", "connections ended", "", neither),
        ("websocket.reconnected", "connections back", "", neither),
        (
            "websocket.reconnect_attempts",
            "tries to come back",
            "",
            less,
        ),
        ("apdex.score", "Apdex score", "", more),
        ("plugins.expect.ok", "expectations met", "", more),
        ("plugins.expect.failed", "expectations failed", "", less),
    ];
    all.into_iter()
        .filter_map(|(name, title, unit, better)| {
            Some(Figure::new(name, title, metric(name)?, unit, better))
        })
        .collect()
}

/// What the script says, in short, and how it was run.
fn plan(script: &Script, options: &ScriptOptions) -> Vec<Setting> {
    let mut plan = vec![
        Setting::new("script", &script.file),
        Setting::new("script's mark", format!("{:016x}", script.mark)),
    ];
    for (number, phase) in (1..).zip(script.phases.iter()) {
        plan.push(Setting::new(&format!("phase {number}"), phase_text(phase)));
    }
    let total: f64 = script.programs.iter().map(|program| program.weight).sum();
    for program in &script.programs {
        let share = program.weight / total.max(f64::MIN_POSITIVE) * 100.0;
        let steps = program.labels.len();
        let mut text = format!("{share:.0} % of users, {steps} steps");
        let sides = program.sides.iter().map(|side| &*side.name);
        let sides: Vec<_> = sides.collect();
        if !sides.is_empty() {
            text += &format!(", sockets {}", sides.join(", "));
        }
        if let Some(backoff) = program.reconnect {
            text += &format!(", coming back ({})", waits(backoff));
        }
        plan.push(Setting::new(&format!("scenario {}", program.name), text));
    }
    let mut targets: Vec<_> = script
        .connects()
        .map(|connect| connect.server.to_string())
        .collect();
    targets.dedup();
    plan.push(Setting::new("target", targets.join(", ")));
    let mut proxies: Vec<_> = script
        .connects()
        .filter_map(|connect| options.proxy.as_ref().or(connect.route.proxy.as_ref()))
        .map(ToString::to_string)
        .collect();
    proxies.dedup();
    if !proxies.is_empty() {
        plan.push(Setting::new("proxy", proxies.join(", ")));
    }
    let automatic = || "chosen by itself".to_owned();
    let sources = options.sources.as_ref().map(ToString::to_string);
    let shards = options.shards.map(|shards| shards.to_string());
    let watch = options.watch.as_ref().map(|page| page.url().to_owned());
    plan.extend([
        Setting::new("timeout", time(script.timeout)),
        Setting::new("connect-timeout", time(options.connect_timeout)),
        Setting::new("sources", sources.unwrap_or_else(automatic)),
        Setting::new("shards", shards.unwrap_or_else(automatic)),
        Setting::new("kernel", format!("{:?}", options.kernel).to_lowercase()),
        Setting::new("watch", watch.unwrap_or_else(|| "none".to_owned())),
    ]);
    plan
}

fn phase_text(phase: &Phase) -> String {
    let mut text = match phase.pace {
        Pace::Pause => "nobody arrives".to_owned(),
        Pace::Uniform { count, .. } => format!("{count} users at even intervals"),
        Pace::Poisson { mean_ms } => format!("{:.1} users/s at random", 1e3 / mean_ms),
        Pace::Ramp { from, to, .. } => format!("from {from} to {to} users/s"),
    };
    if let Some(hold) = phase.hold {
        text = format!("{hold} users are kept there");
    }
    text += &format!(" for {}", time(phase.duration));
    if let Some(most) = phase.users_max {
        text += &format!(", {most} at once at most");
    }
    if let Some(share) = phase.drop {
        text += &format!(", {share} dropped at its start");
    }
    if let Some(rate) = phase.churn {
        text += &format!(", {rate} connections reset");
    }
    if let Some(name) = &phase.name {
        text += &format!(" ({name})");
    }
    text
}
