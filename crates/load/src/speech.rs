//! What the clients say, and what they make of what they hear.
//!
//! Every client of a run says the same few things, and hears the same bytes as all others when its
//! topic is published to. So nothing here belongs to one client: names are written on the fly, and
//! a message is parsed once and recognised by its bytes ever after.

use engine::{Message, Time};
use proto::{
    Frame,
    phoenix::{self, Json, Payload, Received, Ref, Serializer},
    ws::{self, OpCode},
};

use crate::{
    failure::Failure,
    marker::Mark,
    options::{Dialect, Options},
    topic::TopicPattern,
};

/// The `join_ref` and the `ref` of every client's join.
const JOIN_REF: &str = "1";
/// The `ref` of every heartbeat; one is unanswered at most.
const HEARTBEAT_REF: &str = "2";
/// The `ref` of every push; one is unanswered at most.
const PUSH_REF: &str = "3";
/// The `ref` of publish `n` is `n` plus this.
const PUBLISH_REF_BASE: u64 = 3;

/// The number of a mark that belongs to a push and not to a publish.
const PUSH_NUMBER: u32 = 0;

/// The longest message that is remembered; comparing is cheap, but remembering is a copy.
const MEMO_BYTES_MAX: usize = 64 * 1024;

/// One shard's voice and ears.
#[derive(Debug)]
pub(crate) struct Speech {
    dialect: Dialect,
    pattern: Option<TopicPattern>,
    event: String,
    join_payload: Json<'static>,
    run: u64,
    mark_bytes: usize,
    /// The last delivery, the last reply and the last message of no interest, by their bytes.
    memos: [Memo; 3],
    /// Reused for every frame and name that is written.
    bytes: Vec<u8>,
    name: String,
    body: String,
}

/// What a message means to the client that hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The join was granted.
    Joined,
    /// The join was not granted.
    JoinRefused(Failure),
    /// The heartbeat was answered.
    HeartbeatAnswered,
    /// The push was answered, well or badly.
    PushAnswered { ok: bool },
    /// A push came back, one's own or that of another client.
    PushEchoed { client: u32, due: Time },
    /// Publish `number` of this client was answered, well or badly.
    PublishAnswered { number: u32, ok: bool },
    /// A publish was delivered.
    Delivered(Mark),
    /// A publish was delivered under the name of another topic.
    Misrouted,
    /// The channel is over.
    ChannelEnded(Failure),
    /// The server does not speak this dialect.
    Garbled(Failure),
    /// Nothing that matters here.
    Other,
}

/// A message that was understood before.
#[derive(Debug)]
struct Memo {
    bytes: Vec<u8>,
    heard: Heard,
}

impl Speech {
    /// The voice of run `run`, as its options have it.
    pub(crate) fn new(options: &Options, run: u64) -> Self {
        // Options::check has found the payload to be JSON, so the default is never taken.
        let join_payload =
            Json::parse(&options.join_payload).map_or(Json::EMPTY_OBJECT, Json::into_owned);
        let memo = || Memo {
            bytes: Vec::new(),
            heard: Heard::Other,
        };
        Self {
            dialect: options.dialect,
            pattern: options.join.clone(),
            event: options.event.clone(),
            join_payload,
            run,
            mark_bytes: options.mark_bytes(),
            memos: [memo(), memo(), memo()],
            bytes: Vec::new(),
            name: String::new(),
            body: String::new(),
        }
    }

    /// The join of topic `topic`; `None` when these clients do not join.
    pub(crate) fn join(&mut self, topic: u32, mask: [u8; 4]) -> Option<Frame> {
        let Dialect::Phoenix(serializer) = self.dialect else {
            return None;
        };
        self.pattern.as_ref()?.write(topic, &mut self.name);
        let message = phoenix::Message {
            join_ref: Some(Ref::string(JOIN_REF)),
            reference: Some(Ref::string(JOIN_REF)),
            topic: self.name.as_str().into(),
            event: phoenix::JOIN.into(),
            payload: Payload::Json(self.join_payload.borrowed()),
        };
        Some(encode(&mut self.bytes, serializer, &message, mask))
    }

    /// A heartbeat; `None` when this dialect has none.
    pub(crate) fn heartbeat(&mut self, mask: [u8; 4]) -> Option<Frame> {
        let Dialect::Phoenix(serializer) = self.dialect else {
            return None;
        };
        let message = phoenix::Message {
            join_ref: None,
            reference: Some(Ref::string(HEARTBEAT_REF)),
            topic: phoenix::HEARTBEAT_TOPIC.into(),
            event: phoenix::HEARTBEAT.into(),
            payload: Payload::EMPTY,
        };
        Some(encode(&mut self.bytes, serializer, &message, mask))
    }

    /// Publish `mark`.
    pub(crate) fn publish(&mut self, mark: Mark, mask: [u8; 4]) -> Frame {
        debug_assert_ne!(mark.number, PUSH_NUMBER, "publishes count from 1");
        let reference = u64::from(mark.number) + PUBLISH_REF_BASE;
        self.say(mark.topic, mark, &reference.to_string(), mask)
    }

    /// The push of client `client` to topic `topic` that was meant to be sent at `due`.
    pub(crate) fn push(&mut self, topic: u32, client: u32, due: Time, mask: [u8; 4]) -> Frame {
        let mark = Mark {
            run: self.run,
            topic: client,
            number: PUSH_NUMBER,
            due,
        };
        self.say(topic, mark, PUSH_REF, mask)
    }

    /// Understands a message from the server.
    pub(crate) fn hear(&mut self, message: Message<'_>) -> Heard {
        let bytes = match message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        };
        // Text and binary of the same bytes mean different things only where neither means anything.
        if let Some(memo) = self
            .memos
            .iter()
            .find(|memo| !bytes.is_empty() && memo.bytes == bytes)
        {
            return memo.heard.clone();
        }
        let heard = match self.dialect {
            Dialect::Raw => self.hear_raw(bytes),
            Dialect::Phoenix(serializer) => self.hear_phoenix(serializer, message),
        };
        let memo = match heard {
            Heard::Delivered(_) => &mut self.memos[0],
            Heard::Joined | Heard::HeartbeatAnswered | Heard::PushAnswered { .. } => {
                &mut self.memos[1]
            }
            Heard::Other => &mut self.memos[2],
            _ => return heard,
        };
        if bytes.len() > MEMO_BYTES_MAX {
            return heard;
        }
        memo.bytes.clear();
        memo.bytes.extend_from_slice(bytes);
        memo.heard.clone_from(&heard);
        heard
    }

    fn say(&mut self, topic: u32, mark: Mark, reference: &str, mask: [u8; 4]) -> Frame {
        self.body.clear();
        let Dialect::Phoenix(serializer) = self.dialect else {
            mark.encode(&mut self.body, self.mark_bytes);
            self.bytes.clear();
            ws::encode(
                &mut self.bytes,
                OpCode::Text,
                self.body.as_bytes(),
                Some(mask),
            );
            return Frame::from(&self.bytes[..]);
        };
        self.body.push_str(r#"{"body":""#);
        mark.encode(&mut self.body, self.mark_bytes);
        self.body.push_str(r#""}"#);
        if let Some(pattern) = &self.pattern {
            pattern.write(topic, &mut self.name);
        }
        let payload = Json::parse(&self.body).expect("a mark needs no escapes in a JSON string");
        let message = phoenix::Message {
            join_ref: Some(Ref::string(JOIN_REF)),
            reference: Some(Ref::string(reference)),
            topic: self.name.as_str().into(),
            event: self.event.as_str().into(),
            payload: Payload::Json(payload),
        };
        encode(&mut self.bytes, serializer, &message, mask)
    }

    fn hear_raw(&self, bytes: &[u8]) -> Heard {
        let mark = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| Mark::find(text, self.run));
        match mark {
            Some(mark) if mark.number == PUSH_NUMBER => Heard::PushEchoed {
                client: mark.topic,
                due: mark.due,
            },
            Some(mark) => Heard::Delivered(mark),
            None => Heard::Other,
        }
    }

    fn hear_phoenix(&mut self, serializer: Serializer, message: Message<'_>) -> Heard {
        let limits = phoenix::Limits::default();
        let received = match message {
            Message::Text(text) => phoenix::decode_received_text(serializer, text, &limits),
            Message::Binary(bytes) => phoenix::decode_received_binary(bytes, &limits),
        };
        match received {
            Ok(Received::Reply(reply)) => hear_reply(&reply),
            Ok(Received::Message(message)) => self.hear_message(&message),
            Err(error) => Heard::Garbled(Failure::ProtocolBroken(error.to_string())),
        }
    }

    fn hear_message(&mut self, message: &phoenix::Message<'_>) -> Heard {
        match &*message.event {
            phoenix::ERROR => return Heard::ChannelEnded(Failure::ChannelError),
            phoenix::CLOSE => return Heard::ChannelEnded(Failure::ChannelClosed),
            _ => {}
        }
        let text = std::str::from_utf8(message.payload.as_bytes()).ok();
        let Some(mark) = text.and_then(|text| Mark::find(text, self.run)) else {
            return Heard::Other;
        };
        if mark.number == PUSH_NUMBER {
            return Heard::Other;
        }
        if let Some(pattern) = &self.pattern {
            pattern.write(mark.topic, &mut self.name);
        }
        if *message.topic == self.name {
            Heard::Delivered(mark)
        } else {
            Heard::Misrouted
        }
    }
}

fn hear_reply(reply: &phoenix::Reply<'_>) -> Heard {
    let ok = reply.status == "ok";
    let reference = reply.reference.as_ref().map(Ref::plain).unwrap_or_default();
    match &*reference {
        JOIN_REF if ok => Heard::Joined,
        JOIN_REF => Heard::JoinRefused(Failure::join_refused(&refusal_reason(&reply.response))),
        HEARTBEAT_REF => Heard::HeartbeatAnswered,
        PUSH_REF => Heard::PushAnswered { ok },
        other => {
            let number = other.parse::<u64>().ok();
            let number = number.and_then(|number| number.checked_sub(PUBLISH_REF_BASE));
            match number.map(u32::try_from) {
                Some(Ok(number)) => Heard::PublishAnswered { number, ok },
                _ => Heard::Other,
            }
        }
    }
}

/// The server's words: the `reason` of the response if it has one, else the whole response.
pub(crate) fn refusal_reason(response: &Payload<'_>) -> String {
    let Some(json) = response.as_json() else {
        return "(binary)".to_owned();
    };
    let value = serde_json::from_str::<serde_json::Value>(json).unwrap_or_default();
    value["reason"]
        .as_str()
        .map_or_else(|| json.to_owned(), str::to_owned)
}

/// Encodes a message of a client as a whole frame, in `bytes` first.
pub(crate) fn encode(
    bytes: &mut Vec<u8>,
    serializer: Serializer,
    message: &phoenix::Message<'_>,
    mask: [u8; 4],
) -> Frame {
    bytes.clear();
    phoenix::encode_message(bytes, serializer, message, Some(mask))
        .expect("only binary payloads can be refused");
    Frame::from(&bytes[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u64 = 9;
    const MASK: [u8; 4] = [0; 4];

    fn speech(dialect: Dialect) -> Speech {
        let mut options = Options::new("ws://h/socket".parse().expect("a URL"));
        options.dialect = dialect;
        options.join = match dialect {
            Dialect::Phoenix(_) => Some("room:{}".parse().expect("a pattern")),
            Dialect::Raw => None,
        };
        options.join_payload = r#"{"k":1}"#.to_owned();
        options.payload_bytes = 80;
        Speech::new(&options, RUN)
    }

    fn v2() -> Speech {
        speech(Dialect::Phoenix(Serializer::V2))
    }

    fn mark(topic: u32, number: u32) -> Mark {
        Mark {
            run: RUN,
            topic,
            number,
            due: Time::from_nanos(5),
        }
    }

    fn written(mark: Mark) -> String {
        let mut text = String::new();
        mark.encode(&mut text, 0);
        text
    }

    /// The text of a client's frame that was masked with zeros.
    fn said(frame: &Frame) -> String {
        let bytes = frame.as_bytes();
        let header = if bytes[1] & 0x7f < 126 { 2 } else { 4 };
        String::from_utf8(bytes[header + MASK.len()..].to_vec()).expect("text")
    }

    #[test]
    fn clients_speak_as_phoenix_js_does() {
        let mut v2 = v2();
        let join = v2.join(3, MASK).expect("Phoenix joins");
        assert_eq!(said(&join), r#"["1","1","room:3","phx_join",{"k":1}]"#);
        let heartbeat = v2.heartbeat(MASK).expect("Phoenix has heartbeats");
        assert_eq!(said(&heartbeat), r#"[null,"2","phoenix","heartbeat",{}]"#);
        let text = said(&v2.push(3, 7, Time::ZERO, MASK));
        assert!(
            text.starts_with(r#"["1","3","room:3","new_msg",{"body":"ft:"#),
            "{text}"
        );

        let mut v1 = speech(Dialect::Phoenix(Serializer::V1));
        let text = said(&v1.join(0, MASK).expect("Phoenix joins"));
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["topic"], "room:0");
        assert_eq!(value["event"], "phx_join");
        assert_eq!(value["ref"], "1");
        assert_eq!(value["payload"]["k"], 1);
    }

    #[test]
    fn a_publish_has_the_size_that_was_asked_for_and_is_known_again() {
        let mut v2 = v2();
        let text = said(&v2.publish(mark(3, 7), MASK));
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value[1], "10");
        assert_eq!(value[4].to_string().len(), 80);
        let broadcast = format!(r#"[null,null,"room:3","new_msg",{}]"#, value[4]);
        assert_eq!(
            v2.hear(Message::Text(&broadcast)),
            Heard::Delivered(mark(3, 7))
        );
        // From memory, and another one after it.
        assert_eq!(
            v2.hear(Message::Text(&broadcast)),
            Heard::Delivered(mark(3, 7))
        );
        let next = said(&v2.publish(mark(3, 8), MASK));
        let next: serde_json::Value = serde_json::from_str(&next).expect("JSON");
        let broadcast = format!(r#"[null,null,"room:3","new_msg",{}]"#, next[4]);
        assert_eq!(
            v2.hear(Message::Text(&broadcast)),
            Heard::Delivered(mark(3, 8))
        );
    }

    #[test]
    fn replies_are_told_apart_by_their_refs() {
        let mut v2 = v2();
        let mut hear = |reference: &str, status: &str, response: &str| {
            let text = format!(
                r#"["1","{reference}","room:0","phx_reply",{{"status":"{status}","response":{response}}}]"#
            );
            v2.hear(Message::Text(&text))
        };
        assert_eq!(hear("1", "ok", "{}"), Heard::Joined);
        assert_eq!(hear("2", "ok", "{}"), Heard::HeartbeatAnswered);
        assert_eq!(hear("3", "ok", "{}"), Heard::PushAnswered { ok: true });
        assert_eq!(hear("3", "error", "{}"), Heard::PushAnswered { ok: false });
        assert_eq!(
            hear("4", "ok", "{}"),
            Heard::PublishAnswered {
                number: 1,
                ok: true
            }
        );
        assert_eq!(
            hear("45", "error", "{}"),
            Heard::PublishAnswered {
                number: 42,
                ok: false
            }
        );
        assert_eq!(hear("x", "ok", "{}"), Heard::Other);
        let refused = |reason: &str| Heard::JoinRefused(Failure::join_refused(reason));
        assert_eq!(hear("1", "error", r#"{"reason":"full"}"#), refused("full"));
        assert_eq!(
            hear("1", "error", r#"{"code":7}"#),
            refused(r#"{"code":7}"#)
        );
    }

    #[test]
    fn ends_of_the_channel_and_strange_words_are_heard() {
        let mut v2 = v2();
        let crash = r#"["1","1","room:0","phx_error",{"reason":"channel_crash"}]"#;
        assert_eq!(
            v2.hear(Message::Text(crash)),
            Heard::ChannelEnded(Failure::ChannelError)
        );
        let close = r#"["1","1","room:0","phx_close",{}]"#;
        assert_eq!(
            v2.hear(Message::Text(close)),
            Heard::ChannelEnded(Failure::ChannelClosed)
        );
        let other = r#"[null,null,"room:0","presence_state",{}]"#;
        assert_eq!(v2.hear(Message::Text(other)), Heard::Other);
        for garbled in ["", "hello", "{}", "[1,2]"] {
            let heard = v2.hear(Message::Text(garbled));
            assert!(matches!(heard, Heard::Garbled(_)), "{garbled}: {heard:?}");
        }
        assert!(matches!(v2.hear(Message::Binary(&[9])), Heard::Garbled(_)));
    }

    #[test]
    fn a_publish_under_a_wrong_name_is_misrouted_and_that_of_another_run_is_nothing() {
        let mut v2 = v2();
        let mut hear = |topic: &str, mark: Mark| {
            let body = written(mark);
            v2.hear(Message::Text(&format!(
                r#"[null,null,"{topic}","new_msg",{{"b":"{body}"}}]"#
            )))
        };
        assert_eq!(hear("room:1", mark(1, 1)), Heard::Delivered(mark(1, 1)));
        assert_eq!(hear("room:2", mark(1, 1)), Heard::Misrouted);
        assert_eq!(
            hear(
                "room:1",
                Mark {
                    run: 1,
                    ..mark(1, 1)
                }
            ),
            Heard::Other
        );
        // Somebody else's push, broadcast: nobody waits for it.
        assert_eq!(hear("room:1", mark(1, PUSH_NUMBER)), Heard::Other);
    }

    #[test]
    fn raw_clients_know_their_echoes() {
        let mut raw = speech(Dialect::Raw);
        assert_eq!(raw.join(0, MASK), None);
        assert_eq!(raw.heartbeat(MASK), None);
        let due = Time::from_nanos(6);
        let push = said(&raw.push(0, 7, due, MASK));
        assert_eq!(push.len(), 80);
        let heard = raw.hear(Message::Text(&push));
        assert_eq!(heard, Heard::PushEchoed { client: 7, due });
        let publish = said(&raw.publish(mark(0, 5), MASK));
        assert_eq!(
            raw.hear(Message::Text(&publish)),
            Heard::Delivered(mark(0, 5))
        );
        assert_eq!(
            raw.hear(Message::Binary(publish.as_bytes())),
            Heard::Delivered(mark(0, 5))
        );
        assert_eq!(raw.hear(Message::Text("hello")), Heard::Other);
        assert_eq!(raw.hear(Message::Binary(&[0xff])), Heard::Other);
    }
}
