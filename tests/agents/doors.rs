//! Who is let in: secrets, versions, certificates, `ssh`, and more than agents can carry.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    thread,
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};

use crate::{
    hands::{Hand, Lead, Ran, SECRET, file},
    support::{
        binary::{fourtuple, fourtuple_with_descriptors},
        relay::Relay,
    },
};

const NOBODY: &str = "ws://127.0.0.1:9/socket";

fn agent(arguments: &[&str]) -> Hand {
    Hand::start(fourtuple(), "127.0.0.1:0", arguments)
}

fn run(what: &str, agents: &[Hand], name: &str, flags: &str) -> Ran {
    Lead::start(fourtuple(), what, agents, name, flags).end()
}

#[test]
fn another_secret_is_refused_and_the_right_one_serves_afterwards() {
    let server = Relay::start(&[]);
    let wrong = file("wrong-secret");
    fs::write(&wrong, "another secret than theirs\n").expect("a file");
    let agents = [agent(&[])];
    let flags = format!("--connections 4 --agent-secret-file {}", wrong.display());
    let refused = run(&server.url(), &agents, "secret", &flags);
    refused.assert_status(2);
    let words = refused.err();
    assert!(
        words.contains("the secret is not the same on both sides"),
        "{words}"
    );
    assert!(
        !words.contains(SECRET) && !words.contains("another secret"),
        "{words}"
    );
    let flags = "--connections 4 --rate 1000 --hold 0s";
    run(&server.url(), &agents, "secret-right", flags).report(0);
}

#[test]
fn without_a_secret_no_agent_is_open_to_others() {
    let mut command = fourtuple();
    command.args(["load", "agent", "--listen", "0.0.0.0:0"]);
    let output = crate::support::binary::output_of(&mut command);
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("needs a secret"), "{words}");

    let mut command = fourtuple();
    command.args(["load", NOBODY, "--agents", "10.77.7.7:7070"]);
    let output = crate::support::binary::output_of(&mut command);
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("need the secret that they share"), "{words}");
}

const STRANGE_HELLO: &str = r#"{"hello":{"version":99,"build":"9.9.9","nonce":"AA"}}"#;

fn framed(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("short");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

#[test]
fn another_version_is_refused_by_both_sides_in_words() {
    // An agent says what it is, and no more.
    let agent = agent(&[]);
    let mut stream = TcpStream::connect(&agent.address).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time");
    stream.write_all(&framed(STRANGE_HELLO)).expect("it reads");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("it answers and closes");
    let text = String::from_utf8_lossy(&answer[4..]).into_owned();
    assert!(text.starts_with(r#"{"hello":{"version":2,"#), "{text}");

    // And an agent of another version is told from one of ours.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let strange = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a coordinator");
        stream.write_all(&framed(STRANGE_HELLO)).expect("it reads");
        // Until the coordinator is gone.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut command = fourtuple();
    command.args(["load", NOBODY, "--agents", &address]);
    let output = crate::support::binary::output_of(&mut command);
    strange.join().expect("no panic");
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        words.contains("it is fourtuple 9.9.9 and speaks version 99"),
        "{words}"
    );
}

#[test]
fn what_is_no_greeting_costs_an_agent_nothing() {
    let server = Relay::start(&[]);
    let agents = [agent(&[])];
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 64],
        &[255; 5_000],
        b"\0\0\0\x02{}",
    ] {
        let mut stream = TcpStream::connect(&agents[0].address).expect("it listens");
        // It may close in the middle.
        let _ = stream.write_all(bytes);
    }
    let flags = "--connections 4 --rate 1000 --hold 0s";
    run(&server.url(), &agents, "greeting", flags).report(0);
}

#[test]
fn with_certificates_sessions_are_encrypted_and_others_are_not_believed() {
    let server = Relay::start(&[]);
    let issue = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned()];
        let cert = CertificateParams::new(names)
            .expect("names")
            .self_signed(&key);
        let (cert_file, key_file) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        fs::write(&cert_file, cert.expect("a certificate").pem()).expect("a file");
        fs::write(&key_file, key.serialize_pem()).expect("a file");
        [cert_file, key_file].map(|path| path.to_str().expect("plain").to_owned())
    };
    let ([cert, key], [other, _]) = (issue("agent"), issue("other"));
    let agents = [agent(&["--tls-cert", &cert, "--tls-key", &key])];
    let flags = "--connections 4 --rate 1000 --hold 0s";
    let believed = format!("{flags} --agents-ca {cert}");
    run(&server.url(), &agents, "tls", &believed).report(0);
    let doubted = run(
        &server.url(),
        &agents,
        "tls-other",
        &format!("{flags} --agents-ca {other}"),
    );
    doubted.assert_status(2);
    assert!(doubted.err().contains("certificate"), "{}", doubted.err());
    run(&server.url(), &agents, "tls-none", flags).assert_status(2);
    run(&server.url(), &agents, "tls-again", &believed).report(0);
}

#[test]
fn more_than_all_agents_can_carry_is_refused_with_the_arithmetic_of_each() {
    let small = || {
        Hand::start(
            fourtuple_with_descriptors(400),
            "127.0.0.1:0",
            &["--sources", "127.0.0.9"],
        )
    };
    let agents = [small(), small()];
    let refused = run(NOBODY, &agents, "shortage", "--connections 1000000");
    refused.assert_status(3);
    let words = refused.err();
    assert!(
        words.contains("1,000,000 connections are asked for, and the agents can carry"),
        "{words}"
    );
    for agent in &agents {
        assert!(
            words.contains(&format!("\n  {}: ", agent.address)),
            "{words}"
        );
    }
    assert!(words.contains("1 source address x 64,512 ports"), "{words}");
}

/// Runs on this machine what it was to run on another, in a home of its own.
const SSH: &str = "#!/bin/sh\n\
    while [ \"$1\" != -- ]; do shift; done\n\
    [ \"$2\" = me@far ] || exit 255\n\
    HOME=\"$(dirname \"$0\")/home\"; export HOME; mkdir -p \"$HOME\"\n\
    echo \"$3\" | cut -c1-12 >> \"$HOME/log\"\n\
    exec sh -c \"$3\"\n";

#[test]
fn an_agent_is_copied_and_started_by_ssh_and_copied_once() {
    let server = Relay::start(&[]);
    let folder = file("ssh");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let ssh = folder.join("ssh");
    fs::write(&ssh, SSH).expect("a file");
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).expect("ours");
    let path = format!(
        "{}:{}",
        folder.display(),
        std::env::var("PATH").expect("a PATH")
    );
    let lead = |host: &str| {
        let mut command = fourtuple();
        command
            .env("PATH", &path)
            .args(["load", &server.url(), "--agents", host]);
        command.args(["--agent-ssh-option", "Compression=no"]);
        command.args(["--connections", "4", "--rate", "1000", "--hold", "0s"]);
        crate::support::binary::output_of(&mut command)
    };
    for copies in [1, 1] {
        let output = lead("ssh://me@far");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("ssh://me@far"), "{text}");
        let log = fs::read_to_string(folder.join("home/log")).expect("a log");
        let copied = log.lines().filter(|line| line.starts_with("umask")).count();
        assert_eq!(copied, copies, "{log}");
    }
    let output = lead("ssh://nobody@far");
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("ssh ended with status 255"), "{words}");
}
