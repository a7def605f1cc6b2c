//! The first peer: a server as one writes it with tokio-tungstenite in an afternoon.
//!
//! Library defaults but for the listener's backlog and TCP_NODELAY: one task per connection, the
//! default buffers of the codec, a tokio broadcast channel for the room, two worker threads. It recognises the few messages of a
//! session by comparing text, so it is spared the work of a protocol above WebSocket.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::session::{self, Workload};

/// Serves until the process is killed.
pub(crate) fn serve(workload: Workload) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_io()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(listen(Arc::new(Room::new(workload.topic()))))
}

/// The one topic of the server and what is said in it.
struct Room {
    members: broadcast::Sender<Utf8Bytes>,
    join: String,
    joined: Utf8Bytes,
    echo_push: String,
    echo_reply: Utf8Bytes,
    shout_push_head: String,
    shout_head: String,
}

impl Room {
    fn new(topic: &str) -> Self {
        Self {
            members: broadcast::Sender::new(ROOM_CAPACITY),
            join: session::join_text(topic),
            joined: session::joined_text(topic).into(),
            echo_push: session::echo_push_text(topic),
            echo_reply: session::echo_reply_text(topic).into(),
            shout_push_head: session::shout_push_head(topic),
            shout_head: session::shout_head(topic),
        }
    }

    /// Returns what to answer to `text`; a broadcast goes to the members instead.
    fn handle_text(&self, text: &str) -> Option<Utf8Bytes> {
        if let Some(payload) = text.strip_prefix(&self.shout_push_head) {
            // Fails only when nobody listens, and the sender of the push does.
            let _ = self
                .members
                .send(format!("{}{payload}", self.shout_head).into());
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

async fn listen(room: Arc<Room>) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    println!("listening on {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await.context("accept failed")?;
        let room = Arc::clone(&room);
        tokio::spawn(async move {
            // A connection that fails costs itself; the crowd counts what it did not get.
            let _ = serve_connection(stream, &room).await;
        });
    }
}

async fn serve_connection(stream: TcpStream, room: &Room) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut socket = accept_async(stream).await?;
    let mut broadcasts = room.members.subscribe();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Some(answer) = room.handle_text(&text) {
                        socket.send(Message::Text(answer)).await?;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            text = broadcasts.recv() => match text {
                Ok(text) => socket.send(Message::Text(text)).await?,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// Worker threads. Two, as the machine that the targets are stated for has two cores.
const WORKERS: usize = 2;
/// Connections that wait to be accepted. The library's default, 128, overflows when a crowd comes
/// at once, and then the number measured is the second after which a lost SYN is sent again.
const BACKLOG: u32 = 4096;
/// Broadcasts that a slow member may be behind; the bench has one on the way at a time.
const ROOM_CAPACITY: usize = 64;
