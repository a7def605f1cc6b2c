//! What becomes of scripts on the simulated kernel, against a room with good and bad manners.

mod returns;
mod several;
mod socketio;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{atomic::Ordering::Relaxed, mpsc},
};

use engine::{
    App, Reactor, Settings, Turn,
    sim::{Faults, Net, Shard},
};

use super::*;
use crate::{
    script::{
        Script, ScriptFlags,
        metrics::Metrics,
        perform::{ScriptOptions, first_sockets, first_steps},
        report::{Run, ScriptReport},
    },
    swarm::rehearsal::room::{Join, Manners, Room, Third},
    timeline::Timeline,
};

const SHARDS: u16 = 2;

/// What a run of `script` counted, and the lines that it logged.
struct Performance {
    figures: Figures,
    periods: u32,
    lines: Vec<String>,
    report: ScriptReport,
    metrics: Metrics,
}

impl Performance {
    fn count(&self, name: &str) -> u64 {
        self.metrics.find(name).unwrap_or(0.0) as u64
    }
}

fn perform(script: &str, manners: Manners) -> Performance {
    perform_over(script, manners, Duration::from_secs(600))
}

fn perform_over(script: &str, manners: Manners, limit: Duration) -> Performance {
    perform_in(Path::new("."), script, manners, limit)
}

/// Runs a script whose functions are in `source`.
fn perform_with(source: &str, script: &str) -> Performance {
    // Tests run side by side, in threads and processes.
    let name = format!("fourtuple-{}-{:x}", std::process::id(), fastrand::u64(..));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder of this test");
    std::fs::write(folder.join("f.js"), source).expect("a file of this test");
    let script = script.replacen("config:\n", "config:\n  processor: ./f.js\n", 1);
    let run = perform_in(
        &folder,
        &script,
        Manners::default(),
        Duration::from_secs(900),
    );
    std::fs::remove_dir_all(&folder).expect("it is this test's");
    run
}

/// A shard that stands still for a time.
struct Stalled<'a> {
    shard: &'a mut dyn Shard,
    net: &'a Net,
    still: (Time, Time),
}

impl Shard for Stalled<'_> {
    fn turn(&mut self) -> Turn {
        let (from, to) = self.still;
        match self.net.now() {
            now if now >= from && now < to => Turn::Done(Some(to)),
            _ => self.shard.turn(),
        }
    }

    fn is_choked(&self) -> bool {
        self.shard.is_choked()
    }

    fn is_idle(&self) -> bool {
        let (from, to) = self.still;
        let now = self.net.now();
        (now >= from && now < to) || self.shard.is_idle()
    }

    fn counters(&self) -> engine::Snapshot {
        self.shard.counters()
    }
}

/// Runs a script with a crowd that stands still from a time on, for so long.
fn perform_stalled(script: &str, stall: (Duration, Duration)) -> Performance {
    let limit = Duration::from_secs(600);
    perform_as(
        Path::new("."),
        script,
        Manners::default(),
        limit,
        stall,
        10_000,
    )
}

fn perform_in(folder: &Path, script: &str, manners: Manners, limit: Duration) -> Performance {
    perform_as(folder, script, manners, limit, Default::default(), 10_000)
}

fn perform_as(
    folder: &Path,
    script: &str,
    manners: Manners,
    limit: Duration,
    stall: (Duration, Duration),
    slots_max: u32,
) -> Performance {
    let setting = Setting {
        limit,
        stall,
        slots_max,
        ..USUAL
    };
    perform_through(folder, script, manners, setting, &mut [])
}

/// What a run is performed in.
#[derive(Clone, Copy)]
struct Setting {
    limit: Duration,
    /// When the crowd stands still, and for how long.
    stall: (Duration, Duration),
    slots_max: u32,
    seed: u64,
    faults: Faults,
}

const USUAL: Setting = Setting {
    limit: Duration::from_secs(600),
    stall: (Duration::ZERO, Duration::ZERO),
    slots_max: 10_000,
    seed: 7,
    faults: NO_FAULTS,
};

/// A network on which everything arrives at once.
const NO_FAULTS: Faults = Faults {
    delay: 0,
    short_read: 0,
    short_write: 0,
    late_write: 0,
    reset: 0,
    accept: 0,
    refuse: 0,
};

/// What happens to the server after so long.
type Mishap<'a> = (Duration, &'a mut dyn FnMut(&mut Room, &mut Io<'_, ()>));

/// Runs a script, during which things happen to the server.
fn perform_through(
    folder: &Path,
    script: &str,
    manners: Manners,
    setting: Setting,
    mishaps: &mut [Mishap<'_>],
) -> Performance {
    let flags = ScriptFlags::default();
    let script = Script::parse("s.yml", script, folder, &flags, &|_| None);
    let script = script.unwrap_or_else(|problems| panic!("{problems}"));
    let destination: SocketAddr = "10.0.0.1:4000".parse().expect("an address");
    let net = Net::new(setting.seed, setting.faults);
    let (limit, (stall, stalled_for)) = (setting.limit, setting.stall);
    let listen = net.kernel(Some(destination));
    let settings = Settings {
        idle_timeout: None,
        ..Settings::default()
    };
    let mut server = Reactor::simulate([listen], &settings, |_, _| Room::new(manners.clone()));
    let sources: capacity::Sources = "10.0.0.2-10.0.0.3".parse().expect("sources");
    let plan = Arc::new(Plan {
        servers: script
            .connects()
            .map(|_| Server {
                destination: 0,
                way: crate::way::Way::default(),
            })
            .collect(),
        destinations: [(destination, sources)].into(),
        run: setting.seed,
        part: crate::script::part::ScriptPart::whole(),
        shards: SHARDS,
        slots_max: setting.slots_max,
        active: 0.into(),
        open: 0.into(),
        away: 0.into(),
        captured: std::sync::OnceLock::new(),
        first_steps: first_steps(&script),
        first_sockets: first_sockets(&script),
        script,
    });
    let (sender, handed) = mpsc::sync_channel(10_000);
    let kernels: Vec<_> = (0..SHARDS).map(|_| net.kernel(None)).collect();
    let settings = Settings {
        idle_timeout: None,
        connections_max: plan.slots_max,
        ..Settings::default()
    };
    let mut cast = Reactor::simulate(kernels, &settings, |shard, _| {
        Cast::new(Arc::clone(&plan), sender.clone(), shard.0, Watch::Turns)
    });
    for shard in &mut cast {
        shard.with_app(|cast, io| cast.handle_mail(Order::Start, io));
    }
    let began = net.now();
    if !stalled_for.is_zero() {
        let still = (began.after(stall), began.after(stall + stalled_for));
        let mut cast: Vec<_> = cast
            .iter_mut()
            .map(|shard| Stalled {
                shard,
                net: &net,
                still,
            })
            .collect();
        let mut shards: Vec<&mut dyn Shard> = vec![&mut server[0]];
        shards.extend(cast.iter_mut().map(|shard| shard as &mut dyn Shard));
        net.run(&mut shards, still.1, || false);
    }
    let until = net.now().after(limit);
    for (after, happen) in mishaps {
        pass(&net, &mut server, &mut cast, began.after(*after));
        server[0].with_app(|room, io| happen(room, io));
    }
    pass(&net, &mut server, &mut cast, until);
    for shard in &mut cast {
        shard.with_app(|cast, io| cast.handle_mail(Order::Close, io));
    }
    let until = net.now().after(Duration::from_secs(60));
    pass(&net, &mut server, &mut cast, until);
    let mut all: Option<Figures> = None;
    let (mut lines, mut periods, mut ended) = (Vec::new(), 0, 0);
    for handed in handed.try_iter() {
        match handed {
            Handed::Line(line) => lines.push(line),
            Handed::Period {
                period,
                figures,
                is_last,
            } => {
                periods = periods.max(period + 1);
                ended += u16::from(is_last);
                match &mut all {
                    Some(all) => all.merge(*figures),
                    None => all = Some(*figures),
                }
            }
        }
    }
    assert_eq!(ended, SHARDS, "each shard hands in its last once");
    let figures = all.expect("figures");
    let whole = figures.completed + figures.failed.total() + figures.interrupted;
    assert_eq!(whole, figures.created, "each user ends once");
    assert_eq!(plan.active.load(Relaxed), 0);
    assert_eq!(plan.open.load(Relaxed), 0);
    assert_eq!(plan.away.load(Relaxed), 0);
    let run = Run {
        span: (0, net.now().since(began).as_millis() as u64),
        intermediate: Vec::new(),
        interrupted: figures.interrupted > 0,
        carrier: "sim".to_owned(),
        shards: SHARDS,
        timeline: Timeline::default(),
        machines: Vec::new(),
    };
    let options = ScriptOptions::default();
    let report = ScriptReport::new(&plan.script, &options, &figures, run);
    let metrics = Metrics::of(&figures, &plan.script, 1.0);
    Performance {
        figures,
        periods,
        lines,
        report,
        metrics,
    }
}

/// Lets time pass.
fn pass(net: &Net, server: &mut [Reactor<Room>], cast: &mut [Reactor<Cast>], until: Time) {
    let mut shards: Vec<&mut dyn Shard> = vec![&mut server[0]];
    shards.extend(cast.iter_mut().map(|shard| shard as &mut dyn Shard));
    net.run(&mut shards, until, || false);
}

/// A script with these phases and this flow against the echo.
fn echo(phases: &str, flow: &str) -> String {
    format!(
        "config:\n  target: ws://10.0.0.1:4000/echo\n  phases: {phases}\n  timeout: 2\n  \
         variables: {{zip: ['1', '2', '3'], list: [{{n: 4}}, {{n: 5}}]}}\n\
         scenarios:\n  - engine: ws\n    name: echoes\n    flow:\n{flow}"
    )
}

/// One against the room.
fn channels(flow: &str) -> String {
    format!(
        "config:\n  target: ws://10.0.0.1:4000/socket\n  timeout: 2\n  phases: [{{duration: 1, \
         arrivalCount: 10}}]\n  phoenix: {{heartbeat: 3s}}\n\
         scenarios:\n  - engine: phoenix\n    flow:\n{flow}"
    )
}

#[test]
fn a_script_of_echoes_counts_what_it_sends_and_hears() {
    let script = echo(
        "[{duration: 10, arrivalRate: 5}]",
        "      - send: hello\n      - think: 1\n      - send: {zip: '{{ zip }}'}\n      \
         - loop: [{send: '{{ zip }}'}]\n        count: 10\n      - think: 500ms\n",
    );
    let run = perform(&script, Manners::default());
    assert_eq!(run.count("vusers.created"), 50);
    assert_eq!(run.count("vusers.created_by_name.echoes"), 50);
    assert_eq!(run.count("vusers.completed"), 50);
    assert_eq!(run.metrics.find("vusers.failed"), Some(0.0));
    assert_eq!(run.count("websocket.messages_sent"), 50 * 12);
    assert_eq!(run.count("websocket.messages_received"), 50 * 12);
    // Arriving takes 10 s and being there 1.5 s.
    assert_eq!(run.periods, 12);
    let session = run.metrics.summaries["vusers.session_length"];
    assert!((1_499.0..1_510.0).contains(&session.min), "{session:?}");
    assert!(session.max < 1_700.0, "{session:?}");
}

#[test]
fn what_is_captured_is_sent_again() {
    let script = echo(
        "[{duration: 1, arrivalCount: 6}]",
        "      - send: {payload: {id: '{{ $randomNumber(10, 99) }}'}, capture: {json: $.id, as: id}}\n      \
         - think: 100ms\n      \
         - send: {payload: 'id={{ id }}', match: {regexp: 'id=(\\d\\d)', group: 1, value: '{{ id }}'}, \
         capture: {regexp: '=.+', as: tail}}\n      - log: 'tail {{ tail }} of {{ id }}'\n",
    );
    let run = perform(&script, Manners::default());
    // The number is captured as a number, and what a regular expression finds is a text.
    assert_eq!(run.count("errors.Failed capture or match"), 6);
    let script = script.replace("value: '{{ id }}'", "value: '{{ id }}', strict: false");
    let run = perform(&script, Manners::default());
    assert_eq!(
        (run.count("vusers.completed"), run.lines.len()),
        (6, 6),
        "{}",
        run.report
    );
    for line in &run.lines {
        let digits = &line[line.len() - 2..];
        assert_eq!(*line, format!("tail ={digits} of {digits}"));
    }
    assert_eq!(run.figures.awaited, 12);
    assert_eq!(run.figures.steps[0].response.percentiles().count, 6);
}

#[test]
fn loops_go_round_as_often_as_they_say() {
    let flow = "      - loop:\n          - log: 'o {{ $loopCount }}'\n          - loop: [{log: 'i {{ $loopElement.n }}'}]\n            over: list\n        count: '1-3'\n      \
                - loop: [{log: 'w {{ word }}'}]\n        over: [a, b]\n        loopElement: word\n";
    let run = perform(
        &echo("[{duration: 1, arrivalCount: 1}]", flow),
        Manners::default(),
    );
    let expected = ["o 1", "i 4", "i 5", "o 2", "i 4", "i 5", "w a", "w b"];
    assert_eq!(run.lines, expected);
}

#[test]
fn users_beyond_the_limit_are_skipped_or_do_not_arrive() {
    let flow = "      - think: 5\n";
    let run = perform(
        &echo("[{duration: 10, arrivalRate: 10, maxVusers: 20}]", flow),
        Manners::default(),
    );
    assert_eq!(
        run.count("vusers.created") + run.count("vusers.skipped"),
        100
    );
    assert_eq!(run.count("vusers.created"), 40);
    let run = perform(
        &echo("[{duration: 10, arrivalRate: 100, hold: 20}]", flow),
        Manners::default(),
    );
    assert_eq!(run.count("vusers.skipped"), 0);
    // Each of the 20 places is taken again each time that it is free.
    assert!(
        (40..=60).contains(&run.count("vusers.created")),
        "{}",
        run.report
    );
}

#[test]
fn thinking_is_an_open_loop_and_a_stall_shows_as_lateness() {
    let flow = "      - loop: [{send: x}, {think: 100ms}]\n        count: 50\n";
    let run = perform(
        &echo("[{duration: 1, arrivalCount: 2}]", flow),
        Manners::default(),
    );
    let session = run.metrics.summaries["vusers.session_length"];
    assert!((5_000.0..5_060.0).contains(&session.max), "{session:?}");
    assert_eq!(run.figures.steps[1].begun, 100);
    assert_eq!(run.figures.steps[1].late, 0);
    // The crowd stands still for a second: what was due then is late, and nothing after it is.
    let stalled = perform_stalled(
        &echo("[{duration: 1, arrivalCount: 2}]", flow),
        (Duration::from_secs(2), Duration::from_secs(1)),
    );
    let session = stalled.metrics.summaries["vusers.session_length"];
    assert!((5_000.0..5_060.0).contains(&session.max), "{session:?}");
    let step = &stalled.figures.steps[1];
    assert_eq!(step.begun, 100);
    assert!((16..=22).contains(&step.late), "{}", step.late);
    let latest = step.lateness.summary().expect("begun steps").max;
    assert!((850.0..1_001.0).contains(&latest), "{latest}");
}

#[test]
fn each_way_to_fail_has_its_name() {
    let wait = "      - send: {payload: x, match: {regexp: x, value: x}}\n      - wait: {match: {regexp: y, value: y}}\n";
    let one = "[{duration: 1, arrivalCount: 3}]";
    let run = perform(&echo(one, wait), Manners::default());
    assert_eq!(run.count("errors.response timeout"), 3, "{}", run.report);
    let run = perform(
        &echo(one, wait),
        Manners {
            status: Some(503),
            ..Manners::default()
        },
    );
    assert_eq!(run.count("errors.Unexpected server response: 503"), 3);
    let elsewhere = echo(one, wait).replace("4000/echo", "4000/echo\n  ws: {subprotocols: [mine]}");
    let run = perform(&elsewhere, Manners::default());
    assert_eq!(run.count("errors.handshake_invalid"), 3, "{}", run.report);
    assert!(
        run.report
            .to_string()
            .contains("chose none of the subprotocols")
    );
}

#[test]
fn a_user_that_is_closed_while_it_thinks_has_failed_at_once() {
    let flow = "      - join: room:lobby\n      - think: 400ms\n      - push: {event: e, payload: {a: 1}}\n      - think: 5\n";
    let run = perform(
        &channels(flow),
        Manners {
            third: Third::Closed,
            ..Manners::default()
        },
    );
    assert_eq!(
        run.count("errors.closed_with_code_1012"),
        1,
        "{}",
        run.report
    );
    assert_eq!(run.count("vusers.completed"), 9);
}

#[test]
fn an_event_of_a_script_may_be_named_as_heartbeats_are() {
    let flow = "      - join: room:lobby\n      - push: {event: heartbeat}\n      - think: 4\n";
    let run = perform(&channels(flow), Manners::default());
    assert_eq!(run.count("vusers.completed"), 10, "{}", run.report);
    assert_eq!(run.count("websocket.messages_sent"), 10 * 2);
    assert!(run.figures.heartbeats >= 10, "{}", run.figures.heartbeats);
}

#[test]
fn phoenix_users_join_push_expect_and_leave() {
    let flow = "      - join: {topic: 'room:lobby', payload: {user: ada}}\n      \
                - think: 1\n      \
                - push: {event: new_msg, payload: {body: '{{ $uuid }}'}, reply: true}\n      \
                - expect: {event: new_msg, capture: {json: $.body, as: body}}\n      \
                - think: 10\n      - leave: room:lobby\n";
    let run = perform(&channels(flow), Manners::default());
    // The last to push hears nobody after its reply but itself, and that is enough.
    assert_eq!(run.count("vusers.completed"), 10, "{}", run.report);
    assert!(run.figures.heartbeats >= 20, "{}", run.figures.heartbeats);
    for (manners, name) in [
        (
            Manners {
                join: Join::Refused,
                ..Manners::default()
            },
            "errors.join_refused",
        ),
        (
            Manners {
                join: Join::Unanswered,
                ..Manners::default()
            },
            "errors.response timeout",
        ),
        (
            Manners {
                refuses_pushes: true,
                ..Manners::default()
            },
            "errors.push_refused",
        ),
        (
            Manners {
                ignores_pushes: true,
                ..Manners::default()
            },
            "errors.response timeout",
        ),
    ] {
        let run = perform(&channels(flow), manners);
        assert_eq!(run.count(name), 10, "{name}: {}", run.report);
    }
    let silent = Manners {
        ignores_heartbeats: true,
        ..Manners::default()
    };
    let run = perform(&channels(flow), silent);
    assert_eq!(run.count("errors.heartbeat_timeout"), 10, "{}", run.report);
    let run = perform(
        &channels("      - push: {topic: a, event: e}\n"),
        Manners::default(),
    );
    assert_eq!(run.count("errors.not_joined"), 10, "{}", run.report);
}

#[test]
fn a_socket_joins_so_many_topics_and_no_more() {
    let flow = "      - loop: [{join: 'room:{{ $loopCount }}'}, {join: 'room:{{ $loopCount }}'}]\n        count: 1001\n";
    let run = perform(&channels(flow), Manners::default());
    assert_eq!(run.count("errors.too_many_topics"), 10, "{}", run.report);
    assert_eq!(run.figures.steps[1].begun, 10 * 1_001);
    assert_eq!(run.figures.steps[2].begun, 10 * 1_000);
}

#[test]
fn the_close_of_an_earlier_join_does_not_end_the_present_one() {
    let flow =
        "      - loop: [{join: room:lobby}, {leave: {}}]\n        count: 3\n      - think: 1\n";
    let manners = Manners {
        closes_late: true,
        ..Manners::default()
    };
    let run = perform(&channels(flow), manners.clone());
    assert_eq!(run.count("vusers.completed"), 10, "{}", run.report);
    // The close of the join that it has still ends it: the server closes what nobody left.
    let flow = "      - join: room:lobby\n      - push: {event: evict}\n      - think: 5\n";
    let run = perform(&channels(flow), manners);
    assert_eq!(run.count("errors.channel_closed"), 10, "{}", run.report);
}

#[test]
fn a_run_that_is_ended_early_says_who_was_there() {
    let flow = "      - loop: [{think: 1}]\n";
    let run = perform_over(
        &echo("[{duration: 5, arrivalRate: 2}]", flow),
        Manners::default(),
        Duration::from_secs(3),
    );
    assert_eq!(run.figures.interrupted, run.figures.created);
    assert!(run.figures.created >= 5);
    let text = run.report.to_string();
    assert!(text.starts_with("Ended early after "), "{text}");
    assert!(!run.report.is_met(), "not all of it was run");
}

#[test]
fn weights_share_the_users() {
    let script = "config: {target: 'ws://10.0.0.1:4000/echo', phases: [{duration: 10, arrivalRate: 100}]}\n\
                  scenarios:\n  - {engine: ws, name: often, weight: 8, flow: [send: a]}\n  \
                  - {engine: ws, name: seldom, weight: 2, flow: [send: b]}\n  \
                  - {engine: ws, name: never, weight: 0, flow: [send: c]}\n";
    let run = perform(script, Manners::default());
    let often = run.count("vusers.created_by_name.often");
    assert!((750..850).contains(&often), "{often}");
    assert_eq!(run.count("vusers.created_by_name.never"), 0);
    assert_eq!(run.count("vusers.completed"), 1_000);
}

#[test]
fn functions_make_what_is_sent_and_count() {
    let source = "let made = 0;\n\
                  exports.make = (context, events, done) => {\n  made += 1;\n  \
                  context.vars.data = { n: made, zip: context.vars.zip, turn: context.vars.$loopCount };\n  \
                  context.vars.seen = (context.vars.seen ?? 0) + 1;\n  events.emit('counter', 'made', 1);\n  \
                  events.emit('histogram', 'size', 2.5);\n  events.emit('rate', 'pace');\n  return done();\n};\n\
                  exports.check = async (context) => {\n  if (context.vars.back.zip !== context.vars.zip) throw new Error('another zip');\n  \
                  if (context.vars.seen !== context.vars.back.turn + 1) throw new Error('another turn');\n  \
                  await new Promise((resolve) => setTimeout(resolve, 400));\n  console.log(`${context.vars.seen} of ${context.scenario.name}`);\n};\n";
    let flow = "      - loop:\n          - function: make\n          \
                - send: {payload: '{{ data }}', capture: {json: $, as: back}}\n          - function: check\n        count: 3\n";
    let run = perform_with(source, &echo("[{duration: 1, arrivalCount: 4}]", flow));
    assert_eq!(run.count("vusers.completed"), 4, "{}", run.report);
    assert_eq!((run.count("made"), run.count("pace")), (12, 12));
    let size = run.metrics.summaries["size"];
    assert_eq!((size.count, size.median), (12, 2.5));
    let session = run.metrics.summaries["vusers.session_length"];
    assert!((1_200.0..1_230.0).contains(&session.max), "{session:?}");
    let mut lines = run.lines;
    lines.sort();
    let expected = ["1", "2", "3"]
        .map(|n| vec![format!("{n} of echoes"); 4])
        .concat();
    assert_eq!(lines, expected);
}

#[test]
fn loops_go_on_as_long_as_a_function_says() {
    let source = "exports.more = (context, next) => { context.vars.n = (context.vars.n ?? 0) + 1; next(context.vars.n < 3); };\n\
                  exports.once = async () => false;\n";
    let flow = "      - loop: [{log: 'a {{ $loopCount }} {{ n }}'}]\n        whileTrue: more\n      \
                - loop: [{log: 'b {{ $loopCount }}'}]\n        whileTrue: once\n";
    let run = perform_with(source, &echo("[{duration: 1, arrivalCount: 1}]", flow));
    assert_eq!(
        run.lines,
        ["a 0 undefined", "a 1 1", "a 2 2", "b 0"],
        "{}",
        run.report
    );
}

#[test]
fn functions_run_before_and_after_and_say_where_to_connect() {
    let source = "exports.login = async (context) => { context.vars.token = 'one two'; };\n\
                  exports.where = (args, context, cb) => {\n  \
                  args.target = args.target.replace('/echo', '/elsewhere');\n  \
                  args.options.headers['x-token'] = context.vars.token;\n  setTimeout(cb, 100);\n};\n\
                  exports.away = (args, context, cb) => { args.target = 'ws://10.9.9.9/'; cb(); };\n\
                  exports.bye = (context, events, done) => { console.log('bye', context.vars.token); done(); };\n";
    let flow = "      - connect: {function: where}\n      - send: '{{ token }}'\n    \
                beforeScenario: login\n    afterScenario: [bye]\n";
    let script = echo("[{duration: 1, arrivalCount: 3}]", flow);
    let run = perform_with(source, &script);
    assert_eq!(run.lines, ["bye one two"; 3], "{}", run.report);
    assert_eq!(run.count("vusers.completed"), 3);
    // Waiting for the function is part of connecting.
    let connect = run.figures.connect.summary().expect("connections");
    assert!(connect.min >= 100.0, "{connect:?}");
    let run = perform_with(source, &script.replace("where", "away"));
    assert_eq!(run.figures.failed.total(), 3, "{}", run.report);
    let text = run.report.to_string();
    assert!(text.contains("expected a URL of 10.0.0.1:4000"), "{text}");
}

#[test]
fn a_function_that_fails_fails_its_user_alone() {
    let source = "let count = 0;\nexports.odd = () => {\n  count += 1;\n  if (count === 2) throw new Error('boom');\n};\n\
                  exports.never = (context, events, done) => {};\n";
    let script = echo(
        "[{duration: 1, arrivalCount: 6}]",
        "      - function: odd\n      - send: x\n",
    );
    let run = perform_with(source, &script);
    // One of each shard.
    assert_eq!(run.count("errors.boom"), 2, "{}", run.report);
    assert_eq!(run.count("vusers.completed"), 4);
    assert!(
        run.report
            .to_string()
            .contains("a function failed: boom (f.js:4)"),
        "{}",
        run.report
    );
    let run = perform_with(source, &script.replace("odd", "never"));
    assert_eq!(run.figures.failed.total(), 6, "{}", run.report);
    let session = run.report.to_string();
    assert!(session.contains("has not ended"), "{session}");
    // Who waits for one before it is dialled is not there, and must not keep the run going.
    let before = script.replace("      - function: odd\n", "") + "    beforeScenario: never\n";
    let run = perform_with(source, &before);
    assert_eq!(run.figures.failed.total(), 6, "{}", run.report);
    let report = run.report.to_string();
    assert!(report.contains("not ended within 10 minutes"), "{report}");
}

#[test]
fn variables_that_cannot_be_kept_fail_their_user_and_are_not_lost() {
    let source = "exports.cut = (context) => { context.vars.short = '\\u{1f600}'.slice(0, 1); };\n";
    let script = echo(
        "[{duration: 1, arrivalCount: 2}]",
        "      - function: cut\n      - send: x\n",
    );
    let run = perform_with(source, &script);
    assert_eq!(run.figures.failed.total(), 2, "{}", run.report);
    let report = run.report.to_string();
    assert!(report.contains("context.vars cannot be kept"), "{report}");
}

#[test]
fn a_run_that_is_ended_early_leaves_no_call_behind() {
    let source = "exports.sleep = (context, events, done) => { setTimeout(done, 60000); };\n";
    let folder_script = echo(
        "[{duration: 1, arrivalCount: 6}]",
        "      - send: x\n    beforeScenario: sleep\n",
    ) + "  - engine: ws\n    flow: [{function: sleep}]\n";
    let script = folder_script.replacen("config:\n", "config:\n  processor: ./f.js\n", 1);
    let folder = std::env::temp_dir().join(format!("fourtuple-early-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of this test");
    std::fs::write(folder.join("f.js"), source).expect("a file of this test");
    let run = perform_in(&folder, &script, Manners::default(), Duration::from_secs(5));
    std::fs::remove_dir_all(&folder).expect("it is this test's");
    assert_eq!(run.figures.interrupted, 6, "{}", run.report);
}

#[test]
fn lines_of_users_cannot_move_a_terminals_cursor() {
    let run = perform(
        &echo(
            "[{duration: 1, arrivalCount: 1}]",
            "      - log: \"a\\u001b[2Jb\"\n",
        ),
        Manners::default(),
    );
    assert_eq!(run.lines, ["a\\u{1b}[2Jb"]);
}

#[test]
fn a_loop_over_a_file_shares_its_rows() {
    let folder = std::env::temp_dir().join(format!("fourtuple-rows-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of this test");
    std::fs::write(folder.join("r.csv"), "1,a\n2,b\n").expect("a file of this test");
    let flow =
        "      - loop: [{log: '{{ $loopElement.name }} {{ rows[1].id }}'}]\n        over: rows\n";
    let script = echo("[{duration: 1, arrivalCount: 2}]", flow).replacen(
        "config:\n",
        "config:\n  payload: {path: r.csv, fields: [id, name], loadAll: true, name: rows}\n",
        1,
    );
    let run = perform_in(
        &folder,
        &script,
        Manners::default(),
        Duration::from_secs(60),
    );
    std::fs::remove_dir_all(&folder).expect("it is this test's");
    let mut lines = run.lines;
    lines.sort();
    assert_eq!(lines, ["a 2", "a 2", "b 2", "b 2"]);
}

#[test]
fn users_that_still_say_goodbye_keep_nobody_out() {
    let script = echo(
        "[{duration: 3, arrivalRate: 400, maxVusers: 10}]",
        "      - send: x\n",
    );
    let limit = Duration::from_secs(60);
    let run = perform_as(
        Path::new("."),
        &script,
        Manners::default(),
        limit,
        Default::default(),
        5,
    );
    assert_eq!(run.figures.failed.total(), 0, "{}", run.report);
    assert!(run.count("vusers.completed") > 100, "{}", run.report);
    // Who is there all the time takes all slots: that is a limit, and is said.
    let script = echo("[{duration: 1, arrivalCount: 30}]", "      - think: 5\n");
    let run = perform_as(
        Path::new("."),
        &script,
        Manners::default(),
        limit,
        Default::default(),
        5,
    );
    assert_eq!(run.count("errors.EMFILE"), 20, "{}", run.report);
}
