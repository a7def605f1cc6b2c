//! Hearing: what the server says, and what a step that waits makes of it.

use std::borrow::Cow;

use engine::{ConnId, Io, Message};

use super::{Cast, Order, Plan, State, scene};
use crate::{
    failure::Failure,
    script::{
        expect::Expect,
        program::{Act, Dialect, Step},
    },
};

impl Cast {
    /// A message on a connection.
    pub(super) fn hear(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, Order>) {
        let plan = std::sync::Arc::clone(&self.plan);
        let Some((index, socket)) = self.holder(conn) else {
            return;
        };
        let Some(user) = self.users.find(index) else {
            return;
        };
        let bytes = match message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        };
        self.figures.received += 1;
        self.figures.received_bytes += bytes as u64;
        let program = plan.program(user.program);
        match program.dialect_of(socket) {
            Dialect::Plain => {
                // Only the first message after a step is looked at; the others are counted.
                if user.state != State::Waiting || program.socket_of(user.step) != socket {
                    return;
                }
                let text = match message {
                    Message::Text(text) => Cow::Borrowed(text),
                    Message::Binary(bytes) => String::from_utf8_lossy(bytes),
                };
                if text.is_empty() {
                    self.give_up(index, Failure::EmptyMessage, io);
                } else if !self.answer(&plan, index, &text, io) {
                    self.give_up(index, Failure::NoMatch, io);
                }
            }
            Dialect::Phoenix(serializer, _) => {
                self.hear_channel(&plan, (index, socket), serializer, message, io);
            }
            Dialect::SocketIo => self.hear_session(&plan, index, message, io),
        }
    }

    /// Gives the step that waits its message and goes on; `false` when the message is not what the step
    /// expects.
    pub(super) fn answer(
        &mut self,
        plan: &Plan,
        index: u32,
        text: &str,
        io: &mut Io<'_, Order>,
    ) -> bool {
        let now = self.watch.now(io.now());
        let Some(user) = self.users.find(index) else {
            return true;
        };
        let (program, step) = (user.program, usize::from(user.step));
        let captured = match expected(&plan.program(program).steps[step]) {
            None => Vec::new(),
            Some(expect) => {
                let judged = expect.judge(text, &mut scene(plan, user, &mut self.random));
                match judged {
                    Some(captured) => captured,
                    None => return false,
                }
            }
        };
        for (slot, value) in captured {
            let memory = user.memory.get_or_insert_default();
            memory.keep(slot, value, plan.script.captures.len());
        }
        let after = now.since(user.due);
        if let Some(threshold) = plan.script.apdex {
            self.figures.apdex.count(after, threshold);
        }
        let label = || {
            let program = plan.program(program);
            format!("{} {}", program.name, program.labels[step])
        };
        let mut is_met = true;
        if let Some(expect) = expected(&plan.program(program).steps[step]) {
            let scene = &mut scene(plan, user, &mut self.random);
            for (one, holds) in expect.expectations(text, scene) {
                self.figures.expect(one, holds, &label);
                is_met &= holds;
            }
        }
        let place = plan.first_steps[usize::from(program)] + step;
        self.figures.answer_step(place, after);
        if !is_met && plan.script.fails_unexpected {
            self.give_up(index, Failure::Unexpected(label()), io);
            return true;
        }
        user.due = now;
        user.state = State::Acting;
        user.step += 1;
        self.alarms.clear(index);
        self.act(index, io);
        true
    }
}

/// What a step makes of its message.
fn expected(step: &Step) -> Option<&Expect> {
    match step {
        Step::Send { expect, .. } => expect.as_deref(),
        Step::Wait(expect) => Some(expect),
        Step::Act(act) => match &**act {
            Act::Join { expect, .. } | Act::Push { expect, .. } | Act::Hear { expect, .. } => {
                expect.as_ref()
            }
            Act::Leave { .. } => None,
        },
        _ => None,
    }
}
