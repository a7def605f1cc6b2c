//! docs/api.md, word for word: each command in it is run, and its answer has the shape that the guide shows.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    call::Api,
    support::{binary::output_of, relay::Relay, wire::Wire},
};

#[test]
fn every_command_of_the_guide_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/api.md")).expect("the guide is there");
    let relay = Relay::start_with_admin(&["--socket-id-param", "user"]);
    let mut members: Vec<_> = ["ann", "ben", "cat"]
        .map(|user| {
            let target = format!("/socket/websocket?vsn=2.0.0&user={user}");
            Wire::open_at(relay.addr(), &target)
        })
        .into();
    members
        .iter_mut()
        .for_each(|member| member.join("1", "room:lobby"));
    let found = Api::of(&relay).see("/api/v1/connections?socket_id=cat");
    let id = found["connections"][0]["id"].as_str().expect("an id");
    // What the guide shows was there when it was written: a topic in the lists, and somebody.
    Api::of(&relay).see_until("/api/v1/topics", |page| page["topics"][0].is_object());
    Api::of(&relay).see_until("/api/v1/addresses", |page| page["addresses"][0].is_object());

    let examples = examples(&guide);
    assert!(examples.len() >= 12, "{} examples", examples.len());
    for (command, shown) in examples {
        let command = command
            .replace("127.0.0.1:4001", &relay.admin().to_string())
            .replace("0-17-3", id);
        let mut shell = Command::new("sh");
        let output = output_of(shell.args(["-c", &command]));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}: {output:?}");
        let said: Value =
            serde_json::from_str(&said).unwrap_or_else(|_| panic!("{command}: {said}"));
        assert_shape(&command, &serde_json::from_str(shown).expect(shown), &said);
    }
    // The first thing that the guide publishes.
    members[0].expect(json!([null, null, "room:lobby", "new_msg", {"body": "hello"}]));
}

/// Each `sh` block, with the `json` block that follows it.
fn examples(guide: &str) -> Vec<(&str, &str)> {
    let parts = guide.split("```sh\n").skip(1);
    let example = |part| {
        let (command, rest): (&str, &str) = str::split_once(part, "```\n")?;
        let (_, shown) = rest.split_once("```json\n")?;
        let (shown, _) = shown.split_once("```")?;
        Some((command, shown))
    };
    parts
        .map(|part| example(part).expect("a command and its answer"))
        .collect()
}

/// Both are of one kind and, where they are objects, have the same members; null may stand for anything.
#[track_caller]
fn assert_shape(place: &str, shown: &Value, said: &Value) {
    match (shown, said) {
        (Value::Object(shown), Value::Object(said)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(names(shown), names(said), "{place}");
            for (name, shown) in shown {
                assert_shape(&format!("{place}: {name}"), shown, &said[name]);
            }
        }
        (Value::Array(shown), Value::Array(said)) => {
            for (shown, said) in shown.iter().zip(said) {
                assert_shape(place, shown, said);
            }
            assert_eq!(shown.is_empty(), said.is_empty(), "{place}");
        }
        (Value::Null, _) | (_, Value::Null) => {}
        _ => {
            let kind = std::mem::discriminant::<Value>;
            assert_eq!(kind(shown), kind(said), "{place}: {shown} and {said}");
        }
    }
}
