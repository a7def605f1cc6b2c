//! What happens to a server while a browser looks at it: crowds that come and go, a client beside them, an
//! end and a new beginning.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{
    binary::{fourtuple, on_epoll},
    driver::Stage,
    relay::Relay,
    watchdog::Watchdog,
    wire::{Heard, Wire},
};

/// How long a crowd may take to come or to go.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server and whoever is connected to it.
#[derive(Debug)]
pub(crate) struct Performance {
    relay: Relay,
    admin: SocketAddr,
    flags: &'static [&'static str],
    crowd: Option<Crowd>,
    /// A client that does nothing by itself.
    guest: Option<Wire>,
}

#[derive(Debug)]
struct Crowd {
    child: Child,
    report: PathBuf,
}

impl Stage for Performance {
    fn start(kind: &str) -> Result<Self, Failed> {
        let flags: &[&str] = match kind {
            "relay" => &["--shards", "2"],
            "wide" => &["--shards", "110", "--max-connections", "20000"],
            other => return Err(format!("no server is called {other}").into()),
        };
        let relay = Relay::start(&[&["--admin-listen", "127.0.0.1:0"], flags].concat());
        let admin = admin_of(&relay)?;
        Ok(Self {
            relay,
            admin,
            flags,
            crowd: None,
            guest: None,
        })
    }

    fn url(&self) -> String {
        format!("http://{}", self.admin)
    }

    fn steer(&mut self, order: &str) -> Result<String, Failed> {
        let (verb, rest) = order.split_once(' ').unwrap_or((order, ""));
        match verb {
            "crowd" => self.crowd = Some(Crowd::come(&self.relay.url(), rest)?),
            "dismiss" => {
                let crowd = self.crowd.take().ok_or("there is no crowd")?;
                return crowd.go();
            }
            "stop" => self.relay.stop(),
            "start" => {
                // The same ports again, as a program that is started anew by its unit has them.
                let admin = self.admin.to_string();
                let flags = [&["--admin-listen", &admin], self.flags].concat();
                self.relay.start_again_with(&flags);
            }
            "guest" => {
                let mut guest = Wire::open(self.relay.addr());
                guest.join("1", rest);
                self.guest = Some(guest);
            }
            "say" => {
                let (topic, words) = rest.split_once(' ').ok_or("say TOPIC WORDS")?;
                let message = json!(["1", "2", topic, "new_msg", {"body": words}]);
                self.guest().send(&message);
            }
            "ended" => return Ok(end_of(self.guest()).to_string()),
            _ => return Err("nobody knows how".into()),
        }
        Ok(String::new())
    }
}

impl Performance {
    fn guest(&mut self) -> &mut Wire {
        self.guest.as_mut().expect("a case brings its guest first")
    }
}

impl Crowd {
    /// Starts a crowd and waits until it holds.
    fn come(url: &str, flags: &str) -> Result<Self, Failed> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let report = folder.join(format!("dashboard-crowd-{number}.json"));
        let mut command = fourtuple();
        command
            .args(["load", url, "--quiet", "--hold", "1h"])
            .args(["--events", "/dev/stdout", "--json"])
            .arg(&report)
            .args(flags.split_whitespace());
        if on_epoll() {
            command.args(["--kernel", "epoll"]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let crowd = Self { child, report };
        let watchdog = Watchdog::over(&crowd.child, PATIENCE);
        let mut said = BufReader::new(stdout).lines();
        let holds = said.any(|line| line.is_ok_and(|line| line.contains(r#""stage":"holding""#)));
        // What else it says is read to the end, so that it never waits to say it.
        thread::spawn(move || said.count());
        if watchdog.had_to_kill() || !holds {
            return Err(format!("the crowd did not come in {PATIENCE:?}").into());
        }
        Ok(crowd)
    }

    /// Sends it home, and returns its report in a line.
    fn go(mut self) -> Result<String, Failed> {
        let watchdog = Watchdog::over(&self.child, PATIENCE);
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        self.child.wait()?;
        if watchdog.had_to_kill() {
            return Err(format!("the crowd is still there after {PATIENCE:?}").into());
        }
        let report: Value = serde_json::from_str(&fs::read_to_string(&self.report)?)?;
        Ok(report.to_string())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // It may have ended already; either way nothing of it is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where the server says that its admin side is.
fn admin_of(relay: &Relay) -> Result<SocketAddr, Failed> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let output = relay.output();
        let after = output.split_once("are at http://").map(|(_, after)| after);
        let address = after.and_then(|after| after.split('/').next());
        if let Some(address) = address.and_then(|address| address.parse().ok()) {
            return Ok(address);
        }
        // It follows the line that the start has waited for.
        thread::yield_now();
    }
    Err(format!(
        "the server does not say where its dashboard is: {}",
        relay.output()
    )
    .into())
}

/// The close code with which a client's connection ends, whatever it hears before.
fn end_of(wire: &mut Wire) -> u16 {
    loop {
        match wire.hear() {
            Heard::Closed(code) => return code,
            Heard::Gone => return 1006,
            Heard::Json(_) | Heard::Binary(_) | Heard::Pong(_) => {}
        }
    }
}
