//! Emitting: what users say in a session of Socket.IO, and what they make of what comes of it.

use engine::Io;
use proto::socketio::{self, EnginePacket, Kind, Packet};
use serde_json::Value;

use super::{Cast, Order, Plan, scene};
use crate::{
    failure::{Failure, SocketIoFailure},
    script::{
        program::Step,
        socketio::{Emit, Heard, Unwanted, Wanted},
    },
};

/// What a step waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wait {
    pub(super) namespace: String,
    /// Whether it is to be let into the namespace first.
    pub(super) enters: bool,
    /// The event that is still to come.
    event: Option<String>,
    /// The acknowledgement that is still to come.
    id: Option<u64>,
    /// The arguments of the event, of all times that it came.
    heard: Heard,
}

/// Namespaces that one user may enter.
const NAMESPACES_MAX: usize = 64;

impl Cast {
    /// Takes an `emit`; whether the next step can be taken at once.
    pub(super) fn emit(
        &mut self,
        plan: &Plan,
        index: u32,
        emit: &Emit,
        io: &mut Io<'_, Order>,
    ) -> bool {
        let now = self.watch.now(io.now());
        let Some(talk) = self.talks.find(index) else {
            return false;
        };
        // A step that had to enter its namespace first has been begun.
        let namespace = match talk.wait.take() {
            Some(wait) => wait.namespace,
            None => {
                self.begin_step(index, now);
                let name = self.written(plan, index, &emit.namespace);
                if !is_name(&name) {
                    return self.refuse_namespace(index, &format!("{name} is no name of one"), io);
                }
                let namespace = self.namespace(plan, index, &name);
                if !self.is_in(plan, index, &namespace) {
                    return self.enter_for_step(plan, index, namespace, io);
                }
                namespace
            }
        };
        let event = emit
            .response
            .as_ref()
            .map(|response| self.written(plan, index, &response.event));
        let (Some(talk), Some(user)) = (self.talks.find(index), self.users.find(index)) else {
            return false;
        };
        let id = emit.acknowledge.as_ref().map(|_| {
            talk.last_id = talk.last_id.wrapping_add(1);
            u64::from(talk.last_id)
        });
        self.text.clear();
        self.text.push(EnginePacket::MESSAGE);
        socketio::encode_head(&mut self.text, Kind::Event, &namespace, id);
        let scene = &mut scene(plan, user, &mut self.random);
        emit.arguments.write(&mut self.text, scene);
        let waits = event.is_some() || id.is_some();
        talk.wait = waits.then(|| {
            Box::new(Wait {
                namespace,
                event,
                id,
                ..Wait::default()
            })
        });
        self.figures.socketio.emits += 1;
        self.say_text(index, io);
        if waits {
            return self.await_message(index, now);
        }
        self.go_on(index)
    }

    /// Enters the namespace of a step, which is taken when the server has consented.
    fn enter_for_step(
        &mut self,
        plan: &Plan,
        index: u32,
        namespace: String,
        io: &mut Io<'_, Order>,
    ) -> bool {
        let now = self.watch.now(io.now());
        let Some(talk) = self.talks.find(index) else {
            return false;
        };
        if talk.entered.len() >= NAMESPACES_MAX {
            let wrong = format!("more than {NAMESPACES_MAX} of one user");
            return self.refuse_namespace(index, &wrong, io);
        }
        self.enter_namespace(plan, index, &namespace, io);
        if let Some(talk) = self.talks.find(index) {
            talk.wait = Some(Box::new(Wait {
                namespace,
                enters: true,
                ..Wait::default()
            }));
        }
        self.await_message(index, now)
    }

    /// Ends a session whose step cannot have its namespace; the next step is not taken.
    fn refuse_namespace(&mut self, index: u32, wrong: &str, io: &mut Io<'_, Order>) -> bool {
        let wrong = Failure::clean(wrong);
        self.end_session(index, SocketIoFailure::NamespaceRefused(wrong), io);
        false
    }

    /// An event from the server. What no step waits for is counted like any message, and passed
    /// over.
    pub(super) fn hear_emitted(
        &mut self,
        plan: &Plan,
        index: u32,
        packet: &Packet<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let (Some(talk), Some(user)) = (self.talks.find(index), self.users.find(index)) else {
            return;
        };
        let Some(wait) = &mut talk.wait else { return };
        let is_it = wait.namespace == packet.namespace
            && wait.event.is_some()
            && wait.event.as_deref() == packet.event().as_deref();
        let emit = emit_of(plan, user.program, user.step);
        let Some(response) = emit
            .and_then(|emit| emit.response.as_ref())
            .filter(|_| is_it)
        else {
            return;
        };
        let mut arguments = arguments(packet);
        // The name comes first.
        arguments.drain(..1.min(arguments.len()));
        wait.heard.hear(arguments, response.wanted.is_joined);
        let scene = &mut scene(plan, user, &mut self.random);
        // One that is not the data is somebody else's, or only a part of it.
        if !response.wanted.is_data(&wait.heard, scene) {
            wait.heard.shrink();
            return;
        }
        let heard = std::mem::take(&mut wait.heard);
        wait.event = None;
        self.take_arguments(plan, index, &response.wanted, &heard, io);
    }

    pub(super) fn hear_ack(
        &mut self,
        plan: &Plan,
        index: u32,
        packet: &Packet<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let (Some(talk), Some(user)) = (self.talks.find(index), self.users.find(index)) else {
            return;
        };
        let Some(wait) = &mut talk.wait else { return };
        if wait.id.is_none() || wait.id != packet.id || wait.namespace != packet.namespace {
            return;
        }
        wait.id = None;
        let emit = emit_of(plan, user.program, user.step);
        if let Some(wanted) = emit.and_then(|emit| emit.acknowledge.as_ref()) {
            let heard = Heard::of(arguments(packet), wanted.is_joined);
            self.take_arguments(plan, index, wanted, &heard, io);
        }
    }

    /// Judges what came, and goes on when the step waits for nothing more.
    fn take_arguments(
        &mut self,
        plan: &Plan,
        index: u32,
        wanted: &Wanted,
        heard: &Heard,
        io: &mut Io<'_, Order>,
    ) {
        let now = self.watch.now(io.now());
        let Some(user) = self.users.find(index) else {
            return;
        };
        let judged = wanted.judge(heard, &mut scene(plan, user, &mut self.random));
        let captured = match judged {
            Ok(captured) => captured,
            Err(unwanted) => {
                let failure = match unwanted {
                    Unwanted::Data => SocketIoFailure::DataInvalid,
                    Unwanted::Match => SocketIoFailure::MatchFailed,
                };
                return self.end_session(index, failure, io);
            }
        };
        for (slot, value) in captured {
            let memory = user.memory.get_or_insert_default();
            memory.keep(slot, value, plan.script.captures.len());
        }
        let due = user.due;
        let Some(talk) = self.talks.find(index) else {
            return;
        };
        let waits = |wait: &Wait| wait.event.is_some() || wait.id.is_some();
        if talk.wait.as_deref().is_some_and(waits) {
            return;
        }
        talk.wait = None;
        self.figures.socketio.answer(now.since(due));
        self.answer(plan, index, "", io);
    }

    /// Whether a user that waits does so for the message of its step, and not to be let in first.
    pub(super) fn awaits_response(&mut self, index: u32) -> bool {
        let talk = self.talks.find(index).filter(|talk| talk.is_begun());
        talk.is_none_or(|talk| talk.wait.as_ref().is_some_and(|wait| !wait.enters))
    }

    /// Why a user fails that has waited for too long: something came, or nothing did.
    pub(super) fn silence(&mut self, index: u32) -> Failure {
        let wait = self.talks.find(index).and_then(|talk| talk.wait.as_ref());
        match wait {
            Some(wait) if wait.heard.has_come() => Failure::SocketIo(SocketIoFailure::DataInvalid),
            _ => Failure::NoResponse,
        }
    }
}

/// Whether a step may name a namespace so: nothing means the one that the target's path names.
fn is_name(written: &str) -> bool {
    let is_path = written.is_empty() || written.starts_with('/');
    is_path && !written.contains([',', '?', '#'])
}

/// The `emit` that a user is at.
fn emit_of(plan: &Plan, program: u16, step: u16) -> Option<&Emit> {
    match plan.program(program).steps.get(usize::from(step))? {
        Step::Emit(emit) => Some(emit),
        _ => None,
    }
}

/// The list of a packet; nested too deep for a tree, it is one text.
fn arguments(packet: &Packet<'_>) -> Vec<Value> {
    let Some(payload) = &packet.payload else {
        return Vec::new();
    };
    payload
        .decode()
        .unwrap_or_else(|_| vec![Value::String(payload.as_str().to_owned())])
}
