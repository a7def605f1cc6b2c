//! The line of the log that every change leaves, whatever becomes of the client that asked for it.
//!
//! ```text
//!  begin ──► end (status) ──────────► one line
//!    └────── dropped unended ───────► one line, "abandoned": its client hung up before the answer
//! ```

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::Request,
    http::{Method, StatusCode},
};

use super::caller::Caller;

/// A change under way, put into its request. Cheap to clone.
#[derive(Clone, Debug)]
pub(in super::super) struct Deed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None once it is written.
    line: Mutex<Option<Line>>,
}

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The server itself, or who is connected.
    Server,
    /// Nothing but what members of topics are told. There may be thousands in a second, so only those who
    /// want to debug read of each.
    Messages,
}

#[derive(Debug)]
struct Line {
    change: Change,
    caller: Caller,
    from: SocketAddr,
    method: Method,
    path: String,
}

impl Deed {
    /// Notes what is asked for.
    pub(super) fn begin(
        change: Change,
        caller: Caller,
        from: SocketAddr,
        request: &Request,
    ) -> Self {
        let line = Line {
            change,
            caller,
            from,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        };
        Self(Arc::new(Inner {
            line: Mutex::new(Some(line)),
        }))
    }

    /// Says what came of it, unless that was said before.
    pub(in super::super) fn end(&self, status: StatusCode) {
        if let Some(line) = self.0.take() {
            line.write(&status.as_u16());
        }
    }

    /// Leaves no line: it was no deed.
    pub(super) fn forget(&self) {
        self.0.take();
    }
}

impl Inner {
    fn take(&self) -> Option<Line> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.take()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(line) = self.take() {
            line.write(&"abandoned");
        }
    }
}

impl Line {
    fn write(self, result: &dyn fmt::Display) {
        let Self {
            change,
            caller,
            from,
            method,
            path,
        } = self;
        match change {
            Change::Server => tracing::info!(
                %caller, %from, %method, path, %result, "the server was told to change"
            ),
            Change::Messages => tracing::debug!(
                %caller, %from, %method, path, %result, "the server was told to publish"
            ),
        }
    }
}
