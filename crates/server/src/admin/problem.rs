//! What was wrong with a request, in the one form of all errors of the control plane: RFC 9457.
//!
//! ```text
//! HTTP/1.1 404 Not Found
//! content-type: application/problem+json
//!
//! {"type": "…/docs/api.md#not-found", "title": "Not found", "status": 404, "detail": "…"}
//! ```
//!
//! The type is for programs and never changes; the detail is for people and says what was wrong, what was
//! expected and what to do.

use axum::{
    extract::rejection::{BytesRejection, PathRejection, QueryRejection},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use super::body;
use crate::control::Unpublished;

/// Where the kinds of problems are explained, each under its name.
const EXPLAINED: &str = "https://github.com/fourtuple/fourtuple/blob/main/docs/api.md#";
/// How problems are sent.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";
/// Seconds after which to come again when there was no room.
const COME_AGAIN_S: u32 = 1;

/// Declares the kinds of problems once: the kind, the name in its type, the title and the status.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $title:literal, $status:ident;)*) => {
        /// What can be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            /// The end of its type.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }

            const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }
        }
    };
}

kinds! {
    /// The path leads nowhere, or what it names is not there.
    NotFound = "not-found", "Not found", NOT_FOUND;
    /// The path is there, but not for this method.
    MethodNotAllowed = "method-not-allowed", "Method not allowed", METHOD_NOT_ALLOWED;
    /// A parameter of the path or the query, or a header, cannot be read.
    BadParameter = "bad-parameter", "Bad parameter", BAD_REQUEST;
    /// The body is not JSON, or was not sent to its end.
    BadBody = "bad-body", "Bad body", BAD_REQUEST;
    /// The body is longer than the server reads.
    BodyTooLarge = "body-too-large", "Body too large", PAYLOAD_TOO_LARGE;
    /// The body came more slowly than the server waits for.
    BodyTooSlow = "body-too-slow", "Body too slow", REQUEST_TIMEOUT;
    /// The body is not said to be JSON.
    NotJson = "not-json", "Not JSON", UNSUPPORTED_MEDIA_TYPE;
    /// The body is JSON and says what cannot be.
    Invalid = "invalid", "Invalid request", UNPROCESSABLE_ENTITY;
    /// The mailbox of a shard has no room for a message.
    MailboxFull = "mailbox-full", "Mailbox full", TOO_MANY_REQUESTS;
    /// The same idempotency key came before with another request.
    KeyReused = "key-reused", "Idempotency key reused", UNPROCESSABLE_ENTITY;
    /// The first request with this idempotency key is not over.
    KeyInFlight = "key-in-flight", "Idempotency key in flight", CONFLICT;
    /// The log belongs to the program around the server.
    LogNotOurs = "log-not-ours", "The log is not the server's", CONFLICT;
    /// It is not known who asks.
    Unauthenticated = "unauthenticated", "No key or login that is known", UNAUTHORIZED;
    /// Who asks may not do this.
    ScopeMissing = "scope-missing", "Scope missing", FORBIDDEN;
    /// A page of another site asks.
    OtherSite = "other-site", "A page of another site", FORBIDDEN;
    /// The server is not known by the name in the request.
    WrongHost = "wrong-host", "Not known by this name", MISDIRECTED_REQUEST;
    /// Too many wrong keys or passwords came from the address.
    TooManyAttempts = "too-many-attempts", "Too many wrong keys or passwords", TOO_MANY_REQUESTS;
    /// The server cannot answer now.
    Unavailable = "unavailable", "Not available now", SERVICE_UNAVAILABLE;
}

/// Why a request was not carried out, after RFC 9457.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Which kind of problem it is: a URI at which the kind is explained.
    #[serde(rename = "type")]
    #[schema(format = "uri")]
    kind: String,
    /// The kind in a few words, the same each time.
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was wrong this time, what was expected, and what to do.
    detail: String,
    /// Of a batch: how many of its messages were taken, counted from its beginning. None of the others was.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<usize>,
    #[serde(skip)]
    comes_again: bool,
}

/// The problems of a request that only asks.
#[derive(Debug, IntoResponses)]
#[allow(dead_code, reason = "only its description is used")]
pub(crate) enum Asking {
    /// A parameter cannot be read
    #[response(status = 400, content_type = "application/problem+json")]
    BadParameter(Problem),
    /// The server cannot answer now; ask again after `Retry-After` seconds
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// The problems of a request with a body.
#[derive(Debug, IntoResponses)]
#[allow(dead_code, reason = "only its description is used")]
pub(crate) enum Telling {
    /// The body is not JSON, or a parameter or header cannot be read
    #[response(status = 400, content_type = "application/problem+json")]
    BadBody(Problem),
    /// The body came too slowly: its beginning within `admin.request_timeout`, then at least 16 KiB a second
    #[response(status = 408, content_type = "application/problem+json")]
    BodyTooSlow(Problem),
    /// The body is longer than `admin.body_bytes_max`
    #[response(status = 413, content_type = "application/problem+json")]
    BodyTooLarge(Problem),
    /// The header `Content-Type` is not `application/json`
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(Problem),
    /// The body says what cannot be
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(Problem),
    /// The server cannot answer now; ask again after `Retry-After` seconds
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// The problems of publishing, beside those of every request with a body.
#[derive(Debug, IntoResponses)]
#[allow(dead_code, reason = "only its description is used")]
pub(crate) enum Publishing {
    /// The first request with this idempotency key is not over
    #[response(status = 409, content_type = "application/problem+json")]
    KeyInFlight(Problem),
    /// A mailbox is full; come again after `Retry-After` seconds
    #[response(status = 429, content_type = "application/problem+json")]
    MailboxFull(Problem),
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{EXPLAINED}{}", kind.name()),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            taken: None,
            comes_again: matches!(
                kind,
                Kind::MailboxFull | Kind::KeyInFlight | Kind::Unavailable
            ),
        }
    }

    /// A message was not published, after so many others of a batch.
    pub(crate) fn unpublished(why: Unpublished, taken: Option<usize>) -> Self {
        match why {
            Unpublished::Full => Self::mailbox_full(taken),
            Unpublished::Ended => Self {
                taken,
                ..Self::new(
                    Kind::Unavailable,
                    "the shards that had members of the topic have ended, so the message was not published, nor was \
                     anything behind it; publish it on the server that the members come back to",
                )
            },
        }
    }

    /// What the answer to it says first.
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// The mailbox of a shard is full, after so many messages of a batch.
    fn mailbox_full(taken: Option<usize>) -> Self {
        let detail = match taken {
            None | Some(0) => {
                "the mailbox of a shard is full, and nothing was published; send the same again after \
                 Retry-After seconds, or raise limits.mailbox_max"
                    .to_owned()
            }
            Some(taken) => format!(
                "the mailbox of a shard is full: the first {taken} messages were published, the others were \
                 not; send those from index {taken} on again after Retry-After seconds, under a new \
                 Idempotency-Key if there was one"
            ),
        };
        Self {
            taken,
            ..Self::new(Kind::MailboxFull, detail)
        }
    }

    /// A shard did not answer, or has no room for a question.
    pub(crate) fn busy(shard: u16) -> Self {
        let detail = format!(
            "shard {shard} is too busy to answer, or ends; ask again after Retry-After seconds"
        );
        Self::new(Kind::Unavailable, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        // A problem is a few texts and numbers: they cannot but be written.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            [(header::CONTENT_TYPE, MEDIA_TYPE)],
            body,
        )
            .into_response();
        if self.comes_again {
            let seconds = HeaderValue::from(COME_AGAIN_S);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let detail = format!(
            "{}; /openapi.json says which parameters there are and what each expects",
            rejection.body_text()
        );
        Self::new(Kind::BadParameter, detail)
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        let detail = format!(
            "{}; a part of a path is UTF-8, with / and other special characters written as %XX",
            rejection.body_text()
        );
        Self::new(Kind::BadParameter, detail)
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = "the body is longer than admin.body_bytes_max; send less at once, or raise \
                          the setting";
            return Self::new(Kind::BodyTooLarge, detail);
        }
        if body::is_late(&rejection) {
            let detail = format!(
                "the body came too slowly; send its beginning within admin.request_timeout, and then at least {} \
                 bytes a second",
                body::BYTES_PER_SECOND_MIN
            );
            return Self::new(Kind::BodyTooSlow, detail);
        }
        let detail = format!(
            "{}; send the body to its end, with its length",
            rejection.body_text()
        );
        Self::new(Kind::BadBody, detail)
    }
}

/// The answer for a path that leads nowhere.
pub(crate) async fn not_found(uri: Uri) -> Problem {
    let detail = format!(
        "there is nothing at {}; /openapi.json lists all paths",
        uri.path()
    );
    Problem::new(Kind::NotFound, detail)
}

/// The answer for a method that a path does not have.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "{} takes no {method}; the header Allow says what it takes, /openapi.json what each does",
        uri.path()
    );
    Problem::new(Kind::MethodNotAllowed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_are_those_of_the_rfc() {
        let problem = Problem::new(Kind::NotFound, "gone");
        let json = serde_json::to_value(&problem).unwrap();
        let expected = serde_json::json!({
            "type": format!("{EXPLAINED}not-found"),
            "title": "Not found",
            "status": 404,
            "detail": "gone",
        });
        assert_eq!(json, expected);
        let response = problem.into_response();
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(response.headers().get(header::RETRY_AFTER), None);
    }

    #[test]
    fn what_no_shard_took_is_refused() {
        let ended = Problem::unpublished(Unpublished::Ended, Some(3));
        let json = serde_json::to_value(&ended).unwrap();
        assert_eq!((&json["status"], &json["taken"]), (&503.into(), &3.into()));
        assert_eq!(ended.into_response().status(), 503);
    }

    #[test]
    fn who_may_come_again_is_told_when() {
        let response = Problem::mailbox_full(Some(3)).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let json = serde_json::to_value(Problem::mailbox_full(Some(3))).unwrap();
        assert_eq!(json["taken"], 3);
    }

    #[test]
    fn every_kind_is_explained_in_the_guide() {
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        for kind in Kind::ALL {
            let heading = format!("### {}\n", kind.name());
            assert!(guide.contains(&heading), "docs/api.md: {heading}");
        }
    }
}
