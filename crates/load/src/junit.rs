//! A run as JUnit's XML, which the servers of continuous integration show: one suite, a case for each check
//! and for each class of failures.

use std::fmt::Write as _;

use crate::{
    page::Text,
    record::{Record, Status, Trouble},
};

/// A suite that is being written.
#[derive(Debug, Default)]
struct Suite {
    cases: String,
    tests: u32,
    failures: u32,
    skipped: u32,
    seconds: f64,
}

impl Suite {
    /// Adds a case; one that fails though it may is skipped, and fails no build.
    fn case(&mut self, group: &str, name: &str, failure: Option<(&str, String)>, is_strict: bool) {
        self.tests += 1;
        let _ = write!(
            self.cases,
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            Text(group),
            Text(name),
            self.seconds
        );
        match failure {
            None => self.cases += "/>\n",
            Some((message, text)) if is_strict => {
                self.failures += 1;
                let _ = writeln!(
                    self.cases,
                    ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                    Text(message),
                    Text(&text)
                );
            }
            Some((message, _)) => {
                self.skipped += 1;
                let _ = writeln!(
                    self.cases,
                    ">\n      <skipped message=\"{}\"/>\n    </testcase>",
                    Text(message)
                );
            }
        }
    }
}

impl Record {
    /// The run as JUnit's XML.
    pub fn to_junit(&self) -> String {
        let suite = self.suite();
        let mut properties = String::new();
        for figure in &self.figures {
            property(&mut properties, &figure.name, &figure.value.to_string());
        }
        for row in &self.latencies {
            let seen = &row.percentiles;
            for (key, value) in [("p50_us", seen.p50_us), ("p99_us", seen.p99_us)] {
                property(
                    &mut properties,
                    &format!("{}.{key}", row.name),
                    &value.to_string(),
                );
            }
        }
        let counts = format!(
            "tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\"",
            suite.tests, suite.failures, suite.skipped
        );
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts} time=\"{seconds:.3}\">\n  \
             <testsuite name=\"fourtuple load {name}\" {counts} time=\"{seconds:.3}\">\n    \
             <properties>\n{properties}    </properties>\n{cases}  </testsuite>\n</testsuites>",
            name = Text(&self.name),
            seconds = suite.seconds,
            cases = suite.cases,
        )
    }

    fn suite(&self) -> Suite {
        let mut suite = Suite {
            seconds: self.seconds(),
            ..Suite::default()
        };
        for limit in &self.limits {
            let failure = Some((limit.text.as_str(), told(limit)));
            suite.case("load", "this machine can generate the load", failure, true);
        }
        for check in &self.checks {
            let found = check.found.as_deref().unwrap_or("the check did not hold");
            let failure = (!check.ok).then(|| (found, found.to_owned()));
            suite.case("checks", &check.expression, failure, check.strict);
        }
        if self.checks.is_empty() {
            let reason = self.reasons.join("; ");
            let is_met = self.status != Status::NotMet;
            let failure = (!is_met).then(|| (reason.as_str(), reason.clone()));
            suite.case("load", "the run comes to its end", failure, true);
        }
        // Where every check held, a failure is something to know and nothing to fail for.
        let is_strict = self.status != Status::Met;
        for trouble in &self.failures {
            let failure = Some((trouble.text.as_str(), told(trouble)));
            suite.case(&trouble.group, &trouble.class, failure, is_strict);
        }
        suite
    }
}

fn property(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(
        out,
        "      <property name=\"{}\" value=\"{}\"/>",
        Text(name),
        Text(value)
    );
}

/// How often something happened, what it was and what to do.
fn told(trouble: &Trouble) -> String {
    let mut text = format!("{} × {}", trouble.count, trouble.text);
    if let Some(remedy) = &trouble.remedy {
        let _ = write!(text, ". What to do: {remedy}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Check;

    fn record(status: Status) -> Record {
        Record {
            status,
            checks: [(true, true), (false, false)]
                .map(|(ok, strict)| Check {
                    expression: "a < \"b\"".to_owned(),
                    ok,
                    strict,
                    found: None,
                })
                .into(),
            failures: vec![Trouble {
                group: "dropped".to_owned(),
                class: "reset".to_owned(),
                text: "connection reset & gone".to_owned(),
                count: 3,
                remedy: Some("look".to_owned()),
            }],
            ..Record::default()
        }
    }

    #[test]
    fn only_a_run_that_is_not_met_fails() {
        let met = record(Status::Met).to_junit();
        assert!(
            met.contains("tests=\"3\" failures=\"0\" errors=\"0\" skipped=\"2\""),
            "{met}"
        );
        let failed = record(Status::NotMet).to_junit();
        assert!(failed.contains("tests=\"3\" failures=\"1\""), "{failed}");
        let text = "3 × connection reset &amp; gone. What to do: look";
        assert!(failed.contains(text), "{failed}");
        assert!(failed.contains("a &lt; &quot;b&quot;"), "{failed}");
    }
}
