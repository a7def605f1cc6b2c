//! What the servers have in common: the one topic with what is said in it, and the listener.
//!
//! A peer is what one writes with a library in an afternoon and puts into production: the library's
//! defaults, a task per connection, a broadcast channel of tokio as the room, two workers. It
//! recognises the few messages of a session by comparing text, so it is spared the work of a
//! protocol above WebSocket.

#![forbid(unsafe_code)]

use std::env;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Context as _;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

/// The one topic of a server and what is said in it, in the kind of text that its library shares
/// among connections without copying.
#[derive(Debug)]
pub struct Room<Text> {
    members: broadcast::Sender<Text>,
    join: String,
    joined: Text,
    echo_push: String,
    echo_reply: Text,
    shout_push_head: String,
    shout_head: String,
}

impl<Text: Clone + From<String>> Room<Text> {
    /// Takes what is said from the JSON in the first argument of the process.
    ///
    /// # Errors
    ///
    /// When it is not there or lacks a text.
    pub fn from_arguments() -> anyhow::Result<Self> {
        let argument = env::args().nth(1).context("the session is not told")?;
        let texts: Value = serde_json::from_str(&argument).context("the session is no JSON")?;
        let text = |key: &str| {
            let text = texts[key].as_str().map(str::to_owned);
            text.with_context(|| format!("the session has no {key}"))
        };
        Ok(Self {
            members: broadcast::Sender::new(CAPACITY),
            join: text("join")?,
            joined: text("joined")?.into(),
            echo_push: text("echo_push")?,
            echo_reply: text("echo_reply")?.into(),
            shout_push_head: text("shout_push_head")?,
            shout_head: text("shout_head")?,
        })
    }

    /// Returns what is said to all members from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Text> {
        self.members.subscribe()
    }

    /// Returns what to answer to `text`; a broadcast goes to the members instead.
    #[must_use]
    pub fn handle_text(&self, text: &str) -> Option<Text> {
        if let Some(payload) = text.strip_prefix(&self.shout_push_head) {
            let shout = format!("{}{payload}", self.shout_head);
            // Fails only when nobody listens, and the sender of the push does.
            let _ = self.members.send(shout.into());
            None
        } else if text == self.echo_push {
            Some(self.echo_reply.clone())
        } else if text == self.join {
            Some(self.joined.clone())
        } else {
            None
        }
    }
}

/// Returns a runtime with as many workers as the machine that the targets are stated for has cores.
///
/// # Errors
///
/// When its threads cannot be started.
pub fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Listens on a port of the kernel's choice and says which.
///
/// # Errors
///
/// When the machine allows no listener.
pub fn listen() -> anyhow::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    println!("listening on {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    Ok(listener)
}

const WORKERS: usize = 2;
/// Connections that wait to be accepted. The libraries' default, 128 or 1,024, overflows when a crowd
/// comes at once, and then the number measured is the second after which a lost SYN is sent again.
const BACKLOG: u32 = 4096;
/// Broadcasts that a slow member may be behind; the bench has one on the way at a time.
const CAPACITY: usize = 64;
