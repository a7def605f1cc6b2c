//! The HTTP API, version 1: for backends and operators, described at `/openapi.json`.

mod connections;
mod cursor;
mod disconnect;
mod idempotency;
mod input;
mod message;
mod overview;
mod publish;
mod search;
mod server;
mod target;
mod topics;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use publish::Press;

use super::state::State;

/// The routes below `/api/v1`, whose bodies may have so many bytes.
pub(super) fn routes(body_bytes_max: usize) -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(overview::overview))
        .routes(routes!(overview::history))
        .routes(routes!(overview::events))
        .routes(routes!(publish::publish))
        .routes(routes!(publish::publish_batch))
        .routes(routes!(disconnect::disconnect))
        .routes(routes!(topics::topics))
        .routes(routes!(topics::topic))
        .routes(routes!(connections::connections))
        .routes(routes!(connections::connection, disconnect::disconnect_one))
        .routes(routes!(connections::addresses))
        .routes(routes!(server::server))
        .routes(routes!(server::config))
        .routes(routes!(server::log_level, server::set_log_level))
        .routes(routes!(server::drain))
        .layer(DefaultBodyLimit::max(body_bytes_max))
}
