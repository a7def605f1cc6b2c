//! The product's part of a run: `fourtuple serve` and `fourtuple load` as two processes, followed
//! from outside by the crowd's events and by what the kernel says about both.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use capacity::Kernel;
use serde_json::Value;

use super::broadcasts::Broadcast;
use super::checkup::Checkup;
use super::crowds::{Crowd, Crowds, command};
use super::drain::Drain;
use super::kernel_memory::{KernelMemory, anonymous_bytes_now};
use super::options::{Options, flag_time};
use super::timeline::{Look, Spent, Timeline};
use crate::events::News;
use crate::interrupt::Interrupt;
use crate::leash::{Leashed, Pages};
use crate::measure::anonymous_bytes;

/// What was measured of the product.
#[derive(Debug)]
pub(super) struct Duet {
    /// The crowd's own report, `fourtuple load --json`.
    pub(super) report: Value,
    /// What carried the connections, as the crowd reports it.
    pub(super) carrier: Kernel,
    pub(super) broadcasts: Vec<Broadcast>,
    /// Before the first connection, and with all of them idle.
    pub(super) kernel: [KernelMemory; 2],
    /// User-space bytes of the server, at the same moments.
    pub(super) server_bytes: [u64; 2],
    /// User-space bytes of a crowd of `SMALL_CROWD`, and of the whole one.
    pub(super) crowd_bytes: [u64; 2],
    /// Threads of the server and of the crowd.
    pub(super) threads: [usize; 2],
    /// The doctor's look at all sockets, in the middle of the hold.
    pub(super) checkup: Checkup,
    /// What the hold has cost, which is heartbeats.
    pub(super) hold: Spent,
    /// What all broadcasts have cost, with the heartbeats of that time.
    pub(super) broadcasts_spent: Spent,
    /// The most that was seen during the broadcasts: user-space bytes of both, buffers of TCP.
    pub(super) broadcasts_peak: Peak,
    pub(super) drain: Drain,
    /// How both were started.
    pub(super) commands: [String; 2],
}

/// The greatest values seen.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Peak {
    pub(super) server_bytes: u64,
    pub(super) crowd_bytes: u64,
    pub(super) tcp_bytes: u64,
}

/// Both processes, and what is seen of them on the way.
#[derive(Debug)]
struct Stage<'a> {
    server: Leashed,
    crowd: Crowd,
    crowds: &'a Crowds<'a>,
    interrupt: &'a Interrupt,
    timeline: Timeline,
    /// When both are to be looked at again.
    next_look: Instant,
    idle: Option<Idle>,
    peak: Peak,
}

/// Memory with all connections idle.
#[derive(Debug)]
struct Idle {
    kernel: KernelMemory,
    server_bytes: u64,
    crowd_bytes: u64,
    threads: [usize; 2],
    checkup: Checkup,
}

impl Duet {
    /// Runs `binary` with its files in `folder`.
    pub(super) fn run(
        options: &Options,
        binary: &Path,
        folder: &Path,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let config = folder.join("server.toml");
        fs::write(&config, CONFIG).with_context(|| format!("cannot write {}", config.display()))?;
        let serve = serve_arguments(options, &config);
        let server = Leashed::spawn(binary, &serve, Pages::AsItShips)?;
        let addr = server.announced_addr()?;
        eprintln!("product: the server listens on {addr}");
        let crowds = Crowds {
            options,
            binary,
            folder,
            server: addr,
        };
        let small = {
            let mut crowd = crowds.small()?;
            crowd.wait_until_it_holds(interrupt)?;
            anonymous_bytes(crowd.process.pid())?
        };
        let kernel_before = KernelMemory::settled(interrupt)?;
        let server_before = anonymous_bytes(server.pid())?;

        let mut stage = Stage::new(server, &crowds, interrupt)?;
        stage.follow_to_the_end()?;
        let report = stage.crowd.report()?;
        let idle = stage
            .idle
            .context("the crowd never held all its connections")?;

        eprintln!("product: another crowd comes, and the server is asked to end");
        let drain = Drain::run(stage.server, crowds.staying()?, interrupt)?;
        Ok(Self {
            broadcasts: broadcasts(&report)?,
            carrier: carrier(&report)?,
            report,
            kernel: [kernel_before, idle.kernel],
            server_bytes: [server_before, idle.server_bytes],
            crowd_bytes: [small, idle.crowd_bytes],
            threads: idle.threads,
            checkup: idle.checkup,
            hold: stage.timeline.hold(),
            broadcasts_spent: stage.timeline.broadcasts(),
            broadcasts_peak: stage.peak,
            drain,
            commands: [command(&serve), stage.crowd.command],
        })
    }
}

impl<'a> Stage<'a> {
    fn new(
        server: Leashed,
        crowds: &'a Crowds<'a>,
        interrupt: &'a Interrupt,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            server,
            crowd: crowds.whole()?,
            crowds,
            interrupt,
            timeline: Timeline::default(),
            next_look: Instant::now(),
            idle: None,
            peak: Peak::default(),
        })
    }

    /// Looks at both again and again until the crowd has ended.
    fn follow_to_the_end(&mut self) -> anyhow::Result<()> {
        loop {
            self.interrupt.pause(self.window())?;
            // Before the news: so it is from before whatever they tell.
            let look = self.look_if_due();
            let news = self.crowd.events.news()?;
            let look = look.filter(|_| news.is_empty());
            news.into_iter().for_each(|news| self.handle_news(news));
            if let Some(status) = self.server.ended()? {
                let words = self.server.last_words();
                bail!("the server has ended ({status}) under its crowd; it says:{words}");
            }
            if self.crowd.process.ended()?.is_some() {
                return Ok(());
            }
            if let Some(look) = look {
                self.handle_look(look)?;
            }
        }
    }

    /// Returns how long to wait for news: the end of the last broadcast is the end of a measurement.
    fn window(&self) -> Duration {
        match self.timeline.stage() {
            "broadcasting" => NEWS_WINDOW,
            _ => LOOK_WINDOW,
        }
    }

    fn pids(&self) -> [u32; 2] {
        [self.server.pid(), self.crowd.process.pid()]
    }

    fn look_if_due(&mut self) -> Option<Look> {
        let now = Instant::now();
        if now < self.next_look {
            return None;
        }
        self.next_look = now + LOOK_WINDOW;
        Look::at_both(self.pids())
    }

    fn handle_news(&mut self, news: News) {
        match news {
            News::Stage(name) => {
                eprintln!("product: {name}");
                self.timeline.enter(name);
            }
            News::Broadcast => {
                // At once: after the last of them the crowd is on its way to the next stage.
                if let Some(look) = Look::at_both(self.pids()) {
                    self.timeline.end_broadcast(look);
                }
            }
        }
    }

    fn handle_look(&mut self, look: Look) -> anyhow::Result<()> {
        let pids = self.pids();
        let in_stage = self.timeline.add(look);
        match self.timeline.stage() {
            "holding" if self.idle.is_none() && in_stage >= self.crowds.options.hold() / 2 => {
                self.idle = Some(Idle {
                    kernel: KernelMemory::read()?,
                    server_bytes: anonymous_bytes(pids[0])?,
                    crowd_bytes: anonymous_bytes(pids[1])?,
                    threads: [threads(pids[0])?, threads(pids[1])?],
                    checkup: Checkup::run(self.crowds.binary, self.crowds.server)?,
                });
            }
            "broadcasting" => {
                let Ok(crowd_bytes) = anonymous_bytes_now(pids[1]) else {
                    return Ok(()); // It is ending, which the caller is about to notice.
                };
                self.peak.crowd_bytes = self.peak.crowd_bytes.max(crowd_bytes);
                let server_bytes = anonymous_bytes_now(pids[0])?;
                self.peak.server_bytes = self.peak.server_bytes.max(server_bytes);
                let pages = capacity::TcpMemory::pages_in_use().unwrap_or(0);
                let bytes = pages * rustix::param::page_size() as u64;
                self.peak.tcp_bytes = self.peak.tcp_bytes.max(bytes);
            }
            _ => {}
        }
        Ok(())
    }
}

fn serve_arguments(options: &Options, config: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "serve".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        format!("--max-connections={}", options.connections),
        format!("--idle-timeout={}", flag_time(options.idle_timeout())),
        format!("--drain-batch={DRAIN_BATCH}"),
        format!("--drain-interval={}", flag_time(DRAIN_INTERVAL)),
        format!("--drain-timeout={}", flag_time(DRAIN_TIMEOUT)),
        format!("--close-timeout={}", flag_time(DRAIN_TIMEOUT)),
        format!("--kernel={}", options.kernel),
        "--config".to_owned(),
    ]
    .map(OsString::from)
    .into();
    arguments.push(config.into());
    arguments
}

fn broadcasts(report: &Value) -> anyhow::Result<Vec<Broadcast>> {
    let broadcasts = report.get("broadcasts").and_then(Value::as_array);
    let broadcasts = broadcasts.context("the crowd does not report its broadcasts")?;
    let broadcasts: Option<_> = broadcasts.iter().map(Broadcast::from_report).collect();
    broadcasts.context("the crowd reports a broadcast in other words than expected")
}

fn carrier(report: &Value) -> anyhow::Result<Kernel> {
    let carrier = report["carrier"].as_str();
    let kernels = [Kernel::Epoll, Kernel::Uring];
    let found = kernels
        .into_iter()
        .find(|it| carrier == Some(it.to_string().as_str()));
    found.context("the crowd reports its carrier in other words than expected")
}

fn threads(pid: u32) -> anyhow::Result<usize> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(tasks.count())
}

/// One topic that broadcasts; what is no flag of the server is as the product ships.
const CONFIG: &str = "[[channel]]\ntopic = \"room:*\"\npush = \"broadcast\"\n";
const LOOK_WINDOW: Duration = Duration::from_millis(100);
const NEWS_WINDOW: Duration = Duration::from_millis(5);
/// Ends more connections than two cores can, and never so many at once that their goodbyes fill the
/// memory of TCP.
const DRAIN_BATCH: u32 = 20_000;
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);
/// For the slowest goodbye: none is to be cut off.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn epoll_is_not_taken_for_what_it_replaces() {
        let report = |carrier: Option<&str>| {
            json!({
                "kernel": "epoll carries the connections, for io_uring is forbidden here",
                "carrier": carrier,
            })
        };
        assert_eq!(carrier(&report(Some("epoll"))).unwrap(), Kernel::Epoll);
        assert_eq!(carrier(&report(Some("io_uring"))).unwrap(), Kernel::Uring);
        assert!(carrier(&report(None)).is_err());
    }
}
