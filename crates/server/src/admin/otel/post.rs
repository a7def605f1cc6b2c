//! One request to a collector: a connection of its own, a deadline, and the answer's status.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{net::TcpStream, sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::config::Collector;

/// How long a collector may take for all of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// A name is looked up once at a time: a lookup cannot be given up, and each takes a thread until it ends.
static LOOKUPS: Semaphore = Semaphore::const_new(1);

/// Why a collector did not take something.
#[derive(Debug, Error)]
pub(super) enum PostError {
    #[error("it cannot be reached: {0}")]
    Connect(io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("it answered with status {0}")]
    Status(StatusCode),
    #[error("it took longer than {PATIENCE:?}")]
    Late,
}

impl Collector {
    pub(super) async fn post(&self, path: &str, message: Vec<u8>) -> Result<(), PostError> {
        let posted = timeout(PATIENCE, self.post_patiently(path, message));
        posted.await.map_err(|_| PostError::Late)?
    }

    async fn post_patiently(&self, path: &str, message: Vec<u8>) -> Result<(), PostError> {
        let addresses = look_up(self.authority.clone()).await;
        let socket = match addresses {
            Ok(addresses) => TcpStream::connect(&*addresses).await,
            Err(error) => Err(error),
        };
        let socket = TokioIo::new(socket.map_err(PostError::Connect)?);
        let (mut sender, connection) = http1::handshake(socket).await?;
        let request = Request::post(format!("{}{path}", self.path))
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::CONNECTION, "close")
            .body(Body::from(message))
            .expect("an authority and a path that were parsed are a head");
        // It ends with the answer or with the deadline, whichever comes first.
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await;
        connection.abort();
        match answer?.status() {
            status if status.is_success() => Ok(()),
            status => Err(PostError::Status(status)),
        }
    }
}

async fn look_up(authority: String) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = authority.parse() {
        return Ok(vec![address]);
    }
    let turn = LOOKUPS.acquire().await.map_err(io::Error::other)?;
    let looked = spawn_blocking(move || {
        let addresses = authority.to_socket_addrs().map(Iterator::collect);
        drop(turn);
        addresses
    });
    looked.await.map_err(io::Error::other)?
}
