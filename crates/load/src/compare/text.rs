//! A comparison for people.

use std::fmt;

use super::{Change, Comparison, Judgement};
use crate::page::number;

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "before  {}", self.names.0.join(", "))?;
        writeln!(f, "after   {}", self.names.1.join(", "))?;
        for one in &self.plan_differences {
            writeln!(
                f,
                "the plans differ: {} was {} and is {}",
                one.name, one.before, one.after
            )?;
        }
        let head = ["before", "after", "change"];
        write!(f, "\n{:<34}", "")?;
        head.iter().try_for_each(|name| write!(f, "{name:>14}"))?;
        writeln!(f, "  verdict")?;
        for change in &self.changes {
            write_change(f, change)?;
        }
        let count = |verdict| {
            self.changes
                .iter()
                .filter(|one| one.verdict == verdict)
                .count()
        };
        let (worse, better) = (count(Judgement::Worse), count(Judgement::Better));
        match (worse, better) {
            (0, 0) => write!(f, "\nnothing has changed by more than noise"),
            (0, _) => write!(f, "\nnothing is worse; better: {better}"),
            _ => write!(f, "\nWORSE: {worse}; better: {better}"),
        }
    }
}

fn write_change(f: &mut fmt::Formatter<'_>, change: &Change) -> fmt::Result {
    let value = |value: f64| match change.unit.as_str() {
        "%" => format!("{value:.2} %"),
        unit => number(value, unit),
    };
    let percent = change.change_percent;
    let percent = percent.map_or_else(|| "–".to_owned(), |percent| format!("{percent:+.1} %"));
    let verdict = match change.verdict {
        Judgement::Better => "better",
        Judgement::Worse => "WORSE",
        Judgement::Noise => "noise",
    };
    writeln!(
        f,
        "{:<34}{:>14}{:>14}{percent:>14}  {verdict:<6}  {}",
        change.metric,
        value(change.before),
        value(change.after),
        change.why
    )
}
