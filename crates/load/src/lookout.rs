//! Who looks at limits while a crowd runs: at those of this machine, and at those of a target that shows its
//! own (`--watch`).
//!
//! A thread of its own looks once a second. Whoever keeps the timeline takes what was seen last and never
//! waits for it.

mod fetch;
mod metrics;
mod own;

use std::{
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::{metrics::Sheet, own::Own};
use crate::{target::Target, timeline::Used};

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);

/// A page of metrics: of a fourtuple's control plane (its limits), or of any exporter of Prometheus that
/// tells of its machine or process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    url: String,
}

/// Why a page of metrics cannot be watched.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The text is no URL of a page.
    #[error("`{0}` is not a URL of metrics: expected one such as http://127.0.0.1:4001/metrics")]
    NotAUrl(String),
    /// The page could not be had.
    #[error("cannot read {url}: {why}")]
    Unreadable {
        /// The page.
        url: String,
        /// What was wrong with it.
        why: String,
    },
    /// The page tells nothing of limits.
    #[error(
        "{0} tells of no limit: expected the metrics of a fourtuple's admin listener, of a \
         node_exporter, or of a process (process_open_fds and the like)"
    )]
    NoLimits(String),
}

impl FromStr for Watched {
    type Err = WatchError;

    fn from_str(text: &str) -> Result<Self, WatchError> {
        let wrong = || WatchError::NotAUrl(text.to_owned());
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let rest = if rest.contains('/') {
            rest.strip_suffix("/api/v1/limits")
                .map_or_else(|| rest.to_owned(), |host| format!("{host}/metrics"))
        } else {
            format!("{rest}/metrics")
        };
        let url = format!("http://{rest}");
        target_of(&url).ok_or_else(wrong)?;
        Ok(Self { url })
    }
}

impl Watched {
    /// The page's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads the page once, to find out before a run whether that can be done.
    ///
    /// # Errors
    ///
    /// [`WatchError::Unreadable`], [`WatchError::NoLimits`].
    pub fn check(&self) -> Result<(), WatchError> {
        let text = self.read()?;
        // A share of processors shows with the second look only.
        let (mut sheet, mut seen, mut now) = (Sheet::default(), Vec::new(), Instant::now());
        for _ in 0..2 {
            seen = sheet.look(&text, now);
            now += EVERY;
        }
        if seen.is_empty() {
            return Err(WatchError::NoLimits(self.url.clone()));
        }
        Ok(())
    }

    fn read(&self) -> Result<String, WatchError> {
        let target = target_of(&self.url).ok_or_else(|| WatchError::NotAUrl(self.url.clone()))?;
        fetch::fetch(&target).map_err(|error| WatchError::Unreadable {
            url: self.url.clone(),
            why: error.to_string(),
        })
    }
}

fn target_of(url: &str) -> Option<Target> {
    format!("ws://{}", url.strip_prefix("http://")?)
        .parse()
        .ok()
}

/// The thread that looks; it ends with this.
#[derive(Debug)]
pub(crate) struct Lookout {
    latest: Arc<Mutex<Vec<Used>>>,
    /// Nothing is ever sent: its end is the sign.
    _alive: SyncSender<()>,
}

impl Lookout {
    /// Looks at this machine, and at a page of metrics.
    pub(crate) fn start(watched: Option<Watched>) -> Self {
        Self::begin(Some(Own::new()), watched)
    }

    /// Looks at a page of metrics alone, as whoever leads a crowd on other machines.
    pub(crate) fn at_target(watched: Option<Watched>) -> Self {
        Self::begin(None, watched)
    }

    fn begin(mut own: Option<Own>, watched: Option<Watched>) -> Self {
        let latest = Arc::new(Mutex::default());
        let (alive, ended) = mpsc::sync_channel(1);
        let seen = Arc::clone(&latest);
        let look = move || {
            let mut sheet = Sheet::default();
            loop {
                let mut all = own.as_mut().map(Own::look).unwrap_or_default();
                // What cannot be read this time is read the next: a server that does not answer is often
                // the very thing that the run is about.
                if let Some(text) = watched.as_ref().and_then(|page| page.read().ok()) {
                    all.extend(sheet.look(&text, Instant::now()));
                }
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = all;
                if ended.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        };
        // A run is worth having without it.
        let _ = thread::Builder::new()
            .name("lookout".to_owned())
            .spawn(look);
        Self {
            latest,
            _alive: alive,
        }
    }

    /// What was seen last.
    pub(crate) fn latest(&self) -> Vec<Used> {
        let latest = self.latest.lock();
        latest.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with this.
    fn answer(response: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            stream.write_all(response.as_bytes()).expect("room");
            String::from_utf8(request).expect("text")
        });
        (url, server)
    }

    #[test]
    fn a_page_is_checked_before_the_run() {
        let (url, server) = answer(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
             1e\r\nfourtuple_limit_value{limit=\"a\r\n6\r\n\"} 7\n\n\r\n0\r\n\r\n",
        );
        let page: Watched = url.parse().expect("a URL");
        page.check().expect("a page of limits");
        let request = server.join().expect("a request");
        assert!(
            request.starts_with("GET /metrics HTTP/1.1\r\n"),
            "{request}"
        );
        for (response, words) in [
            (
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
                "FOURTUPLE_WATCH_KEY",
            ),
            (
                "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
                "status 404",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nup 1",
                "tells of no limit",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nup 1",
                "end of file",
            ),
            ("no HTTP", "HTTP"),
        ] {
            let (url, server) = answer(response);
            let page: Watched = url.parse().expect("a URL");
            let error = page.check().expect_err(response).to_string();
            assert!(error.contains(words), "{response}: {error}");
            server.join().expect("a request");
        }
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for text in ["", "127.0.0.1:4001", "https://h/metrics", "http://"] {
            let error = text.parse::<Watched>().expect_err(text).to_string();
            assert!(error.contains("expected one such as http://"), "{error}");
        }
        for (text, url) in [
            ("http://h:9100", "http://h:9100/metrics"),
            ("http://h:4001/api/v1/limits", "http://h:4001/metrics"),
            ("http://h/a/metrics", "http://h/a/metrics"),
        ] {
            assert_eq!(text.parse::<Watched>().expect(text).url(), url);
        }
    }

    #[test]
    fn this_machine_is_looked_at() {
        let lookout = Lookout::start(None);
        let deadline = Instant::now() + Duration::from_secs(20);
        while lookout.latest().is_empty() {
            assert!(Instant::now() < deadline, "nobody has looked yet");
            thread::yield_now();
        }
        let seen = lookout.latest();
        assert!(seen.iter().all(|one| one.whose == own::WHOSE), "{seen:?}");
        let is_bounded = |one: &Used| one.ceiling.is_some_and(|ceiling| ceiling > 0.0);
        assert!(seen.iter().any(is_bounded), "{seen:?}");
    }
}
