//! What came of a script: in Artillery's shape, with ours under a key of its own, and as text.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    ensure::Verdict,
    figures::Figures,
    metrics::{Metrics, is_ours},
    read::Script,
};
use crate::{
    failure::FailureCount,
    latency::{Micros, Percentiles},
};

/// The results of a script.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScriptReport {
    /// What the script asked of itself with `ensure`.
    pub verdicts: Vec<Verdict>,
    /// What kept this machine from generating the load, most frequent first; the run says nothing about
    /// the server then.
    pub limits: Vec<FailureCount>,
    /// Why users failed, most frequent first.
    pub failures: Vec<FailureCount>,
    /// Whether the run was ended early.
    pub interrupted: bool,
    aggregate: Metrics,
    ours: Metrics,
    steps: Vec<StepReport>,
    intermediate: Vec<Value>,
    /// When the run began and ended, in milliseconds of the epoch.
    span: (u64, u64),
    file: String,
    carrier: String,
    shards: u16,
}

/// What was measured of one step.
#[derive(Clone, Debug, Serialize)]
struct StepReport {
    scenario: String,
    step: String,
    begun: u64,
    /// Begun more than 10 ms after it was meant to.
    late: u64,
    lateness: Percentiles,
    response: Percentiles,
}

/// Who ran a script, and when.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) span: (u64, u64),
    pub(crate) intermediate: Vec<Value>,
    pub(crate) interrupted: bool,
    pub(crate) carrier: String,
    pub(crate) shards: u16,
}

impl ScriptReport {
    pub(crate) fn new(script: &Script, figures: &Figures, run: Run) -> Self {
        let seconds = run.span.1.saturating_sub(run.span.0) as f64 / 1e3;
        let aggregate = Metrics::of(figures, script, seconds);
        let ours = Metrics::ours(figures);
        let find = |name: &str| aggregate.find(name).or_else(|| ours.find(name));
        let verdicts = script.ensure.judge(&find);
        let failures = figures.failed.counts();
        let limits = figures.failed.only(is_ours).counts();
        let programs = script.programs.iter();
        let names = programs.flat_map(|program| {
            let labels = program.labels.iter();
            labels.map(|label| (program.name.clone(), label.to_string()))
        });
        let steps = names.zip(&figures.steps).filter(|(_, step)| step.begun > 0);
        let steps = steps.map(|((scenario, step), figures)| StepReport {
            scenario,
            step,
            begun: figures.begun,
            late: figures.late,
            lateness: figures.lateness.percentiles(),
            response: figures.response.percentiles(),
        });
        Self {
            verdicts,
            limits,
            failures,
            interrupted: run.interrupted,
            steps: steps.collect(),
            aggregate,
            ours,
            intermediate: run.intermediate,
            span: run.span,
            file: script.file.clone(),
            carrier: run.carrier,
            shards: run.shards,
        }
    }

    /// Whether the run came to its end and every strict check held.
    pub fn is_met(&self) -> bool {
        let held = self.verdicts.iter().all(|one| one.holds || !one.is_strict);
        held && !self.interrupted
    }

    /// The report as JSON: Artillery's shape, and a key `fourtuple`.
    pub fn to_json(&self) -> String {
        let checks = self
            .verdicts
            .iter()
            .map(|one| json!({"expression": one.text, "ok": one.holds, "strict": one.is_strict}));
        let report = json!({
            "aggregate": shaped(&self.aggregate, self.span, self.span.0),
            "intermediate": self.intermediate,
            "fourtuple": {
                "script": self.file,
                "carrier": self.carrier,
                "shards": self.shards,
                "interrupted": self.interrupted,
                "counters": self.ours.counters,
                "summaries": self.ours.summaries,
                "steps": self.steps,
                "failures": self.failures,
                "limits": self.limits,
                "checks": checks.collect::<Vec<_>>(),
            },
        });
        format!("{report:#}")
    }
}

/// Metrics with the fields of Artillery's reports.
pub(crate) fn shaped(metrics: &Metrics, span: (u64, u64), period: u64) -> Value {
    let (first, last) = span;
    json!({
        "counters": metrics.counters,
        "rates": metrics.rates,
        "summaries": metrics.summaries,
        "histograms": metrics.summaries,
        "firstCounterAt": first,
        "firstHistogramAt": first,
        "lastCounterAt": last,
        "lastHistogramAt": last,
        "firstMetricAt": first,
        "lastMetricAt": last,
        "period": period,
    })
}

impl fmt::Display for ScriptReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.span.1.saturating_sub(self.span.0) as f64 / 1e3;
        match self.interrupted {
            true => writeln!(f, "Ended early after {seconds:.1} seconds\n")?,
            false => writeln!(f, "All VUs finished. Total time: {seconds:.1} seconds\n")?,
        }
        let line = "-".repeat(32);
        writeln!(f, "{line}\nSummary report\n{line}\n")?;
        for line in self.aggregate.lines().iter().chain(&self.ours.lines()) {
            writeln!(f, "{line}")?;
        }
        let waits = self.steps.iter().filter(|step| step.response.count > 0);
        for step in waits {
            let at = |us| Micros(us).to_string();
            writeln!(
                f,
                "\n{} {}: {} begun, {} late; answered after {} (median), {} (p99)",
                step.scenario,
                step.step,
                step.begun,
                step.late,
                at(step.response.p50_us),
                at(step.response.p99_us),
            )?;
        }
        if !self.failures.is_empty() {
            writeln!(f, "\nFailed users:")?;
        }
        for failure in &self.failures {
            writeln!(f, "  {} × {}", failure.count, failure.text)?;
            if let Some(remedy) = failure.remedy {
                writeln!(f, "    {remedy}")?;
            }
        }
        if !self.verdicts.is_empty() {
            writeln!(f, "\nChecks:")?;
        }
        for verdict in &self.verdicts {
            let word = if verdict.holds { "ok" } else { "fail" };
            let optional = if verdict.is_strict { "" } else { " (optional)" };
            writeln!(f, "{word}: {}{optional}", verdict.text)?;
        }
        Ok(())
    }
}
