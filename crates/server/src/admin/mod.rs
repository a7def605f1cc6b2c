//! The control plane: dashboard, metrics and HTTP API, on one thread and one listener of its own.
//!
//! ```text
//!  browser, Prometheus, backend ── HTTP ──► this thread (tokio, axum) ── Control ──► shards
//! ```
//!
//! It reads plain counters, and asks shards bounded questions through their mailboxes; no shard ever waits
//! for it.

mod api;
mod board;
mod body;
mod chronicle;
mod dashboard;
mod guard;
mod health;
mod limits;
mod listener;
mod lookout;
mod memory;
mod metrics;
mod observatory;
mod openapi;
#[cfg(feature = "otel")]
mod otel;
mod plan;
mod problem;
mod reading;
mod refused;
mod routes;
mod sample;
mod seats;
mod socket;
mod state;
mod tls;

use std::{io, net::SocketAddr, sync::Arc, thread::JoinHandle};

use listener::{Deadlines, Service};
use seats::Seats;
use state::State;
use thiserror::Error;
use tls::Tls;
pub use tls::TlsError;
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
    sync::Notify,
};

use crate::{
    config::{self, AdminListen, Collector, CollectorError},
    control::Control,
};

/// A listener of the control plane that serves nobody yet.
#[derive(Debug)]
pub(crate) struct Admin {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    /// Whether another program has the usual port.
    is_elsewhere: bool,
}

/// The running control plane; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct AdminThread {
    thread: Option<JoinHandle<()>>,
    stop: Arc<Notify>,
    address: SocketAddr,
    scheme: &'static str,
    is_elsewhere: bool,
}

/// Why the control plane did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The address cannot be listened on.
    #[error(
        "the admin side cannot listen on {address}: {error}; choose another address with \
         `--admin-listen` (admin.listen), or \"off\""
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What `bind(2)` said.
        error: io::Error,
    },
    /// Everybody could do everything from elsewhere.
    #[error(
        "the admin side would let everybody in at {address}: name keys or users ([[admin.key]] or [[admin.user]] \
         in the file; `fourtuple key` makes one), or choose a loopback address with `--admin-listen` \
         (admin.listen)"
    )]
    Exposed {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The certificate cannot be used.
    #[error("the admin side has no certificate: {0} (admin.tls_cert, admin.tls_key)")]
    Tls(#[from] TlsError),
    /// Metrics and traces are to be sent, and this program cannot.
    #[error(
        "admin.otlp_endpoint is set, but this program was built without OpenTelemetry: build it with \
         `--features otel`, or take the setting away"
    )]
    NoTelemetry,
    /// The collector cannot be one.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// The runtime or its thread could not be made.
    #[error("the admin side cannot be started: {0}")]
    Thread(io::Error),
}

/// Threads for whatever may take its time: for passwords and plans as many as there may be at once, and one
/// each for the limits of the machine, for the files of TLS, and for the name of a collector. So none of them
/// waits for another.
const BLOCKING_THREADS: usize = guard::PASSWORD_THREADS + plan::THREADS + 3;

impl Admin {
    /// Begins to listen; none when it is off.
    ///
    /// # Errors
    ///
    /// The address asked for cannot be listened on, or lets everybody in; or its certificate cannot be used.
    pub(crate) fn open(config: &config::Admin) -> Result<Option<Self>, AdminError> {
        let usual = AdminListen::USUAL;
        let (address, fallback) = match config.listen {
            AdminListen::Off => return Ok(None),
            AdminListen::At(address) => (address, None),
            AdminListen::Auto => (usual, Some(SocketAddr::new(usual.ip(), 0))),
        };
        if config.is_exposed() {
            return Err(AdminError::Exposed { address });
        }
        let tls = Tls::open(config)?;
        if let Some(url) = &config.otlp_endpoint {
            url.parse::<Collector>()?;
            if !cfg!(feature = "otel") {
                return Err(AdminError::NoTelemetry);
            }
        }
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("admin-slow")
            .build()
            .map_err(AdminError::Thread)?;
        let bind = |address| runtime.block_on(TcpListener::bind(address));
        let (listener, is_elsewhere) = match (bind(address), fallback) {
            (Ok(listener), _) => (listener, false),
            (Err(_), Some(fallback)) => {
                let listener = bind(fallback);
                (
                    listener.map_err(|error| AdminError::Listen { address, error })?,
                    true,
                )
            }
            (Err(error), None) => return Err(AdminError::Listen { address, error }),
        };
        let address = listener.local_addr().map_err(AdminError::Thread)?;
        Ok(Some(Self {
            runtime,
            listener,
            address,
            tls,
            is_elsewhere,
        }))
    }

    /// Serves on a thread of its own.
    ///
    /// # Errors
    ///
    /// The machine has no more threads.
    pub(crate) fn serve(self, control: Control) -> Result<AdminThread, AdminError> {
        let Self {
            runtime,
            listener,
            address,
            tls,
            is_elsewhere,
        } = self;
        let scheme = if tls.is_some() { "https" } else { "http" };
        if tls.is_none() && !is_local(address) {
            tracing::warn!(
                "keys and passwords come to the admin side at {address} unencrypted; a certificate for it is named with \
                 `--admin-tls-cert` and `--admin-tls-key` (admin.tls_cert, admin.tls_key)"
            );
        }
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let config = Arc::clone(control.config());
        let serve = move || {
            runtime.block_on(async {
                let state = State::new(control);
                let refused = state.refused.clone();
                tokio::spawn(state.observatory.clone().watch());
                if let Some(tls) = tls.clone() {
                    tokio::spawn(tls.watch());
                }
                tokio::spawn(state.limits.clone().watch(state.observatory.clone()));
                #[cfg(feature = "otel")]
                let routes = otel::start(state.clone(), routes::routes(state));
                #[cfg(not(feature = "otel"))]
                let routes = routes::routes(state);
                let service = Service {
                    routes,
                    tls,
                    deadlines: Deadlines::of(&config.admin),
                    refused,
                };
                listener::serve(listener, service, Seats::new(&config.admin), &stopped).await;
            });
            // A file that is on a machine that does not answer must not keep this one from ending.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("admin".to_owned());
        let thread = thread.spawn(serve).map_err(AdminError::Thread)?;
        Ok(AdminThread {
            thread: Some(thread),
            stop,
            address,
            scheme,
            is_elsewhere,
        })
    }
}

impl AdminThread {
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is, in a line.
    pub(crate) fn words(&self) -> String {
        let elsewhere = if self.is_elsewhere {
            format!(" ({} is another program's)", AdminListen::USUAL)
        } else {
            String::new()
        };
        format!(
            "dashboard, metrics and API are at {}://{}/{elsewhere}\n",
            self.scheme, self.address
        )
    }
}

fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // It panics only by a programming error, which its own message has shown.
            let _ = thread.join();
        }
    }
}
