//! The admin side of a running server, asked as a scraper and a prober ask.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::relay::Relay;

/// How long a test waits for what should come in a moment.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Starts a server with an admin side on a free port.
pub(crate) fn server(arguments: &[&str]) -> (Relay, SocketAddr) {
    let arguments = [&["--admin-listen", "127.0.0.1:0"], arguments].concat();
    let relay = Relay::start(&arguments);
    let mut admin = None;
    until("it says where the admin side is", || {
        let output = relay.output();
        let (_, after) = output.split_once("API are at http://")?;
        admin = after.split('/').next()?.parse().ok();
        admin
    });
    (relay, admin.expect("it was waited for"))
}

/// Asks for a path, with header lines besides.
pub(crate) fn get_with(admin: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(admin).expect("the admin side listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time to wait");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Answer {
        status: status.expect("a status"),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

pub(crate) fn get(admin: SocketAddr, path: &str) -> Answer {
    get_with(admin, path, "")
}

/// Asks until the answer is there, which must be JSON.
#[track_caller]
pub(crate) fn json(admin: SocketAddr, path: &str) -> Value {
    until(path, || {
        let answer = get(admin, path);
        (answer.status == 200).then(|| serde_json::from_str(&answer.body).expect("JSON"))
    })
}

/// Looks again and again until there is something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A value of the text format, by the whole of its name and labels.
pub(crate) fn value(text: &str, series: &str) -> Option<f64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// The sum of all series of a name.
pub(crate) fn sum(text: &str, name: &str) -> f64 {
    let of_name = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([' ', '{']))
    });
    let values = of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}
