//! Users that come back, against a room that closes, resets and refuses them.

use proto::ws::CloseCode;

use super::*;
use crate::comeback::Backoff;

/// A script whose users come back, with these phases and this flow against a Phoenix socket.
fn returning(phases: &str, flow: &str) -> String {
    format!(
        "config:\n  target: ws://10.0.0.1:4000/socket\n  timeout: 2\n  phases: {phases}\n  \
         reconnect: true\n  phoenix: {{heartbeat: 3s}}\n\
         scenarios:\n  - engine: phoenix\n    sockets: {{feed: {{target: 'ws://10.0.0.1:4000/feed', engine: ws}}}}\n    \
         flow:\n{flow}"
    )
}

const TEN: &str = "[{duration: 1, arrivalCount: 10}]";
fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Runs a script, in which things happen to the server.
fn through(script: &str, mishaps: &mut [Mishap<'_>]) -> Performance {
    perform_through(Path::new("."), script, Manners::default(), USUAL, mishaps)
}

/// What was counted adds up where everybody came back.
fn assert_all_back(run: &Performance, disconnected: u64) {
    let figures = &run.figures;
    assert_eq!(figures.disconnected.total(), disconnected, "{}", run.report);
    assert_eq!(figures.reconnected, disconnected, "{}", run.report);
    assert_eq!(figures.back.percentiles().count, disconnected);
    let tries = figures.reconnect_attempts;
    assert_eq!(tries, disconnected + figures.returns_failed.total());
    assert_eq!(figures.failed.total(), 0, "{}", run.report);
    assert_eq!(figures.completed, figures.created);
}

#[test]
fn everybody_who_is_closed_comes_back_and_joins_again() {
    let flow = "      - join: {topic: 'room:{{ $randomNumber(1, 1000000) }}', payload: {is: '{{ $uuid }}'}}\n      \
                - join: room:all\n      - think: 5\n      - push: {event: e, payload: {a: 1}, reply: true}\n      \
                - expect: {event: e}\n      - leave: {}\n      - think: 1\n";
    let mut close = |room: &mut Room, io: &mut Io<'_, ()>| {
        room.close_all(Some(CloseCode::SERVICE_RESTART), io);
    };
    let run = through(&returning(TEN, flow), &mut [(secs(3), &mut close)]);
    assert_all_back(&run, 10);
    assert_eq!(run.count("websocket.messages_sent"), 10 * (2 + 2 + 1 + 1));
    // The think went on meanwhile.
    let session = run.metrics.summaries["vusers.session_length"];
    assert!((6_000.0..6_100.0).contains(&session.max), "{session:?}");
    let back = run.figures.back.summary().expect("they are back");
    assert!((10.0..50.0).contains(&back.min), "{back:?}");
    assert_eq!(run.figures.steps[3].late, 0);
    let text = run.report.to_string();
    assert!(text.contains("websocket.reconnected"), "{text}");
    assert!(
        text.contains("10 × closed by the server with code 1012"),
        "{text}"
    );
}

#[test]
fn a_step_that_waits_is_begun_again() {
    let flow = "      - join: room:a\n      - expect: {event: news, match: {json: $.n, value: 7}}\n      - push: {event: e, reply: true}\n";
    // Nobody says it, so that the timeout of each would come two seconds after it began to wait.
    let mut reset = |room: &mut Room, io: &mut Io<'_, ()>| room.close_all(None, io);
    let run = through(&returning(TEN, flow), &mut [(secs(2), &mut reset)]);
    let resets = run.figures.disconnected.total();
    assert!((5..=10).contains(&resets), "{}", run.report);
    assert_eq!(run.figures.reconnected, resets);
    assert_eq!(run.count("errors.response timeout"), 10, "{}", run.report);
    assert_eq!(run.figures.steps[1].begun, 10 + resets);
    let session = run.metrics.summaries.get("vusers.session_length");
    assert!(session.is_none(), "nobody got to the end");
    // A reply that never comes is asked for again.
    let flow = "      - join: room:a\n      - think: 2500ms\n      - push: {event: e, payload: {a: '{{ $uuid }}'}, reply: true}\n";
    let silent = Manners {
        ignores_pushes: true,
        ..Manners::default()
    };
    let mut close = |room: &mut Room, io: &mut Io<'_, ()>| {
        room.behave(Manners::default());
        room.close_all(Some(CloseCode::SERVICE_RESTART), io);
    };
    let run = perform_through(
        Path::new("."),
        &returning("[{duration: 1, arrivalCount: 10}]", flow),
        silent,
        USUAL,
        &mut [(Duration::from_millis(3_900), &mut close)],
    );
    assert_all_back(&run, 10);
    assert_eq!(run.figures.steps[2].begun, 20);
}

#[test]
fn who_is_refused_waits_longer_and_who_is_not_back_in_the_end_has_failed() {
    let flow = "      - join: room:a\n      - open: feed\n      - think: 20\n      - push: {event: e, reply: true}\n";
    let refuse = |room: &mut Room, io: &mut Io<'_, ()>| {
        room.behave(Manners {
            status: Some(503),
            ..Manners::default()
        });
        room.close_all(Some(CloseCode::SERVICE_RESTART), io);
    };
    let mut admit = |room: &mut Room, _: &mut Io<'_, ()>| room.behave(Manners::default());
    let mut first = refuse;
    let run = through(
        &returning(TEN, flow),
        &mut [(secs(2), &mut first), (secs(7), &mut admit)],
    );
    assert_all_back(&run, 20);
    assert!(
        run.figures.returns_failed.total() >= 8 * 20,
        "{}",
        run.report
    );
    assert!(
        run.report
            .to_string()
            .contains("upgrade answered with HTTP status 503")
    );
    // Down for good: when the phases are over, nobody is waited for but for the longest wait.
    let mut first = refuse;
    let run = through(&returning(TEN, flow), &mut [(secs(2), &mut first)]);
    assert_eq!(run.count("errors.not_back"), 10, "{}", run.report);
    assert_eq!(run.figures.reconnected, 0);
    // The timeout of a step, the longest wait, and up to one more until the last try.
    let most = 2 + 2 * Backoff::Phoenix.wait_max().as_secs() as u32 + 4;
    assert!((9..=most).contains(&run.periods), "{}", run.periods);
    // While a phase goes on, they try.
    let mut first = refuse;
    let mut admit = |room: &mut Room, _: &mut Io<'_, ()>| room.behave(Manners::default());
    let phases = "[{duration: 1, arrivalCount: 10}, {pause: 60}]";
    let run = through(
        &returning(phases, flow),
        &mut [(secs(2), &mut first), (secs(50), &mut admit)],
    );
    assert_all_back(&run, 20);
}

#[test]
fn joins_that_are_refused_or_not_answered_are_tries_in_vain() {
    let flow = "      - join: room:a\n      - think: 8\n      - push: {event: e, reply: true}\n";
    for (join, class) in [
        (Join::Refused, "join_refused"),
        (Join::Unanswered, "join_timeout"),
    ] {
        let mut close = |room: &mut Room, io: &mut Io<'_, ()>| {
            room.behave(Manners {
                join,
                ..Manners::default()
            });
            room.close_all(Some(CloseCode::SERVICE_RESTART), io);
        };
        let mut admit = |room: &mut Room, _: &mut Io<'_, ()>| room.behave(Manners::default());
        let run = through(
            &returning(TEN, flow),
            &mut [(secs(2), &mut close), (secs(5), &mut admit)],
        );
        assert_all_back(&run, 10);
        let classes: Vec<_> = run
            .report
            .returns_failed
            .iter()
            .map(|one| one.class)
            .collect();
        assert_eq!(classes, [class], "{}", run.report);
    }
}

#[test]
fn who_is_closed_with_1000_or_never_was_there_stays_away() {
    let flow = "      - think: 5\n";
    let mut close = |room: &mut Room, io: &mut Io<'_, ()>| {
        room.close_all(Some(CloseCode::NORMAL), io);
    };
    let run = through(&returning(TEN, flow), &mut [(secs(2), &mut close)]);
    assert_eq!(
        run.count("errors.closed_with_code_1000"),
        10,
        "{}",
        run.report
    );
    let refused = Manners {
        status: Some(503),
        ..Manners::default()
    };
    let run = perform(&returning(TEN, flow), refused);
    assert_eq!(run.count("errors.Unexpected server response: 503"), 10);
    assert_eq!(run.figures.reconnect_attempts, 0);
    // Nor does one whose socket was to be opened.
    let flow = "      - think: 2\n      - open: feed\n";
    let mut refuse = |room: &mut Room, _: &mut Io<'_, ()>| {
        room.behave(Manners {
            status: Some(503),
            ..Manners::default()
        });
    };
    let run = through(
        &returning(TEN, flow),
        &mut [(Duration::from_millis(1_500), &mut refuse)],
    );
    assert_eq!(
        run.count("errors.Unexpected server response: 503"),
        10,
        "{}",
        run.report
    );
}

#[test]
fn silence_is_a_disconnection_too() {
    let flow = "      - join: room:a\n      - think: 12\n";
    let silent = Manners {
        ignores_heartbeats: true,
        ..Manners::default()
    };
    let mut speak = |room: &mut Room, _: &mut Io<'_, ()>| room.behave(Manners::default());
    let run = perform_through(
        Path::new("."),
        &returning(TEN, flow),
        silent,
        USUAL,
        &mut [(secs(7), &mut speak)],
    );
    let disconnected = run.figures.disconnected.total();
    assert!((10..=20).contains(&disconnected), "{}", run.report);
    assert_all_back(&run, disconnected);
    assert_eq!(run.report.disconnections[0].class, "heartbeat_timeout");
}

#[test]
fn a_phase_drops_its_share_and_churns_at_its_rate() {
    let flow = "      - join: room:a\n      - open: feed\n      - think: 30\n      - push: {event: e, reply: true}\n      - send: x\n        on: feed\n";
    let phases = "[{duration: 1, arrivalCount: 40}, {pause: 5}, {pause: 10, drop: 50%}, {pause: 5, churn: 20/s}]";
    let run = perform(&returning(phases, flow), Manners::default());
    // About half of forty users with two sockets each, and a hundred sockets, one by one.
    let disconnected = run.figures.disconnected.total();
    let dropped = (disconnected - 100) / 2;
    assert!((15..=25).contains(&dropped), "{}", run.report);
    assert_all_back(&run, 2 * dropped + 100);
    let classes: Vec<_> = run
        .report
        .disconnections
        .iter()
        .map(|one| one.class)
        .collect();
    assert_eq!(classes, ["dropped_on_purpose"]);
    let period = run.figures.period(1_000, Vec::new());
    let counts = (period.counts.disconnected, period.counts.back);
    assert_eq!(counts, (disconnected, disconnected));
    assert_eq!(period.errors["dropped_on_purpose"], disconnected);
    // Of those who are there: nobody is, so nobody is dropped.
    let phases = "[{pause: 1, drop: 50%, churn: 50/s}, {duration: 1, arrivalCount: 4}]";
    let run = perform(&returning(phases, flow), Manners::default());
    assert_all_back(&run, 0);
}

#[test]
fn churn_that_is_faster_than_anybody_comes_back_resets_everybody_once() {
    let flow = "      - think: 20\n";
    let phases = "[{duration: 1, arrivalCount: 20}, {pause: 5}, {pause: 1ms, churn: 1000000/s}]";
    let run = perform(&returning(phases, flow), Manners::default());
    // A thousand blows at once: the others hit nobody.
    assert_all_back(&run, 20);
}

#[test]
fn churn_is_even_over_all_connections() {
    let flow = "      - loop: [{think: 1}]\n        count: 100\n      - log: '{{ $uuid }}'\n";
    let phases = "[{duration: 1, arrivalCount: 20}, {pause: 5}, {pause: 80, churn: 10/s}]";
    let script = returning(phases, flow).replace("reconnect: true", "reconnect: jitter");
    let run = perform(&script, Manners::default());
    assert_all_back(&run, 800);
    assert_eq!(run.lines.len(), 20);
    // A think that ends while its user is away goes on when it is back, and is not late.
    let step = &run.figures.steps;
    assert_eq!(step.iter().map(|one| one.late).sum::<u64>(), 0);
}

#[test]
fn a_user_drops_its_own_socket_and_goes_on() {
    let flow = "      - join: {topic: 'room:{{ $uuid }}'}\n      - open: feed\n      - loop:\n          - drop: {}\n          \
                - push: {event: e, reply: true}\n          - drop: feed\n          \
                - send: {payload: {a: '{{ $loopCount }}'}, capture: {json: $.a, as: n}}\n            on: feed\n        count: 3\n      \
                - log: 'n {{ n }}'\n";
    let run = perform(&returning(TEN, flow), Manners::default());
    assert_all_back(&run, 60);
    assert_eq!(run.lines, ["n 2"; 10]);
    let refused = returning(TEN, flow).replace("  reconnect: true\n", "");
    let flags = ScriptFlags::default();
    let text = Script::parse("s.yml", &refused, Path::new("."), &flags, &|_| None);
    let text = text.expect_err("nobody would come back").to_string();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("write `reconnect: true` in the scenario"),
        "{text}"
    );
}

#[test]
fn functions_go_on_while_their_user_is_away_and_an_early_end_takes_everybody() {
    let source = "exports.sleep = (context, events, done) => { setTimeout(() => { context.vars.n = 1; done(); }, 3000); };\n";
    let folder = std::env::temp_dir().join(format!("fourtuple-away-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of this test");
    std::fs::write(folder.join("f.js"), source).expect("a file of this test");
    let flow = "      - join: room:a\n      - function: sleep\n      - push: {event: e, reply: true}\n      - log: 'n {{ n }}'\n      - think: 5\n";
    let script = returning(TEN, flow).replacen("config:\n", "config:\n  processor: ./f.js\n", 1);
    let mut refuse = |room: &mut Room, io: &mut Io<'_, ()>| {
        room.behave(Manners {
            status: Some(503),
            ..Manners::default()
        });
        room.close_all(None, io);
    };
    let mut admit = |room: &mut Room, _: &mut Io<'_, ()>| room.behave(Manners::default());
    let run = perform_through(
        &folder,
        &script,
        Manners::default(),
        USUAL,
        &mut [(secs(2), &mut refuse), (secs(6), &mut admit)],
    );
    assert_all_back(&run, 10);
    assert_eq!(run.lines, ["n 1"; 10]);
    // Ended while everybody is away.
    let run = perform_through(
        &folder,
        &script,
        Manners::default(),
        Setting {
            limit: secs(5),
            ..USUAL
        },
        &mut [(secs(2), &mut refuse)],
    );
    std::fs::remove_dir_all(&folder).expect("it is this test's");
    assert_eq!(run.figures.interrupted, 10, "{}", run.report);
    assert_eq!(run.figures.disconnected.total(), 10);
}

#[test]
fn who_comes_back_asks_for_what_it_asked_before() {
    let flow = "      - connect: {headers: {x-me: '{{ $uuid }}'}, params: {me: '{{ $randomString(9) }}'}}\n      - join: room:a\n      - think: 3\n";
    let script = returning(TEN, flow);
    let seen = std::sync::Mutex::new(Vec::new());
    let mut look = |room: &mut Room, io: &mut Io<'_, ()>| {
        seen.lock().expect("one thread").push(room.asked());
        room.close_all(None, io);
    };
    let mut again = |room: &mut Room, _: &mut Io<'_, ()>| {
        seen.lock().expect("one thread").push(room.asked());
    };
    let run = through(
        &script,
        &mut [
            (secs(2), &mut look),
            (Duration::from_millis(2_800), &mut again),
        ],
    );
    assert_all_back(&run, 10);
    let seen = seen.into_inner().expect("one thread");
    assert_eq!((seen[0].len(), seen[0] == seen[1]), (10, true), "{seen:?}");
}

#[test]
fn who_comes_back_twice_asks_for_the_same_twice() {
    // Without a topic there is nothing to join again.
    let flow = "      - connect: {headers: {x-me: '{{ $uuid }}'}}\n      - think: 4\n";
    let seen = std::sync::Mutex::new(Vec::new());
    let look = |room: &mut Room, io: &mut Io<'_, ()>| {
        seen.lock().expect("one thread").push(room.asked());
        room.close_all(None, io);
    };
    let (mut first, mut second, mut third) = (look, look, look);
    let run = through(
        &returning(TEN, flow),
        &mut [
            (secs(2), &mut first),
            (Duration::from_millis(2_800), &mut second),
            (Duration::from_millis(3_600), &mut third),
        ],
    );
    assert_all_back(&run, 30);
    let seen = seen.into_inner().expect("one thread");
    assert_eq!(seen[0].len(), 10);
    assert!(seen[0] == seen[1] && seen[1] == seen[2], "{seen:?}");
}

#[test]
fn a_step_that_waits_on_one_socket_is_not_begun_again_for_another() {
    let flow = "      - join: room:a\n      - open: feed\n      - expect: {event: never}\n";
    let script = returning(TEN, flow).replace("timeout: 2", "timeout: 4");
    // The feed alone ends, while every user waits on its own socket.
    let script = script.replace(
        TEN,
        "[{duration: 1, arrivalCount: 10}, {pause: 1}, {pause: 1, churn: 40/s}]",
    );
    let run = through(&script, &mut []);
    let own = run.figures.steps[2].begun;
    // Where it was the user's own socket that ended, its step was begun again, and only there.
    assert!(run.figures.disconnected.total() > 20, "{}", run.report);
    assert!(
        own - 10 < run.figures.disconnected.total(),
        "{own} of {}: {}",
        run.figures.disconnected.total(),
        run.report
    );
}

#[test]
fn a_server_that_ends_everybody_again_and_again_does_not_keep_a_run_from_ending() {
    let flow = "      - push: {topic: room:a, event: e, reply: true}\n";
    let flow = format!("      - join: room:a\n      - think: 3\n{flow}");
    let mut ruin = |room: &mut Room, _: &mut Io<'_, ()>| {
        room.behave(Manners {
            resets_pushes: true,
            ..Manners::default()
        });
    };
    let run = through(&returning(TEN, &flow), &mut [(secs(2), &mut ruin)]);
    assert_eq!(run.count("errors.not_back"), 10, "{}", run.report);
    let ends = 10 * (1 + u64::from(returning::LATE_ENDS_MAX));
    assert_eq!(run.figures.disconnected.total(), ends, "{}", run.report);
    assert!(run.periods < 10, "{}", run.periods);
}

/// Whatever the network does, every user ends once, and everything that ended has an account.
#[test]
fn nothing_is_lost_on_a_rough_network() {
    let flow = "      - join: {topic: 'room:{{ $loopCount }}', payload: {is: '{{ $uuid }}'}}\n      \
                - loop:\n          - open: feed\n          - send: {payload: {a: '{{ $loopCount }}'}, capture: {json: $.a, as: a}}\n            on: feed\n          \
                - push: {event: e, payload: {n: '{{ a }}'}, reply: true}\n          - join: room:b\n          - think: 700ms\n          - drop: feed\n          \
                - close: feed\n          - leave: room:b\n        count: 6\n";
    let phases = "[{duration: 2, arrivalCount: 30}, {pause: 2, drop: 40%}, {duration: 6, arrivalCount: 20, churn: 15/s}]";
    for seed in 0..12 {
        let setting = Setting {
            seed,
            faults: Faults::ROUGH,
            // Few slots: those that say goodbye are waited for.
            slots_max: if seed % 2 == 0 { 40 } else { 10_000 },
            ..USUAL
        };
        let mut reset = |room: &mut Room, io: &mut Io<'_, ()>| room.close_all(None, io);
        let mut restart = |room: &mut Room, io: &mut Io<'_, ()>| {
            room.close_all(Some(CloseCode::SERVICE_RESTART), io);
        };
        let script = returning(phases, flow);
        let script = match seed % 3 {
            0 => script,
            1 => script.replace("reconnect: true", "reconnect: jitter"),
            // Who never comes back fails, and leaves nothing behind.
            _ => script
                .replace("  reconnect: true\n", "")
                .replace("          - drop: feed\n", "")
                .replace(", drop: 40%", "")
                .replace(", churn: 15/s", ""),
        };
        let mishaps: &mut [Mishap<'_>] = &mut [(secs(5), &mut reset), (secs(9), &mut restart)];
        let run = perform_through(
            Path::new("."),
            &script,
            Manners::default(),
            setting,
            mishaps,
        );
        let figures = &run.figures;
        let (ended, back) = (figures.disconnected.total(), figures.reconnected);
        assert!(back <= ended, "seed {seed}: {}", run.report);
        assert_eq!(figures.back.percentiles().count, back, "seed {seed}");
        assert!(
            figures.interrupted == 0,
            "seed {seed}: it came to its end: {}",
            run.report
        );
        if seed % 3 < 2 {
            assert!(
                back > 0 && figures.completed > 0,
                "seed {seed}: {}",
                run.report
            );
            // What failed was not back when its user left: it was away, or on its way.
            let lost = ended - back;
            assert!(
                lost <= 2 * figures.failed.total(),
                "seed {seed}: {}",
                run.report
            );
        }
    }
}
