//! The connections of the control plane: accepted up to a number, each with a deadline for its head.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
};

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may take after the shards have ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long to wait after a failure to accept, such as too few descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is told to stop, then lets requests under way end.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
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
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT);
        let service = TowerToHyperService::new(routes.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(socket), service));
        tokio::spawn(async move {
            // How a client's connection ends is its own affair.
            let _ = connection.await;
            drop(seat);
        });
    }
    // Streams of events do not end by themselves; they are cut off.
    let _ = tokio::time::timeout(LAST_WORDS, graceful.shutdown()).await;
}
