//! Packets of Socket.IO: who says what in which namespace, and what wants an answer.
//!
//! ```text
//! type [attachments -] [namespace ,] [id] [payload]
//!
//! 0 CONNECT        0/admin,{"token":"…"}              the client joins; {"sid":"…"} is the server's consent
//! 1 DISCONNECT     1/admin,
//! 2 EVENT          2/admin,12["name",1,{}]            12 asks for an acknowledgement
//! 3 ACK            3/admin,12["done"]
//! 4 CONNECT_ERROR  4/admin,{"message":"Invalid namespace"}
//! 5 BINARY_EVENT   51-["name",{"_placeholder":true,"num":0}]     one binary message follows
//! 6 BINARY_ACK     61-/admin,12[{"_placeholder":true,"num":0}]
//! ```
//!
//! A packet without a namespace is for [`ROOT`].

use std::{borrow::Cow, fmt::Write as _};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::DecodeError;
use crate::phoenix::Json;

/// The namespace that every client joins first, which no packet names.
pub const ROOT: &str = "/";

/// The largest whole number that JavaScript keeps exactly.
const ID_MAX: u64 = (1 << 53) - 1;

/// Names of events that mean something else to both sides, so that no peer sends them.
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client joins a namespace, or the server consents.
    Connect,
    /// One side leaves a namespace.
    Disconnect,
    /// A name and arguments; with an id, an acknowledgement is asked for.
    Event,
    /// The arguments of an acknowledgement.
    Ack,
    /// The server does not consent.
    ConnectError,
    /// An event with attachments.
    BinaryEvent,
    /// An acknowledgement with attachments.
    BinaryAck,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it is for.
    pub kind: Kind,
    /// How many binary messages follow that belong to it; 0 unless it is a binary one.
    pub attachments: u8,
    /// Where it belongs, with its leading `/`.
    pub namespace: &'a str,
    /// Which acknowledgement it asks for or is.
    pub id: Option<u64>,
    /// Of an event a list that begins with its name, of an acknowledgement a list, otherwise a map, a text
    /// or nothing.
    pub payload: Option<Json<'a>>,
}

/// What a packet may have, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Binary messages behind one packet; published clients take ten.
    pub attachments_max: u8,
    /// Bytes of the namespace.
    pub namespace_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attachments_max: 10,
            namespace_bytes_max: 512,
        }
    }
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Connect,
        Self::Disconnect,
        Self::Event,
        Self::Ack,
        Self::ConnectError,
        Self::BinaryEvent,
        Self::BinaryAck,
    ];

    /// Whether binary messages follow.
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }

    fn digit(self) -> char {
        char::from(b'0' + self as u8)
    }

    fn of(digit: char) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.digit() == digit)
    }

    /// Whether a payload of this shape goes with it.
    fn takes(self, payload: Option<&Json<'_>>) -> bool {
        let first = payload.map(|json| json.as_str().as_bytes()[0]);
        match self {
            Self::Connect => matches!(first, None | Some(b'{')),
            Self::Disconnect => first.is_none(),
            Self::ConnectError => matches!(first, Some(b'{' | b'"')),
            Self::Ack | Self::BinaryAck => first == Some(b'['),
            Self::Event | Self::BinaryEvent => payload
                .and_then(name)
                .is_some_and(|name| !RESERVED.contains(&&*name)),
        }
    }
}

impl<'a> Packet<'a> {
    /// Reads the payload of an Engine.IO message.
    ///
    /// # Errors
    ///
    /// Every variant of [`DecodeError`] but those of Engine.IO.
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, DecodeError> {
        let first = text.chars().next().ok_or(DecodeError::Empty)?;
        let kind = Kind::of(first).ok_or(DecodeError::UnknownType)?;
        let mut rest = &text[1..];
        let mut attachments = 0;
        if kind.is_binary() {
            let (count, behind) = rest.split_once('-').ok_or(DecodeError::Attachments)?;
            let count = number(count)
                .filter(|count| (1..=u64::from(limits.attachments_max)).contains(count));
            attachments = count.ok_or(DecodeError::Attachments)? as u8;
            rest = behind;
        }
        let mut namespace = ROOT;
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        if namespace.len() > limits.namespace_bytes_max {
            return Err(DecodeError::NamespaceTooLong);
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (id, rest) = rest.split_at(digits);
        let id = match id {
            "" => None,
            digits => Some(number(digits).ok_or(DecodeError::Id)?),
        };
        if id.is_none() && matches!(kind, Kind::Ack | Kind::BinaryAck) {
            return Err(DecodeError::Id);
        }
        let payload = match rest {
            "" => None,
            json => Some(Json::parse(json).map_err(|_| DecodeError::Payload)?),
        };
        if !kind.takes(payload.as_ref()) {
            return Err(DecodeError::Payload);
        }
        Ok(Self {
            kind,
            attachments,
            namespace,
            id,
            payload,
        })
    }

    /// The name of an event; a number, which may be one, as its text.
    pub fn event(&self) -> Option<Cow<'_, str>> {
        match self.kind {
            Kind::Event | Kind::BinaryEvent => self.payload.as_ref().and_then(name),
            _ => None,
        }
    }

    /// Appends the packet's text.
    pub fn encode(&self, out: &mut String) {
        out.push(self.kind.digit());
        if self.kind.is_binary() {
            // Writing to a String does not fail.
            let _ = write!(out, "{}-", self.attachments);
        }
        push_address(out, self.namespace, self.id);
        if let Some(payload) = &self.payload {
            out.push_str(payload.as_str());
        }
    }
}

/// Appends what stands before the payload of a packet without attachments.
pub fn encode_head(out: &mut String, kind: Kind, namespace: &str, id: Option<u64>) {
    debug_assert!(
        !kind.is_binary(),
        "a binary packet says how many attachments follow"
    );
    out.push(kind.digit());
    push_address(out, namespace, id);
}

fn push_address(out: &mut String, namespace: &str, id: Option<u64>) {
    if namespace != ROOT {
        out.push_str(namespace);
        out.push(',');
    }
    if let Some(id) = id {
        let _ = write!(out, "{id}");
    }
}

/// A whole number, if it is one that both sides can keep.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_number)?;
    (number <= ID_MAX).then_some(number)
}

/// The name that a list begins with: a text, or a number.
fn name<'j>(payload: &'j Json<'_>) -> Option<Cow<'j, str>> {
    #[derive(Deserialize)]
    struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

    let inside = payload.as_str().strip_prefix('[')?;
    // The list is known to be JSON, so only its beginning is read.
    let mut items = serde_json::Deserializer::from_str(inside).into_iter::<&RawValue>();
    let first = items.next()?.ok()?.get();
    match first.as_bytes().first()? {
        b'"' => {
            let Text(name) = serde_json::from_str(first).ok()?;
            Some(name)
        }
        b'0'..=b'9' | b'-' => Some(first.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::socketio::EnginePacket;

    fn json(text: &str) -> Option<Json<'_>> {
        Some(Json::parse(text).expect("JSON"))
    }

    fn parse(text: &str) -> Result<Packet<'_>, DecodeError> {
        Packet::parse(text, &Limits::default())
    }

    /// Each is the text of the protocol's document for it, or follows from its grammar.
    #[test]
    fn packets_are_these_texts() {
        let packet = |kind, namespace, id, payload| Packet {
            kind,
            attachments: 0,
            namespace,
            id,
            payload,
        };
        let sid = r#"{"sid":"oSO0OpakMV_3jnilAAAA"}"#;
        let refusal = r#"{"message":"Not authorized"}"#;
        let picture = r#"["hello",{"_placeholder":true,"num":0}]"#;
        for (packet, text) in [
            (packet(Kind::Connect, ROOT, None, None), "0"),
            (
                packet(Kind::Connect, ROOT, None, json(sid)),
                &*format!("0{sid}"),
            ),
            (
                packet(Kind::Connect, "/admin", None, json(r#"{"token":"123"}"#)),
                r#"0/admin,{"token":"123"}"#,
            ),
            (packet(Kind::Connect, "/a/b?c=d", None, None), "0/a/b?c=d,"),
            (packet(Kind::Disconnect, ROOT, None, None), "1"),
            (packet(Kind::Disconnect, "/admin", None, None), "1/admin,"),
            (
                packet(Kind::Event, ROOT, None, json(r#"["foo"]"#)),
                r#"2["foo"]"#,
            ),
            (
                packet(
                    Kind::Event,
                    "/admin",
                    Some(12),
                    json(r#"["foo",1,{"a":[]}]"#),
                ),
                r#"2/admin,12["foo",1,{"a":[]}]"#,
            ),
            (packet(Kind::Ack, ROOT, Some(0), json("[]")), "30[]"),
            (
                packet(Kind::Ack, "/admin", Some(13), json(r#"["bar"]"#)),
                r#"3/admin,13["bar"]"#,
            ),
            (
                packet(Kind::ConnectError, ROOT, None, json(refusal)),
                &*format!("4{refusal}"),
            ),
            (
                packet(
                    Kind::ConnectError,
                    "/x",
                    None,
                    json(r#""Invalid namespace""#),
                ),
                r#"4/x,"Invalid namespace""#,
            ),
            (
                Packet {
                    attachments: 1,
                    ..packet(Kind::BinaryEvent, ROOT, None, json(picture))
                },
                &*format!("51-{picture}"),
            ),
            (
                Packet {
                    attachments: 10,
                    ..packet(Kind::BinaryAck, "/admin", Some(15), json("[1]"))
                },
                "610-/admin,15[1]",
            ),
        ] {
            let mut written = String::new();
            packet.encode(&mut written);
            assert_eq!(written, text);
            assert_eq!(parse(text), Ok(packet), "{text}");
        }
    }

    #[test]
    fn a_namespace_may_end_the_packet() {
        assert_eq!(parse("1/admin").expect("a packet").namespace, "/admin");
        assert_eq!(parse("0/").expect("a packet").namespace, "/");
    }

    #[test]
    fn heads_are_those_of_whole_packets() {
        let mut out = String::from(EnginePacket::MESSAGE);
        encode_head(&mut out, Kind::Event, "/chat", Some(7));
        out.push_str("[\"a\"]");
        assert_eq!(out, "42/chat,7[\"a\"]");
        let mut out = String::new();
        encode_head(&mut out, Kind::Connect, ROOT, None);
        assert_eq!(out, "0");
    }

    #[test]
    fn events_have_names() {
        for (text, name) in [
            (r#"2["foo"]"#, Some("foo")),
            (r#"2[ "a\"\u00e9" , 1]"#, Some("a\"é")),
            ("2[7,1]", Some("7")),
            (r#"52-["pic",{},{}]"#, Some("pic")),
            ("31[\"foo\"]", None),
            ("0", None),
        ] {
            assert_eq!(parse(text).expect(text).event().as_deref(), name, "{text}");
        }
        let text = r#"2["plain",{}]"#;
        let packet = parse(text).expect("an event");
        assert!(matches!(packet.event(), Some(Cow::Borrowed("plain"))));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        let long = format!("0/{},", "n".repeat(512));
        let deep = format!("2[\"a\",{}1{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&deep).is_ok(), "nesting costs no stack");
        for (text, error) in [
            ("", DecodeError::Empty),
            ("7", DecodeError::UnknownType),
            ("é", DecodeError::UnknownType),
            ("5[\"a\"]", DecodeError::Attachments),
            ("5-[\"a\"]", DecodeError::Attachments),
            ("50-[\"a\"]", DecodeError::Attachments),
            ("511-[\"a\"]", DecodeError::Attachments),
            ("5+1-[\"a\"]", DecodeError::Attachments),
            ("599999999999999999999-[]", DecodeError::Attachments),
            (&long, DecodeError::NamespaceTooLong),
            ("29007199254740992[\"a\"]", DecodeError::Id),
            ("3[]", DecodeError::Id),
            ("61-[]", DecodeError::Id),
            ("0[]", DecodeError::Payload),
            ("0\"a\"", DecodeError::Payload),
            ("0{", DecodeError::Payload),
            ("1{}", DecodeError::Payload),
            ("2", DecodeError::Payload),
            ("2{}", DecodeError::Payload),
            ("2[]", DecodeError::Payload),
            ("2[null]", DecodeError::Payload),
            ("2[\"connect\"]", DecodeError::Payload),
            ("2[\"a\"]x", DecodeError::Payload),
            ("2-1[\"a\"]", DecodeError::Payload),
            ("31{}", DecodeError::Payload),
            ("31", DecodeError::Payload),
            ("4", DecodeError::Payload),
            ("4[]", DecodeError::Payload),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            kind in 0..7_usize,
            attachments in 1..=10_u8,
            namespace in "(/[^,]{0,20})?",
            id in prop::option::of(0..=ID_MAX),
            (name, text, whole) in (".{0,12}", ".{0,12}", any::<i64>()),
        ) {
            let kind = Kind::ALL[kind];
            prop_assume!(!RESERVED.contains(&&*name));
            let json = match kind {
                Kind::Connect | Kind::ConnectError => serde_json::json!({"message": text}),
                Kind::Disconnect => serde_json::Value::Null,
                Kind::Event | Kind::BinaryEvent => serde_json::json!([name, text, whole]),
                Kind::Ack | Kind::BinaryAck => serde_json::json!([text, whole]),
            }
            .to_string();
            let packet = Packet {
                kind,
                attachments: if kind.is_binary() { attachments } else { 0 },
                namespace: if namespace.is_empty() { ROOT } else { &namespace },
                id: match kind {
                    Kind::Ack | Kind::BinaryAck => id.or(Some(1)),
                    _ => id,
                },
                payload: (kind != Kind::Disconnect).then(|| Json::parse(&json).expect("JSON")),
            };
            let mut written = String::new();
            packet.encode(&mut written);
            let read = parse(&written);
            prop_assert_eq!(read.as_ref(), Ok(&packet));
            if matches!(kind, Kind::Event | Kind::BinaryEvent) {
                let event = packet.event();
                prop_assert_eq!(event.as_deref(), Some(&*name));
            }
        }
    }
}
