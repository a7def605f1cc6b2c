//! A machine as Linux sets it up, with this or that limit changed.

use proptest::prelude::*;

use super::*;
use crate::{Kernel, Machine, plan::Program};

const OTHER: Program = Program::Other {
    bytes_per_connection: 41_000,
};

/// A machine of two cores with 24 GB, as Linux sets it up.
fn survey(change: &[(Limit, &str, Option<u64>)]) -> Survey {
    let mut known = vec![
        (Limit::Descriptors, "20000", Some(10)),
        (Limit::DescriptorCeiling, "1048576", None),
        (Limit::OpenFiles, "2466170", Some(540)),
        (Limit::EpollWatches, "5000000", None),
        (Limit::Tuples, "64512", None),
        (Limit::PortRange, "28232", None),
        (Limit::AcceptQueue, "4096", None),
        (Limit::TcpMemory, "287898 383867 575796", Some(85)),
        (Limit::Conntrack, "262144", Some(100)),
        (Limit::Threads, "192730", Some(300)),
        (Limit::Memory, "24000000000", Some(1_000_000_000)),
        (Limit::ProcessIds, "32768", Some(300)),
        (Limit::MemoryMaps, "65530", Some(40)),
        (Limit::UserProcesses, "96365", None),
        (Limit::SynCookies, "1", None),
        (Limit::AbortOnOverflow, "0", None),
    ];
    for replaced in change {
        known.retain(|(limit, ..)| *limit != replaced.0);
        known.push(*replaced);
    }
    Survey::of(Machine::with_descriptors(20_000), &known)
}

fn diagnose(connections: u64, role: Side, program: Program) -> Diagnosis {
    Diagnosis::of(&survey(&[]), &Demand::new(connections, role, program))
}

fn verdict(diagnosis: &Diagnosis, limit: Limit) -> Option<Verdict> {
    let found = diagnosis.findings().iter().find(|it| it.limit == limit);
    found.map(|it| it.verdict)
}

#[test]
fn what_fits_fits() {
    let diagnosis = diagnose(4_000, Side::Server, OTHER);
    assert_eq!(diagnosis.fits(), Some(true), "{diagnosis}");
    assert!(
        diagnosis
            .findings()
            .iter()
            .all(|it| it.verdict == Verdict::Fits || it.verdict == Verdict::Slows)
    );
}

#[test]
fn one_table_of_descriptors_stops_others_and_not_ours() {
    let others = diagnose(100_000, Side::Server, OTHER);
    assert_eq!(others.fits(), Some(false));
    let binding = others.binding().expect("something binds");
    assert_eq!(
        (binding.limit, binding.need),
        (Limit::Descriptors, Some(101_024))
    );
    assert_eq!(
        binding.change.as_ref().map(|it| it.to.as_str()),
        Some("101024")
    );
    let ours = diagnose(100_000, Side::Server, Program::Fourtuple);
    assert_eq!(
        verdict(&ours, Limit::Descriptors),
        Some(Verdict::Fits),
        "{ours}"
    );
    let watches = ours
        .findings()
        .iter()
        .find(|it| it.limit == Limit::EpollWatches);
    let need = watches.and_then(|it| it.need);
    assert_eq!(need, None, "io_uring watches without epoll");
}

#[test]
fn both_ends_on_one_machine_need_two_files_each() {
    let diagnosis = diagnose(1_300_000, Side::Both, Program::Fourtuple);
    assert_eq!(verdict(&diagnosis, Limit::OpenFiles), Some(Verdict::Stops));
    let files = diagnosis
        .findings()
        .iter()
        .find(|it| it.limit == Limit::OpenFiles);
    assert_eq!(files.and_then(|it| it.need), Some(540 + 2_600_000 + 1_024));
    let exempt = Machine {
        is_file_max_exempt: true,
        ..Machine::with_descriptors(20_000)
    };
    let mut survey = survey(&[]);
    survey.machine = exempt;
    let demand = Demand::new(1_300_000, Side::Both, Program::Fourtuple);
    let diagnosis = Diagnosis::of(&survey, &demand);
    assert_eq!(verdict(&diagnosis, Limit::OpenFiles), Some(Verdict::Slows));
}

#[test]
fn a_client_needs_tuples_and_a_server_does_not() {
    let server = diagnose(19_000, Side::Server, OTHER);
    assert_eq!(verdict(&server, Limit::Tuples), None);
    let client = diagnose(100_000, Side::Client, Program::Fourtuple);
    assert_eq!(verdict(&client, Limit::Tuples), Some(Verdict::Stops));
    let mut demand = Demand::new(100_000, Side::Client, Program::Fourtuple);
    demand.sources = Some(2);
    let enough = Diagnosis::of(&survey(&[]), &demand);
    assert_eq!(verdict(&enough, Limit::Tuples), Some(Verdict::Fits));
    // Who leaves the port to the kernel has fewer: 28,232 of each address.
    let kernel = diagnose(30_000, Side::Client, OTHER);
    assert_eq!(verdict(&kernel, Limit::PortRange), Some(Verdict::Stops));
    let change = kernel
        .changes()
        .into_iter()
        .find(|it| it.limit == Limit::PortRange);
    assert_eq!(change.map(|it| it.to), Some("1024 65535".to_owned()));
}

#[test]
fn a_sysctl_of_three_numbers_stays_in_order() {
    let diagnosis = diagnose(2_000_000, Side::Server, Program::Fourtuple);
    let change = diagnosis
        .changes()
        .into_iter()
        .find(|it| it.limit == Limit::TcpMemory);
    assert_eq!(
        change.map(|it| it.to),
        Some("2000085 2000085 2000085".to_owned()),
        "a broadcast of ours rests from the first mark on"
    );
    let low = survey(&[(Limit::ReceiveBuffers, "4096 131072 6291456", None)]);
    assert!(
        low.reading(Limit::ReceiveBuffers)
            .is_ok_and(|it| it.value == 131_072)
    );
}

#[test]
fn an_empty_conntrack_table_stops_nobody() {
    let with = |used| {
        let survey = survey(&[(Limit::Conntrack, "262144", Some(used))]);
        let mut survey = survey;
        survey.sockets_count = Some(7);
        let demand = Demand::new(300_000, Side::Server, Program::Fourtuple);
        verdict(&Diagnosis::of(&survey, &demand), Limit::Conntrack)
    };
    assert_eq!(with(100), Some(Verdict::Stops));
    assert_eq!(with(0), Some(Verdict::Fits));
}

#[test]
fn what_cannot_be_read_is_said_and_decides_nothing_else() {
    let mut survey = survey(&[]);
    survey.forget(
        Limit::Threads,
        Unknown::Denied("/proc/sys/kernel/threads-max".to_owned()),
    );
    let demand = Demand::new(1_000, Side::Server, OTHER);
    let diagnosis = Diagnosis::of(&survey, &demand);
    assert_eq!(diagnosis.fits(), None);
    assert!(
        diagnosis
            .to_string()
            .contains("may not be read by this user"),
        "{diagnosis}"
    );
    let demand = Demand::new(100_000, Side::Server, OTHER);
    assert_eq!(Diagnosis::of(&survey, &demand).fits(), Some(false));
}

#[test]
fn switches_that_hurt_are_named() {
    let survey = survey(&[(Limit::AbortOnOverflow, "1", None)]);
    let demand = Demand::new(1_000, Side::Server, OTHER);
    let diagnosis = Diagnosis::of(&survey, &demand);
    assert_eq!(
        verdict(&diagnosis, Limit::AbortOnOverflow),
        Some(Verdict::Slows)
    );
    assert_eq!(diagnosis.fits(), Some(true));
    let change = diagnosis
        .changes()
        .into_iter()
        .find(|it| it.limit == Limit::AbortOnOverflow);
    assert_eq!(
        change.map(|it| (it.from, it.to)),
        Some(("1".to_owned(), "0".to_owned()))
    );
}

#[test]
fn a_diagnosis_is_read_from_the_top() {
    let text = diagnose(2_000_000, Side::Both, OTHER).to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("2,000,000 connections, both ends"),
        "{text}"
    );
    assert!(lines[0].ends_with("do NOT fit on this machine"), "{text}");
    assert!(
        lines[2].starts_with(
            "binds first: RLIMIT_NOFILE is 20,000 files; needed 2,001,024, which is enough for 18,976"
        ),
        "{text}"
    );
    assert!(
        text.contains("symptom   EMFILE (too many open files)"),
        "{text}"
    );
    assert!(
        text.contains("`sysctl -w net.ipv4.tcp_mem=\"287898 2000085 2000085"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn what_a_limit_allows_is_enough_and_a_little_more_is_not(
        connections in 1..3_000_000_u64,
        nofile in 2_000..3_000_000_u64,
    ) {
        let text = nofile.to_string();
        let mut survey = survey(&[(Limit::Descriptors, &text, Some(3))]);
        survey.machine = Machine::with_descriptors(nofile);
        let demand = |connections| Demand::new(connections, Side::Server, OTHER);
        let of = |connections| {
            let diagnosis = Diagnosis::of(&survey, &demand(connections));
            verdict(&diagnosis, Limit::Descriptors)
        };
        let fits = connections + 1_024 <= nofile;
        prop_assert_eq!(of(connections) == Some(Verdict::Fits), fits);
    }

    #[test]
    fn no_numbers_overflow(connections: u64, rate: u64, sources in 0..u64::MAX, destinations: u64) {
        for role in [Side::Server, Side::Client, Side::Both] {
            for program in [OTHER, Program::Fourtuple] {
                let demand = Demand {
                    connects_per_second: rate,
                    sources: Some(sources),
                    destinations,
                    kernel: Kernel::Epoll,
                    ..Demand::new(connections, role, program)
                };
                let diagnosis = Diagnosis::of(&survey(&[]), &demand);
                prop_assert!(!diagnosis.to_string().is_empty());
            }
        }
    }
}
