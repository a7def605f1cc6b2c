//! What a node decides before it starts: how many connections, in how many shards, with whose
//! descriptors. And how it says so.

use std::fmt::Write as _;

use capacity::{End, Grouped, Holds, Kernel, Layout, Limit, Machine, Shortage, Tables};
use engine::Steering;

use crate::config::{AdminListen, Config};

/// Clients that come back at once after a server was away, and should find room in the accept queues.
const STORM: u64 = 100_000;

/// Slots beyond the connections that one table of descriptors holds, for those that are greeting,
/// being refused or saying goodbye.
const LOBBY: u32 = 4_096;

/// The size of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Its shards and their tables.
    pub(crate) layout: Layout,
    /// Connections that it holds at most, over all shards.
    pub(crate) connections_max: u32,
    /// Connections that one shard holds at most.
    pub(crate) shard_connections_max: u32,
    /// Connections that one shard has slots for, in all phases.
    pub(crate) shard_slots_max: u32,
    /// Shards that take new connections at a time, when there are more than cores.
    pub(crate) shards_at_a_time: Option<u16>,
    holds: Holds,
    /// How many were asked for.
    wanted: Option<u32>,
    /// Connections that may wait to be accepted, over all shards.
    accept_queues: u64,
}

impl Plan {
    /// Decides for a machine on which shards may have such tables.
    pub(crate) fn new(
        config: &Config,
        machine: &Machine,
        kernel: Kernel,
        possible: Tables,
    ) -> Self {
        let wanted = config.limits.connections_max;
        let cores = Layout {
            admin_connections: match config.admin.listen {
                AdminListen::Off => 0,
                AdminListen::Auto | AdminListen::At(_) => config.admin.connections_max,
            },
            ..Layout::of_cores(machine, End::Server, kernel)
        };
        let layout = match wanted {
            Some(wanted) => cores.for_connections(wanted.into(), config.shards, possible, machine),
            None => Layout {
                shards: config.shards.unwrap_or(cores.shards),
                ..cores
            },
        };
        let mut holds = Holds::with(&layout, machine);
        if let Some(remedy) = remedy(config, &holds, possible) {
            holds = holds.or_rather(remedy);
        }
        let held = narrow(holds.connections_max);
        let connections_max = wanted.map_or(held, |wanted| wanted.min(held));
        let (seats, slots) = match layout.tables {
            // The kernel may give all of them to one shard.
            Tables::PerProcess => (connections_max, connections_max.saturating_add(LOBBY)),
            Tables::PerShard => {
                let seats = layout.shard_connections_max(machine);
                (narrow(seats), narrow(seats.saturating_add(layout.lobby())))
            }
        };
        let backlog = config.limits.backlog.unsigned_abs().into();
        let queue = machine.accept_queue_max.unwrap_or(u64::MAX).min(backlog);
        Self {
            layout,
            connections_max,
            shard_connections_max: seats.min(connections_max),
            shard_slots_max: slots.min(connections_max.saturating_add(LOBBY)),
            shards_at_a_time: (layout.shards > cores.shards).then_some(cores.shards),
            holds,
            wanted,
            accept_queues: queue.saturating_mul(layout.shards.into()),
        }
    }

    /// A node of so many connections for which nothing else is a limit.
    pub(crate) fn boundless(connections_max: u32) -> Self {
        let layout = Layout {
            end: End::Server,
            kernel: Kernel::Epoll,
            shards: 1,
            tables: Tables::PerProcess,
            admin_connections: 0,
        };
        Self {
            layout,
            connections_max,
            shard_connections_max: connections_max,
            shard_slots_max: connections_max.saturating_add(LOBBY),
            shards_at_a_time: None,
            holds: Holds::with(&layout, &Machine::read()),
            wanted: None,
            accept_queues: u64::MAX,
        }
    }

    /// How connections are led to few shards at a time. The share of a shard is what it gets when all
    /// have the same.
    pub(crate) fn steering(&self) -> Option<Steering> {
        let shards = self.layout.shards;
        let share = self.connections_max.div_ceil(shards.into()).max(1);
        let steering = |at_a_time| Steering::new(shards, at_a_time, share);
        self.shards_at_a_time
            .map(|at_a_time| steering(at_a_time).with_seats(self.shard_connections_max))
    }

    /// What cannot be held at all; the words say which limit, and what raises it.
    pub(crate) fn no_room(&self) -> Option<Holds> {
        (self.holds.connections_max == 0).then_some(self.holds)
    }

    /// What more connections than it holds would meet first.
    pub(crate) fn binding(&self) -> Limit {
        match self.wanted {
            Some(wanted) if self.connections_max == wanted => Limit::ServerConnections,
            _ => self.holds.limit,
        }
    }

    /// How many connections it is made for, whether they fit or not.
    pub(crate) fn connections_wanted(&self) -> u32 {
        self.wanted.unwrap_or(self.connections_max)
    }

    /// What the node can hold, and what is to be known of it; sentences, each on a line.
    pub(crate) fn words(&self) -> String {
        let mut words = format!("{}\n", self.holds);
        let Some(wanted) = self.wanted else {
            return words;
        };
        let held = Grouped(self.connections_max.into());
        // Writing to a String does not fail.
        let _ = match Shortage::of_holds(wanted.into(), self.holds) {
            Some(shortage) => writeln!(
                words,
                "limits.connections_max asks for {}, and {held} is what fits: {shortage}",
                Grouped(wanted.into())
            ),
            None => writeln!(words, "limits.connections_max keeps it at {held}"),
        };
        if self.layout.tables == Tables::PerShard && self.layout.kernel == Kernel::Epoll {
            let _ = writeln!(
                words,
                "{} shards have a table of descriptors each",
                self.layout.shards
            );
        }
        let at_once = STORM.min(self.connections_max.into());
        if self.accept_queues < at_once {
            let _ = writeln!(
                words,
                "if {} clients connect at once, {} can wait for it ({} and limits.backlog, on each \
                 shard) and the others try again after a second or more; to have more wait, {}",
                Grouped(at_once),
                Grouped(self.accept_queues),
                Limit::AcceptQueue.name(),
                Limit::AcceptQueue.remedy(),
            );
        }
        words
    }
}

/// What an operator does about descriptors, where raising their limit is not the only way.
fn remedy(config: &Config, holds: &Holds, possible: Tables) -> Option<&'static str> {
    if possible == Tables::PerProcess {
        return None;
    }
    match (config.limits.connections_max, config.shards) {
        (None, None) => Some(
            "ask for them with `--max-connections N`, which starts as many shards as it takes, each \
             with descriptors of its own",
        ),
        (None, Some(_)) => Some(
            "ask for them with `--max-connections N`, which gives each shard descriptors of its own",
        ),
        (Some(_), Some(_)) => Some("allow more shards (`--shards`)"),
        (Some(wanted), None) if holds.connections_max >= wanted.into() => {
            Some("ask for more with `--max-connections`, which starts more shards")
        }
        (Some(_), None) => None,
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use capacity::Nofile;

    use super::*;

    /// Two cores, 20,000 descriptors, and nothing else that is a limit.
    fn machine() -> Machine {
        Machine {
            nofile: Nofile {
                soft: 20_000,
                hard: 20_000,
            },
            nr_open: None,
            file_max: None,
            epoll_watches_max: None,
            accept_queue_max: Some(4_096),
            memory_available_bytes: None,
            cores_count: 2,
            ..Machine::read()
        }
    }

    fn plan(connections_max: Option<u32>, shards: Option<u16>, possible: Tables) -> Plan {
        let mut config = Config {
            shards,
            ..Config::default()
        };
        config.limits.connections_max = connections_max;
        Plan::new(&config, &machine(), Kernel::Epoll, possible)
    }

    fn assert_says(plan: &Plan, words: &str) {
        assert!(plan.words().contains(words), "{}", plan.words());
    }

    #[test]
    fn without_a_wish_there_is_a_shard_per_core_and_one_table() {
        let plan = plan(None, None, Tables::PerShard);
        assert_eq!((plan.layout.shards, plan.connections_max), (2, 19_900));
        assert_eq!(plan.layout.tables, Tables::PerProcess);
        assert_eq!(plan.shard_connections_max, 19_900);
        assert_eq!(plan.shard_slots_max, 19_900 + LOBBY);
        assert_says(
            &plan,
            "to hold more, ask for them with `--max-connections N`",
        );
        assert_eq!(plan.words().lines().count(), 1);
    }

    #[test]
    fn connections_of_the_admin_side_are_no_others() {
        let mut config = Config::default();
        config.admin.connections_max = 1_000;
        let of = |config: &Config| {
            let plan = Plan::new(config, &machine(), Kernel::Epoll, Tables::PerShard);
            plan.connections_max
        };
        // With 3 descriptors for each shard and 40 for the process.
        assert_eq!(of(&config), 20_000 - 1_000 - 46);
        config.admin.listen = AdminListen::Off;
        assert_eq!(of(&config), 19_900);
    }

    #[test]
    fn as_many_shards_start_as_the_wish_needs() {
        let plan = plan(Some(2_000_000), None, Tables::PerShard);
        assert_eq!((plan.layout.shards, plan.connections_max), (106, 2_000_000));
        assert_eq!(plan.layout.tables, Tables::PerShard);
        assert_says(&plan, "for each of 106 shards; to hold more, ask for more");
        assert_says(&plan, "limits.connections_max keeps it at 2,000,000\n");
        assert!(!plan.words().contains("at once"), "{}", plan.words());
    }

    #[test]
    fn a_shard_of_its_own_table_has_slots_for_no_more_than_that() {
        let plan = plan(Some(2_000_000), None, Tables::PerShard);
        let spare = 20_000 - plan.shard_slots_max;
        assert!(spare >= 106 + 3, "wake-ups and the shard's own: {spare}");
        let lobby = plan.shard_slots_max - plan.shard_connections_max;
        assert!(lobby >= 24, "{lobby} are left to be told that it is full");
        let steering = plan.steering().expect("more shards than cores");
        assert_eq!(steering.room(plan.shard_connections_max - 5), 5);
    }

    #[test]
    fn counted_shards_hold_what_they_can_and_are_the_remedy() {
        let plan = plan(Some(2_000_000), Some(2), Tables::PerShard);
        assert_eq!(plan.layout.shards, 2);
        assert!((38_000..39_800).contains(&plan.connections_max));
        assert_says(&plan, "asks for 2,000,000, and 38,");
        assert_says(&plan, "to hold more, allow more shards (`--shards`)\n");
    }

    #[test]
    fn where_tables_cannot_be_divided_the_limit_is_the_remedy() {
        let plan = plan(Some(2_000_000), None, Tables::PerProcess);
        assert_eq!((plan.layout.shards, plan.connections_max), (2, 19_900));
        assert_says(
            &plan,
            "is what fits: 2,000,000 connections need 2,000,100 descriptors",
        );
        assert_says(&plan, "to hold more, raise the limit");
    }

    #[test]
    fn short_accept_queues_are_named_when_they_matter() {
        let few = plan(Some(8_192), None, Tables::PerShard);
        assert!(!few.words().contains("at once"), "{}", few.words());
        let more = plan(Some(8_193), None, Tables::PerShard);
        assert_says(
            &more,
            "if 8,193 clients connect at once, 8,192 can wait for it",
        );
    }

    #[test]
    fn a_machine_without_room_says_so() {
        let machine = Machine {
            memory_available_bytes: Some(0),
            ..machine()
        };
        let plan = Plan::new(
            &Config::default(),
            &machine,
            Kernel::Epoll,
            Tables::PerShard,
        );
        assert_eq!(plan.no_room().map(|holds| holds.limit), Some(Limit::Memory));
    }
}
