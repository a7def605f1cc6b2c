//! What is read of whole scripts, and what is said about those that cannot run.

use std::path::Path;

use super::*;

/// A script of echoes: variables, templates, a loop.
const HELLO: &str = r#"{ "config": { "target": "ws://127.0.0.1:9090",
    "phases": [{ "duration": 10, "arrivalRate": 1 }],
    "variables": { "zip": ["1", "2", "3"] } },
  "scenarios": [{ "engine": "ws", "flow": [
    { "send": "hello" }, { "think": 1 }, { "send": { "zip": "{{ zip }}" } },
    { "loop": [{ "send": "{{ zip }}" }], "count": 10 } ] }] }"#;

const CHANNELS: &str = "
config:
  target: ws://127.0.0.1:4000/socket
  phases: [{duration: 1, arrivalCount: 5}]
  phoenix: {params: {token: '{{ $randomString(8) }}'}, heartbeat: 20s}
scenarios:
  - engine: phoenix
    name: chat
    weight: 3
    flow:
      - join: {topic: 'room:{{ $randomNumber(1, 9) }}', payload: {user: ada}}
      - push: {event: new_msg, payload: {body: hi}, capture: {json: $.id, as: id}}
      - expect: {event: new_msg, match: {json: $.body, value: hi}}
      - think: 500ms
        jitter: 10%
      - leave: room:lobby
";

fn parse(text: &str, flags: &ScriptFlags) -> Result<Script, String> {
    let environment = |name: &str| (name == "RATE").then(|| "7".to_owned());
    Script::parse("s.yml", text, Path::new("."), flags, &environment)
        .map_err(|problems| problems.to_string())
}

fn read(text: &str) -> Script {
    parse(text, &ScriptFlags::default()).expect("a script that can run")
}

fn refusal(text: &str) -> String {
    parse(text, &ScriptFlags::default()).expect_err(text)
}

/// A script with this flow.
fn with_flow(flow: &str) -> String {
    format!(
        "config: {{target: 'ws://h/x', phases: [{{duration: 1, arrivalRate: 1}}]}}\n\
         scenarios:\n  - engine: ws\n    flow:\n{flow}"
    )
}

#[test]
fn yaml_and_json_scripts_become_programs() {
    let script = read(HELLO);
    assert_eq!(script.programs.len(), 1);
    let labels: Vec<_> = script.programs[0]
        .labels
        .iter()
        .map(|label| &**label)
        .collect();
    assert_eq!(
        labels,
        [
            "scenarios[0].flow[0].send",
            "scenarios[0].flow[1].think",
            "scenarios[0].flow[2].send",
            "scenarios[0].flow[3].loop",
            "scenarios[0].flow[3].loop[0].send",
            "scenarios[0].flow[3].loop",
        ]
    );
    assert_eq!(
        script.programs[0].connect.server.to_string(),
        "ws://127.0.0.1:9090/"
    );
    let script = read(CHANNELS);
    assert_eq!(
        (&*script.programs[0].name, script.programs[0].weight),
        ("chat", 3.0)
    );
    assert_eq!(script.captures, ["id"]);
    assert_eq!(script.programs[0].steps.len(), 5);
}

#[test]
fn everything_wrong_is_said_at_once_with_its_place_and_key() {
    let text = refusal(
        "config:\n  target: ftp://h/x\n  phases:\n    - duration: 1\n      arivalRate: 1\n  \
         pluggins: {}\nscenarios:\n  - engine: ws\n    flow:\n      - sned: x\n      - emit: y\n      \
         - think: soon\n      - function: f\n      - send: a\n        think: 1\n      - send: '{{ a'\n",
    );
    let lines: Vec<_> = text.lines().collect();
    let expected = [
        ("s.yml:2:11: config.target: ", "is not a WebSocket URL"),
        (
            "s.yml:5:7: config.phases[0].arivalRate: ",
            "did you mean `arrivalRate`?",
        ),
        ("s.yml:6:3: config.pluggins: ", "did you mean `plugins`?"),
        ("s.yml:10:9: scenarios[0].flow[0]: ", "did you mean `send`?"),
        (
            "s.yml:11:9: scenarios[0].flow[1]: ",
            "a step of engine: socketio",
        ),
        (
            "s.yml:12:16: scenarios[0].flow[2].think: ",
            "expected seconds",
        ),
        (
            "s.yml:13:19: scenarios[0].flow[3].function: ",
            "config.processor names no file",
        ),
        ("s.yml:14:9: scenarios[0].flow[4]: ", "are two steps"),
        ("s.yml:16:15: scenarios[0].flow[5].send: ", "without `}}`"),
    ];
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, (place, words)) in lines.iter().zip(expected) {
        assert!(line.starts_with(place) && line.contains(words), "{line}");
    }
}

#[test]
fn what_is_not_supported_is_an_error_and_not_a_surprise() {
    for (flow, words) in [
        (
            "      - connect: {function: f}\n",
            "config.processor names no file",
        ),
        (
            "      - send: a\n      - connect: ws://h/y\n",
            "only the first step may connect",
        ),
        ("      - connect: {proxy: {url: 'https://p'}}\n", "proxy"),
        (
            "      - connect: {perMessageDeflate: true}\n",
            "compression",
        ),
        (
            "      - connect: ws://{{ host }}/x\n",
            "the same for every user",
        ),
        (
            "      - connect: {headers: {Host: x}}\n",
            "header of the upgrade itself",
        ),
        (
            "      - loop: [{send: a}]\n        whileTrue: more\n",
            "config.processor names no file",
        ),
        (
            "      - loop: [{send: a}]\n        count: many\n",
            "a range such as 1-15",
        ),
        (
            "      - loop: [{send: a}]\n        over: nobody\n",
            "is no list",
        ),
        ("      - wait: {}\n", "capture or match"),
        ("      - {}\n", "an empty step"),
        ("      - parallel: []\n", "not supported"),
        ("      - join: room:a\n", "a step of engine: phoenix"),
        (
            "      - send: {payload: a, capture: {json: $.a, as: b}, timeout: 3}\n",
            "unknown key",
        ),
    ] {
        let text = refusal(&with_flow(flow));
        assert!(text.contains(words), "{flow}: {text}");
    }
    for (script, words) in [
        ("scenarios: []", "`config` is missing"),
        (
            "config: {target: 'ws://h/', phases: [{pause: 1}]}\nscenarios: []",
            "1 to 1000 scenarios",
        ),
        (
            "config: {target: 'ws://h/', phases: [{pause: 1}]}\nscenarios: [{flow: []}]",
            "found http",
        ),
        (
            "config: {phases: [{pause: 1}]}\nscenarios: [{engine: ws, flow: [send: a]}]",
            "or with --target",
        ),
        (
            "config: {target: 'ws://h/', phases: [{pause: 1}], plugins: {publish-metrics: []}}\n\
             scenarios: [{engine: ws, flow: [send: a]}]",
            "this plugin is not supported",
        ),
        (
            "before: {flow: []}\nconfig: {target: 'ws://h/', phases: [{pause: 1}]}\n\
             scenarios: [{engine: ws, flow: [send: a]}]",
            "before.engine: expected engine: ws, socketio or phoenix, found http",
        ),
        (
            "config: {target: 'ws://h/', phases: [{pause: 1}], payload: {path: no.csv, fields: [a]}}\n\
             scenarios: [{engine: ws, flow: [send: a]}]",
            "cannot read ./no.csv",
        ),
        (
            "config: {target: 'ws://h/', phases: [{pause: 1}]}\n\
             scenarios: [{engine: phoenix, flow: [push: {event: a}]}]",
            "`topic` is missing",
        ),
    ] {
        let text = refusal(script);
        assert!(text.contains(words), "{script}: {text}");
    }
}

#[test]
fn the_command_line_is_laid_on_top() {
    let text = "
config:
  target: ws://h/x
  phases: [{duration: 1, arrivalRate: '{{ $env.RATE }}'}]
  variables: {room: a}
  environments:
    staging:
      target: ws://staging/x
      phases: [{duration: 2, arrivalCount: 4}]
scenarios:
  - {name: one, engine: ws, flow: [send: '{{ room }} {{ $environment }}']}
  - {name: two, engine: ws, flow: [send: '{{ nothing }}']}
";
    let plain = read(text);
    assert_eq!(plain.phases[0].users_about(), 7);
    assert_eq!(plain.warnings().len(), 1, "{:?}", plain.warnings());
    assert!(plain.warnings()[0].contains("`nothing`"));
    let flags = ScriptFlags {
        environment: Some("staging".to_owned()),
        variables: Some(r#"{"room": "b"}"#.to_owned()),
        overrides: Some(r#"{"config": {"timeout": 3}}"#.to_owned()),
        scenario: Some("one".to_owned()),
        ..ScriptFlags::default()
    };
    let script = parse(text, &flags).expect("a script");
    assert_eq!(script.programs.len(), 1);
    assert_eq!(
        script.programs[0].connect.server.to_string(),
        "ws://staging/x"
    );
    assert_eq!(script.phases[0].users_about(), 4);
    assert_eq!(script.timeout, std::time::Duration::from_secs(3));
    let program::Step::Send { body, .. } = &script.programs[0].steps[0] else {
        panic!("a send");
    };
    assert_eq!(*body, template::Body::Constant("b staging".into()));
    for (flags, words) in [
        (
            ScriptFlags {
                environment: Some("prod".to_owned()),
                ..ScriptFlags::default()
            },
            "config.environments has no `prod`",
        ),
        (
            ScriptFlags {
                variables: Some("{".to_owned()),
                ..ScriptFlags::default()
            },
            "--variables",
        ),
        (
            ScriptFlags {
                scenario: Some("three".to_owned()),
                ..ScriptFlags::default()
            },
            "no scenario is called `three`",
        ),
    ] {
        let text = parse(text, &flags).expect_err(words);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn what_a_function_lacks_that_no_step_comes_to_is_a_warning() {
    let folder = std::env::temp_dir().join(format!("fourtuple-lacks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let source = "module.exports = { fill, read };\nfunction fill(context, events, done) { return done(); }\n\
                  function read() {\n  return require('fs').readFileSync('/x');\n}\n";
    std::fs::write(folder.join("f.js"), source).expect("a file");
    let parsed = |step: &str| {
        let text = format!(
            "config: {{target: 'ws://h/', processor: ./f.js, phases: [{{duration: 1, arrivalRate: 1}}]}}\n\
             scenarios: [{{engine: ws, flow: [{{function: {step}}}]}}]\n"
        );
        let flags = ScriptFlags::default();
        let script = Script::parse("s.yml", &text, &folder, &flags, &|_| None);
        script.map_err(|problems| problems.to_string())
    };
    let script = parsed("fill").expect("a script that can run");
    let [warning] = script.warnings() else {
        panic!("{:?}", script.warnings());
    };
    assert!(
        warning.starts_with("f.js, line 4: there is no module `fs`"),
        "{warning}"
    );
    assert!(warning.ends_with("no step comes there"), "{warning}");
    let refusal = parsed("read").expect_err("a step comes there");
    assert!(
        refusal.contains("config.processor: f.js, line 4: there is no module `fs`"),
        "{refusal}"
    );
    // Nor is it known that nobody comes there when another function calls it.
    let called = format!("{source}function all() {{ return read(); }}\n");
    std::fs::write(folder.join("f.js"), called).expect("a file");
    assert!(parsed("fill").is_err());
    std::fs::remove_dir_all(&folder).expect("our folder");
}
