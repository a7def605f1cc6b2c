//! A client that writes whatever it is told and holds the server to the protocol in what it hears.

use std::collections::HashMap;

use engine::sim::Peer;
use proto::{
    http::{self, Parsed},
    phoenix::{
        self, HEARTBEAT, HEARTBEAT_TOPIC, Json, Message, Payload, Received, Ref, Serializer,
        decode_received_binary, decode_received_text, encode_message, is_reserved_event,
    },
    ws::{
        self, Endpoint, Event, OpCode, Role,
        handshake::{ClientKey, Upgrade, encode_upgrade, verify},
    },
};

use crate::shard_script::{Saying, What, Whose};

const LIMITS: ws::Limits = ws::Limits {
    frame_bytes_max: 1 << 20,
    message_bytes_max: 1 << 20,
    fragments_max: 1,
};

const HEAD_LIMITS: http::Limits = http::Limits {
    head_bytes_max: 1 << 10,
    headers_max: 16,
};

/// A mask that changes every byte.
const MASK: [u8; 4] = [0x55, 0xaa, 0x0f, 0xf0];

pub(crate) struct Client {
    pub(crate) reads: bool,
    pub(crate) writes: bool,
    /// Bytes it has read.
    pub(crate) heard_bytes: usize,
    /// The status of the answer to its request.
    pub(crate) status: Option<u16>,
    /// Replies with status ok.
    pub(crate) granted_count: usize,
    peer: Peer,
    is_gone: bool,
    unsent: Vec<u8>,
    inbound: Vec<u8>,
    /// What is left of the body of a refusal.
    body_bytes: usize,
    endpoint: Endpoint,
    /// The serializer of its upgrade; `None` before it, and when its bytes were such that only a
    /// parser knows what they ask for.
    serializer: Option<Serializer>,
    /// Whether it has kept to the protocol, so that everything it hears must make sense.
    is_proper: bool,
    refs_count: u32,
    /// What it asked and was not answered: the topic, and whether that was to join it.
    asked: HashMap<u32, (&'static str, bool)>,
    /// The last join of each topic.
    joins: HashMap<&'static str, u32>,
    /// The topics it is in, each with the join that got it there.
    members: HashMap<&'static str, u32>,
}

impl Client {
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            reads: true,
            writes: true,
            heard_bytes: 0,
            status: None,
            granted_count: 0,
            peer,
            is_gone: false,
            unsent: Vec::new(),
            inbound: Vec::new(),
            body_bytes: 0,
            endpoint: Endpoint::new(Role::Client),
            serializer: None,
            is_proper: true,
            refs_count: 0,
            asked: HashMap::new(),
            joins: HashMap::new(),
            members: HashMap::new(),
        }
    }

    pub(crate) fn upgrade(&mut self, query: &str) {
        // A second request is no WebSocket frame.
        self.is_proper &= self.serializer.is_none();
        let v2 = query.starts_with("vsn=2");
        self.serializer = Some(if v2 { Serializer::V2 } else { Serializer::V1 });
        let upgrade = Upgrade {
            host: "a",
            target: &format!("/socket/websocket?{query}"),
            key: &key(),
            protocols: &[],
            origin: None,
            headers: &[],
        };
        encode_upgrade(&mut self.unsent, &upgrade);
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.is_proper = false;
        self.unsent.extend_from_slice(bytes);
    }

    /// Writes a frame with this first byte.
    pub(crate) fn frame(&mut self, first: u8, payload: &[u8]) {
        self.is_proper = false;
        self.push_frame(first, payload);
    }

    pub(crate) fn say(&mut self, saying: &Saying) {
        for _ in 0..saying.times {
            self.say_once(saying);
        }
    }

    fn say_once(&mut self, saying: &Saying) {
        // Before its upgrade a frame is no request.
        self.is_proper &= self.serializer.is_some();
        let serializer = self.serializer.unwrap_or(Serializer::V2);
        self.refs_count += 1;
        let number = self.refs_count;
        let topic = match saying.what {
            What::Heartbeat => HEARTBEAT_TOPIC,
            _ => saying.topic,
        };
        let join_ref = match saying.whose {
            _ if saying.what == What::Join => Some(number),
            Whose::Nobodys => None,
            Whose::Mine => self.joins.get(topic).copied(),
            Whose::Stale => Some(number.saturating_sub(2)),
        };
        if saying.what == What::Join {
            self.joins.insert(topic, number);
        }
        self.asked
            .insert(number, (topic, saying.what == What::Join));
        let json = |text| Payload::Json(Json::parse(text).expect("the script has JSON"));
        let (event, payload) = match saying.what {
            What::Join => (phoenix::JOIN, Payload::EMPTY),
            What::Leave => (phoenix::LEAVE, Payload::EMPTY),
            What::Heartbeat => (HEARTBEAT, Payload::EMPTY),
            What::PushBytes(event, text) if serializer == Serializer::V2 => {
                (event, Payload::binary(text.as_bytes()))
            }
            What::Push(event, text) | What::PushBytes(event, text) => (event, json(text)),
        };
        let [reference, join_ref] =
            [Some(number), join_ref].map(|number| number.map(|number| number.to_string()));
        let message = Message {
            join_ref: join_ref.as_deref().map(Ref::string),
            reference: reference.as_deref().map(Ref::string),
            topic: topic.into(),
            event: event.into(),
            payload,
        };
        let mut frame = Vec::new();
        encode_message(&mut frame, serializer, &message, None).expect("the script has short names");
        self.push_fragments(&frame, usize::from(saying.fragments.max(1)));
    }

    /// Writes the message of an unmasked frame in so many fragments, with a ping before the last.
    fn push_fragments(&mut self, frame: &[u8], count: usize) {
        let (head_bytes, _) = frame_len(frame).expect("a whole frame");
        let (opcode, payload) = (frame[0] & 0x0f, &frame[head_bytes..]);
        for index in 0..count {
            let range = payload.len() * index / count..payload.len() * (index + 1) / count;
            let is_last = index + 1 == count;
            if is_last && count > 1 {
                self.push_frame(0x89, b"between");
            }
            let opcode = if index == 0 { opcode } else { 0 };
            self.push_frame(opcode | u8::from(is_last) << 7, &payload[range]);
        }
    }

    /// Writes a masked frame of at most 65,535 bytes.
    fn push_frame(&mut self, first: u8, payload: &[u8]) {
        let start = self.unsent.len();
        ws::encode(&mut self.unsent, OpCode::Binary, payload, Some(MASK));
        self.unsent[start] = first;
    }

    pub(crate) fn hang_up(&mut self) {
        self.is_gone = true;
        self.peer.close();
    }

    pub(crate) fn reset(&mut self) {
        self.is_gone = true;
        self.peer.reset();
    }

    /// Writes what fits and reads what is there, as far as it does either; whether there was
    /// anything to do.
    pub(crate) fn exchange(&mut self) -> bool {
        let wrote = self.writes && self.trickle(usize::MAX);
        if self.is_gone || !self.reads {
            return wrote;
        }
        let bytes = self.peer.read();
        self.heard_bytes += bytes.len();
        self.inbound.extend_from_slice(&bytes);
        self.hear();
        wrote || !bytes.is_empty()
    }

    /// Writes at most so many bytes; whether any went out.
    pub(crate) fn trickle(&mut self, bytes_max: usize) -> bool {
        if self.is_gone {
            return false;
        }
        let some = &self.unsent[..self.unsent.len().min(bytes_max)];
        let written = self.peer.write(some);
        self.unsent.drain(..written);
        written > 0
    }

    fn hear(&mut self) {
        if self.status.is_none() && !self.hear_head() {
            return;
        }
        if self.status != Some(101) {
            assert!(
                self.inbound.len() <= self.body_bytes,
                "a refusal is the last word: {:?}",
                String::from_utf8_lossy(&self.inbound)
            );
            return;
        }
        while let Some((_, len)) = frame_len(&self.inbound)
            && len <= self.inbound.len()
        {
            let rest = self.inbound.split_off(len);
            let mut frame = std::mem::replace(&mut self.inbound, rest);
            assert!(
                !self.endpoint.has_ended(),
                "RFC 6455 §5.5.1: nothing follows a close frame: {frame:?}"
            );
            self.hear_frame(&mut frame);
        }
    }

    /// Reads the answer to the request; whether it is whole.
    fn hear_head(&mut self) -> bool {
        let Parsed::Complete { head, len } = http::parse_response(&self.inbound, &HEAD_LIMITS)
            .unwrap_or_else(|error| {
                panic!("{error}: {:?}", String::from_utf8_lossy(&self.inbound))
            })
        else {
            return false;
        };
        if self.is_proper {
            // 408 when it took too long to write its request.
            assert!([101, 403, 408, 503].contains(&head.status), "{head:?}");
            if head.status == 101 {
                assert_eq!(verify(&head, &key(), &[]), Ok(None));
            }
        }
        self.status = Some(head.status);
        if head.status != 101 {
            let length = head.header("content-length").expect("a refusal's length");
            self.body_bytes = length.parse().expect("a number");
        }
        self.inbound.drain(..len);
        true
    }

    fn hear_frame(&mut self, frame: &mut [u8]) {
        let mut endpoint = std::mem::replace(&mut self.endpoint, Endpoint::new(Role::Client));
        let mut reader = endpoint.read(&LIMITS, frame);
        while let Some(event) = reader.next_event().expect("the server keeps RFC 6455") {
            match event {
                Event::Text(text) => self.hear_text(text),
                Event::Binary(bytes) => {
                    assert_ne!(self.proper_serializer(), Some(Serializer::V1));
                    let received = decode_received_binary(bytes, &phoenix::Limits::default());
                    self.hear_message(&received.expect("Phoenix in binary"));
                }
                Event::Close(frame) => {
                    let code = frame.map(|frame| frame.code);
                    ws::encode_close(&mut self.unsent, code, "", Some(MASK));
                }
                Event::Ping(_) | Event::Pong(_) => {}
            }
        }
        self.endpoint = endpoint;
    }

    fn hear_text(&mut self, text: &str) {
        let serializers = match self.proper_serializer() {
            Some(serializer) => vec![serializer],
            None => vec![Serializer::V1, Serializer::V2],
        };
        let received = serializers.into_iter().find_map(|serializer| {
            decode_received_text(serializer, text, &phoenix::Limits::default()).ok()
        });
        self.hear_message(&received.unwrap_or_else(|| panic!("Phoenix in JSON, not {text}")));
    }

    /// The serializer, if it cannot be another.
    fn proper_serializer(&self) -> Option<Serializer> {
        self.serializer.filter(|_| self.is_proper)
    }

    fn hear_message(&mut self, received: &Received<'_>) {
        if !self.is_proper {
            return;
        }
        match received {
            Received::Reply(reply) => {
                let asked = number(reply.reference.as_ref())
                    .and_then(|number| Some((number, self.asked.remove(&number)?)));
                let (number, (topic, is_join)) = asked.expect("one answer to one question");
                assert_eq!(reply.topic, topic);
                if reply.status == "ok" {
                    self.granted_count += 1;
                    if is_join {
                        self.members.insert(topic, number);
                    }
                }
            }
            Received::Message(message) if is_reserved_event(&message.event) => {
                // A join takes the place of an earlier one, whose end is told later.
                let ended = number(message.reference.as_ref());
                self.members
                    .retain(|topic, join| *topic != message.topic || Some(*join) != ended);
            }
            Received::Message(message) => {
                assert!(
                    self.members.contains_key(&*message.topic),
                    "only members hear of {message:?}"
                );
            }
        }
    }
}

/// The number that this end gave a message.
fn number(reference: Option<&Ref<'_>>) -> Option<u32> {
    reference.and_then(|reference| reference.plain().parse().ok())
}

/// RFC 6455 §1.3: the example's key.
fn key() -> ClientKey {
    ClientKey::new(*b"the sample nonce")
}

/// Bytes of the header of an unmasked frame and of the whole frame, once its length is there.
fn frame_len(bytes: &[u8]) -> Option<(usize, usize)> {
    let (head, len) = match *bytes.get(1)? {
        126 => (
            4,
            u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into(),
        ),
        127 => {
            let len = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (10, usize::try_from(len).ok()?)
        }
        len => (2, usize::from(len)),
    };
    Some((head, head + len))
}
