//! A message that a backend publishes: how it is written, what it may hold, and what it becomes.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hub::{Broadcast, BroadcastError, Json, Payload};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use thiserror::Error;
use utoipa::ToSchema;

use super::input::given;
use crate::{
    config::Limits,
    control::{Conn, NoConn},
};

/// A message to the members of a topic. It has a payload in exactly one of two forms.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"topic": "room:lobby", "event": "new_msg", "payload": {"body": "hello"}}))]
pub(crate) struct Message<'a> {
    /// Whose members get it: 1 to `limits.topic_bytes_max` bytes.
    #[serde(borrow)]
    #[schema(min_length = 1, max_length = 255, example = "room:lobby")]
    topic: Cow<'a, str>,
    /// What it is called: 1 to `limits.event_bytes_max` bytes.
    #[serde(borrow)]
    #[schema(min_length = 1, max_length = 255, example = "new_msg")]
    event: Cow<'a, str>,
    /// Any JSON value; members get the text as it stands here.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(value_type = serde_json::Value, required = false)]
    payload: Option<&'a RawValue>,
    /// Bytes, in base64 with padding (RFC 4648 section 4). Members that speak V1 get none of them.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        nullable = false,
        content_encoding = "base64",
        pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$",
        example = "AAEC"
    )]
    payload_base64: Option<String>,
    /// The one connection that does not get it, as queries name it.
    #[serde(default)]
    #[schema(
        pattern = "^(0|[1-9][0-9]{0,3})-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})$",
        example = "0-17-3"
    )]
    except: Option<String>,
}

/// Several messages, which are published in their order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch<'a> {
    /// At most 10,000.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 10_000)]
    pub(crate) messages: Vec<Message<'a>>,
}

/// A message that is ready to go.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) broadcast: Arc<Broadcast>,
    pub(crate) but: Option<Conn>,
}

/// What a message says that cannot be.
#[derive(Debug, Error)]
pub(crate) enum Unfit {
    #[error("its {field} has {len} bytes; expected 1 to {max} ({setting})")]
    Name {
        field: &'static str,
        len: usize,
        max: u8,
        setting: &'static str,
    },
    #[error("it has no payload, or two; expected either payload or payload_base64")]
    Payload,
    #[error("its payload_base64 is not base64 with padding: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("its except names no connection: {0}")]
    Except(#[from] NoConn),
    #[error(transparent)]
    Broadcast(#[from] BroadcastError),
}

impl Message<'_> {
    /// Makes it ready. The payload is copied once, into the frame that all members share.
    ///
    /// # Errors
    ///
    /// What is unfit.
    pub(crate) fn prepare(&self, limits: &Limits) -> Result<Ready, Unfit> {
        fits("topic", &self.topic, limits.topic_bytes_max)?;
        fits("event", &self.event, limits.event_bytes_max)?;
        let payload = match (self.payload, &self.payload_base64) {
            (Some(json), None) => Payload::Json(Json::from_raw(json)),
            (None, Some(base64)) => Payload::binary(STANDARD.decode(base64)?),
            (None, None) | (Some(_), Some(_)) => return Err(Unfit::Payload),
        };
        let but = self.except.as_deref().map(str::parse).transpose()?;
        let broadcast = Broadcast::new(&self.topic, &self.event, payload)?;
        Ok(Ready { broadcast, but })
    }
}

fn fits(field: &'static str, name: &str, max: u8) -> Result<(), Unfit> {
    if (1..=usize::from(max)).contains(&name.len()) {
        return Ok(());
    }
    Err(Unfit::Name {
        field,
        len: name.len(),
        max,
        setting: match field {
            "topic" => "limits.topic_bytes_max",
            _ => "limits.event_bytes_max",
        },
    })
}

/// A value that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(text: &str) -> Result<Ready, String> {
        let message: Message<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let limits = Limits::default();
        message.prepare(&limits).map_err(|unfit| unfit.to_string())
    }

    #[test]
    fn the_payload_is_the_text_as_it_stands() {
        for payload in [r#"{"b":1.0,  "a":[ ]}"#, "null", r#""\u00e9""#] {
            let text = format!(r#"{{"topic":"a","event":"b","payload":{payload}}}"#);
            let ready = prepare(&text).unwrap();
            assert_eq!(ready.broadcast.payload().as_json(), Some(payload));
        }
        let ready = prepare(r#"{"topic":"a","event":"b","payload_base64":"AAEC"}"#).unwrap();
        assert_eq!(ready.broadcast.payload().as_binary(), Some(&[0, 1, 2][..]));
        let ready = prepare(r#"{"topic":"\u0061","event":"b","payload":1,"except":"0-1-2"}"#);
        let ready = ready.unwrap();
        assert_eq!(ready.broadcast.topic(), "a");
        assert_eq!(
            ready.but.map(|conn| conn.to_string()).as_deref(),
            Some("0-1-2")
        );
    }

    #[test]
    fn what_is_unfit_is_named() {
        let long = "x".repeat(256);
        for (text, word) in [
            (
                r#"{"topic":"","event":"b","payload":1}"#.to_owned(),
                "topic has 0",
            ),
            (
                format!(r#"{{"topic":"{long}","event":"b","payload":1}}"#),
                "256 bytes",
            ),
            (
                r#"{"topic":"a","event":"","payload":1}"#.to_owned(),
                "event_bytes_max",
            ),
            (r#"{"topic":"a","event":"b"}"#.to_owned(), "no payload"),
            (
                r#"{"topic":"a","event":"b","payload":1,"payload_base64":""}"#.to_owned(),
                "or two",
            ),
            (
                r#"{"topic":"a","event":"b","payload_base64":"AAE"}"#.to_owned(),
                "base64",
            ),
            (
                r#"{"topic":"a","event":"b","payload":1,"except":"7"}"#.to_owned(),
                "three numbers",
            ),
            (
                r#"{"topic":"a","event":"b","payload":1,"to":"7"}"#.to_owned(),
                "unknown field `to`",
            ),
        ] {
            let unfit = prepare(&text).unwrap_err();
            assert!(unfit.contains(word), "{text}: {unfit}");
        }
    }
}
