//! A hub as one would write it without a thought for cost: it looks through everything each time,
//! knows no shards and writes wire text by hand.

use std::collections::HashMap;

use fourtuple_hub::Serializer;

use crate::script::Got;

/// The most channels that a connection of the model may join.
pub(crate) const CHANNELS_MAX: usize = 2;

/// What a client says; the refs are JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) join_ref: Option<&'static str>,
    pub(crate) reference: Option<&'static str>,
    pub(crate) topic: &'static str,
    pub(crate) event: &'static str,
    pub(crate) payload: &'static str,
}

#[derive(Default)]
pub(crate) struct Model {
    /// By the order in which a drain goes.
    conns: HashMap<u32, Conn>,
    inboxes: HashMap<u32, Vec<Got>>,
}

struct Conn {
    serializer: Serializer,
    name: Option<&'static str>,
    channels: Vec<Channel>,
}

#[derive(Clone)]
struct Channel {
    topic: &'static str,
    given_ref: Option<&'static str>,
    own_ref: Option<&'static str>,
    speaks_at_the_end: bool,
}

impl Model {
    pub(crate) fn connect(
        &mut self,
        conn: u32,
        serializer: Serializer,
        name: Option<&'static str>,
    ) {
        self.conns.insert(
            conn,
            Conn {
                serializer,
                name,
                channels: Vec::new(),
            },
        );
    }

    pub(crate) fn is_connected(&self, conn: u32) -> bool {
        self.conns.contains_key(&conn)
    }

    /// What the client has got since it was last asked.
    pub(crate) fn take(&mut self, conn: u32) -> Vec<Got> {
        self.inboxes.remove(&conn).unwrap_or_default()
    }

    /// Connections end together, with a code when the server ends them. All are gone before the
    /// first of them says its last words.
    pub(crate) fn end(&mut self, conns: &[u32], code: Option<u16>) {
        let gone: Vec<_> = conns
            .iter()
            .filter_map(|conn| Some((*conn, self.conns.remove(conn)?)))
            .collect();
        for (conn, own) in gone {
            let speaking = |channel: &&Channel| channel.speaks_at_the_end;
            for channel in own.channels.iter().filter(speaking) {
                self.broadcast(channel.topic, "left", "{}", None);
            }
            if let Some(code) = code {
                self.get(conn, Got::Closed(code));
            }
        }
    }

    pub(crate) fn drain(&mut self, conns: impl Iterator<Item = u32>, conns_max: usize) {
        let batch: Vec<_> = conns
            .filter(|conn| self.is_connected(*conn))
            .take(conns_max)
            .collect();
        self.end(&batch, Some(1012));
    }

    pub(crate) fn say(&mut self, conn: u32, said: &Said) {
        let Some(own) = self.conns.get(&conn) else {
            return;
        };
        let Said {
            join_ref,
            topic,
            event,
            ..
        } = *said;
        if (topic, event) == ("phoenix", "heartbeat") {
            return self.reply(conn, None, said, "ok", "{}");
        }
        let joined = own
            .channels
            .iter()
            .find(|channel| channel.topic == topic)
            .cloned();
        match (joined, event) {
            (joined, "phx_join") => self.join(conn, said, joined),
            (None, "phx_leave") => self.reply(conn, join_ref, said, "ok", "{}"),
            (None, _) => self.reply(conn, None, said, "error", r#"{"reason":"unmatched topic"}"#),
            (Some(joined), _) if join_ref.is_some() && join_ref != joined.given_ref => {}
            (Some(joined), "phx_leave") => {
                self.reply(conn, joined.own_ref, said, "ok", "{}");
                self.stop(conn, &joined, "phx_close", "{}");
            }
            (Some(joined), _) => self.handle(conn, said, &joined),
        }
    }

    fn join(&mut self, conn: u32, said: &Said, joined: Option<Channel>) {
        let Said {
            join_ref,
            reference,
            topic,
            payload,
            ..
        } = *said;
        let others = self.conns[&conn]
            .channels
            .iter()
            .filter(|channel| channel.topic != topic);
        let is_full = others.count() >= CHANNELS_MAX;
        let is_v2 = self.conns[&conn].serializer == Serializer::V2;
        let crashed = (join_ref, "error", r#"{"reason":"join crashed"}"#);
        let (join_ref_back, status, response) = match payload {
            _ if !topic.starts_with("room:") => (None, "error", r#"{"reason":"unmatched topic"}"#),
            _ if is_full => (
                join_ref,
                "error",
                r#"{"reason":"too many channels joined"}"#,
            ),
            r#"{"refuse":{"reason":"no"}}"# => (join_ref, "error", r#"{"reason":"no"}"#),
            r#"{"panic":true}"# | r#"{"elsewhere":"room:b","panic":true}"# => crashed,
            r#"{"bytes":"ok"}"# if !is_v2 => crashed,
            _ => (join_ref, "ok", "{}"),
        };
        if status == "ok" && payload == r#"{"bytes":"ok"}"# {
            self.reply_bytes(conn, join_ref, said, b"bytes");
        } else {
            self.reply(conn, join_ref_back, said, status, response);
        }
        if let Some(joined) = joined {
            self.stop(conn, &joined, "phx_close", "{}");
        }
        if status != "ok" {
            let has_run = response == crashed.2 && topic != "room:b";
            if has_run && payload == r#"{"elsewhere":"room:b","panic":true}"# {
                let from = format!(r#"{{"from":"{topic}"}}"#);
                self.broadcast("room:b", "shout", &from, None);
            }
            return;
        }
        let own_ref = join_ref.or(reference);
        let speaks_at_the_end = payload == r#"{"on_terminate":"speak"}"#;
        let channel = Channel {
            topic,
            given_ref: join_ref,
            own_ref,
            speaks_at_the_end,
        };
        self.conns.get_mut(&conn).unwrap().channels.push(channel);
        if payload == r#"{"push":{"n":1},"announce":{"n":2}}"# {
            self.text(conn, own_ref, None, topic, "hello", r#"{"n":1}"#);
            self.broadcast(topic, "joined", r#"{"n":2}"#, None);
        }
    }

    fn handle(&mut self, conn: u32, said: &Said, joined: &Channel) {
        let Said { topic, payload, .. } = *said;
        let own_ref = joined.own_ref;
        let is_v2 = self.conns[&conn].serializer == Serializer::V2;
        match said.event {
            "echo" => self.reply(conn, own_ref, said, "ok", payload),
            "refuse" => self.reply(conn, own_ref, said, "error", payload),
            "push" => self.text(conn, own_ref, None, topic, "pushed", payload),
            "push_bytes" if is_v2 => {
                let plain = plain(own_ref);
                let lens = [0, plain.len() as u8, topic.len() as u8, 6];
                let bytes = [
                    &lens,
                    plain,
                    topic.as_bytes(),
                    b"pushed",
                    payload.as_bytes(),
                ];
                self.get(conn, Got::Binary(bytes.concat()));
            }
            "reverse" if is_v2 => {
                let data: Vec<_> = payload.bytes().rev().collect();
                self.reply_bytes(conn, own_ref, said, &data);
            }
            "broadcast" => self.broadcast(topic, "shout", payload, None),
            "broadcast_from" => self.broadcast(topic, "shout", payload, Some(conn)),
            "broadcast_bytes" => {
                let lens = [2, topic.len() as u8, 5];
                let bytes = [&lens, topic.as_bytes(), b"shout", payload.as_bytes()].concat();
                for member in self.members(topic) {
                    if self.conns[&member].serializer == Serializer::V2 {
                        self.get(member, Got::Binary(bytes.clone()));
                    }
                }
            }
            "stop" => self.stop(conn, joined, "phx_close", "{}"),
            "stop_with_reply" => {
                self.reply(conn, own_ref, said, "ok", payload);
                self.stop(conn, joined, "phx_close", "{}");
            }
            "give_up" => self.stop(conn, joined, "phx_error", r#"{"reason":"channel_crash"}"#),
            "panic" => {
                self.text(
                    conn,
                    own_ref,
                    None,
                    topic,
                    "pushed",
                    r#"{"before":"panic"}"#,
                );
                let crashed = Channel {
                    speaks_at_the_end: false,
                    ..joined.clone()
                };
                self.stop(conn, &crashed, "phx_error", r#"{"reason":"channel_crash"}"#);
            }
            "disconnect" => {
                let is_named = |own: &Conn| {
                    own.name
                        .is_some_and(|name| payload == format!("\"person:{name}\""))
                };
                let named: Vec<_> = self
                    .conns
                    .iter()
                    .filter(|(_, own)| is_named(own))
                    .map(|(conn, _)| *conn)
                    .collect();
                self.end(&named, Some(1001));
            }
            _ => {}
        }
    }

    fn stop(&mut self, conn: u32, joined: &Channel, event: &str, payload: &str) {
        if joined.speaks_at_the_end {
            self.text(conn, joined.own_ref, None, joined.topic, "bye", "{}");
            self.broadcast(joined.topic, "left", "{}", None);
        }
        let channels = &mut self.conns.get_mut(&conn).unwrap().channels;
        channels.retain(|channel| channel.topic != joined.topic);
        self.text(
            conn,
            joined.given_ref,
            joined.given_ref,
            joined.topic,
            event,
            payload,
        );
    }

    fn reply(
        &mut self,
        conn: u32,
        join_ref: Option<&str>,
        said: &Said,
        status: &str,
        response: &str,
    ) {
        let payload = format!(r#"{{"status":"{status}","response":{response}}}"#);
        self.text(
            conn,
            join_ref,
            said.reference,
            said.topic,
            "phx_reply",
            &payload,
        );
    }

    fn reply_bytes(
        &mut self,
        conn: u32,
        join_ref: Option<&'static str>,
        said: &Said,
        response: &[u8],
    ) {
        let (join, reference, topic) = (plain(join_ref), plain(said.reference), said.topic);
        let lens = [join.len(), reference.len(), topic.len(), 2].map(|len| len as u8);
        let bytes = [
            &[1],
            &lens[..],
            join,
            reference,
            topic.as_bytes(),
            b"ok",
            response,
        ];
        self.get(conn, Got::Binary(bytes.concat()));
    }

    fn broadcast(&mut self, topic: &str, event: &str, payload: &str, but: Option<u32>) {
        for member in self.members(topic) {
            if Some(member) != but {
                self.text(member, None, None, topic, event, payload);
            }
        }
    }

    fn members(&self, topic: &str) -> Vec<u32> {
        let has_joined = |own: &Conn| own.channels.iter().any(|channel| channel.topic == topic);
        self.conns
            .iter()
            .filter(|(_, own)| has_joined(own))
            .map(|(conn, _)| *conn)
            .collect()
    }

    fn text(
        &mut self,
        conn: u32,
        join_ref: Option<&str>,
        reference: Option<&str>,
        topic: &str,
        event: &str,
        payload: &str,
    ) {
        let (join_ref, reference) = (join_ref.unwrap_or("null"), reference.unwrap_or("null"));
        let text = match self.conns[&conn].serializer {
            Serializer::V1 => format!(
                r#"{{"topic":"{topic}","event":"{event}","payload":{payload},"ref":{reference}}}"#
            ),
            Serializer::V2 => format!(r#"[{join_ref},{reference},"{topic}","{event}",{payload}]"#),
        };
        self.get(conn, Got::Text(text));
    }

    fn get(&mut self, conn: u32, got: Got) {
        self.inboxes.entry(conn).or_default().push(got);
    }
}

/// A ref as binary messages write it.
fn plain(reference: Option<&'static str>) -> &'static [u8] {
    reference.unwrap_or_default().trim_matches('"').as_bytes()
}
