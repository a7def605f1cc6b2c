//! Sessions of Socket.IO: they are opened, enter namespaces, emit events and hear what comes of
//! them.
//!
//! ```text
//!            open packet of Engine.IO          the server's CONNECT
//! Opening ────────────────────────────► Entering ─────────────────► Open
//! ```
//!
//! It is on a user's own socket, so it has the user's slot. The user acts from `Open` on. All its
//! namespaces are on its one connection, each entered when a step first needs it.

use std::time::Duration;

use engine::{Io, Message, Time};
use proto::{
    Frame,
    socketio::{self, EnginePacket, Handshake, Kind, Packet, ROOT},
    ws::{self, OpCode},
};
use serde_json::Value;

use super::{Cast, Order, Plan, State, emitting::Wait, scene};
use crate::{
    failure::{Failure, SocketIoFailure},
    hand::Hand,
};

/// What a user keeps that speaks Socket.IO; 64 bytes, and what its user waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Talk {
    /// When the server has been silent for too long.
    deadline: Time, // 8
    /// Namespaces that it has entered besides the first.
    pub(super) entered: Vec<Box<str>>, // 24
    pub(super) wait: Option<Box<Wait>>, // 8
    /// A packet whose attachments are still to come.
    partial: Option<Box<Partial>>, // 8
    /// How long the server may be silent.
    patience_ms: u32, // 4
    /// The number of the last acknowledgement that was asked for.
    pub(super) last_id: u32, // 4
    stage: Stage,                       // 1, and 7 of padding
}

const _: () = assert!(size_of::<Talk>() == 64);

/// How far a session has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// There is none.
    #[default]
    Closed,
    /// Engine.IO is to open it.
    Opening,
    /// The server is to let it into its first namespace.
    Entering,
    Open,
}

/// A packet whose attachments are still to come.
#[derive(Clone, Debug)]
struct Partial {
    text: String,
    missing: u8,
}

/// The longest time that a server may set for its pings.
const PATIENCE_MAX_MS: u64 = 86_400_000;
/// How often each session is looked at for silence.
const SWEEP_PERIOD: Duration = Duration::from_secs(2);
/// Sessions looked at in one tick, so that pings are read between them.
const SWEEPS_PER_TICK: u32 = 32_768;

impl Talk {
    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.into())
    }

    /// Whether there is a session, or is to be one.
    pub(super) fn is_begun(&self) -> bool {
        self.stage != Stage::Closed
    }
}

impl Cast {
    /// Lets a user whose WebSocket is open wait for its session.
    pub(super) fn open_session(&mut self, index: u32, io: &Io<'_, Order>) {
        let now = self.watch.now(io.now());
        *self.talks.entry(index) = Talk {
            stage: Stage::Opening,
            ..Talk::default()
        };
        let slots = self.plan.slots_max;
        self.sweeps
            .get_or_insert_with(|| Hand::new(SWEEP_PERIOD, slots, io.now()));
        self.await_message(index, now);
    }

    /// A message for a user that speaks Socket.IO.
    pub(super) fn hear_session(
        &mut self,
        plan: &Plan,
        index: u32,
        message: Message<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let Some(talk) = self
            .talks
            .find(index)
            .filter(|talk| talk.stage != Stage::Closed)
        else {
            return;
        };
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                return match &mut talk.partial {
                    Some(partial) if partial.missing > 1 => partial.missing -= 1,
                    _ => match talk.partial.take() {
                        Some(whole) => self.hear_packet(plan, index, &whole.text, io),
                        None => self.refuse(index, "binary data that belongs to no packet", io),
                    },
                };
            }
        };
        match EnginePacket::parse(text) {
            Ok(EnginePacket::Open(handshake)) => self.enter_first(plan, index, &handshake, io),
            Ok(EnginePacket::Ping(payload)) => {
                talk.deadline = io.now().after(talk.patience());
                self.figures.socketio.pings += 1;
                self.text.clear();
                EnginePacket::Pong(payload).encode(&mut self.text);
                self.say_text(index, io);
            }
            Ok(EnginePacket::Close) => self.end_session(index, SocketIoFailure::Closed, io),
            Ok(EnginePacket::Message(_)) if talk.partial.is_some() => {
                self.refuse(index, "a packet among the attachments of another", io);
            }
            Ok(EnginePacket::Message(packet)) => {
                let limits = socketio::Limits::default();
                match Packet::parse(packet, &limits) {
                    Ok(Packet { attachments: 0, .. }) => self.hear_packet(plan, index, packet, io),
                    Ok(Packet { attachments, .. }) => {
                        talk.partial = Some(Box::new(Partial {
                            text: packet.to_owned(),
                            missing: attachments,
                        }));
                    }
                    Err(error) => self.refuse(index, &error.to_string(), io),
                }
            }
            Ok(_) => {}
            Err(error) => self.refuse(index, &error.to_string(), io),
        }
    }

    /// Asks to be let into the first namespace, once Engine.IO has opened the session.
    fn enter_first(
        &mut self,
        plan: &Plan,
        index: u32,
        handshake: &Handshake<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let Some(talk) = self.talks.find(index) else {
            return;
        };
        if talk.stage != Stage::Opening {
            return self.refuse(index, "a session that is opened twice", io);
        }
        let millis = handshake
            .ping_interval
            .saturating_add(handshake.ping_timeout);
        talk.patience_ms = millis.min(PATIENCE_MAX_MS) as u32;
        talk.deadline = io.now().after(talk.patience());
        talk.stage = Stage::Entering;
        let first = self.namespace(plan, index, "");
        self.enter_namespace(plan, index, &first, io);
    }

    /// Asks to be let into a namespace.
    pub(super) fn enter_namespace(
        &mut self,
        plan: &Plan,
        index: u32,
        namespace: &str,
        io: &mut Io<'_, Order>,
    ) {
        let Some(user) = self.users.find(index) else {
            return;
        };
        let session = plan.program(user.program).connect.session.as_ref();
        self.text.clear();
        self.text.push(EnginePacket::MESSAGE);
        socketio::encode_head(&mut self.text, Kind::Connect, namespace, None);
        if let Some(auth) = session.and_then(|session| session.auth.as_ref()) {
            auth.write(&mut self.text, &mut scene(plan, user, &mut self.random));
        }
        self.say_text(index, io);
    }

    /// The whole name of a namespace: what the target's path names is before it.
    pub(super) fn namespace(&mut self, plan: &Plan, index: u32, name: &str) -> String {
        let user = self.users.find(index);
        let base = user.map_or("", |user| {
            plan.program(user.program).connect.server.namespace()
        });
        match (base, name) {
            ("", "" | ROOT) => ROOT.to_owned(),
            (base, "" | ROOT) => base.to_owned(),
            (base, name) => format!("{base}{name}"),
        }
    }

    /// A packet of Socket.IO that has all of its attachments.
    fn hear_packet(&mut self, plan: &Plan, index: u32, text: &str, io: &mut Io<'_, Order>) {
        // It was read once before its attachments came.
        let Ok(packet) = Packet::parse(text, &socketio::Limits::default()) else {
            return;
        };
        match packet.kind {
            Kind::Connect => self.hear_consent(plan, index, packet.namespace, io),
            Kind::ConnectError => self.hear_refusal(plan, index, &packet, io),
            Kind::Disconnect if self.is_in(plan, index, packet.namespace) => {
                self.end_session(index, SocketIoFailure::Disconnected, io);
            }
            Kind::Disconnect => {}
            Kind::Event | Kind::BinaryEvent => self.hear_emitted(plan, index, &packet, io),
            Kind::Ack | Kind::BinaryAck => self.hear_ack(plan, index, &packet, io),
        }
    }

    /// Whether a namespace is the one that the target's path names.
    fn is_first(&mut self, plan: &Plan, index: u32, namespace: &str) -> bool {
        let Some(user) = self.users.find(index) else {
            return false;
        };
        match plan.program(user.program).connect.server.namespace() {
            "" => namespace == ROOT,
            base => namespace == base,
        }
    }

    /// Whether a user is in a namespace.
    pub(super) fn is_in(&mut self, plan: &Plan, index: u32, namespace: &str) -> bool {
        let is_first = self.is_first(plan, index, namespace);
        let Some(talk) = self.talks.find(index) else {
            return false;
        };
        talk.stage == Stage::Open
            && (is_first || talk.entered.iter().any(|one| **one == *namespace))
    }

    fn hear_consent(&mut self, plan: &Plan, index: u32, namespace: &str, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        let is_first = self.is_first(plan, index, namespace);
        let (Some(talk), Some(user)) = (self.talks.find(index), self.users.find(index)) else {
            return;
        };
        if user.state != State::Waiting {
            return;
        }
        if talk.stage == Stage::Entering && is_first {
            talk.stage = Stage::Open;
            self.figures.socketio.connect.record(now.since(user.began));
            user.due = now;
        } else if talk
            .wait
            .as_ref()
            .is_some_and(|wait| wait.enters && wait.namespace == namespace)
        {
            talk.entered.push(namespace.into());
        } else {
            return;
        }
        // The step that needed it is taken now.
        user.state = State::Acting;
        self.alarms.clear(index);
        self.act(index, io);
    }

    fn hear_refusal(
        &mut self,
        plan: &Plan,
        index: u32,
        packet: &Packet<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let is_first = self.is_first(plan, index, packet.namespace);
        let Some(talk) = self.talks.find(index) else {
            return;
        };
        let is_first = is_first && talk.stage == Stage::Entering;
        let is_waited_for = talk
            .wait
            .as_ref()
            .is_some_and(|wait| wait.enters && wait.namespace == packet.namespace);
        if !is_first && !is_waited_for {
            return;
        }
        let payload = packet.payload.as_ref();
        let message = match payload.and_then(|json| json.decode::<Value>().ok()) {
            Some(Value::String(text)) => text,
            Some(Value::Object(map)) => match map.get("message") {
                Some(Value::String(text)) => text.clone(),
                _ => "no message".to_owned(),
            },
            _ => "no message".to_owned(),
        };
        let message = Failure::clean(&message);
        self.end_session(index, SocketIoFailure::NamespaceRefused(message), io);
    }

    /// Leaves all namespaces before the connection is closed, as socket.io-client does, and forgets
    /// the session.
    pub(super) fn leave_session(&mut self, index: u32, io: &mut Io<'_, Order>) {
        let Some(talk) = self.talks.find(index).map(std::mem::take) else {
            return;
        };
        // Where the connection has ended by itself there is nobody to tell.
        let conn = self.conn(index, 0).and_then(|conn| io.view(conn));
        if talk.stage != Stage::Open || conn.is_none() {
            return;
        }
        let plan = std::sync::Arc::clone(&self.plan);
        let first = self.namespace(&plan, index, "");
        for namespace in talk.entered.into_iter().map(String::from).chain([first]) {
            self.text.clear();
            self.text.push(EnginePacket::MESSAGE);
            socketio::encode_head(&mut self.text, Kind::Disconnect, &namespace, None);
            self.say_text(index, io);
        }
    }

    /// Ends the sessions whose servers have been silent for too long.
    pub(super) fn sweep_sessions(&mut self, io: &mut Io<'_, Order>) {
        let now = io.now();
        let Some(mut hand) = self.sweeps.take() else {
            return;
        };
        // Pings that came while nobody looked are read first.
        hand.set_back(now, Duration::from_millis(500));
        for _ in 0..SWEEPS_PER_TICK {
            let Some(place) = hand.next_passed(now) else {
                break;
            };
            // Users that are away keep their slots, so there may be more of these than connections.
            for index in (place..self.slots).step_by(hand.slots() as usize) {
                let talk = self.talks.find(index);
                let has_session =
                    |talk: &&mut Talk| matches!(talk.stage, Stage::Entering | Stage::Open);
                let talk = talk.filter(has_session);
                if talk.is_some_and(|talk| talk.deadline < now) {
                    self.end_session(index, SocketIoFailure::PingTimeout, io);
                }
            }
        }
        self.sweeps = Some(hand);
    }

    pub(super) fn end_session(
        &mut self,
        index: u32,
        failure: SocketIoFailure,
        io: &mut Io<'_, Order>,
    ) {
        self.give_up(index, Failure::SocketIo(failure), io);
    }

    /// Gives up a user whose server does not speak the protocol.
    fn refuse(&mut self, index: u32, how: &str, io: &mut Io<'_, Order>) {
        let how = format!("Socket.IO: {how}");
        self.give_up(index, Failure::ProtocolBroken(how), io);
    }

    /// Sends `self.text`.
    pub(super) fn say_text(&mut self, index: u32, io: &mut Io<'_, Order>) {
        let Some(conn) = self.conn(index, 0) else {
            return;
        };
        self.bytes.clear();
        let (text, mask) = (self.text.as_bytes(), Some(io.mask()));
        ws::encode(&mut self.bytes, OpCode::Text, text, mask);
        io.send(conn, Frame::from(&self.bytes[..]));
        self.figures.sent += 1;
        self.figures.sent_bytes += self.bytes.len() as u64;
    }
}
