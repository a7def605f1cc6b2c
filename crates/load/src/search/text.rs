//! What people read of a search: a line before and after each step, and the table at its end.

use std::fmt::{self, Display};

use capacity::Grouped;

use super::{
    Blame, Found, SearchReport,
    bracket::{Came, Purpose},
    objective::Judged,
};

pub(super) const fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Rising => "rising",
        Purpose::Narrowing => "narrowing",
        Purpose::Again => "again",
        Purpose::Confirming => "confirming",
    }
}

/// What is told when a step begins.
pub(super) fn before(steps: usize, value: u64, why: Purpose, unit: &str) -> String {
    format!(
        "step {}, {}: {} {}",
        steps + 1,
        purpose(why),
        Grouped(value),
        unit
    )
}

/// What is told when it is over.
pub(super) fn after(judged: &[Judged], came: Came, blame: &Blame) -> String {
    let word = match came {
        Came::Met => "met",
        Came::Missed => "NOT met",
        Came::Impossible => "NOT possible",
    };
    let seen = judged
        .iter()
        .map(|one| format!(", {}: {}", one.condition, one.found));
    let seen: String = seen.collect();
    let why = match (came, blame.why.first()) {
        (Came::Impossible, Some(why)) => format!(": {why}"),
        _ => String::new(),
    };
    format!("  {word}{seen}{why}")
}

impl Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "search: the most {}, until {}\n",
            self.unit, self.objective
        )?;
        let heads: Vec<_> = self
            .steps
            .iter()
            .find(|step| !step.seen.is_empty())
            .map(|step| {
                step.seen
                    .iter()
                    .map(|one| one.expression.as_str())
                    .collect()
            })
            .unwrap_or_default();
        write!(f, "  {:>12}  {:<10}  {:<3}", "load", "step", "met")?;
        for head in &heads {
            write!(f, "  {head:>16}")?;
        }
        writeln!(f, "  {:>7}", "took")?;
        for step in &self.steps {
            let met = if step.met { "yes" } else { "no" };
            let load = Grouped(step.value).to_string();
            write!(f, "  {load:>12}  {:<10}  {met:<3}", step.purpose)?;
            for (place, head) in heads.iter().enumerate() {
                let seen = step.seen.get(place).and_then(|one| one.found.as_deref());
                let width = head.chars().count().max(16);
                write!(f, "  {:>width$}", seen.unwrap_or("–"))?;
            }
            writeln!(f, "  {:>5.1} s", step.took_ms as f64 / 1e3)?;
        }
        match self.answer {
            Some(answer) => write!(f, "\nanswer: {} {}", Grouped(answer), self.unit)?,
            None => write!(f, "\nno answer")?,
        }
        match (self.answer, self.broke_at) {
            (Some(_), Some(broke)) => write!(f, "; {} did not hold", Grouped(broke))?,
            (Some(_), None) => write!(f, ", the most that was to be tried; it may be more")?,
            (None, Some(broke)) => write!(f, ": {} did not hold", Grouped(broke))?,
            (None, None) => {}
        }
        if let Some(held) = self.held_so_far().filter(|_| self.answer.is_none()) {
            write!(f, "; {} held so far", Grouped(held))?;
        }
        if let Some(name) = self.culprit_name() {
            write!(f, "\nbroke first: {name}")?;
        }
        self.why.iter().try_for_each(|why| write!(f, "\n  {why}"))
    }
}

impl<R: Display> Display for SearchReport<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The table is what was asked for, so it comes last, where one looks.
        if let Some(run) = &self.run {
            let which = match self.found.answer {
                Some(_) => "the last run that met the objective",
                None => "the last run",
            };
            writeln!(f, "{which}:\n\n{run}\n")?;
        }
        write!(f, "{}", self.found)?;
        if self.interrupted {
            write!(f, "\n{}", self.found.cut_text())?;
        }
        Ok(())
    }
}
