//! The steps of Phoenix Channels, and heartbeats by themselves.

use std::time::Duration;

use engine::{ConnId, Io, Message, Time};
use proto::phoenix::{self, Json, Payload, Received, Ref, Reply, Serializer};

use super::{Cast, LATER, Order, Plan, State, scene};
use crate::{
    failure::Failure,
    hand::Hand,
    script::{
        program::{Act, Dialect, Step},
        template::{Body, Template},
        user::{Channels, TOPICS_MAX},
    },
    speech,
};

/// Heartbeats in one tick, so that their answers are read between them.
const BEATS_PER_TICK: u32 = 1_024;

/// What a user says in a channel.
pub(super) struct Said<'t> {
    pub(super) topic: &'t str,
    pub(super) event: &'t str,
    pub(super) join_ref: Option<u32>,
    pub(super) reference: u32,
}

impl Channels {
    /// The `join_ref` of what a step says in `topic`, if it is joined or a join itself.
    fn join_ref_for(&mut self, act: &Act, topic: &str, reference: u32) -> Option<u32> {
        let Act::Join { .. } = act else {
            return self.join_ref(topic);
        };
        self.joined.retain(|(joined, _)| **joined != *topic);
        self.joined.reserve_exact(1);
        self.joined.push((topic.into(), reference));
        Some(reference)
    }
}

impl Cast {
    /// Takes a step in a channel; whether the next can be taken at once.
    pub(super) fn act_in_channel(
        &mut self,
        plan: &Plan,
        (index, socket): (u32, u8),
        act: &Act,
        io: &mut Io<'_, Order>,
    ) -> bool {
        let now = self.watch.now(io.now());
        self.begin_step(index, now);
        let Some((topic, event, payload)) = self.spoken(plan, index, act) else {
            if let Some(user) = self.users.find(index) {
                user.awaited = 0;
            }
            return self.await_message(index, now);
        };
        let topic = self.topic(plan, (index, socket), topic);
        self.text.clear();
        let Some(conn) = self.conn(index, socket) else {
            return false;
        };
        let (Some(user), Some(line)) = (self.users.find(index), self.lines.find(conn.index)) else {
            return false;
        };
        match payload {
            Some(payload) => {
                payload.write(&mut self.text, &mut scene(plan, user, &mut self.random))
            }
            None => self.text.push_str("{}"),
        }
        let channels = line.channels.get_or_insert_default();
        let is_join = matches!(act, Act::Join { .. });
        if is_join && channels.joined.len() >= TOPICS_MAX && channels.join_ref(&topic).is_none() {
            self.give_up(index, Failure::TooManyTopics, io);
            return false;
        }
        let reference = channels.next_ref();
        let join_ref = channels.join_ref_for(act, &topic, reference);
        if join_ref.is_none() {
            self.give_up(index, Failure::NotJoined, io);
            return false;
        }
        user.awaited = reference;
        if is_join
            && plan.program(user.program).reconnect.is_some()
            && let Some(links) = &mut self.links
        {
            let kept = &mut links.socket(index, socket).kept;
            kept.get_or_insert_default().join(&topic, &self.text);
        }
        let (topic, event) = (&*topic, &*event);
        self.say_in_channel(
            plan,
            (index, socket),
            &Said {
                topic,
                event,
                join_ref,
                reference,
            },
            io,
        );
        match act {
            Act::Push { waits: false, .. } => self.go_on(index),
            _ => self.await_message(index, now),
        }
    }

    /// The topic, the event and the payload of what a step says; `None` if it only listens.
    fn spoken<'a>(
        &mut self,
        plan: &Plan,
        index: u32,
        act: &'a Act,
    ) -> Option<(Option<&'a Template>, String, Option<&'a Body>)> {
        Some(match act {
            Act::Hear { .. } => return None,
            Act::Join { topic, payload, .. } => {
                (Some(topic), phoenix::JOIN.to_owned(), Some(payload))
            }
            Act::Leave { topic } => (topic.as_ref(), phoenix::LEAVE.to_owned(), None),
            Act::Push {
                topic,
                event,
                payload,
                ..
            } => {
                let event = self.written(plan, index, event);
                (topic.as_ref(), event, Some(payload))
            }
        })
    }

    /// The topic of a step: its own, or the one that its user has joined last.
    fn topic(&mut self, plan: &Plan, (index, socket): (u32, u8), own: Option<&Template>) -> String {
        if let Some(own) = own {
            return self.written(plan, index, own);
        }
        let channels = self.channels(index, socket);
        let last = channels.and_then(|channels| channels.joined.last());
        last.map_or_else(String::new, |(topic, _)| topic.to_string())
    }

    /// The channels of a user's socket.
    pub(super) fn channels(&mut self, index: u32, socket: u8) -> Option<&mut Channels> {
        let conn = self.conn(index, socket)?;
        self.lines.find(conn.index)?.channels.as_deref_mut()
    }

    pub(super) fn written(&mut self, plan: &Plan, index: u32, template: &Template) -> String {
        let mut text = String::new();
        if let Some(user) = self.users.find(index) {
            template.write(&mut text, &mut scene(plan, user, &mut self.random));
        }
        text
    }

    /// Sends a message whose payload is in `self.text`; a payload that is no JSON is a text.
    pub(super) fn say_in_channel(
        &mut self,
        plan: &Plan,
        (index, socket): (u32, u8),
        said: &Said<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let Some(conn) = self.conn(index, socket) else {
            return;
        };
        let Some(user) = self.users.find(index) else {
            return;
        };
        let dialect = plan.program(user.program).dialect_of(socket);
        let Dialect::Phoenix(serializer, _) = dialect else {
            return;
        };
        if Json::parse(&self.text).is_err() {
            self.text = serde_json::Value::String(std::mem::take(&mut self.text)).to_string();
        }
        let payload = Json::parse(&self.text).expect("a JSON string, if it was not JSON before");
        let join_ref = said.join_ref.map(|number| number.to_string());
        let reference = said.reference.to_string();
        let message = phoenix::Message {
            join_ref: join_ref.as_deref().map(Ref::string),
            reference: Some(Ref::string(&reference)),
            topic: said.topic.into(),
            event: said.event.into(),
            payload: Payload::Json(payload),
        };
        let frame = speech::encode(&mut self.bytes, serializer, &message, io.mask());
        // Heartbeats are counted by themselves; an event of a script may have their name.
        let is_heartbeat =
            said.topic == phoenix::HEARTBEAT_TOPIC && said.event == phoenix::HEARTBEAT;
        self.figures.sent += u64::from(!is_heartbeat);
        self.figures.sent_bytes += frame.len() as u64;
        io.send(conn, frame);
    }

    /// A message for a user that speaks Phoenix.
    pub(super) fn hear_channel(
        &mut self,
        plan: &Plan,
        (index, socket): (u32, u8),
        serializer: Serializer,
        message: Message<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let limits = phoenix::Limits::default();
        let received = match message {
            Message::Text(text) => phoenix::decode_received_text(serializer, text, &limits),
            Message::Binary(bytes) => phoenix::decode_received_binary(bytes, &limits),
        };
        match received {
            Ok(Received::Reply(reply)) => self.hear_reply(plan, (index, socket), &reply, io),
            Ok(Received::Message(message)) => {
                self.hear_event(plan, (index, socket), &message, io);
            }
            Err(error) => {
                let failure = Failure::ProtocolBroken(error.to_string());
                self.lose(index, socket, failure, io);
            }
        }
    }

    fn hear_reply(
        &mut self,
        plan: &Plan,
        (index, socket): (u32, u8),
        reply: &Reply<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let reference = reply.reference.as_ref().map(Ref::plain);
        let Some(reference) = reference.and_then(|text| text.parse::<u32>().ok()) else {
            return;
        };
        if let Some(channels) = self.channels(index, socket)
            && channels.heartbeat_ref == reference
        {
            channels.heartbeat_ref = 0;
            return;
        }
        if self.is_returning(index, socket) {
            return self.hear_rejoin(index, socket, reference, reply, io);
        }
        let Some(user) = self.users.find(index) else {
            return;
        };
        if user.state != State::Waiting || user.awaited != reference {
            return;
        }
        let program = plan.program(user.program);
        let step = &program.steps[usize::from(user.step)];
        let Step::Act(act) = step else { return };
        // Each socket counts its own.
        if program.socket_of(user.step) != socket {
            return;
        }
        if reply.status != "ok" {
            let reason = speech::refusal_reason(&reply.response);
            let failure = match **act {
                Act::Join { .. } => Failure::join_refused(&reason),
                _ => Failure::push_refused(&reason),
            };
            self.give_up(index, failure, io);
            return;
        }
        match **act {
            Act::Join { .. } => self.keep_join(index, socket, &reply.topic),
            Act::Leave { .. } => self.forget_join(index, socket, &reply.topic),
            _ => {}
        }
        let response = reply.response.as_json().unwrap_or_default();
        if !self.answer(plan, index, response, io) {
            self.give_up(index, Failure::NoMatch, io);
        }
    }

    fn hear_event(
        &mut self,
        plan: &Plan,
        (index, socket): (u32, u8),
        message: &phoenix::Message<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let Some(user) = self.users.find(index) else {
            return;
        };
        let program = plan.program(user.program);
        let waits = user.state == State::Waiting && program.socket_of(user.step) == socket;
        let act = match program.steps.get(usize::from(user.step)) {
            Some(Step::Act(act)) if waits => Some(&**act),
            _ => None,
        };
        if matches!(&*message.event, phoenix::ERROR | phoenix::CLOSE) {
            // A server confirms a leave before it closes the channel: a close may be that of an earlier join.
            let present = self
                .channels(index, socket)
                .and_then(|channels| channels.join_ref(&message.topic));
            let is_joined = present.is_some_and(|present| {
                let meant = message.join_ref.as_ref().map(Ref::plain);
                meant.is_none_or(|meant| meant.parse() == Ok(present))
            });
            let leaves = matches!(act, Some(Act::Leave { .. }));
            if is_joined && !leaves {
                let failure = match &*message.event {
                    phoenix::ERROR => Failure::ChannelError,
                    _ => Failure::ChannelClosed,
                };
                self.give_up(index, failure, io);
            }
            return;
        }
        let Some(Act::Hear { topic, event, .. }) = act else {
            return;
        };
        let topic = self.topic(plan, (index, socket), topic.as_ref());
        let event = self.written(plan, index, event);
        if topic == message.topic && event == message.event {
            let payload = std::str::from_utf8(message.payload.as_bytes()).unwrap_or_default();
            // One that does not match is somebody else's; the step goes on waiting.
            self.answer(plan, index, payload, io);
        }
    }

    /// Begins to send heartbeats, once the first user speaks Phoenix.
    pub(super) fn start_heartbeats(&mut self, period: Option<Duration>, now: Time) {
        if let (Some(period), None) = (period, &self.heartbeats) {
            self.heartbeats = Some(Hand::new(period, self.plan.slots_max, now));
        }
    }

    /// Sends the heartbeats that are due, and gives up users whose last one has no answer.
    pub(super) fn beat(&mut self, io: &mut Io<'_, Order>) {
        let now = io.now();
        let plan = std::sync::Arc::clone(&self.plan);
        let Some(mut hand) = self.heartbeats.take() else {
            return;
        };
        // Who looks late lets everybody rest for as long, so that no heartbeat comes too early.
        hand.set_back(now, Duration::from_millis(100));
        for beats in 0..=BEATS_PER_TICK {
            if beats == BEATS_PER_TICK {
                io.tick_at(now.after(LATER));
                break;
            }
            let Some(place) = hand.next_passed(now) else {
                break;
            };
            // Users that wait for a function are there, too.
            let Some((index, socket)) = self.who_is_at(place) else {
                continue;
            };
            let Some(channels) = self.channels(index, socket) else {
                continue;
            };
            if channels.heartbeat_ref != 0 {
                self.lose(index, socket, Failure::HeartbeatTimeout, io);
                continue;
            }
            let reference = channels.next_ref();
            channels.heartbeat_ref = reference;
            self.text.clear();
            self.text.push_str("{}");
            let said = Said {
                topic: phoenix::HEARTBEAT_TOPIC,
                event: phoenix::HEARTBEAT,
                join_ref: None,
                reference,
            };
            self.say_in_channel(&plan, (index, socket), &said, io);
            self.figures.heartbeats += 1;
        }
        self.heartbeats = Some(hand);
    }

    /// The user that is there on the connection in slot `place`, and which of its sockets it is.
    fn who_is_at(&mut self, place: u32) -> Option<(u32, u8)> {
        let generation = self.lines.find(place)?.generation;
        let conn = ConnId {
            index: place,
            generation,
        };
        let (index, socket) = self.holder(conn)?;
        let user = self.users.find(index)?;
        user.state.is_there().then_some((index, socket))
    }
}
