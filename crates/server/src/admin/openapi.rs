//! The description of everything that the control plane serves, made from the handlers themselves.

use axum::{
    body::Bytes,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::problem::{MEDIA_TYPE, Problem};

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
        let paths = json["paths"].as_object_mut().into_iter().flatten();
        let operations = paths.filter_map(|(_, path)| path.as_object_mut());
        operations
            .flatten()
            .for_each(|(_, operation)| describe_refusals(operation));
        Self(json.to_string().into())
    }

    pub(super) async fn answer(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (kind, self.0).into_response()
    }
}

/// Answers of the guard, which stands before every handler that is not for everybody.
const REFUSALS: [(&str, &str); 4] = [
    ("401", "No key or login is shown, or none that is known"),
    (
        "403",
        "The scope is missing, or a page of another site asks",
    ),
    ("421", "The server is not known by the name in `Host`"),
    (
        "429",
        "Too many wrong keys or passwords came from this address; come again after `Retry-After` seconds",
    ),
];

fn describe_refusals(operation: &mut Value) {
    let is_guarded = |security: &Vec<Value>| security.iter().any(|one| *one != json!({}));
    if !operation["security"].as_array().is_some_and(is_guarded) {
        return;
    }
    for (status, words) in REFUSALS {
        let known = &mut operation["responses"][status];
        if known.is_null() {
            let schema = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
            *known = json!({"description": words, "content": {MEDIA_TYPE: schema}});
        }
    }
}
