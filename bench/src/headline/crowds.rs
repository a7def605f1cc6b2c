//! The product's crowds as processes: how each is started, followed, and read in the end.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use capacity::Sources;
use serde_json::Value;

use super::options::{Options, flag_time};
use crate::events::Events;
use crate::interrupt::Interrupt;
use crate::leash::{Leashed, Pages};
use crate::session::Workload;

/// What crowds are started from, and whom they dial.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowds<'a> {
    pub(super) options: &'a Options,
    pub(super) binary: &'a Path,
    /// For what they write.
    pub(super) folder: &'a Path,
    pub(super) server: SocketAddrV4,
}

/// A crowd, and the files in which it says what happens.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) process: Leashed,
    pub(super) events: Events,
    json: PathBuf,
    /// How it was started.
    pub(super) command: String,
}

impl Crowds<'_> {
    /// Starts a crowd that is so small that it has what any crowd has and little else, and that stays.
    pub(super) fn small(&self) -> anyhow::Result<Crowd> {
        self.start("small", SMALL_CROWD, &["--hold=1h".to_owned()])
    }

    /// Starts the crowd that is held, told, dropped in part and back, and then leaves.
    pub(super) fn whole(&self) -> anyhow::Result<Crowd> {
        let options = self.options;
        let more = [
            // The names and the length of the floor's messages, so that both move the same bytes.
            "--event=shout".to_owned(),
            format!("--size={PAYLOAD_BYTES}"),
            format!("--hold={}", flag_time(options.hold())),
            format!("--broadcasts={}", options.broadcasts),
            format!("--drop={}", options.drop),
            format!("--settle-timeout={}", flag_time(options.settle_timeout())),
        ];
        self.start_whole("crowd", &more)
    }

    /// Starts a crowd as large that stays until its connections end.
    ///
    /// It has addresses of its own: connections of the crowd before it may be in TIME_WAIT.
    pub(super) fn staying(&self) -> anyhow::Result<Crowd> {
        let connections = u64::from(self.options.connections);
        let sources = Sources::loopback(connections + connections / TUPLES_SPARE, 1);
        let first = u32::from(STAYING_SOURCE);
        let last = first + u32::try_from(sources.count()).context("too many addresses")? - 1;
        let more = [
            format!("--sources={STAYING_SOURCE}-{}", Ipv4Addr::from(last)),
            "--hold=1h".to_owned(),
        ];
        self.start_whole("staying", &more)
    }

    fn start_whole(&self, name: &str, more: &[String]) -> anyhow::Result<Crowd> {
        let options = self.options;
        let mut all = vec![
            // As fast as it goes: what bounds it is the number of handshakes under way.
            format!("--rate={RATE}"),
            format!("--concurrency={}", options.concurrency),
            format!("--heartbeat={}", flag_time(options.heartbeat())),
        ];
        all.extend_from_slice(more);
        self.start(name, options.connections, &all)
    }

    fn start(&self, name: &str, connections: u32, more: &[String]) -> anyhow::Result<Crowd> {
        let file = |end: &str| self.folder.join(format!("{name}-{end}.json"));
        let (events, json) = (file("events"), file("report"));
        let mut arguments: Vec<OsString> = [
            "load".to_owned(),
            format!("ws://{}/socket", self.server),
            format!("--connections={connections}"),
            format!("--join={}", Workload::Fanout.topic()),
            format!("--kernel={}", self.options.kernel),
        ]
        .map(OsString::from)
        .into();
        arguments.extend(more.iter().map(OsString::from));
        arguments.extend(["--quiet".into(), "--events".into(), events.clone().into()]);
        arguments.extend(["--json".into(), json.clone().into()]);
        let process = Leashed::spawn(self.binary, &arguments, Pages::AsItShips)?;
        Ok(Crowd {
            process,
            events: Events::follow(&events),
            json,
            command: command(&arguments),
        })
    }
}

impl Crowd {
    /// Waits until it holds everybody whom it could open.
    pub(super) fn wait_until_it_holds(&mut self, interrupt: &Interrupt) -> anyhow::Result<()> {
        loop {
            let news = self.events.news()?;
            if news.iter().any(|news| news.is_stage("holding")) {
                return Ok(());
            }
            if self.process.ended()?.is_some() {
                let words = self.process.last_words();
                bail!("the crowd ends before it holds anybody; it says:{words}");
            }
            interrupt.pause(NEWS_WINDOW)?;
        }
    }

    /// Reads the report that it has written at its end.
    pub(super) fn report(&self) -> anyhow::Result<Value> {
        let text = fs::read_to_string(&self.json).unwrap_or_default();
        serde_json::from_str(&text).with_context(|| {
            let words = self.process.last_words();
            format!("the crowd has written no report; it says:{words}")
        })
    }
}

/// Returns the product's command line with `arguments`.
pub(super) fn command(arguments: &[OsString]) -> String {
    let words = arguments.iter().map(|word| word.to_string_lossy());
    words.fold("fourtuple".to_owned(), |line, word| line + " " + &word)
}

/// Clients of the crowd whose memory is subtracted from that of the whole one.
pub(super) const SMALL_CROWD: u32 = 10;
/// `{"body":"…"}` with 128 bytes in it, as in `session`.
const PAYLOAD_BYTES: usize = 139;
const RATE: &str = "1000000/s";
/// Where the addresses of the crowd that stays begin; those of others begin at 127.0.0.2.
const STAYING_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
/// A tenth of the tuples may be others'.
const TUPLES_SPARE: u64 = 10;
const NEWS_WINDOW: Duration = Duration::from_millis(100);
