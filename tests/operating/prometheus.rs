//! A real Prometheus that reads a running server, and its tool that judges metrics, rules and dashboards.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::{
    http::{get, server, sum, until},
    support::{
        prometheus::{MISSING, Prometheus, check_metrics},
        wire::Wire,
    },
};

/// A Prometheus that reads `target`, with the configuration that is deployed.
fn over(target: SocketAddr) -> Prometheus {
    let configuration = written("deploy/prometheus/prometheus.yml")
        .replace("127.0.0.1:4001", &target.to_string())
        .replace("scrape_interval: 15s", "scrape_interval: 500ms")
        .replace(
            "- alerts.yml",
            &format!("- {}", path("deploy/prometheus/alerts.yml").display()),
        );
    Prometheus::start("prometheus", &configuration)
}

#[test]
fn what_prometheus_knows_is_what_was_done() {
    let (relay, admin) = server(&["--shards", "2"]);
    let prometheus = over(admin);
    let mut wires: Vec<_> = (0..7).map(|_| Wire::open(relay.addr())).collect();
    for (n, wire) in wires.iter_mut().enumerate() {
        wire.join("1", &format!("room:{}", n % 2));
    }
    let foreign = [("Origin", "https://elsewhere.example")];
    for _ in 0..4 {
        let refused = Wire::upgrade(relay.addr(), "/socket/websocket?vsn=2.0.0", &foreign);
        assert_eq!(refused.map(drop), Err(403));
    }
    let expected = [
        ("up{job=\"fourtuple\"}", 1.0),
        ("sum(fourtuple_connections)", 7.0),
        ("fourtuple_channels", 7.0),
        ("fourtuple_joins_total{outcome=\"granted\"}", 7.0),
        ("fourtuple_refused_upgrades_total{reason=\"origin\"}", 4.0),
        ("fourtuple_refused_upgrades_total{reason=\"full\"}", 0.0),
        ("fourtuple_handshake_duration_seconds_count", 7.0),
        (
            "fourtuple_handshake_duration_seconds_bucket{le=\"+Inf\"}",
            7.0,
        ),
        (
            "fourtuple_limit_value{limit=\"limits.connections_max\"}",
            7.0,
        ),
        ("count(fourtuple_build_info)", 1.0),
        (
            "count(fourtuple_limit_value / fourtuple_limit_ceiling > 1)",
            f64::NAN,
        ),
    ];
    for (expression, wanted) in expected {
        until(expression, || {
            let found = prometheus.query(expression)?;
            match found.as_slice() {
                [] => wanted.is_nan().then_some(()),
                [(_, value)] => (*value == wanted).then_some(()),
                more => panic!("{expression} has {} values: {more:?}", more.len()),
            }
        });
    }
    for expression in of_the_dashboard() {
        let found = prometheus.query(&expression);
        assert!(found.is_some(), "not understood: {expression}");
    }
    // A query of the dashboard: half of the handshakes took no longer than a second.
    let median =
        "histogram_quantile(0.5, sum by (le) (fourtuple_handshake_duration_seconds_bucket))";
    let found = prometheus.query(median).expect("it answers");
    assert!(found[0].1 > 0.0 && found[0].1 < 1.0, "{found:?}");
    drop(wires);
    until("the ends are known", || {
        let closed = prometheus.query("sum(fourtuple_closed_connections_total)")?;
        (closed[0].1 == 7.0).then_some(())
    });
    let text = get(admin, "/metrics").body;
    assert_eq!(sum(&text, "fourtuple_connections"), 0.0);
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let (_relay, admin) = server(&[]);
    let text = get(admin, "/metrics").body;
    passes(check_metrics(&text));
}

#[test]
fn alerts_alert_when_they_should() {
    let rules = path("deploy/prometheus");
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let mut promtool = Command::new("promtool");
        let output = promtool.args(arguments).current_dir(&rules).output();
        passes(output.expect(MISSING));
    }
}

#[track_caller]
fn passes(output: Output) {
    let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8_lossy(out);
    assert!(output.status.success(), "{out}{err}");
}

/// Every query of the Grafana dashboard, with its variables filled in.
fn of_the_dashboard() -> Vec<String> {
    let dashboard = written("deploy/grafana/fourtuple.json");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let expressions = targets.map(|target| target["expr"].as_str().expect("a query"));
    let filled = |expression: &str| {
        let filled = expression.replace("$__rate_interval", "1m");
        filled
            .replace("$instance", ".*")
            .replace("$job", "fourtuple")
    };
    expressions.map(filled).collect()
}

fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn written(of: &str) -> String {
    fs::read_to_string(path(of)).unwrap_or_else(|error| panic!("{of}: {error}"))
}
