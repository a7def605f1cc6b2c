//! What functions in JavaScript ask of the crowd: lines, metrics, alarms, files; and what they end with.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
    time::Duration,
};

use engine::Time;
use rquickjs::{Ctx, Exception, Function, Object, Result, Value, context::EvalOptions};
use serde_json::Map;

use super::{Processor, no_module};

/// What functions have said and are to be woken for; its interpreter empties it after each turn.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) lines: Vec<String>,
    pub(super) emitted: Vec<Emitted>,
    pub(super) ended: Vec<Ended>,
    pub(super) alarms: Alarms,
    /// Now, as the crowd sees it.
    pub(super) now: Time,
}

/// Timers of functions: which call set them, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    by_time: BTreeMap<(Time, u32), u32>,
    times: HashMap<u32, Time>,
}

/// A metric that a function counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Emitted {
    Counter(String, u64),
    Rate(String),
    Histogram(String, f64),
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The number that the call was given.
    pub(crate) call: u32,
    pub(crate) outcome: std::result::Result<Returned, Mishap>,
}

/// What a call leaves behind.
#[derive(Debug)]
pub(crate) struct Returned {
    /// `context.vars`, without what all users share.
    pub(crate) vars: Map<String, serde_json::Value>,
    /// Whether a loop goes on.
    pub(crate) goes_on: bool,
    /// What a connection is to be asked for with.
    pub(crate) wanted: Option<serde_json::Value>,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mishap {
    pub(crate) message: String,
    /// The function, and file and line where they are known.
    pub(crate) place: String,
}

impl Mishap {
    /// One with what QuickJS says of it.
    pub(super) fn of(message: String, stack: &str) -> Self {
        let message = match &*message {
            "interrupted" => super::interpreter::too_long(),
            _ => message,
        };
        let place = place(stack);
        Self { message, place }
    }
}

/// Lines and metrics of one turn, timers of one shard, and the longest name of a metric.
const LINES_MAX: usize = 1_000;
const EMITTED_MAX: usize = 10_000;
const ALARMS_MAX: usize = 1_000_000;
const NAME_CHARS_MAX: usize = 120;
/// The longest that a timer waits: as long as a `think` may be.
const WAIT_MAX_MS: f64 = 30.0 * 86_400_000.0;
/// Bytes of `context.vars` that a user keeps, as JSON.
const VARS_BYTES_MAX: usize = 1 << 20;
/// Random bytes at once.
const RANDOM_MAX: usize = 64 << 10;

impl Alarms {
    fn set(&mut self, alarm: u32, time: Time, call: u32) {
        self.by_time.insert((time, alarm), call);
        self.times.insert(alarm, time);
    }

    fn clear(&mut self, alarm: u32) {
        if let Some(time) = self.times.remove(&alarm) {
            self.by_time.remove(&(time, alarm));
        }
    }

    pub(super) fn next_time(&self) -> Option<Time> {
        self.by_time.first_key_value().map(|((time, _), _)| *time)
    }

    /// Takes an alarm whose time has come, and the call that set it.
    pub(super) fn take(&mut self, now: Time) -> Option<(u32, u32)> {
        let (&(time, alarm), &call) = self.by_time.first_key_value()?;
        if time > now {
            return None;
        }
        self.clear(alarm);
        Some((alarm, call))
    }
}

/// The object through which functions ask.
pub(super) fn object<'js>(
    ctx: &Ctx<'js>,
    host: &Rc<RefCell<Host>>,
    processor: &Rc<Processor>,
) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    say(ctx, host, &object)?;
    end(ctx, host, &object)?;
    files(ctx, processor, &object)?;
    Ok(object)
}

/// Lines, metrics, alarms.
fn say<'js>(ctx: &Ctx<'js>, host: &Rc<RefCell<Host>>, object: &Object<'js>) -> Result<()> {
    let own = Rc::clone(host);
    let line = move |text: String| {
        let lines = &mut own.borrow_mut().lines;
        if lines.len() < LINES_MAX {
            lines.push(text);
        }
    };
    object.set("line", Function::new(ctx.clone(), line)?)?;
    let own = Rc::clone(host);
    let metric = move |kind: String, name: String, value: f64| {
        let name: String = name.chars().take(NAME_CHARS_MAX).collect();
        let emitted = &mut own.borrow_mut().emitted;
        if emitted.len() >= EMITTED_MAX || !value.is_finite() || value < 0.0 {
            return;
        }
        emitted.push(match &*kind {
            "counter" => Emitted::Counter(name, value.round() as u64),
            "rate" => Emitted::Rate(name),
            _ => Emitted::Histogram(name, value),
        });
    };
    object.set("metric", Function::new(ctx.clone(), metric)?)?;
    let own = Rc::clone(host);
    let alarm = move |ctx: Ctx<'js>, alarm: u32, wait: f64, call: u32| -> Result<()> {
        let host = &mut *own.borrow_mut();
        if host.alarms.times.len() >= ALARMS_MAX {
            let text = format!("more than {ALARMS_MAX} timers at once");
            return Err(Exception::throw_range(&ctx, &text));
        }
        let wait = wait.clamp(0.0, WAIT_MAX_MS) / 1e3;
        let time = host.now.after(Duration::from_secs_f64(wait));
        host.alarms.set(alarm, time, call);
        Ok(())
    };
    object.set("alarm", Function::new(ctx.clone(), alarm)?)?;
    let own = Rc::clone(host);
    let cancel = move |alarm: u32| own.borrow_mut().alarms.clear(alarm);
    object.set("cancel", Function::new(ctx.clone(), cancel)?)?;
    let random = move |ctx: Ctx<'js>, count: usize| -> Result<Vec<u8>> {
        if count > RANDOM_MAX {
            let text = format!("expected at most {RANDOM_MAX} random bytes");
            return Err(Exception::throw_range(&ctx, &text));
        }
        Ok(std::iter::repeat_with(|| fastrand::u8(..))
            .take(count)
            .collect())
    };
    object.set("random", Function::new(ctx.clone(), random)?)
}

/// How calls end.
fn end<'js>(ctx: &Ctx<'js>, host: &Rc<RefCell<Host>>, object: &Object<'js>) -> Result<()> {
    let own = Rc::clone(host);
    let fail = move |call: u32, message: String, stack: String| {
        let outcome = Err(Mishap::of(message, &stack));
        own.borrow_mut().ended.push(Ended { call, outcome });
    };
    object.set("fail", Function::new(ctx.clone(), fail)?)?;
    let own = Rc::clone(host);
    let finish = move |ctx: Ctx<'js>,
                       call: u32,
                       vars: String,
                       goes_on: bool,
                       wanted: rquickjs::function::Opt<Option<String>>|
          -> Result<()> {
        if vars.len() > VARS_BYTES_MAX {
            let text = format!("context.vars is longer than {VARS_BYTES_MAX} bytes");
            return Err(Exception::throw_range(&ctx, &text));
        }
        // JavaScript writes some things that are no JSON: half of an emoji, or very deep nesting.
        let wrong = |what: &str, error: &serde_json::Error| {
            Exception::throw_message(&ctx, &format!("{what} cannot be kept: {error}"))
        };
        let vars = serde_json::from_str(&vars);
        let vars = vars.map_err(|error| wrong("context.vars", &error))?;
        let wanted = wanted.0.flatten();
        let wanted = wanted.as_deref().map(serde_json::from_str).transpose();
        let wanted = wanted.map_err(|error| wrong("what the function connects with", &error))?;
        let outcome = Ok(Returned {
            vars,
            goes_on,
            wanted,
        });
        own.borrow_mut().ended.push(Ended { call, outcome });
        Ok(())
    };
    object.set("finish", Function::new(ctx.clone(), finish)?)
}

/// The files of the processor.
fn files<'js>(ctx: &Ctx<'js>, processor: &Rc<Processor>, object: &Object<'js>) -> Result<()> {
    let own = Rc::clone(processor);
    let resolve = move |ctx: Ctx<'js>, base: String, name: String| -> Result<String> {
        let found = own.find(&base, &name);
        found.ok_or_else(|| Exception::throw_message(&ctx, &no_module(&name)))
    };
    object.set("resolve", Function::new(ctx.clone(), resolve)?)?;
    let own = Rc::clone(processor);
    let source = move |path: String| own.files.get(&path).cloned().unwrap_or_default();
    object.set("source", Function::new(ctx.clone(), source)?)?;
    let own = Rc::clone(processor);
    let compile = move |ctx: Ctx<'js>, path: String| -> Result<Value<'js>> {
        let text = own.files.get(&path).map_or("", String::as_str);
        // On one line with the file's first, so that all lines keep their numbers.
        let text =
            format!("(function (module, exports, require, __filename, __dirname) {{{text}\n}})");
        let mut options = EvalOptions::default();
        options.strict = false;
        options.filename = Some(path);
        ctx.eval_with_options(text, options)
    };
    object.set("compile", Function::new(ctx.clone(), compile)?)
}

/// Where the innermost function of a stack is: its name, file and line.
fn place(stack: &str) -> String {
    let mut lines = stack
        .lines()
        .filter_map(|line| line.trim().strip_prefix("at "));
    let found = lines.find(|line| {
        line.contains(':')
            && !line.contains("(native)")
            && !line.contains(super::interpreter::PRELUDE)
    });
    let Some(found) = found else {
        return String::new();
    };
    let (name, file) = match found.split_once(" (") {
        Some((name, file)) => (name, file.trim_end_matches(')')),
        None => ("", found),
    };
    // The column says no more to a reader.
    let file = match file.rsplit_once(':') {
        Some((rest, _)) if rest.contains(':') => rest,
        _ => file,
    };
    match name {
        "" | "<anonymous>" | "<eval>" => file.to_owned(),
        name => format!("{name}, {file}"),
    }
}
