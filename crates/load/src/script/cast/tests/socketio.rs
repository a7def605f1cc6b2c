//! Scripts of Socket.IO against the room.

use super::*;

/// A script of ten users with this flow, and these lines of `config`.
fn script_with(config: &str, flow: &str) -> String {
    format!(
        "config:\n  target: http://10.0.0.1:4000\n  timeout: 2\n  phases: [{{duration: 1, arrivalCount: 10}}]\n{config}\
         scenarios:\n  - engine: socketio\n    flow:\n{flow}"
    )
}

fn run(flow: &str) -> Performance {
    perform(&script_with("", flow), Manners::default())
}

#[test]
fn users_emit_and_wait_for_what_comes_of_it() {
    let flow = "      - emit: {channel: echo, data: hello}\n        response: {channel: echoed, data: hell}\n      \
                - think: 1\n      \
                - emit: [echo, one, {two: 2}]\n        response: {on: echoed, args: [one, {two: 2}], capture: {json: $.1.two, as: n}}\n      \
                - emit: {channel: echo}\n        acknowledge: {args: [~]}\n      \
                - emit: [echo, '{{ n }}']\n        response: {on: echoed}\n        acknowledge: {data: 2, match: {value: '{{ n }}'}}\n      \
                - loop: [{emit: [echo, '{{ $loopCount }}']}]\n        count: 3\n      - think: 10ms\n      \
                - log: 'n is {{ n }}'\n";
    let run = run(flow);
    assert_eq!(run.count("vusers.completed"), 10, "{}", run.report);
    assert_eq!(run.count("socketio.emit"), 70);
    assert_eq!(run.lines, ["n is 2"; 10]);
    let response = run.metrics.summaries["socketio.response_time"];
    assert_eq!(response.count, 40, "those that waited");
    assert_eq!(run.figures.awaited, 40);
    let connect = run.figures.socketio.connect.summary().expect("sessions");
    assert_eq!(connect.count, 10);
    let session = run.metrics.summaries["vusers.session_length"];
    assert!((1_000.0..1_100.0).contains(&session.max), "{session:?}");
    // The open packet, the consent, and of each emit two events and an acknowledgement where it was asked for.
    assert_eq!(
        run.count("websocket.messages_received"),
        10 * (2 + 7 * 2 + 2)
    );
    // The first namespace is asked for and left.
    assert_eq!(run.count("websocket.messages_sent"), 10 * (7 + 2));
}

#[test]
fn a_response_may_come_in_pieces() {
    let flow = "      - emit: [pieces, a, b, c]\n        response: {on: piece, args: [a, b, c], match: {json: $.2, value: c}}\n      \
                - emit: [pieces, a, b, c]\n        response: {on: piece, data: bc, concat: true}\n      \
                - emit: [pieces, a, b, c]\n        response: {on: piece, data: b, capture: {json: $.0, as: first}}\n      \
                - log: '{{ first }}'\n";
    let run = run(flow);
    assert_eq!(run.count("vusers.completed"), 10, "{}", run.report);
    assert_eq!(run.lines, ["a"; 10]);
}

#[test]
fn attachments_belong_to_their_packet() {
    let flow = "      - emit: [picture]\n        response: {on: picture, match: {json: $.1.num, value: 1}}\n";
    let well = run(flow);
    assert_eq!(well.count("vusers.completed"), 10, "{}", well.report);
    let stray = run("      - emit: [stray]\n      - think: 1\n");
    assert_eq!(
        stray.count("errors.protocol_broken"),
        10,
        "{}",
        stray.report
    );
}

#[test]
fn namespaces_are_entered_when_a_step_needs_them() {
    let flow = "      - namespace: /chat\n        emit: [echo, hi]\n        response: {on: echoed, data: hi}\n      \
                - emit: {channel: echo, namespace: /chat, data: ho, response: {channel: echoed, data: ho}}\n      \
                - namespace: /door\n        emit: [echo]\n        acknowledge: true\n      - emit: [echo, x]\n";
    let config = "  socketio: {auth: {token: '{{ who }}'}}\n  variables: {who: ada}\n";
    let run = perform(&script_with(config, flow), Manners::default());
    assert_eq!(run.count("vusers.completed"), 10, "{}", run.report);
    assert_eq!(run.count("socketio.emit"), 40);
    assert_eq!(
        run.figures.steps.iter().map(|step| step.begun).sum::<u64>(),
        40
    );
    // Each of the three is entered once and left.
    assert_eq!(run.count("websocket.messages_sent"), 10 * (4 + 3 * 2));
    for (namespace, name) in [
        ("/nobody", "errors.Invalid namespace"),
        ("/door", "errors.who is it?"),
        ("/mute", "errors.response timeout"),
        ("/a{{ comma }}", "errors./a,b is no name of one"),
    ] {
        let flow = format!("      - namespace: '{namespace}'\n        emit: [echo]\n");
        let config = "  variables: {comma: [',b', ',b']}\n";
        let run = perform(&script_with(config, &flow), Manners::default());
        assert_eq!(run.count(name), 10, "{name}: {}", run.report);
        assert_eq!(run.count("socketio.emit"), 0);
    }
}

#[test]
fn the_path_of_the_target_is_a_namespace() {
    let flow = "      - emit: [echo, x]\n        response: {on: echoed, data: x}\n";
    let script = script_with("", flow);
    let at = |path: &str| {
        let script = script.replace(":4000\n", &format!(":4000{path}\n"));
        perform(&script, Manners::default())
    };
    let run = at("/chat?a=1");
    assert_eq!(run.count("vusers.completed"), 10, "{}", run.report);
    let run = at("/nobody");
    assert_eq!(run.count("errors.Invalid namespace"), 10, "{}", run.report);
}

#[test]
fn a_namespace_that_is_written_is_one_below_the_targets_path() {
    for (path, written, failed) in [
        ("/chat", "/", None),
        ("/chat", "", None),
        ("", "/", None),
        ("", "/chat", None),
        ("/chat", "/room", Some("errors.Invalid namespace")),
        ("/chat", "room", Some("errors.room is no name of one")),
        ("", "chat", Some("errors.chat is no name of one")),
        ("/chat", "/a,b", Some("errors./a,b is no name of one")),
    ] {
        let flow = "      - namespace: '{{ v }}'\n        emit: [echo, x]\n        response: {on: echoed, data: x}\n";
        let config = format!("  variables: {{v: ['{written}', '{written}']}}\n");
        let script = script_with(&config, flow).replace(":4000\n", &format!(":4000{path}\n"));
        let run = perform(&script, Manners::default());
        let name = failed.unwrap_or("vusers.completed");
        assert_eq!(run.count(name), 10, "{path} {written}: {}", run.report);
        // Nothing but the first is entered where the written name is that.
        let entered = if written == "/chat" { 2 } else { 1 };
        if failed.is_none() {
            assert_eq!(run.count("websocket.messages_sent"), 10 * (1 + 2 * entered));
        }
    }
}

#[test]
fn each_way_to_fail_has_artillerys_name() {
    for (flow, name) in [
        (
            "[ignore]\n        response: {on: echoed}",
            "errors.response timeout",
        ),
        (
            "[ignore]\n        acknowledge: true",
            "errors.response timeout",
        ),
        (
            "[echo, a]\n        response: {on: echoed, data: b}",
            "errors.data is not valid",
        ),
        (
            "[echo, a]\n        response: {on: echoed, match: {value: b}}",
            "errors.Failed match",
        ),
        (
            "[echo, a]\n        acknowledge: {args: [b]}",
            "errors.data is not valid",
        ),
        (
            "[echo, a]\n        acknowledge: {match: {value: b}}",
            "errors.Failed match",
        ),
        ("[kick]\n      - think: 1", "errors.io server disconnect"),
        ("[end]\n      - think: 1", "errors.transport close"),
        ("[nonsense]\n      - think: 1", "errors.protocol_broken"),
    ] {
        let run = run(&format!("      - emit: {flow}\n"));
        assert_eq!(run.count(name), 10, "{name}: {}", run.report);
    }
}

#[test]
fn only_responses_that_are_late_frustrate() {
    for (namespace, emit, frustrated) in [
        ("", "emit: [ignore]\n        acknowledge: true", 10),
        // These wait to be let in.
        (
            "",
            "namespace: /mute\n        emit: [echo]\n        acknowledge: true",
            0,
        ),
        ("/mute", "emit: [echo]\n        acknowledge: true", 0),
    ] {
        let flow = format!("      - {emit}\n");
        let script = script_with("  apdex: {threshold: 100}\n", &flow);
        let script = script.replace(":4000\n", &format!(":4000{namespace}\n"));
        let run = perform(&script, Manners::default());
        let timeouts = run.count("errors.response timeout");
        assert_eq!(timeouts, 10, "{namespace} {emit}: {}", run.report);
        assert_eq!(
            run.figures.apdex.frustrated, frustrated,
            "{namespace} {emit}"
        );
    }
}

#[test]
fn a_server_that_pings_no_more_is_given_up() {
    let quiet = run("      - emit: [mute]\n      - think: 30\n");
    assert_eq!(quiet.count("errors.ping timeout"), 10, "{}", quiet.report);
    // It may be silent for five seconds from the handshake on, and is looked at every two.
    assert!((5..=8).contains(&quiet.periods), "{}", quiet.periods);
    let alive = run("      - think: 31500ms\n");
    assert_eq!(alive.count("vusers.completed"), 10, "{}", alive.report);
    assert_eq!(alive.figures.socketio.pings, 10 * 10);
}

#[test]
fn a_user_may_have_other_sockets_besides() {
    let flow = "      - open: feed\n      - send: {payload: hi, match: {regexp: hi, value: hi}}\n        on: feed\n      \
                - emit: [echo, x]\n        response: {on: echoed, data: x}\n      - close: feed\n      \
                - namespace: /chat\n        emit: [echo, y]\n        acknowledge: {data: y}\n      - think: 6\n";
    let script = script_with("", flow).replace(
        "    flow:",
        "    sockets: {feed: {engine: ws, target: 'ws://10.0.0.1:4000/echo'}}\n    flow:",
    );
    let run = perform(&script, Manners::default());
    assert_eq!(run.count("vusers.completed"), 10, "{}", run.report);
    assert_eq!(run.count("socketio.emit"), 20);
    assert!(run.figures.socketio.pings >= 10);
}

#[test]
fn users_of_other_scenarios_may_come_back() {
    let flow = "      - emit: [echo, x]\n        response: {on: echoed, data: x}\n      - think: 4\n      \
                - emit: [kick]\n      - think: 1\n";
    let script = script_with("  reconnect: true\n", flow).replace(
        "  - engine: socketio\n",
        "  - engine: phoenix\n    flow: [{join: room:lobby}, {drop: {}}, {push: {event: e, reply: true}}]\n  \
         - engine: socketio\n    reconnect: false\n",
    );
    let run = perform(&script, Manners::default());
    let kicked = run.count("errors.io server disconnect");
    assert!(kicked > 0, "{}", run.report);
    assert_eq!(run.count("vusers.completed") + kicked, 10, "{}", run.report);
    assert_eq!(run.figures.reconnected, run.count("vusers.completed"));
    assert_eq!(run.count("socketio.emit"), 2 * kicked);
    assert!(run.figures.socketio.pings >= kicked);
}

#[test]
fn a_namespace_is_left_by_the_server_alone_when_the_user_is_in_it() {
    let flow = "      - namespace: /chat\n        emit: [kick]\n      - think: 1\n";
    let run = run(flow);
    assert_eq!(
        run.count("errors.io server disconnect"),
        10,
        "{}",
        run.report
    );
}
