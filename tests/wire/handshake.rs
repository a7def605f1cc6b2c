//! Who becomes a WebSocket, and what everybody else is told.

use std::io::Write;

use crate::support::{
    relay::Relay,
    wire::{Wire, dial, http, read_to_end},
};

const TARGET: &str = "/socket/websocket?vsn=2.0.0";

/// A request for a WebSocket with one line taken out or changed.
fn request(target: &str, change: impl Fn(&str) -> Option<String>) -> String {
    let first = format!("GET {target} HTTP/1.1");
    let lines = [
        first.as_str(),
        "Host: localhost",
        "Connection: keep-alive, Upgrade",
        "Upgrade: WebSocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let kept: Vec<_> = lines.iter().filter_map(|line| change(line)).collect();
    kept.join("\r\n") + "\r\n\r\n"
}

fn without(name: &str) -> String {
    request(TARGET, |line| {
        (!line.starts_with(name)).then(|| line.to_owned())
    })
}

fn with(old: &str, new: &str) -> String {
    request(TARGET, |line| Some(line.replace(old, new)))
}

#[test]
fn the_sample_nonce_is_answered_as_in_the_rfc() {
    let relay = Relay::start(&[]);
    let mut stream = dial(relay.addr());
    // RFC 6455 §1.3: the key and the answer of its example. A masked close with 1000 comes with it,
    // so the server answers the handshake, the close, and ends the connection.
    stream.write_all(with("", "").as_bytes()).unwrap();
    stream
        .write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])
        .unwrap();
    let answer = read_to_end(&mut stream);
    assert!(
        answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{answer:?}"
    );
    let head = answer.to_ascii_lowercase();
    for line in [
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
    ] {
        assert!(head.contains(line), "{line} is missing from {head:?}");
    }
    assert!(
        !head.contains("sec-websocket-protocol"),
        "none was offered: {head:?}"
    );
    assert!(
        !head.contains("sec-websocket-extensions"),
        "none was offered: {head:?}"
    );
}

#[test]
fn what_is_not_an_upgrade_gets_a_proper_answer() {
    let relay = Relay::start(&[]);
    let cases = [
        ("no upgrade header", without("Upgrade"), 426),
        ("no connection header", without("Connection"), 400),
        ("no key", without("Sec-WebSocket-Key"), 400),
        (
            "a key of the wrong length",
            with("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
            400,
        ),
        ("no version", without("Sec-WebSocket-Version"), 426),
        ("an older version", with("Version: 13", "Version: 8"), 426),
        ("no host", without("Host"), 400),
        (
            "two hosts",
            with("Host: localhost", "Host: localhost\r\nHost: example.com"),
            400,
        ),
        ("an older HTTP", with("HTTP/1.1", "HTTP/1.0"), 400),
        (
            "another path",
            request("/elsewhere", |line| Some(line.to_owned())),
            404,
        ),
        (
            "the mount alone",
            request("/socket", |line| Some(line.to_owned())),
            404,
        ),
        (
            "a GET of nothing",
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            404,
        ),
        ("a POST", with("GET", "POST"), 405),
        (
            "no HTTP",
            "\u{16}\u{3}\u{1} this is not HTTP\r\n\r\n".to_owned(),
            400,
        ),
        (
            "a header without a name",
            with("Host: localhost", "Host: localhost\r\n: value"),
            400,
        ),
        (
            "a folded header",
            with("Host: localhost", "Host: local\r\n host"),
            400,
        ),
        (
            "a body",
            with("Host: localhost", "Host: localhost\r\nContent-Length: 4"),
            400,
        ),
    ];
    for (name, request, status) in cases {
        let answer = http(relay.addr(), &request);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(
            answer.head.contains("content-length:"),
            "{name}: {answer:?}"
        );
        assert!(
            answer.head.contains("connection: close"),
            "{name}: {answer:?}"
        );
    }
}

#[test]
fn a_426_says_what_would_be_accepted() {
    let relay = Relay::start(&[]);
    let answer = http(relay.addr(), &with("Version: 13", "Version: 8"));
    assert!(
        answer.head.contains("sec-websocket-version: 13"),
        "{answer:?}"
    );
    let answer = http(relay.addr(), &without("Upgrade"));
    assert!(answer.head.contains("upgrade: websocket"), "{answer:?}");
}

#[test]
fn the_version_of_the_protocol_decides() {
    let relay = Relay::start(&[]);
    // Absent means 1.0.0; patch levels are compatible; nothing else is spoken.
    for accepted in [
        "",
        "?vsn=1.0.0",
        "?vsn=1.0.7",
        "?vsn=2.0.0",
        "?vsn=2.0.9",
        "?a[b]=c&vsn=2.0.0",
    ] {
        let opened = Wire::upgrade(relay.addr(), &format!("/socket/websocket{accepted}"), &[]);
        assert!(opened.is_ok(), "{accepted}: {opened:?}");
    }
    for refused in [
        "?vsn=3.0.0",
        "?vsn=1.1.0",
        "?vsn=2.1.0",
        "?vsn=2.0",
        "?vsn=2",
        "?vsn=",
        "?vsn=x",
        "?vsn[a]=2.0.0",
    ] {
        let status = Wire::upgrade(relay.addr(), &format!("/socket/websocket{refused}"), &[]).err();
        assert_eq!(status, Some(403), "{refused}");
    }
}

#[test]
fn subprotocols_are_answered_as_phoenix_does() {
    let relay = Relay::start(&["--socket-auth-token", "true"]);
    // Only "phoenix" is spoken; the token beside it is not a protocol and never comes back.
    let token = "base64url.bearer.phx.c2VjcmV0";
    assert!(Wire::with_protocols(relay.addr(), &["phoenix", token]).is_ok());
    assert!(Wire::with_protocols(relay.addr(), &["phoenix"]).is_ok());
    assert_eq!(
        Wire::with_protocols(relay.addr(), &["graphql-ws"]).err(),
        Some(403)
    );
}

#[test]
fn origins_are_checked_when_asked_to() {
    let relay = Relay::start(&["--check-origin", "//example.com,https://*.example.org"]);
    let open = |origin: &str| Wire::upgrade(relay.addr(), TARGET, &[("Origin", origin)]).err();
    for allowed in [
        "http://example.com",
        "https://example.com",
        "https://a.b.example.org",
    ] {
        assert_eq!(open(allowed), None, "{allowed}");
    }
    for refused in [
        "http://example.com.evil.net",
        "http://a.example.org",
        "https://example.net",
        "null",
    ] {
        assert_eq!(open(refused), Some(403), "{refused}");
    }
    // Programs that are not browsers send none.
    assert!(Wire::upgrade(relay.addr(), TARGET, &[]).is_ok());
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let relay = Relay::start(&[]);
    let mut stream = dial(relay.addr());
    for byte in with("", "").bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    assert!(read_to_end(&mut stream).starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let relay = Relay::start(&["--head-bytes-max", "2048"]);
    let answer = http(
        relay.addr(),
        &with(
            "Host: localhost",
            &format!("Host: localhost\r\nX: {}", "x".repeat(4096)),
        ),
    );
    assert_eq!(answer.status, 431, "{answer:?}");
    let answer = http(
        relay.addr(),
        &format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(4096)),
    );
    assert!([414, 431].contains(&answer.status), "{answer:?}");
}

#[test]
fn half_a_head_is_not_waited_for_for_ever() {
    let relay = Relay::start(&["--handshake-timeout", "300ms"]);
    for half in ["", "GET /socket/websocket HTTP/1.1\r\nHost: local"] {
        let mut stream = dial(relay.addr());
        stream.write_all(half.as_bytes()).unwrap();
        let answer = read_to_end(&mut stream);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
            "{answer:?}"
        );
    }
}
