//! What a request brings, read so that whatever cannot be read is answered with a problem.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, header, request::Parts},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::super::problem::{Kind, Problem};

/// The parameters of a query.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

/// The one parameter of a path.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) String);

/// A body that is said to be JSON, within the limit on bodies.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) Bytes);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(asked) = Query::from_request_parts(parts, state).await?;
        Ok(Self(asked))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name) = Path::from_request_parts(parts, state).await?;
        Ok(Self(name))
    }
}

impl<S: Send + Sync> FromRequest<S> for Told {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body has to come with the header Content-Type: application/json";
            return Err(Problem::new(Kind::NotJson, detail));
        }
        Ok(Self(Bytes::from_request(request, state).await?))
    }
}

impl Told {
    /// The body as a value.
    ///
    /// # Errors
    ///
    /// [`Kind::BadBody`] when it is no JSON, [`Kind::Invalid`] when it is another value.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        serde_json::from_slice(&self.0).map_err(|error| unreadable(&error))
    }
}

/// A text that is there: `null` is none.
pub(crate) fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

fn unreadable(error: &serde_json::Error) -> Problem {
    if error.is_data() {
        let detail = format!("{error}; /openapi.json says what the body may hold");
        return Problem::new(Kind::Invalid, detail);
    }
    let detail = format!("the body is not one JSON value: {error}");
    Problem::new(Kind::BadBody, detail)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_media_type() {
        for (kind, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonp", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            assert_eq!(is_json(&headers), expected, "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn what_is_no_json_and_what_is_another_value_differ() {
        let read = |text: &'static str| {
            let told = Told(Bytes::from_static(text.as_bytes()));
            let problem = told.read::<Vec<u8>>().unwrap_err();
            serde_json::to_value(problem).unwrap()["status"].clone()
        };
        assert_eq!(read("["), 400);
        assert_eq!(read("\u{0}"), 400);
        assert_eq!(read("{}"), 422);
    }
}
