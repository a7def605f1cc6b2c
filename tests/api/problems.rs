//! Everything that goes wrong is a problem after RFC 9457: type, title, status and detail.

use serde_json::json;

use crate::{
    call::{Api, JSON, Reply},
    support::relay::Relay,
};

#[track_caller]
fn is_problem(reply: &Reply, status: u16, name: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    let kind = "content-type: application/problem+json";
    assert!(reply.head.contains(kind), "{reply:?}");
    let explained = reply.json["type"].as_str().unwrap_or_default();
    assert!(
        explained.ends_with(&format!("docs/api.md#{name}")),
        "{reply:?}"
    );
    assert_eq!(reply.json["status"], status, "{reply:?}");
    for member in ["title", "detail"] {
        let text = reply.json[member].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{member}: {reply:?}");
    }
}

#[test]
fn every_error_has_the_same_form() {
    let relay = Relay::start_with_admin(&["--admin-body-bytes-max", "2KiB"]);
    let api = Api::of(&relay);
    for path in ["/nowhere", "/api/v1/nowhere", "/api/v2/server"] {
        is_problem(&api.get(path), 404, "not-found");
    }
    for path in ["/api/v1/connections/0-1-999", "/api/v1/connections/9-1-1"] {
        is_problem(&api.get(path), 404, "not-found");
        is_problem(&api.call("DELETE", path, &[], None), 404, "not-found");
    }
    for (path, allowed) in [
        ("/api/v1/publish", "allow: post"),
        ("/api/v1/server", "allow: get"),
    ] {
        let reply = api.call("PATCH", path, &[], None);
        is_problem(&reply, 405, "method-not-allowed");
        assert!(reply.head.contains(allowed), "{reply:?}");
    }
    for query in [
        "/api/v1/topics?limit=0",
        "/api/v1/topics?limit=101",
        "/api/v1/topics?sort=age",
        "/api/v1/topics?cursor=000000000000",
        "/api/v1/topics?search=a&cursor=0",
        "/api/v1/topics?serch=a",
        "/api/v1/topics/%FF",
        "/api/v1/connections?topic=a&address=127.0.0.1",
        "/api/v1/connections?address=here",
        "/api/v1/connections?id=1",
        "/api/v1/connections?sort=outbox&topic=a",
        "/api/v1/addresses?limit=many",
    ] {
        is_problem(&api.get(query), 400, "bad-parameter");
    }
}

#[test]
fn every_bad_body_is_named() {
    let relay = Relay::start_with_admin(&["--admin-body-bytes-max", "2KiB"]);
    let api = Api::of(&relay);
    let long = json!({"topic": "a", "event": "b", "payload": "x".repeat(2_048)});
    for path in [
        "/api/v1/publish",
        "/api/v1/publish/batch",
        "/api/v1/disconnect",
    ] {
        let post = |headers: &[_], body| api.call("POST", path, headers, Some(body));
        is_problem(&post(&[JSON], "{"), 400, "bad-body");
        is_problem(&post(&[JSON], ""), 400, "bad-body");
        is_problem(&post(&[JSON], "[]"), 422, "invalid");
        is_problem(&post(&[JSON], "{\"a\": 1}"), 422, "invalid");
        is_problem(&post(&[], "{}"), 415, "not-json");
        let text = ("Content-Type", "text/plain");
        is_problem(&post(&[text], "{}"), 415, "not-json");
        is_problem(&api.post(path, &long), 413, "body-too-large");
    }
    let two = json!({"topic": "a", "address": "127.0.0.1"});
    for target in [
        json!({}),
        two,
        json!({"connection": "x"}),
        json!({"address": "y"}),
    ] {
        is_problem(&api.post("/api/v1/disconnect", &target), 422, "invalid");
    }
}
