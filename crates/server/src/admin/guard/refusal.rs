//! Why a request was not let through, as RFC 9457 says it.

use std::time::Duration;

use axum::{
    http::{
        HeaderValue,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};

use super::super::{
    problem::{Kind, Problem},
    refused::OfRequest,
};
use crate::config::Scope;

/// Why not. Put into the answer, too, so that it can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server is not known by the name that was asked for.
    Host,
    /// A page of another site asks.
    Site,
    /// What is sent is not JSON.
    NotJson,
    /// It is not known who asks, with nothing shown or with something wrong; browsers ask for a password
    /// where a page was wanted.
    Nobody { is_page: bool, is_wrong: bool },
    /// Who asks may not do this.
    Scope(Scope),
    /// There is no such route.
    NoRoute,
    /// Too many wrong keys or passwords; look again after so long.
    TooMany(Duration),
}

impl Refusal {
    /// How it is counted; what leads nowhere is nobody's refusal.
    pub(super) const fn reason(self) -> Option<OfRequest> {
        Some(match self {
            Self::Host => OfRequest::Host,
            Self::Site => OfRequest::Site,
            Self::NotJson => OfRequest::NotJson,
            Self::Nobody {
                is_wrong: false, ..
            } => OfRequest::NoCredential,
            Self::Nobody { is_wrong: true, .. } => OfRequest::WrongCredential,
            Self::Scope(_) => OfRequest::Scope,
            Self::TooMany(_) => OfRequest::TooManyAttempts,
            Self::NoRoute => return None,
        })
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Host => Kind::WrongHost,
            Self::Site => Kind::OtherSite,
            Self::NotJson => Kind::NotJson,
            Self::Nobody { .. } => Kind::Unauthenticated,
            Self::Scope(_) => Kind::ScopeMissing,
            Self::NoRoute => Kind::NotFound,
            Self::TooMany(_) => Kind::TooManyAttempts,
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
            Self::Nobody { is_wrong, .. } => {
                let shown = if is_wrong {
                    "the key or the login that was shown is none that is known: "
                } else {
                    ""
                };
                format!(
                    "{shown}show a key of an [[admin.key]] in the header Authorization: Bearer ft_…, or log in \
                     as an [[admin.user]]"
                )
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
        let mut response = Problem::new(self.kind(), self.detail()).into_response();
        response.extensions_mut().insert(self);
        let head = response.headers_mut();
        match self {
            // RFC 9110 §11.6.1: a 401 says how to answer it. A browser opens its dialogue for "Basic".
            Self::Nobody { is_page: true, .. } => {
                let basic =
                    HeaderValue::from_static("Basic realm=\"fourtuple\", charset=\"UTF-8\"");
                head.insert(WWW_AUTHENTICATE, basic);
            }
            Self::Nobody { is_page: false, .. } => {
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
