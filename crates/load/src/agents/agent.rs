//! An agent: a machine that waits for coordinators and does its part of their runs, one at a time.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Timespec,
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use thiserror::Error;

use super::{
    duty::{AgentOptions, Duty, Task, UP_MAX},
    link::{self, Below, Link, Pipes},
    message::{FromAgent, ToAgent},
    secret::Secret,
    session::{BEAT, GREETING_TIMEOUT, Session, SessionError},
    tls::{self, TlsError},
};
use crate::interrupt::Interrupt;

/// Greetings under way at once.
const GREETINGS_MAX: usize = 16;
/// Of these, from one address: others come in, too, while somebody connects and says nothing.
const GREETINGS_OF_ONE_MAX: usize = 4;
/// Wrong proofs from one address within [`WRONG_WITHIN`] before it is heard no more.
const WRONG_MAX: u32 = 5;
const WRONG_WITHIN: Duration = Duration::from_secs(60);
/// Addresses whose wrong proofs are remembered.
const ADDRESSES_MAX: usize = 1_024;
/// How often a listener without visitors looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// How long a session waits for a message before it sees whether its run has something to say.
const PATIENCE: Duration = Duration::from_millis(5);

/// Why an agent does not listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Anybody who finds the port could use this machine for an attack.
    #[error(
        "an agent that others can reach at {0} needs a secret: give --secret-file FILE or \
         FOURTUPLE_AGENT_SECRET (`openssl rand -hex 32` makes one), or listen on 127.0.0.1"
    )]
    NoSecret(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The session over standard input and output failed.
    #[error("{0}")]
    Session(String),
}

/// An agent that is ready to serve.
#[derive(Debug)]
pub struct Agent {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
}

/// What all sessions of an agent share.
#[derive(Debug)]
struct Shared {
    secret: Secret,
    options: AgentOptions,
    /// Who is being served, and since when.
    busy: Mutex<Option<(String, Instant)>>,
    /// Told when nobody is being served any more.
    freed: Condvar,
    wrong: Mutex<HashMap<IpAddr, (u32, Instant)>>,
    /// Visitors that are not known to be genuine yet, since when, and their connections.
    greetings: Mutex<HashMap<SocketAddr, (Instant, TcpStream)>>,
    interrupt: Interrupt,
    log: fn(&str),
}

impl Shared {
    fn new(secret: Secret, options: AgentOptions, interrupt: &Interrupt, log: fn(&str)) -> Self {
        Self {
            secret,
            options,
            busy: Mutex::new(None),
            freed: Condvar::new(),
            wrong: Mutex::default(),
            greetings: Mutex::default(),
            interrupt: interrupt.clone(),
            log,
        }
    }
}

impl Agent {
    /// An agent that listens at `address`, with a certificate and its key if `tls` names their files, and
    /// writes what happens with `log`. `interrupt` ends it.
    ///
    /// # Errors
    ///
    /// [`AgentError::NoSecret`] where others than this machine could connect without one,
    /// [`AgentError::Listen`], [`AgentError::Tls`].
    pub fn listen(
        address: SocketAddr,
        secret: Option<Secret>,
        tls: Option<(&Path, &Path)>,
        options: AgentOptions,
        interrupt: &Interrupt,
        log: fn(&str),
    ) -> Result<Self, AgentError> {
        if secret.is_none() && !address.ip().is_loopback() {
            return Err(AgentError::NoSecret(address));
        }
        let tls = tls.map(|(cert, key)| tls::server(cert, key)).transpose()?;
        let wrong = |error| AgentError::Listen { address, error };
        let listener = TcpListener::bind(address).map_err(wrong)?;
        listener.set_nonblocking(true).map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        let secret = secret.unwrap_or_else(Secret::none);
        Ok(Self {
            listener,
            address,
            tls,
            shared: Arc::new(Shared::new(secret, options, interrupt, log)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves coordinators until the interrupt is raised and what is under way is closed.
    pub fn serve(&self) {
        while !self.shared.interrupt.is_raised() {
            self.shared.end_slow_greetings();
            match self.listener.accept() {
                Ok((stream, from)) => self.welcome(stream, from),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut watched = [PollFd::new(&self.listener, PollFlags::IN)];
                    let time = Timespec::try_from(LOOK).ok();
                    // Woken early or not, the next accept tells.
                    let _ = poll(&mut watched, time.as_ref());
                }
                // No descriptors, or a visitor that has gone: neither is for ever.
                Err(_) => thread::park_timeout(LOOK),
            }
        }
        let busy = &self.shared.busy;
        let busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
        let freed = self.shared.freed.wait_while(busy, |busy| busy.is_some());
        drop(freed.unwrap_or_else(PoisonError::into_inner));
    }

    /// Serves one visitor in a thread of its own, if it may come in.
    fn welcome(&self, stream: TcpStream, from: SocketAddr) {
        if self.shared.is_shut_out(from.ip()) || !self.shared.begin_greeting(from, &stream) {
            return;
        }
        let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
        let spawned = thread::Builder::new()
            .name("session".to_owned())
            .spawn(move || {
                let link = link_of(stream, tls);
                let session = link
                    .map_err(SessionError::from)
                    .and_then(|link| Session::of_agent(link, &shared.secret));
                shared.end_greeting(from);
                match session {
                    Ok(session) => shared.attend(session, &from.to_string()),
                    Err(error) => {
                        if matches!(error, SessionError::Secret) {
                            shared.note_wrong(from.ip());
                        }
                        (shared.log)(&format!("{from}: no session: {error}"));
                    }
                }
            });
        if spawned.is_err() {
            self.shared.end_greeting(from);
        }
    }
}

/// Serves the one coordinator at the other end of standard input and output, which `ssh` has made sure of.
///
/// # Errors
///
/// [`AgentError::Session`] when there is no session.
pub fn serve_stdio(
    options: AgentOptions,
    interrupt: &Interrupt,
    log: fn(&str),
) -> Result<(), AgentError> {
    let wrong = |error: String| AgentError::Session(error);
    let input = io::stdin().as_fd().try_clone_to_owned();
    let input = input.map_err(|error| wrong(error.to_string()))?;
    let output = io::stdout().as_fd().try_clone_to_owned();
    let output = output.map_err(|error| wrong(error.to_string()))?;
    let link = Box::new(Pipes::new(input, output));
    let secret = Secret::none();
    let session = Session::of_agent(link, &secret).map_err(|error| wrong(error.to_string()))?;
    Shared::new(secret, options, interrupt, log).attend(session, "ssh");
    Ok(())
}

fn link_of(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Box<dyn Link>> {
    stream.set_nonblocking(false)?;
    link::prepare(&stream)?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
    Ok(Box::new(StreamOwned::new(connection, Below::new(stream))))
}

impl Shared {
    /// Takes a place for a greeting; `false` when there can be none. Where all are taken, or all that its address may
    /// have, the oldest of them is ended: a genuine one takes no time.
    fn begin_greeting(&self, from: SocketAddr, stream: &TcpStream) -> bool {
        let mut greetings = self
            .greetings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Ok(stream) = stream.try_clone() else {
            return false;
        };
        let of_one = greetings.keys().filter(|other| other.ip() == from.ip());
        let has_many = of_one.count() >= GREETINGS_OF_ONE_MAX;
        if has_many || greetings.len() >= GREETINGS_MAX {
            let candidates = greetings.iter();
            let oldest = candidates
                .filter(|(other, _)| !has_many || other.ip() == from.ip())
                .min_by_key(|(_, (since, _))| *since)
                .map(|(&address, _)| address);
            if let Some((_, stream)) = oldest.and_then(|oldest| greetings.remove(&oldest)) {
                // Its thread sees the end of it.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        greetings.insert(from, (Instant::now(), stream));
        true
    }

    fn end_greeting(&self, from: SocketAddr) {
        let mut greetings = self
            .greetings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        greetings.remove(&from);
    }

    /// Ends greetings that take too long, a byte now and then or not.
    fn end_slow_greetings(&self) {
        let greetings = self
            .greetings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (since, stream) in greetings.values() {
            if since.elapsed() > GREETING_TIMEOUT {
                // Its thread sees the end of it.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Whether an address has had so many wrong proofs that it is not heard any more, for a while.
    fn is_shut_out(&self, address: IpAddr) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong
            .get(&address)
            .is_some_and(|&(count, since)| count >= WRONG_MAX && since.elapsed() < WRONG_WITHIN)
    }

    fn note_wrong(&self, address: IpAddr) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, (_, since)| since.elapsed() < WRONG_WITHIN);
        // Who has very many addresses gains no more than that many guesses at a long secret.
        if wrong.len() < ADDRESSES_MAX || wrong.contains_key(&address) {
            let (count, _) = wrong.entry(address).or_insert_with(|| (0, Instant::now()));
            *count += 1;
        }
    }

    /// Serves a coordinator, unless another one is being served.
    fn attend(&self, mut session: Session, who: &str) {
        let place = match self.occupy(who) {
            Ok(place) => place,
            Err(other) => {
                (self.log)(&format!("{who}: refused, {other}"));
                // It hears why, or it is gone.
                let _ = session.send(&FromAgent::Busy { who: other });
                return;
            }
        };
        (self.log)(&format!("{who}: serving"));
        let end = Visit::of(self).serve(&mut session);
        drop(place);
        match end {
            Ok(()) | Err(SessionError::Closed) => (self.log)(&format!("{who}: gone")),
            Err(error) => (self.log)(&format!("{who}: gone: {error}")),
        }
    }

    /// Takes the place for one coordinator, or says who has it.
    fn occupy(&self, who: &str) -> Result<Occupied<'_>, String> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((other, since)) = &*busy {
            let seconds = since.elapsed().as_secs();
            return Err(format!("it has served {other} for {seconds} s"));
        }
        *busy = Some((who.to_owned(), Instant::now()));
        Ok(Occupied(self))
    }
}

/// The place of the one coordinator that is served. It is free afterwards, even when its thread has panicked.
#[derive(Debug)]
struct Occupied<'a>(&'a Shared);

impl Drop for Occupied<'_> {
    fn drop(&mut self) {
        *self.0.busy.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.freed.notify_all();
    }
}

/// The visit of one coordinator.
struct Visit<'a> {
    shared: &'a Shared,
    /// The agent's clock counts from here.
    began: Instant,
    task: Option<Task>,
    duty: Option<Duty>,
}

impl<'a> Visit<'a> {
    fn of(shared: &'a Shared) -> Self {
        Self {
            shared,
            began: Instant::now(),
            task: None,
            duty: None,
        }
    }

    /// Does what the coordinator says until it is gone. However that ends, the run is closed then.
    fn serve(mut self, session: &mut Session) -> Result<(), SessionError> {
        let mut beat = Instant::now();
        loop {
            self.pass_on(session)?;
            if self.shared.interrupt.is_raised() {
                match &self.duty {
                    Some(duty) => duty.end(),
                    None => return Ok(()),
                }
            }
            if beat.elapsed() >= BEAT {
                beat = Instant::now();
                let snapshot = self.duty.as_ref().and_then(Duty::snapshot);
                session.send(&FromAgent::Standing(snapshot))?;
            }
            match session.receive(PATIENCE)? {
                Some(ToAgent::Leave) => return Ok(()),
                Some(message) => self.handle(message, session)?,
                None => {}
            }
        }
    }

    /// Passes on what the run says; some of it, when there is no end of it: the coordinator is to be heard, too.
    fn pass_on(&mut self, session: &mut Session) -> Result<(), SessionError> {
        use std::sync::mpsc::TryRecvError;

        let since = Instant::now();
        for _ in 0..UP_MAX {
            let Some(duty) = self.duty.as_ref().filter(|_| since.elapsed() < BEAT) else {
                return Ok(());
            };
            let said = match duty.says.try_recv() {
                Ok(said) => said,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => FromAgent::Failed {
                    why: "a thread of the agent has panicked: see its log".to_owned(),
                },
            };
            if matches!(said, FromAgent::Arrived { .. }) {
                // At a gate it is known how many have come to it.
                session.send(&FromAgent::Standing(duty.snapshot()))?;
            }
            let is_last = matches!(said, FromAgent::Done(_) | FromAgent::Failed { .. });
            session.send(&said)?;
            if is_last {
                self.duty = None;
            }
        }
        Ok(())
    }

    fn handle(&mut self, message: ToAgent, session: &mut Session) -> Result<(), SessionError> {
        match message {
            ToAgent::Ask(work) => {
                let answer = match Task::of(work, &self.shared.options) {
                    Ok((task, capacity)) => {
                        self.task = Some(task);
                        FromAgent::Capacity(capacity)
                    }
                    Err(why) => FromAgent::Unable { why },
                };
                session.send(&answer)?;
            }
            ToAgent::Prepare { part, run } => match self.task.take() {
                Some(task) if part.is_possible() && self.duty.is_none() => {
                    self.duty = Some(Duty::prepare(task, part, run));
                }
                _ => {
                    let why = "a part was to be prepared of nothing that was asked".to_owned();
                    session.send(&FromAgent::Unable { why })?;
                }
            },
            ToAgent::Ping => {
                let now = self.began.elapsed();
                session.send(&FromAgent::Pong { now })?;
            }
            ToAgent::Start { at } => match (&self.duty, self.began.checked_add(at)) {
                (Some(duty), Some(at)) => duty.start(at),
                (Some(_), None) => {
                    let why = "a run was to begin when no clock will ever show".to_owned();
                    session.send(&FromAgent::Failed { why })?;
                    self.duty = None;
                }
                (None, _) => {}
            },
            ToAgent::Pass { place, sent } => {
                if let Some(duty) = &self.duty {
                    duty.pass(place, sent);
                }
            }
            ToAgent::End => {
                if let Some(duty) = &self.duty {
                    duty.end();
                }
            }
            ToAgent::Alive | ToAgent::Leave => {}
        }
        Ok(())
    }
}
