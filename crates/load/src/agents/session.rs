//! A session: a coordinator and an agent that have found each other genuine, and the messages between them.

use std::{
    io,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::{
    link::Link,
    secret::{Role, Secret, Transcript, nonce},
    wire::{self, Direction, Inbox, Seal, WireError},
};

/// The version of what is said in a session. Both sides must speak the same.
pub(crate) const VERSION: u32 = 2;
/// How long a greeting may take as a whole.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long nothing may be heard of the other side, which says something every second.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often each side says something.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// A frame of so many bytes is read by the other side while it is written: no buffer takes it.
const LONG_BYTES: usize = 8 << 20;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Why there is no session any more, or none at all.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the connection was closed by the other side")]
    Closed,
    #[error("nothing was heard for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("there was no greeting within {} s: is it a fourtuple agent?", .0.as_secs())]
    NoGreeting(Duration),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("something came that is not understood: {0}")]
    Garbled(#[from] serde_json::Error),
    #[error(
        "it is fourtuple {build} and speaks version {version} of the agents' protocol, and here is {} \
         with version {VERSION}: install the same on both",
        env!("CARGO_PKG_VERSION")
    )]
    Version { build: String, version: u32 },
    #[error("the secret is not the same on both sides")]
    Secret,
    #[error("the other side refused: {0}")]
    Refused(String),
}

/// What is said before there is a session.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Greeting {
    Hello {
        version: u32,
        build: String,
        nonce: String,
    },
    Proof {
        proof: String,
    },
    Refused {
        why: String,
    },
}

/// A connection on which both sides have proven who they are.
#[derive(Debug)]
pub(crate) struct Session {
    link: Box<dyn Link>,
    inbox: Inbox,
    sign: Seal,
    check: Seal,
    /// When anything came last.
    heard: Instant,
    patience: Duration,
}

impl Session {
    /// Greets as the one that has connected, for so long at most.
    pub(crate) fn of_coordinator(
        link: Box<dyn Link>,
        secret: &Secret,
        time: Duration,
    ) -> Result<Self, SessionError> {
        let mut talk = Talk::new(link, time);
        let mut transcript = Transcript {
            coordinator: hello()?,
            ..Transcript::default()
        };
        talk.send(&transcript.coordinator)?;
        transcript.agent = talk.receive()?;
        match_version(&transcript.agent)?;
        talk.say_proof(secret, Role::Coordinator, &transcript)?;
        talk.hear_proof(secret, Role::Agent, &transcript)?;
        Ok(talk.into_session(secret, &transcript, Role::Coordinator))
    }

    /// Greets as the one that was connected to. Says nothing of itself but its version to who does not prove
    /// that it has the secret.
    pub(crate) fn of_agent(link: Box<dyn Link>, secret: &Secret) -> Result<Self, SessionError> {
        let mut talk = Talk::new(link, GREETING_TIMEOUT);
        let mut transcript = Transcript {
            coordinator: talk.receive()?,
            agent: hello()?,
        };
        let version = match_version(&transcript.coordinator);
        talk.send(&transcript.agent)?;
        version?;
        if let Err(error) = talk.hear_proof(secret, Role::Coordinator, &transcript) {
            let why = error.to_string();
            // It is gone already, or it hears why.
            let _ = talk.say(&Greeting::Refused { why });
            return Err(error);
        }
        talk.say_proof(secret, Role::Agent, &transcript)?;
        transcript.agent.shrink_to_fit();
        Ok(talk.into_session(secret, &transcript, Role::Agent))
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, message: &impl Serialize) -> Result<(), SessionError> {
        self.send_json(&serde_json::to_vec(message)?)
    }

    /// Sends a message that is JSON already.
    pub(crate) fn send_json(&mut self, content: &[u8]) -> Result<(), SessionError> {
        let mut frame = wire::head(content, Some(&mut self.sign))?;
        if content.len() <= READ_BYTES {
            frame.extend_from_slice(content);
            self.link.write_all(&frame)?;
        } else {
            // A long one is not copied, which would be once for each agent at the same time.
            self.link.write_all(&frame)?;
            self.link.write_all(content)?;
        }
        self.link.flush()?;
        if content.len() >= LONG_BYTES {
            // It took its time, and the other side has read it and said nothing meanwhile.
            self.heard = Instant::now();
        }
        Ok(())
    }

    /// The next message; `None` when none has come for so long as `patience`, or when a long one is not whole
    /// after a while.
    ///
    /// # Errors
    ///
    /// [`SessionError::Silent`] when nothing at all has come for [`SILENCE_MAX`].
    pub(crate) fn receive<T: DeserializeOwned>(
        &mut self,
        patience: Duration,
    ) -> Result<Option<T>, SessionError> {
        if patience != self.patience {
            self.link.set_patience(patience)?;
            self.patience = patience;
        }
        let since = Instant::now();
        loop {
            if let Some(content) = self.inbox.next(Some(&mut self.check))? {
                return Ok(Some(serde_json::from_slice(&content)?));
            }
            match read_some(&mut *self.link, &mut self.inbox) {
                Ok(true) => {
                    self.heard = Instant::now();
                    // A long frame must not keep this side from saying that it is here.
                    if since.elapsed() >= BEAT {
                        return Ok(None);
                    }
                }
                Ok(false) if self.heard.elapsed() >= SILENCE_MAX => {
                    return Err(SessionError::Silent);
                }
                Ok(false) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Reads once; `false` when nothing came in time.
fn read_some(link: &mut dyn Link, inbox: &mut Inbox) -> Result<bool, SessionError> {
    let mut bytes = [0; READ_BYTES];
    match link.read(&mut bytes) {
        Ok(0) => Err(SessionError::Closed),
        Ok(count) => {
            inbox.feed(&bytes[..count]);
            Ok(true)
        }
        Err(error) => match error.kind() {
            kind if is_in_vain(kind) => Ok(false),
            // TLS that ends without a goodbye, as a process that is killed.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                Err(SessionError::Closed)
            }
            _ => Err(error.into()),
        },
    }
}

/// Whether an error says that nothing came for as long as was waited.
const fn is_in_vain(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};

    matches!(kind, WouldBlock | TimedOut | Interrupted)
}

/// A greeting under way.
struct Talk {
    link: Box<dyn Link>,
    inbox: Inbox,
    time: Duration,
    until: Instant,
}

impl Talk {
    fn new(mut link: Box<dyn Link>, time: Duration) -> Self {
        let until = Instant::now() + time;
        link.set_deadline(Some(until));
        Self {
            link,
            inbox: Inbox::default(),
            time,
            until,
        }
    }

    fn send(&mut self, content: &[u8]) -> Result<(), SessionError> {
        let frame = wire::frame(content, None)?;
        let written = self.link.write_all(&frame);
        match written.and_then(|()| self.link.flush()) {
            // TLS shakes hands with the first bytes that are written, and waits for the other side.
            Err(error) if is_in_vain(error.kind()) => Err(SessionError::NoGreeting(self.time)),
            written => Ok(written?),
        }
    }

    fn receive(&mut self) -> Result<Vec<u8>, SessionError> {
        loop {
            if let Some(content) = self.inbox.next(None)? {
                return Ok(content);
            }
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SessionError::NoGreeting(self.time));
            }
            self.link.set_patience(left)?;
            read_some(&mut *self.link, &mut self.inbox)?;
        }
    }

    fn say(&mut self, greeting: &Greeting) -> Result<(), SessionError> {
        self.send(&serde_json::to_vec(greeting)?)
    }

    fn say_proof(
        &mut self,
        secret: &Secret,
        role: Role,
        transcript: &Transcript,
    ) -> Result<(), SessionError> {
        let proof = STANDARD_NO_PAD.encode(secret.prove(role, transcript));
        self.say(&Greeting::Proof { proof })
    }

    fn hear_proof(
        &mut self,
        secret: &Secret,
        role: Role,
        transcript: &Transcript,
    ) -> Result<(), SessionError> {
        let proof = match serde_json::from_slice(&self.receive()?)? {
            Greeting::Proof { proof } => STANDARD_NO_PAD.decode(proof).unwrap_or_default(),
            Greeting::Refused { why } => return Err(SessionError::Refused(why)),
            Greeting::Hello { .. } => Vec::new(),
        };
        match secret.is_proven(role, transcript, &proof) {
            true => Ok(()),
            false => Err(SessionError::Secret),
        }
    }

    fn into_session(mut self, secret: &Secret, transcript: &Transcript, own: Role) -> Session {
        self.link.set_deadline(None);
        let key = secret.session_key(transcript);
        let (out, back) = match own {
            Role::Coordinator => (Direction::ToAgent, Direction::ToCoordinator),
            Role::Agent => (Direction::ToCoordinator, Direction::ToAgent),
        };
        Session {
            link: self.link,
            inbox: self.inbox,
            sign: Seal::new(&key, out),
            check: Seal::new(&key, back),
            heard: Instant::now(),
            patience: Duration::ZERO,
        }
    }
}

/// This side's hello.
fn hello() -> Result<Vec<u8>, SessionError> {
    let hello = Greeting::Hello {
        version: VERSION,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        nonce: STANDARD_NO_PAD.encode(nonce()?),
    };
    Ok(serde_json::to_vec(&hello)?)
}

/// Checks that a hello is one and says the version that is spoken here.
fn match_version(hello: &[u8]) -> Result<(), SessionError> {
    match serde_json::from_slice(hello)? {
        Greeting::Hello {
            version: VERSION, ..
        } => Ok(()),
        Greeting::Hello { version, build, .. } => Err(SessionError::Version { build, version }),
        Greeting::Refused { why } => Err(SessionError::Refused(why)),
        Greeting::Proof { .. } => Err(SessionError::Secret),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::net::UnixStream, sync::mpsc::RecvTimeoutError, thread};

    use super::{super::link::Below, *};

    fn secret(text: &str) -> Secret {
        Secret::of(text, "a test").expect("long enough")
    }

    fn greet(ours: &Secret, theirs: &Secret) -> [Result<Session, SessionError>; 2] {
        let (one, two) = UnixStream::pair().expect("a pair");
        thread::scope(|scope| {
            let agent = scope.spawn(|| Session::of_agent(Box::new(two), theirs));
            let coordinator = Session::of_coordinator(Box::new(one), ours, GREETING_TIMEOUT);
            [coordinator, agent.join().expect("no panic")]
        })
    }

    #[test]
    fn with_one_secret_messages_go_both_ways() {
        let secret = secret("one secret for both");
        let [coordinator, agent] = greet(&secret, &secret);
        let (mut coordinator, mut agent) = (coordinator.expect("one"), agent.expect("two"));
        let long = "x".repeat(1 << 20);
        thread::scope(|scope| {
            scope.spawn(|| coordinator.send(&long).expect("it is read"));
            let patience = Duration::from_secs(10);
            let heard: Option<String> = agent.receive(patience).expect("genuine");
            assert_eq!(heard.as_ref(), Some(&long));
        });
        agent.send(&7).expect("it is read");
        let patience = Duration::from_secs(10);
        assert_eq!(coordinator.receive(patience).expect("genuine"), Some(7));
        let now = Duration::from_millis(1);
        assert_eq!(coordinator.receive::<u8>(now).expect("nothing yet"), None);
        drop(agent);
        let end = coordinator.receive::<u8>(patience).expect_err("closed");
        assert!(matches!(end, SessionError::Closed), "{end}");
    }

    #[test]
    fn with_another_secret_there_is_no_session_and_both_know_why() {
        let [ours, theirs] = greet(
            &secret("one secret of these"),
            &secret("another one of them"),
        );
        let ours = ours.expect_err("refused").to_string();
        assert!(
            ours.contains("refused: the secret is not the same"),
            "{ours}"
        );
        assert!(matches!(theirs, Err(SessionError::Secret)));
    }

    #[test]
    fn another_version_is_refused_by_both() {
        let (mut one, two) = UnixStream::pair().expect("a pair");
        let hello = br#"{"hello":{"version":99,"build":"9.9.9","nonce":"AA"}}"#;
        one.write_all(&wire::frame(hello, None).expect("short"))
            .expect("room");
        let agent = Session::of_agent(Box::new(two), &Secret::none()).expect_err("refused");
        assert!(agent.to_string().contains("fourtuple 9.9.9"), "{agent}");
        // The agent has said what it is.
        let mut answer = Talk::new(Box::new(one), GREETING_TIMEOUT);
        let hello = answer.receive().expect("a hello");
        assert!(match_version(&hello).is_ok());
    }

    #[test]
    fn who_repeats_what_was_said_proves_nothing() {
        let secret = secret("one secret for both");
        let (mut one, two) = UnixStream::pair().expect("a pair");
        thread::scope(|scope| {
            let agent = scope.spawn(|| Session::of_agent(Box::new(two), &secret));
            let mut talk = Talk::new(
                Box::new(one.try_clone().expect("a second")),
                GREETING_TIMEOUT,
            );
            let own = hello().expect("random numbers");
            talk.send(&own).expect("it is read");
            let theirs = talk.receive().expect("a hello");
            // A proof of another session: the agent's nonce was another.
            let transcript = Transcript {
                coordinator: own,
                agent: hello().expect("random numbers"),
            };
            assert_ne!(theirs, transcript.agent);
            talk.say_proof(&secret, Role::Coordinator, &transcript)
                .expect("it is read");
            let end = agent.join().expect("no panic").expect_err("refused");
            assert!(matches!(end, SessionError::Secret), "{end}");
        });
        one.flush().expect("a socket");
    }

    /// What is between a coordinator and something that is no agent, with TLS.
    fn tls_to(address: std::net::SocketAddr) -> Box<dyn Link> {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("a version that there is")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = "localhost".try_into().expect("a name");
        let connection = rustls::ClientConnection::new(config.into(), name).expect("a client");
        let stream = std::net::TcpStream::connect(address).expect("a listener");
        Box::new(rustls::StreamOwned::new(connection, Below::new(stream)))
    }

    #[test]
    fn who_says_nothing_or_next_to_nothing_within_tls_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        for is_dripping in [false, true] {
            let (over, ended) = std::sync::mpsc::sync_channel::<()>(0);
            thread::scope(|scope| {
                let listener = &listener;
                scope.spawn(move || {
                    let (mut other, _) = listener.accept().expect("a client");
                    // The head of a record of 16 KiB, and then a zero now and then.
                    let mut bytes = [22, 3, 3, 64, 0].into_iter().chain(std::iter::repeat(0));
                    let beat = Duration::from_millis(2);
                    while ended.recv_timeout(beat) == Err(RecvTimeoutError::Timeout) {
                        if is_dripping && let Some(byte) = bytes.next() {
                            // It may be gone, which ends this in a moment.
                            let _ = other.write_all(&[byte]);
                        }
                    }
                });
                let time = Duration::from_millis(50);
                let end = Session::of_coordinator(tls_to(address), &Secret::none(), time);
                drop(over);
                let end = end.expect_err("no greeting");
                assert!(matches!(end, SessionError::NoGreeting(_)), "{end}");
            });
        }
    }
}
