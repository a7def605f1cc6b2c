//! What is read of sockets, and what is said of steps that cannot have theirs.

use std::path::Path;

use super::*;
use crate::script::{Script, ScriptFlags};

/// A script whose users have a feed and a chat.
fn with_flow(flow: &str) -> String {
    format!(
        "config: {{target: 'ws://h/x', phases: [{{duration: 1, arrivalRate: 1}}], variables: {{names: [1, [2]]}}}}\n\
         scenarios:\n  - engine: ws\n    sockets:\n      feed: ws://g/feed\n      \
         chat: {{target: 'ws://h/socket', engine: phoenix, params: {{a: b}}}}\n    flow:\n{flow}"
    )
}

fn parse(text: &str) -> Result<Script, String> {
    let flags = ScriptFlags::default();
    Script::parse("s.yml", text, Path::new("."), &flags, &|_| None)
        .map_err(|problems| problems.to_string())
}

#[test]
fn steps_are_for_the_sockets_that_they_name() {
    let flow = "      - send: a\n      - open: feed\n      - send: b\n        on: feed\n      \
                - open: chat\n      - join: room:a\n        on: chat\n      \
                - loop: [{wait: {match: {json: $, value: 1}}, on: feed}]\n        count: 2\n      \
                - leave: {}\n        on: chat\n      - close: feed\n      - open: feed\n      - send: c\n";
    let script = parse(&with_flow(flow)).expect("a script that can run");
    let program = &script.programs[0];
    assert_eq!(*program.on, [0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 1, 0]);
    assert_eq!((program.name_of(1), program.name_of(2)), ("feed", "chat"));
    assert!(matches!(program.dialect_of(2), Dialect::Phoenix(..)));
    let targets: Vec<_> = script.targets().map(ToString::to_string).collect();
    assert_eq!(targets, ["ws://h/x", "ws://g/feed", "ws://h/socket"]);
    assert_eq!(script.sockets_max(), 3);
    // Without any, nothing is kept of them.
    let plain = with_flow("      - send: a\n")
        .replace("    sockets:\n      feed: ws://g/feed\n      ", "#");
    assert!(parse(&plain).expect("a script").programs[0].on.is_empty());
}

#[test]
fn what_cannot_be_open_is_said_before_anything_runs() {
    for (flow, place, words) in [
        (
            "      - send: a\n        on: feed\n",
            "s.yml:9:13: scenarios[0].flow[0].send: ",
            "`feed` is not open here: write `open: feed` before it",
        ),
        (
            "      - open: feed\n      - open: feed\n",
            "s.yml:9:9: scenarios[0].flow[1].open: ",
            "`feed` is open here: close it first",
        ),
        (
            "      - open: feed\n      - close: feed\n      - close: feed\n",
            "s.yml:10:9: scenarios[0].flow[2].close: ",
            "nothing to close",
        ),
        (
            "      - loop: [{open: feed}]\n        count: 2\n      - loop: [{open: feed}, {close: feed}, {send: a, on: feed}]\n",
            "s.yml:10:",
            "`feed` is not open here",
        ),
        (
            "      - open: fed\n",
            "s.yml:8:15: scenarios[0].flow[0].open: ",
            "did you mean `feed`?",
        ),
        (
            "      - send: a\n        on: zebra\n",
            "s.yml:9:13: scenarios[0].flow[0].on: ",
            "expected one of feed, chat",
        ),
        (
            "      - think: 1\n        on: feed\n",
            "s.yml:9:13: scenarios[0].flow[0].on: ",
            "`on` is for the steps send, wait, join",
        ),
        (
            "      - open: chat\n      - send: a\n        on: chat\n",
            "s.yml:9:9: scenarios[0].flow[1]: ",
            "a step of engine: ws, and this is engine: phoenix",
        ),
        (
            "      - open: chat\n      - push: {event: e}\n        on: chat\n",
            "s.yml:9:15: scenarios[0].flow[1].push: ",
            "`topic` is missing",
        ),
    ] {
        let text = parse(&with_flow(flow)).expect_err(flow);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.starts_with(place) && text.contains(words),
            "{flow}: {text}"
        );
    }
}

#[test]
fn what_is_no_step_is_for_no_socket() {
    for nothing in [
        "wait: {capture: []}",
        "send: {expect: []}",
        "wait: {expect: []}",
    ] {
        let flow = format!(
            "      - open: feed\n      - loop:\n        - {nothing}\n          on: feed\n        count: 2\n      - send: b\n"
        );
        // Whether that is an error is not the sockets' business.
        if let Ok(script) = parse(&with_flow(&flow)) {
            let on = &script.programs[0].on;
            assert_eq!(on[1..], vec![0; on.len() - 1], "{nothing}");
        }
    }
}

#[test]
fn what_depends_on_loops_is_left_to_the_run() {
    for flow in [
        // Open in the second round if the first has left it so.
        "      - loop: [{open: feed}]\n        count: 2\n",
        "      - loop: [{open: feed}]\n        over: names\n      - send: a\n        on: feed\n",
        "      - loop: [{open: feed}, {send: a, on: feed}, {close: feed}]\n        count: 3\n      - open: feed\n",
    ] {
        parse(&with_flow(flow)).expect(flow);
    }
}

#[test]
fn sockets_that_cannot_be_are_refused_in_words() {
    let sockets = |sockets: &str| {
        let text = format!(
            "config: {{target: 'ws://h/x', phases: [{{duration: 1, arrivalRate: 1}}]}}\n\
             scenarios:\n  - engine: ws\n    sockets: {sockets}\n    flow: [{{send: a}}]\n"
        );
        parse(&text).expect_err(sockets)
    };
    let nine: Vec<_> = (0..9).map(|n| format!("s{n}: 'ws://h/{n}'")).collect();
    for (text, words) in [
        ("[feed]", "expected names with their URLs"),
        ("{feed: 'ftp://h/'}", "is not a WebSocket URL"),
        ("{feed: {engine: http}}", "found http"),
        ("{feed: {engine: socketio}}", "only a user's own socket"),
        ("{feed: {targte: 'ws://h/'}}", "did you mean `target`?"),
        ("{feed: 'ws://{{ $uuid }}/'}", "the same for every user"),
        (&format!("{{{}}}", nine.join(", ")), "a user has 8 at most"),
    ] {
        let refusal = sockets(text);
        assert!(refusal.contains(words), "{text}: {refusal}");
    }
    let none = "config: {target: 'ws://h/x', phases: [{duration: 1, arrivalRate: 1}]}\n\
                scenarios:\n  - {engine: ws, flow: [{open: feed}]}\n";
    let refusal = parse(none).expect_err(none);
    assert!(
        refusal.contains("in `sockets` of the scenario"),
        "{refusal}"
    );
}
