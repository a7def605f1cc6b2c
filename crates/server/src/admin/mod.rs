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
mod dashboard;
mod health;
mod listener;
mod observatory;
mod openapi;
mod problem;
mod reading;
mod routes;
mod sample;
mod state;

use std::{io, net::SocketAddr, sync::Arc, thread::JoinHandle};

use state::State;
use thiserror::Error;
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
    sync::Notify,
};

use crate::{
    config::{self, AdminListen},
    control::Control,
};

/// A listener of the control plane that serves nobody yet.
#[derive(Debug)]
pub(crate) struct Admin {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    /// Whether another program has the usual port.
    is_elsewhere: bool,
}

/// The running control plane; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct AdminThread {
    thread: Option<JoinHandle<()>>,
    stop: Arc<Notify>,
    address: SocketAddr,
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
    /// The runtime or its thread could not be made.
    #[error("the admin side cannot be started: {0}")]
    Thread(io::Error),
}

impl Admin {
    /// Begins to listen; none when it is off.
    ///
    /// # Errors
    ///
    /// The address asked for cannot be listened on.
    pub(crate) fn open(config: &config::Admin) -> Result<Option<Self>, AdminError> {
        let usual = AdminListen::USUAL;
        let (address, fallback) = match config.listen {
            AdminListen::Off => return Ok(None),
            AdminListen::At(address) => (address, None),
            AdminListen::Auto => (usual, Some(SocketAddr::new(usual.ip(), 0))),
        };
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
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
            is_elsewhere,
        } = self;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let connections_max = control.config().admin.connections_max;
        let serve = move || {
            runtime.block_on(async {
                let state = State::new(control);
                tokio::spawn(state.observatory.clone().watch());
                let routes = routes::routes(state);
                listener::serve(listener, routes, connections_max, &stopped).await;
            });
        };
        let thread = std::thread::Builder::new().name("admin".to_owned());
        let thread = thread.spawn(serve).map_err(AdminError::Thread)?;
        Ok(AdminThread {
            thread: Some(thread),
            stop,
            address,
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
            "dashboard, metrics and API are at http://{}/{elsewhere}\n",
            self.address
        )
    }
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
