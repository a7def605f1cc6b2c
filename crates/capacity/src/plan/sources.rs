//! How many source addresses connections need, and whether those at hand are enough.
//!
//! ```text
//!  source addresses × ports of each × destinations ≥ connections
//! ```

use std::fmt;

use serde::Serialize;

use super::{
    Clients, Ports, Question,
    text::{heading, row, sentence},
};
use crate::{
    Grouped,
    tuples::{PORTS_COUNT, addresses_needed, connections_possible},
};

/// What an address is planned for towards one destination: all of its ports but some 4,500, so that what
/// is closing, and what else the machine dials, finds one, too.
pub const SAFE_PORTS_COUNT: u64 = 60_000;

/// The source addresses of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourcePlan {
    /// (address, port) pairs that clients dial.
    pub destinations_count: u64,
    /// The source ports of each address.
    pub ports: Ports,
    /// How many there are.
    pub ports_per_address_count: u64,
    /// Source addresses that the connections need, by how many ports of each are used.
    pub needed: SourcesNeeded,
    /// Source addresses: those at hand, or what the safe figure asks for.
    pub addresses_count: u64,
    /// Whether these are at hand.
    pub is_given: bool,
    /// Machines that have them.
    pub machines_count: u64,
    /// Connections of a machine, at most.
    pub connections_per_machine_count: u64,
    /// Connections of an address, at most.
    pub connections_per_address_count: u64,
    /// Connections that these addresses can have.
    pub connections_max_count: u64,
    /// Whether they are enough.
    pub is_enough: bool,
    /// Whether no address has more connections to one destination than the safe figure.
    pub is_safe: bool,
}

/// How many source addresses connections need; each is a machine with one address, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SourcesNeeded {
    /// With the ports among which Linux chooses by itself, 28,232.
    pub default_range_count: u64,
    /// With half of these, 14,116, before a connect becomes slow.
    pub below_knee_count: u64,
    /// With the safe figure, 60,000.
    pub safe_count: u64,
    /// With every port that needs no privilege, 64,512.
    pub all_ports_count: u64,
    /// With the ports that the plan is asked for.
    pub asked_range_count: u64,
}

impl SourcesNeeded {
    /// What `connections` to `destinations` (address, port) pairs need.
    ///
    /// # Panics
    ///
    /// When `destinations` is zero.
    pub fn of(connections: u64, destinations: u64, ports: Ports) -> Self {
        let needed = |count| addresses_needed(connections, destinations, count);
        Self {
            default_range_count: needed(Ports::KERNELS_CHOICE.count()),
            below_knee_count: needed(Ports::KERNELS_CHOICE.below_knee_count()),
            safe_count: needed(SAFE_PORTS_COUNT),
            all_ports_count: needed(PORTS_COUNT),
            asked_range_count: needed(ports.count()),
        }
    }
}

impl SourcePlan {
    pub(super) fn of(question: &Question) -> Self {
        let connections = question.connections_count();
        let destinations = question.destinations_count();
        let seen = question
            .nat
            .map_or(destinations, |nat| nat.destinations_seen(destinations));
        let ports = question.ports;
        let safe = planned(ports);
        let (addresses, machines) = match question.clients {
            Some(Clients::Sources(addresses)) => (addresses.get(), 1),
            Some(Clients::Machines(machines)) => (machines.get(), machines.get()),
            None => {
                let needed = addresses_needed(connections, seen, safe);
                (needed, needed)
            }
        };
        let per_address = connections.div_ceil(addresses);
        let connections_max = connections_possible(addresses, seen, ports.count());
        Self {
            destinations_count: seen,
            ports,
            ports_per_address_count: ports.count(),
            needed: SourcesNeeded::of(connections, seen, ports),
            addresses_count: addresses,
            is_given: question.clients.is_some(),
            machines_count: machines,
            connections_per_machine_count: connections.div_ceil(machines),
            connections_per_address_count: per_address,
            connections_max_count: connections_max,
            is_enough: connections_max >= connections,
            is_safe: per_address.div_ceil(seen) <= safe,
        }
    }

    /// How many ports of an address are planned with: the safe figure, or all if there are fewer.
    pub(super) fn ports_planned_count(&self) -> u64 {
        planned(self.ports)
    }

    /// How many source addresses a plan proposes.
    pub(super) fn proposed_count(&self) -> u64 {
        // Fewer ports need more addresses, so this is what the lesser of the two numbers needs.
        self.needed.safe_count.max(self.needed.asked_range_count)
    }

    /// What multiplies to the connections that there can be: numbers and their names.
    pub(super) fn factors(&self) -> Vec<(u64, &'static str)> {
        vec![
            (self.addresses_count, "source addresses"),
            (self.ports_per_address_count, "source ports of each"),
            (self.destinations_count, "destination address : port"),
        ]
    }

    /// The product of these in words, which says how many connections there can be.
    pub(super) fn product(&self) -> String {
        format!(
            "{} × {} ports × {} = {}",
            counted(self.addresses_count, "source address", "source addresses"),
            Grouped(self.ports_per_address_count),
            counted(self.destinations_count, "destination", "destinations"),
            Grouped(self.connections_max_count),
        )
    }
}

fn planned(ports: Ports) -> u64 {
    ports.count().min(SAFE_PORTS_COUNT)
}

/// A number with its noun.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", Grouped(count), if count == 1 { one } else { many })
}

impl fmt::Display for SourcePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "Source addresses")?;
        let needed = &self.needed;
        row(
            f,
            "with 60,000 ports each",
            Grouped(needed.safe_count),
            "the safe figure; some are left for what is closing",
        )?;
        row(
            f,
            "with 64,512",
            Grouped(needed.all_ports_count),
            "1024-65535, if the program chooses the port",
        )?;
        row(
            f,
            "with 28,232",
            Grouped(needed.default_range_count),
            "32768-60999, the kernel's choice by default",
        )?;
        row(
            f,
            "with 14,116",
            Grouped(needed.below_knee_count),
            "half of these, before connects take 100 times as long",
        )?;
        if self.ports != Ports::ALL && self.ports != Ports::KERNELS_CHOICE {
            row(
                f,
                &format!("with {}", Grouped(self.ports_per_address_count)),
                Grouped(needed.asked_range_count),
                &format!("{}, as asked", self.ports),
            )?;
        }
        row(
            f,
            "addresses in this plan",
            Grouped(self.addresses_count),
            &format!("on {}", counted(self.machines_count, "machine", "machines")),
        )?;
        row(
            f,
            "connections of each",
            Grouped(self.connections_per_address_count),
            &format!(
                "at most, and {} of each machine",
                Grouped(self.connections_per_machine_count)
            ),
        )?;
        sentence(f, &format!("{} tuples.", self.product()))?;
        if self.is_enough && !self.is_safe {
            sentence(
                f,
                "That is enough, but more of an address than the safe figure: what closes keeps its \
                 tuple for a minute, and nothing else may dial from there.",
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::Nat;

    fn question(connections: u64) -> Question {
        Question::new(NonZero::new(connections).expect("some connections"))
    }

    fn given(connections: u64, clients: fn(NonZero<u64>) -> Clients, count: u64) -> SourcePlan {
        SourcePlan::of(&Question {
            clients: NonZero::new(count).map(clients),
            ..question(connections)
        })
    }

    /// The published table of source addresses needed for one destination.
    #[test]
    fn needed_for_one_destination() {
        for (connections, default_range, below_knee, safe, all_ports) in [
            (100_000, 4, 8, 2, 2),
            (1_000_000, 36, 71, 17, 16),
            (2_000_000, 71, 142, 34, 32),
            (5_000_000, 178, 355, 84, 78),
            (10_000_000, 355, 709, 167, 156),
        ] {
            let needed = SourcesNeeded::of(connections, 1, Ports::ALL);
            let expected = SourcesNeeded {
                default_range_count: default_range,
                below_knee_count: below_knee,
                safe_count: safe,
                all_ports_count: all_ports,
                asked_range_count: all_ports,
            };
            assert_eq!(needed, expected, "{connections}");
        }
    }

    #[test]
    fn sixteen_ports_of_the_server_need_a_sixteenth() {
        let plan = SourcePlan::of(&Question {
            destinations: Some("10.0.0.1:4000-4015".parse().expect("16 ports")),
            ..question(2_000_000)
        });
        assert_eq!(plan.needed.default_range_count, 5);
        assert_eq!(plan.needed.all_ports_count, 2);
        assert_eq!((plan.addresses_count, plan.machines_count), (3, 3));
        assert!(plan.is_enough && plan.is_safe && !plan.is_given);
    }

    #[test]
    fn machines_have_one_address_and_a_share_each() {
        let plan = given(2_000_000, Clients::Machines, 34);
        assert_eq!((plan.addresses_count, plan.machines_count), (34, 34));
        assert_eq!(plan.connections_per_machine_count, 58_824);
        assert!(plan.is_enough && plan.is_safe && plan.is_given);
        let one = given(2_000_000, Clients::Sources, 34);
        assert_eq!((one.addresses_count, one.machines_count), (34, 1));
        assert_eq!(one.connections_per_machine_count, 2_000_000);
        assert_eq!(one.connections_per_address_count, 58_824);
    }

    #[test]
    fn enough_is_not_safe_and_one_less_is_not_enough() {
        let plan = given(2_000_000, Clients::Machines, 32);
        assert!(plan.is_enough && !plan.is_safe);
        assert!(
            plan.to_string()
                .contains("more of an address than the safe figure")
        );
        let plan = given(2_000_000, Clients::Machines, 31);
        assert!(!plan.is_enough);
        assert_eq!(plan.connections_max_count, 31 * 64_512);
    }

    #[test]
    fn a_range_that_is_asked_for_is_planned_with() {
        let plan = SourcePlan::of(&Question {
            ports: "20000-29999".parse().expect("10,000 ports"),
            ..question(2_000_000)
        });
        assert_eq!(plan.needed.asked_range_count, 200);
        assert_eq!((plan.addresses_count, plan.proposed_count()), (200, 200));
        assert_eq!(plan.ports_planned_count(), 10_000);
        assert!(plan.is_enough && plan.is_safe);
        assert!(plan.to_string().contains("20000-29999, as asked"), "{plan}");
    }

    #[test]
    fn a_proxy_is_dialled_at_its_own_addresses() {
        let nat: Nat = "proxy:4".parse().expect("a proxy");
        let plan = SourcePlan::of(&Question {
            nat: Some(nat),
            ..question(2_000_000)
        });
        assert_eq!(plan.destinations_count, 4);
        assert_eq!(plan.needed.all_ports_count, 8);
    }

    proptest! {
        #[test]
        fn more_connections_need_no_fewer_addresses(
            connections in 1..u64::MAX,
            more in 0..u64::MAX,
            destinations in 1..=1_000_000_u64,
        ) {
            let less = SourcesNeeded::of(connections, destinations, Ports::ALL);
            let most = SourcesNeeded::of(connections.saturating_add(more), destinations, Ports::ALL);
            prop_assert!(most.safe_count >= less.safe_count);
            prop_assert!(most.below_knee_count >= less.below_knee_count);
            // And fewer ports never need fewer addresses.
            prop_assert!(less.below_knee_count >= less.default_range_count);
            prop_assert!(less.default_range_count >= less.safe_count);
            prop_assert!(less.safe_count >= less.all_ports_count);
        }

        #[test]
        fn what_a_plan_proposes_is_enough_and_safe(connections in 1..=u64::MAX) {
            let plan = SourcePlan::of(&question(connections));
            prop_assert!(plan.is_enough && plan.is_safe);
            prop_assert!(plan.connections_per_machine_count <= SAFE_PORTS_COUNT);
        }

        #[test]
        fn shares_add_up(connections in 1..=u64::MAX, machines in 1..=u64::MAX) {
            let plan = given(connections, Clients::Machines, machines);
            let all = u128::from(plan.connections_per_machine_count) * u128::from(machines);
            prop_assert!(all >= u128::from(connections));
            prop_assert_eq!(plan.is_enough, plan.connections_max_count >= connections);
            prop_assert!(!plan.to_string().is_empty());
        }
    }
}
