//! The crowd that `deploy/` has in pods, held against the real binary: names, flags, and that its job waits.

use std::path::Path;

use crate::{
    manifests::{kept, text, texts, written},
    support::binary::{fourtuple, output_of},
    yaml::documents,
};

const CROWD: &str = "deploy/kubernetes/crowd.yaml";

/// Runs a container's `load` of a crowd, with a secret of this test; in vain, since what it says it needs is not there.
#[track_caller]
fn refused(arguments: &[&str], secret: &Path) -> String {
    let path = secret.to_str().expect("UTF-8");
    let arguments = arguments
        .iter()
        .map(|argument| argument.replace("/etc/crowd/secret", path));
    let output = output_of(fourtuple().args(arguments));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn a_crowd_in_pods_is_agents_and_who_leads_them() {
    let all = documents(&written(CROWD));
    let of = |kind: &str| {
        let found = all.iter().find(|object| object["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}"))
    };
    let (service, set, job) = (of("Service"), of("StatefulSet"), of("Job"));
    assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(&set["spec"]["selector"]["matchLabels"], labels);
    let agent = &set["spec"]["template"]["spec"]["containers"][0];
    let lead = &job["spec"]["template"]["spec"]["containers"][0];
    let arguments = texts(&lead["args"]);
    let value = |name: &str| {
        let found = arguments.iter().find_map(|one| one.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {arguments:?}"))
    };
    // Each agent by the name that it has in the service.
    let (name, port) = (
        text(&set["metadata"]["name"]),
        &agent["ports"][0]["containerPort"],
    );
    let replicas = set["spec"]["replicas"].as_u64().expect("a number");
    let agents = (0..replicas).map(|number| format!("{name}-{number}.{name}:{port}"));
    let agents = agents.collect::<Vec<_>>().join(",");
    assert_eq!(value("--agents="), agents);
    // All are applied at once, and a run is tried once.
    assert_eq!(job["spec"]["backoffLimit"], 0);
    assert_ne!(value("--agents-wait="), "0s");

    // Flags are read before secrets, and secrets before anything is opened.
    let short = kept("short-secret", "too short");
    for arguments in [texts(&agent["args"]), arguments.clone()] {
        let said = refused(&arguments, &short);
        assert!(said.contains("expected 16 at least"), "{said}");
    }
    // With a secret, who leads looks for the agents, which are not here.
    let secret = kept("secret", "a secret of this test alone");
    let nobody = "--agents=127.0.0.1:1";
    let here = arguments.iter().map(|argument| match *argument {
        one if one.starts_with("--agents=") => nobody,
        one if one.starts_with("--agents-wait=") => "--agents-wait=1ms",
        one => one,
    });
    let said = refused(&here.collect::<Vec<_>>(), &secret);
    assert!(said.contains("agent 127.0.0.1:1: "), "{said}");
}
