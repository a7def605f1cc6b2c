//! Whole plans: what they say first, how wide they are, and what programs read of them.

use std::{num::NonZero, time::Duration};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::Limit;

fn question(connections: u64) -> Question {
    Question::new(NonZero::new(connections).expect("some connections"))
}

fn machines(connections: u64, machines: u64) -> Question {
    Question {
        clients: NonZero::new(machines).map(Clients::Machines),
        ..question(connections)
    }
}

fn verdict(question: &Question) -> String {
    // Lines are for eyes; what is said is asked for here.
    let text = Answer::of(question).verdict().to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_number_alone_is_told_what_it_takes() {
    let answer = Answer::of(&question(2_000_000));
    assert!(answer.fits() && answer.bounds.is_empty());
    let words = verdict(&question(2_000_000));
    assert!(
        words.starts_with(
            "2,000,000 connections fit this plan. It takes 34 source addresses with 60,000 ports each, "
        ),
        "{words}"
    );
    assert!(words.contains("of memory on the server, and "), "{words}");
    assert!(words.ends_with("on each of 34 client machines."), "{words}");
}

#[test]
fn the_tightest_bound_is_first() {
    let plan = Question {
        server_memory_bytes: Some(4_000_000_000),
        nat: Some("aws-nat-gateway:8".parse().expect("a NAT")),
        ..machines(2_000_000, 20)
    };
    let answer = Answer::of(&plan);
    let limits: Vec<_> = answer.bounds.iter().map(|bound| bound.limit).collect();
    assert_eq!(limits, [Limit::NatPorts, Limit::Memory, Limit::Tuples]);
    assert!(
        answer
            .bounds
            .is_sorted_by_key(|bound| bound.connections_max_count)
    );
    assert!(!answer.fits());
    let words = verdict(&plan);
    assert!(
        words.starts_with(
            "2,000,000 connections do not fit this plan. Binds first: ports of a NAT, at 440,000 \
             connections (AWS NAT gateway: 8 addresses × 55,000 ports × 1 destination = 440,000); to \
             hold more, add addresses to the NAT"
        ),
        "{words}"
    );
    assert!(
        words.contains("And then: source tuples, at 1,290,240 connections (20 source addresses × "),
        "{words}"
    );
    assert!(
        words.contains(", 37 addresses of the AWS NAT gateway, "),
        "{words}"
    );
}

#[test]
fn what_binds_later_is_named_when_all_fits() {
    let words = verdict(&Question {
        server_memory_bytes: Some(128_000_000_000),
        ..machines(2_000_000, 34)
    });
    assert!(
        words.contains("The first to bind with more: source tuples, at 2,193,408 connections"),
        "{words}"
    );
}

#[test]
fn another_program_meets_its_one_table() {
    let plan = Question {
        program: PHOENIX_RECORD,
        ..question(2_000_000)
    };
    let bound = Answer::of(&plan).bounds.remove(0);
    assert_eq!((bound.limit, bound.is_enough), (Limit::Descriptors, false));
    assert_eq!(bound.connections_max_count, (1 << 20) - 1_024);
}

#[test]
fn descriptors_bind_when_no_number_of_shards_has_enough() {
    let plan = Question {
        server: Host {
            descriptors_max: 2_000,
            ..Host::default()
        },
        ..question(2_000_000)
    };
    let answer = Answer::of(&plan);
    assert_eq!(answer.bounds.len(), 1);
    assert_eq!(answer.bounds[0].limit, Limit::Descriptors);
    assert!(!answer.fits());
}

#[test]
fn a_heartbeat_that_comes_too_late_is_an_error_of_the_plan() {
    let plan = Question {
        heartbeat: Some(Duration::from_secs(400)),
        nat: Some("aws-nat-gateway:37".parse().expect("a NAT")),
        ..question(2_000_000)
    };
    let answer = Answer::of(&plan);
    assert!(answer.bounds.iter().all(|bound| bound.is_enough));
    assert!(!answer.fits());
    let words = verdict(&plan);
    assert!(words.contains("do not fit"), "{words}");
    assert!(
        words
            .contains("Wrong: a heartbeat every 400 s comes too late: the AWS NAT gateway forgets"),
        "{words}"
    );
}

/// Every number in `value`, with the name that it has.
fn numbers<'a>(name: &'a str, value: &'a Value, found: &mut Vec<(&'a str, &'a Value)>) {
    match value {
        Value::Number(_) => found.push((name, value)),
        Value::Array(items) => items.iter().for_each(|item| numbers(name, item, found)),
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| numbers(name, value, found)),
        _ => {}
    }
}

#[test]
fn programs_read_numbers_whose_names_have_units() {
    let answer = Answer::of(&Question {
        server_memory_bytes: Some(128_000_000_000),
        message_interval: Some(Duration::from_secs(60)),
        nat: Some("azure-nat-gateway:2".parse().expect("a NAT")),
        program: PHOENIX_RECORD,
        destinations: Some("10.0.0.1:4000".parse().expect("a destination")),
        ..machines(2_000_000, 34)
    });
    let json = serde_json::to_value(&answer).expect("an answer is numbers and words");
    let mut found = Vec::new();
    numbers("", &json, &mut found);
    assert!(found.len() > 60, "{}", found.len());
    let units = [
        "_count",
        "bytes",
        "second",
        "_cores",
        "cores_",
        "descriptors_max",
    ];
    for (name, _) in found {
        assert!(units.iter().any(|unit| name.contains(unit)), "{name}");
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}"
        );
    }
    for (path, expected) in [
        ("/question/connections_count", Value::from(2_000_000)),
        ("/question/clients/machines_count", Value::from(34)),
        ("/question/heartbeat_seconds", Value::from(30.0)),
        ("/question/ports", Value::from("1024-65535")),
        ("/question/nat", Value::from("azure-nat-gateway:2")),
        ("/question/destinations", Value::from("10.0.0.1:4000")),
        ("/question/server/kernel", Value::from("io_uring")),
        ("/bounds/0/limit", Value::from("ports of a NAT")),
        ("/bounds/0/connections_max_count", Value::from(100_000)),
        ("/sources/needed/safe_count", Value::from(34)),
        ("/sources/is_enough", Value::from(true)),
        ("/between/gateways_needed_count", Value::from(3)),
        ("/churn/closes_per_second_per_pair", Value::from(833)),
        ("/files/server_one_process_count", Value::from(2_001_024)),
        ("/opening/ramp_seconds", Value::from(400.0)),
        ("/kernel/conntrack_entries_count", Value::from(2_400_000)),
        ("/aws/nat_gateways_needed_count", Value::from(5)),
    ] {
        assert_eq!(json.pointer(path), Some(&expected), "{path}");
    }
}

#[test]
fn a_section_for_each_thing() {
    let text = Answer::of(&question(2_000_000)).to_string();
    let headings: Vec<_> = text
        .split("\n\n")
        .skip(1)
        .map(|section| section.lines().next().unwrap_or_default())
        .collect();
    assert_eq!(
        headings,
        [
            "Source addresses",
            "Closing and opening again",
            "Files",
            "Memory",
            "Opening",
            "Tables of the kernel",
            "Processor of the server",
            "On AWS",
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_plan_has_an_answer_of_a_hundred_columns(
        connections in 1..100_000_000_u64,
        memory in proptest::option::of(any::<u64>()),
        clients in 1..1_000_000_u64,
        heartbeat in any::<u32>(),
        interval in any::<u32>(),
        rate in 1..10_000_000_u64,
        nat in proptest::option::of(proptest::sample::select(
            vec!["linux:4", "aws-nlb", "aws-nat-gateway:8", "azure-nat-gateway:40", "proxy:2"],
        )),
        is_tls in any::<bool>(),
        is_ours in any::<bool>(),
        ports in proptest::sample::select(vec!["1024-65535", "32768-60999", "9-9"]),
    ) {
        let plan = Question {
            server_memory_bytes: memory,
            heartbeat: Some(Duration::from_secs(heartbeat.into())),
            message_interval: Some(Duration::from_millis(interval.into())),
            nat: nat.map(|nat| nat.parse().expect("a NAT")),
            connects_per_second: NonZero::new(rate).expect("not zero"),
            is_tls,
            program: if is_ours { Program::Fourtuple } else { PHOENIX_RECORD },
            ports: ports.parse().expect("a range"),
            ..machines(connections, clients)
        };
        let answer = Answer::of(&plan);
        let fits = answer.bounds.iter().all(|bound| bound.connections_max_count >= connections);
        prop_assert_eq!(answer.fits(), fits && answer.problems.is_empty());
        prop_assert!(serde_json::to_string(&answer).is_ok());
        for line in answer.to_string().lines() {
            prop_assert!(line.chars().count() <= 100, "{} columns: {}", line.chars().count(), line);
        }
    }

    #[test]
    fn no_number_is_too_large(connections in 1..=u64::MAX, clients in 1..=u64::MAX) {
        let plan = Question {
            server_memory_bytes: Some(clients),
            nat: Some(Nat {
                kind: NatKind::AzureNatGateway,
                addresses: NonZero::new(clients).expect("not zero"),
            }),
            connects_per_second: NonZero::new(connections).expect("not zero"),
            program: Program::Other { bytes_per_connection: u64::MAX },
            is_tls: true,
            ..machines(connections, clients)
        };
        prop_assert!(!Answer::of(&plan).to_string().is_empty());
    }
}
