//! Engine.IO over one WebSocket: a session is opened, kept alive and closed.
//!
//! ```text
//! text message:     type payload            binary message: an attachment, without a type
//!
//! 0 open      {"sid":"…","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}
//! 1 close
//! 2 ping      the server's, every pingInterval; silence for pingInterval + pingTimeout ends the session
//! 3 pong      the client's answer
//! 4 message   a packet of Socket.IO
//! 5 upgrade   the end of a change of transports
//! 6 noop
//! ```

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::DecodeError;

/// One packet of Engine.IO.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnginePacket<'a> {
    /// The server opens the session.
    Open(Handshake<'a>),
    /// The peer ends the session.
    Close,
    /// The server asks whether the client is there; what stands behind it comes back in the pong.
    Ping(&'a str),
    /// The client is there.
    Pong(&'a str),
    /// A packet of Socket.IO.
    Message(&'a str),
    /// The change to another transport is complete.
    Upgrade,
    /// Nothing.
    Noop,
}

/// What the server says of a session that it opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handshake<'a> {
    /// The name of the session.
    #[serde(borrow)]
    pub sid: Cow<'a, str>,
    /// Milliseconds between the server's pings.
    pub ping_interval: u64,
    /// Milliseconds that a ping may be late.
    pub ping_timeout: u64,
    /// Bytes of the largest message that the server takes; older servers do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_payload: Option<u64>,
}

impl<'a> EnginePacket<'a> {
    /// The first character of a message, behind which a packet of Socket.IO is written.
    pub const MESSAGE: char = '4';

    /// Reads one text message. What stands behind a type that has no payload is passed over.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Empty`], [`DecodeError::UnknownEngineType`], and [`DecodeError::Handshake`] for an
    /// open packet of another version.
    pub fn parse(text: &'a str) -> Result<Self, DecodeError> {
        let mut rest = text.chars();
        let kind = rest.next().ok_or(DecodeError::Empty)?;
        let rest = rest.as_str();
        Ok(match kind {
            '0' => Self::Open(serde_json::from_str(rest).map_err(|_| DecodeError::Handshake)?),
            '1' => Self::Close,
            '2' => Self::Ping(rest),
            '3' => Self::Pong(rest),
            Self::MESSAGE => Self::Message(rest),
            '5' => Self::Upgrade,
            '6' => Self::Noop,
            _ => return Err(DecodeError::UnknownEngineType),
        })
    }

    /// Appends the packet's text.
    pub fn encode(&self, out: &mut String) {
        let (kind, payload) = match self {
            Self::Open(handshake) => {
                let json = serde_json::to_string(handshake);
                let json = json.expect("a map of texts and numbers is JSON");
                ('0', Cow::Owned(json))
            }
            Self::Close => ('1', "".into()),
            Self::Ping(payload) => ('2', (*payload).into()),
            Self::Pong(payload) => ('3', (*payload).into()),
            Self::Message(payload) => (Self::MESSAGE, (*payload).into()),
            Self::Upgrade => ('5', "".into()),
            Self::Noop => ('6', "".into()),
        };
        out.push(kind);
        out.push_str(&payload);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(packet: &EnginePacket<'_>) -> String {
        let mut out = String::new();
        packet.encode(&mut out);
        out
    }

    #[test]
    fn packets_are_these_texts() {
        let handshake = Handshake {
            sid: "lv_VI97HAXpY6yYWAAAC".into(),
            ping_interval: 25_000,
            ping_timeout: 20_000,
            max_payload: Some(1_000_000),
        };
        for (packet, text) in [
            (
                EnginePacket::Open(handshake),
                r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#,
            ),
            (EnginePacket::Close, "1"),
            (EnginePacket::Ping(""), "2"),
            (EnginePacket::Ping("probe"), "2probe"),
            (EnginePacket::Pong(""), "3"),
            (EnginePacket::Pong("probe"), "3probe"),
            (EnginePacket::Message("2[\"hello\"]"), "42[\"hello\"]"),
            (EnginePacket::Message(""), "4"),
            (EnginePacket::Upgrade, "5"),
            (EnginePacket::Noop, "6"),
        ] {
            assert_eq!(written(&packet), text);
            assert_eq!(EnginePacket::parse(text), Ok(packet));
        }
    }

    #[test]
    fn a_handshake_has_what_a_client_needs_and_may_have_more() {
        let text =
            r#"0{"sid":"a\"b","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200}"#;
        let EnginePacket::Open(handshake) = EnginePacket::parse(text).expect("open") else {
            panic!("an open packet");
        };
        assert_eq!(&*handshake.sid, "a\"b");
        assert_eq!(
            (handshake.ping_interval, handshake.ping_timeout),
            (300, 200)
        );
        assert_eq!(handshake.max_payload, None);
        for text in [
            "0",
            "0{}",
            r#"0{"sid":"a","pingInterval":-1,"pingTimeout":1}"#,
            r#"0{"sid":7,"pingInterval":1,"pingTimeout":1}"#,
            r#"0["a"]"#,
        ] {
            assert_eq!(
                EnginePacket::parse(text),
                Err(DecodeError::Handshake),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        assert_eq!(EnginePacket::parse(""), Err(DecodeError::Empty));
        for text in ["7", "hello", "b4AQID", " 2", "é"] {
            let refused = EnginePacket::parse(text);
            assert_eq!(refused, Err(DecodeError::UnknownEngineType), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (kind, payload) in (0..7_u8, ".{0,40}"),
            (sid, ping_interval, ping_timeout, max_payload) in (".{0,20}", any::<u64>(), any::<u64>(), any::<Option<u64>>()),
        ) {
            let packet = match kind {
                0 => EnginePacket::Open(Handshake { sid: sid.into(), ping_interval, ping_timeout, max_payload }),
                1 => EnginePacket::Close,
                2 => EnginePacket::Ping(&payload),
                3 => EnginePacket::Pong(&payload),
                4 => EnginePacket::Message(&payload),
                5 => EnginePacket::Upgrade,
                _ => EnginePacket::Noop,
            };
            let text = written(&packet);
            prop_assert_eq!(EnginePacket::parse(&text), Ok(packet));
        }
    }
}
