//! The bench itself works: a small run of every server, the product's included, counts each
//! delivery once. The numbers of such a run mean nothing and are not looked at.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

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
    let report = Report::of_run("small-run", &SERVERS);
    for server in SERVERS {
        report.assert_nothing_lost(server);
    }
    assert_eq!(report.0["servers"]["fourtuple-epoll"]["lost"]["met"], true);
    let standing = &report.0["servers"]["fourtuple-epoll"]["echoes_per_second"]["standing"];
    assert_eq!(standing["of"], SERVERS.len() - 1);
    assert_eq!(
        report.0["servers"]["floor"]["echoes_per_second"]["of_floor"]["median"],
        1.0
    );
}

/// No machine has to have nginx; one without it is told how to get it. On a busy machine nchan forgets
/// a message now and then, which is its own affair; the bench has to count it.
#[test]
fn what_nginx_loses_is_counted_and_without_it_it_is_asked_for() {
    let servers = ["floor", "nginx-nchan"];
    let has = |path| Path::new(path).exists();
    if has("/usr/sbin/nginx") && has("/usr/lib/nginx/modules/ngx_nchan_module.so") {
        let (report, status) = Report::of_any_run("nginx", &servers);
        let of = |metric| report.sample("nginx-nchan", metric);
        let all = (CONNECTIONS * BROADCASTS) as f64;
        assert_eq!(of("fanout_delivered") + of("lost"), all);
        assert_eq!(status.success(), of("lost") == 0.0, "{status}");
        assert_eq!(of("duplicated"), 0.0);
        assert!(of("echoes_per_second") > 0.0);
        return;
    }
    let output = bench(&servers).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("nginx-nchan needs"), "{said}");
    assert!(said.contains("libnginx-mod-nchan"), "{said}");
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

/// Returns the bench as it measures `servers` once and briefly.
fn bench(servers: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fourtuple-bench"));
    command
        .args(["--connections", &CONNECTIONS.to_string()])
        .args(["--broadcasts", &BROADCASTS.to_string()])
        .args(["--rounds", "1", "--echo-ms", "200"])
        .args(["--servers", &servers.join(",")]);
    command
}

/// What the bench wrote with `--json`.
struct Report(Value);

impl Report {
    fn of_run(name: &str, servers: &[&str]) -> Self {
        let (report, status) = Self::of_any_run(name, servers);
        assert!(status.success(), "{status}");
        report
    }

    /// Of a run that may have lost something, and so may not have succeeded.
    fn of_any_run(name: &str, servers: &[&str]) -> (Self, ExitStatus) {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.json"));
        let _ = std::fs::remove_file(&path);
        let output = bench(servers).arg("--json").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{error}: {said}"));
        (Self(serde_json::from_str(&text).unwrap()), output.status)
    }

    fn assert_nothing_lost(&self, server: &str) {
        for metric in ["lost", "duplicated", "unexpected"] {
            assert_eq!(self.sample(server, metric), 0.0, "{server}: {metric}");
        }
        assert_eq!(
            self.sample(server, "fanout_delivered"),
            (CONNECTIONS * BROADCASTS) as f64,
            "{server}"
        );
        for metric in [
            "joins_per_second",
            "cpu_us_per_delivery",
            "echoes_per_second",
        ] {
            assert!(self.sample(server, metric) > 0.0, "{server}: {metric}");
        }
    }

    fn sample(&self, server: &str, metric: &str) -> f64 {
        let sample = &self.0["servers"][server][metric]["samples"][0];
        sample
            .as_f64()
            .unwrap_or_else(|| panic!("{server} has no {metric}"))
    }
}
