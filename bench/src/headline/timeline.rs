//! What server and crowd have cost in which part of a run: looks at both, put into the stages of the
//! crowd.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::measure::cpu_time;

/// The processor time that server and crowd had used at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) at: Instant,
    cpu: [Duration; 2],
}

/// What lies between two looks: how long it was, and the processor time of server and crowd.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Spent {
    pub(super) time: Duration,
    pub(super) cpu: [Duration; 2],
}

/// The looks at a run, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// The stage that the crowd is in, and the looks within it: the first and the last.
    stage: String,
    looks: Option<[Look; 2]>,
    /// The last look before it.
    before: Option<Look>,
    hold: Spent,
    broadcasts: Spent,
}

impl Look {
    /// Looks at the processes of server and crowd; `None` when one of them is ending.
    pub(super) fn at_both([server, crowd]: [u32; 2]) -> Option<Self> {
        Some(Self {
            at: Instant::now(),
            cpu: [cpu_time(server).ok()?, cpu_time(crowd).ok()?],
        })
    }
}

impl Spent {
    fn between(first: Look, last: Look) -> Self {
        Self {
            time: last.at - first.at,
            cpu: [0, 1].map(|end| last.cpu[end].saturating_sub(first.cpu[end])),
        }
    }

    /// Returns the server's processor seconds less those that as long a part of `idle` has cost it;
    /// `None` when `idle` was no time at all.
    pub(super) fn server_net_s(&self, idle: &Self) -> Option<f64> {
        let share = self.time.as_secs_f64() / idle.time.as_secs_f64();
        let net = self.cpu[0].as_secs_f64() - share * idle.cpu[0].as_secs_f64();
        (!idle.time.is_zero()).then_some(net)
    }

    pub(super) fn to_json(self) -> Value {
        let [server, crowd] = self.cpu.map(|it| it.as_secs_f64());
        json!({ "time_s": self.time.as_secs_f64(), "server_cpu_s": server, "crowd_cpu_s": crowd })
    }
}

impl Timeline {
    pub(super) fn stage(&self) -> &str {
        &self.stage
    }

    /// Begins the stage `name`.
    pub(super) fn enter(&mut self, name: String) {
        if let Some([first, last]) = self.looks.take() {
            if self.stage == "holding" {
                self.hold = Spent::between(first, last);
            }
            self.before = Some(last);
        }
        self.stage = name;
    }

    /// Takes a look that is certainly within the stage, and returns how long after the first it is.
    pub(super) fn add(&mut self, look: Look) -> Duration {
        let first = self.looks.map_or(look, |[first, _]| first);
        self.looks = Some([first, look]);
        look.at - first.at
    }

    /// Takes the look at the end of a broadcast: all of them reach from the last look before their
    /// stage to the end of the last, and not to the end of the stage, which is seen too late.
    pub(super) fn end_broadcast(&mut self, look: Look) {
        if let Some(before) = self.before {
            self.broadcasts = Spent::between(before, look);
        }
    }

    /// Returns what lies between the first and the last look within the hold, as that is long.
    pub(super) fn hold(&self) -> Spent {
        self.hold
    }

    pub(super) fn broadcasts(&self) -> Spent {
        self.broadcasts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enters stages and takes looks, each at so many seconds with so much processor time at both ends.
    fn timeline(script: &[(&str, u64, u64)]) -> Timeline {
        let start = Instant::now();
        let mut timeline = Timeline::default();
        for (word, at_s, cpu_s) in script {
            let look = Look {
                at: start + Duration::from_secs(*at_s),
                cpu: [*cpu_s, 2 * cpu_s].map(Duration::from_secs),
            };
            match *word {
                "look" => _ = timeline.add(look),
                "broadcast is over" => timeline.end_broadcast(look),
                stage => timeline.enter(stage.to_owned()),
            }
        }
        timeline
    }

    #[test]
    fn broadcasts_end_with_the_last_and_not_with_the_next_stage() {
        let timeline = timeline(&[
            ("holding", 0, 0),
            ("look", 1, 10),
            ("look", 11, 15),
            ("broadcasting", 12, 0),
            ("look", 13, 17),
            ("broadcast is over", 14, 20),
            ("look", 15, 21),
            ("broadcast is over", 16, 25),
            ("dropping", 17, 0),
            ("look", 17, 99),
        ]);
        let seconds = |spent: Spent| (spent.time.as_secs(), spent.cpu.map(|it| it.as_secs()));
        assert_eq!(seconds(timeline.hold()), (10, [5, 10]));
        assert_eq!(seconds(timeline.broadcasts()), (5, [10, 20]));
        assert_eq!(timeline.stage(), "dropping");
    }

    #[test]
    fn what_is_idle_is_taken_off_for_as_long_as_it_lasts() {
        let spent = |seconds, milliseconds| Spent {
            time: Duration::from_secs(seconds),
            cpu: [Duration::from_millis(milliseconds); 2],
        };
        let net = spent(5, 800).server_net_s(&spent(20, 1_200)).unwrap();
        assert!((net - 0.5).abs() < 1e-9, "{net}");
        assert_eq!(spent(5, 800).server_net_s(&spent(0, 0)), None);
    }
}
