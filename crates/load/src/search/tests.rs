//! Searches over runs that are only pretended, and what options a load means.

use std::time::Instant;

use super::{
    objective::{Kept, Part},
    rest::Rested,
    *,
};
use crate::{
    latency::Percentiles,
    options::Push,
    progress::Silent,
    rate::Rate,
    record::{Status, Trouble},
};

fn asked(axis: Axis, until: &str) -> Search {
    Search {
        axis,
        from: None,
        to: None,
        objective: until.parse().expect(until),
        resolution: "5%".parse().expect("a share"),
        hold: Duration::from_secs(10),
        settle: Duration::ZERO,
    }
}

fn options() -> Options {
    let mut options = Options::new("ws://127.0.0.1:4000/socket".parse().expect("a URL"));
    options.join = Some("room:lobby".parse().expect("a topic"));
    options
}

/// A run with this latency and this share of refused connections.
fn ran(p99_ms: u64, refused: Part, limits: Vec<Trouble>) -> Ran<u64> {
    let percentiles = Percentiles {
        count: 100,
        p99_us: p99_ms * 1_000,
        ..Percentiles::default()
    };
    let record = Record {
        limits,
        ..Record::default()
    };
    Ran {
        observed: Observed {
            latencies: vec![(Kept::Join, percentiles)],
            about: vec![Kept::Join],
            errors: refused,
            ..Observed::default()
        },
        record,
        witnesses: Vec::new(),
        lost: None,
        run: p99_ms,
    }
}

fn seek_with(
    range: (u64, u64),
    run: &mut RunStep<'_, u64>,
) -> Result<SearchReport<u64>, SearchError> {
    let search = asked(Axis::Connections, "p99<200ms");
    seek(
        &search,
        "connections",
        range,
        &mut Silent,
        &Interrupt::new(),
        run,
    )
}

#[test]
fn a_server_with_a_limit_is_found_to_have_one() {
    let report = seek_with((100, 10_000), &mut |load, _| {
        let refused = load.saturating_sub(300);
        Ok(ran(
            3,
            Part {
                count: refused,
                of: load,
            },
            Vec::new(),
        ))
    });
    let report = report.expect("an answer");
    // Up to one per cent of errors is allowed.
    assert_eq!(report.found.answer, Some(300));
    assert_eq!(report.found.broke_at, Some(312));
    assert_eq!(report.found.culprit, Some(Culprit::Server));
    let text = report.to_string();
    assert!(
        text.contains("answer: 300 connections; 312 did not hold"),
        "{text}"
    );
    assert!(
        text.contains("broke first: the server\n  errors<1%: 3.85 %"),
        "{text}"
    );
    assert!(text.contains("join p99<200ms         errors<1%"), "{text}");
    assert_eq!(report.found.steps.len(), 12);
    assert_eq!(report.found.status(), Status::Met);
}

#[test]
fn this_machine_is_the_limit_when_it_cannot_generate_a_load() {
    let met = Trouble {
        text: "file descriptors: EMFILE".to_owned(),
        ..Trouble::default()
    };
    let report = seek_with((100, 10_000), &mut |load, _| {
        let limits = if load > 1_000 {
            vec![met.clone()]
        } else {
            Vec::new()
        };
        Ok(ran(3, Part::default(), limits))
    });
    let found = report.expect("an answer").found;
    assert!(
        (950..=1_000).contains(&found.answer.expect("an answer")),
        "{found:?}"
    );
    assert!(found.is_machine());
    assert_eq!(found.status(), Status::NotGenerated);
    let sources = "127.0.0.2".parse::<capacity::Sources>().expect("sources");
    let report = seek_with(
        (100, 200_000),
        &mut |load, _| match capacity::Shortage::of_tuples(load, sources.count(), 1) {
            Some(shortage) => Err(OptionsError::Shortage(shortage).into()),
            None => Ok(ran(3, Part::default(), Vec::new())),
        },
    );
    let found = report.expect("an answer").found;
    assert!(
        (61_000..=64_512).contains(&found.answer.expect("an answer")),
        "{found:?}"
    );
    assert!(
        found.is_machine() && found.why[0].contains("64,512"),
        "{found:?}"
    );
}

#[test]
fn not_even_the_least_load_holds() {
    let report = seek_with((100, 10_000), &mut |_, _| {
        Ok(ran(900, Part::default(), Vec::new()))
    });
    let found = report.expect("no answer is none").found;
    assert_eq!((found.answer, found.broke_at), (None, Some(100)));
    assert_eq!((found.steps.len(), found.status()), (2, Status::NotMet));
    assert!(
        found.to_string().contains("no answer: 100 did not hold"),
        "{found}"
    );
}

#[test]
fn an_interrupt_ends_it_and_the_last_step_says_nothing() {
    let interrupt = Interrupt::new();
    let search = asked(Axis::Connections, "p99<200ms");
    let report = seek(
        &search,
        "connections",
        (100, 10_000),
        &mut Silent,
        &interrupt,
        &mut |load, _| {
            if load == 400 {
                interrupt.raise();
            }
            Ok(ran(3, Part::default(), Vec::new()))
        },
    );
    let report = report.expect("a report");
    assert!(report.interrupted);
    assert_eq!((report.found.answer, report.found.steps.len()), (None, 2));
}

#[test]
fn an_agent_that_is_lost_ends_it_with_what_is_known() {
    let cut = |error: bool| {
        seek_with((100, 10_000), &mut |load, _| {
            let mut ran = ran(3, Part::default(), Vec::new());
            if load == 400 {
                let (agent, why) = ("b:7070".to_owned(), "it is gone".to_owned());
                if error {
                    return Err(AgentsError::Agent { agent, why }.into());
                }
                ran.lost = Some(format!("agent {agent} was lost: {why}"));
            }
            Ok(ran)
        })
    };
    for (error, why) in [
        (false, "agent b:7070 was lost: it is gone"),
        (true, "agent b:7070: it is gone"),
    ] {
        let report = cut(error).expect("a report");
        assert!(report.interrupted);
        assert_eq!((report.found.answer, report.found.steps.len()), (None, 2));
        let text = report.to_string();
        assert!(text.contains("no answer; 200 held so far"), "{text}");
        assert!(text.ends_with(&format!("ended early: {why}")), "{text}");
        let mut record = Record::default();
        report.found.put_into(&mut record, report.interrupted);
        assert_eq!(
            record.reasons,
            [format!("the search was ended early: {why}")]
        );
    }
    // Before anything is known it is an error, as of a run.
    let first = seek_with((100, 10_000), &mut |_, _| {
        let (agent, why) = ("b:7070".to_owned(), "it is busy".to_owned());
        Err(AgentsError::Agent { agent, why }.into())
    });
    assert!(matches!(
        first,
        Err(SearchError::Load(LoadError::Agents(_)))
    ));
}

#[test]
fn agents_that_can_carry_no_more_are_the_limit() {
    let report = seek_with((100, 10_000), &mut |load, _| match load {
        0..=500 => Ok(ran(3, Part::default(), Vec::new())),
        asked => Err(AgentsError::Shortage {
            asked,
            all: 500,
            each: "\n  a:7070: 500".to_owned(),
        }
        .into()),
    });
    let found = report.expect("an answer").found;
    assert!((475..=500).contains(&found.answer.expect("an answer")));
    assert!(found.is_machine());
    assert!(
        found.why[0].contains("the agents can carry 500"),
        "{found:?}"
    );
}

#[test]
fn the_tuples_of_each_agent_rest_for_themselves() {
    let raised = Interrupt::new();
    raised.raise();
    let machine = |agent: &str, share, ready, tuples| MachineReport {
        agent: agent.to_owned(),
        share,
        ready,
        tuples,
        ..MachineReport::default()
    };
    let mut rests = Rests::default();
    rests.wait_for(1_000_000, &raised);
    rests.note(
        90,
        &[
            machine("a", 0.75, 68, Some(100)),
            machine("b", 0.25, 22, Some(1_000)),
            machine("c", 0.0, 0, None),
        ],
    );
    assert_eq!(rests.resting(), [68, 22, 0]);
    // 32 of a step of 42 are a's, and one more is too many.
    assert!(rests.is_possible(42));
    assert!(!rests.is_possible(44));
}

#[test]
fn a_load_becomes_a_run() {
    let mut options = options();
    let at = |options: &Options, axis, value| {
        let crowd = axis::Crowd::of(options, &asked(axis, "p99<1s")).expect("a search");
        (crowd.unit(), crowd.at(value))
    };
    let (unit, run) = at(&options, Axis::Connections, 5_000);
    assert_eq!((unit, run.connections), ("connections", 5_000));
    assert_eq!(run.hold, Duration::from_secs(10));
    let (unit, run) = at(&options, Axis::Rate, 500);
    assert_eq!(unit, "connections opened per second");
    assert_eq!(
        (run.connections, run.rate),
        (5_000, Rate::per_second(500).expect("a rate"))
    );
    options.publish = Rate::per_second(1);
    options.topics = 1;
    let (unit, run) = at(&options, Axis::Rate, 500);
    assert_eq!(unit, "publishes per second");
    assert_eq!(run.publish, Rate::per_second(500));
    options.push = Rate::per_second(1).map(Push::Paced);
    let (unit, run) = at(&options, Axis::Rate, 3_000);
    assert_eq!(unit, "pushes per second");
    assert_eq!(run.push, Rate::per_second(3).map(Push::Paced));
    let (_, run) = at(&options, Axis::Rate, 100);
    let Some(Push::Paced(rate)) = run.push else {
        panic!("{:?}", run.push)
    };
    assert_eq!(
        rate.interval(),
        Duration::from_secs(10),
        "a thousand clients"
    );
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let refusal = |options: &Options, search: &Search| {
        let crowd = axis::Crowd::of(options, search);
        let range = crowd.and_then(|crowd| crowd.range(search));
        range.expect_err("a refusal").to_string()
    };
    let mut options = options();
    for (until, words) in [
        ("delivery.p99<1s", "(--publish has deliveries)"),
        ("reply.p99<1s", "(--push has replies)"),
        ("response.p99<1s", "(scripts have responses)"),
        ("lost=0", "expected --publish"),
    ] {
        let text = refusal(&options, &asked(Axis::Connections, until));
        assert!(text.contains(words), "{until}: {text}");
    }
    let mut range = asked(Axis::Connections, "p99<1s");
    range.from = Some(10);
    range.to = Some(9);
    assert!(refusal(&options, &range).contains("--from 10 and --to 9 are no range"));
    options.push = Some(Push::Max);
    let text = refusal(&options, &asked(Axis::Rate, "p99<1s"));
    assert!(text.contains("such as --push 1/s"), "{text}");
    options.push = Rate::per_second(1).map(Push::Paced);
    range = asked(Axis::Rate, "p99<1s");
    range.to = Some(1_000_001);
    assert!(
        refusal(&options, &range).contains("<= to <= 1000000"),
        "1,000 clients"
    );
}

#[test]
fn tuples_are_waited_for_where_they_rest() {
    let raised = Interrupt::new();
    raised.raise();
    let mut tuples = Rested::new(Some(100));
    tuples.note(60);
    tuples.wait_for(40, &raised);
    assert_eq!(
        tuples.resting.len(),
        1,
        "there is room beside those that rest"
    );
    tuples.resting[0].0 = Instant::now();
    tuples.wait_for(80, &raised);
    assert_eq!(tuples.resting.len(), 0, "they have rested");
    let mut tuples = Rested::new(None);
    tuples.note(60);
    assert!(tuples.resting.is_empty());
}
