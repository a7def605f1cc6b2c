//! A real Prometheus that reads a running server, and its tool that judges metrics, rules and dashboards.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    http::{get, server, sum, until},
    support::wire::Wire,
};

/// What is said where the Debian package is not there.
const MISSING: &str = "Prometheus is not installed: apt-get install prometheus (.ci/run does)";

/// A Prometheus, which ends with this value.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn over(target: SocketAddr) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus");
        // What an earlier run has left is not what this server did.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder of this test");
        let config = folder.join("prometheus.yml");
        let text = written("deploy/prometheus/prometheus.yml")
            .replace("127.0.0.1:4001", &target.to_string())
            .replace("scrape_interval: 15s", "scrape_interval: 500ms")
            .replace(
                "- alerts.yml",
                &format!("- {}", path("deploy/prometheus/alerts.yml").display()),
            );
        fs::write(&config, text).expect("its configuration is written");
        let address = free_address();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).expect("a file of this test"))
            .spawn()
            .expect(MISSING);
        Self { child, address }
    }

    /// The values of an expression now, each with its labels.
    fn query(&self, expression: &str) -> Option<Vec<(Value, f64)>> {
        // Listening comes last of what it does at its start.
        std::net::TcpStream::connect(self.address).ok()?;
        let encoded: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let answer = get(self.address, &format!("/api/v1/query?query={encoded}"));
        let answer: Value = serde_json::from_str(&answer.body).ok()?;
        let result = answer["data"]["result"].as_array()?;
        let value = |it: &Value| {
            let value = it["value"][1].as_str()?.parse().ok()?;
            Some((it["metric"].clone(), value))
        };
        result.iter().map(value).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already; either way nothing of it is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn what_prometheus_knows_is_what_was_done() {
    let (relay, admin) = server(&["--shards", "2"]);
    let prometheus = Prometheus::over(admin);
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
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(MISSING);
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    passes(child.wait_with_output().expect("it is our child"));
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

/// A port of loopback that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it listens")
}

fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn written(of: &str) -> String {
    fs::read_to_string(path(of)).unwrap_or_else(|error| panic!("{of}: {error}"))
}
