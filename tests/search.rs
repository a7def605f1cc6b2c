//! `fourtuple load --search` against `fourtuple serve`: the most that it holds, and what broke first.

mod support;

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use support::{
    binary::{fourtuple, on_epoll, output_of},
    relay::Relay,
};

fn search(url: &str, arguments: &[&str]) -> Output {
    let mut command = fourtuple();
    command.args(["load", url]).args(arguments);
    if on_epoll() {
        command.args(["--kernel", "epoll"]);
    }
    output_of(&mut command)
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[test]
fn a_server_with_room_for_300_is_found_to_have_room_for_300() {
    let server = Relay::start(&["--max-connections", "300"]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (json, html) = (folder.join("search.json"), folder.join("search.html"));
    let path = |path: &Path| path.to_str().expect("a path of this workspace").to_owned();
    let output = search(
        &server.url(),
        &[
            "--search",
            "connections",
            "--until",
            "p99<10s",
            "--from",
            "60",
            "--to",
            "5000",
            "--step-hold",
            "200ms",
            "--step-settle",
            "500ms",
            "--rate",
            "5000",
            "--shards",
            "1",
            "--output",
            &path(&json),
            "--html",
            &path(&html),
        ],
    );
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let record: Value =
        serde_json::from_str(&fs::read_to_string(&json).expect("a report")).expect("JSON");
    let found = &record["fourtuple"]["search"];
    let answer = found["answer"].as_u64().expect("an answer");
    assert!((285..=304).contains(&answer), "{told}");
    assert_eq!(found["culprit"], "server", "{told}");
    assert_eq!(found["unit"], "connections");
    let steps = found["steps"].as_array().expect("steps");
    assert!(
        steps
            .iter()
            .all(|step| (60..=5_000).contains(&step["value"].as_u64().expect("a load")))
    );
    assert_eq!(
        steps.last().map(|step| &step["met"]),
        Some(&Value::Bool(true))
    );
    assert!(
        told.contains(&format!("answer: {answer} connections")),
        "{told}"
    );
    assert!(told.contains("broke first: the server"), "{told}");
    assert!(
        told.contains("did not get up"),
        "what the server said: {told}"
    );
    assert!(told.contains("step 1, rising: 60 connections"), "{told}");
    let page = fs::read_to_string(&html).expect("a page");
    assert!(
        page.contains(&format!("<b>{answer}</b>;")),
        "the page says it, too"
    );
}

#[test]
fn not_even_the_least_rate_holds_where_nothing_is_that_fast() {
    let server = Relay::start(&[]);
    let output = search(
        &server.url(),
        &[
            "--search",
            "rate",
            "--until",
            "reply.p99<=1us",
            "--from",
            "50",
            "--to",
            "100",
            "--step-hold",
            "500ms",
            "--step-settle",
            "0s",
            "--connections",
            "10",
            "--rate",
            "1000",
            "--join",
            "room:lobby",
            "--push",
            "1/s",
            "--shards",
            "1",
        ],
    );
    let told = text(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("no answer: 50 did not hold"), "{told}");
    assert!(
        told.contains("until reply.p99<=1us and errors<1%"),
        "{told}"
    );
}

#[test]
fn the_arrivals_of_a_script_grow_in_per_cent() {
    let server = Relay::start(&[]);
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join("search.yml");
    let lines = format!(
        "config:\n  target: {}\n  phases: [{{duration: 1, arrivalRate: 20}}]\nscenarios:\n  \
         - engine: phoenix\n    flow:\n      - join: {{topic: \"room:lobby\"}}\n",
        server.url()
    );
    fs::write(&script, lines).expect("a script");
    let output = search(
        script.to_str().expect("a path of this workspace"),
        &[
            "--search",
            "rate",
            "--until",
            "p99<10s",
            "--from",
            "100",
            "--to",
            "200",
            "--step-settle",
            "0s",
            "--shards",
            "1",
        ],
    );
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains("answer: 200 per cent of the script's arrivals, the most"),
        "{told}"
    );
    let mut created = told
        .lines()
        .filter(|line| line.starts_with("vusers.created:"));
    let of_last = created.next_back().expect("a report");
    assert!(of_last.ends_with(" 40"), "twice 20 users: {of_last}");
}

#[test]
fn what_cannot_be_searched_is_refused_before_the_first_connection() {
    for (arguments, words) in [
        (vec!["--search", "connections"], "--until"),
        (vec!["--until", "p99<1s"], "--search"),
        (
            vec!["--search", "connections", "--until", "p99<1"],
            "expected a time such as 200ms",
        ),
        (
            vec![
                "--search",
                "connections",
                "--until",
                "p99<1s",
                "--connections",
                "5",
            ],
            "--from and --to instead of --connections",
        ),
        (
            vec!["--search", "rate", "--until", "p99<1s", "--hold", "5s"],
            "expected --step-hold",
        ),
        (
            vec!["--search", "connections", "--until", "delivery.p99<1s"],
            "--publish has deliveries",
        ),
    ] {
        let output = search("ws://127.0.0.1:1/socket", &arguments);
        let told = text(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
}

/// The commands of docs/load.md in the chapter of searches, but for their size.
#[test]
fn the_examples_of_the_guide_find_an_answer() {
    let server = Relay::start(&[]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("searches");
    fs::create_dir_all(&folder).expect("a folder");
    let script = format!(
        "config:\n  target: {}\n  phases: [{{duration: 1, arrivalRate: 10}}]\nscenarios:\n  \
         - engine: phoenix\n    flow:\n      - join: {{topic: \"room:lobby\"}}\n      \
         - push: {{event: new_msg, payload: {{body: hello}}, reply: true}}\n",
        server.url()
    );
    fs::write(folder.join("scenario.yml"), script).expect("a script");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/load.md");
    let page = fs::read_to_string(page).expect("docs/load.md");
    let chapter = page.split_once("\n## Searching the most that holds\n");
    let block = chapter
        .expect("a chapter")
        .1
        .split("```")
        .nth(1)
        .expect("its commands");
    let commands = block
        .replace("\\\n", " ")
        .replace("--from 1000 --to 50000", "--from 20 --to 40");
    let mut count = 0;
    for line in commands
        .lines()
        .filter(|line| line.starts_with("fourtuple load "))
    {
        let line = line
            .replace("ws://127.0.0.1:4000/socket", &server.url())
            .replace("--connections 1000", "--connections 20 --to 40 --from 20")
            .replace("--topics 1000", "--topics 20")
            .replace("--from 50 ", "--from 50 --to 100 ");
        // How fast a build without optimizations is on a busy machine is no part of the example.
        let line = ["200ms", "50ms", "1s"]
            .iter()
            .fold(line, |line, time| line.replace(&format!("<{time}"), "<20s"));
        let hold = if line.contains("scenario.yml") {
            ""
        } else {
            " --step-hold 300ms"
        };
        let mut shell = std::process::Command::new("sh");
        let binary = env!("CARGO_BIN_EXE_fourtuple");
        let rest = line.strip_prefix("fourtuple").expect("the program");
        shell.args([
            "-c",
            &format!("{binary}{rest}{hold} --step-settle 0s --shards 1"),
        ]);
        let output = output_of(shell.current_dir(&folder));
        let told = text(&output);
        assert_eq!(output.status.code(), Some(0), "{line}: {told}");
        assert!(told.contains("answer: "), "{line}: {told}");
        count += 1;
    }
    assert_eq!(count, 3);
    assert!(folder.join("search.html").metadata().expect("a page").len() > 500);
}
