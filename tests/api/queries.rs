//! What is asked of topics and connections equals what the test connected.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    call::Api,
    support::{relay::Relay, wire::Wire},
};

/// All items of a list, page by page.
fn pages(api: Api, path: &str, list: &str) -> (Vec<Value>, usize) {
    let (mut items, mut count, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = api.see(&format!("{path}{cursor}"));
        count += 1;
        assert!(count < 10_000, "{path} does not end");
        items.extend(page[list].as_array().expect("a list").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (items, count),
        }
    }
}

fn texts(items: &[Value], field: &str) -> BTreeSet<String> {
    let text = |item: &Value| item[field].as_str().expect("a text").to_owned();
    items.iter().map(text).collect()
}

#[test]
fn thousands_of_connections_are_found_page_by_page() {
    const COUNT: usize = 2_500;
    let relay = Relay::start_with_admin(&["--shards", "3", "--socket-id-param", "user"]);
    let api = Api::of(&relay);
    let mut wires = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        let user = if number < 130 { "few" } else { "many" };
        let target = format!("/socket/websocket?vsn=2.0.0&user={user}");
        let mut wire = Wire::open_at(relay.addr(), &target);
        if number % 10 == 0 {
            wire.join("1", "room:tenth");
        }
        if number < 300 {
            wire.join("2", &format!("room:game:{number}"));
        }
        wires.push(wire);
    }

    let (all, count) = pages(api, "/api/v1/connections?limit=100", "connections");
    assert_eq!((all.len(), texts(&all, "id").len()), (COUNT, COUNT));
    assert!(count >= COUNT / 100, "{count} pages");
    let (small, _) = pages(
        api,
        "/api/v1/connections?limit=7&topic=room%3Atenth",
        "connections",
    );
    assert_eq!(
        (small.len(), texts(&small, "id").len()),
        (COUNT / 10, COUNT / 10)
    );
    let (few, _) = pages(api, "/api/v1/connections?socket_id=few", "connections");
    assert_eq!(texts(&few, "id").len(), 130);
    let (here, _) = pages(api, "/api/v1/connections?address=127.0.0.1", "connections");
    assert_eq!(texts(&here, "id"), texts(&all, "id"));
    let address = all[0]["address"].as_str().expect("an address");
    let (one, _) = pages(
        api,
        &format!("/api/v1/connections?address={address}"),
        "connections",
    );
    assert_eq!(one.len(), 1);
    let elsewhere = api.see("/api/v1/connections?address=192.0.2.1");
    assert_eq!(elsewhere["connections"].as_array().map(Vec::len), Some(0));

    let id = few[0]["id"].as_str().expect("an id");
    let alone = api.see(&format!("/api/v1/connections/{id}"));
    assert_eq!(
        (&alone["id"], &alone["socket_id"]),
        (&few[0]["id"], &few[0]["socket_id"])
    );
    assert_eq!(alone["vsn"], "2.0.0");
    let joined = alone["topics"].as_array().map(Vec::len);
    assert_eq!(alone["channels"].as_u64(), joined.map(|count| count as u64));
    let by_id = api.see(&format!("/api/v1/connections?id={id}"));
    assert_eq!(by_id["connections"][0]["id"], id);

    let (games, _) = pages(
        api,
        "/api/v1/topics?search=room%3Agame%3A*&limit=50",
        "topics",
    );
    assert_eq!((games.len(), texts(&games, "topic").len()), (300, 300));
    assert!(games.iter().all(|game| game["members"] == 1), "{games:?}");

    // The regular look through the tables finds them within a second or two.
    let largest = api.see_until("/api/v1/topics?limit=1", |page| {
        page["topics"][0]["topic"] == "room:tenth"
    });
    assert_eq!(largest["topics"][0]["members"], COUNT / 10);
    assert_eq!(
        (&largest["from"], &largest["complete"]),
        (&"census".into(), &false.into())
    );
    let tenth = api.see("/api/v1/topics/room%3Atenth");
    assert_eq!(tenth["members"], COUNT / 10);
    assert_eq!(tenth["connections"].as_array().map(Vec::len), Some(100));
    let addresses = api.see_until("/api/v1/addresses", |page| {
        page["addresses"][0]["connections"] == COUNT
    });
    assert_eq!(addresses["addresses"][0]["address"], "127.0.0.1");
    assert_eq!(addresses["addresses"][0]["error"], 0);
}

#[test]
fn a_topic_is_listed_once_however_many_shards_have_members() {
    let relay = Relay::start_with_admin(&["--shards", "2"]);
    let api = Api::of(&relay);
    let mut wires: Vec<_> = (0..40).map(|_| Wire::open(relay.addr())).collect();
    for wire in &mut wires {
        wire.join("1", "room:a");
        wire.join("2", "room:b");
    }
    let (found, _) = pages(api, "/api/v1/topics?search=room%3A*&limit=1", "topics");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().all(|topic| topic["members"] == 40),
        "{found:?}"
    );
    let (exact, _) = pages(api, "/api/v1/topics?search=room%3Aa", "topics");
    assert_eq!(
        texts(&exact, "topic"),
        BTreeSet::from(["room:a".to_owned()])
    );
}

#[test]
fn the_busiest_topic_is_known_by_its_rate() {
    let relay = Relay::start_with_admin(&["--shards", "2"]);
    let api = Api::of(&relay);
    let mut wires: Vec<_> = (0..6).map(|_| Wire::open(relay.addr())).collect();
    for wire in &mut wires {
        wire.join("1", "room:busy");
        wire.join("2", "room:calm");
    }
    let page = api.see_until("/api/v1/topics?sort=rate", |page| {
        let busy = serde_json::json!({"topic": "room:busy", "event": "e", "payload": 1});
        assert_eq!(api.post("/api/v1/publish", &busy).status, 202);
        page["topics"][0]["messages_per_s"].as_f64() > Some(1.0)
    });
    assert_eq!(page["from"], "sketch");
    let busy = &page["topics"][0];
    assert_eq!(
        (&busy["topic"], &busy["members"]),
        (&"room:busy".into(), &6.into())
    );
    // Each message reached all six, on whichever shards they are.
    let rate = |field: &str| busy[field].as_f64().expect("a rate");
    let ratio = rate("deliveries_per_s") / rate("messages_per_s");
    assert!((5.0..=6.5).contains(&ratio), "{busy}");
}

#[test]
fn who_reads_slowly_is_listed_first() {
    let relay = Relay::start_with_admin(&["--shards", "2", "--socket-id-param", "user"]);
    let api = Api::of(&relay);
    let mut wires = ["slow", "quick"].map(|user| {
        let target = format!("/socket/websocket?vsn=2.0.0&user={user}");
        Wire::open_at(relay.addr(), &target)
    });
    wires[0].join("1", "room:slow");
    wires[1].join("1", "room:quick");
    // It reads nothing, so what the kernel does not take waits with the server.
    let large = serde_json::json!({
        "topic": "room:slow", "event": "e", "payload": "x".repeat(200_000),
    });
    let outbox = |connection: &Value| connection["outbox_bytes"].as_u64().expect("a number");
    let found = || api.see("/api/v1/connections?socket_id=slow")["connections"][0].clone();
    for _ in 0..100 {
        if outbox(&found()) > 0 {
            break;
        }
        assert_eq!(api.post("/api/v1/publish", &large).status, 202);
    }
    let page = api.see_until("/api/v1/connections?sort=outbox&limit=5", |page| {
        // A kernel that has grown its buffers meanwhile has taken what waited; they do not grow for ever.
        if outbox(&found()) == 0 {
            api.post("/api/v1/publish", &large);
        }
        page["connections"][0].is_object()
    });
    let listed = page["connections"].as_array().expect("a list");
    assert_eq!(
        (listed.len(), &listed[0]["socket_id"]),
        (1, &"slow".into()),
        "{page}"
    );
    assert!(
        outbox(&listed[0]) > 0 && page["as_of_s"].is_number(),
        "{page}"
    );
}

#[test]
fn many_shards_are_walked_through_page_by_page() {
    let relay = Relay::start_with_admin(&["--shards", "110", "--kernel", "epoll"]);
    let api = Api::of(&relay);
    let mut wires: Vec<_> = (0..300).map(|_| Wire::open(relay.addr())).collect();
    wires.iter_mut().for_each(|wire| wire.join("1", "room:all"));
    let (all, count) = pages(api, "/api/v1/connections?limit=100", "connections");
    assert_eq!((all.len(), texts(&all, "id").len()), (300, 300));
    // A request looks through 32 places of tables at most, and here each shard has one.
    assert!(count >= 110_usize.div_ceil(32), "{count} pages");
    let (members, _) = pages(api, "/api/v1/connections?topic=room%3Aall", "connections");
    assert_eq!(texts(&members, "id"), texts(&all, "id"));
    let (topics, _) = pages(api, "/api/v1/topics?search=room%3A*", "topics");
    assert_eq!(
        (topics.len(), &topics[0]["members"]),
        (1, &300.into()),
        "{topics:?}"
    );
    let closed = api.post(
        "/api/v1/disconnect",
        &serde_json::json!({"topic": "room:all"}),
    );
    assert_eq!(closed.json["closed"], 300, "{closed:?}");
}
