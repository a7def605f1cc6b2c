//! Nobody keeps a seat of the admin side by doing nothing, and no address keeps all of them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use crate::http::{Server, connect_from, exchange, send, until};

const LIVE: &str = "GET /health/live";

/// The value of a series of the metrics.
fn count(server: &Server, series: &str) -> u64 {
    let text = server.ask("GET /metrics", &[]).body;
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let value = line.unwrap_or_else(|| panic!("no {series} in {text}"));
    value.trim().parse().expect("a whole number")
}

fn dropped(server: &Server, reason: &str) -> u64 {
    let name = "fourtuple_admin_dropped_connections_total";
    count(server, &format!("{name}{{reason=\"{reason}\"}}"))
}

/// Whether the server ends a connection, within the patience of its reader.
fn is_ended(mut stream: TcpStream) -> bool {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn one_address_has_its_share_and_others_are_served() {
    let config =
        "[admin]\nconnections_max = 4\nconnections_per_address_max = 2\nrequest_timeout = \"1h\"";
    let server = Server::start("share", config);
    let greedy = [(); 2].map(|()| connect_from("127.0.0.2", server.admin));
    assert!(is_ended(connect_from("127.0.0.2", server.admin)));
    assert_eq!(server.ask_from("127.0.0.3", LIVE, &[], "").status, 200);
    assert_eq!(dropped(&server, "address_share"), 1);
    server.until_said("its address has as many as one may have");
    drop(greedy);
    until(|| {
        let stream = connect_from("127.0.0.2", server.admin);
        let mut stream = stream;
        let request = format!("{LIVE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    });
}

#[test]
fn who_sends_no_head_or_no_next_one_is_closed() {
    let server = Server::start("head", "[admin]\nrequest_timeout = \"300ms\"");
    assert!(is_ended(connect_from("127.0.0.1", server.admin)));
    let mut half = connect_from("127.0.0.1", server.admin);
    half.write_all(b"GET /health/live HTTP/1.1\r\nHost:")
        .expect("it reads");
    assert!(is_ended(half));
    let mut idle = connect_from("127.0.0.1", server.admin);
    let request = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    idle.write_all(request.as_bytes()).expect("it reads");
    assert!(is_ended(idle));
    assert_eq!(dropped(&server, "head"), 3);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let server = Server::start("body", "[admin]\nrequest_timeout = \"300ms\"");
    let mut stream = connect_from("127.0.0.1", server.admin);
    let request = "POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                   Content-Length: 100\r\n\r\n{\"topic\":";
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("it answers, and ends");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("docs/api.md#body-too-slow"), "{answer}");
    assert!(answer.contains("admin.request_timeout"), "{answer}");
    let refused = "fourtuple_admin_refused_requests_total{reason=\"body_too_slow\"}";
    assert_eq!(count(&server, refused), 1);
}

#[test]
fn who_does_not_read_its_answers_is_closed() {
    const SEATS: usize = 4;
    let config = format!("[admin]\nconnections_max = {SEATS}\nwrite_timeout = \"300ms\"");
    let server = Server::start("unread", &config);
    let deaf = [(); SEATS].map(|()| {
        let mut stream = connect_from("127.0.0.1", server.admin);
        let asking = stream.try_clone().expect("a second descriptor");
        // More answers than all buffers hold; that it is not read to its end is the point.
        let requests = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(400);
        let writer = thread::spawn(move || drop(stream.write_all(requests.as_bytes())));
        (asking, writer)
    });
    // All seats are taken until the server gives them up.
    assert_eq!(server.ask(LIVE, &[]).status, 200);
    until(|| (dropped(&server, "unread") == SEATS as u64).then_some(()));
    for (stream, writer) in deaf {
        drop(stream);
        writer.join().expect("it ends with its connection");
    }
}

#[test]
fn every_change_is_one_line_of_the_log_whoever_made_it() {
    let server = Server::start("deeds", "");
    let said = || {
        let output = server.relay.output();
        let lines = output
            .lines()
            .filter(|line| line.contains("was told to change"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let nobody = "{\"socket_id\": \"nobody\"}";
    let answer = server.ask_from("127.0.0.9", "POST /api/v1/disconnect", &[], nobody);
    assert_eq!(answer.status, 200, "{answer:?}");
    let line = until(|| said().pop());
    for part in [
        "caller=open",
        "from=127.0.0.9:",
        "result=200",
        "/api/v1/disconnect",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    // A client that hangs up in the middle of its body.
    let mut half = connect_from("127.0.0.1", server.admin);
    let head = "POST /api/v1/disconnect HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{";
    half.write_all(head.as_bytes()).expect("it reads");
    drop(half);
    until(|| (said().len() == 2).then_some(()));
    // Who silences the log is the last that it names.
    let off = "{\"level\": \"off\"}";
    let mut silencing = connect_from("127.0.0.1", server.admin);
    let answer = exchange(
        &mut silencing,
        "localhost",
        "PUT /api/v1/log-level",
        &[],
        off,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = until(|| Some(said()).filter(|lines| lines.len() == 3));
    assert!(lines[2].contains("/api/v1/log-level"), "{lines:?}");
    let mut after = connect_from("127.0.0.1", server.admin);
    send(
        &mut after,
        "localhost",
        "POST /api/v1/disconnect",
        &[],
        nobody,
    );
    assert!(is_ended(after));
    assert_eq!(said().len(), 3);
}
