//! Acting: users go from step to step.

use std::sync::Arc;

use engine::{Io, Time};
use proto::{
    Frame,
    ws::{self, OpCode},
};
use serde_json::Value;

use super::{Cast, Handed, Order, Plan, State, User, calling::while_of, scene};
use crate::script::{
    memory::{Memory, Turn},
    names::Origin,
    processor::Kind,
    program::{Step, Think, Times, parse_count},
    template::Body,
};

/// Steps of one user in a row, so that others have their turn.
const STEPS_AT_ONCE: u32 = 32;
/// Bytes that a user may have still to write when it takes its next step.
const OUTBOX_BYTES_MAX: u32 = 64 << 10;
/// How long a user waits whose server does not read.
const OUTBOX_WAIT: std::time::Duration = std::time::Duration::from_millis(5);
/// The longest line that a step logs, in characters.
const LINE_CHARS_MAX: usize = 1_000;

impl Cast {
    /// Lets the user in slot `index` go on until it has to wait.
    pub(super) fn act(&mut self, index: u32, io: &mut Io<'_, Order>) {
        let plan = Arc::clone(&self.plan);
        let now = self.watch.now(io.now());
        let Some(user) = self.users.find(index) else {
            return;
        };
        // Who is away goes on when it is back, and who thinks has an alarm for that.
        if user.away > 0 || user.due > now {
            return;
        }
        let socket = plan.program(user.program).socket_of(user.step);
        // A server that does not read makes its users late, which is counted, and not the crowd full.
        let view = self.conn(index, socket).and_then(|conn| io.view(conn));
        if view.is_some_and(|view| view.outbox_bytes > OUTBOX_BYTES_MAX) {
            self.alarms.set(index, io.now().after(OUTBOX_WAIT));
            return;
        }
        for _ in 0..STEPS_AT_ONCE {
            let Some(user) = self.users.find(index) else {
                return;
            };
            if user.state != State::Acting {
                return;
            }
            let (program, number) = (plan.program(user.program), user.step);
            let Some(step) = program.steps.get(usize::from(number)) else {
                self.complete(index, io);
                return;
            };
            let goes_on = match program.socket_of(number) {
                0 => self.take_step(&plan, (index, 0), step, io),
                socket => self.take_step_on(&plan, (index, socket), step, io),
            };
            if !goes_on {
                return;
            }
        }
        let who = self.who(index);
        self.ready.extend(who);
        io.tick_at(io.now());
    }

    /// Takes a step on a socket besides the user's own; whether the next can be taken at once.
    fn take_step_on(
        &mut self,
        plan: &Plan,
        (index, socket): (u32, u8),
        step: &Step,
        io: &mut Io<'_, Order>,
    ) -> bool {
        match step {
            Step::Open => self.open_socket(plan, index, socket, io),
            _ if !self.has_socket(plan, index, socket, io) => false,
            Step::Close => self.close_socket(index, socket, io),
            _ => self.take_step(plan, (index, socket), step, io),
        }
    }

    /// Takes one step; whether the next can be taken at once.
    fn take_step(
        &mut self,
        plan: &Plan,
        (index, socket): (u32, u8),
        step: &Step,
        io: &mut Io<'_, Order>,
    ) -> bool {
        let now = self.watch.now(io.now());
        let Some(user) = self.users.find(index) else {
            return false;
        };
        match step {
            Step::Send { body, expect } => {
                self.begin_step(index, now);
                self.say(plan, (index, socket), body, io);
                match expect {
                    None => self.go_on(index),
                    Some(_) => self.await_message(index, now),
                }
            }
            Step::Wait(_) => {
                self.begin_step(index, now);
                self.await_message(index, now)
            }
            Step::Think(think) => {
                let time = think_time(think, plan, user, &mut self.random);
                user.due = user.due.after(time);
                user.step += 1;
                let due = user.due;
                if due <= now {
                    return true;
                }
                self.alarms.set(index, due);
                false
            }
            Step::Log(template) => {
                let mut line = String::new();
                template.write(&mut line, &mut scene(plan, user, &mut self.random));
                self.log(&line);
                self.go_on(index)
            }
            Step::Call(call) => {
                self.begin_step(index, now);
                self.call(plan, index, call, Kind::Step, io)
            }
            Step::Loop { times, end } => {
                let turn = first_turn(times, plan, user, &mut self.random);
                if turn.goes_on() {
                    user.memory.get_or_insert_default().loops.push(turn);
                    user.step += 1;
                } else {
                    user.step = *end;
                }
                true
            }
            Step::Again { start } => self.end_round(plan, index, *start, io),
            Step::Emit(emit) => self.emit(plan, index, emit, io),
            Step::Act(act) => self.act_in_channel(plan, (index, socket), act, io),
            // These are for sockets besides the user's own.
            Step::Open | Step::Close => self.go_on(index),
            Step::Drop => self.drop_socket(index, socket, io),
        }
    }

    /// Ends a round of the loop that begins at `start`.
    fn end_round(&mut self, plan: &Plan, index: u32, start: u16, io: &mut Io<'_, Order>) -> bool {
        let Some(user) = self.users.find(index) else {
            return false;
        };
        let memory = user.memory.get_or_insert_default();
        let goes_on = memory.loops.last_mut().is_some_and(|turn| {
            turn.index += 1;
            turn.goes_on()
        });
        let steps = &plan.program(user.program).steps;
        if let Some(call) = while_of(steps, start) {
            return self.call(plan, index, call, Kind::While, io);
        }
        if goes_on {
            user.step = start;
        } else {
            memory.loops.pop();
            user.step += 1;
        }
        true
    }

    /// Shows a line of a user. One that has no room is not worth waiting for, and is counted.
    pub(super) fn log(&mut self, line: &str) {
        // What would move a terminal's cursor is written out.
        let shown = |c: char| match c {
            '\n' | '\t' => c.to_string(),
            c if c.is_control() => c.escape_default().to_string(),
            c => c.to_string(),
        };
        let line = line.chars().take(LINE_CHARS_MAX).map(shown).collect();
        if let Some(results) = &self.results {
            let sent = results.try_send(Handed::Line(line));
            self.figures.lines_dropped += u64::from(sent.is_err());
        }
    }

    /// Counts that the user's step is begun.
    pub(super) fn begin_step(&mut self, index: u32, now: Time) {
        let Some(user) = self.users.find(index) else {
            return;
        };
        let step = self.plan.first_steps[usize::from(user.program)] + usize::from(user.step);
        self.figures.begin_step(step, now.since(user.due));
    }

    /// Moves a user on to its next step.
    pub(super) fn go_on(&mut self, index: u32) -> bool {
        if let Some(user) = self.users.find(index) {
            user.step += 1;
        }
        true
    }

    /// Lets a user wait for a message, as long as the script says.
    pub(super) fn await_message(&mut self, index: u32, now: Time) -> bool {
        if let Some(user) = self.users.find(index) {
            user.state = State::Waiting;
            self.alarms.set(index, now.after(self.plan.script.timeout));
        }
        false
    }

    fn say(
        &mut self,
        plan: &Plan,
        (index, socket): (u32, u8),
        body: &Body,
        io: &mut Io<'_, Order>,
    ) {
        let Some(conn) = self.conn(index, socket) else {
            return;
        };
        let Some(user) = self.users.find(index) else {
            return;
        };
        self.text.clear();
        body.write(&mut self.text, &mut scene(plan, user, &mut self.random));
        self.bytes.clear();
        let (text, mask) = (self.text.as_bytes(), Some(io.mask()));
        ws::encode(&mut self.bytes, OpCode::Text, text, mask);
        io.send(conn, Frame::from(&self.bytes[..]));
        self.figures.sent += 1;
        self.figures.sent_bytes += self.bytes.len() as u64;
    }

    /// The user in slot `index` has done all of its steps.
    fn complete(&mut self, index: u32, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        let Some(user) = self.users.find(index) else {
            return;
        };
        let began = user.began;
        if self.plan.script.is_alone
            && let Some(memory) = &user.memory
        {
            let names = self.plan.script.captures.iter().zip(&memory.captures);
            let own = names.filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
            let others = memory.others.as_deref().into_iter().flatten();
            let others = others.map(|(name, value)| (name.clone(), value.clone()));
            // There is one such user, so nobody was here before.
            let _ = self.plan.captured.set(own.chain(others).collect());
        }
        if self.depart(index, io) {
            self.figures.completed += 1;
            self.figures.session.record(now.since(began));
        }
    }
}

/// How long a user thinks this time.
fn think_time(
    think: &Think,
    plan: &Plan,
    user: &User,
    random: &mut fastrand::Rng,
) -> std::time::Duration {
    use crate::script::{fields, program::Time};
    let time = match &think.time {
        Time::Always(time) => *time,
        Time::Template(template) => match template.value(&mut scene(plan, user, random)) {
            Value::Number(number) => fields::seconds(number.as_f64().unwrap_or(0.0)),
            Value::String(text) => fields::time_of(&text),
            _ => None,
        }
        .unwrap_or_default(),
    };
    think.jitter.apply(time, random.f64())
}

/// The loop that a user enters; one over what is no list goes round never.
fn first_turn(times: &Times, plan: &Plan, user: &User, random: &mut fastrand::Rng) -> Turn {
    let over = |values: Arc<[Value]>| Turn {
        index: 0,
        end: Some(values.len() as u64),
        over: Some(values),
    };
    let count = |index, end| Turn {
        index,
        end,
        over: None,
    };
    match times {
        Times::Count(from, to) => count(*from, *to),
        Times::While(_) => count(0, None),
        Times::Over(values) => over(Arc::clone(values)),
        Times::Template(template) => {
            let text = match template.value(&mut scene(plan, user, random)) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            let (from, to) = parse_count(&text).unwrap_or((0, Some(0)));
            count(from, to)
        }
        Times::OverName(origin, path) => over(list(origin, path, plan, user, random)),
    }
}

/// What a loop over a name goes over.
fn list(
    origin: &Origin,
    path: &[Box<str>],
    plan: &Plan,
    user: &User,
    random: &mut fastrand::Rng,
) -> Arc<[Value]> {
    match origin {
        // A variable that is a list is gone over as a whole, and so are the rows of a file.
        Origin::Variable(number) if path.is_empty() => {
            Arc::clone(&plan.script.variables[usize::from(*number)].values)
        }
        Origin::Rows(number) if path.is_empty() => {
            Arc::clone(&plan.script.payloads[usize::from(*number)].all)
        }
        Origin::Capture(slot, otherwise) => {
            let captures = user.memory.as_deref().map(|memory| &memory.captures);
            let captured = captures.and_then(|all| all.get(usize::from(*slot))?.as_ref());
            match (captured, otherwise) {
                (None, Some(otherwise)) => list(otherwise, path, plan, user, random),
                _ => found(origin, path, plan, user, random),
            }
        }
        _ => found(origin, path, plan, user, random),
    }
}

fn found(
    origin: &Origin,
    path: &[Box<str>],
    plan: &Plan,
    user: &User,
    random: &mut fastrand::Rng,
) -> Arc<[Value]> {
    match scene(plan, user, random).find(origin, path) {
        Some(Value::Array(values)) => values.into(),
        _ => Arc::new([]),
    }
}

const _: () = assert!(size_of::<Memory>() == 48);
