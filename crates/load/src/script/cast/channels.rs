//! The steps of Phoenix Channels, and heartbeats by themselves.

use std::time::Duration;

use engine::{Io, Message, Time};
use proto::phoenix::{self, Json, Payload, Received, Ref, Reply, Serializer};

use super::{Cast, Order, Plan, State, scene};
use crate::{
    failure::Failure,
    hand::Hand,
    script::{
        program::{Act, Dialect, Step},
        template::{Body, Template},
        user::Channels,
    },
    speech,
};

/// Heartbeats in one tick, so that their answers are read between them.
const BEATS_PER_TICK: u32 = 1_024;

/// What a user says in a channel.
struct Said<'t> {
    topic: &'t str,
    event: &'t str,
    join_ref: Option<u32>,
    reference: u32,
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
        index: u32,
        act: &Act,
        io: &mut Io<'_, Order>,
    ) -> bool {
        let now = self.watch.now(io.now());
        self.begin_step(index, now);
        let nothing = Body::Constant("{}".into());
        let (topic, event, payload, waits) = match act {
            Act::Hear { .. } => {
                if let Some(user) = self.users.find(index) {
                    user.awaited = 0;
                }
                return self.await_message(index, now);
            }
            Act::Join { topic, payload, .. } => {
                (Some(topic), phoenix::JOIN.to_owned(), payload, true)
            }
            Act::Leave { topic } => (topic.as_ref(), phoenix::LEAVE.to_owned(), &nothing, true),
            Act::Push {
                topic,
                event,
                payload,
                waits,
                ..
            } => (
                topic.as_ref(),
                self.written(plan, index, event),
                payload,
                *waits,
            ),
        };
        let topic = self.topic(plan, index, topic);
        self.text.clear();
        let Some(user) = self.users.find(index) else {
            return false;
        };
        payload.write(&mut self.text, &mut scene(plan, user, &mut self.random));
        let channels = user.channels.get_or_insert_default();
        let reference = channels.next_ref();
        let join_ref = channels.join_ref_for(act, &topic, reference);
        if join_ref.is_none() {
            self.give_up(index, Failure::NotJoined, io);
            return false;
        }
        user.awaited = reference;
        let (topic, event) = (&*topic, &*event);
        self.say_in_channel(
            plan,
            index,
            &Said {
                topic,
                event,
                join_ref,
                reference,
            },
            io,
        );
        if waits {
            return self.await_message(index, now);
        }
        self.go_on(index)
    }

    /// The topic of a step: its own, or the one that its user has joined last.
    fn topic(&mut self, plan: &Plan, index: u32, own: Option<&Template>) -> String {
        if let Some(own) = own {
            return self.written(plan, index, own);
        }
        let channels = self
            .users
            .find(index)
            .and_then(|user| user.channels.as_ref());
        let last = channels.and_then(|channels| channels.joined.last());
        last.map_or_else(String::new, |(topic, _)| topic.to_string())
    }

    fn written(&mut self, plan: &Plan, index: u32, template: &Template) -> String {
        let mut text = String::new();
        if let Some(user) = self.users.find(index) {
            template.write(&mut text, &mut scene(plan, user, &mut self.random));
        }
        text
    }

    /// Sends a message whose payload is in `self.text`; a payload that is no JSON is a text.
    fn say_in_channel(&mut self, plan: &Plan, index: u32, said: &Said<'_>, io: &mut Io<'_, Order>) {
        let Some(user) = self.users.find(index) else {
            return;
        };
        let Dialect::Phoenix(serializer, _) = plan.program(user.program).dialect else {
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
        self.figures.sent += 1;
        self.figures.sent_bytes += frame.len() as u64;
        io.send(user.conn(index), frame);
    }

    /// A message for a user that speaks Phoenix.
    pub(super) fn hear_channel(
        &mut self,
        plan: &Plan,
        index: u32,
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
            Ok(Received::Reply(reply)) => self.hear_reply(plan, index, &reply, io),
            Ok(Received::Message(message)) => self.hear_event(plan, index, &message, io),
            Err(error) => {
                self.give_up(index, Failure::ProtocolBroken(error.to_string()), io);
            }
        }
    }

    fn hear_reply(&mut self, plan: &Plan, index: u32, reply: &Reply<'_>, io: &mut Io<'_, Order>) {
        let reference = reply.reference.as_ref().map(Ref::plain);
        let Some(reference) = reference.and_then(|text| text.parse::<u32>().ok()) else {
            return;
        };
        let Some(user) = self.users.find(index) else {
            return;
        };
        if let Some(channels) = &mut user.channels
            && channels.heartbeat_ref == reference
        {
            channels.heartbeat_ref = 0;
            return;
        }
        if user.state != State::Waiting || user.awaited != reference {
            return;
        }
        let step = &plan.program(user.program).steps[usize::from(user.step)];
        let Step::Act(act) = step else { return };
        if reply.status != "ok" {
            let reason = speech::refusal_reason(&reply.response);
            let failure = match **act {
                Act::Join { .. } => Failure::join_refused(&reason),
                _ => Failure::push_refused(&reason),
            };
            self.give_up(index, failure, io);
            return;
        }
        if let Act::Leave { .. } = **act
            && let Some(channels) = &mut user.channels
        {
            channels
                .joined
                .retain(|(joined, _)| **joined != *reply.topic);
        }
        let response = reply.response.as_json().unwrap_or_default();
        if !self.answer(plan, index, response, io) {
            self.give_up(index, Failure::NoMatch, io);
        }
    }

    fn hear_event(
        &mut self,
        plan: &Plan,
        index: u32,
        message: &phoenix::Message<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let Some(user) = self.users.find(index) else {
            return;
        };
        let step = plan.program(user.program).steps.get(usize::from(user.step));
        let act = match step {
            Some(Step::Act(act)) if user.state == State::Waiting => Some(&**act),
            _ => None,
        };
        if matches!(&*message.event, phoenix::ERROR | phoenix::CLOSE) {
            // A server confirms a leave before it closes the channel: a close may be that of an earlier join.
            let present = user
                .channels
                .as_ref()
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
        let topic = self.topic(plan, index, topic.as_ref());
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
        for _ in 0..BEATS_PER_TICK {
            let Some(index) = hand.next_passed(now) else {
                break;
            };
            let Some(user) = self.users.find(index) else {
                continue;
            };
            if !matches!(user.state, State::Acting | State::Waiting) {
                continue;
            }
            let Some(channels) = &mut user.channels else {
                continue;
            };
            if channels.heartbeat_ref != 0 {
                self.give_up(index, Failure::HeartbeatTimeout, io);
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
            self.say_in_channel(&plan, index, &said, io);
            self.figures.heartbeats += 1;
        }
        self.heartbeats = Some(hand);
    }
}
