//! The bench itself works: a small run of every server, the product's included, counts each
//! delivery once. The numbers of such a run mean nothing and are not looked at.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

const CONNECTIONS: u64 = 200;
const BROADCASTS: u64 = 5;
const SERVERS: [&str; 6] = [
    "floor",
    "fourtuple-epoll",
    "tungstenite",
    "fastwebsockets",
    "axum",
    "node-ws",
];

#[test]
fn a_small_run_loses_nothing() {
    let report = Report::of_run("small-run", &SERVERS.join(","));
    for server in SERVERS {
        assert_eq!(report.sample(server, "lost"), 0.0, "{server}");
        assert_eq!(report.sample(server, "duplicated"), 0.0, "{server}");
        assert_eq!(report.sample(server, "unexpected"), 0.0, "{server}");
        assert_eq!(
            report.sample(server, "fanout_delivered"),
            (CONNECTIONS * BROADCASTS) as f64,
            "{server}"
        );
        for metric in [
            "joins_per_second",
            "cpu_us_per_delivery",
            "echoes_per_second",
        ] {
            assert!(report.sample(server, metric) > 0.0, "{server}: {metric}");
        }
    }
    assert_eq!(report.0["servers"]["fourtuple-epoll"]["lost"]["met"], true);
    let standing = &report.0["servers"]["fourtuple-epoll"]["echoes_per_second"]["standing"];
    assert_eq!(standing["of"], SERVERS.len() - 1);
    assert_eq!(
        report.0["servers"]["floor"]["echoes_per_second"]["of_floor"]["median"],
        1.0
    );
}

#[test]
fn more_connections_than_descriptors_are_refused_at_the_start() {
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 150; exec \"$0\" --connections 200 --rounds 1",
        ])
        .arg(env!("CARGO_BIN_EXE_fourtuple-bench"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("need 300 descriptors"), "{said}");
    assert!(said.contains("is 150"), "{said}");
}

/// What the bench wrote with `--json`.
struct Report(Value);

impl Report {
    fn of_run(name: &str, servers: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.json"));
        let output = Command::new(env!("CARGO_BIN_EXE_fourtuple-bench"))
            .args(["--connections", &CONNECTIONS.to_string()])
            .args(["--broadcasts", &BROADCASTS.to_string()])
            .args(["--rounds", "1", "--echo-ms", "200", "--servers", servers])
            .arg("--json")
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let text = std::fs::read_to_string(path).unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    fn sample(&self, server: &str, metric: &str) -> f64 {
        let sample = &self.0["servers"][server][metric]["samples"][0];
        sample
            .as_f64()
            .unwrap_or_else(|| panic!("{server} has no {metric}"))
    }
}
