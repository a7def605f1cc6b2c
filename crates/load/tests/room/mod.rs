//! A room server for the crowd to meet: joins, broadcasts and replies as Phoenix does, as an app of
//! the engine, with manners that can be bad in one place at a time.
//!
//! On a path that does not end in `/websocket` it echoes, or relays; under `/socket.io/` it speaks Socket.IO.

mod session;

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use engine::{Answer, App, Closed, ConnId, Io, Message, Time};
use proto::{
    Frame, http,
    phoenix::{self, Json, Payload, Ref, Serializer},
    ws::{
        self, CloseCode, OpCode,
        handshake::{self, ClientKey},
    },
};

use session::{Said, Session};

/// How the server behaves; the default is well.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manners {
    /// Answers every upgrade with this status.
    pub(crate) status: Option<u16>,
    /// What becomes of a join.
    pub(crate) join: Join,
    /// Does not answer heartbeats.
    pub(crate) ignores_heartbeats: bool,
    /// Sends what raw clients say to all of them and not only back.
    pub(crate) relays: bool,
    /// Does not send a broadcast back to who asked for it.
    pub(crate) to_others: bool,
    /// What happens instead of one delivery of the third broadcast, to one member that did not ask
    /// for it.
    pub(crate) third: Third,
    /// Does not answer pushes.
    pub(crate) ignores_pushes: bool,
    /// Ends the connections of those who push with a reset.
    pub(crate) resets_pushes: bool,
    /// Answers pushes with the status `error`.
    pub(crate) refuses_pushes: bool,
    /// Closes a channel that was left no sooner than its topic is joined again, and one that asks for it
    /// with `evict`.
    pub(crate) closes_late: bool,
    /// How long a message of a member lies about before it is read.
    pub(crate) thinks_for: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Join {
    #[default]
    Granted,
    Refused,
    Unanswered,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Third {
    #[default]
    Sent,
    Lost,
    Twice,
    /// Under the name of a topic that is not the member's.
    Elsewhere,
    /// The member is closed with 1012.
    Closed,
    /// The member's channel crashes.
    Crashed,
    /// Nobody gets it: its publisher is closed with 1012 before it is answered.
    Orphaned,
}

/// The server's only shard.
#[derive(Debug, Default)]
pub(crate) struct Room {
    manners: Manners,
    conns: Vec<Guest>,
    broadcasts: u32,
    /// Those that speak Socket.IO.
    callers: Vec<ConnId>,
    /// Messages that lie about, with their time.
    unread: VecDeque<(Time, ConnId, String)>,
}

#[derive(Debug)]
struct Guest {
    conn: ConnId,
    /// None echoes.
    serializer: Option<Serializer>,
    topic: String,
    /// The path and query that it asked for.
    asked: String,
    /// The `join_ref` of a channel that was left and is not closed.
    left: Option<Ref<'static>>,
    /// That of a guest who speaks Socket.IO.
    session: Option<Session>,
}

impl Room {
    pub(crate) fn new(manners: Manners) -> Self {
        Self {
            manners,
            ..Self::default()
        }
    }

    /// Closes the connection that came first of those that are here.
    pub(crate) fn close_first(&self, code: CloseCode, io: &mut Io<'_, ()>) {
        io.close(self.conns[0].conn, code, "");
    }

    /// Closes everybody who is here, or resets them without a code.
    pub(crate) fn close_all(&self, code: Option<CloseCode>, io: &mut Io<'_, ()>) {
        for guest in &self.conns {
            match code {
                Some(code) => io.close(guest.conn, code, ""),
                None => io.abort(guest.conn),
            }
        }
    }

    /// What everybody who is here asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut all: Vec<_> = self.conns.iter().map(|guest| guest.asked.clone()).collect();
        all.sort();
        all
    }

    /// Behaves otherwise from now on.
    pub(crate) fn behave(&mut self, manners: Manners) {
        self.manners = manners;
    }

    fn handle_text(&mut self, conn: ConnId, text: &str, io: &mut Io<'_, ()>) {
        let Some(guest) = self.conns.iter().find(|guest| guest.conn == conn) else {
            // Gone before it was read.
            return;
        };
        if let Some(serializer) = guest.serializer {
            let limits = phoenix::Limits::default();
            let message = phoenix::decode_text(serializer, text, &limits);
            return self.handle_phoenix(serializer, conn, &message.expect("Phoenix"), io);
        }
        let mut frame = Vec::new();
        ws::encode(&mut frame, OpCode::Text, text.as_bytes(), None);
        let frame = Frame::from(frame);
        if !self.manners.relays {
            return io.send(conn, frame);
        }
        for guest in &self.conns {
            if guest.serializer.is_none() && !(guest.conn == conn && self.manners.to_others) {
                io.send(guest.conn, frame.clone());
            }
        }
    }

    fn handle_phoenix(
        &mut self,
        serializer: Serializer,
        conn: ConnId,
        message: &phoenix::Message<'_>,
        io: &mut Io<'_, ()>,
    ) {
        let is_heartbeat = message.event == phoenix::HEARTBEAT;
        let is_join = message.event == phoenix::JOIN;
        let status = match () {
            () if is_heartbeat && self.manners.ignores_heartbeats => return,
            () if is_join && self.manners.join == Join::Unanswered => return,
            () if !is_join && !is_heartbeat && self.manners.ignores_pushes => return,
            () if !is_join && !is_heartbeat && self.manners.resets_pushes => return io.abort(conn),
            () if is_join && self.manners.join == Join::Refused => "error",
            () if !is_join && !is_heartbeat && self.manners.refuses_pushes => "error",
            () => "ok",
        };
        if self.manners.closes_late && self.close_late(serializer, conn, message, io) {
            return;
        }
        if is_join && status == "ok" {
            let guest = self.conns.iter_mut().find(|guest| guest.conn == conn);
            guest.expect("a guest").topic = message.topic.clone().into_owned();
        }
        let is_publish = !is_join && !is_heartbeat;
        if is_publish && self.manners.third == Third::Orphaned && self.broadcasts == 2 {
            self.broadcasts += 1;
            return io.close(conn, CloseCode::SERVICE_RESTART, "");
        }
        let response = match status {
            "ok" => Payload::EMPTY,
            _ => Payload::Json(Json::parse(r#"{"reason":"no room"}"#).expect("JSON")),
        };
        let join_ref = message.join_ref.as_ref();
        let mut frame = Vec::new();
        phoenix::encode_reply(
            &mut frame,
            serializer,
            join_ref,
            message.reference.as_ref(),
            &message.topic,
            status,
            &response,
        )
        .expect("JSON");
        io.send(conn, Frame::from(frame));
        if !is_join && !is_heartbeat && status == "ok" {
            self.broadcast(conn, message, io);
        }
    }

    /// Closes channels late; whether the message needs no answer beyond that.
    fn close_late(
        &mut self,
        serializer: Serializer,
        conn: ConnId,
        message: &phoenix::Message<'_>,
        io: &mut Io<'_, ()>,
    ) -> bool {
        let guest = self.conns.iter_mut().find(|guest| guest.conn == conn);
        let guest = guest.expect("a guest");
        let join_ref = message.join_ref.clone().map(Ref::into_owned);
        let ended = match &*message.event {
            phoenix::LEAVE => {
                guest.left = join_ref;
                None
            }
            phoenix::JOIN => guest.left.take(),
            "evict" => join_ref,
            _ => None,
        };
        if let Some(ended) = ended {
            let mut frame = Vec::new();
            let (topic, end) = (&message.topic, phoenix::End::Closed);
            phoenix::encode_end(&mut frame, serializer, Some(&ended), topic, end);
            io.send(conn, Frame::from(frame));
        }
        message.event == "evict"
    }

    fn broadcast(&mut self, from: ConnId, message: &phoenix::Message<'_>, io: &mut Io<'_, ()>) {
        self.broadcasts += 1;
        let mut third = if self.broadcasts == 3 {
            self.manners.third
        } else {
            Third::Sent
        };
        for guest in self
            .conns
            .iter()
            .filter(|guest| guest.topic == message.topic)
        {
            if guest.conn == from && self.manners.to_others {
                continue;
            }
            let serializer = guest.serializer.expect("who has a topic speaks Phoenix");
            let send = |topic: &str, event: &str, io: &mut Io<'_, ()>| {
                let mut frame = Vec::new();
                let payload = &message.payload;
                phoenix::encode_broadcast(&mut frame, serializer, topic, event, payload)
                    .expect("JSON");
                io.send(guest.conn, Frame::from(frame));
            };
            let what = match guest.conn == from {
                true => Third::Sent,
                false => std::mem::take(&mut third),
            };
            match what {
                Third::Sent => send(&message.topic, &message.event, io),
                Third::Lost | Third::Orphaned => {}
                Third::Twice => {
                    send(&message.topic, &message.event, io);
                    send(&message.topic, &message.event, io);
                }
                Third::Elsewhere => send("another:topic", &message.event, io),
                Third::Closed => io.close(guest.conn, CloseCode::SERVICE_RESTART, ""),
                Third::Crashed => send(&message.topic, phoenix::ERROR, io),
            }
        }
    }
}

impl App for Room {
    type Mail = ();

    fn handle_request(
        &mut self,
        conn: ConnId,
        request: &http::Request<'_>,
        _: SocketAddr,
        response: &mut Vec<u8>,
        _: &mut Io<'_, ()>,
    ) -> Answer {
        if let Some(status) = self.manners.status {
            http::encode_response(response, status, &[], b"");
            return Answer::Refuse;
        }
        let accept = handshake::accept(request).expect("the crowd asks as it should");
        accept.encode(response, None);
        let serializer = request.path().ends_with("/websocket").then(|| {
            match request.query().is_some_and(|query| query.contains("vsn=2")) {
                true => Serializer::V2,
                false => Serializer::V1,
            }
        });
        self.conns.push(Guest {
            conn,
            serializer,
            topic: String::new(),
            asked: format!("{}?{}", request.path(), request.query().unwrap_or_default()),
            left: None,
            session: None,
        });
        if request.path().starts_with("/socket.io/") {
            let query = request.query().unwrap_or_default();
            assert!(query.contains("EIO=4&transport=websocket"), "{query}");
            self.callers.push(conn);
        }
        Answer::Upgrade
    }

    fn handle_connected(&mut self, _: ConnId, _: &mut Vec<u8>, _: &mut Io<'_, ()>) -> ClientKey {
        unreachable!("the room does not dial")
    }

    fn handle_open(&mut self, conn: ConnId, io: &mut Io<'_, ()>) {
        let is_caller = self.callers.contains(&conn);
        let guest = self.conns.iter_mut().find(|guest| guest.conn == conn);
        if let Some(guest) = guest.filter(|_| is_caller) {
            let (session, greeting) = Session::open(io.now());
            io.tick_at(session.ping_due);
            guest.session = Some(session);
            say(conn, greeting, io);
        }
    }

    fn handle_message(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, ()>) {
        let Message::Text(text) = message else {
            unreachable!("the crowd sends text")
        };
        let guest = self.conns.iter_mut().find(|guest| guest.conn == conn);
        if let Some(session) = guest.and_then(|guest| guest.session.as_mut()) {
            for said in session.hear(text) {
                say(conn, said, io);
            }
            return;
        }
        let guest = self.conns.iter().find(|guest| guest.conn == conn);
        let is_member = guest.is_some_and(|guest| !guest.topic.is_empty());
        if !is_member || self.manners.thinks_for.is_zero() {
            return self.handle_text(conn, text, io);
        }
        let time = io.now().after(self.manners.thinks_for);
        self.unread.push_back((time, conn, text.to_owned()));
        io.tick_at(time);
    }

    fn handle_tick(&mut self, io: &mut Io<'_, ()>) {
        let now = io.now();
        while let Some((_, conn, text)) = self.unread.pop_front_if(|(time, ..)| *time <= now) {
            self.handle_text(conn, &text, io);
        }
        if let Some((time, ..)) = self.unread.front() {
            io.tick_at(*time);
        }
        for guest in &mut self.conns {
            let Some(session) = &mut guest.session else {
                continue;
            };
            if let Some(ping) = session.ping(now) {
                say(guest.conn, ping, io);
            }
            io.tick_at(session.ping_due);
        }
    }

    fn handle_close(&mut self, conn: ConnId, _: &Closed, _: &mut Io<'_, ()>) {
        self.conns.retain(|guest| guest.conn != conn);
        self.callers.retain(|caller| *caller != conn);
    }

    fn handle_mail(&mut self, (): (), io: &mut Io<'_, ()>) {
        io.stop();
    }
}

fn say(conn: ConnId, said: Said, io: &mut Io<'_, ()>) {
    let mut frame = Vec::new();
    match said {
        Said::Text(text) => ws::encode(&mut frame, OpCode::Text, text.as_bytes(), None),
        Said::Binary(bytes) => ws::encode(&mut frame, OpCode::Binary, &bytes, None),
    }
    io.send(conn, Frame::from(frame));
}
