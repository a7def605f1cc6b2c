//! A script of which more users arrive than it says, or fewer: everything else stays.

use super::{
    phases::{Pace, Phase},
    read::Script,
};

/// Arrivals of a script, at most: their numbers are of 32 bits.
const ARRIVALS_MAX: f64 = u32::MAX as f64;
/// Arrivals per second, at most, as in a script itself.
const RATE_MAX: f64 = 1e6;

impl Script {
    /// The same with so many per cent of the arrivals in each phase, and of the users that are held or may
    /// be there at once.
    #[must_use]
    pub fn at_percent(&self, percent: u64) -> Self {
        let scale = percent as f64 / 100.0;
        let phases = self.phases.iter().map(|phase| phase.scaled(scale));
        let mut script = self.clone();
        script.phases = phases.collect();
        script
    }

    /// The most per cent that its phases allow.
    pub(crate) fn percent_max(&self) -> u64 {
        let total: f64 = self.phases.iter().map(Phase::arrivals_about).sum();
        let fastest = self.phases.iter().map(Phase::rate_max).fold(0.0, f64::max);
        let most = |bound: f64, now: f64| {
            if now > 0.0 {
                bound / now * 100.0
            } else {
                100.0
            }
        };
        most(ARRIVALS_MAX, total).min(most(RATE_MAX, fastest)) as u64
    }
}

impl Phase {
    fn scaled(&self, scale: f64) -> Self {
        let users = |count: u32| ((f64::from(count) * scale).round() as u32).max(1);
        Self {
            pace: match self.pace {
                Pace::Pause => Pace::Pause,
                Pace::Uniform { interval_ms, count } => {
                    let more = ((count as f64 * scale).round() as u64).max(1);
                    // The phase is as long as before.
                    let interval_ms = interval_ms * count as f64 / more as f64;
                    Pace::Uniform {
                        interval_ms,
                        count: more,
                    }
                }
                Pace::Poisson { mean_ms } => Pace::Poisson {
                    mean_ms: mean_ms / scale,
                },
                Pace::Ramp { from, to, seconds } => Pace::Ramp {
                    from: from * scale,
                    to: to * scale,
                    seconds,
                },
            },
            users_max: self.users_max.map(users),
            hold: self.hold.map(users),
            ..self.clone()
        }
    }

    /// Users that arrive in its fastest second.
    fn rate_max(&self) -> f64 {
        match self.pace {
            Pace::Pause => 0.0,
            Pace::Uniform { interval_ms, .. } => 1e3 / interval_ms,
            Pace::Poisson { mean_ms } => 1e3 / mean_ms,
            Pace::Ramp { from, to, .. } => from.max(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;
    use crate::script::ScriptFlags;

    fn script(phases: &str) -> Script {
        let text = format!(
            "config:\n  target: ws://127.0.0.1:1/\n  phases: [{phases}]\nscenarios:\n  \
             - engine: ws\n    flow: [{{send: a}}]\n"
        );
        Script::parse(
            "a.yml",
            &text,
            Path::new("."),
            &ScriptFlags::default(),
            &|_| None,
        )
        .expect("a script")
    }

    #[test]
    fn arrivals_grow_and_phases_stay_as_long() {
        for phase in [
            "{duration: 10, arrivalRate: 20}",
            "{duration: 10, arrivalCount: 200}",
            "{duration: 10, arrivalRate: 20, mode: poisson}",
            "{duration: 10, arrivalRate: 10, rampTo: 30}",
        ] {
            let script = script(phase);
            for percent in [50, 100, 250] {
                let scaled = script.at_percent(percent);
                let about = scaled.phases[0].arrivals_about();
                let expected = 2.0 * percent as f64;
                assert!(
                    (about - expected).abs() <= 1.0,
                    "{phase} at {percent} %: {about}"
                );
                assert_eq!(scaled.phases[0].duration, Duration::from_secs(10));
            }
            assert_eq!(script.at_percent(100).phases, script.phases, "{phase}");
        }
        let held = script("{duration: 10, hold: 100}").at_percent(300);
        assert_eq!(held.phases[0].hold, Some(300));
        let paused = script("{pause: 5}, {duration: 1, arrivalRate: 1000, maxVusers: 7}");
        assert_eq!(paused.percent_max(), 100_000);
        let paused = paused.at_percent(200);
        assert_eq!(paused.phases[0].pace, Pace::Pause);
        assert_eq!(paused.phases[1].users_max, Some(14));
    }
}
