//! Two apps for the tests: a server that echoes and broadcasts, and clients that check every echo.
#![allow(
    dead_code,
    reason = "each test file uses its own part of the vocabulary"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use fourtuple_engine::{
    Answer, App, Cause, Closed, ConnId, Dial, Io, Message, ShardIndex, Trouble, Tunnel,
};
use proto::{
    Frame, http,
    ws::{
        self, CloseCode, OpCode,
        handshake::{self, ClientKey, Upgrade},
    },
};

/// A text frame in the server's role.
pub(crate) fn text(text: &str) -> Frame {
    let mut frame = Vec::new();
    ws::encode(&mut frame, OpCode::Text, text.as_bytes(), None);
    Frame::from(frame)
}

/// A text frame in the client's role.
pub(crate) fn masked(text: &str, mask: [u8; 4]) -> Frame {
    let mut frame = Vec::new();
    ws::encode(&mut frame, OpCode::Text, text.as_bytes(), Some(mask));
    Frame::from(frame)
}

/// What the server side has seen, shared with the test.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How connections ended, by label.
    pub(crate) ends: BTreeMap<&'static str, u32>,
    pub(crate) troubles: Vec<Trouble>,
}

/// Echoes text; `all:` goes to everybody on every shard; `flood:N` is answered with N KiB; `bye` is
/// answered with a close.
pub(crate) struct EchoServer {
    open: BTreeSet<(u32, u32)>,
    announced: BTreeSet<(u32, u32)>,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl EchoServer {
    pub(crate) fn new(seen: Arc<Mutex<Seen>>) -> Self {
        Self {
            open: BTreeSet::new(),
            announced: BTreeSet::new(),
            seen,
        }
    }

    fn send_to_all(&self, frame: &Frame, io: &mut Io<'_, Frame>) {
        for &(index, generation) in &self.open {
            io.send(ConnId { index, generation }, frame.clone());
        }
    }
}

impl App for EchoServer {
    type Mail = Frame;

    fn handle_request(
        &mut self,
        conn: ConnId,
        request: &http::Request<'_>,
        _: SocketAddr,
        response: &mut Vec<u8>,
        _: &mut Io<'_, Frame>,
    ) -> Answer {
        match handshake::accept(request) {
            Ok(accept) => {
                accept.encode(response, None);
                let new = self.announced.insert((conn.index, conn.generation));
                assert!(new, "announced twice");
                Answer::Upgrade
            }
            Err(refusal) => {
                refusal.encode(response);
                Answer::Refuse
            }
        }
    }

    fn handle_connected(&mut self, _: ConnId, _: &mut Vec<u8>, _: &mut Io<'_, Frame>) -> ClientKey {
        unreachable!("a server dials nobody")
    }

    fn handle_open(&mut self, conn: ConnId, _: &mut Io<'_, Frame>) {
        assert!(
            self.open.insert((conn.index, conn.generation)),
            "opened twice"
        );
    }

    fn handle_message(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, Frame>) {
        assert!(
            self.open.contains(&(conn.index, conn.generation)),
            "a message of nobody"
        );
        let Message::Text(said) = message else { return };
        if said == "bye" {
            io.close(conn, CloseCode::GOING_AWAY, "as you wish");
        } else if let Some(kib) = said.strip_prefix("flood:") {
            for _ in 0..kib.parse::<u32>().unwrap() {
                io.send(conn, text(&"x".repeat(1020)));
            }
        } else if said.starts_with("all:") {
            let frame = text(said);
            self.send_to_all(&frame, io);
            let this = io.shard();
            let others = (0..io.shards_count()).map(ShardIndex);
            for shard in others.filter(|&shard| shard != this) {
                io.post(shard, frame.clone());
            }
        } else {
            io.send(conn, text(said));
        }
    }

    fn handle_close(&mut self, conn: ConnId, closed: &Closed, _: &mut Io<'_, Frame>) {
        self.open.remove(&(conn.index, conn.generation));
        assert!(
            self.announced.remove(&(conn.index, conn.generation)),
            "closed without a beginning"
        );
        *self
            .seen
            .lock()
            .unwrap()
            .ends
            .entry(closed.cause.label())
            .or_default() += 1;
    }

    fn handle_mail(&mut self, frame: Frame, io: &mut Io<'_, Frame>) {
        self.send_to_all(&frame, io);
    }

    fn handle_trouble(&mut self, trouble: Trouble, _: &mut Io<'_, Frame>) {
        self.seen.lock().unwrap().troubles.push(trouble);
    }
}

/// What the clients have seen, shared with the test.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) dialled: u32,
    pub(crate) opened: u32,
    pub(crate) echoes: u32,
    /// How connections ended.
    pub(crate) ends: Vec<Closed>,
    /// Texts of other kinds than echoes, per connection.
    pub(crate) heard: BTreeMap<u32, Vec<String>>,
}

impl Tally {
    /// How many connections ended with this label.
    pub(crate) fn ended(&self, label: &str) -> usize {
        self.ends
            .iter()
            .filter(|closed| closed.cause.label() == label)
            .count()
    }
}

/// Dials, has `echoes` texts echoed one after the other, then closes with 1000 or stays.
pub(crate) struct Clients {
    pub(crate) dials: Vec<(SocketAddr, SocketAddr)>,
    /// What the destination is asked for first, if it is a proxy.
    pub(crate) tunnel: Option<Tunnel>,
    pub(crate) echoes: u32,
    pub(crate) then_close: bool,
    pub(crate) tally: Arc<Mutex<Tally>>,
    pub(crate) expected: BTreeMap<(u32, u32), u32>,
}

impl Clients {
    pub(crate) fn new(tally: Arc<Mutex<Tally>>, echoes: u32, then_close: bool) -> Self {
        let expected = BTreeMap::new();
        Self {
            dials: Vec::new(),
            tunnel: None,
            echoes,
            then_close,
            tally,
            expected,
        }
    }

    /// The text of one step: long ones now and then, so that frames are cut on their way.
    fn word(conn: ConnId, step: u32) -> String {
        let padding = "é".repeat((step as usize * 371 + conn.index as usize * 17) % 3000);
        format!("{}-{}-{step}-{padding}", conn.index, conn.generation)
    }

    fn say_next(&mut self, conn: ConnId, io: &mut Io<'_, ()>) {
        let step = self
            .expected
            .get_mut(&(conn.index, conn.generation))
            .expect("an open client");
        if *step == self.echoes {
            if self.then_close {
                io.close(conn, CloseCode::NORMAL, "");
            }
            return;
        }
        let mask = io.mask();
        io.send(conn, masked(&Self::word(conn, *step), mask));
    }

    pub(crate) fn dial_all(&mut self, io: &mut Io<'_, ()>) {
        for (source, destination) in std::mem::take(&mut self.dials) {
            let dial = Dial::new(source, destination);
            let dial = match &self.tunnel {
                Some(tunnel) => dial.through(tunnel),
                None => dial,
            };
            io.dial(dial).expect("room for a client");
            self.tally.lock().unwrap().dialled += 1;
        }
    }
}

impl App for Clients {
    type Mail = ();

    fn handle_request(
        &mut self,
        _: ConnId,
        _: &http::Request<'_>,
        _: SocketAddr,
        _: &mut Vec<u8>,
        _: &mut Io<'_, ()>,
    ) -> Answer {
        unreachable!("clients accept nobody")
    }

    fn handle_connected(
        &mut self,
        conn: ConnId,
        request: &mut Vec<u8>,
        io: &mut Io<'_, ()>,
    ) -> ClientKey {
        let mut random = [conn.index as u8; 16];
        random[..4].copy_from_slice(&io.mask());
        let key = ClientKey::new(random);
        let upgrade = Upgrade {
            host: "localhost",
            target: "/",
            key: &key,
            protocols: &[],
            origin: None,
            headers: &[],
        };
        handshake::encode_upgrade(request, &upgrade);
        key
    }

    fn handle_open(&mut self, conn: ConnId, io: &mut Io<'_, ()>) {
        self.tally.lock().unwrap().opened += 1;
        self.expected.insert((conn.index, conn.generation), 0);
        self.say_next(conn, io);
    }

    fn handle_message(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, ()>) {
        let Message::Text(said) = message else {
            panic!("only text is sent")
        };
        if said.starts_with("all:") {
            let mut tally = self.tally.lock().unwrap();
            tally
                .heard
                .entry(conn.index)
                .or_default()
                .push(said.to_owned());
            return;
        }
        let step = self
            .expected
            .get_mut(&(conn.index, conn.generation))
            .expect("an open client");
        assert_eq!(
            said,
            Self::word(conn, *step),
            "an echo is what was said, in order"
        );
        *step += 1;
        self.tally.lock().unwrap().echoes += 1;
        self.say_next(conn, io);
    }

    fn handle_close(&mut self, conn: ConnId, closed: &Closed, _: &mut Io<'_, ()>) {
        self.expected.remove(&(conn.index, conn.generation));
        let is_broken = matches!(
            closed.cause,
            Cause::Protocol(_) | Cause::Handshake(_) | Cause::Head(_)
        );
        // Behind a proxy there may be no server.
        if is_broken && self.tunnel.is_none() {
            panic!("the server broke the protocol: {}", closed.cause);
        }
        self.tally.lock().unwrap().ends.push(closed.clone());
    }

    /// Any mail means: dial.
    fn handle_mail(&mut self, (): (), io: &mut Io<'_, ()>) {
        self.dial_all(io);
    }
}
