//! Proxies: one that nobody here wrote (`main.mjs`), and some that are none.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, LazyLock, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::support::driver::install_node;

/// The package, installed as its lock file says; once for all tests.
static INSTALLED: LazyLock<()> = LazyLock::new(|| {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy");
    install_node(&home).unwrap_or_else(|error| panic!("{error}"));
});

/// How long something may take to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running proxy, which ends with this value.
pub(crate) struct Proxy {
    child: Child,
    port: u16,
    /// What it was asked for.
    asked: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Proxy {
    /// For anybody, or for this `user:password` alone.
    pub(crate) fn start(credentials: Option<&str>) -> Self {
        LazyLock::force(&INSTALLED);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy/main.mjs");
        let mut command = Command::new("node");
        command.arg(program).args(credentials);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("node is installed (.ci/run says what the tests need)");
        let out = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        let first = lines.next().expect("its port");
        let port = first.strip_prefix("port ").expect("its port").parse();
        let asked = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            for line in lines {
                let mut all = heard.0.lock().expect("nobody panics with it");
                all.push(line);
                heard.1.notify_all();
            }
        });
        Self {
            child,
            port: port.expect("a number"),
            asked,
        }
    }

    /// Its URL, with what stands before the host.
    pub(crate) fn url(&self, who: &str) -> String {
        format!("http://{who}127.0.0.1:{}", self.port)
    }

    /// What it was asked for, once that is `count` times or more; what it says is heard after the crowd.
    #[track_caller]
    pub(crate) fn asked(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut all = self.asked.0.lock().expect("nobody panics with it");
        while all.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{count} tunnels were not asked: {all:?}");
            let waited = self.asked.1.wait_timeout(all, left);
            all = waited.expect("nobody panics with it").0;
        }
        all.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Something that listens where a proxy should; it ends with the process.
pub(crate) fn rogue(act: fn(TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it listens");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || act(stream));
        }
    });
    format!("http://{addr}")
}

/// Ends the stream when it was asked.
pub(crate) fn hang_up(mut stream: TcpStream) {
    request_of(&mut stream);
}

/// Says nothing, ever.
pub(crate) fn keep_silent(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
}

/// Speaks another language.
pub(crate) fn speak_ssh(mut stream: TcpStream) {
    let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n");
    keep_silent(stream);
}

/// Forbids everything, with a page that says so.
pub(crate) fn forbid(mut stream: TcpStream) {
    request_of(&mut stream);
    let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno!");
}

/// Grants the tunnel byte by byte, and leads to where it was asked.
pub(crate) fn dribble(mut stream: TcpStream) {
    let request = request_of(&mut stream);
    let Some(addr) = request
        .split(' ')
        .nth(1)
        .and_then(|one| one.parse::<SocketAddr>().ok())
    else {
        return;
    };
    let Ok(server) = TcpStream::connect(addr) else {
        return;
    };
    let _ = stream.set_nodelay(true);
    for byte in b"HTTP/1.1 102 wait\r\n\r\nHTTP/1.1 200 as you wish\r\nvia: 1.1 dribble\r\n\r\n" {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        // Each byte is a segment of its own; whoever reads has its turn between them.
        thread::yield_now();
    }
    let (from, to) = (
        stream.try_clone().expect("a clone"),
        server.try_clone().expect("a clone"),
    );
    thread::spawn(move || copy(from, to));
    copy(server, stream);
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// What a client asks, up to the empty line.
fn request_of(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        request.push(byte[0]);
    }
    String::from_utf8_lossy(&request).into_owned()
}
