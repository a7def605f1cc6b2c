//! The connections of the control plane: accepted up to a number, each with a deadline for its handshake and
//! for its head.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
};
use tower::ServiceExt as _;

use super::{guard::Peer, tls::Tls};

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may take after the shards have ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long to wait after a failure to accept, such as too few descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Whom connections are for.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) routes: Router,
    /// None when it is plain HTTP.
    pub(super) tls: Option<Tls>,
}

/// Serves until it is told to stop, then lets requests under way end.
pub(super) async fn serve(
    listener: TcpListener,
    service: Service,
    connections_max: u16,
    stop: &Notify,
) {
    let seats = Arc::new(Semaphore::new(connections_max.into()));
    let graceful = GracefulShutdown::new();
    let stopped = stop.notified();
    tokio::pin!(stopped);
    loop {
        let accepted = async {
            let seat = Arc::clone(&seats).acquire_owned().await;
            (seat, listener.accept().await)
        };
        let (seat, accepted) = tokio::select! {
            () = &mut stopped => break,
            accepted = accepted => accepted,
        };
        let Ok((socket, address)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (service, watcher) = (service.clone(), graceful.watcher());
        tokio::spawn(async move {
            service.connection(socket, address, watcher).await;
            drop(seat);
        });
    }
    // Streams of events do not end by themselves; they are cut off.
    let _ = tokio::time::timeout(LAST_WORDS, graceful.shutdown()).await;
}

impl Service {
    async fn connection(self, socket: TcpStream, address: SocketAddr, watcher: Watcher) {
        let peer = Peer {
            address,
            is_secure: self.tls.is_some(),
        };
        match &self.tls {
            None => http(socket, self.routes, peer, watcher).await,
            // Who cannot speak TLS gets no answer that it would understand.
            Some(tls) => {
                if let Ok(socket) = tls.accept(socket).await {
                    http(socket, self.routes, peer, watcher).await;
                }
            }
        }
    }
}

async fn http<S>(socket: S, routes: Router, peer: Peer, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = routes.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let service = TowerToHyperService::new(service);
    let connection = http.serve_connection(TokioIo::new(socket), service);
    // How a client's connection ends is its own affair.
    let _ = watcher.watch(connection).await;
}
