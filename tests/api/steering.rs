//! The server as a whole: what it says of itself, its configuration, its log, its end.

use serde_json::{Value, json};

use crate::{
    call::Api,
    key::Key,
    support::{relay::Relay, wire::Wire},
};

const LOG_LEVEL: &str = "/api/v1/log-level";
const FAREWELL: &str = "closing all connections";

#[test]
fn a_drain_tells_everybody_to_come_back_and_ends_in_order() {
    let mut relay = Relay::start_with_admin(&["--shards", "2"]);
    let api = Api::of(&relay);
    let mut wires: Vec<_> = (0..100).map(|_| Wire::open(relay.addr())).collect();
    let drained = api.call("POST", "/api/v1/drain", &[], None);
    assert_eq!(
        (drained.status, &drained.json),
        (202, &json!({"draining": true}))
    );
    // While they have not answered their close frames, the server is there and says what it does.
    assert_eq!(api.see("/api/v1/server")["draining"], true);
    assert_eq!(api.get("/health/ready").status, 503);
    wires.iter_mut().for_each(|wire| wire.expect_close(1012));
    drop(wires);
    let status = relay.wait();
    assert!(status.success(), "{status}: {}", relay.output());
}

#[test]
fn the_server_says_what_it_is() {
    let relay = Relay::start_with_admin(&["--shards", "3", "--max-connections", "100"]);
    let server = Api::of(&relay).see("/api/v1/server");
    assert_eq!(server["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(server["listen"], relay.addr().to_string());
    assert_eq!(server["websocket_path"], "/socket/websocket");
    assert_eq!(
        (&server["shards"], &server["connections_max"]),
        (&json!(3), &json!(100))
    );
    assert_eq!(server["draining"], false);
    assert!(server["uptime_s"].as_f64() > Some(0.0), "{server}");
}

#[test]
fn the_configuration_is_the_one_that_counts() {
    let relay = Relay::start_with_admin(&["--mailbox-max", "77"]);
    let config = Api::of(&relay).see("/api/v1/config");
    let settings = config["settings"].as_array().expect("a list");
    let setting = |key: &str| settings.iter().find(|setting| setting["key"] == key);
    let mailbox = setting("limits.mailbox_max").expect("a setting");
    assert_eq!(
        (&mailbox["value"], &mailbox["default"]),
        (&json!("77"), &json!("4096"))
    );
    let listen = setting("admin.listen").expect("a setting");
    assert_eq!(listen["value"], "\"127.0.0.1:0\"");
    // A secret has no value in the answer, whatever it is.
    let is_safe = |setting: &Value| setting["secret"] == setting["value"].is_null();
    assert!(settings.iter().all(is_safe), "{settings:?}");
    assert!(
        config["channels"]
            .as_array()
            .is_some_and(|rules| !rules.is_empty()),
        "{config}"
    );
}

#[test]
fn secrets_of_the_configuration_are_hidden() {
    let key = Key::make("read");
    let relay = Relay::start_with_admin(&["--config", key.file()]);
    let headers = [("Authorization", key.bearer.as_str())];
    let config = Api::of(&relay).call("GET", "/api/v1/config", &headers, None);
    assert_eq!(config.status, 200, "{config:?}");
    let shown = &config.json["keys"][0];
    assert_eq!(
        (&shown["name"], &shown["hash"]),
        (&json!("\"shop\""), &Value::Null)
    );
    assert!(!config.json.to_string().contains(&key.hash), "{config:?}");
}

#[test]
fn a_changed_log_level_changes_what_is_logged() {
    for (before, now, is_said) in [("off", "info", true), ("info", "off", false)] {
        let mut relay = Relay::start_with_admin(&["--log-level", before]);
        let api = Api::of(&relay);
        assert_eq!(api.see(LOG_LEVEL), json!({ "level": before }));
        let changed = api.send("PUT", LOG_LEVEL, &json!({ "level": now }));
        assert_eq!(
            (changed.status, &changed.json),
            (200, &json!({ "level": now }))
        );
        assert_eq!(api.see(LOG_LEVEL), json!({ "level": now }));
        let refused = api.send("PUT", LOG_LEVEL, &json!({"level": "loud"}));
        assert_eq!(refused.status, 422, "{refused:?}");
        relay.terminate();
        assert!(relay.wait().success(), "{}", relay.output());
        let output = relay.output();
        assert_eq!(
            output.contains(FAREWELL),
            is_said,
            "{before} to {now}: {output}"
        );
    }
}
