//! One reactor per thread, all of one app, on one port.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rustix::io::Errno;
use thiserror::Error;

use crate::{
    App, Counters, Full, Reactor, Remote, Settings, ShardIndex, Snapshot,
    mailbox::Mailbox,
    sys::{self, Epoll, Kernel},
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
    /// `epoll_create1(2)` or `eventfd(2)` failed.
    #[error("cannot make an epoll instance: {0}")]
    Kernel(Errno),
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
        let (kernels, address) = kernels(settings, count, listen)?;
        let mailboxes = kernels
            .iter()
            .map(|kernel| Mailbox::new(settings.mailbox_max, kernel.waker()));
        let remote = Remote::new(mailboxes);
        let app = Arc::new(app);
        let (tell_end, ended) = sync_channel(kernels.len());
        let mut shards = Self {
            remote,
            counters: Vec::new(),
            threads: Vec::new(),
            ended,
            address,
        };
        // Each thread waits for a word before it serves, so that a thread which cannot be started
        // leaves none behind that serves: the words of the others are never said.
        let mut starts = Vec::with_capacity(kernels.len());
        for (kernel, index) in kernels.into_iter().zip(0..) {
            let (start, started) = sync_channel::<()>(1);
            starts.push(start);
            let signals = Signals {
                started,
                end: End {
                    shard: usize::from(index),
                    tell: tell_end.clone(),
                },
            };
            shards.spawn(
                kernel,
                ShardIndex(index),
                settings.clone(),
                Arc::clone(&app),
                signals,
            )?;
        }
        for start in starts {
            // Fails only for a thread that is gone, and `join` tells why.
            let _ = start.send(());
        }
        Ok(shards)
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
        for _ in 0..self.threads.len() {
            let Ok(shard) = self.ended.recv() else { break };
            let Some(thread) = self.threads[shard].take() else {
                continue;
            };
            match thread.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    }

    fn spawn<A, F>(
        &mut self,
        kernel: Epoll,
        shard: ShardIndex,
        settings: Settings,
        app: Arc<F>,
        signals: Signals,
    ) -> Result<(), StartError>
    where
        A: App<Mail = M>,
        F: Fn(ShardIndex, Remote<M>) -> A + Send + Sync + 'static,
    {
        let remote = self.remote.clone();
        let counters = Arc::new(Counters::default());
        self.counters.push(Arc::clone(&counters));
        let run = move || {
            let Signals {
                started,
                end: _told_when_dropped,
            } = signals;
            if started.recv().is_err() {
                return Ok(());
            }
            let app = app(shard, remote.clone());
            let kernel = Kernel::Epoll(kernel);
            let seed = fastrand::u64(..);
            Reactor::new(kernel, app, settings, shard, remote, counters, seed).run()
        };
        let thread = std::thread::Builder::new().name(format!("shard-{}", shard.0));
        self.threads
            .push(Some(thread.spawn(run).map_err(StartError::Thread)?));
        Ok(())
    }
}

/// What a shard's thread waits for, and what it says at its end.
struct Signals {
    started: Receiver<()>,
    end: End,
}

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

/// Makes every shard's kernel before the first thread starts, so that a failure leaves nothing behind.
fn kernels(
    settings: &Settings,
    count: u16,
    listen: Option<SocketAddr>,
) -> Result<(Vec<Epoll>, Option<SocketAddr>), StartError> {
    if let Some(address) = listen {
        sys::probe(address).map_err(|errno| StartError::Listen { address, errno })?;
    }
    let mut address = listen;
    let mut kernels = Vec::with_capacity(usize::from(count));
    for _ in 0..count.max(1) {
        let listener = match address {
            Some(wanted) => {
                let (listener, bound) =
                    sys::listen(wanted, settings.backlog).map_err(|errno| StartError::Listen {
                        address: wanted,
                        errno,
                    })?;
                address = Some(bound);
                Some(listener)
            }
            None => None,
        };
        kernels.push(Epoll::new(listener).map_err(StartError::Kernel)?);
    }
    Ok((kernels, address))
}
