//! Whether the node lives, and whether it takes connections: for whoever starts it again or sends it
//! traffic.

use axum::{extract::State as Held, http::StatusCode};

use super::state::State;
use crate::control::Readiness;

/// Whether the process answers at all.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, description = "It lives")))]
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// Whether new connections are taken.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses(
    (status = 200, description = "New connections are taken"),
    (status = 503, description = "It is draining, or holds as many as it may"),
))]
pub(super) async fn ready(Held(state): Held<State>) -> (StatusCode, &'static str) {
    match state.control.readiness() {
        Readiness::Ready => (StatusCode::OK, "ready\n"),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Readiness::Full => (
            StatusCode::SERVICE_UNAVAILABLE,
            "full: it holds as many connections as it may\n",
        ),
    }
}
