//! A guest of the room that speaks Socket.IO: what the server says to it.

use std::time::Duration;

use engine::Time;
use proto::{
    phoenix::Json,
    socketio::{EnginePacket, Handshake, Kind, Limits, Packet, ROOT},
};

/// How often the server pings, and how late a ping may be.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) ping_due: Time,
    /// Pings that the client has not answered.
    unanswered: u32,
    is_mute: bool,
    namespaces: Vec<String>,
}

/// What the server says.
#[derive(Debug)]
pub(crate) enum Said {
    Text(String),
    Binary(Vec<u8>),
}

impl Session {
    /// A session that begins now, and what is said first.
    pub(crate) fn open(now: Time) -> (Self, Said) {
        let session = Self {
            ping_due: now.after(PING_INTERVAL),
            unanswered: 0,
            is_mute: false,
            namespaces: Vec::new(),
        };
        let handshake = Handshake {
            sid: "a".into(),
            ping_interval: PING_INTERVAL.as_millis() as u64,
            ping_timeout: PING_TIMEOUT.as_millis() as u64,
            max_payload: None,
        };
        (session, engine_text(&EnginePacket::Open(handshake)))
    }

    /// The ping that is due.
    pub(crate) fn ping(&mut self, now: Time) -> Option<Said> {
        if self.ping_due > now {
            return None;
        }
        self.ping_due = now.after(PING_INTERVAL);
        if self.is_mute {
            return None;
        }
        self.unanswered += 1;
        assert!(self.unanswered < 3, "the crowd answers pings");
        Some(engine_text(&EnginePacket::Ping("")))
    }

    /// What is said to what the client has said.
    pub(crate) fn hear(&mut self, text: &str) -> Vec<Said> {
        let packet = match EnginePacket::parse(text).expect("Engine.IO") {
            EnginePacket::Pong(_) => {
                self.unanswered = 0;
                return Vec::new();
            }
            EnginePacket::Message(packet) => packet,
            other => panic!("the crowd does not say {other:?}"),
        };
        let packet = Packet::parse(packet, &Limits::default()).expect("Socket.IO");
        match packet.kind {
            Kind::Connect => vec![self.enter(&packet)],
            Kind::Disconnect => {
                let before = self.namespaces.len();
                self.namespaces.retain(|one| one != packet.namespace);
                assert_eq!(
                    self.namespaces.len() + 1,
                    before,
                    "it was in {}",
                    packet.namespace
                );
                Vec::new()
            }
            Kind::Event => {
                let is_in = self.namespaces.iter().any(|one| one == packet.namespace);
                assert!(is_in, "not in {}", packet.namespace);
                self.answer(&packet)
            }
            other => panic!("the crowd does not say {other:?}"),
        }
    }

    /// Lets the client into a namespace: `/` and `/chat` are there, and guests of `/door` say who they are.
    fn enter(&mut self, packet: &Packet<'_>) -> Said {
        let namespace = packet.namespace;
        let auth = packet.payload.as_ref().map_or("", |json| json.as_str());
        let refusal = match namespace {
            ROOT | "/chat" => None,
            "/door" if auth == r#"{"token":"ada"}"# => None,
            "/door" => Some(r#"{"message":"who is it?"}"#),
            "/mute" => return Said::Text("6".to_owned()),
            _ => Some(r#"{"message":"Invalid namespace"}"#),
        };
        if refusal.is_none() {
            self.namespaces.push(namespace.to_owned());
        }
        let (kind, payload) = match refusal {
            None => (Kind::Connect, r#"{"sid":"b"}"#),
            Some(refusal) => (Kind::ConnectError, refusal),
        };
        said(kind, namespace, None, payload)
    }

    fn answer(&mut self, packet: &Packet<'_>) -> Vec<Said> {
        let json = packet.payload.as_ref().expect("an event");
        let list: Vec<serde_json::Value> = json.decode().expect("a list");
        let rest = serde_json::to_string(&list[1..]).expect("JSON");
        let (namespace, name) = (packet.namespace, packet.event().expect("a name"));
        let event = |name: &str, arguments: &str| {
            let arguments = arguments.trim_start_matches('[');
            let comma = if arguments == "]" { "" } else { "," };
            let payload = format!("[{}{comma}{arguments}", serde_json::json!(name));
            said(Kind::Event, namespace, None, &payload)
        };
        let ack = packet
            .id
            .map(|id| said(Kind::Ack, namespace, Some(id), &rest));
        let mut all = match &*name {
            "echo" => vec![event("other", "[1]"), event("echoed", &rest)],
            "pieces" => list[1..].iter().map(|one| event("piece", &format!("[{one}]"))).collect(),
            "picture" => vec![
                Said::Text(r#"452-["picture",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#.to_owned()),
                engine_text(&EnginePacket::Ping("")),
                Said::Binary(vec![1, 2]),
                Said::Binary(vec![3]),
            ],
            "stray" => vec![Said::Binary(vec![1])],
            "kick" => vec![Said::Text(match namespace {
                ROOT => "41".to_owned(),
                other => format!("41{other},"),
            })],
            "end" => vec![engine_text(&EnginePacket::Close)],
            "nonsense" => vec![Said::Text("42{}".to_owned())],
            "mute" => {
                self.is_mute = true;
                Vec::new()
            }
            "ignore" => return Vec::new(),
            other => panic!("nobody says {other}"),
        };
        all.extend(ack);
        all
    }
}

fn engine_text(packet: &EnginePacket<'_>) -> Said {
    let mut text = String::new();
    packet.encode(&mut text);
    Said::Text(text)
}

fn said(kind: Kind, namespace: &str, id: Option<u64>, payload: &str) -> Said {
    let packet = Packet {
        kind,
        attachments: 0,
        namespace,
        id,
        payload: Some(Json::parse(payload).expect("JSON")),
    };
    let mut text = String::from(EnginePacket::MESSAGE);
    packet.encode(&mut text);
    Said::Text(text)
}
