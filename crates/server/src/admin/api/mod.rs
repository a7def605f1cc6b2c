//! The HTTP API, version 1.

mod overview;

use utoipa_axum::{router::OpenApiRouter, routes};

use super::state::State;

/// The routes below `/api/v1`.
pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(overview::overview))
        .routes(routes!(overview::history))
        .routes(routes!(overview::events))
}
