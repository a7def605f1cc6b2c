//! The same script against the same server with Artillery's runner and with the crowd: both count the same.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::json;

use super::{
    assert_status,
    echo::{Echo, Ways},
    run, script,
    support::{binary::output_of, driver::install_node},
};

/// The folder of Artillery's runner, installed as its lock file says.
fn installed() -> PathBuf {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/artillery");
    install_node(&home).unwrap_or_else(|error| panic!("{error}"));
    home
}

fn errors(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// Runs a script with Artillery's runner; returns its counters.
fn artillery(path: &Path) -> serde_json::Value {
    let home = installed();
    let mut runner = Command::new("node");
    runner.arg(home.join("main.mjs")).arg(path);
    let output = output_of(&mut runner);
    assert!(output.status.success(), "artillery: {}", errors(&output));
    let report = serde_json::from_slice(&output.stdout);
    report.unwrap_or_else(|error| panic!("no report ({error}): {}", errors(&output)))
}

/// What both must count alike.
const COUNTERS: [&str; 7] = [
    "vusers.created",
    "vusers.created_by_name.captures",
    "vusers.completed",
    "vusers.failed",
    "websocket.messages_sent",
    "websocket.messages_received",
    "errors.Failed capture or match",
];

#[test]
fn artillery_and_the_crowd_count_the_same() {
    let text = |echo: &Echo| {
        let script = json!({
            "config": {
                "target": echo.url(),
                "phases": [
                    {"duration": 2, "arrivalCount": 6},
                    {"pause": 1},
                    {"duration": 3, "arrivalRate": 1, "rampTo": 5},
                ],
                "variables": {"word": ["aa", "bb", "cc"]},
            },
            "scenarios": [{"engine": "ws", "name": "captures", "flow": [
                {"send": {"payload": {"n": 7, "word": "{{ word }}"}, "capture": {"json": "$.n", "as": "n"}}},
                {"think": 0.2},
                {"send": {"payload": {"n": "{{ n }}", "l": [1, true]}, "match": {"json": "$.n", "value": 7}}},
                {"loop": [
                    {"send": {"payload": "round {{ $loopCount }}", "capture": {"regexp": "r.*", "as": "r"}}},
                ], "count": 3},
                {"loop": [
                    {"send": {"payload": "{{ $loopElement }}", "capture": {"regexp": "[xy]", "as": "e"}}},
                ], "over": ["x", "y"]},
                {"log": "done"},
            ]}],
        });
        script.to_string()
    };
    let (theirs, ours) = (Echo::start(Ways::default()), Echo::start(Ways::default()));
    let by_artillery = artillery(&script("differential_artillery.json", &text(&theirs)));
    let (output, by_us) = run(&script("differential.json", &text(&ours)), &[]);
    assert_status(&output, 0);
    for name in COUNTERS {
        let count = |counters: &serde_json::Value| counters[name].as_u64().unwrap_or(0);
        let (ours, theirs) = (&by_us["aggregate"]["counters"], &by_artillery["counters"]);
        assert_eq!(count(ours), count(theirs), "{name}: {ours:#} {theirs:#}");
    }
    assert!(by_us["aggregate"]["counters"]["vusers.completed"].as_u64() > Some(6));
    // The server heard the same messages, whoever sent them; which word is whose is left to chance.
    let heard = |echo: &Echo| {
        let all = echo.heard().into_iter();
        let mut all: Vec<_> = all.filter(|text| !text.contains("word")).collect();
        all.sort();
        all
    };
    assert_eq!(heard(&ours), heard(&theirs));
}
