//! One agent as the coordinator knows it: a thread that talks to it, and reports what it says.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs as _},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError},
    },
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use super::{
    address::AgentAddress,
    clock::{Clock, ROUND_TRIPS},
    link::{self, Below, Link},
    message::{FromAgent, ToAgent},
    secret::Secret,
    session::{BEAT, GREETING_TIMEOUT, SILENCE_MAX, Session, SessionError},
    ssh::{self, Remote, SshOptions},
};

/// From the dial to an established TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it is between two dials of an agent that is not there yet.
const REDIAL: Duration = Duration::from_secs(1);
/// How long an agent is waited for that takes leave: it closes what it still has open first.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a session waits for a message before it sees whether there is something to send.
const PATIENCE: Duration = Duration::from_millis(5);

/// What a coordinator has for its agents to believe it, and to believe them.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) secret: Secret,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) ssh: SshOptions,
    /// How long agents are waited for that are not there yet.
    pub(crate) wait: Duration,
}

/// What an agent's thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    Tell(ToAgent),
    /// The same for something long that many are told: a [`ToAgent`] as JSON.
    TellJson(Arc<[u8]>),
    /// Find out how far its clock is from the one that has counted from here on.
    Measure(Instant),
}

/// What it reports.
#[derive(Debug)]
pub(crate) enum Event {
    /// It is not there yet, and is waited for.
    Awaited(String),
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
    let (mut session, remote) = match connect(address, credentials, commands, &report) {
        Ok(connected) => connected,
        Err(why) => return report(Event::Lost(why)),
    };
    report(Event::Connected);
    let talked = talk(&mut session, commands, &report);
    // An `ssh` ends by itself when its session has ended, so it is waited for afterwards.
    drop(session);
    if let Err(error) = talked {
        let said = remote.and_then(Remote::end);
        report(Event::Lost(with_words(&error, said)));
    }
}

/// Why there is no session, and what the `ssh` that carried it says of that.
fn with_words(error: &SessionError, said: Option<String>) -> String {
    match said {
        Some(said) => format!("{error}; ssh says: {said}"),
        None => error.to_string(),
    }
}

/// Whether nobody waits for an agent any more to which there is no session yet.
fn is_given_up(commands: &Receiver<Command>) -> bool {
    // Nothing is commanded before that.
    matches!(commands.try_recv(), Err(TryRecvError::Disconnected))
}

/// A session with an agent, and the process that carries it, if one does.
fn connect(
    address: &AgentAddress,
    credentials: &Credentials,
    commands: &Receiver<Command>,
    report: &impl Fn(Event),
) -> Result<(Session, Option<Remote>), String> {
    let (host, port) = match address {
        AgentAddress::Ssh { destination, port } => {
            let is_given_up = || is_given_up(commands);
            let options = &credentials.ssh;
            let started = ssh::start(destination, *port, options, &is_given_up);
            let (link, remote) = started.map_err(|error| error.to_string())?;
            // `ssh` logs in once more first.
            let (link, secret) = (Box::new(link), Secret::none());
            return match Session::of_coordinator(link, &secret, ssh::LOOK_TIMEOUT) {
                Ok(session) => {
                    remote.forget_words();
                    Ok((session, Some(remote)))
                }
                // The program may not run there, and its shell says why.
                Err(error) => Err(with_words(&error, remote.end())),
            };
        }
        AgentAddress::Tcp { host, port } => (host, *port),
    };
    let session = connect_tcp(host, port, credentials, commands, report);
    Ok((session.map_err(|error| error.to_string())?, None))
}

fn connect_tcp(
    host: &str,
    port: u16,
    credentials: &Credentials,
    commands: &Receiver<Command>,
    report: &impl Fn(Event),
) -> Result<Session, SessionError> {
    let stream = dial_until(host, port, credentials.wait, commands, report)?;
    link::prepare(&stream)?;
    let link: Box<dyn Link> = match &credentials.tls {
        None => Box::new(stream),
        Some(tls) => {
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let connection = ClientConnection::new(Arc::clone(tls), name);
            let connection = connection.map_err(io::Error::other)?;
            Box::new(StreamOwned::new(connection, Below::new(stream)))
        }
    };
    Session::of_coordinator(link, &credentials.secret, GREETING_TIMEOUT)
}

/// Dials an agent, and again for so long as `wait` if it is not there: its machine or the name of that may be on
/// their way.
fn dial_until(
    host: &str,
    port: u16,
    wait: Duration,
    commands: &Receiver<Command>,
    report: &impl Fn(Event),
) -> io::Result<TcpStream> {
    let since = Instant::now();
    let mut is_told = false;
    loop {
        let error = match dial(host, port) {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let left = wait.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(error);
        }
        if !std::mem::replace(&mut is_told, true) {
            report(Event::Awaited(error.to_string()));
        }
        // Nothing is commanded before there is a session; the end of the commands is the end of the wait.
        let pause = commands.recv_timeout(REDIAL.min(left));
        if matches!(pause, Err(RecvTimeoutError::Disconnected)) {
            return Err(error);
        }
    }
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
            Ok(Command::TellJson(message)) => session.send_json(&message)?,
            Ok(Command::Measure(began)) => {
                let clock = measure(session, began, report)?;
                report(Event::Clock(clock));
            }
            Err(TryRecvError::Disconnected) => return leave(session),
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

/// Takes leave of an agent, and waits until it has closed the session: then it is free for the next.
fn leave(session: &mut Session) -> Result<(), SessionError> {
    session.send(&ToAgent::Leave)?;
    let since = Instant::now();
    while since.elapsed() < LEAVE_TIMEOUT {
        match session.receive::<FromAgent>(PATIENCE) {
            Err(SessionError::Closed) => break,
            other => drop(other?),
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, os::fd::OwnedFd, sync::mpsc, thread};

    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

    use super::*;

    /// A port of this machine at which nobody listens, and which nobody else can get.
    fn silent_port() -> (OwnedFd, u16) {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = getsockname(&socket).expect("it is bound");
        let address = SocketAddr::try_from(address).expect("an address of IPv4");
        (socket, address.port())
    }

    const WAIT: Duration = Duration::from_secs(60);

    #[test]
    fn an_agent_that_comes_later_is_waited_for_and_that_is_told() {
        let (socket, port) = silent_port();
        let (_commands, hears) = mpsc::sync_channel(1);
        let (told, tells) = mpsc::sync_channel(4);
        thread::scope(|scope| {
            let dial = scope.spawn(move || {
                let report = |event| told.send(event).expect("room");
                dial_until("127.0.0.1", port, WAIT, &hears, &report)
            });
            assert!(matches!(tells.recv(), Ok(Event::Awaited(_))));
            listen(&socket, 1).expect("it is bound");
            dial.join().expect("no panic").expect("it is there now");
            assert!(tells.recv().is_err(), "it is told once");
        });
    }

    #[test]
    fn who_does_not_wait_hears_at_once_and_who_gives_up_soon() {
        let (_socket, port) = silent_port();
        let (commands, hears) = mpsc::sync_channel(1);
        let nobody = |event| panic!("{event:?} was told");
        let end = dial_until("127.0.0.1", port, Duration::ZERO, &hears, &nobody);
        assert_eq!(
            end.expect_err("nobody").kind(),
            io::ErrorKind::ConnectionRefused
        );
        assert!(!is_given_up(&hears));
        drop(commands);
        assert!(is_given_up(&hears));
        let since = Instant::now();
        let end = dial_until("127.0.0.1", port, WAIT, &hears, &|_| {});
        assert!(end.is_err() && since.elapsed() < WAIT);
    }
}
