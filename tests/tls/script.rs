//! Scripts of Artillery whose servers speak TLS, such as Artillery's own test of it: a self-signed server, and
//! `rejectUnauthorized: false`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use super::{
    kernels,
    server::{Authority, Server},
};
use crate::support::binary::{assert_status, fourtuple, output_of};

/// Runs a script whose `config` has these additions; returns its counters.
fn run(
    folder: &Path,
    target: &str,
    config: &str,
    connect: &str,
    flags: &[&str],
) -> (Output, serde_json::Value) {
    let text = format!(
        r#"{{ "config": {{ "target": "{target}", {config}
            "phases": [{{ "duration": 1, "arrivalRate": 5 }}] }},
          "scenarios": [{{ "engine": "ws", "flow": [
            {connect}
            {{ "send": "hello" }}, {{ "think": 0.2 }}, {{ "send": {{ "a": 1 }} }} ] }}] }}"#
    );
    let (script, report): (PathBuf, PathBuf) = (folder.join("s.json"), folder.join("s.out.json"));
    fs::write(&script, text).expect("our folder");
    drop(fs::remove_file(&report));
    let mut command = fourtuple();
    command
        .arg("load")
        .arg(&script)
        .arg("-o")
        .arg(&report)
        .args(flags);
    let output = output_of(&mut command);
    let text = fs::read_to_string(&report).unwrap_or_default();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    (output, report["aggregate"]["counters"].clone())
}

#[test]
fn a_script_says_whether_the_server_is_checked_and_how() {
    let authority = Authority::new("script");
    let pass = authority.server_pass();
    let folder = authority.file();
    let folder = folder.parent().expect("a folder");
    let server = Server::start(&pass, "1.3", None);
    let (tls, ws) = (
        r#""tls": { "rejectUnauthorized": false },"#,
        r#""ws": { "rejectUnauthorized": false },"#,
    );
    let connect = r#"{ "connect": { "rejectUnauthorized": false } },"#;
    let named = r#""tls": { "ca": "ca.pem", "servername": "crowd.test" },"#;
    let mut opened = 0;
    for kernel in kernels() {
        for (config, connect, flag) in [
            (tls, "", "-q"),
            (ws, "", "-q"),
            ("", connect, "-q"),
            (named, "", "-q"),
            ("", "", "-k"),
        ] {
            let flags = [flag, "--kernel", kernel];
            let (output, counters) = run(folder, &server.url(), config, connect, &flags);
            assert_status(&output, 0);
            assert_eq!(counters["vusers.completed"], 5, "{config}{connect}{flag}");
            assert_eq!(counters["websocket.messages_sent"], 10);
            opened += 5;
        }
    }
    // Each user is somebody else, so nobody takes up another's session.
    server.wait_for(opened, "open TLSv1.3 new");
    server.wait_for(opened, "goodbye clean");
    let stranger = Authority::new("script-stranger").file();
    let ca = stranger.to_str().expect("a path of this workspace");
    let (output, counters) = run(folder, &server.url(), "", "", &["--ca", ca, "-q"]);
    // Without checks of its own a script is met, as with Artillery.
    assert_status(&output, 0);
    assert_eq!(counters["vusers.failed"], 5, "{counters:#}");
    assert_eq!(counters["errors.tls_unknown_issuer"], 5, "{counters:#}");
}

#[test]
fn options_that_cannot_be_had_are_errors_with_their_place() {
    let authority = Authority::new("script-wrong");
    let folder = authority.file();
    let folder = folder.parent().expect("a folder");
    for (config, words) in [
        (r#""tls": { "pfx": "x" },"#, "config.tls.pfx: PKCS #12"),
        (
            r#""tls": { "ca": "no.pem" },"#,
            "config.tls.ca: expected a PEM text or the name",
        ),
        (
            r#""ws": { "passphrase": "x" },"#,
            "config.ws.passphrase: encrypted keys",
        ),
    ] {
        let (output, _) = run(folder, "wss://127.0.0.1:9/", config, "", &[]);
        assert_status(&output, 2);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(words), "{text}");
    }
}
