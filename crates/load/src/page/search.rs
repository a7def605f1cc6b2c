//! The steps of a search, as a part of the page.

use std::fmt::Write as _;

use super::{markup::Text, table};
use crate::record::Record;

impl Record {
    /// The answer of a search and the steps to it; nothing of any other run.
    pub(super) fn search_table(&self) -> String {
        let Some(found) = &self.search else {
            return String::new();
        };
        let mut out = format!(
            "<h2>The search</h2><p id=\"search\">The most {} until {}: ",
            Text(&found.unit),
            Text(&found.objective)
        );
        // Writing to a String does not fail.
        let _ = match (found.answer, found.broke_at) {
            (Some(answer), Some(broke)) => write!(out, "<b>{answer}</b>; {broke} did not hold."),
            (Some(answer), None) => write!(out, "<b>{answer}</b>, the most that was to be tried."),
            (None, _) => write!(out, "<b>no answer</b>."),
        };
        if let Some(name) = found.culprit_name() {
            let _ = write!(out, " Broke first: {}.", Text(name));
        }
        out += "</p>";
        let rows = found.steps.iter().map(|step| {
            let (class, word) = if step.met { ("ok", "met") } else { ("fail", "not met") };
            let seen = step.seen.iter().map(|one| {
                let found = one.found.as_deref().unwrap_or_default();
                format!("{}: {found}", one.expression)
            });
            let seen: Vec<_> = seen.collect();
            format!(
                "<td class=\"n\" data-step=\"{0}\">{0}</td><td>{1}</td><td class=\"{class}\">{word}</td>\
                 <td class=\"words\">{2}</td><td class=\"n\">{3:.1} s</td>",
                step.value,
                Text(&step.purpose),
                Text(&seen.join(", ")),
                step.took_ms as f64 / 1e3
            )
        });
        let head = ["load", "Step", "", "There was", "took"];
        out + &table("", "", &head, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Culprit, Found, Step};

    #[test]
    fn the_answer_and_every_step_are_there() {
        assert_eq!(Record::default().search_table(), "");
        let found = Found {
            unit: "connections".to_owned(),
            objective: "p99<200ms".to_owned(),
            answer: Some(300),
            broke_at: Some(312),
            culprit: Some(Culprit::Server),
            steps: vec![Step {
                value: 300,
                met: true,
                purpose: "<b>".to_owned(),
                ..Step::default()
            }],
            ..Found::default()
        };
        let record = Record {
            search: Some(found),
            ..Record::default()
        };
        let page = record.to_html();
        assert!(page.contains(
            "until p99&lt;200ms: <b>300</b>; 312 did not hold. Broke first: the server."
        ));
        assert!(page.contains("data-step=\"300\">300</td><td>&lt;b&gt;</td><td class=\"ok\">met"));
    }
}
