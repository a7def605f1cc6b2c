//! Calling: functions in JavaScript, for users that are at a step and for those that are still to be dialled.
//!
//! A call is known by a number as long as it lasts; the user that it is for may be gone when it ends.

use std::sync::Arc;

use engine::{Io, Time};
use serde_json::{Map, Value, json};

use super::{Cast, Order, Plan, State, User, Who, arriving::Attempt, scene};
use crate::{
    failure::Failure,
    script::{
        memory::Memory,
        names::Origin,
        processor::{Ended, Interpreter, Kind, Mishap},
        program::{Call, Step, Times},
    },
};

/// A call that has not ended.
#[derive(Debug)]
pub(super) struct Errand {
    whose: Whose,
    /// The variables that it was given, to see what it changes.
    given: Map<String, Value>,
}

/// Whom a call is for.
#[derive(Debug)]
enum Whose {
    User(Who),
    Attempt(Box<Attempt>),
}

/// How long a user waits for its function, which may sleep.
const CALL_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(600);

impl Cast {
    /// Calls a function for a user that is at a step; whether that has ended, and it can go on.
    pub(super) fn call(
        &mut self,
        plan: &Plan,
        index: u32,
        call: &Call,
        kind: Kind,
        io: &mut Io<'_, Order>,
    ) -> bool {
        let now = self.watch.now(io.now());
        let Some(user) = self.users.find(index) else {
            return false;
        };
        user.state = State::Calling;
        user.awaited = self.errands_begun;
        let given = vars(plan, user, call, &mut self.random);
        let whose = Whose::User(Who {
            slot: index,
            number: user.number,
        });
        let program = user.program;
        self.alarms.set(index, now.after(CALL_TIME_MAX));
        self.begin_errand(
            plan,
            whose,
            (program, call.function, kind),
            given,
            None,
            now,
        );
        self.settle(Some(index), io)
    }

    /// Runs what an attempt needs before it is dialled; whether it can be dialled.
    pub(super) fn prepare(
        &mut self,
        plan: &Plan,
        mut attempt: Attempt,
        now: Time,
    ) -> Option<Attempt> {
        let program = plan.program(attempt.program);
        let before = program.before.get(usize::from(attempt.prepared));
        let is_last = usize::from(attempt.prepared) == program.before.len();
        let (function, kind) = match (before, program.connect.function) {
            (Some(&function), _) => (function, Kind::Step),
            (None, Some(function)) if is_last => (function, Kind::Connect),
            _ => return Some(attempt),
        };
        let user = attempt.user();
        let call = Call {
            function,
            loops: Box::default(),
        };
        let given = vars(plan, &user, &call, &mut self.random);
        let connects = kind == Kind::Connect;
        let wanted = connects.then(|| {
            let mut scene = scene(plan, &user, &mut self.random);
            program.connect.arguments(&mut scene)
        });
        attempt.memory = user.memory;
        let which = (attempt.program, function, kind);
        let whose = Whose::Attempt(Box::new(attempt));
        let until = now.after(CALL_TIME_MAX);
        self.preparing.push_back((until, self.errands_begun));
        self.begin_errand(plan, whose, which, given, wanted, now);
        None
    }

    fn begin_errand(
        &mut self,
        plan: &Plan,
        whose: Whose,
        (program, function, kind): (u16, u16, Kind),
        given: Map<String, Value>,
        wanted: Option<Value>,
        now: Time,
    ) {
        let number = self.errands_begun;
        self.errands_begun = number.wrapping_add(1).max(1);
        let program = plan.program(program);
        let scenario = json!({"name": program.name, "weight": program.weight});
        let mut text = json!({"vars": given, "scenario": scenario});
        if let Some(wanted) = wanted {
            text["wanted"] = wanted;
        }
        self.errands.insert(number, Errand { whose, given });
        if self.functions.is_none() {
            let processor = plan.script.processor.as_deref();
            // It was started once when the script was read.
            let started = processor.map(Interpreter::start).and_then(Result::ok);
            self.functions = started.map(Box::new);
        }
        match &mut self.functions {
            Some(functions) => functions.call(number, function, kind, &text.to_string(), now),
            None => self.unheard.push(Ended {
                call: number,
                outcome: Err(Mishap {
                    message: "there is no memory for an interpreter".to_owned(),
                    place: String::new(),
                }),
            }),
        }
    }

    /// Runs the timers of functions, and lets those go on whose functions have ended.
    pub(super) fn hear_functions(&mut self, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        self.give_up_preparations(now);
        if let Some(functions) = &mut self.functions {
            functions.wake(now);
            self.settle(None, io);
        }
    }

    /// Ends calls for attempts that last too long; a user that is there has an alarm for that.
    fn give_up_preparations(&mut self, now: Time) {
        while let Some(&(until, call)) = self.preparing.front() {
            let is_waited_for = self.errands.contains_key(&call);
            if is_waited_for && until > now {
                return;
            }
            self.preparing.pop_front();
            if !is_waited_for {
                continue;
            }
            if let Some(functions) = &mut self.functions {
                functions.forget(call);
            }
            let minutes = CALL_TIME_MAX.as_secs() / 60;
            self.unheard.push(Ended {
                call,
                outcome: Err(Mishap {
                    message: format!("a function has not ended within {minutes} minutes"),
                    place: String::new(),
                }),
            });
        }
    }

    /// Takes what functions have said, and those calls that have ended; whether that of the user in slot
    /// `own` did well, who then goes on by itself.
    pub(super) fn settle(&mut self, own: Option<u32>, io: &mut Io<'_, Order>) -> bool {
        let plan = Arc::clone(&self.plan);
        let mut ended = std::mem::take(&mut self.unheard);
        if let Some(functions) = &mut self.functions {
            ended.extend(functions.take_ended());
            let (lines, emitted) = functions.take_said();
            for line in lines {
                self.log(&line);
            }
            for one in emitted {
                self.figures.custom.count(one);
            }
        }
        if self.functions.as_ref().is_some_and(|one| one.is_stuck()) {
            // A fresh interpreter runs the next call; what waited for this one waits in vain.
            self.functions = None;
            let lost = self
                .errands
                .keys()
                .filter(|call| !ended.iter().any(|one| one.call == **call));
            let lost: Vec<_> = lost.copied().collect();
            ended.extend(lost.into_iter().map(|call| Ended {
                call,
                outcome: Err(Mishap {
                    message:
                        "the functions were stopped, as one of another user did not end".to_owned(),
                    place: String::new(),
                }),
            }));
        }
        let mut goes_on = false;
        for one in ended {
            // Nobody waits for a call that was given up.
            let Some(errand) = self.errands.remove(&one.call) else {
                continue;
            };
            match errand.whose {
                Whose::User(who) => {
                    let is_own = own == Some(who.slot);
                    if self.end_call(&plan, (who, !is_own), &errand.given, one, io) {
                        goes_on |= is_own;
                        if !is_own {
                            self.ready.push_back(who);
                        }
                    }
                }
                Whose::Attempt(attempt) => {
                    self.end_preparation(&plan, *attempt, &errand.given, one)
                }
            }
        }
        io.tick_at(self.next_look(io));
        goes_on
    }

    /// A user's call has ended; whether the user goes on.
    fn end_call(
        &mut self,
        plan: &Plan,
        (who, has_waited): (Who, bool),
        given: &Map<String, Value>,
        ended: Ended,
        io: &mut Io<'_, Order>,
    ) -> bool {
        let now = self.watch.now(io.now());
        let user = self.users.find(who.slot);
        let Some(user) = user.filter(|user| {
            user.number == who.number && user.state == State::Calling && user.awaited == ended.call
        }) else {
            return false;
        };
        let returned = match ended.outcome {
            Ok(returned) => returned,
            Err(Mishap { message, place }) => {
                self.give_up(who.slot, Failure::function_failed(&message, &place), io);
                return false;
            }
        };
        keep(plan, &mut user.memory, given, returned.vars);
        user.state = State::Acting;
        // Who has waited for a function has not been late: what comes after it is counted from here.
        self.alarms.clear(who.slot);
        if has_waited {
            user.due = now;
        }
        let steps = &plan.program(user.program).steps;
        match steps.get(usize::from(user.step)) {
            Some(Step::Again { start }) if returned.goes_on => user.step = *start,
            Some(Step::Again { .. }) => {
                user.memory.get_or_insert_default().loops.pop();
                user.step += 1;
            }
            _ => user.step += 1,
        }
        true
    }

    /// What an attempt needed has ended.
    fn end_preparation(
        &mut self,
        plan: &Plan,
        mut attempt: Attempt,
        given: &Map<String, Value>,
        ended: Ended,
    ) {
        let program = plan.program(attempt.program);
        let mut request = None;
        let kept = ended.outcome.and_then(|returned| {
            keep(plan, &mut attempt.memory, given, returned.vars);
            if let Some(wanted) = returned.wanted {
                let user = attempt.user();
                let mut scene = scene(plan, &user, &mut self.random);
                let made = program
                    .connect
                    .request_of(&wanted, program.dialect, &mut scene);
                attempt.memory = user.memory;
                let place = String::new();
                request = Some(made.map_err(|message| Mishap { message, place })?);
            }
            Ok(())
        });
        match kept {
            Ok(()) => {
                attempt.prepared += 1;
                attempt.request = request.map(Box::new);
                self.retries.push_back(attempt);
            }
            Err(Mishap { message, place }) => {
                self.turn_away(Failure::function_failed(&message, &place));
            }
        }
    }

    /// Forgets the call that a user waits for.
    pub(super) fn forget_call(&mut self, call: u32) {
        self.errands.remove(&call);
        if let Some(functions) = &mut self.functions {
            functions.forget(call);
        }
    }

    /// Forgets calls for users that are still to be dialled; how many there were.
    pub(super) fn forget_preparations(&mut self) -> usize {
        let before = self.errands.len();
        self.errands
            .retain(|_, errand| matches!(errand.whose, Whose::User(_)));
        before - self.errands.len()
    }
}

/// The function that says whether the loop around a step goes round once more.
pub(super) fn while_of(steps: &[Step], start: u16) -> Option<&Call> {
    match steps.get(usize::from(start).checked_sub(1)?)? {
        Step::Loop { times, .. } => match &**times {
            Times::While(call) => Some(call),
            _ => None,
        },
        _ => None,
    }
}

/// The variables of a user, as its functions see them; without lists that all users share.
fn vars(plan: &Plan, user: &User, call: &Call, random: &mut fastrand::Rng) -> Map<String, Value> {
    let script = &plan.script;
    let scene = scene(plan, user, random);
    let mut vars = Map::new();
    let target = plan.program(user.program).connect.server.to_string();
    vars.insert("target".to_owned(), target.into());
    for (number, variable) in script.variables.iter().enumerate() {
        let value = scene.find(&Origin::Variable(number as u16), &[]);
        vars.insert(variable.name.clone(), value.unwrap_or_default());
    }
    for (payload, file) in script.payloads.iter().enumerate() {
        if file.name.is_some() {
            continue;
        }
        for (column, name) in file.fields.iter().enumerate() {
            let (payload, column) = (payload as u16, column as u16);
            let value = scene.find(&Origin::Field { payload, column }, &[]);
            vars.insert(name.clone(), value.unwrap_or_default());
        }
    }
    let Some(memory) = user.memory.as_deref() else {
        return vars;
    };
    for (name, value) in script.captures.iter().zip(&memory.captures) {
        if let Some(value) = value {
            vars.insert(name.clone(), value.clone());
        }
    }
    if let Some(others) = memory.others.as_deref() {
        vars.extend(others.clone());
    }
    for (names, turn) in call.loops.iter().zip(&memory.loops) {
        vars.insert(names.count.clone(), turn.index.into());
        let element = match &turn.over {
            Some(values) => values.get(turn.index as usize).cloned(),
            None => Some(turn.index.into()),
        };
        vars.insert(names.element.clone(), element.unwrap_or_default());
    }
    vars
}

/// Keeps what a function has changed of its user's variables.
fn keep(
    plan: &Plan,
    memory: &mut Option<Box<Memory>>,
    given: &Map<String, Value>,
    returned: Map<String, Value>,
) {
    let captures = &plan.script.captures;
    let slot = |name: &str| captures.iter().position(|known| known == name);
    for name in given.keys().filter(|name| !returned.contains_key(*name)) {
        let memory = memory.get_or_insert_default();
        match slot(name) {
            Some(slot) => memory.keep(slot as u16, Value::Null, captures.len()),
            None => {
                if let Some(others) = &mut memory.others {
                    others.remove(name);
                }
            }
        }
    }
    for (name, value) in returned {
        if given.get(&name) == Some(&value) {
            continue;
        }
        let memory = memory.get_or_insert_default();
        match slot(&name) {
            Some(slot) => memory.keep(slot as u16, value, captures.len()),
            None => {
                memory.others.get_or_insert_default().insert(name, value);
            }
        }
    }
}
