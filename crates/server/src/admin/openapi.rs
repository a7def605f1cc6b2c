//! The description of everything that the control plane serves, made from the handlers themselves.

use axum::{
    body::Bytes,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::json;
use utoipa::OpenApi;

use super::problem::Problem;

/// The frame that the handlers' descriptions are put into.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "fourtuple",
        description = "Publishes into topics, shows and closes connections, and steers the server. Errors are \
                       problems after RFC 9457; docs/api.md explains each kind."
    ),
    tags(
        (name = "publish", description = "Messages to the members of topics"),
        (name = "topics", description = "What is joined, and how much is sent"),
        (name = "connections", description = "Who is connected, and who shall not be"),
        (name = "server", description = "The server itself"),
        (name = "overview", description = "How it does, now and in the last minutes"),
        (name = "limits", description = "How close it is to what, and what more would need"),
        (name = "metrics", description = "For Prometheus"),
        (name = "health", description = "For whoever starts it again or sends it traffic"),
    ),
    components(schemas(Problem)),
)]
pub(super) struct Document;

impl Document {
    /// Its frame, without paths.
    pub(super) fn empty() -> utoipa::openapi::OpenApi {
        <Self as OpenApi>::openapi()
    }
}

/// A document as it is served.
#[derive(Clone, Debug)]
pub(super) struct Served(Bytes);

impl Served {
    pub(super) fn new(document: &utoipa::openapi::OpenApi) -> Self {
        // Texts in maps with texts as their keys: they cannot but be written.
        let mut json = serde_json::to_value(document).unwrap_or_default();
        // What no attribute of a field can say: a message has exactly one of its two payloads.
        json["components"]["schemas"]["Message"]["oneOf"] =
            json!([{"required": ["payload"]}, {"required": ["payload_base64"]}]);
        Self(json.to_string().into())
    }

    pub(super) async fn answer(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (kind, self.0).into_response()
    }
}
