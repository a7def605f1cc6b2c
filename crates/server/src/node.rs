//! One running server: its shards, from the first listener to the last goodbye.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use capacity::{Holds, Machine, TcpMemory, raise_nofile};
use engine::{
    Errno, Full, Remote, Settings, ShardIndex, Shards, Snapshot, StartError, TcpPressure,
};
use hub::{Router, Socket};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use thiserror::Error;

use crate::{
    admin::{Admin, AdminError, AdminThread},
    blueprint::Blueprint,
    config::Config,
    control::{Control, Parts},
    drain::Drain,
    log,
    plan::Plan,
    shard::ShardMail,
};

/// A server that runs.
#[derive(Debug)]
pub struct Node {
    shards: Shards<ShardMail>,
    config: Arc<Config>,
    address: SocketAddr,
    plan: Plan,
    control: Control,
    admin: Option<AdminThread>,
}

/// Why a server did not start, or ended before its time.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The shards could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The machine has room for no connection at all; the words say which limit, and what raises it.
    #[error("not started, since this process {0}")]
    NoRoom(Holds),
    /// The control plane could not be started.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
    /// A shard's kernel failed.
    #[error("a shard's kernel failed: {0}")]
    Kernel(Errno),
}

/// Runs a server until `SIGTERM` or `SIGINT`, drains it, and returns. A second signal ends the process
/// at once.
///
/// Says on standard output where it listens and what it can hold.
///
/// # Errors
///
/// As [`ServeError`] says.
pub fn serve<S: Socket>(router: Router<S>, config: Config) -> Result<(), ServeError> {
    log::start(&config.log);
    // Before anyone can know that there is a server to end.
    let signals = Signals::new([SIGTERM, SIGINT]).map_err(ServeError::Signals)?;
    let node = Node::start(router, config)?;
    node.announce();
    node.run_until_signalled(signals)
}

impl Node {
    /// Starts a server; it serves until [`Node::drain`].
    ///
    /// # Errors
    ///
    /// The address cannot be listened on, or the machine has no more threads or descriptors.
    pub fn start<S: Socket>(router: Router<S>, config: Config) -> Result<Self, ServeError> {
        raise_nofile();
        let machine = Machine::read();
        let kernel = config.kernel.settle().map_err(StartError::Uring)?;
        let plan = Plan::new(&config, &machine, kernel.kernel(), kernel.tables());
        if let Some(holds) = plan.no_room() {
            return Err(ServeError::NoRoom(holds));
        }
        Self::start_planned(router, config, plan, &machine)
    }

    fn start_planned<S: Socket>(
        router: Router<S>,
        config: Config,
        plan: Plan,
        machine: &Machine,
    ) -> Result<Self, ServeError> {
        // Before the shards: what wakes the control plane must be in every shard's descriptor table.
        let admin = Admin::open(&config.admin)?;
        let blueprint = Arc::new(Blueprint::new(router, config, plan));
        let config = Arc::clone(blueprint.config());
        let settings = Settings {
            tcp_pressure: machine.tcp_memory.map(tcp_pressure),
            ..blueprint.settings()
        };
        let shared = Arc::clone(&blueprint);
        let build = move |shard, remote| shared.build(shard, remote);
        let shards = Shards::start(&settings, plan.layout.shards, Some(config.listen), build)?;
        let address = shards.local_addr().expect("a server listens");
        let control = Control::new(Parts {
            remote: shards.remote().clone(),
            interest: Arc::clone(blueprint.interest(shards.remote().shards_count())),
            counters: shards.all_counters().into(),
            config: Arc::clone(&config),
            plan,
            address,
            kernel: shards.kernel().to_string(),
            occupancy: Arc::clone(blueprint.occupancy()),
        });
        let serve = |admin: Admin| admin.serve(control.clone());
        let admin = admin.map(serve).transpose()?;
        Ok(Self {
            shards,
            config,
            address,
            plan,
            control,
            admin,
        })
    }

    /// Where it listens, with the real port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Connections that it holds at most.
    pub const fn connections_max(&self) -> u32 {
        self.plan.connections_max
    }

    /// What its shards have counted.
    pub fn counters(&self) -> Snapshot {
        self.shards.counters()
    }

    /// Begins to close everything in order; [`Node::join`] waits for the end.
    pub fn drain(&self) {
        self.control.drain();
    }

    /// Waits until every shard has ended.
    ///
    /// # Errors
    ///
    /// A shard's kernel failed.
    pub fn join(self) -> Result<(), ServeError> {
        let joined = self.shards.join().map_err(ServeError::Kernel);
        // To the last it says that the node is going.
        drop(self.admin);
        joined
    }

    /// The hand that the control plane has on this node.
    #[cfg(test)]
    pub(crate) const fn control(&self) -> &Control {
        &self.control
    }

    /// Where dashboard, metrics and HTTP API are; none when they are off.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(AdminThread::address)
    }

    /// Says where clients connect and how many may. Nobody has to read it.
    fn announce(&self) {
        let words = format!(
            "fourtuple is listening on {}; clients connect to ws://{}{}/websocket\n{}{}\n{}",
            self.address,
            displayed_host(self.address),
            self.config.path.trim_end_matches('/'),
            self.admin
                .as_ref()
                .map_or_else(String::new, AdminThread::words),
            self.shards.kernel(),
            self.plan.words(),
        );
        let _ = io::stdout().write_all(words.as_bytes());
    }

    fn run_until_signalled(self, mut signals: Signals) -> Result<(), ServeError> {
        let handle = signals.handle();
        let control = self.control.clone();
        let listener = std::thread::spawn(move || {
            let mut received = signals.forever();
            if let Some(signal) = received.next() {
                tracing::info!(
                    signal,
                    "closing all connections; a second signal ends at once"
                );
                // On a thread of its own: a shard that is stuck must not keep the second signal waiting.
                std::thread::spawn(move || control.drain());
            }
            if let Some(signal) = received.next() {
                #[allow(
                    clippy::disallowed_methods,
                    reason = "at once: what is open is cut off; main waits for the shards"
                )]
                // How a shell names an end by a signal.
                std::process::exit(128 + signal);
            }
        });
        let result = self.join();
        handle.close();
        listener
            .join()
            .map_or_else(|panic| std::panic::resume_unwind(panic), |()| result)
    }
}

/// Tells every shard to close its connections in order.
pub(crate) fn drain(remote: &Remote<ShardMail>, config: &Config) {
    let count = remote.shards_count();
    for shard in 0..count {
        let mut mail = ShardMail::Drain(Drain::new(config, count));
        // A mailbox that is full now is read within a turn of its shard.
        while let Err(Full(back)) = remote.post(ShardIndex(shard), mail) {
            mail = back;
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// When broadcasts rest: above the mark up to which TCP does not care, so that what is written between
/// two looks has room below the next.
fn tcp_pressure(marks: TcpMemory) -> Arc<TcpPressure> {
    Arc::new(TcpPressure::new(marks.low, TcpMemory::pages_in_use))
}

/// The address as a client on this machine writes it.
fn displayed_host(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let localhost: std::net::IpAddr = match address {
        SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(localhost, address.port())
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpStream};

    use engine::KernelChoice;

    use super::*;
    use crate::relay;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Asks for an upgrade, and returns the status with the connection, which stays open.
    fn connect(address: SocketAddr) -> (String, TcpStream) {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time to wait");
        let request = format!(
            "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: {address}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut status = [0; "HTTP/1.1 101".len()];
        stream.read_exact(&mut status).expect("it answers");
        (String::from_utf8_lossy(&status).into_owned(), stream)
    }

    #[test]
    fn a_full_shard_says_so_though_the_node_has_seats() {
        for kernel in [KernelChoice::Epoll, KernelChoice::Auto] {
            let config = Config {
                listen: "127.0.0.1:0".parse().expect("an address"),
                kernel,
                ..Config::default()
            };
            let mut plan = Plan::boundless(1_000);
            plan.shard_connections_max = 2;
            let router = relay(&config);
            let node = Node::start_planned(router, config, plan, &Machine::read());
            let node = node.expect("a port is free");
            let address = node.local_addr();
            let (statuses, open): (Vec<_>, Vec<_>) = (0..4).map(|_| connect(address)).unzip();
            assert_eq!(
                statuses,
                [
                    "HTTP/1.1 101",
                    "HTTP/1.1 101",
                    "HTTP/1.1 503",
                    "HTTP/1.1 503"
                ],
                "on {kernel:?}"
            );
            drop(open);
            node.drain();
            node.join().expect("its kernel works");
        }
    }
}
