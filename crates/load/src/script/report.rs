//! What came of a script: in Artillery's shape, with ours under a key of its own, and as text.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{
    apdex, ensure::Verdict, figures::Figures, metrics::Metrics, perform::ScriptOptions,
    read::Script,
};
use crate::{
    agents::{MachineReport, write_machines},
    failure::{Failure, FailureCount},
    latency::Micros,
    record::{Check, Record, ScriptBehind, Status, StepRow, Trouble},
    timeline::Timeline,
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
    /// Why connections ended that were to come back, most frequent first.
    pub disconnections: Vec<FailureCount>,
    /// Why they could not come back at once, most frequent first.
    pub returns_failed: Vec<FailureCount>,
    /// Whether the run was ended early.
    pub interrupted: bool,
    aggregate: Metrics,
    ours: Metrics,
    steps: Vec<StepRow>,
    /// When the run began and ended, in milliseconds of the epoch.
    span: (u64, u64),
    behind: ScriptBehind,
    /// The Apdex score, if the script asks for it and there was a response.
    apdex: Option<f64>,
    /// Expectations of steps that failed, most frequent first.
    unmet: Vec<FailureCount>,
    /// The machines of the crowd, where there are several.
    pub machines: Vec<MachineReport>,
}

/// Who ran a script, and when.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) span: (u64, u64),
    pub(crate) intermediate: Vec<Value>,
    pub(crate) interrupted: bool,
    pub(crate) carrier: String,
    pub(crate) shards: u16,
    pub(crate) timeline: Timeline,
    pub(crate) machines: Vec<MachineReport>,
}

impl ScriptReport {
    pub(crate) fn new(
        script: &Script,
        options: &ScriptOptions,
        figures: &Figures,
        run: Run,
    ) -> Self {
        let seconds = run.span.1.saturating_sub(run.span.0) as f64 / 1e3;
        let aggregate = Metrics::of(figures, script, seconds);
        let ours = Metrics::ours(figures);
        let apdex = figures.apdex.score();
        let find = |name: &str| metric(&aggregate, &ours, apdex, name);
        let verdicts = script.ensure.judge(&find);
        let failures = figures.failed.counts();
        let mut limits = figures.failed.only(Failure::is_ours);
        limits.merge(figures.returns_failed.only(Failure::is_ours));
        let limits = limits.counts();
        let programs = script.programs.iter();
        let names = programs.flat_map(|program| {
            let labels = program.labels.iter();
            labels.map(|label| (program.name.clone(), label.to_string()))
        });
        let steps = names.zip(&figures.steps).filter(|(_, step)| step.begun > 0);
        let steps = steps.map(|((scenario, step), figures)| StepRow {
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
            disconnections: figures.disconnected.counts(),
            returns_failed: figures.returns_failed.counts(),
            interrupted: run.interrupted,
            apdex,
            unmet: unmet(figures),
            steps: steps.collect(),
            aggregate,
            ours,
            span: run.span,
            machines: run.machines.clone(),
            behind: ScriptBehind::of(script, options, figures, run),
        }
    }

    /// Whether the run came to its end on all machines, and every strict check held.
    pub fn is_met(&self) -> bool {
        let held = self.verdicts.iter().all(|one| one.holds || !one.is_strict);
        let is_whole = self.machines.iter().all(|machine| machine.lost.is_none());
        held && is_whole && !self.interrupted && self.unmet.is_empty()
    }

    /// The report as JSON: Artillery's shape, and a key `fourtuple`.
    pub fn to_json(&self) -> String {
        self.record().to_json()
    }

    /// What the run leaves behind, with the facts of this machine.
    pub fn record(&self) -> Record {
        let beside = Map::from_iter([
            (
                "aggregate".to_owned(),
                shaped(&self.aggregate, self.span, self.span.0),
            ),
            (
                "intermediate".to_owned(),
                self.behind.intermediate.clone().into(),
            ),
        ]);
        let more = [
            ("script".to_owned(), json!(self.behind.file)),
            ("counters".to_owned(), json!(self.ours.counters)),
            ("summaries".to_owned(), json!(self.ours.summaries)),
        ];
        let metric = |name: &str| metric(&self.aggregate, &self.ours, self.apdex, name);
        let checks = self.verdicts.iter().map(|one| Check {
            expression: one.text.clone(),
            ok: one.holds,
            strict: one.is_strict,
            found: None,
        });
        let mut more = Map::from_iter(more);
        if let Some(score) = self.apdex {
            let apdex = json!({"score": score, "rating": apdex::rating(score)});
            more.insert("apdex".to_owned(), apdex);
        }
        let mut record = Record {
            machines: self.machines.clone(),
            checks: checks.collect(),
            steps: self.steps.clone(),
            beside,
            more,
            ..self.behind.record(self.span, &metric)
        };
        self.judge(&mut record);
        record
    }

    /// Says what came of the run, and why.
    fn judge(&self, record: &mut Record) {
        record.interrupted = self.interrupted;
        record.status = match (self.limits.is_empty(), self.is_met()) {
            (false, _) => Status::NotGenerated,
            (true, true) => Status::Met,
            (true, false) => Status::NotMet,
        };
        let troubles = |group: &'static str, all: &'_ [FailureCount]| {
            let troubles = all.iter().map(|one| Trouble::of(group, one));
            troubles.collect::<Vec<_>>()
        };
        record.limits = troubles("limits", &self.limits);
        record.failures = troubles("users failed", &self.failures);
        let ended = troubles("disconnected", &self.disconnections);
        let tries = troubles("could not come back at once", &self.returns_failed);
        record.failures.extend(ended.into_iter().chain(tries));
        let unmet: Vec<_> = troubles("expectations failed", &self.unmet);
        record.failures.extend(unmet);
        if !self.unmet.is_empty() {
            let count: u64 = self.unmet.iter().map(|one| one.count).sum();
            record.reasons.push(format!("expectations failed: {count}"));
        }
        if self.interrupted {
            record.reasons.push("the run was ended early".to_owned());
        }
        for failed in self
            .verdicts
            .iter()
            .filter(|one| !one.holds && one.is_strict)
        {
            record
                .reasons
                .push(format!("check failed: {}", failed.text));
        }
    }
}

/// The value of a metric, wherever it is.
fn metric(aggregate: &Metrics, ours: &Metrics, apdex: Option<f64>, name: &str) -> Option<f64> {
    let own = || apdex.filter(|_| name == "apdex.score");
    aggregate
        .find(name)
        .or_else(|| ours.find(name))
        .or_else(own)
}

/// Expectations that failed, most frequent first.
fn unmet(figures: &Figures) -> Vec<FailureCount> {
    let all = figures.unmet.iter().map(|(text, &count)| FailureCount {
        class: "failed_expectations",
        text: text.clone(),
        count,
        remedy: None,
    });
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.count));
    all
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
        write_machines(f, &self.machines)?;
        for (title, failures) in [
            ("Failed users", &self.failures),
            (
                "Connections that ended and were to come back",
                &self.disconnections,
            ),
            ("Tries to come back in vain", &self.returns_failed),
        ] {
            write_failures(f, title, failures)?;
        }
        if !self.unmet.is_empty() {
            writeln!(f, "\nFailed expectations:")?;
        }
        for one in &self.unmet {
            writeln!(f, "  {} × {}", one.count, one.text)?;
        }
        if let Some(score) = self.apdex {
            writeln!(f, "\nApdex score: {score} ({})", apdex::rating(score))?;
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

fn write_failures(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    failures: &[FailureCount],
) -> fmt::Result {
    if !failures.is_empty() {
        writeln!(f, "\n{title}:")?;
    }
    for failure in failures {
        writeln!(f, "  {} × {}", failure.count, failure.text)?;
        if let Some(remedy) = failure.remedy {
            writeln!(f, "    {remedy}")?;
        }
    }
    Ok(())
}
