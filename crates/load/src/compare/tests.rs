//! Runs that differ by a known amount, and runs that do not.

use super::*;
use crate::record::{Figure, Kind, Moment, Overview, Row, Setting};

/// A run of thirty periods whose rate and latency scatter by a tenth around these.
fn run(seed: u64, rate: f64, median_us: f64) -> Record {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut noisy = |mean: f64| mean * (0.9 + 0.2 * random.f64());
    let mut record = Record {
        name: "ws://h/".to_owned(),
        status: Status::Met,
        plan: vec![Setting::new("rate", "5/s"), Setting::new("script", seed)],
        ..Record::default()
    };
    let periods = (0..30).map(|number| {
        let mut moment = Moment::default();
        (moment.at_ms, moment.covered_ms) = (number * 1_000, 1_000);
        moment.counts.received = noisy(rate) as u64;
        let p50_us = noisy(median_us) as u64;
        let seen = crate::Percentiles {
            count: 100,
            p50_us,
            p90_us: 2 * p50_us,
            p99_us: 3 * p50_us,
            ..crate::Percentiles::default()
        };
        moment.latency.insert("join".to_owned(), seen);
        moment
    });
    record.timeline = Overview {
        periods: periods.collect(),
        ..Overview::default()
    };
    let mut row = Row::default();
    (row.name, row.title) = ("join".to_owned(), "join".to_owned());
    let percentiles = &mut row.percentiles;
    percentiles.p50_us = noisy(median_us) as u64;
    (percentiles.p90_us, percentiles.p99_us) = (2 * percentiles.p50_us, 3 * percentiles.p50_us);
    for (name, value) in [
        ("p50_us", percentiles.p50_us),
        ("p90_us", percentiles.p90_us),
        ("p99_us", percentiles.p99_us),
    ] {
        row.bounds_us
            .insert(name.to_owned(), (value * 97 / 100, value * 103 / 100));
    }
    record.latencies = vec![row];
    record
}

fn worse(before: &Record, after: &Record) -> Vec<String> {
    let all = compare(
        std::slice::from_ref(before),
        std::slice::from_ref(after),
        false,
    );
    let all = all.expect("the same plan").changes.into_iter();
    all.filter(|change| change.verdict != Judgement::Noise)
        .map(|change| change.metric)
        .collect()
}

#[test]
fn two_runs_of_the_same_are_noise_and_a_shift_of_a_fifth_is_found() {
    let (mut alarms, mut missed) = (0, 0);
    for seed in 0..200 {
        let before = run(seed, 1_000.0, 2_000.0);
        alarms += u32::from(!worse(&before, &run(seed + 1_000, 1_000.0, 2_000.0)).is_empty());
        let shifted = worse(&before, &run(seed + 2_000, 800.0, 2_600.0));
        let is_found = |name: &str| shifted.iter().any(|metric| metric == name);
        missed += u32::from(!is_found("messages received per second") || !is_found("join, median"));
    }
    assert!(alarms <= 10, "{alarms} of 200 called a change");
    assert!(missed <= 10, "{missed} of 200 shifts not found");
}

#[test]
fn other_plans_are_refused_and_say_in_what_they_differ() {
    let (before, mut after) = (run(1, 9.0, 9.0), run(2, 9.0, 9.0));
    after.plan[0].value = "7/s".to_owned();
    let all = |force| {
        compare(
            std::slice::from_ref(&before),
            std::slice::from_ref(&after),
            force,
        )
    };
    let refusal = all(false).expect_err("another rate").to_string();
    assert!(refusal.contains("rate (5/s and 7/s)"), "{refusal}");
    let forced = all(true).expect("forced");
    assert_eq!(forced.plan_differences.len(), 1);
    after.kind = Kind::Script;
    let kinds = compare(
        std::slice::from_ref(&before),
        std::slice::from_ref(&after),
        true,
    );
    assert!(kinds.is_err() && compare(&[], &[after], true).is_err());
}

#[test]
fn more_failures_and_a_verdict_that_is_lost_are_worse() {
    let failing = |ready: f64, failed: f64| {
        let mut record = run(3, 100.0, 100.0);
        let figure = |name: &str, value| Figure::new(name, name, value, "", Better::Neither);
        record.figures = vec![
            figure("connections_ready", ready),
            figure("connections_not_opened", failed),
        ];
        record
    };
    let (good, bad) = (failing(1_000.0, 0.0), failing(950.0, 50.0));
    assert_eq!(worse(&good, &bad), ["connections that did not get up"]);
    assert_eq!(worse(&good, &failing(999.0, 1.0)), [""; 0]);
    let mut lost = good.clone();
    lost.status = Status::NotMet;
    assert_eq!(worse(&good, &lost), ["runs that held"]);
    let text = compare(&[good], &[bad], false).expect("the same plan");
    assert!(
        text.is_worse() && text.to_string().contains("WORSE: 1"),
        "{text}"
    );
    assert!(text.to_json().contains("\"verdict\": \"worse\""));
}

#[test]
fn an_outage_is_a_change_however_it_looks() {
    let sending = |received: fn(u64) -> u64| {
        let mut record = run(5, 1_000.0, 2_000.0);
        for (number, one) in (0..).zip(&mut record.timeline.periods) {
            (one.counts.sent, one.counts.received) = (100, received(number));
        }
        record
    };
    let before = sending(|number| 1_000 + number % 7);
    // From the second third on nothing comes any more, or nothing comes at all.
    for received in [
        (|number| if number < 10 { 1_000 } else { 0 }) as fn(u64) -> u64,
        |_| 0,
    ] {
        let after = sending(received);
        assert_eq!(worse(&before, &after), ["messages received per second"]);
    }
    let all = compare(&[sending(|_| 0)], &[before], false).expect("the same plan");
    let received = |one: &&Change| one.metric == "messages received per second";
    let received = all.changes.iter().find(received).expect("it is compared");
    assert_eq!(
        (received.before, received.verdict),
        (0.0, Judgement::Better)
    );
    assert!(
        !all.changes
            .iter()
            .any(|one| one.metric == "answers per second")
    );
}

#[test]
fn runs_are_the_samples_of_both_sides_or_of_none() {
    let runs =
        |count: u64, rate| -> Vec<_> { (0..count).map(|seed| run(seed, rate, 2e3)).collect() };
    for (before, after, what) in [
        (3, 3, "the runs"),
        (3, 2, "the periods"),
        (2, 4, "the periods"),
    ] {
        let all = compare(&runs(before, 1e3), &runs(after, 5e2), false).expect("the same plan");
        let received = |one: &&Change| one.metric == "messages received per second";
        let received = all.changes.iter().find(received).expect("it is compared");
        assert_eq!(received.why, format!("more than the spread of {what}"));
    }
}

#[test]
fn a_share_that_is_sure_and_that_nobody_would_act_on_is_noise() {
    let losing = |lost: f64| {
        let mut record = run(3, 100.0, 100.0);
        let figure = |name: &str, value| Figure::new(name, name, value, "", Better::Neither);
        record.figures = vec![
            figure("deliveries_lost", lost),
            figure("deliveries_received", 1e9),
        ];
        record
    };
    assert_eq!(worse(&losing(0.0), &losing(5e4)), [""; 0]);
    assert_eq!(worse(&losing(0.0), &losing(2e5)), ["deliveries lost"]);
}
