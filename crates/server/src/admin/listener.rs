//! The connections of the control plane: accepted up to a number, with a share for each address, and each with
//! deadlines, so that no client keeps its seat by doing nothing.
//!
//! ```text
//!  a seat, and the address has its share left ─► handshake ─► head ─► body ─► answer ─┐
//!                            else closed           10 s       │       ▲ keeps coming  │ is taken by the client
//!                                                             └── request_timeout     └── write_timeout
//! ```

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tower::ServiceExt as _;

use super::{
    body::Paced,
    guard::Peer,
    refused::{OfConnection, Refused},
    seats::Seats,
    socket::Patient,
    tls::Tls,
};
use crate::{config::Admin, repetition::Repetitions};

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
    pub(super) deadlines: Deadlines,
    pub(super) refused: Refused,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// For a head, and for the beginning of a body.
    request: Duration,
    /// To take anything of what is written.
    write: Duration,
}

impl Deadlines {
    pub(super) const fn of(admin: &Admin) -> Self {
        Self {
            request: admin.request_timeout,
            write: admin.write_timeout,
        }
    }
}

/// Serves until it is told to stop, then lets requests under way end.
pub(super) async fn serve(listener: TcpListener, service: Service, seats: Seats, stop: &Notify) {
    let graceful = GracefulShutdown::new();
    let (said, started) = (Repetitions::default(), Instant::now());
    let stopped = stop.notified();
    tokio::pin!(stopped);
    loop {
        let accepted = async {
            let seat = seats.free().await;
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
        let Some(seat) = seats.take(seat, address.ip()) else {
            service.refused.count_connection(OfConnection::AddressShare);
            if let Some(again) = said.note((), started.elapsed()) {
                say_share(address.ip(), again);
            }
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

fn say_share(address: IpAddr, again: u64) {
    tracing::warn!(
        %address,
        again,
        "a connection to the admin side was closed, since its address has as many as one may have; see who \
         keeps them open, or raise admin.connections_per_address_max"
    );
}

impl Service {
    async fn connection(self, socket: TcpStream, address: SocketAddr, watcher: Watcher) {
        let peer = Peer {
            address,
            is_secure: self.tls.is_some(),
        };
        let socket = Patient::of_client(socket, self.deadlines.write, self.refused.clone());
        match self.tls.clone() {
            None => self.http(socket, peer, watcher).await,
            Some(tls) => match tls.accept(socket).await {
                Ok(socket) => self.http(socket, peer, watcher).await,
                // Who cannot speak TLS gets no answer that it would understand.
                Err(_) => self.refused.count_connection(OfConnection::Handshake),
            },
        }
    }

    async fn http<S>(self, socket: S, peer: Peer, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let patience = self.deadlines.request;
        let service = self
            .routes
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                request.map(|body| Body::new(Paced::new(body, patience)))
            });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(patience);
        let service = TowerToHyperService::new(service);
        let connection = http.serve_connection(TokioIo::new(socket), service);
        // How else a client's connection ends is its own affair.
        if let Err(error) = watcher.watch(connection).await
            && error.is_timeout()
        {
            self.refused.count_connection(OfConnection::Head);
        }
    }
}
