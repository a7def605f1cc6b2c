//! What the control plane serves, and where.

use axum::{Router, routing::get};
use utoipa_axum::{router::OpenApiRouter, routes};

        .nest("/api/v1", api::routes(body_bytes_max))
