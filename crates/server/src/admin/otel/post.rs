//! One request to a collector: a connection of its own, a deadline, and the answer's status.

use std::{io, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode, Uri, header},
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};

/// How long a collector may take for all of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Host and port.
    authority: String,
    /// What stands before `/v1/metrics`.
    path: String,
}

/// Why a collector did not take something.
#[derive(Debug, Error)]
pub(super) enum PostError {
    #[error("`{0}` is no endpoint: expected http://HOST:PORT, such as http://127.0.0.1:4318")]
    Endpoint(String),
    #[error("it cannot be reached: {0}")]
    Connect(io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("it answered with status {0}")]
    Status(StatusCode),
    #[error("it took longer than {PATIENCE:?}")]
    Late,
}

impl Endpoint {
    pub(super) fn parse(url: &str) -> Result<Self, PostError> {
        let wrong = || PostError::Endpoint(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            authority: match authority.port() {
                Some(_) => authority.to_string(),
                None => format!("{authority}:4318"),
            },
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    pub(super) async fn post(&self, path: &str, message: Vec<u8>) -> Result<(), PostError> {
        let posted = timeout(PATIENCE, self.post_patiently(path, message));
        posted.await.map_err(|_| PostError::Late)?
    }

    async fn post_patiently(&self, path: &str, message: Vec<u8>) -> Result<(), PostError> {
        let socket = TcpStream::connect(&self.authority).await;
        let socket = TokioIo::new(socket.map_err(PostError::Connect)?);
        let (mut sender, connection) = http1::handshake(socket).await?;
        let request = Request::post(format!("{}{path}", self.path))
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::CONNECTION, "close")
            .body(Body::from(message))
            .expect("an authority and a path that were parsed are a head");
        // It ends with the answer or with the deadline, whichever comes first.
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await;
        connection.abort();
        match answer?.status() {
            status if status.is_success() => Ok(()),
            status => Err(PostError::Status(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_a_port_and_a_path() {
        let of = |url: &str| Endpoint::parse(url).map(|it| (it.authority, it.path)).ok();
        let found = |authority: &str, path: &str| Some((authority.to_owned(), path.to_owned()));
        assert_eq!(of("http://127.0.0.1:4318"), found("127.0.0.1:4318", ""));
        assert_eq!(of("http://otel/one/"), found("otel:4318", "/one"));
        assert_eq!(of("http://[::1]:9"), found("[::1]:9", ""));
        for wrong in [
            "",
            "127.0.0.1:4318",
            "https://otel",
            "http://",
            "http://a?b",
            "grpc://a:1",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
