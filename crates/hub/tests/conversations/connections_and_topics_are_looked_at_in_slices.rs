//! What a hub tells an operator, a range of its tables at a time, and what he may close.

use std::sync::Arc;

use fourtuple_hub::{
    Broadcast, Mail, Publication,
    Serializer::{V1, V2},
};
use serde_json::json;

use crate::{room::Person, script::Node};

#[test]
fn a_connection_is_known_with_its_id_and_its_topics() {
    let node = Node::new();
    let ann = node.connect_to(0, V1, Person::named("ann"));
    let bob = node.connect(V2);
    for topic in ["room:b", "room:a"] {
        bob.joins(topic);
    }
    node.ask(|hub| {
        let known = hub.known(ann.conn).expect("ann is there");
        assert_eq!(
            (known.serializer, known.socket_id),
            (V1, Some("person:ann"))
        );
        assert_eq!(hub.topics_of(ann.conn).count(), 0);
        let known = hub.known(bob.conn).expect("bob is there");
        assert_eq!((known.socket_id, known.channels_count), (None, 2));
        let topics: Vec<_> = hub.topics_of(bob.conn).collect();
        assert_eq!(topics, ["room:b", "room:a"]);
        assert_eq!(
            hub.conns_of("person:ann", 0).collect::<Vec<_>>(),
            [ann.conn]
        );
    });
    ann.goes();
    assert!(node.ask(|hub| hub.known(ann.conn).is_none()));
}

#[test]
fn all_topics_are_found_whatever_the_size_of_the_slice() {
    let node = Node::new();
    let clients: Vec<_> = [V2, V2, V2]
        .map(|serializer| node.connect(serializer))
        .into();
    for client in &clients {
        client.joins("room:all");
    }
    for number in 0..70 {
        clients[0].joins(&format!("room:{number}"));
    }
    node.ask(|hub| {
        let places = hub.topic_places_count();
        for slice in [1, 7, places] {
            let starts = (0..places).step_by(slice as usize);
            let found = starts.flat_map(|from| hub.topics_at(from..(from + slice).min(places)));
            let found: Vec<_> = found.collect();
            assert_eq!(found.len(), 71);
            assert!(found.contains(&("room:all", 3)));
        }
        let members: Vec<_> = hub.members("room:all", 0).collect();
        assert_eq!(members.len(), 3);
        assert_eq!(hub.members("room:all", 1).collect::<Vec<_>>(), members[1..]);
        assert_eq!(hub.members("room:none", 0).count(), 0);
    });
}

#[test]
fn who_is_disconnected_by_an_operator_is_told_as_by_a_socket_id() {
    let node = Node::new();
    let [ann, bob, eve] = [V2, V2, V2].map(|serializer| node.connect(serializer));
    for client in [&ann, &bob, &eve] {
        client.joins("room:a");
    }
    let conns = [ann.conn, eve.conn, ann.conn];
    node.run(0, |hub, out| assert_eq!(hub.disconnect(conns, out), 2));
    for client in [&ann, &eve] {
        client.is_closed(1001);
    }
    bob.hears_nothing();
    assert_eq!(node.counters().disconnects, 2);
    assert_eq!(node.ask(|hub| hub.conns_count()), 1);
}

#[test]
fn a_publication_may_leave_one_connection_out() {
    let node = Node::new();
    let [ann, bob] = [V2, V2].map(|serializer| node.connect(serializer));
    for client in [&ann, &bob] {
        client.joins("room:a");
    }
    let broadcast = Broadcast::new("room:a", "news", json!({})).expect("JSON");
    let mail = Mail::Publish(Publication::BroadcastFrom(broadcast, ann.conn));
    node.run(0, |hub, out| hub.handle_mail(mail, out));
    bob.hears(r#"[null,null,"room:a","news",{}]"#);
    ann.hears_nothing();
}

#[test]
fn the_busiest_topics_are_counted_from_the_first_question_on() {
    let node = Node::new();
    let clients: Vec<_> = (0..3).map(|_| node.connect(V2)).collect();
    for client in &clients {
        client.joins("room:loud");
    }
    clients[0].joins("room:quiet");
    let publish = |topic: &str, times| {
        let broadcast = Broadcast::new(topic, "news", json!({})).expect("JSON");
        for _ in 0..times {
            let mail = Mail::Publish(Publication::Broadcast(Arc::clone(&broadcast)));
            node.run(0, |hub, out| hub.handle_mail(mail, out));
        }
    };
    publish("room:loud", 5);
    let mut lists = Vec::new();
    node.run(0, |hub, _| lists.push(hub.take_busiest()));
    publish("room:loud", 4);
    publish("room:quiet", 1);
    publish("room:nobody", 9);
    node.run(0, |hub, _| lists.push(hub.take_busiest()));
    assert!(lists[0].is_empty());
    let mut second: Vec<_> = lists[1]
        .iter()
        .map(|known| (&*known.key, known.times, known.weight))
        .collect();
    second.sort_unstable();
    assert_eq!(second, [("room:loud", 4, 12), ("room:quiet", 1, 1)]);
}
