//! Somebody with the dashboard's first page open, as the server sees it: the history once, then a stream of
//! samples, and the memory ledger every five seconds.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// The server speaks every second, so whoever hears nothing for so long will hear nothing more.
const PATIENCE: Duration = Duration::from_secs(10);
/// Samples after which the page asks for the ledger again.
const LEDGER_EVERY: u64 = 5;

/// An open page; it is closed with this value.
#[derive(Debug)]
pub(super) struct Viewer {
    stream: TcpStream,
    samples: Arc<AtomicU64>,
}

impl Viewer {
    /// Opens the page and follows its events on a thread.
    pub(super) fn open(admin: SocketAddrV4) -> anyhow::Result<Self> {
        let mut history = dial(admin)?;
        ask(&mut history, admin, "/api/v1/history", "close")?;
        let mut answer = String::new();
        history.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 200 ") {
            bail!("the history is not told: {answer}");
        }
        let mut stream = dial(admin)?;
        ask(&mut stream, admin, "/api/v1/events", "keep-alive")?;
        let samples = Arc::new(AtomicU64::new(0));
        let (heard, counted) = (stream.try_clone()?, Arc::clone(&samples));
        thread::Builder::new()
            .name("viewer".to_owned())
            .spawn(move || follow(heard, admin, &counted))
            .context("there are no more threads")?;
        Ok(Self { stream, samples })
    }

    /// How many samples have come.
    pub(super) fn samples_count(&self) -> u64 {
        self.samples.load(Relaxed)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        // Its thread ends when it hears the end; a server that is gone has closed it already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn follow(stream: TcpStream, admin: SocketAddrV4, samples: &AtomicU64) {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    for _ in lines.filter(|line| line.starts_with("event: sample")) {
        let count = samples.fetch_add(1, Relaxed) + 1;
        if count.is_multiple_of(LEDGER_EVERY) {
            // A server without a ledger says so, which costs it as much as here is to be counted.
            let _ = ledger(admin);
        }
    }
}

fn ledger(admin: SocketAddrV4) -> anyhow::Result<()> {
    let mut stream = dial(admin)?;
    ask(&mut stream, admin, "/api/v1/memory", "close")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(())
}

fn dial(admin: SocketAddrV4) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(admin).context("the admin side does not listen")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask(
    stream: &mut TcpStream,
    admin: SocketAddrV4,
    path: &str,
    connection: &str,
) -> anyhow::Result<()> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    Ok(())
}
