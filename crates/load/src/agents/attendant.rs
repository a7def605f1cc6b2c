//! One agent as the coordinator knows it: a thread that talks to it, and reports what it says.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs as _},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError},
    },
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use super::{
    address::AgentAddress,
    clock::{Clock, ROUND_TRIPS},
    link::{self, Link},
    message::{FromAgent, ToAgent},
    secret::Secret,
    session::{BEAT, SILENCE_MAX, Session, SessionError},
    ssh::{self, Remote, SshOptions},
};

/// From the dial to an established TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a session waits for a message before it sees whether there is something to send.
const PATIENCE: Duration = Duration::from_millis(5);

/// What a coordinator has for its agents to believe it, and to believe them.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) secret: Secret,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) ssh: SshOptions,
}

/// What an agent's thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    Tell(ToAgent),
    /// Find out how far its clock is from the one that has counted from here on.
    Measure(Instant),
}

/// What it reports.
#[derive(Debug)]
pub(crate) enum Event {
    Connected,
    Heard(FromAgent),
    Clock(Clock),
    /// There is no session with it, or no longer.
    Lost(String),
}

/// Connects to an agent and talks to it until nobody commands any more, or until it is lost.
pub(crate) fn attend(
    place: usize,
    address: &AgentAddress,
    credentials: &Credentials,
    commands: &Receiver<Command>,
    events: &SyncSender<(usize, Event)>,
) {
    let report = |event| {
        // Nobody listens to the agents of a run that is over.
        let _ = events.send((place, event));
    };
    let (mut session, _remote) = match connect(address, credentials) {
        Ok(connected) => connected,
        Err(error) => return report(Event::Lost(error.to_string())),
    };
    report(Event::Connected);
    if let Err(error) = talk(&mut session, commands, &report) {
        report(Event::Lost(error.to_string()));
    }
}

/// A session with an agent, and the process that carries it, if one does.
fn connect(
    address: &AgentAddress,
    credentials: &Credentials,
) -> Result<(Session, Option<Remote>), SessionError> {
    let (host, port) = match address {
        AgentAddress::Ssh { destination, port } => {
            let (link, remote) = ssh::start(destination, *port, &credentials.ssh)?;
            let session = Session::of_coordinator(Box::new(link), &Secret::none())?;
            return Ok((session, Some(remote)));
        }
        AgentAddress::Tcp { host, port } => (host, *port),
    };
    let stream = dial(host, port)?;
    link::prepare(&stream)?;
    let link: Box<dyn Link> = match &credentials.tls {
        None => Box::new(stream),
        Some(tls) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let connection = ClientConnection::new(Arc::clone(tls), name);
            let connection = connection.map_err(io::Error::other)?;
            Box::new(StreamOwned::new(connection, stream))
        }
    };
    let session = Session::of_coordinator(link, &credentials.secret)?;
    Ok((session, None))
}

/// Dials each address of a name until one answers.
fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn talk(
    session: &mut Session,
    commands: &Receiver<Command>,
    report: &impl Fn(Event),
) -> Result<(), SessionError> {
    let mut beat = Instant::now();
    loop {
        match commands.try_recv() {
            Ok(Command::Tell(message)) => session.send(&message)?,
            Ok(Command::Measure(began)) => {
                let clock = measure(session, began, report)?;
                report(Event::Clock(clock));
            }
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {
                if beat.elapsed() >= BEAT {
                    beat = Instant::now();
                    session.send(&ToAgent::Alive)?;
                }
                if let Some(message) = session.receive(PATIENCE)? {
                    report(Event::Heard(message));
                }
            }
        }
    }
}

/// Asks an agent for the time, several times.
fn measure(
    session: &mut Session,
    began: Instant,
    report: &impl Fn(Event),
) -> Result<Clock, SessionError> {
    let mut best: Option<Clock> = None;
    for _ in 0..ROUND_TRIPS {
        let sent = began.elapsed();
        session.send(&ToAgent::Ping)?;
        loop {
            match session.receive(SILENCE_MAX)? {
                Some(FromAgent::Pong { now }) => {
                    let clock = Clock::of(sent, now, began.elapsed());
                    best = Some(best.map_or(clock, |best| best.or(clock)));
                    break;
                }
                Some(other) => report(Event::Heard(other)),
                None if began.elapsed().saturating_sub(sent) >= SILENCE_MAX => {
                    return Err(SessionError::Silent);
                }
                None => {}
            }
        }
    }
    best.ok_or(SessionError::Silent)
}
