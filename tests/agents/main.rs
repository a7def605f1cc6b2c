//! Several machines that act as one crowd: agents in network namespaces of their own against one server, and
//! agents that are not let in.

#[path = "../support/mod.rs"]
mod support;

mod doors;
mod hands;
mod search;
mod sshd;
mod village;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use support::{
    binary::{assert_status, fourtuple, output_of},
    relay::Relay,
};

use self::{
    hands::{Hand, Lead, PATIENCE, file},
    village::Village,
};

/// The machines of a test: a server on the first, an agent on each of the others.
struct Scene {
    agents: Vec<Hand>,
    server: Relay,
    village: Village,
}

impl Scene {
    fn set() -> Option<Self> {
        let village = Village::build(4)?;
        let listen = format!("{}:0", Village::address(0));
        let admin = ["--admin-listen", "127.0.0.1:0"];
        let server = Relay::start_on(village.fourtuple(0), &listen, &admin);
        let agent = |house| {
            let listen = format!("{}:7070", Village::address(house));
            Hand::start(village.fourtuple(house), &listen, &[])
        };
        let agents = (1..4).map(agent).collect();
        Some(Self {
            agents,
            server,
            village,
        })
    }

    /// A run that is led from the server's machine.
    fn lead(&self, name: &str, flags: &str) -> Lead {
        let command = self.village.fourtuple(0);
        Lead::start(command, &self.server.url(), &self.agents, name, flags)
    }

    /// Waits until a counter of the server's is `count`.
    #[track_caller]
    fn assert_counter(&self, name: &str, count: u64) {
        let (admin, since) = (self.server.admin(), Instant::now());
        loop {
            let text = self.village.at(0, || scrape(admin));
            let value = sum(&text, name);
            if value == Some(count as f64) {
                return;
            }
            let is_late = since.elapsed() > Duration::from_secs(10);
            assert!(!is_late, "{name} is {value:?} and not {count}");
            thread::yield_now();
        }
    }
}

/// The value of a series, or the sum of all of that name.
fn sum(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_meant = series == name || series.split('{').next() == Some(name);
        value.parse::<f64>().ok().filter(|_| is_meant)
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

fn scrape(admin: SocketAddr) -> String {
    let mut stream = TcpStream::connect(admin).expect("the control plane listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time to wait");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

fn number(report: &Value, pointer: &str) -> u64 {
    let value = report.pointer(pointer).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("{pointer} is no number: {report:#}"))
}

#[test]
fn three_machines_are_one_crowd_whose_counts_are_the_servers() {
    let Some(scene) = Scene::set() else { return };
    let flags = "--connections 300 --rate 1000 --join room:{} --topics 7 --hold 2s --publish 5/s \
                 --push 1/s";
    let report = scene.lead("three", flags).end().report(0);
    assert_eq!(number(&report, "/connections/held"), 300);
    assert_eq!(number(&report, "/publishes/sent"), 70);
    // Each of 300 members has ten of its own topic, whichever machine sent them.
    assert_eq!(number(&report, "/deliveries/expected"), 3_000);
    assert_eq!(number(&report, "/deliveries/received"), 3_000);
    assert_eq!(number(&report, "/pushes/answered"), 600);
    // Only those on the publisher's machine are timed.
    let timed = number(&report, "/latency/delivery/count");
    assert!((700..1_500).contains(&timed), "{timed}");
    assert_eq!(number(&report, "/latency/last_delivery/count"), 70);
    let machines = report["machines"].as_array().expect("a list");
    let held: Vec<_> = machines.iter().map(|one| number(one, "/held")).collect();
    assert_eq!(held, [100, 100, 100]);
    // At 1,000 per second the whole crowd takes 0.3 s, as one machine's, and not a third of that.
    assert!(number(&report, "/opening_ms") >= 299, "{report:#}");

    scene.assert_counter("fourtuple_accepted_connections_total", 300);
    scene.assert_counter("fourtuple_joins_total{outcome=\"granted\"}", 300);
    scene.assert_counter("fourtuple_connections", 0);
    // Pushes of these clients are broadcast, too: 600, each to its topic of 43 or 42.
    let pushed: u64 = (0..7)
        .map(|topic| if topic < 6 { 43 } else { 42 })
        .map(|n: u64| 2 * n * n)
        .sum();
    scene.assert_counter("fourtuple_deliveries_total", 3_000 + pushed);
}

#[test]
fn broadcasts_reach_all_machines_and_a_share_of_each_comes_back() {
    let Some(scene) = Scene::set() else { return };
    let flags = "--connections 90 --rate 1000 --join room:{} --topics 2 --hold 100ms --broadcasts 4 \
                 --drop 11%";
    let run = scene.lead("broadcasts", flags);
    run.until("done");
    let report = run.end().report(0);
    let broadcasts = report["broadcasts"].as_array().expect("a list");
    assert_eq!(broadcasts.len(), 4);
    for one in broadcasts {
        assert_eq!((number(one, "/sent"), number(one, "/received")), (2, 90));
        assert_eq!(number(one, "/lost"), 0);
    }
    assert_eq!(number(&report, "/deliveries/received"), 360);
    // 9.9 of 90, rounded down as on one machine.
    assert_eq!(number(&report, "/drop/dropped"), 9);
    assert_eq!(number(&report, "/drop/back"), 9);
    scene.assert_counter("fourtuple_accepted_connections_total", 99);
}

#[test]
fn a_machine_that_is_killed_is_reported_with_its_share_and_the_others_go_on() {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    let flags = "--connections 90 --rate 1000 --join room:{} --topics 9 --hold 3s --publish 5/s";
    let run = scene.lead("killed", flags);
    run.until("holding");
    // The coordinator has heard how many are there, at the gate.
    scene.agents[1].kill();
    let ran = run.end();
    let report = ran.report(1);
    assert_eq!(number(&report, "/connections/ready"), 90);
    assert_eq!(number(&report, "/connections/held"), 60);
    let dropped = &report["dropped"][0];
    assert_eq!(dropped["class"], "agent_lost");
    assert_eq!(dropped["count"], 30);
    assert_eq!(report["interrupted"], false);
    assert!(number(&report, "/hold_ms") >= 3_000, "{report:#}");
    assert_eq!(number(&report, "/deliveries/lost"), 0);
    let said = ran.out();
    let lost = "agent 10.77.0.3:7070 was lost with 33.3 % of the connections";
    assert!(said.contains(lost), "{said}");

    // Two are left, and one of them is asked to give up with the other.
    scene.agents.remove(1);
    let flags = "--connections 40 --rate 1000 --hold 40s --on-agent-loss stop";
    let run = scene.lead("stopped", flags);
    run.until("holding");
    scene.agents[1].kill();
    let report = run.end().report(1);
    assert_eq!(report["interrupted"], true);
    assert_eq!(number(&report, "/connections/held"), 20);
    assert!(number(&report, "/hold_ms") < 40_000, "{report:#}");
}

#[test]
fn a_script_is_run_by_all_machines_and_counted_once() {
    let Some(scene) = Scene::set() else { return };
    let script = file("three.yml");
    fs::write(file("names.csv"), "ada\nbob\neve\n").expect("a file");
    let text = format!(
        "config:\n  target: {}\n  phases:\n    - {{duration: 2, arrivalCount: 100}}\n  \
         payload: [{{path: names.csv, fields: [name], order: sequence}}]\n  \
         ensure: {{thresholds: [{{vusers.session_length.p95: 9000}}]}}\n\
         scenarios:\n  - engine: phoenix\n    flow:\n      \
         - join: {{topic: 'room:{{{{ name }}}}-{{{{ $randomNumber(1, 999999) }}}}'}}\n      \
         - push: {{event: new_msg, payload: {{body: hello}}, reply: true}}\n",
        scene.server.url()
    );
    fs::write(&script, text).expect("a file");
    let path = script.to_str().expect("a path of this workspace");
    let command = scene.village.fourtuple(0);
    let report = Lead::start(command, path, &scene.agents, "script", "")
        .end()
        .report(0);
    assert_eq!(report["aggregate"]["counters"]["vusers.completed"], 100);
    assert_eq!(report["aggregate"]["counters"]["vusers.failed"], 0);
    let machines = report["fourtuple"]["machines"].as_array().expect("a list");
    let users: Vec<_> = machines.iter().map(|one| number(one, "/asked")).collect();
    assert_eq!(users.iter().sum::<u64>(), 100);
    assert!(
        users.iter().all(|users| (32..=35).contains(users)),
        "{users:?}"
    );
    assert_eq!(report["fourtuple"]["checks"][0]["ok"], true);
    // The limits in the timeline are those of the machines that carry users, each by its name.
    let periods = report["fourtuple"]["timeline"]["periods"].as_array();
    let limits = periods.expect("a timeline").iter();
    let limits = limits.flat_map(|one| one["limits"].as_array().expect("a list"));
    let whose: BTreeSet<_> = limits.map(|one| one["whose"].as_str()).collect();
    let agents = scene.agents.iter();
    assert_eq!(
        whose,
        agents.map(|one| Some(one.address.as_str())).collect()
    );
    // What it leaves behind can be compared.
    let left = file("script.json");
    let mut compare = fourtuple();
    let compared = output_of(compare.args(["load", "compare"]).args([&left, &left]));
    assert_status(&compared, 0);
    scene.assert_counter("fourtuple_accepted_connections_total", 100);
    scene.assert_counter("fourtuple_joins_total{outcome=\"granted\"}", 100);
}

#[test]
fn storms_and_several_sockets_are_divided_and_counted_once() {
    let server = Relay::start(&[]);
    let agents = [
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
    ];
    let script = file("storm.yml");
    let text = format!(
        "config:\n  target: {0}\n  reconnect: true\n  phases:\n    - {{duration: 1, arrivalCount: 40}}\n    \
         - {{pause: 1}}\n    - {{pause: 2, drop: 50%, churn: 20/s}}\n\
         scenarios:\n  - engine: phoenix\n    sockets: {{feed: '{0}'}}\n    flow:\n      \
         - join: room:lobby\n      - open: feed\n      - join: {{topic: 'room:{{{{ $uuid }}}}'}}\n        on: feed\n      \
         - think: 5\n      - push: {{event: new_msg, payload: {{a: 1}}, reply: true}}\n        on: feed\n",
        server.url()
    );
    fs::write(&script, text).expect("a file");
    let path = script.to_str().expect("a path of this workspace");
    let report = Lead::start(fourtuple(), path, &agents, "storm", "")
        .end()
        .report(0);
    assert_eq!(
        report["aggregate"]["counters"]["vusers.completed"], 40,
        "{report:#}"
    );
    let count = |name: &str| number(&report["fourtuple"]["counters"], &format!("/{name}"));
    assert_eq!(count("websocket.sockets_opened"), 80);
    // Two sockets of half of the users, five more or fewer, and forty of all, one by one.
    let disconnected = count("websocket.disconnected");
    assert!((70..=90).contains(&disconnected), "{disconnected}");
    assert_eq!(count("websocket.reconnected"), disconnected);
    let back = &report["fourtuple"]["summaries"]["websocket.back_time"];
    assert_eq!(number(back, "/count"), disconnected);
}

#[test]
fn a_run_that_is_ended_early_is_reported_and_one_that_is_cut_off_is_closed() {
    let server = Relay::start_with_admin(&[]);
    let agents = [
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
    ];
    let lead =
        |name: &str, flags: &str| Lead::start(fourtuple(), &server.url(), &agents, name, flags);
    let run = lead("ended", "--connections 40 --rate 1000 --hold 50s");
    run.until("holding");
    run.signal(Signal::INT);
    let report = run.end().report(1);
    assert_eq!(report["interrupted"], true);
    assert_eq!(number(&report, "/connections/held"), 40);

    let run = lead("cut", "--connections 40 --rate 1000 --hold 50s");
    run.until("holding");
    let busy = lead("busy", "--connections 4 --hold 0s").end();
    busy.assert_status(2);
    assert!(
        busy.err().contains("it is busy: it has served 127.0.0.1:"),
        "{}",
        busy.err()
    );
    run.signal(Signal::KILL);
    let _ = run.end();
    // The agents notice, close everything and serve the next.
    let since = Instant::now();
    loop {
        let ran = lead("next", "--connections 4 --rate 1000 --hold 0s").end();
        if ran.output.status.code() == Some(0) {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{}", ran.err());
    }
    let admin = server.admin();
    let is_empty = || sum(&scrape(admin), "fourtuple_connections") == Some(0.0);
    let since = Instant::now();
    while !is_empty() {
        assert!(since.elapsed() < PATIENCE, "connections were left behind");
        thread::yield_now();
    }
}

#[test]
fn who_comes_back_while_another_machine_publishes_misses_nothing_that_it_could_have() {
    let mut server = Relay::start_alone(&[]);
    let agents = [
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
        Hand::start(fourtuple(), "127.0.0.1:0", &[]),
    ];
    let flags = "--connections 40 --rate 1000 --join room:{} --topics 3 --hold 10s --publish 20/s \
                 --reconnect";
    let run = Lead::start(fourtuple(), &server.url(), &agents, "back", flags);
    run.until("holding");
    server.restart();
    // What came due while nobody was there to send it is said.
    let report = run.end().report(1);
    let shortfalls = report["shortfalls"].as_array().expect("a list");
    let is_unsent = |one: &Value| {
        one.as_str()
            .is_some_and(|one| one.starts_with("publishes not sent"))
    };
    assert!(shortfalls.iter().all(is_unsent), "{shortfalls:?}");
    assert_eq!(number(&report, "/connections/held"), 40);
    assert!(number(&report, "/returns/disconnected") >= 40, "{report:#}");
    let deliveries = |name: &str| number(&report, &format!("/deliveries/{name}"));
    assert_eq!(
        deliveries("lost") + deliveries("duplicated") + deliveries("misrouted"),
        0
    );
    let ends = deliveries("received") + deliveries("dropped");
    assert_eq!(deliveries("expected"), ends, "{report:#}");
    // Who came back got messages afterwards: a tenth of those of the hold, however long that took.
    let back = number(&report, "/returns/back");
    assert!(deliveries("received") >= 20 * back, "{report:#}");
}
