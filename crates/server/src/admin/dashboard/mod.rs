//! The page at `/`: its files are in the binary, and it asks nothing of any other host.
//!
//! ```text
//!  /                        index.html, asked for again each time (304 while it is the same)
//!  /assets/VERSION/FILE     everything else, kept by browsers for ever: another build has another VERSION
//! ```
//!
//! There is no build step. Modules import each other relative to themselves, so the version in the
//! address of the first is that of all.

use std::{borrow::Cow, fmt::Write as _, sync::LazyLock};

use axum::{
    Router,
    extract::Path,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::Embed;
use sha2::{Digest as _, Sha256};

/// Where `index.html` names the version of what it loads.
const PLACEHOLDER: &str = "{version}";

#[derive(Embed)]
#[folder = "src/admin/dashboard/assets"]
struct Assets;

/// The first page, and what tells it from that of another build.
struct Index {
    html: String,
    version: String,
    etag: HeaderValue,
}

static INDEX: LazyLock<Index> = LazyLock::new(Index::new);

/// The routes of the page.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(index))
        .route("/assets/{version}/{file}", get(asset))
}

async fn index(headers: HeaderMap) -> Response {
    let fresh = (CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let head = [fresh, (ETAG, INDEX.etag.clone())];
    if is_known(&headers) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let html = (
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    (head, [html], INDEX.html.as_str()).into_response()
}

async fn asset(Path((version, file)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let found = (version == INDEX.version)
        .then(|| Assets::get(&file))
        .flatten();
    let (Some(found), Some(kind)) = (found, content_type(&file)) else {
        return (
            StatusCode::NOT_FOUND,
            "there is no such file; load / again\n",
        )
            .into_response();
    };
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    let head = [(CACHE_CONTROL, forever), (ETAG, INDEX.etag.clone())];
    if is_known(&headers) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let kind = (CONTENT_TYPE, HeaderValue::from_static(kind));
    let body: Cow<'static, [u8]> = found.data;
    (head, [kind], body).into_response()
}

/// Whether the browser has it already (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap) -> bool {
    let ours = INDEX.etag.as_bytes();
    let tags = headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = tags.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tags.any(|tag| {
        let tag = tag.trim_ascii();
        tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == ours
    })
}

/// What a file of the page is; none for what is no file of it.
fn content_type(file: &str) -> Option<&'static str> {
    match file.rsplit_once('.')?.1 {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

impl Index {
    fn new() -> Self {
        let mut hash = Sha256::new();
        for name in Assets::iter() {
            hash.update(name.as_bytes());
            hash.update(
                Assets::get(&name)
                    .map(|file| file.metadata.sha256_hash())
                    .unwrap_or_default(),
            );
        }
        let mut version = String::new();
        for byte in &hash.finalize()[..8] {
            let _ = write!(version, "{byte:02x}");
        }
        let html = Assets::get("index.html")
            .map(|file| file.data)
            .unwrap_or_default();
        Self {
            html: String::from_utf8_lossy(&html).replace(PLACEHOLDER, &version),
            etag: HeaderValue::try_from(format!("\"{version}\""))
                .expect("hexadecimal digits in quotes are a header"),
            version,
        }
    }
}

#[cfg(test)]
mod tests;
