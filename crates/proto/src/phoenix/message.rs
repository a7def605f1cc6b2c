//! The message of Phoenix Channels: five fields, whatever the serializer.

use std::borrow::Cow;

use super::Payload;
use super::json::{escape, string_inside, unescape};

/// The event that joins a topic.
pub const JOIN: &str = "phx_join";
/// The event that leaves a topic.
pub const LEAVE: &str = "phx_leave";
/// The event of every reply.
pub const REPLY: &str = "phx_reply";
/// The event that tells a client that its channel crashed.
pub const ERROR: &str = "phx_error";
/// The event that tells a client that its channel is gone.
pub const CLOSE: &str = "phx_close";
/// The event of a heartbeat, on [`HEARTBEAT_TOPIC`].
pub const HEARTBEAT: &str = "heartbeat";
/// The topic of heartbeats, which nobody joins.
pub const HEARTBEAT_TOPIC: &str = "phoenix";

/// A message of either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Which join of the topic the message belongs to.
    pub join_ref: Option<Ref<'a>>,
    /// What the client named this message, to be told apart in the reply.
    pub reference: Option<Ref<'a>>,
    /// Where it belongs.
    pub topic: Cow<'a, str>,
    /// What happened.
    pub event: Cow<'a, str>,
    /// What comes with it.
    pub payload: Payload<'a>,
}

/// Whether an event name belongs to the protocol itself; to pass one on from a client to others
/// would let it close their channels.
pub fn is_reserved_event(event: &str) -> bool {
    event.starts_with("phx_")
}

/// A `ref` or `join_ref`: the JSON value that the client chose, to be echoed as it was written.
///
/// Phoenix clients send strings of digits, but any value is echoed. Two refs are equal when they
/// are written alike: a client that spells one ref in two ways does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref<'a> {
    shape: RefShape,
    /// Between the quotes for a string, the whole text otherwise.
    text: Cow<'a, str>,
}

/// Whether a ref is a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefShape {
    /// A string: the text is what lies between its quotes, escapes as the client wrote them.
    String,
    /// Any other value but null: the text is the value's.
    Other,
}

impl<'a> Ref<'a> {
    /// The ref that is this string.
    pub fn string(value: &'a str) -> Self {
        Self {
            shape: RefShape::String,
            text: escape(value),
        }
    }

    /// Puts a ref together again from its [`shape`](Self::shape) and [`text`](Self::text).
    pub const fn from_parts(shape: RefShape, text: &'a str) -> Self {
        Self {
            shape,
            text: Cow::Borrowed(text),
        }
    }

    /// Reads the text of a valid JSON value; null is no ref.
    pub(super) fn from_json(text: &'a str) -> Option<Self> {
        match string_inside(text) {
            Some(inside) => Some(Self::from_parts(RefShape::String, inside)),
            None if text == "null" => None,
            None => Some(Self::from_parts(RefShape::Other, text)),
        }
    }

    /// Whether it is a string.
    pub const fn shape(&self) -> RefShape {
        self.shape
    }

    /// What it says, as JSON writes it, without quotes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says, as binary frames write it: the string itself, or the text of another value.
    /// An escape that stands for no character stays as written.
    pub fn plain(&self) -> Cow<'_, str> {
        match self.shape {
            RefShape::String => unescape(&self.text).unwrap_or(Cow::Borrowed(&self.text)),
            RefShape::Other => Cow::Borrowed(&self.text),
        }
    }

    /// The same ref, borrowed.
    pub fn borrowed(&self) -> Ref<'_> {
        Ref {
            shape: self.shape,
            text: Cow::Borrowed(&self.text),
        }
    }

    /// The same ref in memory of its own.
    pub fn into_owned(self) -> Ref<'static> {
        Ref {
            shape: self.shape,
            text: Cow::Owned(self.text.into_owned()),
        }
    }

    /// The three pieces of its JSON text.
    pub(super) fn json_parts(&self) -> [&str; 3] {
        match self.shape {
            RefShape::String => ["\"", &self.text, "\""],
            RefShape::Other => ["", &self.text, ""],
        }
    }
}

/// How long the names in a message may be.
///
/// Binary frames write each length in one byte, so 255 is the most that both formats can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest topic, in bytes of UTF-8. Default and most: 255.
    pub topic_bytes_max: u8,
    /// Longest event name, in bytes of UTF-8. Default and most: 255.
    pub event_bytes_max: u8,
    /// Longest ref or join_ref, in bytes of its [`plain`](Ref::plain) form. Default and most: 255.
    pub ref_bytes_max: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            topic_bytes_max: 255,
            event_bytes_max: 255,
            ref_bytes_max: 255,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_is_written_as_it_was_read() {
        for text in ["\"1\"", "7", "-1.5e3", "true", "\"\"", "\"\\u0031\"", "[1]"] {
            let reference = Ref::from_json(text).unwrap();
            assert_eq!(reference.json_parts().concat(), text);
        }
        assert_eq!(Ref::from_json("null"), None);
    }

    #[test]
    fn a_string_ref_is_the_same_from_json_and_from_bytes() {
        assert_eq!(Ref::from_json("\"12\""), Some(Ref::string("12")));
        assert_ne!(Ref::from_json("12"), Some(Ref::string("12")));
    }

    #[test]
    fn the_plain_form_has_no_escapes() {
        assert_eq!(Ref::from_json("\"a\\u0062\\n\"").unwrap().plain(), "ab\n");
        assert_eq!(Ref::from_json("7").unwrap().plain(), "7");
        assert_eq!(Ref::string("say \"1\"").plain(), "say \"1\"");
    }

    #[test]
    fn only_names_of_the_protocol_are_reserved() {
        assert!(
            [JOIN, LEAVE, REPLY, ERROR, CLOSE]
                .iter()
                .all(|event| is_reserved_event(event))
        );
        assert!(!is_reserved_event("new_msg") && !is_reserved_event("phx"));
    }
}
