//! Keys and users, and what each may do.

use crate::http::{Server, basic, new_key, new_user};

const READ: &str = "GET /api/v1/history";
/// No route of this name is declared for a while, so that it needs the highest scope whatever is there.
const CHANGE: &str = "DELETE /api/v1/history";

fn with(credential: &str) -> [(&str, &str); 1] {
    [("Authorization", credential)]
}

#[test]
fn without_keys_and_users_the_loopback_is_open() {
    let server = Server::start("open", "");
    assert_eq!(server.scheme, "http");
    assert_eq!(server.ask(READ, &[]).status, 200);
    assert_eq!(server.ask("GET /health/live", &[]).status, 200);
    assert_eq!(server.ask("GET /nothing", &[]).status, 404);
    // Nobody is logged in, and nobody is refused for what they show.
    assert_eq!(server.ask(READ, &with("Bearer ft_any")).status, 200);
}

#[test]
fn a_key_may_what_its_scopes_say() {
    let (reader, one) = new_key("reader", "read");
    let (publisher, two) = new_key("publisher", "publish");
    let (operator, three) = new_key("operator", "admin");
    let server = Server::start("keys", &format!("{one}{two}{three}"));

    assert_eq!(server.ask(READ, &with(&reader)).status, 200);
    server
        .ask(READ, &with(&publisher))
        .assert_problem(403, "needs the scope \"read\"");
    assert_eq!(server.ask(READ, &with(&operator)).status, 200);

    server
        .ask(CHANGE, &with(&reader))
        .assert_problem(403, "needs the scope \"admin\"");
    server
        .ask(CHANGE, &with(&publisher))
        .assert_problem(403, "needs the scope \"admin\"");
    assert_eq!(server.ask(CHANGE, &with(&operator)).status, 405);
    server
        .ask("GET /nothing", &with(&reader))
        .assert_problem(404, "nothing here");

    for wrong in [
        "Bearer ft_wrong",
        "Bearer",
        "Basic !",
        &basic("reader", &reader),
    ] {
        let answer = server.ask(READ, &with(wrong));
        answer.assert_problem(401, "show a key");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"fourtuple\"")
        );
    }
    server.ask(READ, &[]).assert_problem(401, "show a key");
    assert_eq!(server.ask("GET /health/live", &[]).body, "live\n");
    assert_eq!(server.ask("GET /health/ready", &[]).status, 200);
    server
        .ask("GET /metrics", &[])
        .assert_problem(401, "show a key");
}

#[test]
fn a_user_logs_in_with_a_browser() {
    let (eva, lines) = new_user("eva", "correct horse battery", "read");
    let server = Server::start("users", &lines);
    for (path, challenge) in [
        ("GET /", "Basic realm=\"fourtuple\", charset=\"UTF-8\""),
        (READ, "Bearer realm=\"fourtuple\""),
    ] {
        let answer = server.ask(path, &[]);
        answer.assert_problem(401, "log in");
        assert_eq!(answer.header("www-authenticate"), Some(challenge), "{path}");
    }
    // Twice: checked, then remembered.
    for _ in 0..2 {
        assert_eq!(server.ask(READ, &with(&eva)).status, 200);
    }
    server
        .ask(CHANGE, &with(&eva))
        .assert_problem(403, "needs the scope \"admin\"");
    for (name, password) in [
        ("eva", "wrong"),
        ("adam", "correct horse battery"),
        ("", ""),
    ] {
        let answer = server.ask(READ, &with(&basic(name, password)));
        answer.assert_problem(401, "log in");
    }
    server.until_said("a wrong key or password was shown to the admin side");
    let said = server.relay.output();
    assert!(
        !said.contains("correct horse") && !said.contains("wrong:"),
        "{said}"
    );
}

#[test]
fn passwords_that_come_unencrypted_are_warned_of() {
    let (eva, lines) = new_user("eva", "correct horse battery", "read");
    let server = Server::start_at("0.0.0.0:0", "plain", &lines);
    server.until_said("unencrypted; a certificate for it is named with `--admin-tls-cert`");
    assert_eq!(server.ask(READ, &with(&eva)).status, 200);
}

#[test]
fn an_idempotency_key_belongs_to_its_caller() {
    let (shop, one) = new_key("shop", "publish");
    let (crm, two) = new_key("crm", "publish");
    let server = Server::start("idempotency", &format!("{one}{two}"));
    let publish = |credential: &str| {
        let headers = [("Authorization", credential), ("Idempotency-Key", "1")];
        let body = "{\"topic\": \"a\", \"event\": \"b\", \"payload\": 1}";
        let answer = server.ask_from("127.0.0.1", "POST /api/v1/publish", &headers, body);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("idempotency-replayed").is_some()
    };
    assert!(!publish(&shop));
    assert!(!publish(&crm), "the other's key is another");
    assert!(publish(&shop) && publish(&crm));
}
