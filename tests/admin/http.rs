//! A server with an admin side, and requests to it, byte by byte.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::{binary::fourtuple, relay::Relay};

/// How long anything may take before the test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server whose admin side is on a free port.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) relay: Relay,
    pub(crate) admin: SocketAddr,
    pub(crate) scheme: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Server {
    /// Starts it with this configuration, on the loopback.
    pub(crate) fn start(name: &str, config: &str) -> Self {
        Self::start_at("127.0.0.1:0", name, config)
    }

    /// The same, with its admin side at this address.
    pub(crate) fn start_at(address: &str, name: &str, config: &str) -> Self {
        let path = file(&format!("{name}.toml"), config);
        let config = path.to_str().expect("a path in UTF-8");
        let flags = [
            "--config",
            config,
            "--shards",
            "2",
            "--admin-listen",
            address,
        ];
        let relay = Relay::start(&flags);
        let url = until(|| {
            let output = relay.output();
            let (_, rest) = output.split_once("API are at ")?;
            Some(rest.split_once("/\n")?.0.to_owned())
        });
        let (scheme, address) = url.split_once("://").expect("a URL");
        let admin: SocketAddr = address.parse().expect("an address");
        Self {
            relay,
            admin: SocketAddr::from(([127, 0, 0, 1], admin.port())),
            scheme: scheme.to_owned(),
        }
    }

    /// Sends a request with these headers besides those that it must have.
    pub(crate) fn ask(&self, request: &str, headers: &[(&str, &str)]) -> Answer {
        let body = if request.starts_with("GET") { "" } else { "{}" };
        self.ask_from("127.0.0.1", request, headers, body)
    }

    /// The same from an address of the loopback network, with a body.
    pub(crate) fn ask_from(
        &self,
        from: &str,
        request: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let stream = connect_from(from, self.admin);
        let host = self.admin.to_string();
        exchange(stream, &host, request, headers, body)
    }

    /// Waits until the server has said this.
    pub(crate) fn until_said(&self, words: &str) {
        until(|| self.relay.output().contains(words).then_some(()));
    }
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (own, value) = line.split_once(": ")?;
            own.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem: serde_json::Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(problem["status"], status, "{self:?}");
        let kind = problem["type"].as_str().expect("a type");
        assert!(kind.contains("docs/api.md#"), "{kind} is explained nowhere");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(words), "{detail}");
    }
}

/// Sends one request, and reads what comes until the end.
pub(crate) fn exchange(
    mut stream: impl Read + Write,
    host: &str,
    request: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    send(&mut stream, host, request, headers, body);
    let mut answer = Vec::new();
    // A server that ends TLS without a goodbye has said all the same.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("{request}: {answer:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

pub(crate) fn send(
    stream: &mut impl Write,
    host: &str,
    request: &str,
    headers: &[(&str, &str)],
    body: &str,
) {
    let mut text = format!("{request} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text += &format!("Host: {host}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "Content-Type") {
            text += "Content-Type: application/json\r\n";
        }
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("\r\n{body}");
    stream.write_all(text.as_bytes()).expect("the server reads");
}

/// Connects from an address of the loopback network, all of which is ours.
pub(crate) fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

    let from: std::net::IpAddr = from.parse().expect("an address");
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::new(from, 0)).expect("an address of this machine");
    connect(&socket, &to).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}

/// The lines of an answer as they come.
pub(crate) fn lines(stream: impl Read) -> impl Iterator<Item = String> {
    BufReader::new(stream).lines().map_while(Result::ok)
}

/// Waits for something that must come.
#[track_caller]
pub(crate) fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(met) = condition() {
            return met;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "it did not come in {PATIENCE:?}"
        );
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// A file of one test alone.
pub(crate) fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("admin-{name}"));
    fs::write(&path, text).expect("the test's folder can be written");
    path
}

/// A new key: what its owner shows, and the lines for the configuration.
pub(crate) fn new_key(name: &str, scopes: &str) -> (String, String) {
    let output = fourtuple()
        .args(["key", "--name", name, "--scopes", scopes])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let key = said.lines().find(|line| line.starts_with("ft_"));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    (format!("Bearer {}", key.expect("a key")), lines)
}

/// A new user: what a browser shows, and the lines for the configuration.
pub(crate) fn new_user(name: &str, password: &str, scopes: &str) -> (String, String) {
    let mut child = fourtuple()
        .args(["key", "--user", name, "--scopes", scopes])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut input = child.stdin.take().expect("it is piped");
    writeln!(input, "{password}").expect("it is read");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!lines.contains(password));
    (basic(name, password), lines)
}

pub(crate) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}
