//! What a browser is answered.

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request},
};
use engine::Cause;
use tower::ServiceExt as _;

use super::*;
use crate::upgrade::Refusal;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

fn ask(method: Method, path: &str, tag: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(tag) = tag {
        request = request.header(IF_NONE_MATCH, tag);
    }
    let request = request.body(Body::empty()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let response = routes().with_state(()).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    })
}

/// What the page loads by itself, in its own words.
fn named_in(html: &str) -> Vec<String> {
    let parts = html.split('"').skip(1).step_by(2);
    let assets = parts.filter(|value| value.starts_with("/assets/"));
    assets.map(str::to_owned).collect()
}

#[test]
fn every_file_that_the_page_names_is_there_and_is_kept_for_ever() {
    let page = ask(Method::GET, "/", None);
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.headers[CACHE_CONTROL], "no-cache");
    let named = named_in(&page.body);
    assert!(named.len() >= 4, "{named:?}");
    for path in named {
        let asset = ask(Method::GET, &path, None);
        assert_eq!(asset.status, StatusCode::OK, "{path}");
        assert!(
            asset.headers[CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        assert!(!asset.body.is_empty());
    }
}

#[test]
fn modules_import_only_files_that_are_there() {
    let base = format!("/assets/{}/", INDEX.version);
    let mut imports = 0;
    for name in Assets::iter().filter(|name| name.ends_with(".js")) {
        let module = ask(Method::GET, &format!("{base}{name}"), None).body;
        for import in module
            .split("from \"./")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            imports += 1;
            let found = ask(Method::HEAD, &format!("{base}{import}"), None);
            assert_eq!(found.status, StatusCode::OK, "{name} imports {import}");
        }
    }
    assert!(imports > 10, "{imports} imports");
}

#[test]
fn what_a_browser_has_is_not_sent_again() {
    let etag = INDEX.etag.to_str().unwrap();
    let style = format!("/assets/{}/style.css", INDEX.version);
    for path in ["/", &style] {
        for tag in [
            etag.to_owned(),
            format!("\"other\", W/{etag}"),
            "*".to_owned(),
        ] {
            let again = ask(Method::GET, path, Some(&tag));
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path} {tag}");
            assert_eq!(
                (again.body.as_str(), &again.headers[ETAG]),
                ("", &INDEX.etag)
            );
        }
        assert_eq!(
            ask(Method::GET, path, Some("\"other\"")).status,
            StatusCode::OK
        );
        let head = ask(Method::HEAD, path, None);
        assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
    }
}

#[test]
fn what_is_no_file_of_this_build_is_not_found() {
    let version = &INDEX.version;
    for path in [
        "/assets/0123456789abcdef/style.css".to_owned(),
        format!("/assets/{version}/missing.js"),
        format!("/assets/{version}/index.html"),
        format!("/assets/{version}/..%2Fmod.rs"),
    ] {
        assert_eq!(
            ask(Method::GET, &path, None).status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[test]
fn every_end_and_every_refusal_is_explained() {
    let file = Assets::get("reasons.js").unwrap().data;
    let text = String::from_utf8_lossy(&file);
    let meanings = text.split_once("MEANINGS = {\n").unwrap().1;
    let meanings = meanings.split_once("\n}").unwrap().0;
    let named: Vec<_> = meanings
        .lines()
        .map(|line| line.trim().split_once(": \"").unwrap().0)
        .collect();
    let labels = || Cause::LABELS.iter().chain(&Refusal::LABELS);
    for label in labels() {
        assert!(named.contains(label), "{label} has no meaning");
    }
    for name in named {
        assert!(labels().any(|label| *label == name), "{name} never comes");
    }
}

/// A strict policy is worth something only where nothing in the page needs a hole in it.
#[test]
fn the_page_has_no_script_or_style_of_its_own_and_names_no_other_host() {
    assert!(!INDEX.html.contains("<style") && !INDEX.html.contains(" style="));
    for name in Assets::iter() {
        let file = Assets::get(&name).unwrap().data;
        let text = String::from_utf8_lossy(&file);
        for (at, _) in text.match_indices("://") {
            let rest: String = text[at + 3..].chars().take(24).collect();
            // Names of XML vocabularies are addresses that nobody asks.
            assert!(
                rest.starts_with("www.w3.org/")
                    || rest.starts_with("${")
                    || rest.starts_with("127.0.0.1"),
                "{name}: …://{rest}"
            );
        }
    }
}
