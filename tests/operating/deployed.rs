//! What is in `deploy/`: that it can be read by whom it is for, and speaks of what there is.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;

use super::yaml;

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const DASHBOARD: &str = "deploy/grafana/fourtuple.json";
const UNIT: &str = "deploy/systemd/fourtuple.service";
const MANIFEST: &str = "deploy/kubernetes/fourtuple.yaml";

fn written(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of all metrics, with those that Prometheus makes of a histogram.
fn declared() -> BTreeSet<String> {
    let page = written("docs/metrics.md");
    let mut names = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
        let (name, kind) = (cells.nth(1).expect("a name"), cells.next());
        names.insert(name.to_owned());
        if kind == Some("histogram") {
            names.extend(["bucket", "sum", "count"].map(|end| format!("{name}_{end}")));
        }
    }
    assert!(names.len() > 60, "{names:?}");
    names
}

/// Everything in a text that looks like a metric of a server.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| word.starts_with("fourtuple_") || word.starts_with("process_");
    words.filter(is_metric).collect()
}

#[test]
fn every_metric_that_is_asked_for_is_declared() {
    let declared = declared();
    for path in [
        ALERTS,
        DASHBOARD,
        "docs/operating.md",
        "deploy/prometheus/alerts_test.yml",
    ] {
        let text = written(path);
        let named = named(&text);
        assert!(!named.is_empty(), "{path}");
        for name in named {
            assert!(
                declared.contains(name),
                "{path} asks for {name}, which is not declared"
            );
        }
    }
}

#[test]
fn every_alert_says_what_to_do_and_has_its_section() {
    let (alerts, page) = (written(ALERTS), written("docs/operating.md"));
    let names: Vec<_> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in &names {
        assert_eq!(
            page.matches(&format!("\n### {name}\n")).count(),
            1,
            "{name}"
        );
        let link = format!("docs/operating.md#{}\"", name.to_lowercase());
        assert_eq!(alerts.matches(&link).count(), 1, "{name}");
    }
    for key in ["summary", "description", "runbook_url"] {
        let count = alerts.matches(&format!("\n          {key}: \"")).count();
        assert_eq!(count, names.len(), "{key}");
    }
    let sections = page.split_once("\n## Alerts\n").expect("a section").1;
    assert_eq!(sections.matches("\n### ").count(), names.len());
}

/// A rule in words, as `docs/operating.md` begins the section of its alert.
fn in_words(rule: &Value) -> String {
    let text = |key: &str| rule[key].as_str();
    let expr = text("expr").expect("an expression");
    // Where it is written in several lines, they are one in the page.
    let expr: Vec<_> = expr.lines().map(str::trim).collect();
    let severity = match rule["labels"]["severity"].as_str() {
        Some("critical") => "Critical",
        Some("warning") => "Warning",
        other => panic!("{other:?}: expected a severity"),
    };
    let when = match text("for") {
        Some(time) => format!("when this has been so for {time}"),
        None => "as soon as this is so".to_owned(),
    };
    let expr = expr.join(" ");
    let expr = expr.trim();
    assert!(!expr.is_empty(), "{rule}");
    format!("{severity}, {when}:\n\n```promql\n{expr}\n```\n")
}

#[test]
fn every_alert_is_documented_with_the_rule_that_it_has() {
    let (alerts, page) = (written(ALERTS), written("docs/operating.md"));
    let documents = yaml::documents(&alerts);
    let groups = documents[0]["groups"].as_array().expect("groups");
    let rules = groups.iter().flat_map(|group| group["rules"].as_array());
    let mut count = 0;
    for rule in rules.flatten() {
        let Some(name) = rule["alert"].as_str() else {
            continue;
        };
        let wanted = format!("\n### {name}\n\n{}\n", in_words(rule));
        assert!(
            page.contains(&wanted),
            "docs/operating.md says something else of {name} than {ALERTS}; expected {wanted}"
        );
        count += 1;
    }
    assert_eq!(
        count,
        page.matches("```promql\n").count(),
        "a rule that is not there"
    );
}

#[test]
fn the_dashboard_is_one_that_grafana_reads() {
    let dashboard: Value = serde_json::from_str(&written(DASHBOARD)).expect("JSON");
    assert_eq!(dashboard["uid"], "fourtuple");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "{panel}");
        if panel["type"] != "row" {
            assert!(
                panel["description"]
                    .as_str()
                    .is_some_and(|it| !it.is_empty()),
                "{panel}"
            );
            let targets = panel["targets"].as_array().expect("queries");
            assert!(
                targets
                    .iter()
                    .all(|it| !named(it["expr"].as_str().unwrap_or("")).is_empty())
            );
        }
    }
    assert!(panels.len() > 20, "{}", panels.len());
}

#[test]
fn the_unit_is_one_that_systemd_reads() {
    let text = written(UNIT);
    let keys = text
        .lines()
        .filter(|line| !line.starts_with(['#', '[']) && !line.is_empty());
    assert!(keys.clone().all(|line| line.contains('=')), "{text}");
    for wanted in [
        "LimitNOFILE=",
        "KillSignal=SIGTERM",
        "DynamicUser=yes",
        "TimeoutStopSec=45s",
    ] {
        assert!(
            keys.clone().any(|line| line.starts_with(wanted)),
            "{wanted}"
        );
    }
    for section in ["[Unit]", "[Service]", "[Install]"] {
        assert_eq!(text.matches(section).count(), 1, "{section}");
    }
    // The binary need not be installed for its unit to be right.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unit");
    fs::create_dir_all(&folder).expect("a folder of this test");
    let unit = folder.join("fourtuple.service");
    fs::write(&unit, text.replace("/usr/local/bin/fourtuple", "/bin/true")).expect("written");
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&unit)
        .output();
    let verified = verified.expect(
        "systemd is not installed, which need not run: apt-get install systemd (.ci/run does)",
    );
    let said = String::from_utf8_lossy(&verified.stderr);
    let about_it = said.lines().filter(|line| line.contains("fourtuple"));
    assert_eq!(about_it.collect::<Vec<_>>().join("\n"), "");
    assert!(verified.status.success(), "{said}");
}

#[test]
fn times_to_stop_are_longer_than_the_drain() {
    // drain.timeout is 30 s where nothing else is said.
    assert!(
        written("docs/configuration.md")
            .contains("`drain.timeout`<br>`--drain-timeout` | `\"30s\"`")
    );
    let manifest = written(MANIFEST);
    for wanted in [
        "terminationGracePeriodSeconds: 70",
        "timeout = \"50s\"",
        "command: [\"sleep\", \"10\"]",
        "runAsNonRoot: true",
        "/health/ready",
        "/health/live",
    ] {
        assert!(manifest.contains(wanted), "{wanted}");
    }
    let image = written("deploy/docker/Dockerfile");
    for wanted in [
        "HEALTHCHECK ",
        "USER 65532",
        "STOPSIGNAL SIGTERM",
        "ENTRYPOINT [\"fourtuple\"]",
    ] {
        assert!(image.contains(wanted), "{wanted}");
    }
}
