//! The real binary, serving its built-in channel on a port of its own.
//!
//! ```text
//! start ──► serving ──restart──► serving      SIGTERM drains, the same port again
//!              │
//!              └──drop──► killed
//! ```

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{binary::fourtuple, loopback::own_address, watchdog::Watchdog};

/// How long a start or a drain may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The flag that says where the control plane listens; tests have none without it.
const ADMIN_FLAG: &str = "--admin-listen";

/// A running `fourtuple serve`, which ends with this value.
#[derive(Debug)]
pub(crate) struct Relay {
    child: Child,
    addr: SocketAddr,
    /// Where its control plane is, if it was asked for one.
    admin: Option<SocketAddr>,
    arguments: Vec<String>,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Starts the server on a free port with these flags besides.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_by(fourtuple(), arguments)
    }

    /// The same at an address that it has to itself: so that nobody takes the port of a server that is to be
    /// started again.
    pub(crate) fn start_alone(arguments: &[&str]) -> Self {
        Self::start_on(fourtuple(), &own_address().to_string(), arguments)
    }

    /// The same, with a control plane on a port of its own.
    pub(crate) fn start_with_admin(arguments: &[&str]) -> Self {
        let admin = [ADMIN_FLAG, "127.0.0.1:0"];
        Self::start(&[&admin, arguments].concat())
    }

    /// The same, by a command that becomes the binary.
    pub(crate) fn start_by(command: Command, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().copied().map(str::to_owned).collect();
        Self::listen(command, "127.0.0.1:0", arguments)
    }

    /// The same at an address of its own.
    pub(crate) fn start_on(command: Command, addr: &str, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().copied().map(str::to_owned).collect();
        Self::listen(command, addr, arguments)
    }

    fn listen(mut command: Command, addr: &str, arguments: Vec<String>) -> Self {
        let mut child = command
            .args(["serve", "--listen", addr])
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let output = Arc::default();
        let (found, addr) = mpsc::sync_channel(2);
        let (found_admin, addr_of_admin) = mpsc::sync_channel(2);
        let has_admin = arguments.iter().any(|argument| argument == ADMIN_FLAG);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let readers = [
            follow(
                stdout.expect("stdout is piped"),
                &output,
                (found.clone(), found_admin.clone()),
            ),
            follow(
                stderr.expect("stderr is piped"),
                &output,
                (found, found_admin),
            ),
        ]
        .into();
        match addr.recv_timeout(PATIENCE) {
            Ok(addr) => Self {
                child,
                addr,
                // It is said after the other, and only of a control plane that was asked for.
                admin: has_admin
                    .then(|| addr_of_admin.recv_timeout(PATIENCE).expect("it says where")),
                arguments,
                output,
                readers,
            },
            Err(error) => {
                drop(child.kill());
                panic!(
                    "the server did not say where it listens ({error}):\n{}",
                    text(&output)
                );
            }
        }
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its control plane is.
    #[track_caller]
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.expect("it was started with a control plane")
    }

    /// Where phoenix.js connects to.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/socket", self.addr)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Everything the server has printed so far; all of it after [`wait`](Self::wait).
    pub(crate) fn output(&self) -> String {
        text(&self.output)
    }

    /// Asks the server to drain.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("the server is running");
    }

    /// Waits until the server has ended by itself; one that does not is killed and fails the test.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let watchdog = Watchdog::over(&self.child, PATIENCE);
        let status = self.child.wait().expect("the server is our child");
        for reader in self.readers.drain(..) {
            reader.join().expect("what it said is read to its end");
        }
        assert!(
            !watchdog.had_to_kill(),
            "the server did not end in {PATIENCE:?}:\n{}",
            self.output()
        );
        status
    }

    /// Drains a server that was [started alone](Self::start_alone), and starts it again on the same port.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Drains the server, which must end in order.
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let status = self.wait();
        assert!(
            status.success(),
            "the drain ended with {status}:\n{}",
            self.output()
        );
    }

    /// Starts a server that was stopped on the same port, with the same flags; nobody else has that port when it
    /// was [started alone](Self::start_alone).
    pub(crate) fn start_again(&mut self) {
        let next = Self::listen(fourtuple(), &self.addr.to_string(), self.arguments.clone());
        *self = next;
    }

    /// The same, with these flags instead.
    pub(crate) fn start_again_with(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().copied().map(str::to_owned).collect();
        self.start_again();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already; either way nothing of it is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Collects what a pipe says, and reports the address that it is listening on.
fn follow(
    pipe: impl std::io::Read + Send + 'static,
    output: &Arc<Mutex<String>>,
    (found, found_admin): (mpsc::SyncSender<SocketAddr>, mpsc::SyncSender<SocketAddr>),
) -> JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let Some(addr) = listening_on(&line) {
                // Only the first address is waited for.
                let _ = found.try_send(addr);
            }
            if let Some(addr) = steered_at(&line) {
                let _ = found_admin.try_send(addr);
            }
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    })
}

/// The address in a line like `fourtuple is listening on 127.0.0.1:4000; clients …`.
fn listening_on(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once("listening on ")?;
    after.split(';').next()?.parse().ok()
}

/// The address in a line like `dashboard, metrics and API are at http://127.0.0.1:4001/`.
fn steered_at(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once("API are at ")?;
    let (_, after) = after.split_once("://")?;
    after.split('/').next()?.parse().ok()
}

fn text(output: &Mutex<String>) -> String {
    output.lock().unwrap().clone()
}
