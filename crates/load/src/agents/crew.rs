//! All agents of a run: connected, asked what they can carry, given their parts and started together.

#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use capacity::{Grouped as G, tuples};
use thiserror::Error;

use super::{
    address::AgentAddresses,
    attendant::{Command, Credentials, Event, attend},
    clock::Clock,
    division::{Vessel, divide},
    machine::MachineReport,
    message::{Capacity, Done, FromAgent, ToAgent, Work},
    secret::Secret,
    ssh::SshOptions,
    tls::{self, TlsError},
};
use crate::{
    gauges::Snapshot, interrupt::Interrupt, part::Part, progress::Progress, run::LoadError,
};

/// How often whoever waits for agents looks after the rest.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// How long agents may take to say what they can carry, and to prepare.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// What agents have said and was not looked at yet.
const EVENTS_MAX: usize = 1_024;
/// What one agent is to be told.
const COMMANDS_MAX: usize = 64;
/// How far ahead of its start a run is announced; all have heard of it by then.
const START_AHEAD: Duration = Duration::from_millis(500);

/// The machines that a run is divided among.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Agents {
    /// Where they are.
    pub addresses: AgentAddresses,
    /// The secret that they share with this machine.
    pub secret: Option<Secret>,
    /// Certificates that vouch for theirs; without it sessions are not encrypted.
    pub authority: Option<PathBuf>,
    /// What becomes of the run when one of them is lost.
    pub on_loss: OnAgentLoss,
    /// Each goes to `ssh` as `-o OPTION`.
    pub ssh_options: Vec<String>,
    /// How long agents are waited for that do not answer yet, such as those whose machines are being started.
    pub wait: Duration,
}

/// What becomes of a run when an agent is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnAgentLoss {
    /// The others go on; the run is not held.
    #[default]
    Continue,
    /// The run is ended.
    Stop,
}

impl Agents {
    /// The agents at `addresses`, which share `secret` with this machine if they have one.
    pub fn new(addresses: AgentAddresses, secret: Option<Secret>) -> Self {
        Self {
            addresses,
            secret,
            authority: None,
            on_loss: OnAgentLoss::default(),
            ssh_options: Vec::new(),
            wait: Duration::ZERO,
        }
    }
}

/// Why agents did not begin a run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AgentsError {
    /// One of them cannot be had.
    #[error("agent {agent}: {why}")]
    Agent {
        /// Which.
        agent: String,
        /// What is wrong.
        why: String,
    },
    /// All together they can carry less than what is asked.
    #[error("{asked} connections are asked for, and the agents can carry {all}:{each}", asked = G(*asked), all = G(*all))]
    Shortage {
        /// Connections that were asked for.
        asked: u64,
        /// What all can carry.
        all: u64,
        /// A line for each agent.
        each: String,
    },
    /// What is to be done cannot be told: paths that are not UTF-8.
    #[error("the agents cannot be told what to do: {0}")]
    Untold(#[from] serde_json::Error),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The run was ended before it began.
    #[error("ended before the agents began")]
    Interrupted,
}

/// One agent of a run.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    commands: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
    pub(crate) capacity: Capacity,
    pub(crate) share: u32,
    clock: Option<Clock>,
    /// The crowd there as it was last heard of.
    pub(crate) standing: Option<Snapshot>,
    /// The most connections of its that were heard of as ready, away or dropped at once.
    pub(crate) most_ready: u64,
    pub(crate) state: State,
}

/// How far an agent is.
#[derive(Debug)]
pub(crate) enum State {
    /// It is with us, and may have a run.
    Present,
    Done(Box<Done>),
    /// Why it was lost.
    Lost(String),
}

impl Member {
    /// Whether something is to be heard of it still.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, State::Present)
    }

    /// Takes note of how its crowd stands.
    pub(crate) fn hear(&mut self, standing: Option<Snapshot>) {
        let Some(now) = standing else {
            return;
        };
        // While it closes, those that are closed are in none of these any more.
        self.most_ready = self.most_ready.max(now.ready + now.away + now.dropped);
        self.standing = standing;
    }

    /// What the report says of it; what it did, its results say.
    pub(crate) fn report(&self, whole: u64) -> MachineReport {
        let mut report = MachineReport {
            agent: self.name.clone(),
            share: (f64::from(self.share) / whole.max(1) as f64 * 1e3).round() / 1e3,
            can_carry: self.capacity.most(),
            asked: self.share.into(),
            clock_uncertainty_us: self.clock.map_or(0, |clock| {
                u64::try_from(clock.uncertainty.as_micros()).unwrap_or(u64::MAX)
            }),
            tuples: self.capacity.tuples(),
            ..MachineReport::default()
        };
        match &self.state {
            State::Present => {}
            State::Lost(why) => report.lost = Some(why.clone()),
            State::Done(done) => {
                report.shards = done.shards;
                report.carrier.clone_from(&done.carrier);
                report.evidence = done.evidence;
                let took = done.took.as_micros().max(1);
                report.cpu_percent = (done.cpu.as_micros() * 100 / took) as u64;
            }
        }
        report
    }
}

/// All agents of a run.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) members: Vec<Member>,
    /// Of each member, its place among all agents: those that have nothing to do are no members.
    places: Vec<usize>,
    events: Receiver<(usize, Event)>,
    /// The coordinator's clock counts from here.
    began: Instant,
}

impl Crew {
    /// Connects to all agents.
    pub(crate) fn gather(
        agents: &Agents,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, AgentsError> {
        let tls = agents.authority.as_deref().map(tls::client).transpose()?;
        let credentials = Arc::new(Credentials {
            secret: agents.secret.clone().unwrap_or_else(Secret::none),
            tls,
            ssh: SshOptions {
                options: agents.ssh_options.clone(),
            },
            wait: agents.wait,
        });
        let (sender, events) = mpsc::sync_channel(EVENTS_MAX);
        let member = |(place, address): (usize, &super::address::AgentAddress)| {
            let (commands, hears) = mpsc::sync_channel(COMMANDS_MAX);
            let (address, events) = (address.clone(), sender.clone());
            let (name, credentials) = (address.to_string(), Arc::clone(&credentials));
            let thread = thread::Builder::new().name(format!("agent {place}"));
            let thread =
                thread.spawn(move || attend(place, &address, &credentials, &hears, &events));
            if let Err(error) = &thread {
                let lost = Event::Lost(format!("no thread to talk to it: {error}"));
                // The receiver is ours, some lines above.
                let _ = sender.try_send((place, lost));
            }
            Member {
                name,
                commands: Some(commands),
                thread: thread.ok(),
                capacity: Capacity::default(),
                share: 0,
                clock: None,
                standing: None,
                most_ready: 0,
                state: State::Present,
            }
        };
        let mut crew = Self {
            places: (0..agents.addresses.iter().len()).collect(),
            members: agents.addresses.iter().enumerate().map(member).collect(),
            events,
            began: Instant::now(),
        };
        // However long: `ssh` may have to copy something first. Each agent's thread has its deadlines.
        crew.await_each(interrupt, None, |member, event| {
            if let Event::Awaited(why) = &event {
                progress.tell(&format!("waiting for agent {}: {why}", member.name));
            }
            matches!(event, Event::Connected)
        })?;
        Ok(crew)
    }

    /// Asks everybody what they can carry of `work`.
    pub(crate) fn ask(&mut self, work: Work, interrupt: &Interrupt) -> Result<(), AgentsError> {
        // A script with its files is long: all are told the same bytes.
        let work: Arc<[u8]> = serde_json::to_vec(&ToAgent::Ask(work))?.into();
        for place in 0..self.members.len() {
            self.command(place, Command::TellJson(Arc::clone(&work)));
        }
        self.await_each(
            interrupt,
            Some(ANSWER_TIMEOUT),
            |member, event| match event {
                Event::Heard(FromAgent::Capacity(capacity)) => {
                    member.capacity = capacity;
                    true
                }
                _ => false,
            },
        )
    }

    /// Divides `total` by cores, `asked` of which must be possible at once.
    pub(crate) fn divide(&mut self, total: u32, asked: u64) -> Result<(), AgentsError> {
        let vessels: Vec<_> = self
            .members
            .iter()
            .map(|member| Vessel {
                weight: member.capacity.cores,
                most: match asked {
                    0 => u64::MAX,
                    // As much of the whole as its connections are of all.
                    _ => {
                        let most = u128::from(member.capacity.most()) * u128::from(total);
                        u64::try_from(most / u128::from(asked)).unwrap_or(u64::MAX)
                    }
                },
            })
            .collect();
        let Some(shares) = divide(total, &vessels) else {
            let all = self.members.iter().map(|member| member.capacity.most());
            let each = self.members.iter().map(|member| {
                let (name, capacity) = (&member.name, &member.capacity);
                format!("\n  {name}: {}", capacity.arithmetic())
            });
            return Err(AgentsError::Shortage {
                asked,
                all: all.fold(0, u64::saturating_add),
                each: each.collect(),
            });
        };
        for (member, share) in self.members.iter_mut().zip(shares) {
            member.share = share;
        }
        // Who has nothing to do is not waited for.
        let members = self.members.iter().zip(&self.places);
        let busy = members.filter(|(member, _)| member.share > 0);
        self.places = busy.map(|(_, &place)| place).collect();
        self.members.retain(|member| member.share > 0);
        Ok(())
    }

    /// Lets everybody prepare their parts of the run `run`.
    pub(crate) fn prepare(&mut self, run: u64, interrupt: &Interrupt) -> Result<(), AgentsError> {
        let shares: Vec<_> = self.members.iter().map(|member| member.share).collect();
        for place in 0..shares.len() {
            let part = Part::of(shares.clone(), place);
            let part = part.expect("the shares add up to a number of 32 bits, which was divided");
            self.tell(place, ToAgent::Prepare { part, run });
        }
        let timeout = Some(ANSWER_TIMEOUT);
        self.await_each(interrupt, timeout, |_, event| {
            matches!(event, Event::Heard(FromAgent::Prepared))
        })
    }

    /// Compares clocks, and lets everybody begin at the same instant. Returns when that is.
    pub(crate) fn start(&mut self, interrupt: &Interrupt) -> Result<Instant, AgentsError> {
        for place in 0..self.members.len() {
            self.command(place, Command::Measure(self.began));
        }
        self.await_each(
            interrupt,
            Some(ANSWER_TIMEOUT),
            |member, event| match event {
                Event::Clock(clock) => {
                    member.clock = Some(clock);
                    true
                }
                _ => false,
            },
        )?;
        let at = self.began.elapsed() + START_AHEAD;
        for place in 0..self.members.len() {
            let clock = self.members[place].clock;
            let at = clock.map_or(at, |clock| clock.there(at));
            self.tell(place, ToAgent::Start { at });
        }
        Ok(self.began + at)
    }

    /// Tells an agent something, if it is still there.
    pub(crate) fn tell(&self, place: usize, message: ToAgent) {
        self.command(place, Command::Tell(message));
    }

    /// Ends everybody's run early.
    pub(crate) fn end(&self) {
        for place in 0..self.members.len() {
            self.tell(place, ToAgent::End);
        }
    }

    fn command(&self, place: usize, command: Command) {
        if let Some(commands) = &self.members[place].commands {
            // Of a thread that has ended, we hear; and no agent is told much before it answers.
            let _ = commands.try_send(command);
        }
    }

    /// What happens next; `None` when nothing does for a moment.
    pub(crate) fn next(&self) -> Option<(usize, Event)> {
        loop {
            let (place, event) = match self.events.recv_timeout(LOOK) {
                Ok(happened) => happened,
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    // Whoever ends reports it, unless it panics.
                    let place = self.members.iter().position(Member::is_running)?;
                    let why = "the thread that talks to it has failed".to_owned();
                    return Some((place, Event::Lost(why)));
                }
            };
            // Members that have nothing to do were left out, which has moved the others up.
            let place = self.places.iter().position(|&was| was == place);
            if let Some(place) = place {
                return Some((place, event));
            }
        }
    }

    /// Waits until `is_it` has been true for everybody. That one is lost or unable ends it: nothing has begun.
    fn await_each(
        &mut self,
        interrupt: &Interrupt,
        timeout: Option<Duration>,
        mut is_it: impl FnMut(&mut Member, Event) -> bool,
    ) -> Result<(), AgentsError> {
        let since = Instant::now();
        let mut awaited: Vec<_> = (0..self.members.len()).collect();
        while !awaited.is_empty() {
            if interrupt.is_raised() {
                return Err(AgentsError::Interrupted);
            }
            if timeout.is_some_and(|timeout| since.elapsed() >= timeout) {
                let agent = self.members[awaited[0]].name.clone();
                let why = format!("no answer for {} s", ANSWER_TIMEOUT.as_secs());
                return Err(AgentsError::Agent { agent, why });
            }
            let Some((place, event)) = self.next() else {
                continue;
            };
            let member = &mut self.members[place];
            let why = match event {
                Event::Lost(why)
                | Event::Heard(FromAgent::Unable { why } | FromAgent::Failed { why }) => why,
                Event::Heard(FromAgent::Busy { who }) => format!("it is busy: {who}"),
                event => {
                    if is_it(member, event) {
                        awaited.retain(|&one| one != place);
                    }
                    continue;
                }
            };
            let agent = member.name.clone();
            return Err(AgentsError::Agent { agent, why });
        }
        Ok(())
    }
}

impl Drop for Crew {
    /// Takes leave of everybody.
    fn drop(&mut self) {
        for member in &mut self.members {
            member.commands = None;
        }
        // Nobody waits for room in a channel that nobody reads.
        let (_, nobody) = mpsc::sync_channel(0);
        self.events = nobody;
        for member in &mut self.members {
            if let Some(thread) = member.thread.take() {
                // That it has panicked was said by itself.
                let _ = thread.join();
            }
        }
    }
}

impl Capacity {
    /// Connections that it can carry.
    pub(crate) fn most(&self) -> u64 {
        let tuples = tuples::connections_possible(self.addresses, 1, tuples::PORTS_COUNT);
        self.connections_max.min(tuples)
    }

    /// Source tuples that rest after they were used; `None` where none do.
    fn tuples(&self) -> Option<u64> {
        let all = self.addresses.saturating_mul(tuples::PORTS_COUNT);
        self.rests.then_some(all)
    }

    /// How that comes about, in words.
    fn arithmetic(&self) -> String {
        let plural = if self.addresses == 1 { "" } else { "es" };
        format!(
            "{}, the least of: the process {}; {} source address{plural} x {} ports",
            G(self.most()),
            self.because,
            G(self.addresses),
            G(tuples::PORTS_COUNT),
        )
    }
}

impl From<AgentsError> for LoadError {
    fn from(error: AgentsError) -> Self {
        Self::Agents(Box::new(error))
    }
}
