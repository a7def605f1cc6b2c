//! The same script against the same server with Artillery's runner and with the crowd: both count the same.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use serde_json::json;

use super::{
    assert_status,
    echo::{Echo, Ways},
    run, script,
    support::{binary::output_of, driver::install_node},
};

/// The folder of Artillery's runner, installed as its lock file says; once for all tests, as an installation begins by
/// taking away what is there.
static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/artillery");
    install_node(&home).unwrap_or_else(|error| panic!("{error}"));
    home
});

fn errors(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// Runs a script with Artillery's runner; returns its counters.
pub(crate) fn artillery(path: &Path) -> serde_json::Value {
    let mut runner = Command::new("node");
    runner.arg(INSTALLED.join("main.mjs")).arg(path);
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

/// Functions of a script: one that makes what is sent, one that waits and says no now and then, one that
/// says whether a loop goes on, and one that says how to connect.
const FUNCTIONS: &str = "'use strict';
let asked = 0;
module.exports = { stamp, judge, more, greet };
function stamp(context, events, done) {
  context.vars.data = { at: Date.now(), zip: context.vars.zip, tag: 'stamped' };
  events.emit('counter', 'stamps.made', 2);
  events.emit('rate', 'stamps.rate');
  events.emit('histogram', 'stamps.size', 40);
  return done();
}
async function judge(context, events) {
  asked += 1;
  const turn = asked;
  await new Promise((resolve) => setTimeout(resolve, 50));
  if (context.vars.tag !== 'stamped') throw new Error('nothing came back');
  if (turn % 5 === 0) throw new Error('every fifth');
}
function more(context, next) {
  context.vars.rounds = (context.vars.rounds || 0) + 1;
  next(context.vars.rounds < 3);
}
function greet(wsArgs, context, cb) {
  wsArgs.options.headers = { 'x-zip': String(context.vars.zip) };
  cb();
}
";

#[test]
fn functions_in_javascript_count_the_same_as_with_artillery() {
    let text = |echo: &Echo| {
        let script = json!({
            "config": {
                "target": echo.url(),
                "processor": "./functions.js",
                "phases": [{"duration": 2, "arrivalRate": 10}],
                "variables": {"zip": 10115},
            },
            "scenarios": [{"engine": "ws", "name": "captures", "flow": [
                {"connect": {"function": "greet"}},
                {"send": "hello"},
                // Artillery takes an answer that is late for that of the next step.
                {"think": 1},
                {"function": "stamp"},
                {"send": {"payload": "{{ data }}", "capture": {"json": "$.tag", "as": "tag"}}},
                {"think": 0.1},
                {"function": "judge"},
                {"loop": [{"send": "round {{ rounds }} at {{ data.zip }}"}], "whileTrue": "more"},
            ]}],
        });
        script.to_string()
    };
    script("functions.js", FUNCTIONS);
    let (theirs, ours) = (Echo::start(Ways::default()), Echo::start(Ways::default()));
    let by_artillery = artillery(&script("functions_artillery.json", &text(&theirs)));
    // One thread has one interpreter, as Artillery's process has one.
    let path = script("functions.json", &text(&ours));
    let (output, by_us) = run(&path, &["--shards", "1"]);
    assert_status(&output, 0);
    let names = [
        "errors.every fifth",
        "errors.nothing came back",
        "stamps.made",
    ];
    for name in COUNTERS.iter().chain(&names) {
        // Artillery counts what a step waits for, and this all that comes.
        if *name == "websocket.messages_received" {
            continue;
        }
        let count = |counters: &serde_json::Value| counters[name].as_u64().unwrap_or(0);
        let (ours, theirs) = (&by_us["aggregate"]["counters"], &by_artillery["counters"]);
        assert_eq!(count(ours), count(theirs), "{name}: {ours:#} {theirs:#}");
    }
    let counters = &by_us["aggregate"]["counters"];
    assert_eq!(counters["vusers.completed"], 16, "{counters:#}");
    assert_eq!(counters["errors.every fifth"], 4, "{counters:#}");
    for field in ["count", "max"] {
        let of = |report: &serde_json::Value| report["summaries"]["stamps.size"][field].as_f64();
        let (ours, theirs) = (of(&by_us["aggregate"]), of(&by_artillery));
        let near = ours
            .zip(theirs)
            .is_some_and(|(one, other)| (one - other).abs() <= 0.02 * other);
        assert!(near, "{field}: {ours:?} {theirs:?}");
    }
    let heard = |echo: &Echo| {
        let all = echo.heard().into_iter();
        let mut all: Vec<_> = all.filter(|text| !text.contains("stamped")).collect();
        all.sort();
        all
    };
    assert_eq!(heard(&ours), heard(&theirs));
}

/// The shape of Artillery's own example: a phase at a rate, a function that makes an object, and a send of it.
#[test]
fn the_example_of_artillery_runs_as_it_is() {
    let echo = Echo::start(Ways::default());
    let text = "config:\n  target: TARGET\n  processor: \"./stamp.js\"\n  phases:\n    - duration: 60\n      \
                arrivalRate: 25\nscenarios:\n  - engine: ws\n    flow:\n      - send: hello\n      - think: 1\n      \
                - function: createStamped\n      - send: \"{{ data }}\"\n      - think: 1\n";
    script(
        "stamp.js",
        "module.exports = { createStamped };\nfunction createStamped(userContext, events, done) {\n  \
         const data = { stamp: Date.now(), foo: 'bar' };\n  userContext.vars.data = data;\n  return done();\n}\n",
    );
    let path = script("example.yml", &text.replace("TARGET", &echo.url()));
    // A minute is long for a test.
    let short = "{\"config\": {\"phases\": [{\"duration\": 2, \"arrivalRate\": 25}]}}";
    let (output, report) = run(&path, &["--overrides", short]);
    assert_status(&output, 0);
    let counters = &report["aggregate"]["counters"];
    assert_eq!(counters["vusers.completed"], 50, "{counters:#}");
    assert_eq!(counters["websocket.messages_sent"], 100);
    let stamped = echo
        .heard()
        .into_iter()
        .filter(|text| text.contains("\"foo\":\"bar\""));
    assert_eq!(stamped.count(), 50);
}
