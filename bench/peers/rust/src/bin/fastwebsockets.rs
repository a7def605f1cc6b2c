//! A server as one writes it with fastwebsockets on hyper.
//!
//! To wait for a frame may not be given up half-way in this library, so reading and writing are two
//! loops of one task, each with its half of the connection.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context as _;
use fastwebsockets::{Frame, OpCode, Payload, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;
use tokio::sync::broadcast::error::RecvError;

use fourtuple_peers::{Room, listen, runtime};

fn main() -> anyhow::Result<()> {
    let room = Arc::new(Room::from_arguments()?);
    runtime()?.block_on(async {
        let listener = listen()?;
        loop {
            let (stream, _) = listener.accept().await.context("accept failed")?;
            stream.set_nodelay(true)?;
            let room = Arc::clone(&room);
            let service = service_fn(move |request| answer(request, Arc::clone(&room)));
            tokio::spawn(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades(),
            );
        }
    })
}

async fn answer(
    mut request: Request<Incoming>,
    room: Arc<Room<Arc<str>>>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, socket) = upgrade::upgrade(&mut request)?;
    tokio::spawn(async move {
        // A connection that fails costs itself; the crowd counts what it did not get.
        let _ = serve_connection(socket, &room).await;
    });
    Ok(response)
}

async fn serve_connection(
    socket: upgrade::UpgradeFut,
    room: &Room<Arc<str>>,
) -> Result<(), WebSocketError> {
    let (mut reader, writer) = socket.await?.split(tokio::io::split);
    let writer = Mutex::new(writer);
    let mut broadcasts = room.subscribe();
    let send = async |text: &str| {
        let frame = Frame::text(Payload::Borrowed(text.as_bytes()));
        writer.lock().await.write_frame(frame).await
    };
    let read = async {
        loop {
            let mut obliged = async |frame| writer.lock().await.write_frame(frame).await;
            let frame = reader.read_frame(&mut obliged).await?;
            match frame.opcode {
                OpCode::Text => {
                    let text = str::from_utf8(&frame.payload);
                    let text = text.map_err(|_| WebSocketError::InvalidUTF8)?;
                    if let Some(answer) = room.handle_text(text) {
                        send(&answer).await?;
                    }
                }
                OpCode::Close => return Err(WebSocketError::ConnectionClosed),
                _ => {}
            }
        }
    };
    let write = async {
        loop {
            match broadcasts.recv().await {
                Ok(text) => send(&text).await?,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(WebSocketError::ConnectionClosed),
            }
        }
    };
    tokio::try_join!(read, write).map(|(_, _): (Infallible, Infallible)| ())
}
