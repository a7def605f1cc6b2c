//! A server as one writes it with tokio-tungstenite.

#![forbid(unsafe_code)]

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use fourtuple_peers::{Room, listen, runtime};

fn main() -> anyhow::Result<()> {
    let room = Arc::new(Room::from_arguments()?);
    runtime()?.block_on(async {
        let listener = listen()?;
        loop {
            let (stream, _) = listener.accept().await.context("accept failed")?;
            let room = Arc::clone(&room);
            tokio::spawn(async move {
                // A connection that fails costs itself; the crowd counts what it did not get.
                let _ = serve_connection(stream, &room).await;
            });
        }
    })
}

async fn serve_connection(stream: TcpStream, room: &Room<Utf8Bytes>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut socket = accept_async(stream).await?;
    let mut broadcasts = room.subscribe();
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
