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

use super::{
    guard::{self, read},
    state::State,
};

/// The routes below `/api/v1`, whose bodies may have so many bytes. What is neither `read` nor `publish` needs
/// the scope admin, as does everything but GET of what is `read`.
pub(super) fn routes(body_bytes_max: usize) -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(read(routes!(overview::overview)))
        .routes(read(routes!(overview::history)))
        .routes(read(routes!(overview::events)))
        .routes(guard::publish(routes!(publish::publish)))
        .routes(guard::publish(routes!(publish::publish_batch)))
        .routes(routes!(disconnect::disconnect))
        .routes(read(routes!(topics::topics)))
        .routes(read(routes!(topics::topic)))
        .routes(read(routes!(connections::connections)))
        .routes(read(routes!(
            connections::connection,
            disconnect::disconnect_one
        )))
        .routes(read(routes!(connections::addresses)))
        .routes(read(routes!(server::server)))
        .routes(read(routes!(server::config)))
        .routes(read(routes!(server::log_level, server::set_log_level)))
        .routes(routes!(server::drain))
        .layer(DefaultBodyLimit::max(body_bytes_max))
}
