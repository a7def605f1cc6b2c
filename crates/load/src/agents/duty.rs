//! One run on an agent: led by a thread of its own, while the session's thread talks to the coordinator.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use capacity::Sources;
use rustix::time::{ClockId, clock_gettime};

use super::message::{Capacity, Done, FromAgent, ScriptWork, Work};
use crate::{
    gate::{Gate, News, Place},
    gauges::Snapshot,
    interrupt::Interrupt,
    lookout::Lookout,
    options::Options,
    part::Part,
    progress::{Moment, Progress},
    run::{self, LoadError},
    script::{self, Script, ScriptOptions, ScriptPart},
    search::Watcher,
    timeline::Period,
};

/// Messages of a run that wait to be sent: lines, periods, gates.
pub(super) const UP_MAX: usize = 256;
/// What a run is told and has not taken up: it asks before it is told.
const ORDERS_MAX: usize = 64;
/// How often a run that waits for its start looks whether it was ended.
const LOOK: Duration = Duration::from_millis(20);

/// What is this machine's own business and not the coordinator's.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AgentOptions {
    /// Addresses to dial from; `None` chooses them, see [`Options::sources`].
    pub sources: Option<Sources>,
}

/// Work that was understood and found possible, whole or in part.
#[derive(Debug)]
pub(crate) enum Task {
    Crowd(Box<Options>),
    Script(Box<Script>, Box<ScriptOptions>),
}

impl Task {
    /// Understands what is asked, and finds out how much of it this machine can carry.
    pub(crate) fn of(work: Work, own: &AgentOptions) -> Result<(Self, Capacity), String> {
        match work {
            Work::Crowd(mut options) => {
                options.check().map_err(|error| error.to_string())?;
                options.sources.clone_from(&own.sources);
                let capacity = run::capacity(&options).map_err(|error| error.to_string())?;
                Ok((Self::Crowd(options), capacity))
            }
            Work::Script(work) => {
                let script = work
                    .bundle
                    .read()
                    .map_err(|problems| problems.to_string())?;
                let percent = work.percent;
                if percent > script.percent_max() {
                    return Err(format!("{percent} % of the script's arrivals are too many"));
                }
                let script = script.at_percent(percent);
                let options = script_options(&work, own);
                let capacity = script::capacity(&script, &options);
                let capacity = capacity.map_err(|error| error.to_string())?;
                Ok((Self::Script(Box::new(script), Box::new(options)), capacity))
            }
        }
    }
}

fn script_options(work: &ScriptWork, own: &AgentOptions) -> ScriptOptions {
    ScriptOptions {
        sources: own.sources.clone(),
        shards: work.shards,
        kernel: work.kernel,
        connect_timeout: work.connect_timeout,
        tls: work.tls.clone(),
        proxy: work.proxy.clone(),
        // Whoever leads watches the target.
        watch: None,
    }
}

/// A run that is prepared or under way.
#[derive(Debug)]
pub(crate) struct Duty {
    /// What the run has to say.
    pub(crate) says: Receiver<FromAgent>,
    orders: SyncSender<Down>,
    shown: Arc<Mutex<Option<Snapshot>>>,
    interrupt: Interrupt,
    thread: Option<JoinHandle<()>>,
}

/// What the run is told.
#[derive(Debug)]
enum Down {
    Start(Instant),
    Pass(Place, Vec<(u32, u32)>),
}

impl Duty {
    /// Prepares this machine's part; the run says that it is prepared, or why not.
    pub(crate) fn prepare(task: Task, part: Part, run: u64) -> Self {
        let (up, says) = mpsc::sync_channel(UP_MAX);
        let (orders, hears) = mpsc::sync_channel(ORDERS_MAX);
        let (shown, interrupt) = (Arc::default(), Interrupt::new());
        let hand = Hand {
            up,
            hears,
            passed: VecDeque::new(),
            shown: Arc::clone(&shown),
            interrupt: interrupt.clone(),
        };
        let thread = thread::Builder::new().name("run".to_owned());
        let thread = thread.spawn(move || hand.carry_out(task, part, run));
        Self {
            says,
            orders,
            shown,
            interrupt,
            // Without a thread there is nobody to say anything, and that is told.
            thread: thread.ok(),
        }
    }

    /// One without a run, of which something is heard.
    #[cfg(test)]
    pub(crate) fn that_says(says: Receiver<FromAgent>) -> Self {
        let (orders, _) = mpsc::sync_channel(1);
        Self {
            says,
            orders,
            shown: Arc::default(),
            interrupt: Interrupt::new(),
            thread: None,
        }
    }

    pub(crate) fn start(&self, at: Instant) {
        // A run that is over needs no start, and no other has so much to take up.
        let _ = self.orders.try_send(Down::Start(at));
    }

    pub(crate) fn pass(&self, place: Place, sent: Vec<(u32, u32)>) {
        let _ = self.orders.try_send(Down::Pass(place, sent));
    }

    /// Ends the run early.
    pub(crate) fn end(&self) {
        self.interrupt.raise();
    }

    /// The crowd as it was shown last.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Duty {
    /// Waits until everything is closed.
    fn drop(&mut self) {
        self.interrupt.raise();
        // Nobody waits for room in a channel that nobody reads.
        let (_, nobody) = mpsc::sync_channel(0);
        self.says = nobody;
        if let Some(thread) = self.thread.take() {
            // That it has panicked was said by itself.
            let _ = thread.join();
        }
    }
}

/// The run's own end of it.
#[derive(Debug)]
struct Hand {
    up: SyncSender<FromAgent>,
    hears: Receiver<Down>,
    passed: VecDeque<(Place, Vec<(u32, u32)>)>,
    shown: Arc<Mutex<Option<Snapshot>>>,
    interrupt: Interrupt,
}

impl Hand {
    fn carry_out(mut self, task: Task, part: Part, run: u64) {
        let said = match task {
            Task::Crowd(options) => self.lead(*options, part, run),
            Task::Script(script, options) => self.perform(*script, &options, part, run),
        };
        let said = said.unwrap_or_else(|error| FromAgent::Failed {
            why: error.to_string(),
        });
        self.say(said);
    }

    fn lead(&mut self, mut options: Options, part: Part, run: u64) -> Result<FromAgent, LoadError> {
        if !part.is_first() {
            // One is enough to look at the target.
            options.watch = None;
        }
        options.connections = part.connections();
        options.concurrency = part.of_places(options.concurrency);
        let (plan, settings) = run::plan_part(options, part, run)?;
        let plan = Arc::new(plan);
        let mut shower = Shower {
            shown: Arc::clone(&self.shown),
            up: self.up.clone(),
            unsaid: None,
        };
        let interrupt = self.interrupt.clone();
        let mut began = None;
        let (outcome, end) = {
            // The gate and the start are the same channel, one after the other.
            let hand = std::cell::RefCell::new(&mut *self);
            let mut gate = AtGate(&hand);
            run::lead(&plan, &settings, &mut shower, &interrupt, &mut gate, || {
                let hand = hand.borrow();
                hand.say(FromAgent::Prepared);
                hand.await_start();
                began = Some(Effort::begin());
            })?
        };
        let effort = began.unwrap_or_else(Effort::begin);
        Ok(FromAgent::Done(Box::new(Done {
            shards: plan.shards,
            carrier: end.carrier.clone(),
            cpu: effort.cpu(),
            took: effort.began.elapsed(),
            evidence: effort.watcher.stop(),
            is_interrupted: end.interrupted,
            outcome: Some((outcome, end)),
        })))
    }

    fn perform(
        &self,
        script: Script,
        options: &ScriptOptions,
        part: Part,
        run: u64,
    ) -> Result<FromAgent, LoadError> {
        let part = ScriptPart::of(part);
        let prepared = script::prepare(script, options, part, run)?;
        self.say(FromAgent::Prepared);
        self.await_start();
        let effort = Effort::begin();
        let interrupt = self.interrupt.clone();
        let shown = Arc::clone(&self.shown);
        // Whoever leads watches the target.
        let lookout = Lookout::start(None);
        let ended = script::perform_part(prepared, &interrupt, &mut |said| match said {
            script::Said::Line(line) => self.say(FromAgent::Line(line)),
            script::Said::Standing(now) => show(&shown, now),
            script::Said::Period(period, figures, is_last) => self.say(FromAgent::Period {
                period,
                figures,
                limits: lookout.latest(),
                is_last,
            }),
        })?;
        Ok(FromAgent::Done(Box::new(Done {
            outcome: None,
            shards: ended.shards,
            carrier: ended.carrier,
            cpu: effort.cpu(),
            took: effort.began.elapsed(),
            evidence: effort.watcher.stop(),
            is_interrupted: ended.is_interrupted,
        })))
    }

    fn say(&self, said: FromAgent) {
        // Nobody hears a run that was given up.
        let _ = self.up.send(said);
    }

    /// Waits for the start and then for its instant; less long when the run was ended.
    fn await_start(&self) {
        let mut start: Option<Instant> = None;
        while !self.interrupt.is_raised() {
            let left = start.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            match self.hears.recv_timeout(left.min(LOOK)) {
                Ok(Down::Start(at)) => start = Some(at),
                Ok(Down::Pass(..)) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.interrupt.raise(),
            }
        }
    }
}

/// The gate of a machine whose coordinator says when all have come.
struct AtGate<'a, 'b>(&'a std::cell::RefCell<&'b mut Hand>);

impl Gate for AtGate<'_, '_> {
    fn arrive(&mut self, place: Place, news: News) {
        self.0.borrow().say(FromAgent::Arrived { place, news });
    }

    fn pass(&mut self, place: Place) -> Option<Vec<(u32, u32)>> {
        let mut hand = self.0.borrow_mut();
        while let Ok(down) = hand.hears.try_recv() {
            if let Down::Pass(place, sent) = down {
                hand.passed.push_back((place, sent));
            }
        }
        let (_, sent) = hand.passed.pop_front_if(|(passed, _)| *passed == place)?;
        Some(sent)
    }
}

/// Keeps what the crowd shows, for whoever asks, and hands on each period.
struct Shower {
    shown: Arc<Mutex<Option<Snapshot>>>,
    up: SyncSender<FromAgent>,
    /// What there was no room for: the run does not wait for whoever follows it.
    unsaid: Option<(u64, Box<Period>)>,
}

impl Progress for Shower {
    fn update(&mut self, now: &Moment<'_>) {
        show(&self.shown, *now.crowd);
    }

    fn handle_period(&mut self, start_ms: u64, period: &Period) {
        let (start_ms, period) = match self.unsaid.take() {
            Some((earlier_ms, mut unsaid)) => {
                unsaid.follow(period.clone());
                (earlier_ms, unsaid)
            }
            None => (start_ms, Box::new(period.clone())),
        };
        let second = FromAgent::Second { start_ms, period };
        if let Err(TrySendError::Full(FromAgent::Second { start_ms, period })) =
            self.up.try_send(second)
        {
            self.unsaid = Some((start_ms, period));
        }
    }
}

fn show(shown: &Mutex<Option<Snapshot>>, now: Snapshot) {
    *shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
}

/// What a run takes of its machine.
#[derive(Debug)]
struct Effort {
    began: Instant,
    cpu: Duration,
    watcher: Watcher,
}

impl Effort {
    fn begin() -> Self {
        Self {
            began: Instant::now(),
            cpu: processor_time(),
            watcher: Watcher::start(),
        }
    }

    /// Processor time since the beginning.
    fn cpu(&self) -> Duration {
        processor_time().saturating_sub(self.cpu)
    }
}

/// Processor time of this process so far (`man 2 clock_gettime`, CLOCK_PROCESS_CPUTIME_ID).
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
