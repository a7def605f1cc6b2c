//! `fourtuple load SCRIPT`: Artillery's scripts as their users have them, against small servers, and against
//! Artillery itself.

mod artillery;
mod echo;
mod plugins;
mod socketio;
mod storm;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use echo::{Echo, Ways};
use support::{
    binary::{assert_status, fourtuple, on_epoll, output_of},
    relay::Relay,
};

/// Writes a script of this test alone.
fn script(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("the folder of this target is ours");
    path
}

/// Runs a script; returns what it printed and its JSON report.
fn run(path: &Path, arguments: &[&str]) -> (Output, serde_json::Value) {
    let report = path.with_extension("report.json");
    drop(fs::remove_file(&report));
    let mut command = fourtuple();
    command
        .arg("load")
        .arg(path)
        .arg("-o")
        .arg(&report)
        .args(arguments);
    if on_epoll() {
        command.args(["--kernel", "epoll"]);
    }
    let output = output_of(&mut command);
    let text = fs::read_to_string(&report).unwrap_or_default();
    (output, serde_json::from_str(&text).unwrap_or_default())
}

/// A greeting, a think, a map with a variable, a variable alone, and a loop of ten.
fn hello(target: &str) -> String {
    format!(
        r#"{{ "config": {{ "target": "{target}",
            "phases": [{{ "duration": 2, "arrivalRate": 4 }}],
            "variables": {{ "code": ["11", "22", "33"] }} }},
          "scenarios": [{{ "engine": "ws", "flow": [
            {{ "send": "hello" }}, {{ "think": 1 }},
            {{ "send": {{ "code": "{{{{ code }}}}" }} }}, {{ "send": "{{{{ code }}}}" }},
            {{ "loop": [{{ "send": "{{{{ code }}}}" }}], "count": 10 }} ] }}] }}"#
    )
}

#[test]
fn a_script_of_sends_says_what_it_means_and_is_counted() {
    let echo = Echo::start(Ways::default());
    let path = script("hello.json", &hello(&echo.url()));
    let (output, report) = run(&path, &[]);
    assert_status(&output, 0);
    let counters = &report["aggregate"]["counters"];
    assert_eq!(counters["vusers.created"], 8);
    assert_eq!(counters["vusers.completed"], 8);
    assert_eq!(counters["vusers.failed"], 0);
    assert_eq!(counters["websocket.messages_sent"], 8 * 13);
    assert_eq!(
        report["aggregate"]["summaries"]["vusers.session_length"]["count"],
        8
    );
    assert_eq!(report["intermediate"].as_array().map(Vec::len), Some(1));
    assert!(
        report["fourtuple"]["steps"]
            .as_array()
            .is_some_and(|steps| steps.len() == 4)
    );
    let heard = echo.heard();
    assert_eq!(heard.iter().filter(|text| *text == "hello").count(), 8);
    let maps = heard.iter().filter(|text| text.starts_with(r#"{"code":""#));
    assert_eq!(maps.count(), 8);
    assert_eq!(heard.iter().filter(|text| text.len() == 2).count(), 8 * 11);
}

#[test]
fn a_capture_is_sent_again_and_a_loop_follows() {
    let echo = Echo::start(Ways::default());
    let text = format!(
        "config:\n  target: {}\n  phases: [{{duration: 1, arrivalCount: 5}}]\n\
         scenarios:\n  - engine: ws\n    flow:\n      \
         - send: {{payload: {{id: '{{{{ $randomNumber(1, 1000) }}}}'}}, capture: {{json: $.id, as: id}}}}\n      \
         - think: 100ms\n      \
         - send: {{payload: {{again: '{{{{ id }}}}'}}, match: {{json: $.again, value: '{{{{ id }}}}'}}}}\n      \
         - loop: [{{send: 'round {{{{ $loopCount }}}} of {{{{ id }}}}'}}]\n        count: 5\n      - think: 200ms\n",
        echo.url()
    );
    let (output, report) = run(&script("capture.yml", &text), &[]);
    assert_status(&output, 0);
    let counters = &report["aggregate"]["counters"];
    assert_eq!(counters["vusers.completed"], 5, "{report:#}");
    assert_eq!(counters["websocket.messages_sent"], 5 * 7);
    assert_eq!(counters["websocket.messages_received"], 5 * 7);
    assert!(
        echo.heard()
            .iter()
            .any(|text| text.starts_with("round 4 of "))
    );
}

#[test]
fn headers_and_subprotocols_reach_the_server() {
    let echo = Echo::start(Ways {
        protocol: Some("my-custom-protocol"),
    });
    let text = format!(
        "config:\n  target: {}\n  phases: [{{duration: 1, arrivalCount: 3}}]\n  ws:\n    \
         subprotocols: [json]\n    headers: {{Sec-WebSocket-Protocol: 'soap, my-custom-protocol', x-token: 'a b'}}\n\
         scenarios:\n  - engine: ws\n    flow:\n      - connect: {{target: '{}path?user={{{{ $randomString(4) }}}}'}}\n      - send: hi\n",
        echo.url(),
        echo.url(),
    );
    let path = script("subprotocols.yml", &text);
    let (output, report) = run(&path, &[]);
    assert_status(&output, 0);
    assert_eq!(
        report["aggregate"]["counters"]["vusers.completed"], 3,
        "{report:#}"
    );
    for head in echo.heads() {
        assert!(head.contains("/path?user="), "{head}");
        assert!(head.contains("x-token: a b"), "{head}");
        assert!(head.contains("json, soap, my-custom-protocol"), "{head}");
    }
    // A server that speaks none of them is not talked to.
    let other = Echo::start(Ways::default());
    let (output, report) = run(&path, &["--overrides", &overriding_target(&other)]);
    assert_status(&output, 0);
    assert_eq!(
        report["aggregate"]["counters"]["errors.handshake_invalid"], 3,
        "{report:#}"
    );
}

/// A flow against another server.
fn overriding_target(echo: &Echo) -> String {
    let url = echo.url();
    format!(r#"{{"scenarios": [{{"engine": "ws", "flow": [{{"connect": "{url}"}}]}}]}}"#)
}

#[test]
fn channels_are_joined_and_spoken_in() {
    let server = Relay::start(&[]);
    let text = format!(
        "config:\n  target: {}\n  phases: [{{duration: 1, arrivalCount: 20}}]\n  phoenix: {{params: {{token: a}}}}\n\
         scenarios:\n  - engine: phoenix\n    name: chat\n    flow:\n      - join: room:lobby\n      \
         - push: {{event: new_msg, payload: {{body: hi}}, reply: true}}\n      \
         - expect: {{event: new_msg, match: {{json: $.body, value: hi}}}}\n      - leave: room:lobby\n",
        server.url()
    );
    // The last user hears its own message before the reply or after it; another comes soon enough.
    let text = text.replace(
        "      - expect",
        "      - push: {event: new_msg, payload: {body: hi}}\n      - expect",
    );
    let (output, report) = run(&script("chat.yml", &text), &[]);
    assert_status(&output, 0);
    let counters = &report["aggregate"]["counters"];
    assert_eq!(counters["vusers.completed"], 20, "{report:#}");
    assert_eq!(counters["vusers.created_by_name.chat"], 20);
}

#[test]
fn the_exit_status_says_what_came_of_it() {
    let echo = Echo::start(Ways::default());
    let ensure = |condition: &str| {
        let text = format!(
            "config:\n  target: {}\n  phases: [{{duration: 1, arrivalCount: 2}}]\n  ensure: {condition}\n\
             scenarios:\n  - engine: ws\n    flow: [{{send: a}}]\n",
            echo.url()
        );
        run(&script("ensure.yml", &text), &[])
    };
    let (output, _) = ensure("{conditions: [{expression: vusers.completed == 2}]}");
    assert_status(&output, 0);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("ok: vusers.completed == 2"), "{printed}");
    let (output, _) = ensure("{conditions: [{expression: vusers.completed > 2}]}");
    assert_status(&output, 1);
    let (output, _) = ensure("{conditions: [{expression: vusers.completed > 2, strict: false}]}");
    assert_status(&output, 0);
    let (output, report) = ensure("{thresholds: [{vusers.session_length.p95: 'soon'}]}");
    assert_status(&output, 2);
    assert!(report.is_null(), "nothing ran");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("ensure.yml:4:"), "{complaint}");
    assert!(
        complaint.contains("config.ensure.thresholds[0]"),
        "{complaint}"
    );
    // More users than this machine has descriptors for.
    let text = format!(
        "config:\n  target: {}\n  phases: [{{duration: 1, hold: 4000000000}}]\n\
         scenarios:\n  - engine: ws\n    flow: [{{think: 1}}]\n",
        echo.url()
    );
    let (output, _) = run(&script("hold.yml", &text), &[]);
    assert_status(&output, 3);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        complaint.contains("4,000,000,000 connections need "),
        "{complaint}"
    );
}

#[test]
fn the_examples_of_the_guide_run() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/load.md"));
    let guide = guide.expect("the guide");
    let chapter = guide
        .split("\n## Artillery scripts\n")
        .nth(1)
        .expect("the chapter");
    let chapter = chapter.split("\n## ").next().unwrap_or(chapter);
    let blocks = chapter.split("```yaml\n").skip(1);
    let blocks: Vec<_> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2, "the chapter has examples");
    let (echo, relay) = (Echo::start(Ways::default()), Relay::start(&[]));
    let socketio = socketio::Server::start((25_000, 20_000));
    for (number, block) in blocks.iter().enumerate() {
        let text = block
            .replace("ws://127.0.0.1:9001/", &echo.url())
            .replace("ws://127.0.0.1:4000/socket", &relay.url())
            .replace("http://127.0.0.1:3000", &socketio.url());
        assert_ne!(&text, block, "an example names a server that this test has");
        // As written, only shorter.
        let shorter = r#"{"config": {"phases": [{"duration": 1, "arrivalCount": 5}]}}"#;
        let path = script(&format!("guide{number}.yml"), &text);
        let (output, report) = run(&path, &["--overrides", shorter]);
        assert_status(&output, 0);
        assert_eq!(
            report["aggregate"]["counters"]["vusers.completed"], 5,
            "{report:#}"
        );
    }
}

#[test]
fn one_user_goes_before_all_others_and_one_comes_after() {
    let echo = Echo::start(Ways::default());
    let text = format!(
        "config:\n  target: {}\n  phases: [{{duration: 1, arrivalCount: 3}}]\n  payload: {{fields: [who]}}\n\
         before:\n  engine: ws\n  flow:\n    \
         - send: {{payload: {{token: 'of {{{{ $env.FOURTUPLE_TEST_MARK }}}}', all: [1, 2]}}, capture: [{{json: $.token, as: token}}, {{json: $.all, as: all}}]}}\n\
         scenarios:\n  - engine: ws\n    flow:\n      - send: 'user {{{{ who }}}} {{{{ token }}}} {{{{ all }}}}'\n\
         after:\n  engine: ws\n  flow: [{{send: 'bye {{{{ token }}}}'}}]\n",
        echo.url()
    );
    let path = script("edges.yml", &text);
    let rows = script("edges.csv", "ada\n");
    let variables = script("edges.env", "# of this test\nFOURTUPLE_TEST_MARK=\"us\"\n");
    let (rows, variables) = (rows.display().to_string(), variables.display().to_string());
    let (output, report) = run(&path, &["-p", &rows, "--dotenv", &variables]);
    assert_status(&output, 0);
    assert_eq!(report["aggregate"]["counters"]["vusers.created"], 3);
    let heard = echo.heard();
    assert_eq!(heard.len(), 5, "{heard:?}");
    assert_eq!(heard[0], "{\"token\":\"of us\",\"all\":[1,2]}");
    assert!(
        heard[1..4]
            .iter()
            .all(|text| text == "user ada of us [1,2]"),
        "{heard:?}"
    );
    assert_eq!(heard[4], "bye of us");
    // Without a first user that does well, nobody else comes.
    let failing = text.replace("json: $.token", "json: $.nothing");
    let (output, _) = run(&script("edges_failing.yml", &failing), &["-p", &rows]);
    assert_status(&output, 2);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the script's `before` failed"), "{told}");
    assert_eq!(echo.heard().len(), 6);
}

#[test]
fn a_user_has_several_sockets_on_several_servers() {
    let (echo, feed, relay) = (
        Echo::start(Ways::default()),
        Echo::start(Ways {
            protocol: Some("feed.v1"),
        }),
        Relay::start(&[]),
    );
    let text = format!(
        "config:\n  target: {}\n  phases: [{{duration: 1, arrivalCount: 6}}]\n\
         scenarios:\n  - engine: ws\n    sockets:\n      \
         feed: {{target: '{}feed?of={{{{ name }}}}', subprotocols: [feed.v1]}}\n      \
         chat: {{target: '{}', engine: phoenix}}\n    flow:\n      \
         - send: {{payload: {{name: 'ada {{{{ $randomString(4) }}}}'}}, capture: {{json: $.name, as: name}}}}\n      \
         - open: feed\n      - open: chat\n      \
         - send: {{payload: 'news for {{{{ name }}}}', match: {{regexp: 'news.*', value: 'news for {{{{ name }}}}'}}}}\n        on: feed\n      \
         - join: room:lobby\n        on: chat\n      \
         - push: {{event: new_msg, payload: {{body: hi}}, reply: true}}\n        on: chat\n      \
         - close: feed\n      - send: bye\n      - think: 100ms\n",
        echo.url(),
        feed.url(),
        relay.url(),
    );
    let (output, report) = run(&script("several.yml", &text), &[]);
    assert_status(&output, 0);
    let counters = &report["aggregate"]["counters"];
    assert_eq!(counters["vusers.completed"], 6, "{report:#}");
    assert_eq!(counters["websocket.messages_sent"], 6 * 5);
    let ours = &report["fourtuple"]["counters"];
    assert_eq!(ours["websocket.sockets_opened"], 18, "{report:#}");
    let connects = &report["fourtuple"]["summaries"]["websocket.connect_time"];
    assert_eq!(connects["count"], 18);
    assert_eq!(echo.heard().len(), 12, "each server hears its own");
    let heard = feed.heard();
    assert_eq!(heard.len(), 6, "{heard:?}");
    assert!(heard.iter().all(|text| text.starts_with("news for ada ")));
    for head in feed.heads() {
        assert!(head.starts_with("/feed?of=ada%20"), "{head}");
    }
}
