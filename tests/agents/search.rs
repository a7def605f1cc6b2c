//! `--search` with `--agents`: each step is a run on all machines.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    Scene,
    hands::{Hand, Lead, Ran, file},
    number,
    support::{
        binary::{assert_status, fourtuple, fourtuple_with_descriptors, output_of},
        relay::Relay,
    },
    village::Village,
};

/// Steps of a fifth of a second, without rest.
const QUICK: &str = "--step-hold 200ms --step-settle 0s --rate 5000";

/// Starts a search of a URL on agents, whose record goes to a file.
fn start(command: Command, server: &Relay, agents: &[Hand], name: &str, flags: &str) -> Lead {
    let record = file(&format!("{name}-record.json"));
    let flags = format!("{flags} {QUICK} --output {}", record.display());
    Lead::start(command, &server.url(), agents, name, &flags)
}

/// What a search has found.
#[track_caller]
fn found(name: &str) -> Value {
    let text = fs::read_to_string(file(&format!("{name}-record.json"))).expect("a record");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    record["fourtuple"]["search"].clone()
}

#[track_caller]
fn said(ran: &Ran, words: &str) {
    let all = format!("{}{}", ran.out(), ran.err());
    assert!(all.contains(words), "{words}: {all}");
}

#[test]
fn three_machines_find_what_a_server_holds() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    // As the others, with room for 300.
    let listen = format!("{}:0", Village::address(0));
    scene.server = Relay::start_on(
        scene.village.fourtuple(0),
        &listen,
        &["--max-connections", "300"],
    );
    let command = scene.village.fourtuple(0);
    let flags = "--search connections --until p99<10s --from 60 --to 5000";
    let ran = start(command, &scene.server, &scene.agents, "search", flags).end();
    ran.assert_status(0);
    let found = found("search");
    let answer = number(&found, "/answer");
    assert!((285..=304).contains(&answer), "{found:#}");
    assert_eq!(found["culprit"], "server", "{found:#}");
    said(&ran, "broke first: the server");
    said(&ran, "machines");
    said(&ran, &scene.agents[2].address);
}

#[test]
fn an_agent_that_can_open_no_more_is_named() {
    let server = Relay::start(&[]);
    let agents = [
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
        Hand::start(fourtuple_with_descriptors(200), "127.0.0.1:0", &[]),
    ];
    // Each has the same cores, and the second soon no descriptors: then the first takes the rest.
    let flags = "--search connections --until p99<10s --from 60 --to 480 --shards 1";
    let ran = start(fourtuple(), &server, &agents, "search-few", flags).end();
    ran.assert_status(0);
    assert_eq!(number(&found("search-few"), "/answer"), 480);

    let few = [
        Hand::start(fourtuple_with_descriptors(200), "127.0.0.1:0", &[]),
        Hand::start(fourtuple_with_descriptors(200), "127.0.0.1:0", &[]),
    ];
    let ran = start(fourtuple(), &server, &few, "search-less", flags).end();
    ran.assert_status(3);
    let found = found("search-less");
    assert_eq!(found["culprit"], "machine", "{found:#}");
    assert!(number(&found, "/answer") < 480, "{found:#}");
    said(&ran, "connections are asked for, and the agents can carry");
}

#[test]
fn a_search_ends_with_what_is_known_when_an_agent_is_lost() {
    let server = Relay::start(&[]);
    let mut agents = [
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
    ];
    let flags = "--search connections --until p99<10s --from 60 --to 5000 --step-hold 2s";
    let flags = format!("{flags} --step-settle 0s --rate 5000");
    let run = Lead::start(fourtuple(), &server.url(), &agents, "search-lost", &flags);
    // The second step has begun when there are two such lines.
    run.until_times("holding", 2);
    agents[1].kill();
    let ran = run.end();
    ran.assert_status(1);
    said(
        &ran,
        &format!("ended early: agent {} was lost", agents[1].address),
    );
    said(&ran, "no answer; 60 held so far");
    // The other serves the next.
    let flags = "--connections 4 --rate 1000 --hold 0s";
    let ran = Lead::start(
        fourtuple(),
        &server.url(),
        &agents[..1],
        "search-next",
        flags,
    )
    .end();
    ran.assert_status(0);
}

#[test]
fn the_arrivals_of_a_script_are_searched_on_all_machines() {
    let server = Relay::start_with_admin(&[]);
    let agents = [
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
    ];
    let script = file("search.yml");
    let text = format!(
        "config:\n  target: {}\n  phases:\n    - {{duration: 1, arrivalCount: 20}}\n\
         scenarios:\n  - engine: phoenix\n    flow:\n      \
         - join: {{topic: 'room:lobby'}}\n      \
         - push: {{event: new_msg, payload: {{body: hello}}, reply: true}}\n",
        server.url()
    );
    fs::write(&script, text).expect("a file");
    let path = script.to_str().expect("a path of this workspace");
    let flags = "--search rate --until p99<10s --from 100 --to 200 --step-settle 0s";
    let ran = Lead::start(fourtuple(), path, &agents, "search-script", flags).end();
    let record = ran.report(0);
    let found = &record["fourtuple"]["search"];
    assert_eq!(number(found, "/answer"), 200, "{found:#}");
    let machines = record["fourtuple"]["machines"].as_array().expect("a list");
    let users: Vec<_> = machines.iter().map(|one| number(one, "/asked")).collect();
    assert_eq!(users, [20, 20], "twice as many as the script says");
    // 100 %, twice 200 %.
    let admin = server.admin();
    let accepted = crate::sum(
        &crate::scrape(admin),
        "fourtuple_accepted_connections_total",
    );
    assert_eq!(accepted, Some(20.0 + 40.0 + 40.0));

    // What it leaves behind can be compared.
    let mut compare = fourtuple();
    compare
        .args(["load", "compare"])
        .args([&ran.report, &ran.report]);
    let compared = output_of(&mut compare);
    assert_status(&compared, 0);
}
