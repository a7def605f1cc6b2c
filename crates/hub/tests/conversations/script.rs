//! A small vocabulary: clients say text and expect text, and the hub's promises are checked after
//! every input.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::{Arc, Mutex},
};

use fourtuple_hub::{
    ConnId, Counters, Full, Hub, Incoming, Interest, Limits, Mail, Output, Post, Router,
    Serializer, ShardIndex,
};
use proto::ws::{self, CloseCode};

use crate::room::{House, Person, router};

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Text(String),
    Binary(Vec<u8>),
    Closed(u16),
}

/// Shards with a hub each, and the mail between them.
#[derive(Clone)]
pub(crate) struct Node(Rc<RefCell<Inner>>);

struct Inner {
    hubs: Vec<Hub<House>>,
    office: Arc<Office>,
    inboxes: HashMap<(u16, ConnId), VecDeque<Got>>,
    next_index: u32,
}

/// Where handles post, as threads would.
#[derive(Default)]
pub(crate) struct Office(Mutex<VecDeque<(ShardIndex, Mail)>>);

impl Post for Office {
    fn post(&self, shard: ShardIndex, mail: Mail) -> Result<(), Full> {
        self.0.lock().unwrap().push_back((shard, mail));
        Ok(())
    }
}

/// With which no two topics of these tests share a row of the table of interest.
pub(crate) const SEED: u64 = 0;

/// A client of one shard.
#[derive(Clone)]
pub(crate) struct Client {
    node: Node,
    shard: u16,
    pub(crate) conn: ConnId,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with(1, Limits::default(), router())
    }

    pub(crate) fn with(shards_count: u16, limits: Limits, router: Router<House>) -> Self {
        let office = Arc::new(Office::default());
        let router = Arc::new(router);
        let interest = Arc::new(Interest::new(shards_count, SEED));
        let hub = |shard| {
            let post = Arc::clone(&office) as Arc<dyn Post>;
            let (router, interest) = (Arc::clone(&router), Arc::clone(&interest));
            Hub::new(router, ShardIndex(shard), interest, post, limits)
        };
        let hubs = (0..shards_count).map(hub).collect();
        let inboxes = HashMap::new();
        Self(Rc::new(RefCell::new(Inner {
            hubs,
            office,
            inboxes,
            next_index: 0,
        })))
    }

    pub(crate) fn connect(&self, serializer: Serializer) -> Client {
        self.connect_to(0, serializer, Person::default())
    }

    pub(crate) fn connect_as(&self, name: &str) -> Client {
        self.connect_to(0, Serializer::V2, Person::named(name))
    }

    pub(crate) fn connect_to(&self, shard: u16, serializer: Serializer, person: Person) -> Client {
        let index = self.0.borrow().next_index;
        self.0.borrow_mut().next_index += 1;
        self.connect_at(
            shard,
            ConnId {
                index,
                generation: 0,
            },
            serializer,
            person,
        )
    }

    pub(crate) fn connect_at(
        &self,
        shard: u16,
        conn: ConnId,
        serializer: Serializer,
        person: Person,
    ) -> Client {
        self.0
            .borrow_mut()
            .inboxes
            .insert((shard, conn), VecDeque::new());
        self.run(shard, |hub, out| {
            hub.handle_open(conn, serializer, person, out)
        });
        Client {
            node: self.clone(),
            shard,
            conn,
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        *self.0.borrow().hubs[0].counters()
    }

    /// Asks the hub of the first shard.
    pub(crate) fn ask<R>(&self, question: impl FnOnce(&Hub<House>) -> R) -> R {
        question(&self.0.borrow().hubs[0])
    }

    /// Gives the hub of a shard one input, and then all mail that follows from it.
    pub(crate) fn run(
        &self,
        shard: u16,
        input: impl FnOnce(&mut Hub<House>, &mut dyn FnMut(Output)),
    ) {
        let inner = &mut *self.0.borrow_mut();
        inner.input(shard, input);
        loop {
            let mail = inner.office.0.lock().unwrap().pop_front();
            let Some((ShardIndex(shard), mail)) = mail else {
                break;
            };
            inner.input(shard, |hub, out| hub.handle_mail(mail, out));
        }
    }
}

impl Inner {
    fn input(&mut self, shard: u16, input: impl FnOnce(&mut Hub<House>, &mut dyn FnMut(Output))) {
        let mut outputs = Vec::new();
        let hub = &mut self.hubs[usize::from(shard)];
        input(hub, &mut |output| outputs.push(output));
        hub.invariants();
        for output in outputs {
            match output {
                Output::Send { conn, frame } => self.receive(shard, conn, read(frame.as_bytes())),
                Output::Close { conn, code, .. } => {
                    let CloseCode(code) = code;
                    self.receive(shard, conn, Got::Closed(code));
                }
                Output::Publish {
                    shard: to,
                    publication,
                } => {
                    assert_ne!(to, ShardIndex(shard), "a shard tells others");
                    let mail = (to, Mail::Publish(publication));
                    self.office.0.lock().unwrap().push_back(mail);
                }
            }
        }
    }

    fn receive(&mut self, shard: u16, conn: ConnId, got: Got) {
        let inbox = self
            .inboxes
            .get_mut(&(shard, conn))
            .expect("only who is connected is sent to");
        let is_closed = matches!(inbox.back(), Some(Got::Closed(_)));
        assert!(!is_closed, "{conn:?} got {got:?} after it was closed");
        inbox.push_back(got);
    }
}

impl Client {
    /// The client sends a text message.
    pub(crate) fn says(&self, text: &str) {
        self.run(|hub, out, conn| hub.handle_message(conn, Incoming::Text(text), out));
    }

    /// The client sends a binary message.
    pub(crate) fn says_bytes(&self, bytes: &[u8]) {
        self.run(|hub, out, conn| hub.handle_message(conn, Incoming::Binary(bytes), out));
    }

    /// The connection ends from the client's side.
    pub(crate) fn goes(&self) {
        self.run(|hub, out, conn| hub.handle_close(conn, out));
    }

    /// A V2 join that is granted with an empty reply.
    pub(crate) fn joins(&self, topic: &str) {
        self.says(&format!(r#"["1","1","{topic}","phx_join",{{}}]"#));
        self.hears(&format!(
            r#"["1","1","{topic}","phx_reply",{{"status":"ok","response":{{}}}}]"#
        ));
    }

    /// A V2 push of the join "1".
    pub(crate) fn pushes(&self, topic: &str, event: &str, payload: &str) {
        self.says(&format!(r#"["1","2","{topic}","{event}",{payload}]"#));
    }

    /// The next thing the client got is this text.
    #[track_caller]
    pub(crate) fn hears(&self, text: &str) {
        assert_eq!(self.next(), Some(Got::Text(text.to_owned())));
    }

    #[track_caller]
    pub(crate) fn hears_bytes(&self, bytes: &[u8]) {
        assert_eq!(self.next(), Some(Got::Binary(bytes.to_vec())));
    }

    /// The next thing the client got is the end, with this code, and nothing after it.
    #[track_caller]
    pub(crate) fn is_closed(&self, code: u16) {
        assert_eq!(self.next(), Some(Got::Closed(code)));
        self.hears_nothing();
    }

    #[track_caller]
    pub(crate) fn hears_nothing(&self) {
        assert_eq!(self.next(), None);
    }

    pub(crate) fn next(&self) -> Option<Got> {
        let inner = &mut *self.node.0.borrow_mut();
        inner.inboxes.get_mut(&(self.shard, self.conn))?.pop_front()
    }

    fn run(&self, input: impl FnOnce(&mut Hub<House>, &mut dyn FnMut(Output), ConnId)) {
        self.node
            .run(self.shard, |hub, out| input(hub, out, self.conn));
    }
}

/// A frame as a client reads it; exactly one, or the hub has broken its word.
pub(crate) fn read(frame: &[u8]) -> Got {
    let limits = ws::Limits {
        frame_bytes_max: 1 << 20,
        message_bytes_max: 1 << 20,
        fragments_max: 1,
    };
    let mut endpoint = ws::Endpoint::new(ws::Role::Client);
    let mut bytes = frame.to_vec();
    let mut reader = endpoint.read(&limits, &mut bytes);
    let got = match reader.next_event().unwrap() {
        Some(ws::Event::Text(text)) => Got::Text(text.to_owned()),
        Some(ws::Event::Binary(bytes)) => Got::Binary(bytes.to_vec()),
        other => panic!("a hub sends text and binary frames, not {other:?}"),
    };
    assert!(
        reader.next_event().unwrap().is_none(),
        "one output is one frame"
    );
    assert!(!endpoint.owns_buffer(), "a frame is whole");
    got
}
