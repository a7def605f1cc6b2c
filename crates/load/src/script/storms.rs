//! What a script does to its users' connections, and whether they come back: `reconnect`, and `drop` and `churn` of
//! phases.
//!
//! When something happens follows from the script alone. Every shard walks through all of it and takes its part.

use std::{sync::Arc, time::Duration};

use super::{
    fields::Fields,
    phases::Phase,
    problem::Problems,
    program::{Dialect, Program},
    tree::{Node, Value},
};
use crate::{comeback::Backoff, rate::Rate, share::Share};

/// Something that a script does to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blow {
    /// From the start of the run.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// Whose connections are reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Those of this share of the users that are there, by their numbers in the run and that of the phase.
    Share { share: Share, phase: u32 },
    /// One of all; its number in the run says whose shard does it.
    One(u32),
}

/// Reads `reconnect`: `true`, `false`, or the name of the waits. `None` when nothing is said.
pub(crate) fn read_reconnect(
    fields: &mut Fields<'_>,
    problems: &mut Problems,
) -> Option<Option<Backoff>> {
    let node = fields.take("reconnect")?;
    match &node.value {
        Value::Bool(false) => return Some(None),
        Value::Bool(true) => return Some(Some(Backoff::Phoenix)),
        Value::Text(text) => match text.as_str() {
            "false" => return Some(None),
            "true" | "phoenix" => return Some(Some(Backoff::Phoenix)),
            "jitter" => return Some(Some(Backoff::Jitter)),
            _ => {}
        },
        _ => {}
    }
    let text = format!(
        "expected true, false, phoenix or jitter, found {}",
        shown(node)
    );
    problems.note(node.at, &fields.path_of("reconnect"), text);
    None
}

/// Whether users of a scenario come back, and how long they wait: what it says itself, or what holds for `all`.
pub(crate) fn reconnect_of(
    scenario: &mut Fields<'_>,
    dialect: Dialect,
    all: Option<Backoff>,
    problems: &mut Problems,
) -> Option<Backoff> {
    let reconnect = read_reconnect(scenario, problems).unwrap_or(all);
    if dialect == Dialect::SocketIo && reconnect.is_some() {
        let text =
            "sessions of Socket.IO do not come back: write `reconnect: false` in this scenario";
        let key = "reconnect";
        problems.note(scenario.place_of(key), &scenario.path_of(key), text);
    }
    reconnect
}

/// Reads `drop` of a phase: a share such as `50%`.
pub(crate) fn read_drop(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Share> {
    let node = fields.take("drop")?;
    let share = match &node.value {
        Value::Text(text) => text.parse().map_err(|error| format!("{error}")),
        _ => Err(format!(
            "expected a share such as 50%, found {}",
            shown(node)
        )),
    };
    let noted = share.map_err(|text| problems.note(node.at, &fields.path_of("drop"), text));
    noted.ok()
}

/// Reads `churn` of a phase: a rate such as `20/s`.
pub(crate) fn read_churn(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Rate> {
    /// A million per second, as arrivals.
    const INTERVAL_MIN: Duration = Duration::from_micros(1);
    let node = fields.take("churn")?;
    let text = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let rate = text.parse::<Rate>().map_err(|error| format!("{error}"));
    let rate = match rate {
        Ok(rate) if rate.interval() < INTERVAL_MIN => {
            Err(format!("`{text}` is too much: expected 1000000/s at most"))
        }
        other => other,
    };
    let noted = rate.map_err(|text| problems.note(node.at, &fields.path_of("churn"), text));
    noted.ok()
}

fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => format!("`{text}`"),
        Value::Number(number) => number.to_string(),
        _ => node.kind().to_owned(),
    }
}

/// Notes phases that reset connections of which none would come back.
pub(crate) fn check(config: Option<&Node>, programs: &[Program], problems: &mut Problems) {
    let come_back = |program: &Program| program.reconnect.is_some() && program.weight > 0.0;
    if programs.is_empty() || programs.iter().any(come_back) {
        return;
    }
    let phases = config.and_then(|config| config.find("phases"));
    let Some(Value::List(phases)) = phases.map(|phases| &phases.value) else {
        return;
    };
    for (number, phase) in phases.iter().enumerate() {
        for key in ["drop", "churn"] {
            let Some(node) = phase.find(key) else {
                continue;
            };
            let text = "no user comes back from it: write `reconnect: true` in `config`, or in the \
                        scenarios whose users do";
            problems.note(node.at, &format!("config.phases[{number}].{key}"), text);
        }
    }
}

/// All that a script does to connections, in order.
#[derive(Clone, Debug)]
pub(crate) struct Storms {
    phases: Arc<[Phase]>,
    phase: usize,
    /// When the phase began.
    begun: Duration,
    /// Whether the phase's drop is over.
    has_dropped: bool,
    /// Resets of the phase so far.
    resets: u64,
    number: u32,
}

impl Storms {
    pub(crate) fn new(phases: Arc<[Phase]>) -> Self {
        Self {
            phases,
            phase: 0,
            begun: Duration::ZERO,
            has_dropped: false,
            resets: 0,
            number: 0,
        }
    }

    fn next_in_phase(&mut self, phase: &Phase) -> Option<Blow> {
        if let (Some(share), false) = (phase.drop, self.has_dropped) {
            self.has_dropped = true;
            return Some(Blow {
                at: self.begun,
                what: What::Share {
                    share,
                    phase: self.phase as u32,
                },
            });
        }
        let rate = phase.churn?;
        let within = rate.time_of(self.resets);
        if within >= phase.duration {
            return None;
        }
        self.resets += 1;
        let number = self.number;
        self.number = number.wrapping_add(1);
        Some(Blow {
            at: self.begun + within,
            what: What::One(number),
        })
    }
}

impl Iterator for Storms {
    type Item = Blow;

    fn next(&mut self) -> Option<Blow> {
        let phases = Arc::clone(&self.phases);
        while let Some(phase) = phases.get(self.phase) {
            let blow = self.next_in_phase(phase);
            if blow.is_some() {
                return blow;
            }
            self.begun += phase.duration;
            (self.phase, self.has_dropped, self.resets) = (self.phase + 1, false, 0);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::script::{Script, ScriptFlags};

    fn parse(phases: &str, reconnect: &str) -> Result<Script, String> {
        let text = format!(
            "config: {{target: 'ws://h/x', phases: {phases}}}\n\
             scenarios:\n  - {{engine: ws, flow: [{{send: a}}]{reconnect}}}\n  \
             - {{engine: ws, flow: [{{send: b}}]}}\n"
        );
        let flags = ScriptFlags::default();
        Script::parse("s.yml", &text, Path::new("."), &flags, &|_| None)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn drops_come_at_the_start_of_a_phase_and_resets_evenly_within_it() {
        let phases = "[{pause: 2, churn: 2/s}, {pause: 1}, {duration: 1, arrivalRate: 1, drop: 50%, churn: 1}]";
        let script = parse(phases, ", reconnect: true").expect("a script");
        let blows: Vec<_> = Storms::new(script.phases).collect();
        let at = |ms| Duration::from_millis(ms);
        let one = |ms, number| Blow {
            at: at(ms),
            what: What::One(number),
        };
        let half = What::Share {
            share: "50%".parse().expect("a share"),
            phase: 2,
        };
        let drop = Blow {
            at: at(3_000),
            what: half,
        };
        let expected = [
            one(0, 0),
            one(500, 1),
            one(1_000, 2),
            one(1_500, 3),
            drop,
            one(3_000, 4),
        ];
        assert_eq!(blows, expected);
        let none = parse("[{duration: 1, arrivalRate: 1}]", "").expect("a script");
        assert_eq!(Storms::new(none.phases).count(), 0);
    }

    #[test]
    fn who_resets_what_does_not_come_back_is_told_so() {
        let text = parse("[{pause: 1, drop: 50%}, {pause: 1, churn: 5/s}]", "");
        let text = text.expect_err("nobody comes back");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        for (line, key) in lines.iter().zip(["phases[0].drop: ", "phases[1].churn: "]) {
            assert!(line.contains(key), "{text}");
            assert!(
                line.contains("write `reconnect: true` in `config`"),
                "{text}"
            );
        }
        for (phases, reconnect, words) in [
            (
                "[{pause: 1, drop: 5}]",
                ", reconnect: true",
                "a share such as 50%",
            ),
            (
                "[{pause: 1, drop: 0%}]",
                ", reconnect: true",
                "expected 0.01% to 100%",
            ),
            (
                "[{pause: 1, churn: often}]",
                ", reconnect: true",
                "is not a rate",
            ),
            (
                "[{pause: 1, churn: 2000000/s}]",
                ", reconnect: true",
                "1000000/s at most",
            ),
            (
                "[{pause: 1, chrun: 2}]",
                ", reconnect: true",
                "did you mean `churn`?",
            ),
            (
                "[{pause: 1}]",
                ", reconnect: maybe",
                "expected true, false, phoenix or jitter",
            ),
            (
                "[{pause: 1}]",
                ", reconect: true",
                "did you mean `reconnect`?",
            ),
        ] {
            let text = parse(phases, reconnect).expect_err(phases);
            assert!(text.contains(words), "{phases}: {text}");
        }
    }

    #[test]
    fn sessions_of_socket_io_do_not_come_back() {
        let script = |own: &str| {
            let text = format!(
                "config: {{target: 'http://h/', reconnect: true, phases: [{{duration: 1, arrivalRate: 1}}]}}\n\
                 scenarios:\n  - {{engine: socketio, flow: [{{emit: [a, b]}}]{own}}}\n"
            );
            let flags = ScriptFlags::default();
            Script::parse("s.yml", &text, Path::new("."), &flags, &|_| None)
                .map_err(|problems| problems.to_string())
        };
        let text = script("").expect_err("they do not");
        assert!(
            text.contains("write `reconnect: false` in this scenario"),
            "{text}"
        );
        assert!(!script(", reconnect: false").expect("a script").comes_back());
    }
}
