//! The numbers of virtual users, beside their targets.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Idle, Options, Steps};
use crate::measure::Machine;
use crate::numbers::{grouped, median};

/// Bytes of an idle user, at most.
const BYTES_TARGET: f64 = 600.0;
/// Steps per second of the crowd's processor time, at least.
const STEPS_TARGET: f64 = 50_000.0;

/// All samples.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) idle: Vec<Idle>,
    /// By what is sent.
    pub(super) steps: BTreeMap<&'static str, Vec<Steps>>,
}

impl Idle {
    /// The whole program, for each user.
    fn bytes(&self) -> f64 {
        self.memory_bytes as f64 / self.users as f64
    }

    /// What came with the users, for each.
    fn bytes_more(&self) -> f64 {
        self.memory_bytes.saturating_sub(self.empty_bytes) as f64 / self.users as f64
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.users as f64
    }
}

impl Steps {
    fn per_cpu_second(&self) -> f64 {
        self.count as f64 / self.cpu.as_secs_f64()
    }

    fn per_second(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }
}

impl Results {
    pub(super) fn render(&self, options: &Options, machine: &Machine) -> String {
        let mut text = format!(
            "{} users connect, join and think; {} users send; {}, {machine}{}\n\n\
             | number | median (least–most) | target |\n|---|---:|---|\n",
            grouped(options.users.into(), 0),
            options.senders,
            options.kernel.name(),
            if cfg!(debug_assertions) {
                "; DEBUG BUILD, the numbers mean nothing"
            } else {
                ""
            },
        );
        let idle = |of: fn(&Idle) -> f64| self.idle.iter().map(of).collect::<Vec<_>>();
        let mut row = |name: &str, values: &[f64], decimals, target: &str| {
            let middle = median(values).unwrap_or(f64::NAN);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let [middle, least, most] = [middle, least, most].map(|it| grouped(it, decimals));
            // Writing to a String does not fail.
            let _ = writeln!(text, "| {name} | {middle} ({least}–{most}) | {target} |");
        };
        let bytes = idle(Idle::bytes);
        let verdict = |is_met| if is_met { "met" } else { "MISSED" };
        let is_met = median(&bytes).is_some_and(|middle| middle <= BYTES_TARGET);
        let target = format!("≤ {BYTES_TARGET}: {}", verdict(is_met));
        row("whole program, bytes per idle user", &bytes, 0, &target);
        let more = idle(Idle::bytes_more);
        row("… less the program without users", &more, 0, "");
        row(
            "CPU per idle user and second, µs",
            &idle(Idle::cpu_us),
            2,
            "",
        );
        for (name, samples) in &self.steps {
            let values: Vec<_> = samples.iter().map(Steps::per_cpu_second).collect();
            let is_met = median(&values).is_some_and(|middle| middle >= STEPS_TARGET);
            let least = grouped(STEPS_TARGET, 0);
            let target = format!("≥ {least}: {}", verdict(is_met));
            let title = format!("sends of {name}, steps per second and core");
            row(&title, &values, 0, &target);
            let values: Vec<_> = samples.iter().map(Steps::per_second).collect();
            row("… by the clock, the server beside it", &values, 0, "");
        }
        text
    }

    pub(super) fn to_json(&self, machine: &Machine) -> Value {
        let idle = self.idle.iter().map(|it| {
            json!({
                "users": it.users,
                "memory_bytes": it.memory_bytes,
                "empty_bytes": it.empty_bytes,
                "cpu_us_per_s": it.cpu.as_secs_f64() * 1e6,
            })
        });
        let steps = self.steps.iter().map(|(name, samples)| {
            let samples = samples.iter().map(|it| {
                json!({
                    "steps": it.count,
                    "took_us": it.took.as_micros() as u64,
                    "cpu_us": it.cpu.as_micros() as u64,
                })
            });
            ((*name).to_owned(), samples.collect::<Value>())
        });
        json!({
            "machine": machine.to_json(),
            "idle": idle.collect::<Value>(),
            "sends": steps.collect::<serde_json::Map<_, _>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn users_are_charged_with_the_whole_program_and_steps_with_its_processor_time() {
        let idle = Idle {
            users: 1_000,
            memory_bytes: 600_000,
            empty_bytes: 100_000,
            cpu: Duration::from_millis(2),
        };
        assert_eq!(
            (idle.bytes(), idle.bytes_more(), idle.cpu_us()),
            (600.0, 500.0, 2.0)
        );
        let steps = Steps {
            count: 100_000,
            took: Duration::from_secs(2),
            cpu: Duration::from_secs(1),
        };
        assert_eq!(
            (steps.per_cpu_second(), steps.per_second()),
            (100_000.0, 50_000.0)
        );
    }
}
