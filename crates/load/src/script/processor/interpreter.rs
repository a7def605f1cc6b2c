//! The interpreter of one shard: QuickJS, with limits of memory, stack and time.

use std::{cell::Cell, cell::RefCell, fmt, rc::Rc, time::Duration};

use engine::Time;
use rquickjs::{
    CatchResultExt as _, CaughtError, Context, Ctx, Function, Module, Object, Persistent, Runtime,
    context::EvalOptions,
    loader::{ImportAttributes, Loader, Resolver},
    module::Declared,
};
use rustix::time::{ClockId, clock_gettime};

use super::{
    MODULES, Processor,
    host::{self, Emitted, Ended, Host, Mishap},
    is_module, no_module,
};

/// Memory of one shard's functions, in bytes.
const MEMORY_BYTES_MAX: usize = 64 << 20;
/// The stack of a function, in bytes; a thread has 2 MiB.
const STACK_BYTES_MAX: usize = 512 << 10;
/// Processor time that one turn of a function may take: all users of the shard wait for it.
const TURN_MAX: Duration = Duration::from_secs(1);
/// The name of our own code in stacks.
pub(super) const PRELUDE: &str = "fourtuple:prelude";

/// One shard's functions.
pub(crate) struct Interpreter {
    // Values are dropped before what they live in.
    call: Persistent<Function<'static>>,
    fire: Persistent<Function<'static>>,
    forget: Persistent<Function<'static>>,
    names: Persistent<Function<'static>>,
    context: Context,
    runtime: Runtime,
    host: Rc<RefCell<Host>>,
    /// Until when a turn may last, in processor time of this thread.
    until: Rc<Cell<Duration>>,
    processor: Rc<Processor>,
    is_stuck: bool,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `(context, events, done)`.
    Step,
    /// `(context, next)`, which says whether a loop goes on.
    While,
    /// `(wsArgs, context, done)`.
    Connect,
}

/// Where modules are found.
struct Files(Rc<Processor>);

impl Resolver for Files {
    fn resolve<'js>(
        &mut self,
        _: &Ctx<'js>,
        base: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        if is_module(name) {
            return Ok(name.trim_start_matches("node:").to_owned());
        }
        let found = self.0.find(base, name);
        found.ok_or_else(|| rquickjs::Error::new_resolving_message(base, name, no_module(name)))
    }
}

impl Loader for Files {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        if MODULES.contains(&name) {
            let names = match name {
                "crypto" => "randomUUID, randomBytes, randomInt, getRandomValues",
                _ => "setTimeout",
            };
            let text = format!(
                "const module = globalThis[Symbol.for('modules')]['{name}'];\n\
                 export default module;\nexport const {{ {names} }} = module;"
            );
            return Module::declare(ctx.clone(), name, text);
        }
        let text = self.0.files.get(name).cloned().unwrap_or_default();
        Module::declare(ctx.clone(), name, text)
    }
}

impl Interpreter {
    /// Starts an interpreter and runs the processor's files in it.
    pub(crate) fn start(processor: &Processor) -> Result<Self, String> {
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        runtime.set_memory_limit(MEMORY_BYTES_MAX);
        runtime.set_max_stack_size(STACK_BYTES_MAX);
        let until = Rc::new(Cell::new(Duration::MAX));
        let own = Rc::clone(&until);
        runtime.set_interrupt_handler(Some(Box::new(move || spent() >= own.get())));
        let processor = Rc::new(processor.clone());
        runtime.set_loader(Files(Rc::clone(&processor)), Files(Rc::clone(&processor)));
        let context = Context::full(&runtime).map_err(|error| error.to_string())?;
        let host = Rc::new(RefCell::new(Host::default()));
        until.set(spent() + TURN_MAX);
        let [call, fire, forget, names] = context.with(|ctx| {
            let begun = begin(&ctx, &host, &processor).catch(&ctx);
            begun.map_err(|error| told(&error, &processor))
        })?;
        until.set(Duration::MAX);
        host.borrow_mut().lines.clear();
        Ok(Self {
            call,
            fire,
            forget,
            names,
            context,
            runtime,
            host,
            until,
            processor,
            is_stuck: false,
        })
    }

    /// The names of the functions that the processor exports.
    pub(crate) fn exports(&self) -> Result<Vec<String>, String> {
        self.context.with(|ctx| {
            let names = self.names.clone().restore(&ctx);
            let names = names.and_then(|names| names.call::<_, Vec<String>>(()));
            names
                .catch(&ctx)
                .map_err(|error| told(&error, &self.processor))
        })
    }

    /// Calls a function as `call`, with what `given` says as JSON.
    pub(crate) fn call(&mut self, call: u32, function: u16, kind: Kind, given: &str, now: Time) {
        let name = self.processor.name(function).to_owned();
        let kind = match kind {
            Kind::Step => "step",
            Kind::While => "while",
            Kind::Connect => "connect",
        };
        let which = self.call.clone();
        self.turn(call, now, |ctx| {
            which.restore(ctx)?.call((call, name, kind, given))
        });
    }

    /// Runs what timers are due.
    pub(crate) fn wake(&mut self, now: Time) {
        // What they set anew for at once has its turn later, so that this ends.
        let last = spent() + TURN_MAX;
        for _ in 0..TIMERS_PER_TURN {
            if self.is_stuck || spent() > last {
                return;
            }
            let due = self.host.borrow_mut().alarms.take(now);
            let Some((alarm, call)) = due else { return };
            let which = self.fire.clone();
            self.turn(call, now, |ctx| which.restore(ctx)?.call((alarm, call)));
        }
    }

    /// When the next timer is due.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.host.borrow().alarms.next_time()
    }

    /// Takes the calls that have ended.
    pub(crate) fn take_ended(&self) -> Vec<Ended> {
        std::mem::take(&mut self.host.borrow_mut().ended)
    }

    /// Takes the lines and metrics that functions said since the last time.
    pub(crate) fn take_said(&self) -> (Vec<String>, Vec<Emitted>) {
        let mut host = self.host.borrow_mut();
        (
            std::mem::take(&mut host.lines),
            std::mem::take(&mut host.emitted),
        )
    }

    /// Does not report how `call` ends; whether it had not ended.
    pub(crate) fn forget(&self, call: u32) -> bool {
        let forget = self.forget.clone();
        let forgotten = self.context.with(|ctx| {
            let forget = forget.restore(&ctx);
            forget.and_then(|forget| forget.call::<_, bool>((call,)))
        });
        // Without memory for this, its end is passed over all the same.
        forgotten.unwrap_or(true)
    }

    /// Whether something goes on in here that cannot be stopped.
    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Lets `run` have its turn, and what follows from it at once; what goes wrong is that of `call`.
    fn turn(
        &mut self,
        call: u32,
        now: Time,
        run: impl for<'js> FnOnce(&Ctx<'js>) -> rquickjs::Result<()>,
    ) {
        self.host.borrow_mut().now = now;
        self.until.set(spent() + TURN_MAX);
        let wrong = self.context.with(|ctx| {
            let result = run(&ctx).catch(&ctx);
            result.err().map(|error| mishap(&error))
        });
        let later = self.run_jobs();
        self.until.set(Duration::MAX);
        if let Some(mishap) = wrong.or(later)
            && self.forget(call)
        {
            let outcome = Err(mishap);
            self.host.borrow_mut().ended.push(Ended { call, outcome });
        }
    }

    /// Runs what promises have to do; the first mishap.
    ///
    /// When the time is up, the next jobs are interrupted one after the other until the one that makes ever
    /// new ones is gone, too.
    fn run_jobs(&mut self) -> Option<Mishap> {
        let mut first = None;
        let last = spent() + 2 * TURN_MAX;
        loop {
            match self.runtime.execute_pending_job() {
                Ok(true) => {}
                Ok(false) => return first,
                Err(exception) => {
                    let found = exception.0.with(|ctx| {
                        let error = CaughtError::from_error(&ctx, rquickjs::Error::Exception);
                        mishap(&error)
                    });
                    first = first.or(Some(found));
                }
            }
            if spent() >= last {
                self.is_stuck = true;
                return first.or_else(|| Some(Mishap::of(too_long(), "")));
            }
        }
    }
}

/// Timers that run in one turn, at most.
const TIMERS_PER_TURN: u32 = 1_024;

impl fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interpreter")
            .field("processor", &self.processor)
            .finish_non_exhaustive()
    }
}

type Saved = Persistent<Function<'static>>;

/// Runs our own code, then the processor's.
fn begin<'js>(
    ctx: &Ctx<'js>,
    host: &Rc<RefCell<Host>>,
    processor: &Rc<Processor>,
) -> rquickjs::Result<[Saved; 4]> {
    let mut options = EvalOptions::default();
    options.filename = Some(PRELUDE.to_owned());
    let prelude: Function<'js> = ctx.eval_with_options(include_str!("prelude.js"), options)?;
    let environment = Object::new(ctx.clone())?;
    for (name, value) in &processor.environment {
        environment.set(&**name, &**value)?;
    }
    let object = host::object(ctx, host, processor)?;
    let ours: Object<'js> = prelude.call((object, environment))?;
    let share: Function<'js> = ours.get("share")?;
    for (name, json) in &processor.shared {
        share.call::<_, ()>((&**name, &**json))?;
    }
    if processor.main.ends_with(".mjs") {
        let text = processor.files.get(&processor.main).cloned();
        let module = Module::declare(ctx.clone(), &*processor.main, text.unwrap_or_default())?;
        let (module, promise) = module.eval()?;
        promise.finish::<()>()?;
        let adopt: Function<'js> = ours.get("adopt")?;
        adopt.call::<_, ()>((module.namespace()?,))?;
    } else {
        let main: Function<'js> = ours.get("main")?;
        main.call::<_, ()>((&*processor.main,))?;
    }
    let save = |name: &str| -> rquickjs::Result<Saved> {
        let function: Function<'js> = ours.get(name)?;
        Ok(Persistent::save(ctx, function))
    };
    Ok([
        save("call")?,
        save("fire")?,
        save("forget")?,
        save("names")?,
    ])
}

/// Processor time of this thread: what others do on this machine is not a function's fault.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

pub(super) fn too_long() -> String {
    format!("a function ran for more than {} ms", TURN_MAX.as_millis())
}

fn mishap(error: &CaughtError<'_>) -> Mishap {
    let (message, stack) = match error {
        CaughtError::Exception(exception) => (
            exception.message().unwrap_or_default(),
            exception.stack().unwrap_or_default(),
        ),
        CaughtError::Value(value) => (format!("{value:?}"), String::new()),
        CaughtError::Error(error) => (error.to_string(), String::new()),
    };
    Mishap::of(message, &stack)
}

/// An error of loading, with its place.
fn told(error: &CaughtError<'_>, processor: &Processor) -> String {
    let Mishap { message, place } = mishap(error);
    let place = if place.is_empty() {
        &processor.main
    } else {
        &place
    };
    let hint = match message.contains("export") && processor.main.ends_with(".js") {
        true => "; a file with `export` ends in .mjs",
        false => "",
    };
    format!("{place}: {message}{hint}")
}
