//! What grows in a search, and the run that a load means.

use std::time::Duration;

use capacity::tuples;

use super::{
    Search, SearchError,
    objective::{Kept, Observed, Part},
};
use crate::{
    options::{Dialect, Options, Push},
    proxy,
    rate::Rate,
    record::Record,
    report::Report,
    run,
    script::Script,
};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// How many connections there are.
    Connections,
    /// How often something happens: pushes if there are any, else publishes, else connections that are
    /// opened; of a script, arrivals.
    Rate,
}

/// The least load, unless it is said.
const FROM: u64 = 100;
/// The greatest, unless it is said.
const TO: u64 = 1_000_000;
/// How long connections that are opened at a rate are held: they have been looked at by then.
const OPENED_HOLD: Duration = Duration::from_secs(1);
/// What of a rate must be reached.
const KEPT_PERCENT: u64 = 90;
/// What grows in a search with a script.
pub(super) const OF_SCRIPT: &str = "per cent of the script's arrivals";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Connections,
    Pushes,
    Publishes,
    Opened,
}

/// A crowd of which something grows.
pub(super) struct Crowd<'a> {
    options: &'a Options,
    what: What,
    hold: Duration,
}

impl<'a> Crowd<'a> {
    /// # Errors
    ///
    /// The objective is about something that the run does not have.
    pub(super) fn of(options: &'a Options, search: &Search) -> Result<Self, SearchError> {
        let what = match search.axis {
            Axis::Connections => What::Connections,
            Axis::Rate => match (options.push, options.publish) {
                (Some(Push::Max), _) => {
                    return Err(asked(
                        "--search rate says how often is pushed, and --push max says as often as \
                         possible: expected a rate, such as --push 1/s",
                    ));
                }
                (Some(_), _) => What::Pushes,
                (None, Some(_)) => What::Publishes,
                (None, None) => What::Opened,
            },
        };
        let crowd = Self {
            options,
            what,
            hold: search.hold,
        };
        let kept = crowd.kept();
        if let Some(name) = search.objective.names().find(|name| !kept.contains(name)) {
            let known: Vec<_> = kept.iter().map(|one| one.name()).collect();
            return Err(asked(&format!(
                "--until names the latency `{}`, which this run does not have: expected one of {}{}",
                name.name(),
                known.join(", "),
                match name {
                    Kept::Join => " (--join joins)",
                    Kept::Delivery => " (--publish has deliveries)",
                    Kept::Reply => " (--push has replies)",
                    Kept::Response => " (scripts have responses)",
                    _ => "",
                }
            )));
        }
        if search.objective.counts().0 && !options.publishes() {
            return Err(asked(
                "--until names lost deliveries, and nothing is published: expected --publish",
            ));
        }
        Ok(crowd)
    }

    /// The least and the greatest load.
    ///
    /// # Errors
    ///
    /// What was asked is not between them.
    pub(super) fn range(&self, search: &Search) -> Result<(u64, u64), SearchError> {
        // A crowd pushes a thousand times a second for each client at most, and a rate has its range.
        let most = match self.what {
            What::Connections => u32::MAX.into(),
            What::Pushes => 1_000 * u64::from(self.options.connections),
            What::Publishes | What::Opened => u64::MAX,
        };
        range(search, most.min(Rate::COUNT_MAX.into()))
    }

    pub(super) const fn unit(&self) -> &'static str {
        match self.what {
            What::Connections => "connections",
            What::Pushes => "pushes per second",
            What::Publishes => "publishes per second",
            What::Opened => "connections opened per second",
        }
    }

    /// Source tuples that rest for a minute; `None` where they need not.
    pub(super) fn tuples(&self) -> Option<u64> {
        let options = self.options;
        let destination = proxy::destination(&options.target, options.proxy.as_ref(), None).ok()?;
        if destination.ip().is_loopback() {
            return None;
        }
        let sources = match &self.options.sources {
            Some(sources) => sources.clone(),
            None => run::default_sources(destination, 1).ok()?,
        };
        Some(sources.count().saturating_mul(tuples::PORTS_COUNT))
    }

    /// The run that a load means.
    pub(super) fn at(&self, value: u64) -> Options {
        let mut options = self.options.clone();
        // The range is one of rates and connections.
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        options.hold = self.hold;
        match self.what {
            What::Connections => options.connections = value,
            What::Pushes => {
                options.push = Rate::spread(value, options.connections).map(Push::Paced);
            }
            What::Publishes => options.publish = Rate::spread(value, options.topics),
            What::Opened => {
                let seconds = u32::try_from(self.hold.as_secs())
                    .unwrap_or(u32::MAX)
                    .max(1);
                options.connections = value.saturating_mul(seconds);
                options.rate = Rate::per_second(value).unwrap_or(options.rate);
                options.hold = OPENED_HOLD;
            }
        }
        options.topics = options.topics.min(options.connections);
        options
    }

    /// What an objective looks at.
    pub(super) fn observed(&self, report: &Report, value: u64) -> Observed {
        let all = &report.latency;
        let reply = match self.options.push {
            Some(_) => all.push_reply,
            None => all.publish_reply,
        };
        let (connections, pushes, publishes) =
            (&report.connections, &report.pushes, &report.publishes);
        let gone = connections.dropped + report.returns.disconnected;
        let mut errors = vec![
            part(connections.not_opened + gone, connections.asked),
            part(
                pushes.refused + pushes.skipped + pushes.sent.saturating_sub(pushes.answered),
                pushes.sent.max(pushes.asked),
            ),
            part(publishes.refused, publishes.sent),
        ];
        if self.what == What::Opened && report.opened_per_second * 100 < value * KEPT_PERCENT {
            // Who opens more slowly than asked has not kept the rate, whatever the latencies are.
            errors.push(part(value.saturating_sub(report.opened_per_second), value));
        }
        if self.what == What::Publishes {
            errors.push(part(
                publishes.asked.saturating_sub(publishes.sent),
                publishes.asked,
            ));
        }
        let worst = errors
            .into_iter()
            .max_by(|a, b| a.share().total_cmp(&b.share()));
        Observed {
            latencies: vec![
                (Kept::Connect, all.connect),
                (Kept::Upgrade, all.upgrade),
                (Kept::Join, all.join),
                (Kept::Delivery, all.delivery),
                (Kept::Reply, reply),
            ],
            about: vec![self.about()],
            errors: worst.unwrap_or_default(),
            lost: part(report.deliveries.lost, report.deliveries.expected),
            dropped: part(gone, connections.ready),
        }
    }

    /// The latency that the run is about.
    fn about(&self) -> Kept {
        let options = self.options;
        match (options.push, options.publishes(), &options.join) {
            // That of opening counts from when a connection was meant to be dialled.
            _ if self.what == What::Opened => Kept::Connect,
            (Some(_), ..) => Kept::Reply,
            (_, true, _) => Kept::Delivery,
            (_, _, Some(_)) => Kept::Join,
            _ => Kept::Upgrade,
        }
    }

    fn kept(&self) -> Vec<Kept> {
        let options = self.options;
        let has_replies =
            options.push.is_some() || (options.publishes() && options.dialect != Dialect::Raw);
        let all = [
            (Kept::Connect, true),
            (Kept::Upgrade, true),
            (Kept::Join, options.join.is_some()),
            (Kept::Delivery, options.publishes()),
            (Kept::Reply, has_replies),
        ];
        let there = all.into_iter().filter(|&(_, is_there)| is_there);
        there.map(|(kept, _)| kept).collect()
    }
}

/// The least and the greatest share of a script's arrivals.
pub(super) fn range_of_script(script: &Script, search: &Search) -> Result<(u64, u64), SearchError> {
    if search.axis != Axis::Rate {
        return Err(asked(
            "a script says itself how many connections there are: expected --search rate, which is the \
             scale of its arrivals in per cent",
        ));
    }
    let known = [Kept::Connect, Kept::Response];
    if let Some(name) = search.objective.names().find(|name| !known.contains(name)) {
        return Err(asked(&format!(
            "--until names the latency `{}`, which scripts do not have: expected connect or response",
            name.name()
        )));
    }
    if search.objective.counts() != (false, false) {
        return Err(asked(
            "--until names lost or dropped, which scripts do not count: expected errors, the share of \
             users that failed",
        ));
    }
    range(search, script.percent_max())
}

fn range(search: &Search, most: u64) -> Result<(u64, u64), SearchError> {
    let from = search
        .from
        .unwrap_or_else(|| search.to.map_or(FROM, |to| to.min(FROM)));
    let to = search.to.unwrap_or_else(|| TO.min(most).max(from));
    if from == 0 || from > to || to > most {
        return Err(asked(&format!(
            "--from {from} and --to {to} are no range: expected 1 <= from <= to <= {most}"
        )));
    }
    Ok((from, to))
}

/// What an objective looks at, of a script.
pub(super) fn observed_of_script(record: &Record) -> Observed {
    let figure = |name: &str| {
        let found = record.figures.iter().find(|figure| figure.name == name);
        found.map_or(0, |figure| figure.value as u64)
    };
    let row = |kept: Kept| {
        let found = record.latencies.iter().find(|row| row.name == kept.name());
        (kept, found.map(|row| row.percentiles).unwrap_or_default())
    };
    Observed {
        latencies: vec![row(Kept::Connect), row(Kept::Response)],
        about: vec![Kept::Response, Kept::Connect],
        errors: part(
            figure("vusers.failed") + figure("vusers.skipped"),
            figure("vusers.created") + figure("vusers.skipped"),
        ),
        ..Observed::default()
    }
}

const fn part(count: u64, of: u64) -> Part {
    Part { count, of }
}

impl Part {
    fn share(&self) -> f64 {
        self.count as f64 / self.of.max(1) as f64
    }
}

fn asked(text: &str) -> SearchError {
    SearchError::Asked(text.to_owned())
}
