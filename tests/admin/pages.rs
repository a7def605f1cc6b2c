//! What pages in a browser may, and what every answer tells the browser.

use crate::http::{Server, new_key};

const READ: &str = "GET /api/v1/history";
const CHANGE: &str = "POST /api/v1/history";

#[test]
fn pages_of_other_sites_and_names_of_others_are_refused() {
    let server = Server::start("foreign", "[admin]\nhosts = [\"ops.example.com\"]");
    for name in ["evil.example", "127.0.0.1.evil.example:4001"] {
        let answer = server.ask(READ, &[("Host", name)]);
        answer.assert_problem(421, "admin.hosts");
    }
    for name in ["localhost:1", "ops.example.com", "127.0.0.1"] {
        assert_eq!(server.ask(READ, &[("Host", name)]).status, 200, "{name}");
    }
    for from in [
        &[("Sec-Fetch-Site", "cross-site")][..],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Origin", "http://evil.example")],
        &[("Origin", "null")],
    ] {
        for request in [READ, CHANGE] {
            let answer = server.ask(request, from);
            answer.assert_problem(403, "a page of another site");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    let own = format!("http://{}", server.admin);
    for from in [("Sec-Fetch-Site", "same-origin"), ("Origin", &own)] {
        assert_eq!(server.ask(READ, &[from]).status, 200, "{from:?}");
        assert_eq!(server.ask(CHANGE, &[from]).status, 405, "{from:?}");
    }
    let form = [("Content-Type", "text/plain")];
    server
        .ask(CHANGE, &form)
        .assert_problem(415, "application/json");
    // Whoever starts it again knows neither a name nor a secret.
    assert_eq!(
        server
            .ask("GET /health/live", &[("Host", "10.0.0.1")])
            .status,
        200
    );
}

#[test]
fn every_answer_is_kept_from_other_pages() {
    let server = Server::start("headers", "");
    let port = server.relay.addr().port();
    for (request, headers) in [
        (READ, &[][..]),
        ("GET /health/live", &[]),
        ("GET /nothing", &[]),
        (CHANGE, &[("Origin", "null")]),
        (READ, &[("Host", "evil.example")]),
    ] {
        let answer = server.ask(request, headers);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{request}: {name}");
        }
        let policy = answer.header("content-security-policy").expect("a policy");
        let host = match headers {
            [("Host", name)] => name,
            _ => "127.0.0.1",
        };
        for part in [
            "default-src 'none'; ".to_owned(),
            "script-src 'self'; ".to_owned(),
            "frame-ancestors 'none'; ".to_owned(),
            format!("connect-src 'self' ws://{host}:{port} wss://{host}:{port}"),
        ] {
            assert!(policy.contains(&part), "{request}: {part} in {policy}");
        }
    }
}

#[test]
fn configured_pages_may_ask_with_a_key() {
    let (key, lines) = new_key("ops", "admin");
    let config = format!("[admin]\ncors_origins = [\"https://ops.example.com\"]\n{lines}");
    let server = Server::start("cors", &config);
    let page = ("Origin", "https://ops.example.com");
    let asks = ("Access-Control-Request-Method", "POST");
    let answer = server.ask_from("127.0.0.1", "OPTIONS /api/v1/history", &[page, asks], "");
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(page.1));
    let allowed = answer.header("access-control-allow-headers");
    assert_eq!(
        allowed,
        Some("authorization, content-type, idempotency-key")
    );
    assert_eq!(answer.header("access-control-allow-credentials"), None);

    let cross = ("Sec-Fetch-Site", "cross-site");
    let answer = server.ask(READ, &[page, cross, ("Authorization", &key)]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(page.1));
    assert_eq!(answer.header("vary"), Some("origin"));
    let answer = server.ask(READ, &[page, cross]);
    answer.assert_problem(401, "show a key");

    let other = [("Origin", "https://evil.example"), asks];
    let answer = server.ask_from("127.0.0.1", "OPTIONS /api/v1/history", &other, "");
    answer.assert_problem(403, "a page of another site");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}
