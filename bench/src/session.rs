//! The bytes of one client's session, the same for every server that is measured.
//!
//! A session is what a Phoenix client of the V2 serializer and a server say to each other: the
//! WebSocket upgrade, the join of one topic, and then either broadcasts (one member pushes, all
//! members receive) or pushes that are answered one by one. The bytes are made once, before
//! anything is timed: the crowd sends them as they are and compares what it receives with what
//! it must be, byte by byte. So every server, the floor included, moves exactly the same bytes;
//! only the head of the 101 answer is each server's own.
//!
//! ```text
//! crowd                                                server
//!   GET /socket/websocket?vsn=2.0.0          ────►
//!                                            ◄────     101 Switching Protocols
//!   ["1","1",TOPIC,"phx_join",{}]            ────►
//!                                            ◄────     ["1","1",TOPIC,"phx_reply",{…}]
//!   ["1","2",TOPIC,"shout",{"body":…}]       ────►
//!                                            ◄────     [null,null,TOPIC,"shout",{"body":…}]   fan-out
//!                                            ◄────     ["1","2",TOPIC,"phx_reply",{…}]        echo
//! ```

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What the joined connections are used for. A server is started afresh for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// All connections join one topic and one of them pushes what all of them receive.
    Fanout,
    /// Each connection pushes and gets its reply, one message in flight per connection.
    Echo,
}

impl Workload {
    /// Returns its name on a command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout",
            Self::Echo => "echo",
        }
    }

    /// Returns the topic that every connection joins.
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Self::Fanout => "room:bench",
            Self::Echo => "echo:bench",
        }
    }
}

/// What a server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The channels of Phoenix, as pictured above.
    Phoenix,
    /// Publish and subscribe: who connects is subscribed, and what is pushed comes as it is to all
    /// subscribers. A push is therefore the text that is to come, and there is no join.
    PubSub,
}

/// Every message of a session as bytes for the wire.
#[derive(Debug)]
pub(crate) struct Session {
    workload: Workload,
    dialect: Dialect,
    /// The masked frame that joins the topic.
    join: Vec<u8>,
    /// The frame that says the join was accepted.
    joined: Vec<u8>,
    /// The masked frame that is pushed when the workload is `Echo`.
    echo_push: Vec<u8>,
    /// The frame that answers it.
    echo_reply: Vec<u8>,
    /// The frame with which a server may answer a push beside broadcasting it.
    shout_reply: Vec<u8>,
    /// A broadcast frame whose sequence number is to be replaced.
    shout: Vec<u8>,
    /// Where the digits of the sequence number begin in `shout`.
    shout_digits: usize,
}

impl Session {
    /// Returns the session of a server of channels.
    pub(crate) fn new(workload: Workload) -> Self {
        Self::in_dialect(workload, Dialect::Phoenix)
    }

    pub(crate) fn in_dialect(workload: Workload, dialect: Dialect) -> Self {
        let topic = workload.topic();
        let shout = server_frame(&shout_text(topic, 0));
        let shout_digits = shout.len() - SHOUT_TAIL.len() - SHOUT_BODY_BYTES;
        let echo_push = match dialect {
            Dialect::Phoenix => echo_push_text(topic),
            Dialect::PubSub => echo_reply_text(topic),
        };
        Self {
            workload,
            dialect,
            join: client_frame(&join_text(topic)),
            joined: server_frame(&joined_text(topic)),
            echo_push: client_frame(&echo_push),
            echo_reply: server_frame(&echo_reply_text(topic)),
            shout_reply: server_frame(&reply_text(topic, "{}")),
            shout,
            shout_digits,
        }
    }

    /// Returns what the joined connections are used for.
    pub(crate) fn workload(&self) -> Workload {
        self.workload
    }

    /// Returns the upgrade request for a server that calls itself `host`.
    pub(crate) fn request(&self, host: &str) -> Vec<u8> {
        format!(
            "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\n\
             Host: {host}\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n"
        )
        .into_bytes()
    }

    /// Returns the 101 answer that the floor gives.
    pub(crate) fn accepted(&self) -> Vec<u8> {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\n\
             Connection: Upgrade\r\n\
             Upgrade: websocket\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        )
        .into_bytes()
    }

    /// Says whether `head` is a 101 answer to this session's key.
    pub(crate) fn is_accepted(&self, head: &[u8]) -> bool {
        head.starts_with(b"HTTP/1.1 101 ")
            && head
                .windows(ACCEPT.len())
                .any(|part| part == ACCEPT.as_bytes())
    }

    /// Says whether a connection joins after its upgrade.
    pub(crate) fn joins(&self) -> bool {
        self.dialect == Dialect::Phoenix
    }

    pub(crate) fn join(&self) -> &[u8] {
        &self.join
    }

    pub(crate) fn joined(&self) -> &[u8] {
        &self.joined
    }

    pub(crate) fn echo_push(&self) -> &[u8] {
        &self.echo_push
    }

    pub(crate) fn echo_reply(&self) -> &[u8] {
        &self.echo_reply
    }

    pub(crate) fn shout_reply(&self) -> &[u8] {
        &self.shout_reply
    }

    /// Returns the masked frame that asks the server for the broadcast `sequence`.
    pub(crate) fn shout_push(&self, sequence: u32) -> Vec<u8> {
        let topic = self.workload.topic();
        client_frame(&match self.dialect {
            Dialect::Phoenix => shout_push_text(topic, sequence),
            Dialect::PubSub => shout_text(topic, sequence),
        })
    }

    /// Writes the broadcast frame `sequence` over `frame`.
    pub(crate) fn shout_into(&self, sequence: u32, frame: &mut Vec<u8>) {
        frame.clear();
        frame.extend_from_slice(&self.shout);
        let digits = format!("{sequence:08}");
        frame[self.shout_digits..self.shout_digits + SEQUENCE_DIGITS]
            .copy_from_slice(digits.as_bytes());
    }

    /// Returns the sequence number of `frame`, or `None` when it is no broadcast of this session.
    pub(crate) fn shout_sequence(&self, frame: &[u8]) -> Option<u32> {
        let after = self.shout_digits + SEQUENCE_DIGITS;
        if frame.len() != self.shout.len()
            || frame[..self.shout_digits] != self.shout[..self.shout_digits]
            || frame[after..] != self.shout[after..]
        {
            return None;
        }
        let digits = std::str::from_utf8(&frame[self.shout_digits..after]).ok()?;
        digits.parse().ok()
    }
}

/// Returns the texts of a session for servers that are programs of their own.
pub(crate) fn texts(topic: &str) -> Value {
    json!({
        "join": join_text(topic),
        "joined": joined_text(topic),
        "echo_push": echo_push_text(topic),
        "echo_reply": echo_reply_text(topic),
        "shout_push_head": shout_push_head(topic),
        "shout_head": shout_head(topic),
    })
}

/// Returns the text that joins `topic`.
fn join_text(topic: &str) -> String {
    format!(r#"["1","1","{topic}","phx_join",{{}}]"#)
}

/// Returns the text that accepts the join.
fn joined_text(topic: &str) -> String {
    format!(r#"["1","1","{topic}","phx_reply",{{"status":"ok","response":{{}}}}]"#)
}

/// Returns the text of the push that is to be answered.
fn echo_push_text(topic: &str) -> String {
    format!(r#"["1","2","{topic}","ping",{}]"#, echo_payload())
}

/// Returns the text of its reply, which brings the payload back.
fn echo_reply_text(topic: &str) -> String {
    reply_text(topic, &echo_payload())
}

/// Returns the text that says a push was accepted.
fn reply_text(topic: &str, response: &str) -> String {
    format!(r#"["1","2","{topic}","phx_reply",{{"status":"ok","response":{response}}}]"#)
}

fn echo_payload() -> String {
    format!(r#"{{"body":"{}"}}"#, "e".repeat(ECHO_BODY_BYTES))
}

/// Returns what precedes the payload in the text of a push that asks for a broadcast.
fn shout_push_head(topic: &str) -> String {
    format!(r#"["1","2","{topic}","shout","#)
}

/// Returns what precedes the payload in the text of a broadcast.
fn shout_head(topic: &str) -> String {
    format!(r#"[null,null,"{topic}","shout","#)
}

fn shout_push_text(topic: &str, sequence: u32) -> String {
    shout_push_head(topic) + &shout_payload(sequence) + "]"
}

fn shout_text(topic: &str, sequence: u32) -> String {
    shout_head(topic) + &shout_payload(sequence) + "]"
}

/// Returns `{"body":"…"}` with a body of `SHOUT_BODY_BYTES` that begins with the sequence number.
fn shout_payload(sequence: u32) -> String {
    let mut payload = String::from(r#"{"body":""#);
    let padding = "x".repeat(SHOUT_BODY_BYTES - SEQUENCE_DIGITS);
    // Writing to a string cannot fail.
    let _ = write!(payload, "{sequence:08}{padding}\"}}");
    payload
}

/// Returns `text` as one unmasked text frame.
fn server_frame(text: &str) -> Vec<u8> {
    let mut frame = frame_header(text.len(), 0);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Returns `text` as one text frame masked with `MASK`.
pub(crate) fn client_frame(text: &str) -> Vec<u8> {
    let mut frame = frame_header(text.len(), 0x80);
    frame.extend_from_slice(&MASK);
    frame.extend(
        text.bytes()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// Returns the header of a whole text frame (RFC 6455 §5.2) without the mask key.
fn frame_header(payload_bytes: usize, mask_bit: u8) -> Vec<u8> {
    const FIN_TEXT: u8 = 0x81;
    match u16::try_from(payload_bytes) {
        Ok(short @ 0..=125) => vec![FIN_TEXT, mask_bit | short as u8],
        Ok(long) => {
            let [high, low] = long.to_be_bytes();
            vec![FIN_TEXT, mask_bit | 126, high, low]
        }
        Err(_) => unreachable!("no message of a session has more than 65,535 bytes"),
    }
}

/// Returns the bytes of the first whole unmasked frame in `bytes`, or `None` while it is incomplete.
pub(crate) fn server_frame_len(bytes: &[u8]) -> Option<usize> {
    let len = match bytes.get(1)? & 0x7f {
        126 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        // No server of the bench has a reason to send 64 KiB; waiting for it ends in the deadline.
        127 => return None,
        short => 2 + usize::from(short),
    };
    (bytes.len() >= len).then_some(len)
}

/// Returns the bytes of the HTTP head in `bytes`, or `None` while it is incomplete.
pub(crate) fn head_len(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .map(|start| start + 4)
}

/// The example key of RFC 6455 §1.3. Every connection sends it: the digest is work that a server
/// cannot skip, and the crowd need not compute it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The digest of `KEY`, from the same place.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Not zero, so that no server gets away without unmasking.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const SEQUENCE_DIGITS: usize = 8;
const SHOUT_BODY_BYTES: usize = 128;
const ECHO_BODY_BYTES: usize = 64;
/// What follows the body in a broadcast.
const SHOUT_TAIL: &str = r#""}]"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_carries_its_number_and_nothing_else_changes() {
        let session = Session::new(Workload::Fanout);
        let mut frame = Vec::new();
        session.shout_into(4_711, &mut frame);
        assert_eq!(frame, server_frame(&shout_text("room:bench", 4_711)));
        assert_eq!(session.shout_sequence(&frame), Some(4_711));
        let digits = session.shout_digits..session.shout_digits + SEQUENCE_DIGITS;
        for place in (0..frame.len()).filter(|place| !digits.contains(place)) {
            let mut damaged = frame.clone();
            damaged[place] ^= 1;
            assert_eq!(session.shout_sequence(&damaged), None, "byte {place}");
        }
    }

    #[test]
    fn what_is_published_is_what_comes() {
        let mut frame = Vec::new();
        for workload in [Workload::Fanout, Workload::Echo] {
            let session = Session::in_dialect(workload, Dialect::PubSub);
            assert!(!session.joins());
            session.shout_into(7, &mut frame);
            assert_eq!(unmasked(&session.shout_push(7)), frame);
            assert_eq!(unmasked(session.echo_push()), session.echo_reply());
        }
    }

    /// Returns a client's frame of 126 to 65,535 bytes as a server would send it.
    fn unmasked(frame: &[u8]) -> Vec<u8> {
        let mut plain = vec![frame[0], frame[1] & 0x7f, frame[2], frame[3]];
        let masked = frame[8..].iter().zip(MASK.iter().cycle());
        plain.extend(masked.map(|(byte, mask)| byte ^ mask));
        plain
    }

    #[test]
    fn a_body_has_the_stated_bytes() {
        let payload = shout_payload(1);
        assert_eq!(payload.len(), r#"{"body":""}"#.len() + SHOUT_BODY_BYTES);
    }

    #[test]
    fn a_client_frame_is_masked_and_of_the_right_length() {
        let frame = client_frame("Hello");
        // RFC 6455 §5.7: a single-frame masked text message.
        assert_eq!(
            frame,
            [
                0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58
            ]
        );
    }

    #[test]
    fn an_incomplete_frame_has_no_length_yet() {
        let frame = server_frame(&"x".repeat(200));
        for len in 0..frame.len() {
            assert_eq!(server_frame_len(&frame[..len]), None, "{len} bytes");
        }
        assert_eq!(server_frame_len(&frame), Some(204));
        assert_eq!(
            server_frame_len(&[frame.as_slice(), b"more"].concat()),
            Some(204)
        );
    }

    #[test]
    fn the_floors_own_answer_is_accepted() {
        let session = Session::new(Workload::Echo);
        let head = session.accepted();
        assert_eq!(head_len(&head), Some(head.len()));
        assert!(session.is_accepted(&head));
        assert!(!session.is_accepted(b"HTTP/1.1 403 Forbidden\r\n\r\n"));
    }
}
