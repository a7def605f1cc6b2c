//! A Phoenix client at a scripted end of the simulated network.

use engine::sim::Peer;
use proto::ws::{self, Endpoint, Event, OpCode, Role};
use serde_json::Value;

const LIMITS: ws::Limits = ws::Limits {
    frame_bytes_max: 1 << 20,
    message_bytes_max: 1 << 20,
    fragments_max: 100,
};

pub(crate) struct Client {
    pub(crate) peer: Peer,
    /// The status of the answer to the upgrade.
    pub(crate) status: Option<u16>,
    /// The code of the server's close frame.
    pub(crate) closed: Option<u16>,
    /// Messages as [join_ref, ref, topic, event, payload], whatever the version.
    pub(crate) heard: Vec<Value>,
    /// Whether it has stopped to read and to answer.
    pub(crate) deaf: bool,
    v1: bool,
    refs: u32,
    endpoint: Endpoint,
    head: Vec<u8>,
    unsent: Vec<u8>,
}

impl Client {
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            status: None,
            closed: None,
            heard: Vec::new(),
            deaf: false,
            v1: false,
            refs: 0,
            endpoint: Endpoint::new(Role::Client),
            head: Vec::new(),
            unsent: Vec::new(),
        }
    }

    pub(crate) fn upgrade(&mut self, vsn: &str) {
        self.v1 = vsn.starts_with('1');
        let request = format!(
            "GET /socket/websocket?vsn={vsn} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.unsent.extend_from_slice(request.as_bytes());
    }

    pub(crate) fn join(&mut self, topic: &str) {
        self.push(topic, "phx_join", "{}");
    }

    /// Pushes without a join_ref, which every server accepts.
    pub(crate) fn push(&mut self, topic: &str, event: &str, payload: &str) {
        self.refs += 1;
        let reference = self.refs;
        let text = if self.v1 {
            format!(
                r#"{{"topic":"{topic}","event":"{event}","payload":{payload},"ref":"{reference}"}}"#
            )
        } else {
            format!(r#"[null,"{reference}","{topic}","{event}",{payload}]"#)
        };
        self.say(&text);
    }

    pub(crate) fn say(&mut self, text: &str) {
        ws::encode(
            &mut self.unsent,
            OpCode::Text,
            text.as_bytes(),
            Some([1, 2, 3, 4]),
        );
    }

    /// Writes a frame with this first byte, whatever it means.
    pub(crate) fn say_bytes(&mut self, first: u8, payload: &[u8]) {
        self.unsent
            .extend_from_slice(&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
        self.unsent.extend_from_slice(payload);
    }

    /// Writes what fits and reads what is there; whether there was anything to do.
    pub(crate) fn exchange(&mut self) -> bool {
        if self.deaf {
            return false;
        }
        let written = self.peer.write(&self.unsent);
        self.unsent.drain(..written);
        let mut bytes = self.peer.read();
        let read = !bytes.is_empty();
        if self.status.is_none() {
            self.head.append(&mut bytes);
            let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
                return written > 0 || read;
            };
            let status = std::str::from_utf8(&self.head[9..12]).expect("a status line");
            self.status = status.parse().ok();
            bytes = self.head.split_off(end + 4);
        }
        if self.status == Some(101) {
            self.read_frames(bytes);
        }
        written > 0 || read
    }

    fn read_frames(&mut self, mut bytes: Vec<u8>) {
        let mut reader = self.endpoint.read(&LIMITS, &mut bytes);
        while let Some(event) = reader.next_event().expect("the server keeps the protocol") {
            match event {
                Event::Text(text) => {
                    let message: Value = serde_json::from_str(text).expect("JSON");
                    self.heard.push(flatten(message));
                }
                Event::Close(frame) => {
                    self.closed = frame.as_ref().map(|frame| frame.code.0);
                    let code = frame.map(|frame| frame.code);
                    ws::encode_close(&mut self.unsent, code, "", Some([0; 4]));
                }
                Event::Binary(_) | Event::Ping(_) | Event::Pong(_) => {}
            }
        }
    }

    /// Replies with status ok.
    pub(crate) fn replies_ok(&self) -> usize {
        let ok = |message: &&Value| message[3] == "phx_reply" && message[4]["status"] == "ok";
        self.heard.iter().filter(ok).count()
    }

    /// Replies to whatever it has said in a topic.
    pub(crate) fn replies(&self, topic: &str) -> usize {
        let of_topic = |message: &&Value| message[2] == topic && message[3] == "phx_reply";
        self.heard.iter().filter(of_topic).count()
    }

    pub(crate) fn broadcasts(&self, topic: &str, event: &str) -> Vec<&Value> {
        let wanted = |message: &&Value| message[2] == topic && message[3] == event;
        self.heard
            .iter()
            .filter(wanted)
            .map(|message| &message[4])
            .collect()
    }
}

/// A message of V1 in the shape of V2.
fn flatten(message: Value) -> Value {
    match message {
        Value::Object(map) => {
            let part = |name| map.get(name).cloned().unwrap_or(Value::Null);
            Value::Array(vec![
                Value::Null,
                part("ref"),
                part("topic"),
                part("event"),
                part("payload"),
            ])
        }
        other => other,
    }
}
