//! What a run counts, for Prometheus while it goes on (`--metrics`).
//!
//! A thread of its own answers one connection at a time, each within a deadline, so whoever asks slowly
//! keeps others waiting for that long and the crowd not at all. The text is made of plain numbers that
//! come once a second; each metric is declared once (`declarations`).

mod declarations;

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::declarations::page;
use crate::{
    events::Event,
    progress::{Moment, Progress},
    timeline::Period,
};

/// How long a connection may take, from its acceptance to the end of the answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// Bytes of a request, at most.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// How often the thread looks whether it is still wanted.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};
/// The text format of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What has been seen of a run.
#[derive(Debug, Default)]
struct Seen {
    asked: u64,
    elapsed: Duration,
    /// Of users there is no more than this between two periods.
    ready: u64,
    away: u64,
    /// The last second, and all of them.
    last: Period,
    all: Period,
}

/// Shows a run at `GET /metrics`, until this is dropped.
#[derive(Debug)]
pub struct Exporter {
    seen: Arc<Mutex<Seen>>,
    addr: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Listens on this address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address cannot be had, or no thread.
    pub fn listen(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        // A client that is gone between poll and accept must not hold the thread.
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let (seen, is_over) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (for_thread, end) = (Arc::clone(&seen), Arc::clone(&is_over));
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || serve(&listener, &for_thread, &end))?;
        Ok(Self {
            seen,
            addr,
            is_over,
            thread: Some(thread),
        })
    }

    /// The address that it listens on.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Shows what `progress` hears, too.
    pub fn beside<P: Progress>(&self, progress: P) -> Exported<P> {
        Exported {
            seen: Arc::clone(&self.seen),
            progress,
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            // Its panic has been told.
            let _ = thread.join();
        }
    }
}

/// Hears of a run, shows it to Prometheus and hands it on.
#[derive(Debug)]
pub struct Exported<P> {
    seen: Arc<Mutex<Seen>>,
    progress: P,
}

impl<P> Exported<P> {
    /// Who hears of the run beside Prometheus.
    pub fn into_inner(self) -> P {
        self.progress
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<P: Progress> Progress for Exported<P> {
    fn update(&mut self, now: &Moment<'_>) {
        let mut seen = lock(&self.seen);
        (seen.asked, seen.elapsed) = (now.connections, now.elapsed);
        (seen.ready, seen.away) = (now.crowd.ready, now.crowd.away);
        drop(seen);
        self.progress.update(now);
    }

    fn handle_event(&mut self, event: &Event) {
        self.progress.handle_event(event);
    }

    fn handle_period(&mut self, start_ms: u64, period: &Period) {
        let mut seen = lock(&self.seen);
        seen.all.follow(period.clone());
        seen.last = period.clone();
        drop(seen);
        self.progress.handle_period(start_ms, period);
    }

    fn tell(&mut self, text: &str) {
        self.progress.tell(text);
    }

    fn finish(&mut self) {
        self.progress.finish();
    }
}

fn serve(listener: &TcpListener, seen: &Mutex<Seen>, is_over: &AtomicBool) {
    while !is_over.load(SeqCst) {
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        if !poll(&mut fds, Some(&LOOK)).is_ok_and(|count| count > 0) {
            continue;
        }
        match listener.accept() {
            // Whoever asked and is gone has had enough.
            Ok((mut stream, _)) => drop(answer(&mut stream, seen)),
            // Without a descriptor left it stays readable: look again later.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                let _ = poll(&mut [], Some(&LOOK));
            }
            Err(_) => {}
        }
    }
}

fn answer(stream: &mut TcpStream, seen: &Mutex<Seen>) -> io::Result<()> {
    let until = Instant::now() + DEADLINE;
    stream.set_nonblocking(false)?;
    let (status, body) = match request(stream, until)? {
        Some(line) => match line.split(' ').collect::<Vec<_>>()[..] {
            ["GET", path, _] if path.split('?').next() == Some("/metrics") => {
                ("200 OK", page(&lock(seen)))
            }
            ["GET", ..] => ("404 Not Found", "expected /metrics\n".to_owned()),
            _ => ("405 Method Not Allowed", "expected GET\n".to_owned()),
        },
        None => ("400 Bad Request", "expected a request of HTTP\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let text = head + &body;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        let written = stream.write(rest)?;
        rest = &rest[written..];
    }
    Ok(())
}

/// The first line of a request; `None` when it has no end within its bounds.
fn request(stream: &mut TcpStream, until: Instant) -> io::Result<Option<String>> {
    let (mut bytes, mut part) = (Vec::new(), [0; 1024]);
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        stream.set_read_timeout(Some(left(until)?))?;
        let len = stream.read(&mut part)?;
        if len == 0 || bytes.len() + len > REQUEST_BYTES_MAX {
            return Ok(None);
        }
        bytes.extend_from_slice(&part[..len]);
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().next().map(str::to_owned))
}

/// What is left of the deadline.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        progress::Silent,
        timeline::{Measure, Spectrum, Used},
    };

    fn ask(addr: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(addr).expect("a listener");
        stream.write_all(request.as_bytes()).expect("room");
        let mut text = String::new();
        // A request that is too long is answered while the rest is on its way, which is a reset.
        let _ = stream.read_to_string(&mut text);
        text
    }

    fn exporter() -> Exporter {
        Exporter::listen("127.0.0.1:0".parse().expect("an address")).expect("a port")
    }

    #[test]
    fn a_scrape_has_what_was_seen() {
        let exporter = exporter();
        let mut progress = exporter.beside(Silent);
        let mut period = Period::default();
        (period.covered_ms, period.open, period.counts.sent) = (1_000, 7, 40);
        period.errors.insert("http_status".to_owned(), 3);
        let durations = [(2_000_000, 5), (700_000_000, 1)];
        period
            .latencies
            .insert(Measure::Join, Spectrum::of(durations.into_iter()));
        period.limits = vec![Used::new("a \"target\"", "memory", 5.0, Some(9.0))];
        for _ in 0..2 {
            progress.handle_period(0, &period);
        }
        let text = ask(exporter.addr(), "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        for line in [
            "# TYPE fourtuple_load_sent_total counter",
            "fourtuple_load_connections_open 7",
            "fourtuple_load_sent_total 80",
            "fourtuple_load_errors_total{class=\"http_status\"} 6",
            "fourtuple_load_latency_seconds_bucket{of=\"join\",le=\"0.001\"} 0",
            "fourtuple_load_latency_seconds_bucket{of=\"join\",le=\"0.0025\"} 10",
            "fourtuple_load_latency_seconds_bucket{of=\"join\",le=\"1\"} 12",
            "fourtuple_load_latency_seconds_bucket{of=\"join\",le=\"+Inf\"} 12",
            "fourtuple_load_latency_seconds_count{of=\"join\"} 12",
            "fourtuple_load_limit_ceiling{whose=\"a \\\"target\\\"\",limit=\"memory\"} 9",
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in {text}"
            );
        }
    }

    #[test]
    fn other_requests_are_refused_and_slow_ones_end() {
        let exporter = exporter();
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("\r\n\r\n", "405"),
        ] {
            let text = ask(exporter.addr(), request);
            assert!(
                text.starts_with(&format!("HTTP/1.1 {status}")),
                "{request}: {text}"
            );
        }
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(2 * REQUEST_BYTES_MAX));
        assert!(!ask(exporter.addr(), &long).contains("200 OK"));
        // Says nothing, and is let go.
        let mut silent = TcpStream::connect(exporter.addr()).expect("a listener");
        let began = Instant::now();
        let text = ask(exporter.addr(), "GET /metrics HTTP/1.1\r\n\r\n");
        assert!(text.contains("200 OK"), "after the silent one: {text}");
        assert!(began.elapsed() < 5 * DEADLINE);
        let mut byte = [0];
        assert!(
            !silent.read(&mut byte).is_ok_and(|len| len > 0),
            "it was let go"
        );
    }
}
