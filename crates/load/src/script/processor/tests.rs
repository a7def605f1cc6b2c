//! Functions by themselves: how they are called, what they leave, and how they are stopped.

use std::{collections::BTreeMap, time::Duration};

use engine::Time;
use serde_json::{Value, json};

use super::{host::Returned, *};
use crate::script::problem::{Place, Problems};

fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    files.iter().map(own).collect()
}

/// Reads the first of `given` as a processor.
fn read(given: &[(&str, &str)]) -> Result<Processor, Problems> {
    let all = files(given);
    let mut problems = Problems::of("s.yml");
    let node = Node {
        at: Place { line: 3, column: 5 },
        value: tree_text(given[0].0),
    };
    let find = |name: &str| all.get(name).cloned().ok_or_else(|| format!("no {name}"));
    let environment = |name: &str| (name == "WHO").then(|| "ada".to_owned());
    let processor = Processor::read(&node, &find, &environment, &mut problems);
    problems.or(processor)
}

fn tree_text(text: &str) -> super::super::tree::Value {
    super::super::tree::Value::Text(text.to_owned())
}

fn refusal(given: &[(&str, &str)]) -> String {
    read(given).expect_err("it is wrong").to_string()
}

/// Calls functions of a file until they have ended.
struct Bench {
    interpreter: Interpreter,
    processor: Processor,
    now: Time,
}

impl Bench {
    fn of(given: &[(&str, &str)], names: &[&str]) -> Self {
        let mut processor = read(given).unwrap_or_else(|problems| panic!("{problems}"));
        for name in names {
            processor.function(name).expect("an exported function");
        }
        Self {
            interpreter: Interpreter::start(&processor).expect("an interpreter"),
            processor,
            now: Time::from_nanos(0),
        }
    }

    fn call(&mut self, name: &str, kind: Kind, given: &Value) -> Option<Result<Returned, Mishap>> {
        let function = self.processor.function(name).expect("exported");
        let given = given.to_string();
        self.interpreter.call(7, function, kind, &given, self.now);
        self.ended()
    }

    fn ended(&self) -> Option<Result<Returned, Mishap>> {
        let mut ended = self.interpreter.take_ended();
        assert!(ended.len() <= 1, "a call ends once: {ended:?}");
        let one = ended.pop()?;
        assert_eq!(one.call, 7);
        Some(one.outcome)
    }

    fn step(&mut self, name: &str) -> Result<Returned, Mishap> {
        let given = json!({"vars": {"n": 1}, "scenario": {"name": "s"}});
        self.call(name, Kind::Step, &given)
            .expect("it ends at once")
    }
}

#[test]
fn functions_read_and_write_variables_and_count() {
    let source = "const { twice } = require('./lib/twice');\nconst data = require('./data.json');\n\
                  function sync(context, events, done) {\n  context.vars.n = twice(context.vars.n);\n  \
                  context.vars.who = process.env.WHO + data.mark + context.scenario.name;\n  \
                  events.emit('counter', 'made', 2);\n  events.emit('histogram', 'took', 1.5);\n  \
                  events.emit('rate', 'speed');\n  console.log('n is', context.vars.n, { a: [1] });\n  return done();\n}\n\
                  module.exports = { sync };\nexports.lost = () => {};\n\
                  module.exports.later = async (context) => { context.vars.id = require('crypto').randomUUID(); };\n";
    let given = [
        ("f.js", source),
        ("lib/twice.js", "exports.twice = (n) => 2 * n;"),
        ("data.json", "{\"mark\": \"!\"}"),
    ];
    let mut bench = Bench::of(&given, &["sync", "later"]);
    let returned = bench.step("sync").expect("no mishap");
    assert_eq!(
        Value::Object(returned.vars),
        json!({"n": 2, "who": "ada!s"})
    );
    let (lines, emitted) = bench.interpreter.take_said();
    assert_eq!(lines, ["n is 2 {\"a\":[1]}"]);
    let expected = [
        Emitted::Counter("made".to_owned(), 2),
        Emitted::Histogram("took".to_owned(), 1.5),
        Emitted::Rate("speed".to_owned()),
    ];
    assert_eq!(emitted, expected);
    let returned = bench.step("later").expect("no mishap");
    let id = returned.vars["id"].as_str().unwrap_or_default().to_owned();
    assert!(id.len() == 36 && id.as_bytes()[14] == b'4', "{id}");
    assert!(bench.processor.function("lost").is_err());
}

#[test]
fn modules_export_functions_and_wait_for_timers() {
    let source = "import { setTimeout as sleep } from 'timers/promises';\nimport { randomInt } from 'node:crypto';\n\
                  import { ten } from './ten.mjs';\n\
                  export async function slow(context) { await sleep(250); context.vars.n = ten + randomInt(1); }\n\
                  export function more(context, next) { setTimeout(() => next(context.vars.n < 3), 10); }\n";
    let mut bench = Bench::of(
        &[("f.mjs", source), ("ten.mjs", "export const ten = 10;")],
        &["slow", "more"],
    );
    let given = json!({"vars": {"n": 1}, "scenario": {}});
    assert!(
        bench.call("slow", Kind::Step, &given).is_none(),
        "it sleeps"
    );
    let due = bench.interpreter.next_time().expect("a timer");
    assert_eq!(due, bench.now.after(Duration::from_millis(250)));
    bench.interpreter.wake(bench.now);
    assert!(bench.ended().is_none(), "nothing is due");
    bench.now = due;
    bench.interpreter.wake(due);
    let returned = bench.ended().expect("it ends").expect("no mishap");
    assert_eq!(returned.vars["n"], 10);
    assert!(bench.call("more", Kind::While, &given).is_none());
    bench.now = bench.now.after(Duration::from_millis(10));
    bench.interpreter.wake(bench.now);
    assert!(bench.ended().expect("it ends").expect("no mishap").goes_on);
}

#[test]
fn a_connection_is_asked_for_as_the_function_says() {
    let source = "exports.to = (args, context, cb) => { args.target += '?u=' + context.vars.n;\n\
                  args.options.headers.x = 'y'; args.subprotocols.push('p'); cb(); };";
    let mut bench = Bench::of(&[("f.js", source)], &["to"]);
    let wanted = json!({"target": "ws://a/b", "subprotocols": [], "options": {"headers": {}}});
    let given = json!({"vars": {"n": 1}, "scenario": {}, "wanted": wanted});
    let returned = bench
        .call("to", Kind::Connect, &given)
        .expect("it ends")
        .expect("no mishap");
    let expected = json!({"target": "ws://a/b?u=1", "subprotocols": ["p"], "options": {"headers": {"x": "y"}}});
    assert_eq!(returned.wanted, Some(expected));
}

#[test]
fn mishaps_name_their_function_and_line_and_the_next_call_is_well() {
    let source = "exports.thrown = (context) => {\n  throw new Error('boom');\n};\n\
                  exports.told = (context, events, done) => done(new Error('no'));\n\
                  exports.rejected = async () => { null.x; };\n\
                  exports.stalled = function stalled() {\n  for (;;) {}\n};\n\
                  exports.forever = async () => { for (;;) await null; };\n\
                  exports.greedy = () => { const all = []; for (;;) all.push(new Array(10000).fill(1)); };\n\
                  exports.deep = () => exports.deep() + 1;\n\
                  exports.cycle = (context) => { context.vars.c = context; };\n\
                  exports.well = () => {};\n";
    let names = [
        "thrown", "told", "rejected", "stalled", "forever", "greedy", "deep", "cycle", "well",
    ];
    let mut bench = Bench::of(&[("f.js", source)], &names);
    for (name, message, place) in [
        ("thrown", "boom", "f.js:2"),
        ("told", "no", "f.js:4"),
        ("rejected", "null", "f.js:5"),
        (
            "stalled",
            "a function ran for more than 1000 ms",
            "stalled, f.js:",
        ),
        ("forever", "a function ran for more than 1000 ms", ""),
        ("greedy", "out of memory", ""),
        ("deep", "call stack", "f.js:11"),
        ("cycle", "circular", ""),
    ] {
        let mishap = bench.step(name).expect_err(name);
        assert!(mishap.message.contains(message), "{name}: {mishap:?}");
        assert!(mishap.place.contains(place), "{name}: {mishap:?}");
        bench
            .step("well")
            .unwrap_or_else(|mishap| panic!("after {name}: {mishap:?}"));
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_runs() {
    for (given, words) in [
        (
            vec![("f.ts", "")],
            "s.yml:3:5: config.processor: TypeScript is not run",
        ),
        (vec![("f.py", "")], "ends in .js, .cjs or .mjs"),
        (
            vec![
                ("f.js", "\nconst fs = require('fs');\nrequire('./b');"),
                ("b.js", "function f() {\n\n  require('lodash') }"),
            ],
            "b.js, line 3: there is no module `lodash`: functions find crypto, timers/promises",
        ),
        (
            vec![("f.js", "\nconst fs = require('fs');")],
            "f.js, line 2: there is no module `fs`",
        ),
        (
            vec![("f.js", "require('./gone')")],
            "there is no file `./gone`",
        ),
        (vec![("f.js", "let a = 1;\nlet b = ;")], "f.js:2"),
        (
            vec![("f.js", "export function f() {}")],
            "a file with `export` ends in .mjs",
        ),
        (vec![("f.js", "\n\nundefined.x")], "f.js:3"),
        (vec![("f.mjs", "import { x } from 'crypto';")], "x"),
        (
            vec![("f.js", "for (;;) {}")],
            "a function ran for more than",
        ),
    ] {
        let refusal = refusal(&given);
        assert!(refusal.contains(words), "{words}: {refusal}");
    }
    let mut processor = read(&[("f.js", "exports.createUser = () => {};")]).expect("it is well");
    let wrong = processor.function("createUsr").expect_err("no such name");
    assert!(wrong.contains("did you mean `createUser`?"), "{wrong}");
}

#[test]
fn who_is_gone_leaves_no_timers_behind() {
    let source = "exports.beats = async () => {\n\
                  for (;;) { await new Promise((on) => setTimeout(on, 100)); console.log('beat'); }\n};\n\
                  exports.later = (context, events, done) => {\n\
                  setTimeout(() => console.log('after'), 50); clearTimeout(setTimeout(() => {}, 10)); done();\n};";
    let mut bench = Bench::of(&[("f.js", source)], &["beats", "later"]);
    let given = json!({"vars": {}, "scenario": {}});
    assert!(bench.call("beats", Kind::Step, &given).is_none());
    bench.now = bench.now.after(Duration::from_millis(100));
    bench.interpreter.wake(bench.now);
    assert_eq!(bench.interpreter.take_said().0, ["beat"]);
    assert!(bench.interpreter.next_time().is_some(), "it goes on");
    assert!(bench.interpreter.forget(7));
    assert_eq!(bench.interpreter.next_time(), None);
    // What a call leaves behind that has ended well still happens.
    bench.step("later").expect("no mishap");
    assert!(!bench.interpreter.forget(7), "it had ended");
    bench.now = bench.now.after(Duration::from_millis(50));
    assert_eq!(bench.interpreter.next_time(), Some(bench.now));
    bench.interpreter.wake(bench.now);
    assert_eq!(bench.interpreter.take_said().0, ["after"]);
    assert_eq!(bench.interpreter.next_time(), None);
}
