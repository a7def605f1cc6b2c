//! What bounds the connections of a plan by its own numbers, the tightest first.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{Between, Files, Memory, Program, Question, SourcePlan};
use crate::{Bytes, Grouped, Limit};

/// One limit of a plan, and how many connections it allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// Which limit.
    #[serde(serialize_with = "name_of")]
    pub limit: Limit,
    /// Connections that it allows.
    pub connections_max_count: u64,
    /// Whether these are as many as are asked for.
    pub is_enough: bool,
    /// Where the number is from.
    pub arithmetic: String,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, at {} connections ({})",
            self.limit.name(),
            Grouped(self.connections_max_count),
            self.arithmetic
        )
    }
}

/// Every bound that the plan knows a number of, the tightest first.
pub(super) fn bounds(
    question: &Question,
    sources: &SourcePlan,
    between: Option<&Between>,
    files: &Files,
    memory: &Memory,
) -> Vec<Bound> {
    let bound = |limit, most: u64, arithmetic| Bound {
        limit,
        connections_max_count: most,
        is_enough: most >= question.connections_count(),
        arithmetic,
    };
    let tuples = sources.is_given.then(|| {
        bound(
            Limit::Tuples,
            sources.connections_max_count,
            sources.product(),
        )
    });
    let nat = between.map(|between| {
        let arithmetic = between.product(question.destinations_count());
        bound(Limit::NatPorts, between.connections_max_count, arithmetic)
    });
    let server = memory.server_memory_bytes.zip(memory.connections_max_count);
    let memory = server.map(|(bytes, most)| {
        let arithmetic = format!(
            "{} of the server, and {} for the {} with a message to all on its way",
            Bytes(bytes),
            Bytes(memory.server.total_bytes),
            Grouped(question.connections_count()),
        );
        bound(Limit::Memory, most, arithmetic)
    });
    let most = files.server_connections_max_count;
    let limit = Grouped(files.server_descriptors_max);
    let descriptors = match question.program {
        Program::Other { .. } => Some(format!("RLIMIT_NOFILE {limit}, as supposed of the server")),
        // More shards have more tables, so that only what no number of them holds is worth a word.
        Program::Fourtuple if most >= question.connections_count() => None,
        Program::Fourtuple => Some(format!("RLIMIT_NOFILE {limit} in each shard of the server")),
    };
    let descriptors = descriptors.map(|arithmetic| bound(Limit::Descriptors, most, arithmetic));
    let mut bounds: Vec<_> = [tuples, nat, memory, descriptors]
        .into_iter()
        .flatten()
        .collect();
    // Stable, so that of equal numbers the one that comes first above is named first.
    bounds.sort_by_key(|bound| bound.connections_max_count);
    bounds
}

fn name_of<S: Serializer>(limit: &Limit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(limit.name())
}
