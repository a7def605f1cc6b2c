//! One reactor per thread, all of one app, on one port.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::io::Errno;
use thiserror::Error;

use crate::{
    App, Counters, Full, KernelInUse, Reactor, Remote, Settings, ShardIndex, Snapshot,
    mailbox::Mailbox,
    sys::{self, Kernel, KernelError, Waker},
};

/// The running shards of a process.
#[derive(Debug)]
pub struct Shards<M> {
    remote: Remote<M>,
    counters: Vec<Arc<Counters>>,
    /// In the order of shards; `None` once joined.
    threads: Vec<Option<JoinHandle<Result<(), Errno>>>>,
    /// Says which shard has ended, as they end.
    ended: Receiver<usize>,
    kernel: KernelInUse,
    address: Option<SocketAddr>,
}

/// Why shards could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// `bind(2)` or `listen(2)` failed.
    #[error("cannot listen on {address}: {}", cause(*errno))]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// `EADDRINUSE`: another program listens there. `EACCES`: a port below 1024 without the right.
        errno: Errno,
    },
    /// io_uring was asked for and cannot be had.
    #[error("cannot use io_uring: {0}; epoll needs nothing of the kind (`--kernel epoll`)")]
    Uring(String),
    /// `epoll_create1(2)` or `eventfd(2)` failed.
    #[error("cannot make a shard's kernel: {0}")]
    Kernel(Errno),
    /// `close_range(2)` and `unshare(2)` are forbidden here, so one table has to do for all shards.
    #[error("a shard cannot have a descriptor table of its own: {0}")]
    Table(Errno),
    /// A thread could not be started.
    #[error("cannot start a shard's thread: {0}")]
    Thread(io::Error),
}

/// Why `bind(2)` failed, in the words of whoever chose the address.
fn cause(errno: Errno) -> String {
    match errno {
        Errno::ADDRINUSE => "another program listens there".to_owned(),
        Errno::ADDRNOTAVAIL => "this machine has no such address".to_owned(),
        Errno::ACCESS => {
            "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE".to_owned()
        }
        errno => errno.to_string(),
    }
}

impl<M: Send + 'static> Shards<M> {
    /// Starts `count` shards. With an address to listen on, each shard has its own listening socket
    /// there (`SO_REUSEPORT`), and the kernel spreads connections over them; port 0 takes a free one.
    ///
    /// `app` is called once in each shard's thread, so an app need not be `Send`.
    ///
    /// # Errors
    ///
    /// As [`StartError`] says; nothing runs then.
    pub fn start<A, F>(
        settings: &Settings,
        count: u16,
        listen: Option<SocketAddr>,
        app: F,
    ) -> Result<Self, StartError>
    where
        A: App<Mail = M>,
        F: Fn(ShardIndex, Remote<M>) -> A + Send + Sync + 'static,
    {
        let kernel = settings.kernel.settle().map_err(StartError::Uring)?;
        if let Some(address) = listen {
            claim(address).map_err(|errno| StartError::Listen { address, errno })?;
        }
        let wakers: Vec<_> = (0..count.max(1))
            .map(|_| Waker::new().map_err(StartError::Kernel))
            .collect::<Result<_, _>>()?;
        let mailboxes = wakers
            .iter()
            .map(|waker| Mailbox::new(settings.mailbox_max, waker.clone()));
        let remote = Remote::new(mailboxes);
        let (tell_end, ended) = sync_channel(wakers.len());
        let mut shards = Self {
            remote,
            counters: Vec::new(),
            threads: Vec::new(),
            ended,
            kernel,
            address: listen,
        };
        let app = Arc::new(app);
        // Each shard makes its kernel, one after the other, and waits for a word before it serves. So a
        // failure leaves none behind that serves: the words of the others are never said.
        let mut starts = Vec::with_capacity(wakers.len());
        for (waker, index) in wakers.into_iter().zip(0..) {
            let end = End {
                shard: usize::from(index),
                tell: tell_end.clone(),
            };
            match shards.begin(settings, ShardIndex(index), waker, Arc::clone(&app), end) {
                Ok(start) => starts.push(start),
                Err(error) => {
                    drop(starts);
                    shards.join().map_err(StartError::Kernel)?;
                    return Err(error);
                }
            }
        }
        for start in starts {
            // Fails only for a thread that is gone, and `join` tells why.
            let _ = start.send(());
        }
        Ok(shards)
    }

    /// The interface that carries the shards, and why it does.
    pub const fn kernel(&self) -> &KernelInUse {
        &self.kernel
    }

    /// The address listened on, with its real port.
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Sends mail to one shard.
    ///
    /// # Errors
    ///
    /// Its mailbox has no room now.
    pub fn post(&self, shard: ShardIndex, mail: M) -> Result<(), Full<M>> {
        self.remote.post(shard, mail)
    }

    /// Reaches the shards from anywhere.
    pub const fn remote(&self) -> &Remote<M> {
        &self.remote
    }

    /// The sum of all shards' counters.
    pub fn counters(&self) -> Snapshot {
        self.counters
            .iter()
            .map(|c| c.snapshot())
            .fold(Snapshot::default(), Snapshot::plus)
    }

    /// One shard's counters.
    ///
    /// # Panics
    ///
    /// There is no such shard.
    pub fn counters_of(&self, shard: ShardIndex) -> Snapshot {
        self.counters[usize::from(shard.0)].snapshot()
    }

    /// Each shard's counters, in the order of shards, for readers that outlive the borrow.
    pub fn all_counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// How many shards have ended, in order or not.
    pub fn finished_count(&self) -> usize {
        self.threads
            .iter()
            .flatten()
            .filter(|thread| thread.is_finished())
            .count()
    }

    /// Waits until every shard's app has stopped it, or until the first shard fails.
    ///
    /// # Errors
    ///
    /// A shard's kernel failed; the others may still run, and end with the process.
    ///
    /// # Panics
    ///
    /// A shard's app panicked.
    pub fn join(mut self) -> Result<(), Errno> {
        while self.threads.iter().any(Option::is_some) {
            let Ok(shard) = self.ended.recv() else { break };
            let Some(thread) = self.threads.get_mut(shard).and_then(Option::take) else {
                continue;
            };
            match thread.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    }

    /// Starts a shard's thread and waits until it has its kernel; it serves when the sender is used, and
    /// ends when it is dropped.
    fn begin<A, F>(
        &mut self,
        settings: &Settings,
        shard: ShardIndex,
        waker: Waker,
        app: Arc<F>,
        end: End,
    ) -> Result<SyncSender<()>, StartError>
    where
        A: App<Mail = M>,
        F: Fn(ShardIndex, Remote<M>) -> A + Send + Sync + 'static,
    {
        let counters = Arc::new(Counters::default());
        self.counters.push(Arc::clone(&counters));
        let (remote, settings) = (self.remote.clone(), settings.clone());
        let (in_use, listen) = (self.kernel.clone(), self.address);
        let (tell_kernel, kernel) = sync_channel(1);
        let (start, started) = sync_channel::<()>(1);
        let run = move || {
            let _told_when_dropped = end;
            let kernel = match Kernel::start(&in_use, &settings, &waker, listen) {
                Ok((kernel, address)) => {
                    // Shards are made in their order, so the first begins before anybody can connect.
                    if let Some(steering) = &settings.steering {
                        steering.begin(|shards| kernel.steer(shards));
                    }
                    // Fails only when nobody waits for this shard any more, as the next call finds out.
                    let _ = tell_kernel.send(Ok(address));
                    kernel
                }
                Err(error) => {
                    let _ = tell_kernel.send(Err(error));
                    return Ok(());
                }
            };
            if started.recv().is_err() {
                return Ok(());
            }
            let app = app(shard, remote.clone());
            let seed = fastrand::u64(..);
            Reactor::new(kernel, app, settings, shard, remote, counters, seed).run()
        };
        let thread = std::thread::Builder::new().name(format!("shard-{}", shard.0));
        let thread = thread.spawn(run).map_err(StartError::Thread)?;
        self.threads.push(Some(thread));
        // Where there is no answer it panicked, and `join` repeats that.
        if let Ok(made) = kernel.recv() {
            self.address = made?;
        }
        Ok(start)
    }
}

/// Makes sure that nobody listens at an address. A server that was killed is given a moment: the machine
/// ends the sockets of its rings some time after its process.
fn claim(address: SocketAddr) -> Result<(), Errno> {
    let start = Instant::now();
    loop {
        match sys::probe(address) {
            Err(Errno::ADDRINUSE) if start.elapsed() < PREDECESSOR => {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// How long a server that was killed may take to be gone: 100,000 connections took 1.5 seconds.
const PREDECESSOR: Duration = Duration::from_secs(5);

/// Says that a shard has ended, also when it panicked.
struct End {
    shard: usize,
    tell: SyncSender<usize>,
}

impl Drop for End {
    fn drop(&mut self) {
        // There is room for every shard, and nobody may be listening.
        let _ = self.tell.try_send(self.shard);
    }
}

impl From<KernelError> for StartError {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Table(errno) => Self::Table(errno),
            KernelError::Listen(address, errno) => Self::Listen { address, errno },
            KernelError::Make(errno) => Self::Kernel(errno),
        }
    }
}
