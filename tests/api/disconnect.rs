//! Who is disconnected hears 1001, and nobody else is.

use serde_json::json;

use crate::{
    call::Api,
    support::{relay::Relay, wire::Wire},
};

const DISCONNECT: &str = "/api/v1/disconnect";

fn user(relay: &Relay, name: &str) -> Wire {
    Wire::open_at(
        relay.addr(),
        &format!("/socket/websocket?vsn=2.0.0&user={name}"),
    )
}

#[test]
fn one_id_one_socket_id_one_topic_one_address() {
    let relay = Relay::start_with_admin(&["--shards", "2", "--socket-id-param", "user"]);
    let api = Api::of(&relay);
    let found =
        |query: &str| api.see(&format!("/api/v1/connections?{query}"))["connections"].clone();
    let mut bystander = user(&relay, "bystander");
    bystander.join("1", "room:other");

    let mut ann = user(&relay, "ann");
    let id = found("socket_id=ann")[0]["id"].clone();
    let closed = api.post(DISCONNECT, &json!({ "connection": id }));
    assert_eq!(closed.json, json!({"closed": 1, "complete": true}));
    ann.expect_close(1001);
    let again = api.post(DISCONNECT, &json!({ "connection": id }));
    assert_eq!(again.json["closed"], 0, "{again:?}");

    let mut bens: Vec<_> = (0..20).map(|_| user(&relay, "ben")).collect();
    let closed = api.post(DISCONNECT, &json!({"socket_id": "ben"}));
    assert_eq!(closed.json, json!({"closed": 20, "complete": true}));
    bens.iter_mut().for_each(|ben| ben.expect_close(1001));

    let mut members: Vec<_> = (0..20).map(|_| user(&relay, "cat")).collect();
    members
        .iter_mut()
        .for_each(|member| member.join("1", "room:closed"));
    let closed = api.post(DISCONNECT, &json!({"topic": "room:closed"}));
    assert_eq!(closed.json, json!({"closed": 20, "complete": true}));
    members
        .iter_mut()
        .for_each(|member| member.expect_close(1001));

    let mut dan = user(&relay, "dan");
    let address = found("socket_id=dan")[0]["address"].clone();
    let closed = api.post(DISCONNECT, &json!({ "address": address }));
    assert_eq!(closed.json, json!({"closed": 1, "complete": true}));
    dan.expect_close(1001);

    let mut eve = user(&relay, "eve");
    let id = found("socket_id=eve")[0]["id"].clone();
    let path = format!("/api/v1/connections/{}", id.as_str().expect("an id"));
    assert_eq!(api.call("DELETE", &path, &[], None).status, 200);
    eve.expect_close(1001);
    assert_eq!(api.call("DELETE", &path, &[], None).status, 404);

    bystander.expect_silence();
    let closed = api.post(DISCONNECT, &json!({"address": "127.0.0.1"}));
    assert_eq!(closed.json, json!({"closed": 1, "complete": true}));
    bystander.expect_close(1001);
}

#[test]
fn more_than_a_shard_closes_at_a_time() {
    let relay = Relay::start_with_admin(&["--shards", "1"]);
    let mut wires: Vec<_> = (0..2_300).map(|_| Wire::open(relay.addr())).collect();
    wires.iter_mut().for_each(|wire| wire.join("1", "room:a"));
    let closed = Api::of(&relay).post(DISCONNECT, &json!({"topic": "room:a"}));
    assert_eq!(closed.json, json!({"closed": 2_300, "complete": true}));
    wires.iter_mut().for_each(|wire| wire.expect_close(1001));
}
