//! What the control plane serves, and where.

use std::sync::Arc;

use axum::{Router, middleware, routing::get};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    api, dashboard,
    guard::{Guard, Needs, guard, open, read},
    health, limits, memory, metrics,
    openapi::{Document, Served},
    plan, problem,
    state::State,
};

/// What the document does not describe, for whoever may see.
const UNDESCRIBED: [&str; 3] = ["/", "/assets/{version}/{file}", "/openapi.json"];

/// Every route with the state that its handler needs, and with its guard before it.
pub(super) fn routes(state: State) -> Router {
    let admin = state.control.config().admin.clone();
    let (sockets, refused) = (state.control.address(), state.refused.clone());
    let host = state.control.config().host.clone();
    let (router, mut document) = OpenApiRouter::with_openapi(Document::empty())
        .routes(open(routes!(health::live)))
        .routes(open(routes!(health::ready)))
        .routes(read(routes!(metrics::metrics)))
        .nest(
            "/api/v1",
            api::routes(admin.body_bytes_max).merge(capacity()),
        )
        .merge(dashboard::routes().into())
        .with_state(state)
        .split_for_parts();
    let needs = Needs::of_document(&mut document).and_read(&UNDESCRIBED);
    let served = Served::new(&document);
    let guarded = Arc::new(Guard::new(&admin, needs, sockets, host, refused));
    router
        .route("/openapi.json", get(move || served.clone().answer()))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(guarded, guard))
}

/// The routes below `/api/v1` that tell of limits.
fn capacity() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(read(routes!(limits::limits)))
        .routes(read(routes!(plan::plan)))
        .routes(read(routes!(memory::memory)))
}
