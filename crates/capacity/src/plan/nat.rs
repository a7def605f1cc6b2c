//! What is between clients and server and dials in the name of the clients: a NAT, a load balancer, a
//! proxy. The tuples of its own addresses are what connections share then.
//!
//! ```text
//!  any number of clients  ►  addresses of the NAT × ports of each  ►  destinations
//! ```

use std::{fmt, num::NonZero, str::FromStr};

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::{
    Question,
    sources::counted,
    text::{heading, row, sentence},
};
use crate::{Grouped, tuples::PORTS_COUNT};

/// A kind of NAT and how many addresses it has, as `KIND` or `KIND:ADDRESSES`.
///
/// ```
/// use fourtuple_capacity::plan::{Nat, NatKind};
///
/// let nat: Nat = "aws-nat-gateway:8".parse()?;
/// assert_eq!((nat.kind, nat.addresses.get()), (NatKind::AwsNatGateway, 8));
/// # Ok::<(), fourtuple_capacity::plan::NatError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Whose rules hold.
    pub kind: NatKind,
    /// Addresses from which it dials; of an NLB, the targets (address and port) to which it does.
    pub addresses: NonZero<u64>,
}

/// The kinds whose limits are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NatKind {
    /// Linux with a masquerading or source NAT rule.
    Linux,
    /// A NAT gateway of AWS.
    AwsNatGateway,
    /// A NAT gateway of Azure.
    AzureNatGateway,
    /// A network load balancer of AWS that does not preserve the addresses of clients.
    AwsNlb,
    /// A proxy that makes a connection of its own for each client's: nginx, haproxy, Envoy.
    Proxy,
}

/// Why a text names no NAT.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NatError {
    /// The word before the colon is none of the kinds.
    #[error(
        "`{text}` is not a NAT that is known here: expected linux, aws-nat-gateway, azure-nat-gateway, \
         aws-nlb or proxy, with the number of its addresses (of an NLB, of its targets) after a colon, \
         such as linux:4"
    )]
    UnknownKind {
        /// What was given.
        text: String,
    },
    /// What follows the colon is no number of addresses.
    #[error(
        "`{text}` has no number of addresses after its colon: expected 1 or more, such as linux:4"
    )]
    NotACount {
        /// What was given.
        text: String,
    },
}

/// What is known of a kind.
struct Rules {
    word: &'static str,
    name: &'static str,
    /// Connections of one address to one destination.
    ports: u64,
    /// The most addresses of one gateway, where it has such a limit.
    addresses_max: Option<u64>,
    idle_timeout_seconds: u64,
    idle_timeout_source: &'static str,
    collapses: &'static str,
}

impl NatKind {
    const ALL: [Self; 5] = [
        Self::Linux,
        Self::AwsNatGateway,
        Self::AzureNatGateway,
        Self::AwsNlb,
        Self::Proxy,
    ];

    /// How many gateways so many addresses are, or one where there is no limit on them.
    pub(super) const fn gateways_needed(self, addresses: u64) -> u64 {
        match self.rules().addresses_max {
            Some(most) => addresses.div_ceil(most),
            None => 1,
        }
    }

    const fn rules(self) -> Rules {
        match self {
            Self::Linux => Rules {
                word: "linux",
                name: "NAT on Linux",
                ports: PORTS_COUNT,
                addresses_max: None,
                idle_timeout_seconds: 432_000,
                idle_timeout_source: "nf_conntrack_tcp_timeout_established",
                collapses: "All clients behind it become its own addresses. It remembers each connection, \
                            so net.netfilter.nf_conntrack_max bounds it, too.",
            },
            Self::AwsNatGateway => Rules {
                word: "aws-nat-gateway",
                name: "AWS NAT gateway",
                ports: 55_000,
                addresses_max: Some(8),
                idle_timeout_seconds: 350,
                idle_timeout_source: "fixed by AWS",
                collapses: "All clients behind it become its own addresses, at most 8 of a gateway, which \
                            are 440,000 connections to one destination; more take more gateways, each \
                            with subnets of its own.",
            },
            Self::AzureNatGateway => Rules {
                word: "azure-nat-gateway",
                name: "Azure NAT gateway",
                // An address has 64,512 ports; towards one destination it uses these.
                ports: 50_000,
                addresses_max: Some(16),
                idle_timeout_seconds: 240,
                idle_timeout_source: "4 minutes, may be set to 120",
                collapses: "All clients behind it become its own addresses, at most 16 of a gateway, each \
                            with 64,512 ports, of which 50,000 may go to the same destination.",
            },
            Self::AwsNlb => Rules {
                word: "aws-nlb",
                name: "AWS NLB without client addresses",
                ports: 55_000,
                addresses_max: None,
                idle_timeout_seconds: 350,
                idle_timeout_source: "tcp.idle_timeout.seconds, may be set to 6,000",
                collapses: "The targets see the addresses of the NLB. To each target (address and port) \
                            there are 55,000 connections; preserving the addresses of clients lifts that.",
            },
            Self::Proxy => Rules {
                word: "proxy",
                name: "proxy",
                ports: PORTS_COUNT,
                addresses_max: None,
                idle_timeout_seconds: 60,
                idle_timeout_source: "proxy_read_timeout of nginx where it is not set",
                collapses: "A proxy is a client of its upstream: the server sees its addresses, and it \
                            holds two files for each connection.",
            },
        }
    }
}

impl Nat {
    /// How many connections it carries to `destinations` (address, port) pairs.
    pub fn connections_max(&self, destinations: u64) -> u64 {
        self.addresses
            .get()
            .saturating_mul(self.connections_per_address(destinations))
    }

    /// How many addresses (of an NLB, targets) `connections` to `destinations` pairs need.
    ///
    /// # Panics
    ///
    /// When `destinations` is zero.
    pub fn addresses_needed(&self, connections: u64, destinations: u64) -> u64 {
        assert!(destinations > 0, "nowhere to connect to");
        connections.div_ceil(self.connections_per_address(destinations))
    }

    /// How many destinations clients see: a proxy answers at its own addresses, one port of each.
    pub(super) fn destinations_seen(&self, destinations: u64) -> u64 {
        match self.kind {
            NatKind::Proxy => self.addresses.get(),
            _ => destinations,
        }
    }

    /// How many destinations its addresses are there for once more each.
    pub(super) const fn destinations_dialled(&self, destinations: u64) -> u64 {
        match self.kind {
            // What is counted is the targets already.
            NatKind::AwsNlb => 1,
            _ => destinations,
        }
    }

    /// How many connections one address has to one destination.
    pub(super) const fn ports_count(&self) -> u64 {
        self.kind.rules().ports
    }

    /// What it is called.
    pub(super) const fn name(&self) -> &'static str {
        self.kind.rules().name
    }

    /// So many of what [`Nat::addresses`] counts.
    pub(super) fn counted(&self, count: u64) -> String {
        match self.kind {
            NatKind::AwsNlb => counted(count, "target", "targets"),
            _ => counted(count, "address", "addresses"),
        }
    }

    const fn connections_per_address(&self, destinations: u64) -> u64 {
        self.ports_count()
            .saturating_mul(self.destinations_dialled(destinations))
    }
}

impl FromStr for Nat {
    type Err = NatError;

    fn from_str(text: &str) -> Result<Self, NatError> {
        let (word, count) = text.split_once(':').unwrap_or((text, "1"));
        let kind = NatKind::ALL
            .into_iter()
            .find(|kind| kind.rules().word == word.trim());
        let Some(kind) = kind else {
            return Err(NatError::UnknownKind {
                text: text.to_owned(),
            });
        };
        let addresses = count.trim().parse().map_err(|_| NatError::NotACount {
            text: text.to_owned(),
        })?;
        Ok(Self { kind, addresses })
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.rules().word, self.addresses)
    }
}

impl Serialize for Nat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a NAT does to the connections of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Between {
    /// Which it is, as it was given.
    pub nat: Nat,
    /// Connections of one address (or to one target of an NLB) towards one destination.
    pub ports_per_address_count: u64,
    /// Connections that it carries as it is.
    pub connections_max_count: u64,
    /// Addresses (of an NLB, targets) that the connections need.
    pub addresses_needed_count: u64,
    /// Gateways that so many addresses need, where one has a limit on them.
    pub gateways_needed_count: Option<u64>,
    /// Seconds of silence after which it forgets a connection.
    pub idle_timeout_seconds: u64,
    /// What is wrong with the heartbeat of the plan, in words.
    pub heartbeat_problem: Option<String>,
}

impl Between {
    pub(super) fn of(nat: Nat, question: &Question) -> Self {
        let rules = nat.kind.rules();
        let destinations = question.destinations_count();
        let needed = nat.addresses_needed(question.connections_count(), destinations);
        Self {
            nat,
            ports_per_address_count: rules.ports,
            connections_max_count: nat.connections_max(destinations),
            addresses_needed_count: needed,
            gateways_needed_count: rules
                .addresses_max
                .map(|_| nat.kind.gateways_needed(needed)),
            idle_timeout_seconds: rules.idle_timeout_seconds,
            heartbeat_problem: heartbeat_problem(&rules, question.heartbeat_seconds()),
        }
    }

    /// What multiplies to the connections that it carries to `destinations` pairs: numbers and their names.
    pub(super) fn factors(&self, destinations: u64) -> Vec<(u64, &'static str)> {
        let addresses = self.nat.addresses.get();
        let ports = self.ports_per_address_count;
        match self.nat.kind {
            NatKind::AwsNlb => vec![(addresses, "targets"), (ports, "connections to each")],
            _ => vec![
                (addresses, "addresses in between"),
                (ports, "ports of each"),
                (destinations, "destination address : port"),
            ],
        }
    }

    /// The product of these in words.
    pub(super) fn product(&self, destinations: u64) -> String {
        let destinations = match self.nat.kind {
            NatKind::AwsNlb => String::new(),
            _ => format!(
                " × {}",
                counted(destinations, "destination", "destinations")
            ),
        };
        format!(
            "{}: {} × {} ports{destinations} = {}",
            self.nat.name(),
            self.nat.counted(self.nat.addresses.get()),
            Grouped(self.ports_per_address_count),
            Grouped(self.connections_max_count)
        )
    }
}

/// Why connections would be forgotten although both ends hold them.
fn heartbeat_problem(rules: &Rules, heartbeat_seconds: Option<f64>) -> Option<String> {
    let timeout = rules.idle_timeout_seconds;
    let what = match heartbeat_seconds {
        Some(seconds) if seconds < timeout as f64 => return None,
        Some(seconds) => format!("a heartbeat every {seconds} s comes too late"),
        None => "without a heartbeat, connections that are silent are lost".to_owned(),
    };
    Some(format!(
        "{what}: the {name} forgets a connection after {timeout} s of silence ({source}); send heartbeats \
         more often, such as every {every} s",
        name = rules.name,
        timeout = Grouped(timeout),
        source = rules.idle_timeout_source,
        every = super::HEARTBEAT.as_secs(),
    ))
}

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.nat.kind.rules();
        heading(f, &format!("In between: {}", rules.name))?;
        row(
            f,
            "it carries",
            Grouped(self.connections_max_count),
            &format!(
                "{} with {} connections each",
                self.nat.counted(self.nat.addresses.get()),
                Grouped(rules.ports)
            ),
        )?;
        let needed = self.nat.counted(self.addresses_needed_count);
        let gateways = self.gateways_needed_count.map(|gateways| {
            let gateways = counted(gateways, "gateway", "gateways");
            format!(" of {gateways}")
        });
        row(
            f,
            "all connections need",
            "",
            &format!("{needed}{}", gateways.unwrap_or_default()),
        )?;
        row(
            f,
            "forgets after, s",
            Grouped(self.idle_timeout_seconds),
            &format!("of silence; {}", rules.idle_timeout_source),
        )?;
        sentence(f, rules.collapses)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn nat(text: &str) -> Nat {
        text.parse().expect(text)
    }

    fn question(connections: u64) -> Question {
        Question::new(NonZero::new(connections).expect("some connections"))
    }

    #[test]
    fn kinds_and_counts_are_read_and_written() {
        for text in [
            "linux:4",
            "aws-nat-gateway:8",
            "azure-nat-gateway:2",
            "aws-nlb:37",
            "proxy:2",
        ] {
            assert_eq!(nat(text).to_string(), text);
        }
        assert_eq!(nat("aws-nlb").addresses.get(), 1);
        assert_eq!(nat("linux : 4"), nat("linux:4"));
    }

    #[test]
    fn errors_say_what_was_expected() {
        for (text, words) in [
            ("", "expected linux, aws-nat-gateway"),
            ("gcp-nat:4", "expected linux, aws-nat-gateway"),
            ("4", "expected linux, aws-nat-gateway"),
            ("linux:", "expected 1 or more"),
            ("linux:0", "expected 1 or more"),
            ("linux:-1", "expected 1 or more"),
            ("linux:4:4", "expected 1 or more"),
        ] {
            let error = text.parse::<Nat>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    /// What two million connections to one destination need, by the published limits.
    #[test]
    fn two_million_behind_each_kind() {
        for (text, carries, needed, gateways) in [
            ("linux:4", 258_048, 32, None),
            ("aws-nat-gateway:1", 55_000, 37, Some(5)),
            ("aws-nat-gateway:8", 440_000, 37, Some(5)),
            ("azure-nat-gateway:2", 100_000, 40, Some(3)),
            ("aws-nlb", 55_000, 37, None),
            ("proxy:2", 129_024, 32, None),
        ] {
            let between = Between::of(nat(text), &question(2_000_000));
            assert_eq!(between.connections_max_count, carries, "{text}");
            assert_eq!(between.addresses_needed_count, needed, "{text}");
            assert_eq!(between.gateways_needed_count, gateways, "{text}");
        }
    }

    #[test]
    fn more_destinations_help_everything_but_an_nlb_whose_targets_are_counted() {
        assert_eq!(nat("linux:1").connections_max(16), 16 * 64_512);
        assert_eq!(nat("aws-nat-gateway").addresses_needed(2_000_000, 16), 3);
        assert_eq!(nat("aws-nlb:2").connections_max(16), 110_000);
    }

    #[test]
    fn a_heartbeat_has_to_be_earlier_than_the_end_of_patience() {
        let problem = |text: &str, heartbeat: Option<u64>| {
            let question = Question {
                heartbeat: heartbeat.map(Duration::from_secs),
                ..question(1)
            };
            Between::of(nat(text), &question).heartbeat_problem
        };
        assert_eq!(problem("aws-nat-gateway", Some(349)), None);
        assert_eq!(problem("linux", Some(7_200)), None);
        let late = problem("aws-nat-gateway", Some(350)).expect("as late as it can be");
        assert!(
            late.starts_with("a heartbeat every 350 s comes too late"),
            "{late}"
        );
        assert!(late.contains("after 350 s of silence"), "{late}");
        for none in [None, Some(0)] {
            let silent = problem("aws-nlb", none).expect("nothing keeps it open");
            assert!(silent.starts_with("without a heartbeat"), "{silent}");
        }
    }

    proptest! {
        #[test]
        fn the_need_is_enough_and_one_less_is_not(
            connections in 1..u64::from(u32::MAX),
            destinations in 1..10_000_u64,
            kind in proptest::sample::select(NatKind::ALL.to_vec()),
        ) {
            let of = |addresses| Nat { kind, addresses };
            let needed = of(NonZero::<u64>::MIN).addresses_needed(connections, destinations);
            let enough = NonZero::new(needed).expect("some connections need some address");
            prop_assert!(of(enough).connections_max(destinations) >= connections);
            if let Some(fewer) = NonZero::new(needed - 1) {
                prop_assert!(of(fewer).connections_max(destinations) < connections);
            }
        }

        #[test]
        fn nothing_overflows(addresses in 1..=u64::MAX, destinations in 1..=u64::MAX) {
            for kind in NatKind::ALL {
                let nat = Nat { kind, addresses: NonZero::new(addresses).expect("not zero") };
                prop_assert!(nat.connections_max(destinations) >= addresses);
                prop_assert!(nat.addresses_needed(u64::MAX, destinations) >= 1);
            }
        }
    }
}
