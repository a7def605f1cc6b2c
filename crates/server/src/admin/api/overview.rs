//! How the node is: now, in the last minutes, and as a stream.

use std::convert::Infallible;

use axum::{
    Json,
    body::Body,
    extract::State as Held,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use tokio_stream::{StreamExt as _, wrappers::WatchStream};

use super::super::{
    observatory::History,
    problem::{Kind, Problem},
    state::State,
};

/// The newest sample.
#[utoipa::path(get, path = "/overview", tag = "overview", responses(
    (status = 200, description = "The numbers of the last second", content_type = "application/json"),
    (status = 503, description = "The server has just started; ask again in a second", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn overview(Held(state): Held<State>) -> Result<Response, Problem> {
    let sample = state.observatory.sample().ok_or_else(|| {
        let detail = "the server has just started and has no numbers yet; ask again after Retry-After seconds";
        Problem::new(Kind::Unavailable, detail)
    })?;
    Ok(Json(&*sample).into_response())
}

/// The last ten minutes, a column for each number.
#[utoipa::path(get, path = "/history", tag = "overview", responses(
    (status = 200, description = "Columns of numbers, a row for each second, oldest first", content_type = "application/json"),
))]
pub(crate) async fn history(Held(state): Held<State>) -> Json<History> {
    Json(state.observatory.history())
}

/// Each new sample, as server-sent events named `sample`.
#[utoipa::path(get, path = "/events", tag = "overview", responses(
    (status = 200, description = "A stream that does not end", content_type = "text/event-stream"),
))]
pub(crate) async fn events(Held(state): Held<State>) -> Response {
    // Written once for all who watch. There is one every second, so none is needed to keep a stream alive.
    let events = WatchStream::new(state.observatory.subscribe());
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}
