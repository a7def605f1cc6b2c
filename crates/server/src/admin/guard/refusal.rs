//! Why a request was not let through, as RFC 9457 says it.

use std::time::Duration;

use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};

use super::super::problem::{Kind, MEDIA_TYPE, Problem};
use crate::config::Scope;

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server is not known by the name that was asked for.
    Host,
    /// A page of another site asks.
    Site,
    /// What is sent is not JSON.
    NotJson,
    /// It is not known who asks; browsers ask for a password where a page was wanted.
    Nobody { is_page: bool },
    /// Who asks may not do this.
    Scope(Scope),
    /// There is no such route.
    NoRoute,
    /// Too many wrong keys or passwords; look again after so long.
    TooMany(Duration),
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Site | Self::Scope(_) => StatusCode::FORBIDDEN,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Nobody { .. } => StatusCode::UNAUTHORIZED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn detail(self) -> String {
        match self {
            Self::Host => {
                "this server is not known by the name in the Host header; ask for localhost or a \
                           loopback address, or add the name to admin.hosts"
                    .to_owned()
            }
            Self::Site => {
                "a page of another site may not ask this; add its origin to admin.cors_origins if \
                           it should"
                    .to_owned()
            }
            Self::NotJson => "send JSON, with the header Content-Type: application/json".to_owned(),
            Self::Nobody { .. } => {
                "show a key of an [[admin.key]] in the header Authorization: Bearer ft_…, or \
                                    log in as an [[admin.user]]"
                    .to_owned()
            }
            Self::Scope(scope) => format!(
                "this needs the scope \"{}\", which you do not have",
                scope.word()
            ),
            Self::NoRoute => "there is nothing here".to_owned(),
            Self::TooMany(_) => {
                "too many wrong keys or passwords came from your address; nothing it shows is \
                                 looked at for a while"
                    .to_owned()
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::NotJson => return Problem::new(Kind::NotJson, self.detail()).into_response(),
            Self::NoRoute => return Problem::new(Kind::NotFound, self.detail()).into_response(),
            _ => {}
        }
        let status = self.status();
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.detail(),
        });
        let mut response = (status, Json(problem)).into_response();
        let head = response.headers_mut();
        head.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match self {
            // RFC 9110 §11.6.1: a 401 says how to answer it. A browser opens its dialogue for "Basic".
            Self::Nobody { is_page: true } => {
                let basic =
                    HeaderValue::from_static("Basic realm=\"fourtuple\", charset=\"UTF-8\"");
                head.insert(WWW_AUTHENTICATE, basic);
            }
            Self::Nobody { is_page: false } => {
                let bearer = HeaderValue::from_static("Bearer realm=\"fourtuple\"");
                head.insert(WWW_AUTHENTICATE, bearer);
            }
            Self::TooMany(wait) => {
                // Whole seconds, and never too few.
                let seconds = wait.as_millis().div_ceil(1_000).max(1);
                let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
                head.insert(RETRY_AFTER, seconds.into());
            }
            _ => {}
        }
        response
    }
}
