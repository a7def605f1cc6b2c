//! What the guard leaves behind: a line for each change, a count for each refusal.

use std::{
    future::pending,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use axum::{
    Router,
    body::Body,
    middleware::from_fn_with_state,
    routing::{post, put},
};
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::*;
use crate::{access::NewKey, config::AdminKey};

/// A log that is kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    /// The lines that say of a change.
    fn of(&self, act: impl FnOnce()) -> Vec<String> {
        let log = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::with_default(log, act);
        let text = self.0.lock().expect("no writer panics");
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| line.contains("was told to"));
        lines.map(str::to_owned).collect()
    }
}

#[utoipa::path(post, path = "/say", responses((status = 200)))]
async fn say() {}

/// A route that needs the scope admin and one that never answers, which needs it, too.
fn routes(admin: &Admin) -> (Router, Refused) {
    let declared: OpenApiRouter = OpenApiRouter::new().routes(publish(routes!(say)));
    let (declared, mut document) = declared.split_for_parts();
    let needs = Needs::of_document(&mut document);
    let refused = Refused::default();
    let sockets = SocketAddr::from(([127, 0, 0, 1], 4_000));
    let guarded = Arc::new(Guard::new(admin, needs, sockets, None, refused.clone()));
    let routes = declared
        .route("/change", put(async || StatusCode::ACCEPTED))
        .route("/hang", post(async || pending::<()>().await))
        .layer(from_fn_with_state(guarded, guard));
    (routes, refused)
}

fn request(method: &str, path: &str, credential: Option<&str>) -> Request {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(credential) = credential {
        request = request.header("authorization", credential);
    }
    let mut request = request.body(Body::empty()).expect("a request");
    request.extensions_mut().insert(Peer {
        address: SocketAddr::from(([192, 0, 2, 7], 50_114)),
        is_secure: false,
    });
    request
}

/// Polls once, and then goes away.
fn ask(routes: &Router, request: Request) -> Option<StatusCode> {
    let mut answer = pin!(routes.clone().oneshot(request));
    let mut cx = Context::from_waker(Waker::noop());
    match answer.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(Ok(response)) => Some(response.status()),
        std::task::Poll::Ready(Err(never)) => match never {},
        std::task::Poll::Pending => None,
    }
}

fn with_key(scope: Scope) -> (Admin, String) {
    let key = NewKey::random().expect("randomness");
    let admin = Admin {
        keys: vec![AdminKey {
            name: "shop".to_owned(),
            hash: key.hash(),
            scopes: Scopes::of(&[scope]),
        }],
        ..Admin::default()
    };
    (admin, format!("Bearer {}", key.secret()))
}

#[track_caller]
fn assert_line(lines: &[String], parts: &[&str]) {
    let [line] = lines else {
        panic!("one line, not {lines:?}");
    };
    for part in parts {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn a_change_on_an_open_listener_leaves_one_line() {
    let (routes, _) = routes(&Admin::default());
    let lines = Log::default().of(|| {
        let status = ask(&routes, request("PUT", "/change", None));
        assert_eq!(status, Some(StatusCode::ACCEPTED));
        // There is nothing there that this could change.
        let status = ask(&routes, request("DELETE", "/change", None));
        assert_eq!(status, Some(StatusCode::METHOD_NOT_ALLOWED));
    });
    let parts = [
        " INFO ",
        "caller=open",
        "from=192.0.2.7:50114",
        "method=PUT",
        "\"/change\"",
        "result=202",
    ];
    assert_line(&lines, &parts);
}

#[test]
fn a_change_whose_client_hangs_up_leaves_one_line() {
    let (admin, key) = with_key(Scope::Admin);
    let (routes, _) = routes(&admin);
    let lines = Log::default().of(|| {
        assert_eq!(ask(&routes, request("POST", "/hang", Some(&key))), None);
    });
    assert_line(
        &lines,
        &["caller=key shop", "\"/hang\"", "result=abandoned"],
    );
}

#[test]
fn what_is_published_is_a_line_for_those_who_debug() {
    let (admin, key) = with_key(Scope::Publish);
    let (routes, _) = routes(&admin);
    let lines = Log::default().of(|| {
        let status = ask(&routes, request("POST", "/say", Some(&key)));
        assert_eq!(status, Some(StatusCode::OK));
    });
    assert_line(&lines, &["DEBUG ", "caller=key shop", "result=200"]);
}

#[test]
fn every_refusal_is_counted_by_its_reason_and_changes_nothing() {
    let (admin, key) = with_key(Scope::Publish);
    let (routes, refused) = routes(&admin);
    let lines = Log::default().of(|| {
        assert_eq!(
            ask(&routes, request("PUT", "/change", None)),
            Some(StatusCode::UNAUTHORIZED)
        );
        let wrong = Some("Bearer ft_wrong");
        assert_eq!(
            ask(&routes, request("PUT", "/change", wrong)),
            Some(StatusCode::UNAUTHORIZED)
        );
        assert_eq!(
            ask(&routes, request("PUT", "/change", Some(&key))),
            Some(StatusCode::FORBIDDEN)
        );
        for _ in 0..10 {
            ask(&routes, request("PUT", "/change", wrong));
        }
        let mut foreign = request("PUT", "/change", Some(&key));
        let site = "cross-site".parse().expect("a header");
        foreign.headers_mut().insert("sec-fetch-site", site);
        assert_eq!(ask(&routes, foreign), Some(StatusCode::FORBIDDEN));
        let mut form = request("POST", "/say", Some(&key));
        form.headers_mut().insert("content-length", 7.into());
        assert_eq!(ask(&routes, form), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    });
    assert!(lines.is_empty(), "{lines:?}");
    for label in OfRequest::LABELS {
        let expected = match label {
            "wrong_credential" => 10,
            "site" | "not_json" | "no_credential" | "too_many_attempts" | "scope" => 1,
            _ => 0,
        };
        assert_eq!(refused.requests_count(label), expected, "{label}");
    }
}
