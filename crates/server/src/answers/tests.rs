//! Real connections, asked about and closed through the control.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use engine::ShardIndex;
use hub::{Broadcast, IntoPayload as _};
use proto::ws::{self, OpCode};

use super::*;
use crate::{
    Node,
    config::{AdminListen, Config},
    control::{Conn, Control},
    question::{Look, Pattern, Reply},
    relay,
};

const PATIENCE: Duration = Duration::from_secs(20);
const SHARD: ShardIndex = ShardIndex(0);

/// A node of one shard.
struct Hall {
    node: Option<Node>,
    address: SocketAddr,
    control: Control,
}

struct Guest(TcpStream);

impl Hall {
    fn open() -> Self {
        let mut config = Config {
            listen: "127.0.0.1:0".parse().expect("an address"),
            shards: Some(1),
            ..Config::default()
        };
        config.admin.listen = AdminListen::Off;
        config.socket.id_param = Some("user".to_owned());
        let node = Node::start(relay(&config), config).expect("a port is free");
        Self {
            address: node.local_addr(),
            control: node.control().clone(),
            node: Some(node),
        }
    }

    /// Connects under a name and joins topics.
    fn admit(&self, user: &str, topics: &[&str]) -> Guest {
        let stream = TcpStream::connect(self.address).expect("it listens");
        let timeout = Some(PATIENCE);
        stream.set_read_timeout(timeout).expect("a time to wait");
        let mut guest = Guest(stream);
        let request = format!(
            "GET /socket/websocket?vsn=2.0.0&user={user} HTTP/1.1\r\nHost: {}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.address
        );
        guest.0.write_all(request.as_bytes()).expect("it reads");
        guest.hears("\r\n\r\n");
        for topic in topics {
            guest.joins(topic);
        }
        guest
    }

    fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Question) -> T {
        let answer = self.control.ask(SHARD, question).expect("there is room");
        answer.blocking_recv().expect("the shard lives")
    }

    /// Everybody whom a search finds, page by page.
    fn find(&self, search: &Search) -> Vec<Brief> {
        let (mut found, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let page = self.ask(|reply| Question::Conns(search.clone(), from, ITEMS_MAX, reply));
            found.extend(page.items);
            next = page.next;
        }
        found
    }

    fn close(&self, search: &Search) -> usize {
        let (mut count, mut next) = (0, Some(0));
        while let Some(from) = next {
            let closed = self.ask(|reply| Question::Close(search.clone(), from, reply));
            count += closed.count;
            next = closed.next;
        }
        count
    }
}

impl Drop for Hall {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.drain();
            node.join().expect("its kernel works");
        }
    }
}

impl Guest {
    fn joins(&mut self, topic: &str) {
        let text = format!(r#"["1","1","{topic}","phx_join",{{}}]"#);
        let mut frame = Vec::new();
        ws::encode(
            &mut frame,
            OpCode::Text,
            text.as_bytes(),
            Some([1, 2, 3, 4]),
        );
        self.0.write_all(&frame).expect("it reads");
        self.hears(r#""status":"ok""#);
    }

    /// Waits for bytes that contain a text.
    #[track_caller]
    fn hears(&mut self, text: &str) {
        let (mut heard, mut byte) = (Vec::new(), [0]);
        while !heard
            .windows(text.len())
            .any(|window| window == text.as_bytes())
        {
            let read = self.0.read_exact(&mut byte);
            read.unwrap_or_else(|error| panic!("{error}: {heard:?} for {text}"));
            heard.extend_from_slice(&byte);
        }
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("it is connected")
    }
}

#[test]
fn a_connection_is_found_by_whatever_is_known_of_it() {
    let hall = Hall::open();
    let ann = hall.admit("ann", &["room:a", "room:b"]);
    let _bob = hall.admit("bob", &["room:a"]);
    let found = |search| {
        let found = hall.find(&search).into_iter();
        let mut names: Vec<_> = found.filter_map(|brief| brief.socket_id).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(found(Search::All), ["ann", "bob"]);
    assert_eq!(found(Search::SocketId("ann".into())), ["ann"]);
    assert_eq!(found(Search::Topic("room:a".into())), ["ann", "bob"]);
    assert_eq!(found(Search::Topic("room:b".into())), ["ann"]);
    let SocketAddr::V4(address) = ann.address() else {
        panic!("an IPv4 client");
    };
    let (ip, port) = ((*address.ip()).into(), address.port());
    assert_eq!(found(Search::Address(ip, Some(port))), ["ann"]);
    assert_eq!(found(Search::Address(ip, None)).len(), 2);
    let [brief] = &hall.find(&Search::SocketId("ann".into()))[..] else {
        panic!("one ann");
    };
    assert_eq!((brief.peer, brief.vsn), (ann.address(), "2.0.0"));
    let detail = hall.ask(|reply| Question::Conn(brief.conn, reply));
    let detail = detail.expect("ann is there");
    assert_eq!(
        (&detail.brief.conn, detail.brief.channels_count),
        (&brief.conn, 2)
    );
    assert_eq!(detail.topics, ["room:a", "room:b"]);
    let nobody = hub::ConnId {
        generation: brief.conn.generation + 1,
        ..brief.conn
    };
    assert_eq!(hall.ask(|reply| Question::Conn(nobody, reply)), None);
}

#[test]
fn all_of_many_are_found_page_by_page_and_closed_batch_by_batch() {
    let hall = Hall::open();
    let count = ITEMS_MAX * 2 + 7;
    let mut guests: Vec<_> = (0..count)
        .map(|_| hall.admit("many", &["room:a"]))
        .collect();
    let many = || Search::SocketId("many".into());
    for search in [Search::All, many(), Search::Topic("room:a".into())] {
        let mut conns: Vec<_> = hall.find(&search).iter().map(|brief| brief.conn).collect();
        conns.sort_unstable();
        conns.dedup();
        assert_eq!(conns.len(), count, "{search:?}");
    }
    let one = hall.find(&Search::All)[0].conn;
    assert_eq!(hall.close(&Search::Conn(one)), 1);
    let ip = guests[0].address().ip();
    let first = guests
        .iter()
        .map(Guest::address)
        .find(|address| hall.find(&Search::Address(ip, Some(address.port()))).len() == 1)
        .expect("all but one are there");
    assert_eq!(hall.close(&Search::Address(ip, Some(first.port()))), 1);
    assert_eq!(hall.close(&Search::Topic("room:a".into())), count - 2);
    assert!(hall.find(&many()).is_empty());
    for guest in &mut guests {
        guest.hears("disconnect");
    }
}

#[test]
fn what_is_counted_is_what_happened() {
    let hall = Hall::open();
    let mut ann = hall.admit("ann", &["room:a"]);
    let mut bob = hall.admit("bob", &["room:a", "room:b"]);
    let payload = serde_json::json!({}).into_payload().expect("JSON");
    let broadcast = Broadcast::new("room:a", "news", &payload).expect("it is encoded");
    let look = || hall.ask(Question::Look);
    assert!(
        look().busiest.is_empty(),
        "the first question begins the count"
    );
    assert_eq!(hall.control.publish(&broadcast, None), Ok(1));
    ann.hears("news");
    bob.hears("news");
    let [found] = &hall.find(&Search::SocketId("ann".into()))[..] else {
        panic!("one ann");
    };
    let but = Conn {
        shard: SHARD,
        conn: found.conn,
    };
    assert_eq!(hall.control.publish(&broadcast, Some(but)), Ok(1));
    bob.hears("news");
    let facts = hall.ask(|reply| Question::Facts(Instant::now(), reply));
    assert_eq!((facts.channels_count, facts.topics_count), (3, 2));
    assert_eq!((facts.hub.joins, facts.hub.deliveries), (3, 3));
    assert_eq!(
        (facts.fanout_members.count, facts.fanout_members.sum),
        (2, 3)
    );
    assert_eq!(facts.joins.count, 3, "a quiet second is timed whole");
    let members = |topics: &[&str]| {
        let topics = topics.iter().map(|topic| (*topic).into()).collect();
        hall.ask(|reply| Question::Members(topics, reply))
    };
    assert_eq!(members(&["room:b", "room:a", "room:c"]), [1, 2, 0]);
    let before = Instant::now();
    let Look { busiest, taken } = look();
    assert!(taken >= before, "it is told when that was");
    assert_eq!(
        (&*busiest[0].key, busiest[0].times, busiest[0].weight),
        ("room:a", 2, 3)
    );
    let census = hall.ask(Question::Slice);
    let census = census.expect("so few are looked through at once");
    assert!(census.ended >= taken);
    assert_eq!(census.topics_count, 2);
    assert_eq!(census.largest[0], ("room:a".to_owned(), 2));
    assert_eq!(
        (census.addresses[0].key, census.addresses[0].times),
        (ann.address().ip(), 2)
    );
    let topics = hall.ask(|reply| Question::Topics(Pattern::new("room:*"), 0, ITEMS_MAX, reply));
    assert_eq!(
        topics.items,
        [("room:a".to_owned(), 2), ("room:b".to_owned(), 1)]
    );
    drop(ann);
    let deadline = Instant::now() + PATIENCE;
    let closes = || {
        hall.ask(|reply| Question::Facts(Instant::now(), reply))
            .closes
    };
    while closes().values().sum::<u64>() == 0 {
        assert!(Instant::now() < deadline, "an end is counted");
        std::thread::yield_now();
    }
}
