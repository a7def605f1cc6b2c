//! Who watches `fourtuple load` while it runs: a person at a terminal, and Prometheus.

#[path = "../support/mod.rs"]
mod support;

mod terminal;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    net::{AddressFamily, SocketType, bind, getsockname, socket},
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;
use support::{
    binary::{fourtuple, on_epoll},
    prometheus::{Prometheus, check_metrics},
    relay::Relay,
    watchdog::Watchdog,
};

use self::terminal::Terminal;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long it is between two looks at what tells nobody that it has changed.
const PAUSE: Duration = Duration::from_millis(50);

#[test]
fn a_view_fits_its_window_and_leaves_the_terminal_with_the_report() {
    let server = Relay::start(&[]);
    let arguments = format!(
        "load {} --connections 40 --join room:lobby --publish 10/s --hold 10m --shards 1",
        server.url()
    );
    let terminal = Terminal::start("view", (40, 12), &arguments);
    let small = terminal.wait_for(&["holding", "40 of 40 up", "q ends the run"]);
    assert_eq!(small.lines().count(), 12, "{small}");
    assert!(
        small.lines().all(|line| line.chars().count() <= 40),
        "{small}"
    );
    terminal.tmux(&["resize-window", "-x", "100", "-y", "40"]);
    terminal.wait_for(&[
        "per second:",
        "delivery",
        "p99 now",
        "RLIMIT_NOFILE",
        "processors",
        "█",
        "holding",
    ]);
    terminal.tmux(&["send-keys", "q"]);
    // The report is printed on the screen that was there before, and nothing of the view is left.
    let after = terminal.wait_for(&["NOT held", "STATUS=1"]);
    assert!(!after.contains("q ends the run"), "{after}");
    let state = terminal.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
    assert_eq!(state.trim(), "0 1", "the first screen, with a cursor");
}

#[test]
fn a_signal_gives_the_terminal_back_and_plain_takes_none() {
    let server = Relay::start(&[]);
    let load = format!(
        "load {} --connections 10 --hold 10m --shards 1",
        server.url()
    );
    let terminal = Terminal::start("signal", (80, 24), &load);
    terminal.wait_for(&["holding", "10 of 10 up"]);
    let shell = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
    let child = Command::new("pgrep")
        .args(["-P", shell.trim()])
        .output()
        .expect("procps");
    let pid = String::from_utf8_lossy(&child.stdout).trim().parse().ok();
    let pid = pid
        .and_then(Pid::from_raw)
        .expect("the shell has one child");
    kill_process(pid, Signal::TERM).expect("it is there");
    terminal.wait_for(&["NOT held", "STATUS=1"]);
    let state = terminal.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
    assert_eq!(state.trim(), "0 1", "the first screen, with a cursor");

    let terminal = Terminal::start("plain", (80, 24), &format!("{load} --plain"));
    terminal.wait_for(&["holding", "10 of 10 up"]);
    let state = terminal.tmux(&["display-message", "-p", "#{alternate_on}"]);
    assert_eq!(state.trim(), "0", "{}", terminal.seen());
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.wait_for(&["NOT held", "STATUS=1"]);
}

/// A crowd that shows itself to Prometheus, and where.
fn shown(arguments: &[&str]) -> (Child, Watchdog, String) {
    let mut command = fourtuple();
    command
        .arg("load")
        .args(arguments)
        .args(["--metrics", "127.0.0.1:0"]);
    if on_epoll() {
        command.args(["--kernel", "epoll"]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let watchdog = Watchdog::over(&child, PATIENCE);
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let addr = lines.find_map(|line| {
        let line = line.expect("text");
        let rest = line.strip_prefix("metrics at http://")?;
        rest.strip_suffix("/metrics").map(str::to_owned)
    });
    // Whoever does not read what it says would hold it up.
    thread::spawn(move || lines.for_each(drop));
    (child, watchdog, addr.expect("it says where"))
}

fn scrape(addr: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream
        .write_all(format!("GET /metrics HTTP/1.1\r\nhost: {addr}\r\n\r\n").as_bytes())
        .expect("room");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    body.to_owned()
}

fn value(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

#[track_caller]
fn assert_promtool_is_content(text: &str) {
    let Output {
        status,
        stdout,
        stderr,
    } = check_metrics(text);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    assert!(status.success() && said.is_empty(), "{said}\n{text}");
}

#[test]
fn prometheus_sees_a_run_while_it_goes_on() {
    let server = Relay::start(&[]);
    let (mut child, _watchdog, addr) = shown(&[
        &server.url(),
        "--connections",
        "20",
        "--join",
        "room:lobby",
        "--publish",
        "20/s",
        "--push",
        "1/s",
        "--hold",
        "10m",
        "--shards",
        "1",
        "--event",
        "new_msg",
    ]);
    let deadline = Instant::now() + PATIENCE;
    let text = loop {
        let text = scrape(&addr);
        if value(&text, "fourtuple_load_received_total") > 0.0 {
            break text;
        }
        assert!(Instant::now() < deadline, "nothing was received:\n{text}");
        thread::park_timeout(PAUSE);
    };
    assert_eq!(
        value(&text, "fourtuple_load_connections_ready"),
        20.0,
        "{text}"
    );
    assert_eq!(value(&text, "fourtuple_load_readied_total"), 20.0, "{text}");
    let joins = value(&text, "fourtuple_load_latency_seconds_count{of=\"join\"}");
    assert_eq!(joins, 20.0, "{text}");
    assert!(
        text.contains("fourtuple_load_limit_ceiling{whose=\"this machine\""),
        "{text}"
    );
    assert_promtool_is_content(&text);
    let prometheus = over(&addr);
    assert_eq!(
        value_in(&prometheus, "fourtuple_load_connections_ready == 20"),
        20.0
    );
    assert!(value_in(&prometheus, "rate(fourtuple_load_received_total[5s]) > 0") > 0.0);
    let median =
        "histogram_quantile(0.5, sum by (le) (fourtuple_load_latency_seconds_bucket{of=\"join\"}))";
    assert!(value_in(&prometheus, &format!("{median} > 0")) < 10.0);
    drop(prometheus);
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("it is our child").code(), Some(1));
}

/// An agent of a crowd, which is killed with this value.
struct Agent {
    child: Child,
    address: String,
}

impl Agent {
    fn start() -> Self {
        let mut command = fourtuple();
        let mut child = command
            .args(["load", "agent", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let watchdog = Watchdog::over(&child, PATIENCE);
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("text");
        assert!(!watchdog.had_to_kill(), "it did not say where it listens");
        let address = line.trim().strip_prefix("listening on ");
        let address = address.expect("it says where").to_owned();
        Self { child, address }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_on_agents_is_seen_while_it_goes_on_as_one_of_this_machine() {
    let server = Relay::start(&["--max-connections", "30"]);
    let agents = [Agent::start(), Agent::start()];
    let list = agents.each_ref().map(|agent| agent.address.as_str());
    let (mut child, _watchdog, addr) = shown(&[
        &server.url(),
        "--agents",
        &list.join(","),
        "--connections",
        "40",
        "--join",
        "room:lobby",
        "--publish",
        "20/s",
        "--push",
        "1/s",
        "--hold",
        "10m",
        "--shards",
        "1",
        "--event",
        "new_msg",
    ]);
    let deadline = Instant::now() + PATIENCE;
    let of = |what: &str| format!("fourtuple_load_latency_seconds_count{{of=\"{what}\"}}");
    let text = loop {
        let text = scrape(&addr);
        if value(&text, &of("delivery")) > 0.0 && value(&text, &of("push_reply")) > 0.0 {
            break text;
        }
        assert!(Instant::now() < deadline, "no latencies were seen:\n{text}");
        thread::park_timeout(PAUSE);
    };
    // What both have seen of the second in which all was opened.
    assert_eq!(value(&text, &of("join")), 30.0, "{text}");
    assert_eq!(value(&text, "fourtuple_load_readied_total"), 30.0, "{text}");
    let failed = "fourtuple_load_errors_total{class=\"http_status\"}";
    assert_eq!(value(&text, failed), 10.0, "{text}");
    for agent in &agents {
        let limit = format!(
            "fourtuple_load_limit_ceiling{{whose=\"{}\",limit=\"processors\"}}",
            agent.address
        );
        assert!(value(&text, &limit) > 0.0, "{limit}:\n{text}");
    }
    assert!(!text.contains("whose=\"this machine\""), "{text}");
    assert_promtool_is_content(&text);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("it is our child").code(), Some(1));
}

#[test]
fn a_view_of_agents_says_whose_limits_are_fullest_and_who_is_waited_for() {
    let server = Relay::start(&[]);
    let agent = Agent::start();
    // Nobody listens at an address that was bound and is not listened at.
    let silent = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&silent, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let name = getsockname(&silent).expect("it is bound");
    let missing = SocketAddr::try_from(name).expect("an address of IPv4");
    let arguments = format!(
        "load {} --agents {},{missing} --agents-wait 1m --connections 40 --join room:lobby \
         --publish 10/s --hold 10m --shards 1",
        server.url(),
        agent.address,
    );
    let terminal = Terminal::start("view-agents", (110, 40), &arguments);
    let waiting = format!("waiting for agent {missing}");
    let seen = terminal.wait_for(&[&waiting, "q ends the run"]);
    assert!(
        seen.lines().any(|line| line.starts_with(&waiting)),
        "a line of the view: {seen}"
    );
    terminal.tmux(&["send-keys", "q"]);
    terminal.wait_for(&["ended before the agents began", "STATUS=2"]);

    let arguments = arguments.replace(&format!(",{missing}"), "");
    let terminal = Terminal::start("view-agent", (110, 40), &arguments);
    let whose = format!("({})", agent.address);
    let words = [
        "holding",
        "40 of 40 up",
        "delivery",
        "p99 now",
        "processors",
        &whose,
    ];
    terminal.wait_for(&words);
    terminal.tmux(&["send-keys", "q"]);
    terminal.wait_for(&["NOT held", "STATUS=1"]);
}

#[test]
fn lines_that_nobody_reads_hold_up_no_user_and_are_counted() {
    const USERS: u64 = 10;
    const LINES: u64 = 600;
    let server = Relay::start_with_admin(&[]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (script, report) = (folder.join("lines.yml"), folder.join("lines.json"));
    let text = format!(
        "config:\n  target: {}\n  phases:\n    - {{duration: 1, arrivalCount: {USERS}}}\n\
         scenarios:\n  - engine: phoenix\n    flow:\n      - join: {{topic: 'room:lobby'}}\n      \
         - loop:\n          - log: 'logged {}'\n        count: {LINES}\n",
        server.url(),
        "x".repeat(200),
    );
    fs::write(&script, text).expect("a file");
    let mut command = fourtuple();
    command
        .arg("load")
        .arg(&script)
        .arg("--output")
        .arg(&report);
    command.args(["--shards", "1"]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let watchdog = Watchdog::over(&child, PATIENCE);
    // Nobody reads until all users have come and gone.
    let admin = server.admin().to_string();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = scrape(&admin);
        let came = value(&text, "fourtuple_accepted_connections_total");
        if came == USERS as f64 && value(&text, "fourtuple_connections") == 0.0 {
            break;
        }
        assert!(Instant::now() < deadline, "users are held up: {text}");
        thread::park_timeout(PAUSE);
    }
    let output = child.wait_with_output().expect("it is our child");
    assert!(!watchdog.had_to_kill(), "it did not end");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = String::from_utf8_lossy(&output.stdout);
    let shown = shown.lines().filter(|line| line.starts_with("logged x"));
    let report = fs::read_to_string(&report).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let dropped = &report["fourtuple"]["counters"]["vusers.lines_dropped"];
    let dropped = dropped.as_u64().unwrap_or_else(|| panic!("{report:#}"));
    assert!(dropped > 0);
    assert_eq!(shown.count() as u64 + dropped, USERS * LINES);
}

/// A Prometheus that scrapes this address twice a second.
fn over(target: &str) -> Prometheus {
    let configuration = format!(
        "global: {{scrape_interval: 500ms}}\nscrape_configs:\n  - job_name: crowd\n    \
         static_configs: [{{targets: [\"{target}\"]}}]\n"
    );
    Prometheus::start("onlookers-prometheus", &configuration)
}

/// The value of an expression without labels, once there is one.
#[track_caller]
fn value_in(prometheus: &Prometheus, expression: &str) -> f64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = prometheus.query(expression).unwrap_or_default();
        if let Some((_, value)) = found.first() {
            return *value;
        }
        assert!(Instant::now() < deadline, "{expression} has no value");
        thread::park_timeout(PAUSE);
    }
}

#[test]
fn an_address_that_is_taken_is_said_before_the_run() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let mut command = fourtuple();
    command.args(["load", "ws://127.0.0.1:1/socket", "--metrics", &addr]);
    let output = support::binary::output_of(&mut command);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("is another program there?"), "{told}");
}
