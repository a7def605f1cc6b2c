//! `fourtuple load wss://…`: the crowd over TLS, against a server whose TLS is OpenSSL's, and against peers that are
//! no such thing.

mod peers;
mod script;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, path::Path, process::Output};

use server::{Authority, Server};
use support::binary::{assert_status, fourtuple, on_epoll, output_of};

/// The kernels that this machine is asked for: both, unless one is chosen by `TEST_KERNEL`.
fn kernels() -> &'static [&'static str] {
    if on_epoll() {
        &["epoll"]
    } else {
        &["epoll", "auto"]
    }
}

/// Runs a crowd; returns what it printed and its JSON report.
fn run(name: &str, url: &str, flags: &str, files: &[(&str, &Path)]) -> (Output, serde_json::Value) {
    let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{name}.json"));
    drop(fs::remove_file(&report));
    let mut command = fourtuple();
    command.args(["load", url]).args(flags.split_whitespace());
    for (flag, file) in files {
        command.arg(flag).arg(file);
    }
    command.arg("--json").arg(&report);
    let output = output_of(&mut command);
    let text = fs::read_to_string(&report).unwrap_or_default();
    (output, serde_json::from_str(&text).unwrap_or_default())
}

/// A crowd that fails in one way alone.
#[track_caller]
fn assert_refused(name: &str, url: &str, files: &[(&str, &Path)], class: &str, words: &[&str]) {
    let flags = "--raw -c 3 --rate 100 --hold 0s --connect-timeout 5s";
    let (output, report) = run(name, url, flags, files);
    assert_status(&output, 1);
    let failures = &report["not_opened"];
    assert_eq!(failures[0]["class"], class, "{report:#}");
    assert_eq!(failures[0]["count"], 3, "{report:#}");
    let text = String::from_utf8_lossy(&output.stdout);
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
}

#[test]
fn a_crowd_is_held_on_both_kernels_and_in_both_versions_and_says_goodbye() {
    let authority = Authority::new("held");
    let pass = authority.server_pass();
    for kernel in kernels() {
        for version in ["1.2", "1.3"] {
            let server = Server::start(&pass, version, None);
            let flags = format!("--raw -c 40 --rate 400 --hold 1s --push 5/s --kernel {kernel}");
            let ca = authority.file();
            let (output, report) = run("held", &server.url(), &flags, &[("--ca", &ca)]);
            assert_status(&output, 0);
            assert_eq!(report["target"], server.url());
            server.wait_for(40, &format!("open TLSv{version} new"));
            server.wait_for(40, "goodbye clean");
        }
    }
}

#[test]
fn messages_of_many_records_arrive_whole() {
    let authority = Authority::new("large");
    let server = Server::start(&authority.server_pass(), "1.3", None);
    for kernel in kernels() {
        let flags =
            format!("--raw -c 4 --rate 100 --hold 1s --push max --size 700000 --kernel {kernel}");
        let (output, report) = run(
            "large",
            &server.url(),
            &flags,
            &[("--ca", &authority.file())],
        );
        assert_status(&output, 0);
        let answered = report["pushes"]["answered"].as_u64().unwrap_or(0);
        assert!(answered >= 8, "{report:#}");
    }
}

#[test]
fn certificates_that_do_not_stand_for_the_server_are_refused_each_with_its_remedy() {
    let (authority, stranger) = (Authority::new("certs"), Authority::new("stranger"));
    let ca = authority.file();
    let server = Server::start(&authority.server_pass(), "1.3", None);
    let trusted = [("--ca", &*ca)];
    assert_refused(
        "issuer",
        &server.url(),
        &[("--ca", &stranger.file())],
        "tls_unknown_issuer",
        &["not trusted", "--ca"],
    );
    // OpenSSL hears why.
    server.wait_for(3, "refused TLSV1_ALERT_UNKNOWN_CA");
    assert_refused(
        "name",
        &server.url(),
        &[trusted[0], ("--server-name", Path::new("other.test"))],
        "tls_wrong_name",
        &["expected other.test", "crowd.test", "--server-name"],
    );
    let expired = Server::start(&authority.expired_pass(), "1.3", None);
    assert_refused(
        "expired",
        &expired.url(),
        &trusted,
        "tls_expired",
        &["expired", "--insecure"],
    );
    for server in [&server, &expired] {
        let (output, _) = run("insecure", &server.url(), "--raw -k -c 3 --hold 0s", &[]);
        assert_status(&output, 0);
    }
    let named = [trusted[0], ("--server-name", Path::new("crowd.test"))];
    let (output, _) = run("named", &server.url(), "--raw -c 3 --hold 0s", &named);
    assert_status(&output, 0);
}

#[test]
fn whom_the_machine_trusts_is_trusted_without_a_word() {
    let authority = Authority::new("system");
    let server = Server::start(&authority.server_pass(), "1.3", None);
    let ca = authority.file();
    for (file, status) in [(&*ca, 0), (Path::new("/nowhere.pem"), 2)] {
        let mut command = fourtuple();
        command.args(["load", &server.url(), "--raw", "-c", "2", "--hold", "0s"]);
        command
            .env("SSL_CERT_FILE", file)
            .env_remove("SSL_CERT_DIR");
        let output = output_of(&mut command);
        assert_status(&output, status);
        if status == 2 {
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(text.contains("trusts no authority"), "{text}");
        }
    }
}

#[test]
fn who_comes_back_takes_up_a_session_unless_told_not_to() {
    let authority = Authority::new("resume");
    let pass = authority.server_pass();
    for version in ["1.2", "1.3"] {
        for (flag, resumed) in [("", 20), ("--no-resumption", 0)] {
            let server = Server::start(&pass, version, None);
            let flags =
                format!("--raw -c 20 --rate 200 --hold 500ms --drop 100% --reconnect {flag}");
            let ca = authority.file();
            let (output, _) = run("resume", &server.url(), &flags, &[("--ca", &ca)]);
            assert_status(&output, 0);
            server.wait_for(40, "open");
            let found = server.count(&format!("open TLSv{version} resumed"));
            assert_eq!(found, resumed, "TLS {version} {flag}");
        }
    }
}

#[test]
fn clients_have_a_certificate_where_the_server_asks_for_one() {
    let authority = Authority::new("clients");
    let ca = authority.file();
    let own = authority.pass("client", &["client.test"], |_| {});
    let server = Server::start(&authority.server_pass(), "1.2", Some(&ca));
    let trusted = ("--ca", &*ca);
    assert_refused(
        "nobody",
        &server.url(),
        &[trusted],
        "tls_alert",
        &["handshake_failure", "--cert"],
    );
    let identity = [trusted, ("--cert", &own.chain), ("--key", &own.key)];
    let (output, _) = run("somebody", &server.url(), "--raw -c 3 --hold 0s", &identity);
    assert_status(&output, 0);
}

#[test]
fn what_cannot_be_asked_for_is_refused_before_anything_is_dialled() {
    let authority = Authority::new("flags");
    let key = authority.server_pass().key;
    for (url, files, words) in [
        (
            "ws://127.0.0.1:9/",
            [("--ca", &*key)],
            "--ca is for a wss:// URL",
        ),
        (
            "wss://127.0.0.1:9/",
            [("--ca", &*key)],
            "no `BEGIN CERTIFICATE`",
        ),
        (
            "wss://127.0.0.1:9/",
            [("--ca", Path::new("/nowhere.pem"))],
            "cannot read --ca /nowhere.pem",
        ),
    ] {
        let (output, _) = run("flags", url, "--raw -c 1", &files);
        assert_status(&output, 2);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(words), "{text}");
    }
}
