//! What so many connections need: tuples, files, memory, room in queues and tables, processor; and what
//! of it binds first.
//!
//! ```text
//!  Question ──► Answer ──► text, JSON
//!                  └─────► Drawing ──► text, SVG
//!  changes  ──► recipe ──► commands, files
//! ```
//!
//! Everything here is arithmetic on its arguments, so it holds for machines that are not this one. What
//! this machine has is for a diagnosis to say, and what would change it goes through [`recipe`].

mod aws;
mod bounds;
mod churn;
mod destinations;
mod drawing;
mod files;
mod kernel;
mod memory;
mod nat;
mod opening;
mod ports;
mod processor;
mod question;
pub mod recipe;
mod sources;
mod text;

use std::fmt;

use serde::{Serialize, Serializer};

pub use aws::{Aws, InstanceClass};
pub use bounds::Bound;
pub use churn::{Churn, TIME_WAIT_SECONDS};
pub use destinations::{Destinations, DestinationsError};
pub use drawing::{Drawing, Svg};
pub use files::{Files, TablesPlan};
pub use kernel::{CONNTRACK_BYTES, KernelNeeds};
pub use memory::{EndMemory, Memory, PAGE_BYTES, TLS_BYTES};
pub use nat::{Between, Nat, NatError, NatKind};
pub use opening::{ACCEPT_QUEUE_COUNT, Opening, PAUSE_SECONDS};
pub use ports::{Ports, PortsError};
pub use processor::{DELIVERY_MICROS, HEARTBEAT_MICROS, OPENING_MICROS, Processor};
pub use question::{
    CONNECTS_PER_SECOND, Clients, DESCRIPTORS_BESIDE, HEARTBEAT, Host, PHOENIX_RECORD, Program,
    Question,
};
pub use sources::{SAFE_PORTS_COUNT, SourcePlan, SourcesNeeded};

use crate::{Bytes, Grouped};
use sources::counted;
use text::paragraph;

/// What connections need, by the numbers of a [`Question`] alone.
///
/// Its `Display` is [`Answer::verdict`] and [`Answer::sections`]; what is known of a real machine has its
/// place between the two. Serialised, its names are stable and end in their units.
///
/// ```
/// use std::num::NonZero;
///
/// use fourtuple_capacity::plan::{Answer, Clients, Question};
///
/// let two_million = NonZero::new(2_000_000).expect("not zero");
/// let answer = Answer::of(&Question {
///     clients: NonZero::new(31).map(Clients::Machines),
///     ..Question::new(two_million)
/// });
/// assert_eq!(answer.sources.needed.safe_count, 34);
/// assert!(!answer.fits());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// What bounds the connections, the tightest first; what was not given is not among it.
    pub bounds: Vec<Bound>,
    /// What is wrong with the plan besides, in words.
    pub problems: Vec<String>,
    /// Source addresses.
    pub sources: SourcePlan,
    /// What is between clients and server.
    pub between: Option<Between>,
    /// Closing and opening again.
    pub churn: Churn,
    /// Files of both ends.
    pub files: Files,
    /// Memory of both ends.
    pub memory: Memory,
    /// Opening all of them.
    pub opening: Opening,
    /// Tables of the kernel.
    pub kernel: KernelNeeds,
    /// The server's processor.
    pub processor: Processor,
    /// What AWS allows.
    pub aws: Aws,
}

/// The first lines of an answer: whether the plan fits, and what binds first.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a>(&'a Answer);

/// The rest of an answer, a section for each thing that connections need.
#[derive(Clone, Copy, Debug)]
pub struct Sections<'a>(&'a Answer);

impl Answer {
    /// Answers `question`.
    pub fn of(question: &Question) -> Self {
        let sources = SourcePlan::of(question);
        let between = question.nat.map(|nat| Between::of(nat, question));
        let files = Files::of(question, &sources);
        let memory = Memory::of(question, &sources);
        let problems = between
            .iter()
            .filter_map(|between| between.heartbeat_problem.clone());
        Self {
            bounds: bounds::bounds(question, &sources, between.as_ref(), &files, &memory),
            problems: problems.collect(),
            churn: Churn::of(question, &sources),
            opening: Opening::of(question),
            kernel: KernelNeeds::of(question),
            processor: Processor::of(question),
            aws: Aws::of(question, &sources, memory.server.total_bytes),
            question: question.clone(),
            sources,
            between,
            files,
            memory,
        }
    }

    /// Whether every bound is wide enough and nothing else is wrong.
    pub fn fits(&self) -> bool {
        self.problems.is_empty() && self.bounds.iter().all(|bound| bound.is_enough)
    }

    /// Whether the plan fits, and what binds first, in words.
    pub const fn verdict(&self) -> Verdict<'_> {
        Verdict(self)
    }

    /// What the connections need, section by section; each begins with an empty line.
    pub const fn sections(&self) -> Sections<'_> {
        Sections(self)
    }

    fn tight_bounds(&self) -> impl Iterator<Item = &Bound> {
        self.bounds.iter().filter(|bound| !bound.is_enough)
    }

    /// What has to be there, in a sentence.
    fn needs(&self) -> String {
        let (sources, memory) = (&self.sources, &self.memory);
        let between = self.between.as_ref().map(|between| {
            format!(
                ", {} of the {}",
                between.nat.counted(between.addresses_needed_count),
                between.nat.name()
            )
        });
        format!(
            "It takes {sources} with {ports} ports each{between}, {server} of memory on the server, and \
             {client} on {machines}.",
            sources = counted(
                sources.proposed_count(),
                "source address",
                "source addresses"
            ),
            ports = Grouped(sources.ports_planned_count()),
            between = between.unwrap_or_default(),
            server = Bytes(memory.server.total_bytes),
            client = Bytes(memory.client.total_bytes),
            machines = match sources.machines_count {
                1 => "the client machine".to_owned(),
                count => format!("each of {} client machines", Grouped(count)),
            },
        )
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.verdict(), self.sections())
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(answer) = self;
        let connections = Grouped(answer.question.connections_count());
        let fits = if answer.fits() { "fit" } else { "do not fit" };
        paragraph(f, &format!("{connections} connections {fits} this plan."))?;
        for (index, bound) in answer.tight_bounds().enumerate() {
            let order = if index == 0 {
                "Binds first"
            } else {
                "And then"
            };
            let remedy = bound.limit.remedy();
            paragraph(f, &format!("{order}: {bound}; to hold more, {remedy}."))?;
        }
        for problem in &answer.problems {
            paragraph(f, &format!("Wrong: {problem}."))?;
        }
        paragraph(f, &answer.needs())?;
        match (answer.tight_bounds().next(), answer.bounds.first()) {
            (None, Some(bound)) => paragraph(f, &format!("The first to bind with more: {bound}.")),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Sections<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(answer) = self;
        write!(f, "{}", answer.sources)?;
        if let Some(between) = &answer.between {
            write!(f, "{between}")?;
        }
        write!(
            f,
            "{}{}{}{}{}{}{}",
            answer.churn,
            answer.files,
            answer.memory,
            answer.opening,
            answer.kernel,
            answer.processor,
            answer.aws
        )
    }
}

/// Serialises a value as its words.
fn in_words<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests;
