//! What scripts of Socket.IO say, and what is wrong with them before the first connection.

use std::path::Path;

use crate::script::{Script, ScriptFlags, memory::Scene, program::Dialect};

fn parse(config: &str, flow: &str) -> Result<Script, String> {
    let text = format!(
        "config:\n  target: https://127.0.0.1:9/\n  phases: [{{pause: 1}}]\n{config}\
         scenarios:\n  - engine: socketio\n    flow:\n{flow}"
    );
    let flags = ScriptFlags::default();
    let script = Script::parse("s.yml", &text, Path::new("."), &flags, &|_| None);
    script.map_err(|problems| problems.to_string())
}

/// The request of a user of a script with these lines of `config`.
fn request(config: &str) -> (String, Vec<(String, String)>) {
    let script =
        parse(config, "      - emit: [a]\n").unwrap_or_else(|problems| panic!("{problems}"));
    let mut scene = Scene {
        variables: &script.variables,
        payloads: &[],
        memory: None,
        seed: 1,
        number: 0,
        random: &mut fastrand::Rng::with_seed(1),
    };
    let connect = &script.programs[0].connect;
    assert!(connect.server.is_tls());
    let request = connect
        .request(Dialect::SocketIo, &mut scene)
        .expect("a URL");
    assert_eq!(request.host, "127.0.0.1:9");
    (request.target, request.headers)
}

#[test]
fn options_say_where_a_session_connects() {
    let plain = "/socket.io/?EIO=4&transport=websocket";
    let variable = "  variables: {room: ['a b', 'a b']}\n";
    for (config, target) in [
        ("", plain.to_owned()),
        (
            "  socketio: {transports: [polling, websocket]}\n",
            plain.to_owned(),
        ),
        (
            "  socketio: {transports: websocket, reconnection: false}\n",
            plain.to_owned(),
        ),
        ("  socketio: {_query: old=1}\n", plain.to_owned()),
        (
            "  socketio: {path: /io, timeout: 5}\n",
            plain.replace("/socket.io/", "/io/"),
        ),
        (
            "  socketio: {path: /io/, addTrailingSlash: false}\n",
            plain.replace("/socket.io/", "/io"),
        ),
        (
            "  socketio: {query: 'a=1&b=x%20y+z'}\n",
            format!("{plain}&a=1&b=x+y%2Bz"),
        ),
        (
            "  socketio: {query: {room: '{{ room }}', n: 7}}\n",
            format!("{plain}&room=a+b&n=7"),
        ),
    ] {
        assert_eq!(
            request(&format!("{variable}{config}")).0,
            target,
            "{config}"
        );
    }
    let config =
        "  ws: {headers: {x-not: theirs}}\n  socketio: {extraHeaders: {x-token: '{{ room }}'}}\n";
    let (_, headers) = request(&format!("{variable}{config}"));
    assert_eq!(headers, [("x-token".to_owned(), "a b".to_owned())]);
}

#[test]
fn what_is_wrong_is_said_before_the_first_connection() {
    for (flow, words) in [
        (
            "get: {url: /}",
            "s.yml:7:9: scenarios[0].flow[0]: `get` is a step of engine: http, and fourtuple drives WebSockets alone",
        ),
        (
            "loop: [{post: {url: /}}]",
            "scenarios[0].flow[0].loop[0]: `post` is a step of engine: http",
        ),
        ("send: x", "a step of engine: ws"),
        ("response: {on: a}", "stands beside the `emit`"),
        ("connect: ws://h/", "expected one of emit"),
        ("emit: {data: x}", "`channel` is missing"),
        ("emit: []", "a list that begins with the event"),
        ("emit: echo", "a list that begins with the event"),
        (
            "emit: [{a: 1}]",
            "expected the name of an event, found a map",
        ),
        ("emit: {channel: a, dta: x}", "did you mean `data`?"),
        ("{emit: [a], respnse: {on: b}}", "did you mean `response`?"),
        ("{emit: [a], response: {data: x}}", "`on` is missing"),
        (
            "{emit: [a], response: {on: b, capture: {json: $.0}}}",
            "`as` is missing",
        ),
        (
            "{emit: [a], acknowledge: soon}",
            "expected a map, found a text",
        ),
        (
            "{emit: [a], namespace: chat}",
            "expected a namespace such as /chat",
        ),
        (
            "{emit: [a], namespace: '/chat?x=1'}",
            "config.socketio.query",
        ),
    ] {
        let text = parse("", &format!("      - {flow}\n")).expect_err(flow);
        assert!(
            text.contains(words) && !text.contains('\n'),
            "{flow}: {text}"
        );
    }
    for (config, words) in [
        (
            "{transports: [polling]}",
            "s.yml:4:14: config.socketio.transports: only WebSockets are spoken",
        ),
        ("{path: io}", "expected a path such as /socket.io"),
        ("{auth: secret}", "expected names and values, found a text"),
        ("{qurey: a}", "did you mean `query`?"),
        (
            "{extraHeaders: {Host: x}}",
            "a header of the upgrade itself",
        ),
        ("{agent: {}}", "an object of Node"),
        ("[]", "expected a map, found a list"),
    ] {
        let text =
            parse(&format!("  socketio: {config}\n"), "      - emit: [a]\n").expect_err(config);
        assert!(
            text.contains(words) && !text.contains('\n'),
            "{config}: {text}"
        );
    }
}

#[test]
fn sockets_besides_speak_something_else() {
    let scenario = |engine: &str| {
        format!(
            "config: {{target: 'http://h/', phases: [{{pause: 1}}]}}\n\
             scenarios:\n  - engine: socketio\n    sockets: {{feed: {{target: 'ws://h/'{engine}}}}}\n    \
             flow: [emit: [a], open: feed, {{send: b, on: feed}}, close: feed]\n"
        )
    };
    let flags = ScriptFlags::default();
    let parse = |text: &str| Script::parse("s.yml", text, Path::new("."), &flags, &|_| None);
    let script = parse(&scenario(", engine: ws")).expect("a script");
    assert_eq!(script.programs[0].dialect_of(1), Dialect::Plain);
    let problems = parse(&scenario(""))
        .expect_err("its scenario's engine")
        .to_string();
    assert!(
        problems.contains("write engine: ws or engine: phoenix here"),
        "{problems}"
    );
}

#[test]
fn options_are_of_no_interest_where_nobody_speaks_it() {
    let text = "config: {target: 'ws://h/', phases: [{pause: 1}], socketio: {transports: [polling]}}\n\
                scenarios: [{engine: ws, flow: [send: a]}]";
    let flags = ScriptFlags::default();
    Script::parse("s.yml", text, Path::new("."), &flags, &|_| None).expect("a script");
}

#[test]
fn a_scenario_has_options_of_its_own_and_what_is_wrong_with_those_of_all_is_said_once() {
    let text = "config: {target: 'http://h/', phases: [{pause: 1}], socketio: {path: io}}\n\
                scenarios:\n  - {engine: socketio, flow: [emit: [a]], socketio: {path: /own}}\n  \
                - {engine: socketio, flow: [emit: [a]]}\n  - {engine: socketio, flow: [emit: [a]]}\n";
    let flags = ScriptFlags::default();
    let script = Script::parse("s.yml", text, Path::new("."), &flags, &|_| None);
    let problems = script.expect_err("a path that is none").to_string();
    assert_eq!(problems.lines().count(), 1, "{problems}");
}
