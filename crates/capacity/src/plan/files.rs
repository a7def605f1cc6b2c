//! The files that each end needs: one for each connection, and some beside.

use std::fmt;

use serde::Serialize;

use super::{
    Program, Question, SourcePlan,
    question::DESCRIPTORS_BESIDE,
    sources::counted,
    text::{heading, row, sentence},
};
use crate::{End, Grouped, Tables};

/// Descriptors and open files of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Files {
    /// `RLIMIT_NOFILE` of a server that holds all connections in one process with one table.
    pub server_one_process_count: u64,
    /// The same of a client machine, for its share.
    pub client_one_process_count: u64,
    /// Open files of a machine that has both ends.
    pub both_on_one_machine_count: u64,
    /// `RLIMIT_NOFILE` that the plan supposes on the server.
    pub server_descriptors_max: u64,
    /// Connections for which the server has descriptors there, in as many tables as it can have.
    pub server_connections_max_count: u64,
    /// How the server keeps the connections there.
    pub server: TablesPlan,
    /// How each crowd of ours keeps its share, when it has `RLIMIT_NOFILE` of the client machine.
    pub client: TablesPlan,
}

/// How one process keeps its connections in tables of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TablesPlan {
    /// Threads that hold connections.
    pub shards_count: u16,
    /// Tables of descriptors: one, or one for each shard.
    pub tables_count: u64,
    /// Connections for which these have descriptors.
    pub connections_max_count: u64,
}

impl Files {
    pub(super) fn of(question: &Question, sources: &SourcePlan) -> Self {
        let connections = question.connections_count();
        let share = sources.connections_per_machine_count;
        let one_process = |connections: u64| connections.saturating_add(DESCRIPTORS_BESIDE);
        let client = question.client.layout(End::Crowd, share);
        let client = TablesPlan {
            shards_count: client.shards,
            tables_count: client.tables_count(),
            connections_max_count: client.connections_max_at(question.client.descriptors_max),
        };
        Self {
            server_one_process_count: one_process(connections),
            client_one_process_count: one_process(share),
            both_on_one_machine_count: one_process(connections).saturating_mul(2),
            server_descriptors_max: question.server.descriptors_max,
            server_connections_max_count: TablesPlan::of_server(question, u64::MAX)
                .connections_max_count,
            server: TablesPlan::of_server(question, connections),
            client,
        }
    }
}

impl TablesPlan {
    fn of_server(question: &Question, connections: u64) -> Self {
        let limit = question.server.descriptors_max;
        let layout = question.server_layout(connections);
        Self {
            shards_count: layout.shards,
            tables_count: layout.tables_count(),
            connections_max_count: match question.program {
                Program::Fourtuple => layout.connections_max_at(limit),
                Program::Other { .. } => limit.saturating_sub(DESCRIPTORS_BESIDE),
            },
        }
    }

    /// `106 shards with a table each`.
    fn words(&self) -> String {
        let shards = counted(self.shards_count.into(), "shard", "shards");
        let tables = match self.tables() {
            Tables::PerShard => "a table each",
            Tables::PerProcess => "one table",
        };
        format!("{shards} with {tables}")
    }

    const fn tables(&self) -> Tables {
        // One shard's own table is a process's as well.
        if self.tables_count > 1 {
            Tables::PerShard
        } else {
            Tables::PerProcess
        }
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "Files")?;
        row(
            f,
            "server in one process",
            Grouped(self.server_one_process_count),
            "RLIMIT_NOFILE, and fs.nr_open not below it",
        )?;
        row(
            f,
            "each client machine",
            Grouped(self.client_one_process_count),
            "the same in one process",
        )?;
        row(
            f,
            "both on one machine",
            Grouped(self.both_on_one_machine_count),
            "fs.file-max, two files for each connection",
        )?;
        sentence(
            f,
            &format!(
                "With RLIMIT_NOFILE {}, a server keeps them as {}, which is room for {}; a crowd of ours \
                 keeps its share as {}.",
                Grouped(self.server_descriptors_max),
                self.server.words(),
                Grouped(self.server.connections_max_count),
                self.client.words(),
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;
    use crate::{
        Kernel,
        plan::{Clients, Host, PHOENIX_RECORD},
    };

    fn files(question: &Question) -> Files {
        Files::of(question, &SourcePlan::of(question))
    }

    fn two_million() -> Question {
        Question::new(NonZero::new(2_000_000).expect("not zero"))
    }

    #[test]
    fn a_file_for_each_connection_and_some_beside() {
        let files = files(&Question {
            clients: NonZero::new(34).map(Clients::Machines),
            ..two_million()
        });
        assert_eq!(files.server_one_process_count, 2_001_024);
        assert_eq!(files.client_one_process_count, 58_824 + 1_024);
        assert_eq!(files.both_on_one_machine_count, 4_002_048);
    }

    /// The machine of the run of two million: 2 cores, 20,000 descriptors to a table.
    #[test]
    fn small_tables_are_many() {
        let host = Host {
            kernel: Kernel::Uring,
            cores_count: 2,
            descriptors_max: 20_000,
            ..Host::default()
        };
        let files = files(&Question {
            clients: NonZero::new(34).map(Clients::Sources),
            server: host,
            client: host,
            ..two_million()
        });
        assert_eq!(
            (files.server.shards_count, files.server.tables_count),
            (106, 106)
        );
        assert_eq!(
            (files.client.shards_count, files.client.tables_count),
            (101, 101)
        );
        assert!(files.server.connections_max_count >= 2_000_000);
        // With 1,024 shards.
        assert!((18_000_000..20_000_000).contains(&files.server_connections_max_count));
        assert!(
            files.to_string().contains("106 shards with a table each"),
            "{files}"
        );
    }

    #[test]
    fn another_program_has_one_table() {
        let files = files(&Question {
            program: PHOENIX_RECORD,
            ..two_million()
        });
        assert_eq!(files.server.tables_count, 1);
        assert_eq!(files.server.connections_max_count, (1 << 20) - 1_024);
        assert!(
            files.to_string().contains("1 shard with one table"),
            "{files}"
        );
    }

    #[test]
    fn nothing_overflows() {
        let files = files(&Question::new(NonZero::<u64>::MAX));
        assert_eq!(files.both_on_one_machine_count, u64::MAX);
    }
}
