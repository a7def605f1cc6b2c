//! How often connections may be closed and opened again, before the tuples that wait are all of them.

use std::fmt;

use serde::Serialize;

use super::{
    Question, SourcePlan,
    text::{heading, row, sentence},
};
use crate::Grouped;

/// Seconds for which the end that closes first keeps a tuple: TIME_WAIT of Linux, fixed when the kernel is
/// built.
pub const TIME_WAIT_SECONDS: u64 = 60;

/// The rate at which connections may be closed by the end that dialled them, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Churn {
    /// Closes per second of one source address towards one destination.
    pub closes_per_second_per_pair: u64,
    /// Pairs of a source address, or an address of the NAT, and a destination.
    pub pairs_count: u64,
    /// Closes per second of all of them.
    pub closes_per_second: u64,
    /// Tuples that are free while all connections are open: so many may wait at one time.
    pub tuples_free_count: u64,
}

impl Churn {
    pub(super) fn of(question: &Question, sources: &SourcePlan) -> Self {
        let destinations = question.destinations_count();
        let (ports, pairs) = match question.nat {
            Some(nat) => {
                let dialled = nat.destinations_dialled(destinations);
                (
                    nat.ports_count(),
                    nat.addresses.get().saturating_mul(dialled),
                )
            }
            None => {
                let pairs = sources.addresses_count.saturating_mul(destinations);
                (sources.ports_per_address_count, pairs)
            }
        };
        let tuples = ports.saturating_mul(pairs);
        Self {
            closes_per_second_per_pair: ports / TIME_WAIT_SECONDS,
            pairs_count: pairs,
            closes_per_second: tuples / TIME_WAIT_SECONDS,
            tuples_free_count: tuples.saturating_sub(question.connections_count()),
        }
    }
}

impl fmt::Display for Churn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "Closing and opening again")?;
        row(
            f,
            "closes per second",
            Grouped(self.closes_per_second),
            &format!(
                "{} of each source and destination",
                Grouped(self.closes_per_second_per_pair)
            ),
        )?;
        row(
            f,
            "tuples that may wait",
            Grouped(self.tuples_free_count),
            "while all connections are open",
        )?;
        sentence(
            f,
            "If the dialling end closes first, its tuple waits for 60 s; if the server does, the wait is \
             the server's, and the tuple may be used again at once.",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Clients, Ports};

    fn churn(question: &Question) -> Churn {
        Churn::of(question, &SourcePlan::of(question))
    }

    fn question(connections: u64, sources: u64) -> Question {
        Question {
            clients: NonZero::new(sources).map(Clients::Sources),
            ..Question::new(NonZero::new(connections).expect("some connections"))
        }
    }

    #[test]
    fn a_pair_closes_a_sixtieth_of_its_ports_per_second() {
        let default_range = Question {
            ports: Ports::KERNELS_CHOICE,
            ..question(1, 1)
        };
        assert_eq!(churn(&default_range).closes_per_second_per_pair, 470);
        let all = churn(&question(1, 1));
        assert_eq!(all.closes_per_second_per_pair, 1_075);
        assert_eq!(all.closes_per_second, 1_075);
        assert_eq!(all.tuples_free_count, 64_511);
    }

    #[test]
    fn the_whole_is_what_its_pairs_are_together() {
        let whole = churn(&question(2_000_000, 34));
        assert_eq!(whole.pairs_count, 34);
        assert_eq!(whole.closes_per_second, 34 * 64_512 / 60);
        assert_eq!(whole.tuples_free_count, 34 * 64_512 - 2_000_000);
    }

    #[test]
    fn behind_a_nat_its_tuples_wait() {
        let behind = churn(&Question {
            nat: Some("aws-nat-gateway:8".parse().expect("a NAT")),
            ..question(400_000, 100)
        });
        assert_eq!(behind.closes_per_second_per_pair, 55_000 / 60);
        assert_eq!(behind.closes_per_second, 440_000 / 60);
        assert_eq!(behind.tuples_free_count, 40_000);
    }

    proptest! {
        #[test]
        fn more_sources_never_close_fewer(
            connections in 1..=u64::MAX,
            sources in 1..=u64::MAX,
            more in 0..=u64::MAX,
        ) {
            let less = churn(&question(connections, sources));
            let most = churn(&question(connections, sources.saturating_add(more)));
            prop_assert!(most.closes_per_second >= less.closes_per_second);
            prop_assert!(most.tuples_free_count >= less.tuples_free_count);
        }
    }
}
