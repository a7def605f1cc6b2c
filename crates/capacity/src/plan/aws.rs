//! What a plan meets on AWS: addresses of an instance, NAT gateways, load balancers, security groups.

use std::{fmt, num::NonZero};

use serde::Serialize;

use super::{
    Nat, NatKind, Question, SourcePlan,
    sources::counted,
    text::{heading, row, sentence},
};
use crate::{Bytes, Grouped, Limit};

/// The limits of AWS on the connections of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Aws {
    /// What a client instance may have of addresses, small and large.
    pub instances: [InstanceClass; 2],
    /// Addresses of NAT gateways, if clients leave their network through these.
    pub nat_gateway_addresses_needed_count: u64,
    /// Gateways with as many addresses as one may have.
    pub nat_gateways_needed_count: u64,
    /// Targets (address and port) of an NLB that does not preserve the addresses of clients.
    pub nlb_targets_needed_count: u64,
    /// Memory that the server's instance needs.
    pub server_memory_bytes: u64,
}

/// A class of EC2 instances by how many addresses they may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceClass {
    /// A type of the class.
    pub example: &'static str,
    /// Network interfaces of an instance.
    pub interfaces_count: u64,
    /// IPv4 addresses of each.
    pub addresses_per_interface_count: u64,
    /// Addresses of the whole instance.
    pub addresses_count: u64,
    /// Instances that have all source addresses of the plan together.
    pub instances_needed_count: u64,
}

/// Targets of a load balancer in one zone, a quota that can be raised.
const NLB_TARGETS_MAX: u64 = 500;

/// Connections that the security groups of a small instance remember, as measured of an m7i-flex.large.
const TRACKED_EXAMPLE: u64 = 76_957;

impl Aws {
    pub(super) fn of(question: &Question, sources: &SourcePlan, server_memory_bytes: u64) -> Self {
        let connections = question.connections_count();
        let destinations = question.destinations_count();
        let needed = |kind| {
            let one = Nat {
                kind,
                addresses: NonZero::<u64>::MIN,
            };
            one.addresses_needed(connections, destinations)
        };
        let addresses = needed(NatKind::AwsNatGateway);
        Self {
            instances: [
                InstanceClass::new("r5n.large", 3, 10, sources),
                InstanceClass::new("d2.4xlarge", 8, 30, sources),
            ],
            nat_gateway_addresses_needed_count: addresses,
            nat_gateways_needed_count: NatKind::AwsNatGateway.gateways_needed(addresses),
            nlb_targets_needed_count: needed(NatKind::AwsNlb),
            server_memory_bytes,
        }
    }
}

impl InstanceClass {
    fn new(
        example: &'static str,
        interfaces: u64,
        addresses_each: u64,
        sources: &SourcePlan,
    ) -> Self {
        let addresses = interfaces * addresses_each;
        Self {
            example,
            interfaces_count: interfaces,
            addresses_per_interface_count: addresses_each,
            addresses_count: addresses,
            instances_needed_count: sources.addresses_count.div_ceil(addresses),
        }
    }
}

impl fmt::Display for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "On AWS")?;
        for class in &self.instances {
            row(
                f,
                &format!("clients on {}", class.example),
                Grouped(class.instances_needed_count),
                &format!(
                    "{} of {} interfaces × {} addresses",
                    if class.instances_needed_count == 1 {
                        "instance"
                    } else {
                        "instances"
                    },
                    class.interfaces_count,
                    class.addresses_per_interface_count,
                ),
            )?;
        }
        row(
            f,
            "behind NAT gateways",
            Grouped(self.nat_gateways_needed_count),
            &format!(
                "with {}, 55,000 connections each",
                counted(
                    self.nat_gateway_addresses_needed_count,
                    "address",
                    "addresses"
                ),
            ),
        )?;
        row(
            f,
            "behind an NLB",
            Grouped(self.nlb_targets_needed_count),
            &format!(
                "{}, unless it preserves client addresses",
                if self.nlb_targets_needed_count == 1 {
                    "target"
                } else {
                    "targets"
                }
            ),
        )?;
        row(
            f,
            "the server's instance",
            Bytes(self.server_memory_bytes),
            "of memory for the connections alone",
        )?;
        self.write_advice(f)
    }
}

impl Aws {
    /// What is to be known besides the numbers.
    fn write_advice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nlb_targets_needed_count > NLB_TARGETS_MAX {
            sentence(
                f,
                &format!(
                    "An NLB has {NLB_TARGETS_MAX} targets in a zone before its quota is raised."
                ),
            )?;
        }
        sentence(
            f,
            &format!(
                "Security groups remember each connection, as many as the instance type allows ({} on an \
                 m7i-flex.large), and drop new ones in silence: `ethtool -S IF`, \
                 conntrack_allowance_exceeded. To hold more, {}; behind a NAT gateway or an NLB \
                 connections are always remembered.",
                Grouped(TRACKED_EXAMPLE),
                Limit::CloudTracking.remedy(),
            ),
        )?;
        sentence(
            f,
            "NAT gateways and NLBs forget a connection after 350 s of silence. `aws ec2 \
             describe-instance-types` says what a type may have of interfaces and addresses.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Clients;

    fn aws(connections: u64, sources: u64) -> Aws {
        let question = Question {
            clients: NonZero::new(sources).map(Clients::Sources),
            ..Question::new(NonZero::new(connections).expect("some connections"))
        };
        Aws::of(&question, &SourcePlan::of(&question), 9_000_000_000)
    }

    #[test]
    fn thirty_four_addresses_fit_one_large_instance_and_no_small_one() {
        let aws = aws(2_000_000, 34);
        let [small, large] = aws.instances;
        assert_eq!(
            (small.addresses_count, small.instances_needed_count),
            (30, 2)
        );
        assert_eq!(
            (large.addresses_count, large.instances_needed_count),
            (240, 1)
        );
    }

    #[test]
    fn two_million_behind_gateways_and_load_balancers() {
        let aws = aws(2_000_000, 34);
        assert_eq!(aws.nat_gateway_addresses_needed_count, 37);
        assert_eq!(aws.nat_gateways_needed_count, 5);
        assert_eq!(aws.nlb_targets_needed_count, 37);
        assert!(!aws.to_string().contains("quota"));
    }

    #[test]
    fn a_quota_is_named_when_it_is_met() {
        let aws = aws(30_000_000, 500);
        assert_eq!(aws.nlb_targets_needed_count, 546);
        assert!(aws.to_string().contains("500 targets"));
    }
}
