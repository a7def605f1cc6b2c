//! A run as one page of HTML that needs nothing else: no script, no request, whatever the run was called.
//!
//! The verdict comes first, then figures, charts over time, percentiles, steps, failures, the plan and the
//! machine. A policy in its head forbids the browser every request and every script.

mod chart;
mod charts;
mod markup;
mod search;

use std::fmt::Write as _;

pub(crate) use self::markup::{Text, number};
use crate::{
    latency::{Micros, Percentiles},
    record::{Kind, Record, Status, Trouble},
};

const STYLE: &str = include_str!("page/style.css");

impl Record {
    /// The run as a page of HTML, whole in itself.
    pub fn to_html(&self) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"referrer\" content=\"no-referrer\">\
             <title>{} – fourtuple load</title><link rel=\"icon\" href=\"data:,\">\
             <style>{STYLE}</style></head><body><main>",
            Text(&self.name)
        );
        for part in [
            self.head(),
            self.verdict(),
            self.tiles(),
            self.search_table(),
            charts::of(self),
            self.checks_table(),
            self.percentiles_table(),
            self.steps_table(),
            self.failures_table(),
            self.machines_table(),
            self.plan_table(),
            self.machine_table(),
        ] {
            page += &part;
        }
        page += "<footer>Made by fourtuple load. Times count from when something was meant to happen.</footer>";
        page += "</main></body></html>";
        page
    }

    fn head(&self) -> String {
        let what = match self.kind {
            Kind::Crowd => "a crowd against",
            Kind::Script => "the script",
        };
        format!(
            "<p class=\"soft\">fourtuple load: {what}</p><h1>{}</h1><p class=\"soft\">{} · {:.1} s · {} threads, {}</p>",
            Text(&self.name),
            date(self.began_ms),
            self.seconds(),
            self.shards,
            Text(&self.carrier)
        )
    }

    fn verdict(&self) -> String {
        let (class, words) = match self.status {
            Status::Met => ("met", "Everything that was asked held"),
            Status::NotMet => ("not_met", "Not everything that was asked held"),
            Status::NotGenerated => (
                "not_generated",
                "This machine could not generate the load, so the run says nothing about the server",
            ),
        };
        let mut out =
            format!("<section class=\"verdict {class}\" id=\"verdict\"><strong>{words}</strong>");
        let limits = self.limits.iter().map(|limit| {
            let remedy = limit.remedy.as_deref().unwrap_or_default();
            format!("{} × {}: {remedy}", limit.count, limit.text)
        });
        let reasons: Vec<_> = self.reasons.iter().cloned().chain(limits).collect();
        if !reasons.is_empty() {
            out += "<ul>";
            for reason in reasons {
                let _ = write!(out, "<li>{}</li>", Text(&reason));
            }
            out += "</ul>";
        }
        out + "</section>"
    }

    fn tiles(&self) -> String {
        let mut out = "<div class=\"tiles\">".to_owned();
        for figure in &self.figures {
            let _ = write!(
                out,
                "<div class=\"tile\" data-figure=\"{}\" data-value=\"{}\"><b>{}</b>{}</div>",
                Text(&figure.name),
                figure.value,
                Text(&number(figure.value, &figure.unit)),
                Text(&figure.title)
            );
        }
        out + "</div>"
    }

    fn checks_table(&self) -> String {
        let rows = self.checks.iter().map(|check| {
            let (class, word) = if check.ok { ("ok", "held") } else { ("fail", "failed") };
            let optional = if check.strict { "" } else { " (optional)" };
            format!(
                "<td class=\"words\">{}{optional}</td><td class=\"{class}\">{word}</td><td class=\"words\">{}</td>",
                Text(&check.expression),
                Text(check.found.as_deref().unwrap_or_default())
            )
        });
        table("Checks", "", &["Asked", "", "Instead"], rows)
    }

    fn percentiles_table(&self) -> String {
        let rows = self.latencies.iter().map(|row| {
            format!(
                "<th scope=\"row\" data-latency=\"{}\">{}</th>{}",
                Text(&row.name),
                Text(&row.title),
                percentiles(&row.percentiles)
            )
        });
        let head = ["", "median", "p90", "p99", "p99.9", "longest", "count"];
        table("Latencies", "", &head, rows)
    }

    fn steps_table(&self) -> String {
        let rows = self.steps.iter().map(|step| {
            format!(
                "<td class=\"words\">{}</td><td class=\"words\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>{}",
                Text(&step.scenario),
                Text(&step.step),
                step.begun,
                step.late,
                percentiles(&step.response)
            )
        });
        let head = [
            "Scenario", "Step", "begun", "late", "median", "p90", "p99", "p99.9", "longest",
            "answers",
        ];
        let note = "late: begun more than 10 ms after it was meant to; times until the answer";
        table("Steps", note, &head, rows)
    }

    fn failures_table(&self) -> String {
        let row = |trouble: &Trouble| {
            let remedy = trouble.remedy.as_deref().unwrap_or_default();
            format!(
                "<td>{}</td><td class=\"n\">{}</td><td class=\"words\">{}<div class=\"remedy\">{}</div></td>",
                Text(&trouble.group),
                capacity::Grouped(trouble.count),
                Text(&trouble.text),
                Text(remedy)
            )
        };
        let head = ["", "count", "What happened, and what to do"];
        table("Failures", "", &head, self.failures.iter().map(row))
    }

    fn machines_table(&self) -> String {
        let rows = self.machines.iter().map(|machine| {
            let (class, word) = match machine.lost {
                Some(_) => ("fail", "lost"),
                None if machine.limits.is_empty() => ("ok", "there to the end"),
                None => ("fail", "met its limits"),
            };
            format!(
                "<td>{}</td><td class=\"n\">{:.1} %</td><td class=\"words\">{}</td><td class=\"{class}\">{word}</td>",
                Text(&machine.agent),
                machine.share * 100.0,
                Text(&machine.deeds())
            )
        });
        table("Machines", "", &["Machine", "Share", "Did", ""], rows)
    }

    fn plan_table(&self) -> String {
        let rows = self.plan.iter().map(|setting| {
            format!(
                "<th scope=\"row\">{}</th><td>{}</td>",
                Text(&setting.name),
                Text(&setting.value)
            )
        });
        table("The plan that was run", "", &[], rows).replace("<table>", "<table class=\"plan\">")
    }

    fn machine_table(&self) -> String {
        let machine = &self.machine;
        let facts = [
            ("host", machine.host.clone()),
            ("cores", machine.cores.to_string()),
            ("processor", machine.processor.clone()),
            ("memory", capacity::Bytes(machine.memory_bytes).to_string()),
            ("kernel", machine.kernel.clone()),
            ("program", machine.program.clone()),
        ];
        let row = |name: &str, value: &str| {
            format!(
                "<th scope=\"row\">{}</th><td>{}</td>",
                Text(name),
                Text(value)
            )
        };
        let facts = facts.iter().filter(|(_, value)| !value.is_empty());
        let facts = facts.map(|(name, value)| row(name, value));
        let limits = machine
            .limits
            .iter()
            .map(|limit| row(&limit.name, &limit.value));
        let mut out = table("The machine that ran it", "", &[], facts);
        if !machine.limits.is_empty() {
            out += "<details><summary>Its limits, as the doctor reads them</summary>";
            out += &table("", "", &[], limits);
            out += "</details>";
        }
        out.replace("<table>", "<table class=\"plan\">")
    }
}

/// A table under a heading; nothing without rows.
fn table(title: &str, note: &str, head: &[&str], rows: impl Iterator<Item = String>) -> String {
    let mut body = String::new();
    for row in rows {
        let _ = write!(body, "<tr>{row}</tr>");
    }
    if body.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    if !title.is_empty() {
        let _ = write!(out, "<h2>{title}</h2>");
    }
    out += "<div class=\"scroll\" tabindex=\"0\"><table>";
    if !note.is_empty() {
        let _ = write!(out, "<caption>{note}</caption>");
    }
    if !head.is_empty() {
        out += "<thead><tr>";
        for name in head {
            let is_number = name.starts_with(|c: char| c.is_lowercase());
            let class = if is_number { " class=\"n\"" } else { "" };
            let _ = write!(out, "<th scope=\"col\"{class}>{name}</th>");
        }
        out += "</tr></thead>";
    }
    let _ = write!(out, "<tbody>{body}</tbody></table></div>");
    out
}

fn percentiles(seen: &Percentiles) -> String {
    let mut out = String::new();
    for micros in seen.columns() {
        let text = if seen.count == 0 {
            "–".to_owned()
        } else {
            Micros(micros).to_string()
        };
        let _ = write!(out, "<td class=\"n\" data-us=\"{micros}\">{text}</td>");
    }
    let _ = write!(
        out,
        "<td class=\"n\">{}</td>",
        capacity::Grouped(seen.count)
    );
    out
}

/// A moment as a date of UTC: `2026-11-27 23:59:01 UTC` (proleptic Gregorian calendar, years from March on).
fn date(epoch_ms: u64) -> String {
    let (days, second) = (epoch_ms / 86_400_000, epoch_ms / 1_000 % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Check, Setting, StepRow};

    #[test]
    fn a_name_of_a_scenario_is_no_markup_and_the_page_asks_nobody() {
        let evil = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\"'";
        let record = Record {
            name: evil.to_owned(),
            reasons: vec![evil.to_owned()],
            carrier: evil.to_owned(),
            plan: vec![Setting::new(evil, evil)],
            steps: vec![StepRow {
                scenario: evil.to_owned(),
                step: evil.to_owned(),
                ..StepRow::default()
            }],
            checks: vec![Check {
                expression: evil.to_owned(),
                found: Some(evil.to_owned()),
                ..Check::default()
            }],
            failures: vec![Trouble {
                text: evil.to_owned(),
                group: evil.to_owned(),
                remedy: Some(evil.to_owned()),
                ..Trouble::default()
            }],
            ..Record::default()
        };
        let page = record.to_html();
        assert!(
            !page.contains("<script") && !page.contains("<img"),
            "{page}"
        );
        assert!(page.contains("default-src 'none'"));
        for request in ["http://", "https://", "url(", "@import", "src="] {
            let rest = page.replace("src=x", "");
            assert!(!rest.contains(request), "{request}");
        }
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_824_245, "2026-11-28 00:04:05 UTC"),
        ] {
            assert_eq!(date(seconds * 1_000), text);
        }
    }
}
