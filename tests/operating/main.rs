//! What an operator relies on: health, metrics, limits and the log of a running server, and that what is
//! deployed fits to them.

#[path = "../support/mod.rs"]
mod support;

mod crowds;
mod deployed;
mod http;
mod manifests;
mod prometheus;
mod yaml;

use http::{get, get_with, json, server, sum, until, value};
use serde_json::json;
use support::{
    binary::{fourtuple, output_of},
    wire::Wire,
};

#[test]
fn a_server_is_ready_until_it_is_full() {
    let (relay, admin) = server(&["--max-connections", "1", "--shards", "1"]);
    assert_eq!(get(admin, "/health/live").status, 200);
    assert_eq!(get(admin, "/health/ready").status, 200);
    let wire = Wire::open(relay.addr());
    let full = get(admin, "/health/ready");
    assert_eq!(full.status, 503, "{full:?}");
    assert!(full.body.starts_with("full"), "{full:?}");
    assert_eq!(get(admin, "/health/live").status, 200, "it lives");
    let refused = Wire::upgrade(relay.addr(), "/socket/websocket?vsn=2.0.0", &[]);
    assert_eq!(refused.map(drop), Err(503));
    until("the log names the limit", || {
        let output = relay.output();
        let line = output
            .lines()
            .find(|line| line.contains("upgrades refused"))?;
        assert!(
            line.contains("limits.connections_max is used up at 1"),
            "{line}"
        );
        assert!(line.contains("--max-connections N"), "{line}");
        Some(())
    });
    let limits = json(admin, "/api/v1/limits");
    assert_eq!(limits["binding"], "limits.connections_max", "{limits}");
    drop(wire);
    until("there is room again", || {
        (get(admin, "/health/ready").status == 200).then_some(())
    });
}

#[test]
fn a_server_that_drains_is_not_ready() {
    let (mut relay, admin) = server(&["--drain-batch", "1", "--drain-interval", "2s"]);
    // With more than one batch the drain lasts until the test has looked.
    let wires: Vec<_> = (0..40).map(|_| Wire::open(relay.addr())).collect();
    relay.terminate();
    until("it is not ready", || {
        let answer = get(admin, "/health/ready");
        (answer.status == 503 && answer.body == "draining\n").then_some(())
    });
    let text = get(admin, "/metrics").body;
    assert_eq!(value(&text, "fourtuple_draining"), Some(1.0), "{text}");
    drop(wires);
    assert!(relay.wait().success());
}

#[test]
fn metrics_say_what_a_small_crowd_did() {
    let (relay, admin) = server(&["--shards", "2"]);
    let mut crowd = fourtuple();
    let flags = "--connections 40 --join room:lobby --rate 1000 --broadcasts 3 --hold 100ms";
    crowd
        .args(["load", &relay.url()])
        .args(flags.split_whitespace());
    let output = output_of(&mut crowd);
    assert!(output.status.success(), "{output:?}");
    let text = until("all ends are counted", || {
        let text = get(admin, "/metrics").body;
        (sum(&text, "fourtuple_closed_connections_total") == 40.0).then_some(text)
    });
    let series = |name: &str| value(&text, name);
    // Three to each of forty.
    assert_eq!(series("fourtuple_deliveries_total"), Some(120.0), "{text}");
    assert_eq!(sum(&text, "fourtuple_connections"), 0.0);
    assert_eq!(series("fourtuple_channels"), Some(0.0));
    assert_eq!(series("fourtuple_accepted_connections_total"), Some(40.0));
    assert_eq!(
        series("fourtuple_joins_total{outcome=\"granted\"}"),
        Some(40.0)
    );
    assert_eq!(
        series("fourtuple_joins_total{outcome=\"crashed\"}"),
        Some(0.0)
    );
    let crashed = "fourtuple_closed_connections_total{cause=\"slow_consumer\"}";
    assert_eq!(series(crashed), Some(0.0), "there from the start");
    assert_eq!(
        series("fourtuple_handshake_duration_seconds_count"),
        Some(40.0)
    );
    let all = "fourtuple_handshake_duration_seconds_bucket{le=\"+Inf\"}";
    assert_eq!(series(all), Some(40.0));
    assert_eq!(series("fourtuple_ready"), Some(1.0));
    let shards = [0, 1].map(|shard| {
        series(&format!(
            "fourtuple_shard_cpu_seconds_total{{shard=\"{shard}\"}}"
        ))
    });
    assert!(shards.iter().all(Option::is_some), "{shards:?}");
}

#[test]
fn both_texts_are_told_apart_by_what_is_accepted() {
    let (_relay, admin) = server(&[]);
    let plain = get(admin, "/metrics");
    assert!(
        plain
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        plain.head
    );
    assert!(
        plain
            .body
            .contains("# TYPE fourtuple_joins_total counter\n"),
        "{}",
        plain.body
    );
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let open = get_with(admin, "/metrics", accept);
    let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(open.head.contains(content_type), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    assert!(
        open.body
            .contains("# UNIT fourtuple_fanout_duration_seconds seconds\n")
    );
    for line in open.body.lines().filter(|line| !line.starts_with('#')) {
        let number = line
            .rsplit(' ')
            .next()
            .and_then(|word| word.parse::<f64>().ok());
        assert!(number.is_some(), "{line}");
    }
}

#[test]
fn limits_are_those_of_the_doctor_with_the_numbers_of_the_server() {
    let (relay, admin) = server(&["--max-connections", "1000"]);
    let _wires: Vec<_> = (0..3).map(|_| Wire::open(relay.addr())).collect();
    let limits = until("the look after the connections", || {
        let limits = json(admin, "/api/v1/limits");
        let listed = limits["limits"].as_array().expect("a list").clone();
        let own = listed
            .iter()
            .find(|it| it["name"] == "limits.connections_max");
        let own = own.expect("its own limit is one of them");
        (own["present"] == 3 && own["approach"] != json!(null)).then_some(limits)
    });
    let named = |name: &str| {
        let listed = limits["limits"].as_array().expect("a list");
        let found = listed.iter().find(|it| it["name"] == name);
        found
            .unwrap_or_else(|| panic!("{name} in {limits}"))
            .clone()
    };
    let own = named("limits.connections_max");
    assert_eq!(
        (&own["ceiling"], &own["share"]),
        (&json!(1000), &json!(0.003))
    );
    for name in [
        "RLIMIT_NOFILE",
        "fs.file-max",
        "net.core.somaxconn",
        "net.ipv4.tcp_mem",
        "memory",
    ] {
        let limit = named(name);
        let words = ["what", "symptom", "remedy", "verdict", "unit", "read_from"];
        assert!(words.iter().all(|key| limit[*key].is_string()), "{limit}");
        assert!(limit["ceiling"].is_u64(), "{limit}");
    }
    assert!(named("net.core.somaxconn")["present"].is_u64(), "{limits}");
    let words = limits["tuples"]["words"].as_str().expect("a sentence");
    assert!(words.starts_with("One listening port is enough"), "{words}");
    let svg = limits["drawing_svg"].as_str().expect("a drawing");
    assert!(
        svg.contains("<svg") && svg.contains("1,000 connections"),
        "{svg}"
    );
}

#[test]
fn what_two_million_would_need_here_is_answered_in_place() {
    let (_relay, admin) = server(&[]);
    let plan = json(admin, "/api/v1/plan?connections=2000000");
    let needed = &plan["answer"]["sources"]["needed"];
    assert_eq!(needed["safe_count"], 34, "{plan}");
    let text = plan["text"].as_str().expect("words");
    assert!(text.contains("This machine can"), "{text}");
    assert!(plan["svg"].as_str().expect("a drawing").contains("</svg>"));
    let few = json(admin, "/api/v1/plan?connections=2000000&client_machines=31");
    assert_eq!(few["fits"], false);
    for (wrong, expected) in [
        ("", "connections"),
        ("?connections=0", "expected 1 to"),
        ("?connections=many", "invalid digit"),
        ("?connections=9&nat=gcp:4", "expected linux"),
        ("?connections=9&colour=red", "colour"),
        (
            "?connections=9&sources=2&client_machines=2",
            "expected one of them",
        ),
    ] {
        let answer = get(admin, &format!("/api/v1/plan{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
        assert!(
            answer.head.contains("application/problem+json"),
            "{answer:?}"
        );
        assert!(answer.body.contains(expected), "{wrong}: {answer:?}");
    }
}

#[test]
fn the_ledger_is_beside_what_is_measured() {
    let (relay, admin) = server(&[]);
    let _wires: Vec<_> = (0..5).map(|_| Wire::open(relay.addr())).collect();
    let memory = until("five are open", || {
        let memory = json(admin, "/api/v1/memory");
        (memory["connections"] == 5).then_some(memory)
    });
    let terms = memory["terms"].as_array().expect("a list");
    let of = |place: &str| -> u64 {
        let terms = terms.iter().filter(|term| term["place"] == place);
        let idle = terms.filter(|term| term["per"] != "each unread message");
        idle.map(|term| term["total_bytes"].as_u64().expect("bytes"))
            .sum()
    };
    assert_eq!(memory["process_bytes"], of("process"), "{memory}");
    assert_eq!(memory["kernel_bytes"], of("kernel"), "{memory}");
    let resident = memory["measured"]["resident_bytes"].as_u64();
    assert!(resident.is_some_and(|bytes| bytes > 1 << 20), "{memory}");
    assert!(
        memory["measured"]["tcp_sockets"].as_u64() >= Some(5),
        "{memory}"
    );
}

#[test]
fn what_comes_again_and_again_is_one_line_of_the_log() {
    let (relay, admin) = server(&["--log-format", "json"]);
    let foreign = [("Origin", "https://elsewhere.example")];
    for _ in 0..30 {
        let refused = Wire::upgrade(relay.addr(), "/socket/websocket?vsn=2.0.0", &foreign);
        assert_eq!(refused.map(drop), Err(403));
    }
    let line = |line: &&str| line.contains("upgrades refused");
    until("it is said", || {
        relay.output().lines().any(|it| line(&it)).then_some(())
    });
    until("all are counted", || {
        let text = get(admin, "/metrics").body;
        let refused = "fourtuple_refused_upgrades_total{reason=\"origin\"}";
        (value(&text, refused) == Some(30.0)).then_some(())
    });
    let output = relay.output();
    let said: Vec<_> = output.lines().filter(line).collect();
    assert_eq!(said.len(), 1, "{output}");
    let said: serde_json::Value = serde_json::from_str(said[0]).expect("a line of JSON");
    assert_eq!(said["fields"]["reason"], "origin", "{said}");
    assert!(said["fields"]["count"].as_u64() >= Some(1), "{said}");
}

#[cfg(not(feature = "otel"))]
#[test]
fn a_collector_that_cannot_be_sent_anything_is_refused() {
    let flags = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let collector = ["--admin-otlp-endpoint", "http://127.0.0.1:4318"];
    let output = output_of(fourtuple().args(flags).args(collector));
    assert!(!output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("build it with `--features otel`"), "{said}");
}
