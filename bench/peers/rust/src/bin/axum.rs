//! A server as one writes it with axum's WebSocket extractor.

#![forbid(unsafe_code)]

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use tokio::sync::broadcast::error::RecvError;

use fourtuple_peers::{Room, listen, runtime};

fn main() -> anyhow::Result<()> {
    let room = Arc::new(Room::from_arguments()?);
    runtime()?.block_on(async {
        let listener = listen()?.tap_io(|stream| {
            // Fails only on a connection that is gone already.
            let _ = stream.set_nodelay(true);
        });
        let app = Router::new()
            .route("/socket/websocket", get(upgrade))
            .with_state(room);
        Ok(axum::serve(listener, app).await?)
    })
}

async fn upgrade(socket: WebSocketUpgrade, State(room): State<Arc<Room<Utf8Bytes>>>) -> Response {
    socket.on_upgrade(async move |socket| {
        // A connection that fails costs itself; the crowd counts what it did not get.
        let _ = serve_connection(socket, &room).await;
    })
}

async fn serve_connection(
    mut socket: WebSocket,
    room: &Room<Utf8Bytes>,
) -> Result<(), axum::Error> {
    let mut broadcasts = room.subscribe();
    loop {
        tokio::select! {
            message = socket.recv() => match message {
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
