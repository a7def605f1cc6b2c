//! The crowd as its users run it, against a server of this machine on real sockets.

use std::{net::SocketAddr, time::Duration};

use engine::{Settings, ShardIndex, Shards};
use fourtuple_load::{
    self as load, Dialect, Event, Interrupt, KernelChoice, LoadError, Milestone, Moment, Options,
    OptionsError, Progress, Push, Report, Silent, Stage,
};

#[allow(dead_code, reason = "bad manners are tried on the simulated network")]
mod room;

use room::{Manners, Room};

/// A server that ends with the test.
struct Server {
    shards: Option<Shards<()>>,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        Self::with(Manners::default())
    }

    fn with(manners: Manners) -> Self {
        let any = "127.0.0.1:0".parse().expect("an address");
        let app = move |_, _| Room::new(manners.clone());
        let shards = Shards::start(&Settings::default(), 1, Some(any), app).expect("a free port");
        let address = shards.local_addr().expect("it listens");
        Self {
            shards: Some(shards),
            address,
        }
    }

    /// A hundred clients that are held for a moment.
    fn options(&self) -> Options {
        let url = format!("ws://{}/socket", self.address);
        let mut options = Options::new(url.parse().expect("a URL"));
        options.connections = 100;
        options.rate = "10000".parse().expect("a rate");
        options.hold = Duration::from_millis(300);
        options.join = Some("room:lobby".parse().expect("a topic"));
        options.shards = Some(2);
        options
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(shards) = self.shards.take() else {
            return;
        };
        let posted = shards.post(ShardIndex(0), ());
        assert!(posted.is_ok(), "one mail fits");
        shards.join().expect("the server's kernel works");
    }
}

fn run(options: Options) -> Report {
    load::run(options, &mut Silent, &Interrupt::new()).expect("a run that can start")
}

#[test]
fn publishes_reach_every_member_once() {
    let server = Server::start();
    let mut options = server.options();
    options.publish = Some("20/s".parse().expect("a rate"));
    let report = run(options);
    assert!(report.held, "{report}");
    assert_eq!(report.publishes.sent, 6);
    assert_eq!(report.deliveries.expected, 600);
    assert_eq!(report.deliveries.received, 600);
    assert_eq!(report.latency.last_delivery.count, 6);
    assert!(report.latency.delivery.max_us > 0);
}

/// Remembers how far the run came.
#[derive(Default)]
struct Follower(Vec<Milestone>, usize);

impl Progress for Follower {
    fn update(&mut self, _: &Moment<'_>) {}

    fn handle_event(&mut self, event: &Event) {
        match event {
            Event::Stage { stage, .. } => self.0.push(*stage),
            Event::Broadcast { .. } => self.1 += 1,
            other => panic!("an event that nobody knows: {other:?}"),
        }
    }
}

#[test]
fn every_stage_is_walked_through_and_told() {
    let server = Server::start();
    let mut options = server.options();
    options.broadcasts = 2;
    options.drop = Some("10%".parse().expect("a share"));
    let mut follower = Follower::default();
    let report = load::run(options, &mut follower, &Interrupt::new()).expect("a run");
    assert!(report.held, "{report}");
    assert_eq!(report.deliveries.received, 200, "{report}");
    assert_eq!((report.drop.dropped, report.drop.back), (10, 10));
    assert!(
        report.broadcasts.iter().all(|one| one.last_us > 0),
        "{report}"
    );
    let stages = [
        Milestone::Opening,
        Milestone::Opened,
        Milestone::Holding,
        Milestone::Broadcasting,
        Milestone::Dropping,
        Milestone::Settling,
        Milestone::Closing,
        Milestone::Done,
    ];
    assert_eq!((&follower.0[..], follower.1), (&stages[..], 2));
}

#[test]
fn a_share_that_is_dropped_is_waited_for() {
    let server = Server::start();
    let mut options = server.options();
    options.drop = Some("30%".parse().expect("a share"));
    let report = run(options);
    assert!(report.held, "{report}");
    assert_eq!((report.drop.dropped, report.drop.back), (30, 30));
    // Nobody is back earlier than the first wait of phoenix.js.
    assert!(report.stages.dropping_ms >= 10, "{report}");
}

#[test]
fn who_waits_for_a_reply_is_not_dropped_before_it_comes() {
    let server = Server::with(Manners {
        thinks_for: Duration::from_millis(500),
        ..Manners::default()
    });
    let mut options = server.options();
    options.connections = 10;
    options.hold = Duration::from_millis(100);
    options.push = Some(Push::Max);
    options.drop = Some("50%".parse().expect("a share"));
    let report = run(options);
    assert!(report.held, "{report}");
    assert_eq!((report.pushes.sent, report.pushes.answered), (10, 10));
    assert_eq!((report.drop.dropped, report.drop.back), (5, 5));
}

#[test]
fn a_closed_loop_is_answered_again_and_again() {
    let server = Server::start();
    let mut options = server.options();
    options.push = Some(Push::Max);
    options.connections = 4;
    let report = run(options);
    assert!(report.held, "{report}");
    assert!(report.pushes.answered > 4, "{report}");
    assert_eq!(report.latency.push_reply.count, report.pushes.answered);
}

#[test]
fn an_echo_server_needs_no_phoenix() {
    let server = Server::start();
    let mut options = server.options();
    options.target = format!("ws://{}/echo", server.address)
        .parse()
        .expect("a URL");
    (options.dialect, options.join) = (Dialect::Raw, None);
    options.publish = Some("20/s".parse().expect("a rate"));
    let report = run(options);
    assert!(report.held, "{report}");
    assert_eq!(report.deliveries.received, 6);
}

#[test]
fn what_carries_the_connections_is_reported_in_one_word_and_with_the_reason() {
    let server = Server::start();
    for kernel in [KernelChoice::Epoll, KernelChoice::Auto] {
        let mut options = server.options();
        options.kernel = kernel;
        let report = run(options);
        let word = report.kernel.split_whitespace().next();
        assert_eq!(word, Some(&*report.carrier), "{kernel:?}");
        assert!(kernel == KernelChoice::Auto || report.carrier == "epoll");
    }
}

#[test]
fn nobody_listening_is_a_report_and_no_error() {
    let address = Server::start().address;
    let mut options = Options::new(format!("ws://{address}/socket").parse().expect("a URL"));
    options.connections = 10;
    let report = run(options);
    assert!(!report.held);
    assert_eq!(report.not_opened.len(), 1, "{report}");
    assert_eq!(
        (report.not_opened[0].class, report.not_opened[0].count),
        ("refused", 10)
    );
    assert!(report.not_opened[0].remedy.is_some());
}

#[test]
fn too_many_connections_are_refused_before_the_first() {
    let server = Server::start();
    let mut options = server.options();
    options.connections = u32::MAX;
    let error = load::run(options, &mut Silent, &Interrupt::new()).expect_err("too many");
    assert!(
        matches!(error, LoadError::Options(OptionsError::Shortage(_))),
        "{error}"
    );
}

/// Ends the run in this stage.
struct Impatient(Stage, Interrupt);

impl Progress for Impatient {
    fn update(&mut self, now: &Moment<'_>) {
        if now.crowd.stage == self.0 {
            self.1.raise();
        }
    }
}

#[test]
fn an_interrupt_ends_a_broadcast_and_what_is_on_its_way_still_arrives() {
    let server = Server::with(Manners {
        thinks_for: Duration::from_secs(1),
        ..Manners::default()
    });
    let mut options = server.options();
    options.broadcasts = 2;
    let interrupt = Interrupt::new();
    let mut impatient = Impatient(Stage::Broadcasting, interrupt.clone());
    let report = load::run(options, &mut impatient, &interrupt).expect("a run that can start");
    assert!(report.interrupted, "{report}");
    assert_eq!(report.broadcasts.len(), 1, "{report}");
    // The wait for it was over before the server had read it.
    assert_eq!(report.broadcasts[0].received, 0, "{report}");
    assert_eq!(report.deliveries.received, 100, "{report}");
}

#[test]
fn an_interrupt_ends_the_hold_and_still_reports() {
    let server = Server::start();
    let mut options = server.options();
    options.hold = Duration::from_secs(3600);
    options.publish = Some("100/s".parse().expect("a rate"));
    let interrupt = Interrupt::new();
    let mut impatient = Impatient(Stage::Holding, interrupt.clone());
    let report = load::run(options, &mut impatient, &interrupt).expect("a run that can start");
    assert!(report.interrupted && !report.held);
    assert_eq!(report.connections.held, 100, "{report}");
    assert_eq!(report.deliveries.lost, 0, "{report}");
    assert_eq!(report.deliveries.received, report.deliveries.expected);
}
