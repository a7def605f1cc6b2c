//! Who watches `fourtuple load` while it runs: a person at a terminal, and Prometheus.

mod support;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use support::{
    binary::{fourtuple, on_epoll},
    prometheus::{Prometheus, check_metrics},
    relay::Relay,
    watchdog::Watchdog,
};

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is said where the Debian package is not there.
const NO_TMUX: &str = "tmux is not installed: apt-get install tmux (.ci/run does)";

/// A terminal of a server of tmux that is this test's own.
struct Terminal {
    server: String,
}

impl Terminal {
    /// A terminal of this size in which a shell runs `arguments` of `fourtuple` and then says its status.
    fn start(name: &str, (width, height): (u16, u16), arguments: &str) -> Self {
        let server = format!("fourtuple-{name}-{}", std::process::id());
        let terminal = Self { server };
        let kernel = if on_epoll() { " --kernel epoll" } else { "" };
        let script = format!(
            "{} {arguments}{kernel}; echo STATUS=$?; exec cat",
            env!("CARGO_BIN_EXE_fourtuple")
        );
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            &script,
        ]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        let output = command
            .args(["-L", &self.server])
            .args(arguments)
            .output()
            .expect(NO_TMUX);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn seen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the terminal shows all of these words.
    #[track_caller]
    fn wait_for(&self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.seen();
            if words.iter().all(|word| seen.contains(word)) {
                return seen;
            }
            assert!(Instant::now() < deadline, "{words:?} are not in:\n{seen}");
            thread::yield_now();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.server, "kill-server"])
            .output();
    }
}

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
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n")
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
        thread::yield_now();
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
        thread::yield_now();
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
