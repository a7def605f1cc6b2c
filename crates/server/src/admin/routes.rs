//! What the control plane serves, and where.

use axum::Router;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{api, dashboard, health, state::State};

/// Every route, with the state that its handler needs.
pub(super) fn routes(state: State) -> Router {
    let (router, _) = OpenApiRouter::new()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .nest("/api/v1", api::routes())
        .merge(dashboard::routes().into())
        .with_state(state)
        .split_for_parts();
    router
}
