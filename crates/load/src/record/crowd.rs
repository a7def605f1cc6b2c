//! What a run against a URL leaves behind.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    Better, Check, Figure, Kind, MachineFacts, Overview, Record, Row, Setting, Status, Trouble,
};
use crate::{
    latency::Summary,
    outcome::Outcome,
    report::Report,
    timeline::{Counts, Measure, Period, Timeline},
};

/// What a report is made of and does not show.
#[derive(Clone, Debug)]
pub(crate) struct Behind {
    plan: Vec<Setting>,
    rows: Vec<Row>,
    summaries: BTreeMap<&'static str, Summary>,
    /// When the run began and ended, in milliseconds of the epoch.
    span: (u64, u64),
    counts: Counts,
    errors: BTreeMap<String, u64>,
    timeline: Timeline,
}

/// What Artillery, or we in its manner, call a measure.
const SUMMARIES: [(Measure, &str); 5] = [
    (Measure::Connect, "websocket.connect_time"),
    (Measure::Join, "phoenix.join_time"),
    (Measure::Delivery, "websocket.delivery_time"),
    (Measure::PushReply, "websocket.response_time"),
    (Measure::Lateness, "vusers.lateness"),
];

impl Behind {
    /// What is behind the report of a run with this plan and outcome.
    pub(crate) fn of(
        plan: Vec<Setting>,
        outcome: &Outcome,
        span: (u64, u64),
        timeline: Timeline,
    ) -> Self {
        let last_delivery = outcome.arrivals.latency();
        let rows = [
            ("lateness", "dialled late", &outcome.lateness),
            ("connect", "connect", &outcome.connect),
            ("upgrade", "upgrade", &outcome.upgrade),
            ("join", "join", &outcome.join),
            ("delivery", "delivery", &outcome.delivery),
            ("last_delivery", "last delivery", &last_delivery),
            ("publish_reply", "publish reply", &outcome.publish_reply),
            ("push_reply", "push reply", &outcome.push_reply),
            ("back", "back", &outcome.back),
        ];
        let rows = rows
            .into_iter()
            .filter_map(|(name, title, latency)| Row::of(name, title, latency));
        let exact = [
            &outcome.connect,
            &outcome.join,
            &outcome.delivery,
            &outcome.push_reply,
            &outcome.lateness,
        ];
        let summaries = SUMMARIES.iter().zip(exact);
        let errors = crate::timeline::errors(outcome).into_iter();
        Self {
            plan,
            rows: rows.collect(),
            summaries: summaries
                .filter_map(|((_, name), latency)| Some((*name, latency.summary()?)))
                .collect(),
            span,
            counts: crate::timeline::counts(outcome),
            errors: errors
                .map(|(class, count)| (class.to_owned(), count))
                .collect(),
            timeline,
        }
    }
}

impl Report {
    /// The timeline of the run.
    pub fn timeline(&self) -> &Timeline {
        &self.behind.timeline
    }

    /// What the run leaves behind, with the facts of this machine.
    pub fn record(&self) -> Record {
        let behind = &self.behind;
        let status = match (self.held, self.limits.is_empty()) {
            (true, _) => Status::Met,
            (false, true) => Status::NotMet,
            (false, false) => Status::NotGenerated,
        };
        let groups = [
            ("did not get up", &self.not_opened),
            ("dropped", &self.dropped),
            ("disconnected", &self.disconnected),
            ("could not come back at once", &self.returns_failed),
        ];
        let failures = groups.into_iter().flat_map(|(group, failures)| {
            failures
                .iter()
                .map(move |failure| Trouble::of(group, failure))
        });
        let report = serde_json::to_value(self).unwrap_or_default();
        Record {
            version: Record::VERSION,
            kind: Kind::Crowd,
            name: self.target.clone(),
            began_ms: behind.span.0,
            ended_ms: behind.span.1,
            interrupted: self.interrupted,
            carrier: self.carrier.clone(),
            shards: self.shards,
            status,
            reasons: self.shortfalls.clone(),
            limits: self.limits.iter().map(Trouble::of_limit).collect(),
            checks: self.checks(),
            figures: self.figures(),
            latencies: behind.rows.clone(),
            steps: Vec::new(),
            failures: failures.collect(),
            plan: behind.plan.clone(),
            machine: MachineFacts::read(),
            machines: self.machines.clone(),
            search: None,
            timeline: Overview::of(&behind.timeline),
            charted: Overview::of(&behind.timeline.in_periods(Record::CHARTED_MAX)),
            beside: self.beside(),
            more: Map::from_iter([("report".to_owned(), report)]),
        }
    }

    /// What the run was asked, and what it fell short of.
    fn checks(&self) -> Vec<Check> {
        let asked = [
            (true, "the run comes to its end", &["the run was"][..]),
            (
                true,
                "every connection gets up",
                &["connections that did not"],
            ),
            (true, "no connection is dropped", &["connections dropped"]),
            (
                self.publishes.asked > 0,
                "every publish is sent and granted",
                &["publishes"],
            ),
            (
                self.publishes.asked > 0,
                "every delivery arrives, and once",
                &["deliveries", "no publish"],
            ),
            (
                self.drop.asked > 0,
                "as many connections are ended as asked",
                &["connections not ended"],
            ),
            (
                self.pushes.asked + self.pushes.sent > 0,
                "every push is sent in time and answered",
                &["pushes", "no push"],
            ),
        ];
        let mut checks = Vec::new();
        for (is_asked, expression, words) in asked {
            let found = self.shortfalls.iter();
            let found = found.filter(|text| words.iter().any(|word| text.starts_with(word)));
            let found: Vec<_> = found.cloned().collect();
            if is_asked || !found.is_empty() {
                checks.push(Check {
                    expression: expression.to_owned(),
                    ok: found.is_empty(),
                    strict: true,
                    found: (!found.is_empty()).then(|| found.join("; ")),
                });
            }
        }
        checks
    }

    fn figures(&self) -> Vec<Figure> {
        let figures = self.figures_of_connections().into_iter();
        let figures = figures.chain(self.figures_of_messages()).enumerate();
        // The first two say something as zeroes, too.
        let shown = figures.filter(|(place, figure)| *place < 2 || figure.value > 0.0);
        shown.map(|(_, figure)| figure).collect()
    }

    fn figures_of_connections(&self) -> [Figure; 7] {
        let (more, less, neither) = (Better::More, Better::Less, Better::Neither);
        let count =
            |name, title, count: u64, better| Figure::new(name, title, count as f64, "", better);
        let all = &self.connections;
        let hold = self.hold_ms as f64 / 1e3;
        let per_second = self.opened_per_second as f64;
        [
            count("connections_ready", "connections ready", all.ready, more),
            count(
                "connections_held",
                "connections held to the end",
                all.held,
                more,
            ),
            count(
                "connections_not_opened",
                "connections that did not get up",
                all.not_opened,
                less,
            ),
            count(
                "connections_dropped",
                "connections dropped",
                all.dropped,
                less,
            ),
            Figure::new(
                "opened_per_second",
                "opened per second",
                per_second,
                "/s",
                more,
            ),
            Figure::new("hold_seconds", "held for", hold, "s", neither),
            count("clients_back", "clients back", self.returns.back, neither),
        ]
    }

    fn figures_of_messages(&self) -> [Figure; 7] {
        let (more, less) = (Better::More, Better::Less);
        let count =
            |name, title, count: u64, better| Figure::new(name, title, count as f64, "", better);
        let rate = |name, title, rate: f64| Figure::new(name, title, rate, "/s", Better::More);
        let got = &self.deliveries;
        // Broadcasts come after the hold.
        let in_hold = if self.broadcasts.is_empty() {
            got.received
        } else {
            0
        };
        let delivered = match self.hold_ms {
            0 => 0.0,
            hold => in_hold as f64 * 1e3 / hold as f64,
        };
        let broadcast = self.broadcast_deliveries_per_second as f64;
        let answered = self.pushes_answered_per_second as f64;
        [
            count(
                "publishes_sent",
                "publishes sent",
                self.publishes.sent,
                more,
            ),
            count(
                "deliveries_received",
                "deliveries received",
                got.received,
                more,
            ),
            count("deliveries_lost", "deliveries lost", got.lost, less),
            rate(
                "deliveries_per_second",
                "deliveries per second of the hold",
                delivered,
            ),
            rate(
                "broadcast_deliveries_per_second",
                "deliveries per second of broadcasts",
                broadcast,
            ),
            count(
                "pushes_answered",
                "pushes answered",
                self.pushes.answered,
                more,
            ),
            rate(
                "pushes_answered_per_second",
                "pushes answered per second of the hold",
                answered,
            ),
        ]
    }

    /// The same in the shape of Artillery's reports.
    fn beside(&self) -> Map<String, Value> {
        let behind = &self.behind;
        let whole = Period {
            covered_ms: behind.span.1.saturating_sub(behind.span.0),
            counts: Counts {
                completed: self.connections.held,
                ..behind.counts
            },
            errors: behind.errors.clone(),
            ..Period::default()
        };
        let aggregate = shaped(&whole, &behind.summaries, behind.span.0);
        let mut tens = Timeline::new(Duration::from_secs(10));
        for (number, period) in (0_u64..).zip(behind.timeline.periods()) {
            tens.add(number * behind.timeline.width_ms(), period.clone());
        }
        let intermediate = (0_u64..).zip(tens.periods()).map(|(number, period)| {
            let summaries = SUMMARIES.iter().filter_map(|(measure, name)| {
                Some((*name, period.latencies.get(measure)?.summary()?))
            });
            let at = behind.span.0 + number * tens.width_ms();
            shaped(period, &summaries.collect(), at)
        });
        Map::from_iter([
            ("aggregate".to_owned(), aggregate),
            ("intermediate".to_owned(), intermediate.collect()),
        ])
    }
}

/// A period under Artillery's names.
fn shaped(period: &Period, summaries: &BTreeMap<&str, Summary>, at: u64) -> Value {
    let counts = &period.counts;
    let mut counters = Map::new();
    for (name, count) in [
        ("vusers.created", counts.dialled),
        ("vusers.completed", counts.completed),
        ("websocket.messages_sent", counts.sent),
        (
            "websocket.messages_received",
            counts.received + counts.answered,
        ),
    ] {
        if count > 0 {
            counters.insert(name.to_owned(), count.into());
        }
    }
    for (class, &count) in &period.errors {
        counters.insert(format!("errors.{class}"), count.into());
    }
    counters.insert(
        "vusers.failed".to_owned(),
        (counts.failed + counts.dropped).into(),
    );
    let rate = |count: u64| (count as f64 * 1e3 / period.covered_ms.max(1) as f64).round();
    let end = at + period.covered_ms;
    json!({
        "counters": counters,
        "rates": {
            "websocket.send_rate": rate(counts.sent),
            "websocket.receive_rate": rate(counts.received + counts.answered),
        },
        "summaries": summaries,
        "histograms": summaries,
        "firstCounterAt": at,
        "firstHistogramAt": at,
        "lastCounterAt": end,
        "lastHistogramAt": end,
        "firstMetricAt": at,
        "lastMetricAt": end,
        "period": at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, failure::Failure, report::End};

    fn report(change: impl FnOnce(&mut Outcome)) -> Report {
        let mut options = Options::new("ws://127.0.0.1:4000/socket".parse().expect("a URL"));
        options.connections = 3;
        let mut outcome = Outcome::new();
        (
            outcome.dialled,
            outcome.opened,
            outcome.readied,
            outcome.held,
        ) = (3, 3, 3, 3);
        outcome.connect.record(Duration::from_millis(2));
        change(&mut outcome);
        let mut timeline = Timeline::new(Duration::from_secs(1));
        let period = Period {
            covered_ms: 500,
            counts: crate::timeline::counts(&outcome),
            ..Period::default()
        };
        timeline.add(11_000, period);
        let end = End {
            timeline,
            began_ms: 1_000_000,
            ended_ms: 1_011_500,
            ..End::default()
        };
        Report::new(&options, 2, outcome, end)
    }

    #[test]
    fn a_report_is_written_and_read_back() {
        let record = report(|_| {}).record();
        let text = record.to_json();
        let back = Record::from_json(&text).expect("the same");
        assert_eq!((back.status, back.kind), (Status::Met, Kind::Crowd));
        assert_eq!(back.timeline, record.timeline);
        assert_eq!(back.plan, record.plan);
        assert_eq!(back.latencies, record.latencies);
        assert!(
            back.checks.iter().all(|check| check.ok),
            "{:?}",
            back.checks
        );
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["aggregate"]["counters"]["vusers.created"], 3);
        assert_eq!(
            value["aggregate"]["summaries"]["websocket.connect_time"]["count"],
            1
        );
        assert_eq!(value["intermediate"].as_array().map(Vec::len), Some(2));
        assert_eq!(value["intermediate"][1]["counters"]["vusers.created"], 3);
        assert_eq!(value["fourtuple"]["report"]["connections"]["ready"], 3);
        for (text, words) in [
            ("{}", "no key `fourtuple`"),
            ("[", "no report"),
            (r#"{"fourtuple": {"version": 9}}"#, "its version is 9"),
        ] {
            let error = Record::from_json(text).expect_err(text);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_shortfall_is_a_failed_check_and_a_limit_of_ours_no_verdict_on_the_server() {
        let refused = report(|outcome| {
            outcome.readied = 2;
            outcome.not_opened.count(Failure::Refused);
        })
        .record();
        assert_eq!(refused.status, Status::NotMet);
        let failed: Vec<_> = refused.checks.iter().filter(|check| !check.ok).collect();
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(
            failed[0].found.as_deref(),
            Some("connections that did not get up: 1 of 3")
        );
        assert_eq!(refused.failures[0].class, "refused");
        let ours = report(|outcome| {
            outcome.readied = 2;
            outcome.not_opened.count(Failure::TuplesExhausted);
        })
        .record();
        assert_eq!(ours.status, Status::NotGenerated);
        assert_eq!(ours.limits[0].class, "tuples_exhausted");
    }
}
