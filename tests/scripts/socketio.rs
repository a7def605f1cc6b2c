//! Scripts of `engine: socketio` against the published Socket.IO server, and against Artillery itself.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    artillery::artillery,
    assert_status, run, script,
    support::{driver::install_node, watchdog::Watchdog},
};

/// The folder of the server, installed as its lock file says; once for all tests.
static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/socketio");
    install_node(&home).unwrap_or_else(|error| panic!("{error}"));
    home
});

/// How long a server may be there.
const PATIENCE: Duration = Duration::from_secs(120);

/// A Socket.IO server of this test alone.
pub(crate) struct Server {
    process: Child,
    said: BufReader<ChildStdout>,
    port: u16,
    _watchdog: Watchdog,
}

impl Server {
    /// Starts one that pings so often, and waits so long for the answer, in milliseconds.
    pub(crate) fn start((interval, timeout): (u32, u32)) -> Self {
        let mut process = Command::new("node")
            .arg(INSTALLED.join("main.mjs"))
            .args([interval.to_string(), timeout.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed");
        let watchdog = Watchdog::over(&process, PATIENCE);
        let mut said = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says its port");
        Self {
            process,
            said,
            port: line.trim().parse().expect("a port"),
            _watchdog: watchdog,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it; what it has heard, and how often.
    fn heard(mut self) -> Value {
        drop(self.process.stdin.take());
        let mut text = String::new();
        self.said.read_to_string(&mut text).expect("text");
        serde_json::from_str(&text).expect("JSON")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It ends by itself, or by its watchdog.
        drop(self.process.wait());
    }
}

/// A script of so many users in a second.
fn users(server: &Server, count: u32, options: &Value, flow: &Value) -> String {
    let script = json!({
        "config": {
            "target": server.url(),
            "timeout": 2,
            "phases": [{"duration": 1, "arrivalCount": count}],
            "variables": {"word": "hello", "token": "sesame"},
            "socketio": options,
        },
        "scenarios": [{"engine": "socketio", "name": "io", "flow": flow}],
    });
    script.to_string()
}

#[test]
fn the_published_server_is_spoken_to() {
    let server = Server::start((25_000, 20_000));
    let options = json!({
        "query": {"user": "{{ word }}"},
        "extraHeaders": {"x-token": "{{ token }}"},
        "auth": {"token": "{{ token }}"},
        "transports": ["polling", "websocket"],
    });
    let flow = json!([
        {"emit": {"channel": "echo", "data": "{{ word }}"}, "response": {"channel": "echoed", "data": "{{ word }}"}},
        {"emit": ["echo", 1, {"a": [true, null]}], "response": {"on": "echoed", "args": [1, {"a": [true, null]}]},
         "acknowledge": {"args": [1, {"a": [true, null]}], "capture": {"json": "$.1.a", "as": "list"}}},
        {"emit": ["pieces", "a", "b"], "response": {"on": "piece", "args": ["a", "b"]}},
        {"emit": ["picture"], "response": {"on": "drawn", "match": {"json": "$.1.name", "value": "a cat"}},
         "acknowledge": {"match": {"json": "$.0.name", "value": "a dog"}}},
        {"namespace": "/chat", "emit": {"channel": "user"}, "acknowledge": {"match": {"json": "$.0.name", "value": "Ada"}}},
        {"namespace": "/door", "emit": ["echo", "{{ list }}"], "response": {"on": "echoed", "args": [[true, null]]}},
        {"emit": ["echo", "é \u{1f600}"]},
        {"think": 0.2},
    ]);
    let path = script("socketio.json", &users(&server, 7, &options, &flow));
    let (output, report) = run(&path, &[]);
    assert_status(&output, 0);
    let aggregate = &report["aggregate"];
    let counters = &aggregate["counters"];
    assert_eq!(counters["vusers.completed"], 7, "{counters:#}");
    assert_eq!(counters["socketio.emit"], 7 * 7, "{counters:#}");
    assert_eq!(
        aggregate["summaries"]["socketio.response_time"]["count"],
        7 * 6
    );
    assert_eq!(
        report["fourtuple"]["summaries"]["socketio.connect_time"]["count"],
        7
    );
    let heard = server.heard();
    for (what, count) in [
        ("connect /", 7),
        ("connect /chat", 7),
        ("connect /door", 7),
        ("transport websocket", 21),
        ("query user=hello", 21),
        ("header x-token: sesame", 21),
        ("/ echo [\"hello\"]", 7),
        ("/ echo [1,{\"a\":[true,null]}]", 7),
        ("/ echo [\"é \u{1f600}\"]", 7),
        ("/chat user [null]", 7),
        ("/door echo [[true,null]]", 7),
        ("client namespace disconnect /", 7),
        ("client namespace disconnect /door", 7),
    ] {
        assert_eq!(heard[what], count, "{what}: {heard:#}");
    }
}

#[test]
fn the_published_server_refuses_and_ends() {
    // A server that hangs is soon noticed where it was to ping often.
    let (seldom, often) = ((25_000, 20_000), (1_000, 1_000));
    for (step, auth, pings, name) in [
        (
            json!({"namespace": "/nobody", "emit": ["echo"]}),
            "",
            seldom,
            "errors.Invalid namespace",
        ),
        (
            json!({"namespace": "/door", "emit": ["echo"]}),
            "wrong",
            seldom,
            "errors.not today",
        ),
        (
            json!({"emit": ["kick"]}),
            "",
            seldom,
            "errors.io server disconnect",
        ),
        (
            json!({"emit": ["drop"]}),
            "",
            seldom,
            "errors.io server disconnect",
        ),
        (json!({"emit": ["hang"]}), "", often, "errors.ping timeout"),
    ] {
        let server = Server::start(pings);
        let options = json!({"auth": {"token": auth}});
        let flow = json!([step, {"think": 30}]);
        let path = script("socketio_refused.json", &users(&server, 2, &options, &flow));
        let (output, report) = run(&path, &[]);
        assert_status(&output, 0);
        let counters = &report["aggregate"]["counters"];
        assert_eq!(counters[name], 2, "{name}: {counters:#}");
        assert_eq!(counters["vusers.failed"], 2);
    }
}

#[test]
fn who_answers_its_pings_may_stay() {
    let server = Server::start((1_000, 20_000));
    let flow = json!([{"think": 3}]);
    let path = script("socketio_pings.json", &users(&server, 2, &json!({}), &flow));
    let (output, report) = run(&path, &[]);
    assert_status(&output, 0);
    assert_eq!(report["aggregate"]["counters"]["vusers.completed"], 2);
    let answered = &report["fourtuple"]["counters"]["socketio.pings_answered"];
    let answered = answered.as_u64().expect("a number");
    assert!(answered >= 1, "{report:#}");
    let heard = server.heard();
    assert_eq!(heard["pong"], answered, "{heard:#}");
    // The last ping of each may come when it has left.
    let sent = heard["ping"].as_u64().expect("a number");
    assert!((answered..=answered + 2).contains(&sent), "{heard:#}");
}

#[test]
fn artillery_and_the_crowd_count_the_same() {
    let flow = json!([
        {"emit": {"channel": "echo", "data": "{{ word }}"}, "response": {"channel": "echoed", "data": "{{ word }}"}},
        {"emit": ["echo", "one", {"two": 2}], "response": {"on": "echoed", "args": ["one", {"two": 2}],
         "match": [{"json": "$.0", "value": "one"}, {"json": "$.1.two", "value": 2}]}},
        {"emit": ["echo", "a"], "acknowledge": {"data": "a", "capture": {"json": "$.0", "as": "first"}}},
        {"emit": ["pieces", "x", "{{ first }}"], "response": {"on": "piece", "data": "x{{ first }}", "concat": true}},
        {"namespace": "/chat", "emit": {"channel": "user"}, "acknowledge": {"match": {"json": "$.0.name", "value": "Ada"}}},
        {"loop": [{"emit": {"channel": "echo", "data": "round {{ $loopCount }}"}}], "count": 3},
        {"think": 0.3},
    ]);
    let fails = |step: Value| json!([step, {"emit": ["echo", "never"]}]);
    let flows = [
        flow,
        fails(json!({"emit": ["echo", "a"], "acknowledge": {"data": "b"}})),
        fails(json!({"emit": ["echo", "a"], "acknowledge": {"match": {"value": "b"}}})),
        fails(json!({"emit": ["echo", "a"], "response": {"on": "silence", "data": "b"}})),
        fails(json!({"emit": ["echo", "a"], "response": {"on": "echoed", "data": "b"}})),
        fails(
            json!({"emit": ["echo", "a"], "response": {"on": "echoed", "args": ["a"], "match": {"json": "$.0", "value": "b"}}}),
        ),
    ];
    // Each waits for something in vain most of the time.
    std::thread::scope(|scope| {
        for (number, flow) in flows.iter().enumerate() {
            scope.spawn(move || compare(number, flow));
        }
    });
}

/// Runs a flow with both, of which all users fail unless it is the first.
fn compare(number: usize, flow: &Value) {
    let (theirs, ours) = (
        Server::start((25_000, 20_000)),
        Server::start((25_000, 20_000)),
    );
    let options = json!({"transports": ["websocket"], "query": "a=b"});
    let text = |server: &Server| users(server, 3, &options, flow);
    let file = |who: &str| format!("socketio_{who}_{number}.json");
    let by_artillery = artillery(&script(&file("artillery"), &text(&theirs)));
    let (output, by_us) = run(&script(&file("same"), &text(&ours)), &[]);
    assert_status(&output, 0);
    let counted = |report: &Value, name: &str| report[name].as_u64().unwrap_or(0);
    let (by_us, by_artillery) = (&by_us["aggregate"]["counters"], &by_artillery["counters"]);
    for name in COUNTERS {
        let (ours, theirs) = (counted(by_us, name), counted(by_artillery, name));
        assert_eq!(ours, theirs, "{number}: {name}: {by_us:#} {by_artillery:#}");
    }
    assert!(counted(by_us, "socketio.emit") >= 3, "{number}: {by_us:#}");
    let failed = if number == 0 { 0 } else { 3 };
    assert_eq!(
        counted(by_us, "vusers.failed"),
        failed,
        "{number}: {by_us:#}"
    );
    // The server heard the same, whoever said it; Artillery has a connection for each namespace.
    let heard = |server: Server| {
        let mut heard = server.heard();
        let all = heard.as_object_mut().expect("a map");
        all.retain(|what, _| what.starts_with('/') || what.starts_with("connect"));
        heard
    };
    assert_eq!(heard(ours), heard(theirs), "{number}");
}

/// What both must count alike.
const COUNTERS: [&str; 8] = [
    "vusers.created",
    "vusers.created_by_name.io",
    "vusers.completed",
    "vusers.failed",
    "socketio.emit",
    "errors.response timeout",
    "errors.data is not valid",
    "errors.Failed match",
];
