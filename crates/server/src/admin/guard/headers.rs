//! The headers of every answer: what a browser may do with it.

use std::net::SocketAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};

use super::site::{host_of, without_port};

/// What is the same in every answer.
const FIXED: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// What answers need to know of the server.
#[derive(Debug)]
pub(super) struct Headers {
    /// Where WebSockets are accepted.
    sockets: SocketAddr,
    /// The host that the server is known by, where a proxy with TLS may be.
    host: Option<String>,
}

/// What an answer needs to know of its request.
#[derive(Debug)]
pub(super) struct Asked {
    policy: HeaderValue,
    is_page: bool,
}

impl Headers {
    pub(super) const fn new(sockets: SocketAddr, host: Option<String>) -> Self {
        Self { sockets, host }
    }

    pub(super) fn ask(&self, request: &Request) -> Asked {
        Asked {
            policy: policy(host_of(request), self.sockets, self.host.as_deref()),
            is_page: is_page(request.uri().path()),
        }
    }

    /// Adds what every answer has; what a page says of its own keeping stays.
    pub(super) fn add(&self, asked: &Asked, head: &mut HeaderMap) {
        for (name, value) in FIXED {
            head.insert(name, HeaderValue::from_static(value));
        }
        head.insert(header::CONTENT_SECURITY_POLICY, asked.policy.clone());
        let no_store = HeaderValue::from_static("no-store");
        if asked.is_page {
            head.entry(header::CACHE_CONTROL).or_insert(no_store);
        } else {
            head.insert(header::CACHE_CONTROL, no_store);
        }
    }
}

/// Whether a path is for a person with a browser.
pub(super) fn is_page(path: &str) -> bool {
    !path.starts_with("/api/") && !path.starts_with("/metrics")
}

/// CSP Level 3. The console of the page connects to the server's listener, which is another port of the host
/// that the browser is connected to, or has an address of its own, or is behind a proxy at the `known` host.
fn policy(host: Option<&str>, listener: SocketAddr, known: Option<&str>) -> HeaderValue {
    // The header is the client's: what is no host must not become a part of the policy.
    let plain = |host: &&str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b))
    };
    let asked = host.map(without_port).filter(plain).map(|host| match host {
        v6 if v6.contains(':') => format!("[{v6}]:{}", listener.port()),
        host => format!("{host}:{}", listener.port()),
    });
    let own = (!listener.ip().is_unspecified()).then(|| listener.to_string());
    let own = own.filter(|own| asked.as_ref() != Some(own));
    let places = asked.into_iter().chain(own);
    let sockets: String = places.map(|at| format!(" ws://{at} wss://{at}")).collect();
    let behind = known.map(|host| match host {
        v6 if v6.contains(':') => format!(" wss://[{v6}]"),
        host => format!(" wss://{host}"),
    });
    let behind = behind.unwrap_or_default();
    let text = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'{sockets}{behind}; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    );
    HeaderValue::try_from(text).expect("letters, digits and punctuation of ASCII are a header")
}

/// Fetch standard: what a page of a configured origin may send.
pub(super) fn allow_preflight(head: &mut HeaderMap) {
    for (name, value) in [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, POST, PUT, DELETE",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, idempotency-key",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        head.insert(name, HeaderValue::from_static(value));
    }
    vary_by_origin(head);
}

/// Lets a page of this origin read the answer. What a browser knows by itself, such as a password, is not
/// for it: it needs a key.
pub(super) fn allow_origin(head: &mut HeaderMap, origin: &HeaderValue) {
    head.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    let exposed = HeaderValue::from_static("retry-after");
    head.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

/// Tells caches that another page gets another answer.
pub(super) fn vary_by_origin(head: &mut HeaderMap) {
    head.append(header::VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_listener_of_the_same_host() {
        for (host, sockets) in [
            (
                Some("localhost:4001"),
                " ws://localhost:4000 wss://localhost:4000;",
            ),
            (Some("10.0.0.1"), " ws://10.0.0.1:4000 wss://10.0.0.1:4000;"),
            (Some("[::1]:4001"), " ws://[::1]:4000 wss://[::1]:4000;"),
            (None, ";"),
            (Some(""), ";"),
            (Some("a; script-src *"), ";"),
            (Some("a b"), ";"),
            (Some("*"), ";"),
        ] {
            let policy = policy(host, "0.0.0.0:4000".parse().expect("an address"), None);
            let policy = policy.to_str().expect("ASCII");
            assert!(
                policy.contains(&format!("connect-src 'self'{sockets}")),
                "{host:?}: {policy}"
            );
            assert!(policy.starts_with("default-src 'none'; script-src 'self'; "));
            assert_eq!(policy.matches("script-src").count(), 1);
        }
    }

    #[test]
    fn the_policy_names_the_host_that_the_server_is_known_by() {
        let listener = "0.0.0.0:4000".parse().expect("an address");
        for (known, place) in [("chat.example.com", "chat.example.com"), ("::1", "[::1]")] {
            let policy = policy(None, listener, Some(known));
            let policy = policy.to_str().expect("ASCII");
            let wanted = format!("connect-src 'self' wss://{place};");
            assert!(policy.contains(&wanted), "{policy}");
        }
    }

    #[test]
    fn the_api_is_never_stored_and_a_page_as_it_says() {
        let kept = |path: &str| {
            let request = Request::builder().uri(path).body(axum::body::Body::empty());
            let headers = Headers::new(SocketAddr::from(([10, 0, 0, 1], 4_000)), None);
            let asked = headers.ask(&request.expect("a request"));
            let mut head = HeaderMap::new();
            head.insert(header::CACHE_CONTROL, HeaderValue::from_static("immutable"));
            headers.add(&asked, &mut head);
            let policy = head[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .expect("ASCII");
            assert!(policy.contains("connect-src 'self' ws://10.0.0.1:4000 wss://10.0.0.1:4000;"));
            head[header::CACHE_CONTROL].clone()
        };
        assert_eq!(kept("/assets/1/a.js"), "immutable");
        assert_eq!(kept("/api/v1/overview"), "no-store");
        assert_eq!(kept("/metrics"), "no-store");
    }
}
