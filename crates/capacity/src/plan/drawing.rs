//! A plan as a picture of its four-tuples: source addresses and their ports, what is in between, and the
//! one port of the server. As text for a terminal and as SVG for everything else.

mod canvas;
mod svg;

pub use svg::Svg;

use super::{Answer, Between, Destinations, Nat, NatKind, sources::counted};
use crate::Grouped;

/// What both pictures show.
///
/// Its `Display` is the picture in text, at most 78 columns wide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// What it is a picture of, in one line.
    title: String,
    /// The same for those who do not see it.
    description: String,
    sources: Sources,
    /// Lines about what is in between.
    between: Option<[String; 3]>,
    /// Lines about the server.
    server: [String; 3],
    /// The product that counts the tuples of the side that has fewer: its factors and their names.
    factors: Vec<(u64, &'static str)>,
    tuples_count: u64,
    /// Whether these are as many as the connections.
    is_enough: bool,
    /// Each side's product, and what it is for.
    equations: Vec<String>,
}

/// The source addresses of a picture, all alike.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sources {
    count: u64,
    /// `ports 1024-65535`.
    ports: String,
    ports_count: u64,
    /// Ports that each uses towards one destination; more than there are when they are too few.
    used_count: u64,
}

/// A source address in a picture, or the place of those that are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The address of this number, from 1.
    Source(u64),
    /// Some between two others.
    LeftOut,
}

/// What is dialled, where no address of it is known.
const SERVER: &str = "the server";

/// Source addresses that are drawn before some are left out.
const SHOWN_MAX: u64 = 3;

impl Drawing {
    /// The picture of what `answer` plans.
    pub fn of(answer: &Answer) -> Self {
        let (question, sources) = (&answer.question, &answer.sources);
        let connections = question.connections_count();
        let count = Grouped(connections);
        let label = question
            .destinations
            .as_ref()
            .map_or_else(|| SERVER.to_owned(), Destinations::label);
        let destinations = question.destinations_count();
        let listeners = question.destinations.as_ref();
        let is_first_of_more = listeners.is_some_and(|all| all.to_string() != label);
        let more = if is_first_of_more { " and others" } else { "" };
        let title = format!("{count} connections to {label}{more}");
        let targets = question.nat.filter(|nat| nat.kind == NatKind::AwsNlb);
        let mut equations = vec![format!("{} tuples", sources.product())];
        let mut factors = sources.factors();
        let mut tuples_count = sources.connections_max_count;
        if let Some(between) = &answer.between {
            equations.push(format!("{} tuples", between.product(destinations)));
            if between.connections_max_count <= tuples_count {
                factors = between.factors(destinations);
                tuples_count = between.connections_max_count;
            }
        }
        let is_enough = tuples_count >= connections;
        let enough = if is_enough { "enough" } else { "too few" };
        equations.push(format!("{enough} for {count} connections"));
        Self {
            title,
            description: format!("{}.", equations.join("; ")),
            sources: Sources {
                count: sources.addresses_count,
                ports: format!("ports {}", sources.ports),
                ports_count: sources.ports_per_address_count,
                used_count: sources
                    .connections_per_address_count
                    .div_ceil(sources.destinations_count),
            },
            between: answer.between.as_ref().map(|found| between(found, &label)),
            server: [
                if targets.is_some() {
                    SERVER.to_owned()
                } else {
                    label
                },
                match (targets, destinations) {
                    (Some(nat), _) => nat.counted(nat.addresses.get()),
                    (None, 1) => "one port for all".to_owned(),
                    (None, _) => counted(destinations, "destination", "destinations"),
                },
                format!("{count} connections"),
            ],
            factors,
            tuples_count,
            is_enough,
            equations,
        }
    }

    /// The picture as a document of its own.
    pub const fn svg(&self) -> Svg<'_> {
        Svg(self)
    }
}

impl Sources {
    /// Those that are drawn, from the first to the last.
    fn shown(&self) -> Vec<Shown> {
        if self.count <= SHOWN_MAX {
            return (1..=self.count).map(Shown::Source).collect();
        }
        let first = (1..SHOWN_MAX).map(Shown::Source);
        first
            .chain([Shown::LeftOut, Shown::Source(self.count)])
            .collect()
    }

    /// How many ports of an address are taken.
    fn used(&self) -> String {
        let used = Grouped(self.used_count);
        if self.used_count > self.ports_count {
            // More than there are.
            format!("{used} wanted")
        } else {
            format!("{used} in use")
        }
    }
}

/// The lines of what is in between, where `dialled` is what clients dial.
fn between(between: &Between, dialled: &str) -> [String; 3] {
    let Nat { kind, addresses } = between.nat;
    [
        between.nat.name().to_owned(),
        match kind {
            // What clients dial is its own.
            NatKind::AwsNlb => dialled.to_owned(),
            _ => between.nat.counted(addresses.get()),
        },
        format!("{} ports each", Grouped(between.ports_per_address_count)),
    ]
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;
    use crate::plan::{Clients, Question};

    pub(super) fn question(connections: u64, sources: u64) -> Question {
        Question {
            clients: NonZero::new(sources).map(Clients::Sources),
            ..Question::new(NonZero::new(connections).expect("some connections"))
        }
    }

    pub(super) fn drawing(question: &Question) -> Drawing {
        Drawing::of(&Answer::of(question))
    }

    #[test]
    fn few_sources_are_drawn_and_many_are_left_out() {
        let shown = |count| drawing(&question(1, count)).sources.shown();
        assert_eq!(shown(1), [Shown::Source(1)]);
        assert_eq!(shown(3), [1, 2, 3].map(Shown::Source));
        assert_eq!(
            shown(34),
            [
                Shown::Source(1),
                Shown::Source(2),
                Shown::LeftOut,
                Shown::Source(34)
            ]
        );
    }

    #[test]
    fn what_is_too_little_is_said() {
        let short = drawing(&question(2_000_000, 31));
        assert!(!short.is_enough);
        assert_eq!(short.sources.used(), "64,517 wanted");
        assert!(
            short
                .description
                .ends_with("too few for 2,000,000 connections.")
        );
        let enough = drawing(&question(2_000_000, 34));
        assert!(enough.is_enough);
        assert_eq!(enough.sources.used(), "58,824 in use");
    }

    #[test]
    fn the_side_with_fewer_tuples_is_the_one_that_is_multiplied() {
        let behind = drawing(&Question {
            nat: Some("aws-nat-gateway:8".parse().expect("a NAT")),
            ..question(2_000_000, 34)
        });
        assert_eq!(behind.tuples_count, 440_000);
        assert_eq!(behind.factors.len(), 3);
        assert_eq!(
            behind.factors[..2],
            [(8, "addresses in between"), (55_000, "ports of each")]
        );
        assert!(!behind.is_enough);
        let before = drawing(&Question {
            nat: Some("aws-nat-gateway:37".parse().expect("a NAT")),
            ..question(2_000_000, 31)
        });
        assert_eq!(before.factors[0], (31, "source addresses"));
        assert!(!before.is_enough);
    }

    #[test]
    fn the_title_names_the_first_of_several_listeners() {
        let title = |destinations: &str| {
            let question = Question {
                destinations: Some(destinations.parse().expect("destinations")),
                ..question(9, 1)
            };
            drawing(&question).title
        };
        assert_eq!(
            title("10.0.0.1:4000-4015"),
            "9 connections to 10.0.0.1:4000-4015"
        );
        assert_eq!(
            title("10.0.0.1:4000,10.0.0.2:4000"),
            "9 connections to 10.0.0.1:4000 and others"
        );
    }

    #[test]
    fn a_load_balancer_is_dialled_and_dials_its_targets() {
        let balanced = drawing(&Question {
            nat: Some("aws-nlb:37".parse().expect("a load balancer")),
            destinations: Some("10.0.0.1:4000".parse().expect("a destination")),
            ..question(2_000_000, 34)
        });
        let between = balanced.between.expect("a load balancer is in between");
        assert_eq!(between[1], "10.0.0.1:4000");
        assert_eq!(balanced.server[..2], ["the server", "37 targets"]);
        assert_eq!(
            balanced.factors,
            [(37, "targets"), (55_000, "connections to each")]
        );
        assert_eq!(
            balanced.equations[1],
            "AWS NLB without client addresses: 37 targets × 55,000 ports = 2,035,000 tuples"
        );
    }
}
