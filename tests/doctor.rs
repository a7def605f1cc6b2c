//! `fourtuple plan` and `fourtuple doctor` as a person at a terminal and a program in a script meet them.

mod support;

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    binary::{fourtuple, output_of},
    relay::Relay,
};

fn run(arguments: &[&str]) -> Output {
    output_of(fourtuple().args(arguments))
}

#[track_caller]
fn text(output: &Output, status: i32) -> String {
    let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8_lossy(out).into_owned();
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    out
}

#[track_caller]
fn complaint(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(text(&output, 2), "");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn json(arguments: &[&str], status: i32) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&text(&run(&arguments), status)).expect("JSON")
}

fn file(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_file(&path);
    path
}

#[test]
fn two_million_take_34_source_addresses() {
    let said = text(&run(&["plan", "--connections", "2000000"]), 0);
    assert!(
        said.starts_with("2,000,000 connections fit this plan.\n"),
        "{said}"
    );
    assert!(
        said.contains("34 source addresses with 60,000 ports each"),
        "{said}"
    );
    assert!(said.contains("one port for all"), "it is drawn: {said}");
    let plan = json(&["plan", "--connections", "2000000"], 0);
    let needed = &plan["sources"]["needed"];
    assert_eq!(needed["safe_count"], 34, "{needed}");
}

#[test]
fn what_binds_first_is_said_first() {
    let few = [
        "plan",
        "--connections",
        "2000000",
        "--client-machines",
        "31",
    ];
    let said = text(&run(&few), 1);
    assert!(
        said.starts_with("2,000,000 connections do not fit this plan.\nBinds first: source tuples"),
        "{said}"
    );
    let small = ["plan", "--connections", "2000000", "--server-memory", "4G"];
    let said = text(&run(&small), 1);
    assert!(said.contains("Binds first: memory"), "{said}");
}

#[test]
fn the_drawing_is_a_file_that_a_browser_reads() {
    let path = file("plan.svg");
    let name = path.to_str().expect("a name");
    text(&run(&["plan", "--connections", "1000", "--svg", name]), 0);
    let svg = fs::read_to_string(&path).expect("the drawing");
    assert!(svg.starts_with("<svg") || svg.starts_with("<?xml"), "{svg}");
    assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
}

#[test]
fn a_plan_that_cannot_be_is_refused_with_what_was_expected() {
    assert!(complaint(&["plan"]).contains("--connections"));
    assert!(complaint(&["plan", "--connections", "0"]).contains("1..="));
    let nat = complaint(&["plan", "--connections", "9", "--nat", "gcp:4"]);
    assert!(nat.contains("expected linux, aws-nat-gateway"), "{nat}");
    let memory = complaint(&["plan", "--connections", "9", "--server-memory", "lots"]);
    assert!(memory.contains("lots"), "{memory}");
}

#[test]
fn the_doctor_says_how_many_a_machine_holds() {
    let said = text(&run(&["doctor"]), 0);
    assert!(
        said.contains("as server") && said.contains("any program"),
        "{said}"
    );
    let most = json(&["doctor"], 0);
    let rows = most["holds"].as_array().expect("rows");
    assert_eq!(rows.len(), 6);
    // What is said to fit does, and one more does not.
    let row = &rows[0];
    let fits = row["connections_max"].as_u64().expect("a number");
    let ask = |count: u64| {
        run(&["doctor", "--connections", &count.to_string()])
            .status
            .code()
    };
    // Others open and close files meanwhile, so the last few are left out of it.
    assert_eq!(ask(fits - fits / 10), Some(0));
    assert_eq!(ask(fits + fits / 10), Some(1));
}

#[test]
fn too_many_are_refused_with_the_limit_and_what_to_change() {
    let diagnosis = json(&["doctor", "--connections", "4000000000"], 1);
    assert_eq!(diagnosis["fits"], false);
    let findings = diagnosis["findings"].as_array().expect("a list");
    let first = &findings[0];
    assert_eq!(first["verdict"], "stops", "the worst comes first: {first}");
    for key in [
        "limit",
        "value",
        "needed",
        "read_from",
        "because",
        "symptom",
        "remedy",
    ] {
        assert!(!first[key].is_null(), "{key}: {first}");
    }
}

#[test]
fn who_listens_is_found_by_the_port() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let found = json(&["doctor", "--port", &port], 0);
    assert_eq!(
        found["pid"].as_u64(),
        Some(std::process::id().into()),
        "{found}"
    );
    let listeners = found["gauges"].as_array().expect("a list");
    let label = format!("accept queue of 127.0.0.1:{port}");
    assert!(
        listeners.iter().any(|gauge| gauge["label"] == *label),
        "{found:#}"
    );
    drop(listener);
    let words = complaint(&["doctor", "--port", &port]);
    assert!(words.contains("nobody listens on port"), "{words}");
}

/// Looks until what is found is as it should be.
#[track_caller]
fn found_eventually(arguments: &[&str], is_wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = run(&[arguments, &["--json"]].concat());
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        if is_wanted(&found) {
            return found;
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(Instant::now() < deadline, "{found:#}{complaint}");
    }
}

/// Each end of the list with its number.
fn numbers<'a>(list: &'a Value, end: &str) -> Vec<(&'a str, u64)> {
    let list = list.as_array().expect("a list").iter();
    list.map(|it| {
        (
            it[end].as_str().expect("an end"),
            it["live"].as_u64().expect("a number"),
        )
    })
    .collect()
}

#[test]
fn of_our_own_server_a_port_shows_what_is_on_that_port() {
    let server = Relay::start(&[]);
    let address = server.addr();
    let _clients: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(address).expect("it listens"))
        .collect();
    // Somebody else has a listener and connections, too.
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let other = other
        .local_addr()
        .map(|address| (other, address))
        .expect("bound");
    let _others = [(); 3].map(|()| TcpStream::connect(other.1).expect("it listens"));

    let (port, local) = (address.port().to_string(), address.to_string());
    let wanted = [(&*local, 20)];
    let is_wanted =
        |found: &Value| found["served"].is_array() && numbers(&found["served"], "local") == wanted;
    let found = found_eventually(&["doctor", "--port", &port], is_wanted);
    assert_eq!(found["runtime"], "fourtuple");
    assert_eq!(found["connections"], 20);
    assert_eq!(found["pairs"], Value::Array(vec![]));
    // Its listeners are found without the port, too.
    let pid = found["pid"].to_string();
    let found = found_eventually(&["doctor", "--pid", &pid], is_wanted);
    assert_eq!(found["connections"], 20);
    let gauges = found["gauges"].as_array().expect("a list");
    let queues = gauges.iter().filter(|gauge| {
        let label = gauge["label"].as_str().expect("a label");
        label.starts_with("accept queue of ")
    });
    assert_eq!(queues.count(), 1, "{gauges:#?}");
}

#[test]
fn of_our_own_crowd_the_tuples_are_those_to_where_its_url_leads() {
    let server = Relay::start(&[]);
    let mut crowd = fourtuple()
        .args([
            "load",
            &server.url(),
            "--connections",
            "30",
            "--hold",
            "1h",
            "--quiet",
        ])
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let _other = TcpStream::connect(other.local_addr().expect("bound")).expect("it listens");
    let (pid, destination) = (crowd.id().to_string(), server.addr().to_string());
    let wanted = [(&*destination, 30)];
    let found = found_eventually(&["doctor", "--pid", &pid], |found| {
        found["pairs"].is_array() && numbers(&found["pairs"], "destination") == wanted
    });
    assert_eq!(found["connections"], 30);
    assert_eq!(found["served"], Value::Array(vec![]));
    let cautions = found["cautions"].to_string();
    assert!(cautions.contains("where its URL leads"), "{cautions}");
    crowd.kill().expect("our child");
    crowd.wait().expect("our child");
}

#[test]
fn every_process_that_shares_a_port_is_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let _clients = [(); 3].map(|()| TcpStream::connect(address).expect("it listens"));
    // As a pre-fork server does it: the worker has the very listener, as its standard input.
    let ours = listener.try_clone().expect("a descriptor");
    let mut worker = Command::new("sleep")
        .arg("1000")
        .stdin(OwnedFd::from(ours))
        .spawn()
        .expect("a worker");
    let port = address.port().to_string();
    let found = json(&["doctor", "--port", &port], 0);
    let processes = found["processes"].as_array().expect("a list");
    let mut pids: Vec<_> = processes.iter().map(|it| it["pid"].as_u64()).collect();
    pids.sort_unstable();
    let mut wanted = [std::process::id(), worker.id()].map(|pid| Some(u64::from(pid)));
    wanted.sort_unstable();
    assert_eq!(pids, wanted);
    let served = numbers(&found["served"], "local");
    assert_eq!(
        served,
        [(&*address.to_string(), 3)],
        "counted once: {found:#}"
    );
    let gauges = found["gauges"].as_array().expect("a list");
    for pid in wanted.into_iter().flatten() {
        let label = format!("descriptors of process {pid}");
        assert!(gauges.iter().any(|it| it["label"] == *label), "{gauges:#?}");
    }
    let said = text(&run(&["doctor", "--port", &port]), 0);
    assert!(said.contains(": sleep\n"), "{said}");
    assert!(
        said.contains("its connections are those of all of them"),
        "{said}"
    );
    worker.kill().expect("our child");
    worker.wait().expect("our child");
}

#[test]
fn a_process_that_is_not_there_is_said_to_be_gone() {
    let mut child = Command::new("true").spawn().expect("a child");
    let pid = child.id().to_string();
    child.wait().expect("our child");
    let words = complaint(&["doctor", "--pid", &pid]);
    assert!(words.contains("the process has ended"), "{words}");
}

#[test]
fn a_watch_without_a_terminal_prints_lines() {
    let mut child = fourtuple()
        .args(["doctor", "--watch", "--interval", "10ms"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let output = child.stdout.take().expect("piped");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(output));
    // The second look has begun when its title comes.
    let titles = lines
        .map_while(Result::ok)
        .filter(|line| line.ends_with("this machine"));
    assert_eq!(titles.take(2).count(), 2);
    child.kill().expect("our child");
    child.wait().expect("our child");
}

/// The doctor in a network of its own, whose limits on listeners are its own, too.
fn in_own_network(arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--map-root-user", env!("CARGO_BIN_EXE_fourtuple")]);
    let output = output_of(command.args(arguments));
    let words = String::from_utf8_lossy(&output.stderr);
    if words.starts_with("unshare:") {
        assert!(std::env::var_os("REQUIRE_LIMITS").is_none(), "{words}");
        eprintln!("not tested: {words}");
        return None;
    }
    Some(output)
}

/// Needs a longer accept queue than any kernel begins with, and nothing else.
const DEMAND: [&str; 6] = [
    "doctor",
    "--connections",
    "100",
    "--connect-rate",
    "9000/s",
    "--fix",
];

#[test]
fn nothing_is_changed_without_being_asked_for() {
    let Some(output) = in_own_network(&DEMAND) else {
        return;
    };
    let said = text(&output, 2);
    assert!(said.contains("net.core.somaxconn"), "{said}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("`--yes`"), "{words}");
}

#[test]
fn what_was_changed_can_be_put_back() {
    let path = file("undo.conf");
    let name = path.to_str().expect("a name");
    let arguments = [&DEMAND[..], &["--yes", "--undo", name]].concat();
    let Some(output) = in_own_network(&arguments) else {
        return;
    };
    let said = text(&output, 0);
    assert!(
        said.contains("4096 -> 9000") || said.contains("128 -> 9000"),
        "{said}"
    );
    let undo = fs::read_to_string(&path).expect("the undo file");
    assert!(undo.contains("\nnet.core.somaxconn = "), "{undo}");
    // Another time it would overwrite what was before.
    let again = in_own_network(&arguments).expect("as before");
    let words = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(2), "{words}");
    assert!(words.contains("name another with --undo"), "{words}");
}
