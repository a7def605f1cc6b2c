//! What a run must reach: `ensure`, thresholds and conditions over the names of its metrics.

use super::{
    expression::Expression,
    fields::{Fields, number},
    problem::Problems,
    tree::{Node, Value},
};

/// The checks of a script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ensure {
    checks: Vec<Check>,
}

#[derive(Clone, Debug)]
struct Check {
    /// As it is shown.
    text: String,
    expression: Expression,
    is_strict: bool,
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The condition.
    pub text: String,
    /// Whether it held. A metric that nothing was measured for fails its check.
    pub holds: bool,
    /// Whether the run fails with it.
    pub is_strict: bool,
}

/// The percentiles that summaries have.
const LEGACY: [&str; 5] = ["min", "max", "median", "p95", "p99"];

impl Ensure {
    /// Reads `ensure`.
    pub(crate) fn read(node: &Node, path: &str, problems: &mut Problems) -> Self {
        let mut ensure = Self::default();
        let Some(mut fields) = Fields::of(node, path, problems) else {
            return ensure;
        };
        let key = fields.path_of("thresholds");
        for (number, node) in fields.list("thresholds").iter().enumerate() {
            ensure.threshold(node, &format!("{key}[{number}]"), problems);
        }
        let key = fields.path_of("conditions");
        for (number, node) in fields.list("conditions").iter().enumerate() {
            ensure.condition(node, &format!("{key}[{number}]"), problems);
        }
        if let Some(rate) = fields.number("maxErrorRate", (0.0, 100.0), problems) {
            let text =
                format!("((vusers.created - vusers.completed) / vusers.created * 100) <= {rate}");
            ensure.add(text, true).expect("an expression of our own");
        }
        for key in LEGACY {
            fields.forbid(
                key,
                "this is about http.response_time, and no HTTP is measured: use thresholds, such as \
                 `- vusers.session_length.p95: 2000`",
                problems,
            );
        }
        fields.finish(problems);
        ensure
    }

    fn threshold(&mut self, node: &Node, path: &str, problems: &mut Problems) {
        let Value::Map(entries) = &node.value else {
            let text = "expected a metric and its limit, such as {vusers.session_length.p95: 200}";
            problems.note(node.at, path, text);
            return;
        };
        for entry in entries {
            let Some(limit) = number(&entry.node) else {
                let text = format!("expected a number, found {}", entry.node.kind());
                problems.note(entry.node.at, &format!("{path}.{}", entry.key), text);
                continue;
            };
            // Quoted, so that any name will do.
            let text = format!("'{}' < {limit}", entry.key);
            match self.add(text, true) {
                Ok(()) => {
                    if let Some(check) = self.checks.last_mut() {
                        check.text = format!("{} < {limit}", entry.key);
                    }
                }
                Err(why) => problems.note(entry.at, path, why),
            }
        }
    }

    fn condition(&mut self, node: &Node, path: &str, problems: &mut Problems) {
        let Some(mut fields) = Fields::of(node, path, problems) else {
            return;
        };
        let expression = fields.text("expression", problems);
        let is_strict = fields.boolean("strict", problems).unwrap_or(true);
        match expression {
            Some(text) => {
                if let Err(why) = self.add(text.to_owned(), is_strict) {
                    let key = fields.path_of("expression");
                    problems.note(fields.place_of("expression"), &key, why);
                }
            }
            None => fields.missing("expression", "such as `vusers.failed == 0`", problems),
        }
        fields.finish(problems);
    }

    fn add(&mut self, text: String, is_strict: bool) -> Result<(), String> {
        self.checks.push(Check {
            expression: Expression::parse(&text)?,
            text,
            is_strict,
        });
        Ok(())
    }

    /// What comes of the checks where `metric` knows the value of each name.
    pub(crate) fn judge(&self, metric: &dyn Fn(&str) -> Option<f64>) -> Vec<Verdict> {
        let verdict = |check: &Check| Verdict {
            text: check.text.clone(),
            holds: check.expression.holds(metric),
            is_strict: check.is_strict,
        };
        self.checks.iter().map(verdict).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Ensure, String> {
        let mut problems = Problems::of("s.yml");
        let node = Node::parse(text, &mut problems).expect("YAML");
        let ensure = Ensure::read(&node, "config.ensure", &mut problems);
        problems.or(Some(ensure)).map_err(|all| all.to_string())
    }

    #[test]
    fn checks_hold_or_fail_by_the_metrics() {
        let ensure = read(
            "thresholds:\n  - vusers.session_length.p95: 200\n  - 'errors.x-y': 1\n\
             conditions:\n  - expression: vusers.failed == 0 and vusers.created > 5\n\
             \x20 - {expression: nobody.knows < 1, strict: false}\n\
             maxErrorRate: 10\n",
        );
        let verdicts = ensure.expect("checks").judge(&|name| match name {
            "vusers.session_length.p95" => Some(199.9),
            "vusers.created" => Some(10.0),
            "vusers.completed" => Some(9.0),
            "vusers.failed" => Some(1.0),
            _ => None,
        });
        let shown: Vec<_> = verdicts
            .iter()
            .map(|one| (&*one.text, one.holds, one.is_strict))
            .collect();
        assert_eq!(
            shown,
            [
                ("vusers.session_length.p95 < 200", true, true),
                ("errors.x-y < 1", false, true),
                ("vusers.failed == 0 and vusers.created > 5", false, true),
                ("nobody.knows < 1", false, false),
                (
                    "((vusers.created - vusers.completed) / vusers.created * 100) <= 10",
                    true,
                    true
                ),
            ]
        );
    }

    #[test]
    fn checks_that_cannot_be_are_refused() {
        for (text, words) in [
            ("p95: 200", "no HTTP is measured"),
            ("thresholds: [5]", "a metric and its limit"),
            ("thresholds: [{a: fast}]", "expected a number"),
            ("conditions: [{expression: 'a <'}]", "ends too early"),
            ("conditions: [{strict: true}]", "`expression` is missing"),
            ("treshold: []", "did you mean `thresholds`?"),
        ] {
            let refusal = read(text).expect_err(text);
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }
}
