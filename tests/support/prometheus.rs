//! A real Prometheus, and its tool that judges metrics.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use serde_json::Value;

/// What is said where the Debian package is not there.
pub(crate) const MISSING: &str =
    "Prometheus is not installed: apt-get install prometheus (.ci/run does)";

/// How long it may take to say where it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Prometheus, which ends with this value.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one with this configuration, whose files are in a folder of this name.
    pub(crate) fn start(name: &str, configuration: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // What an earlier run has left is not what was done now.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder of this test");
        let file = folder.join("prometheus.yml");
        fs::write(&file, configuration).expect("its configuration is written");
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect(MISSING);
        let stderr = child.stderr.take().expect("it is piped");
        let log = fs::File::create(folder.join("log")).expect("a file of this test");
        let address = follow(stderr, log).recv_timeout(PATIENCE);
        let prometheus = |address| Self { child, address };
        match address {
            Ok(address) => prometheus(address),
            Err(error) => {
                drop(prometheus(SocketAddr::from(([0; 4], 0))));
                panic!("it did not say where it listens ({error}): see {name}/log");
            }
        }
    }

    /// The values of an expression now, each with its labels; none while it does not answer or does not understand.
    pub(crate) fn query(&self, expression: &str) -> Option<Vec<(Value, f64)>> {
        // Listening comes last of what it does at its start.
        let mut stream = TcpStream::connect(self.address).ok()?;
        let encoded: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let request = format!(
            "GET /api/v1/query?query={encoded} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let answer: Value = serde_json::from_str(body).ok()?;
        let result = answer["data"]["result"].as_array()?;
        let value = |it: &Value| {
            let value = it["value"][1].as_str()?.parse().ok()?;
            Some((it["metric"].clone(), value))
        };
        result.iter().map(value).collect()
    }
}

/// Keeps what a Prometheus says; gives the address that it says it listens on.
fn follow(stderr: ChildStderr, mut log: fs::File) -> Receiver<SocketAddr> {
    let (found, said) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Without the file it is only harder to see what went wrong.
            let _ = writeln!(log, "{line}");
            let address = line.split_once("msg=\"Listening on\" address=");
            if let Some(address) = address.and_then(|(_, address)| address.trim().parse().ok()) {
                let _ = found.try_send(address);
            }
        }
    });
    said
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already; either way nothing of it is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What `promtool check metrics` says of a text.
pub(crate) fn check_metrics(text: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(MISSING);
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it is our child")
}
