//! Whether a request is from a page of another site, or by a name that is not ours.
//!
//! A browser on the same machine reaches a loopback listener, and shows passwords that it knows, for whatever
//! page it has open. Two headers that no page can forge tell: `Host` is the name that the browser believes to
//! talk to, `Sec-Fetch-Site` (or `Origin` in an old one) says whose page asks.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method,
        header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING},
    },
};

use super::refusal::Refusal;
use crate::config::Admin;

/// The names and the pages that are let in.
#[derive(Debug)]
pub(super) struct Site {
    hosts: Option<Vec<String>>,
    /// Pages of other sites, as they stand in `Origin`.
    origins: Vec<HeaderValue>,
}

impl Site {
    pub(super) fn new(admin: &Admin) -> Self {
        let origins = admin.cors_origins.iter().flatten();
        Self {
            hosts: admin.hosts.clone(),
            // An origin that is no header is sent by nobody.
            origins: origins.filter_map(|origin| origin.parse().ok()).collect(),
        }
    }

    /// # Errors
    ///
    /// It is for another server, from another site, or may be what a form of any page can send.
    pub(super) fn check(
        &self,
        request: &Request,
        is_secure: bool,
        is_open: bool,
    ) -> Result<(), Refusal> {
        let headers = request.headers();
        let host = host_of(request);
        if !self.knows(host, is_open) {
            return Err(Refusal::Host);
        }
        let is_own = self.listed_origin(headers).is_some() || !is_foreign(headers, host, is_secure);
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        // A link on any page may lead to the dashboard; what a page fetches by itself is another matter.
        if !(is_own || safe && is_navigation(headers)) {
            return Err(Refusal::Site);
        }
        if !safe && has_body(headers) && !is_json(headers) {
            return Err(Refusal::NotJson);
        }
        Ok(())
    }

    /// Whether the server is known by this name. Where everybody may do everything, names that lead here from
    /// elsewhere (DNS rebinding) are not.
    fn knows(&self, host: Option<&str>, is_open: bool) -> bool {
        let Some(host) = host.map(without_port) else {
            // A browser names one always.
            return true;
        };
        let listed = self.hosts.as_ref();
        let is_listed =
            |hosts: &Vec<String>| hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        match listed {
            Some(hosts) if is_listed(hosts) => true,
            Some(_) => is_local(host),
            None => !is_open || is_local(host),
        }
    }

    /// The origin of a request if it is one of those configured.
    pub(super) fn listed_origin<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.origins.contains(origin).then_some(origin)
    }

    pub(super) const fn has_listed_origins(&self) -> bool {
        !self.origins.is_empty()
    }
}

/// The name and the port that a request is for; RFC 9112 §3.3.
pub(super) fn host_of(request: &Request) -> Option<&str> {
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    authority.or_else(|| request.headers().get(HOST)?.to_str().ok())
}

/// The name alone, without the brackets of IPv6.
pub(super) fn without_port(host: &str) -> &str {
    if let Some(v6) = host.strip_prefix('[') {
        return v6.split(']').next().unwrap_or(v6);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn is_local(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    let host = host.strip_suffix('.').unwrap_or(host);
    // RFC 6761 §6.3: nothing below `localhost` leads anywhere else.
    let name = host.rsplit('.').next().unwrap_or(host);
    name.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether a page of another site asks. What sends none of these headers is no page.
fn is_foreign(headers: &HeaderMap, host: Option<&str>, is_secure: bool) -> bool {
    // Fetch Metadata §2.3. Another port of this host is "same-site", and another server.
    if let Some(site) = headers.get("sec-fetch-site") {
        return !(site == "same-origin" || site == "none");
    }
    headers.get(ORIGIN).is_some_and(|origin| {
        let scheme = if is_secure { "https" } else { "http" };
        let own = host.map(|host| format!("{scheme}://{host}"));
        own.is_none_or(|own| !origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()))
    })
}

/// Whether somebody went to it, by a link or by its address.
fn is_navigation(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-mode")
        .is_some_and(|mode| mode == "navigate")
        && headers
            .get("sec-fetch-dest")
            .is_none_or(|dest| dest == "document")
}

fn has_body(headers: &HeaderMap) -> bool {
    let some = |length: &HeaderValue| length != "0";
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(some)
}

/// Whether what is sent is of a kind that a form cannot send.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| {
            let kind = kind.trim().to_ascii_lowercase();
            kind == "application/json"
                || (kind.starts_with("application/") && kind.ends_with("+json"))
        })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request {
        let request = Request::builder().method(method).uri("/api/v1/drain");
        let add = |request: axum::http::request::Builder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        headers
            .iter()
            .fold(request, add)
            .body(Body::empty())
            .expect("a request")
    }

    fn site(hosts: Option<&[&str]>, origins: &[&str]) -> Site {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Site::new(&Admin {
            hosts: hosts.map(owned),
            cors_origins: Some(owned(origins)),
            ..Admin::default()
        })
    }

    #[test]
    fn names_that_lead_here_from_elsewhere_are_refused() {
        let configured = Some(&["ops.example.com", "10.0.0.1"][..]);
        for (host, open, keyed, listed) in [
            ("localhost:4001", true, true, true),
            ("LOCALHOST", true, true, true),
            ("fourtuple.localhost:4001", true, true, true),
            ("localhost.:4001", true, true, true),
            ("127.0.0.1:4001", true, true, true),
            ("127.8.8.8", true, true, true),
            ("[::1]:4001", true, true, true),
            ("[::1]", true, true, true),
            ("Ops.example.com:4001", false, true, true),
            ("10.0.0.1", false, true, true),
            ("evil.example:4001", false, true, false),
            ("localhost.evil.example", false, true, false),
            ("127.0.0.1.evil.example", false, true, false),
            ("192.0.2.1:4001", false, true, false),
            ("[2001:db8::1]:4001", false, true, false),
            ("", false, true, false),
        ] {
            let request = request("GET", &[("host", host)]);
            let check = |site: Site, open| site.check(&request, false, open).is_ok();
            assert_eq!(check(site(None, &[]), true), open, "open, {host}");
            assert_eq!(check(site(None, &[]), false), keyed, "with keys, {host}");
            assert_eq!(check(site(configured, &[]), true), listed, "listed, {host}");
            assert_eq!(
                check(site(configured, &[]), false),
                listed,
                "listed, keys, {host}"
            );
        }
        assert_eq!(
            site(None, &[]).check(&request("GET", &[]), false, true),
            Ok(())
        );
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        const FETCH: (&str, &str) = ("sec-fetch-mode", "cors");
        const LINK: (&str, &str) = ("sec-fetch-mode", "navigate");
        const FRAME: (&str, &str) = ("sec-fetch-dest", "iframe");
        let from = |site| ("sec-fetch-site", site);
        let origin = |origin| ("origin", origin);
        for (headers, get, post) in [
            // No browser.
            (&[][..], true, true),
            (&[from("same-origin"), FETCH], true, true),
            (&[from("none"), LINK], true, true),
            (&[from("cross-site"), FETCH], false, false),
            (&[from("same-site"), FETCH], false, false),
            (&[from("cross-site"), LINK], true, false),
            (&[from("cross-site"), LINK, FRAME], false, false),
            (&[from("nonsense")], false, false),
            // An old browser.
            (&[origin("http://localhost:4001")], true, true),
            (&[origin("https://localhost:4001")], false, false),
            (&[origin("http://localhost:3000")], false, false),
            (&[origin("http://evil.example")], false, false),
            (&[origin("null")], false, false),
            // What Fetch Metadata says counts.
            (
                &[from("cross-site"), origin("http://localhost:4001"), FETCH],
                false,
                false,
            ),
            // Configured.
            (
                &[from("cross-site"), origin("https://ops.example.com"), FETCH],
                true,
                true,
            ),
            (&[origin("https://ops.example.com")], true, true),
            (&[origin("https://ops.example.com:8443")], false, false),
        ] {
            let headers = [headers, &[("host", "localhost:4001")]].concat();
            let site = site(None, &["https://ops.example.com"]);
            let check = |method| site.check(&request(method, &headers), false, true).is_ok();
            assert_eq!(check("GET"), get, "GET {headers:?}");
            for method in ["POST", "PUT", "DELETE", "PATCH"] {
                assert_eq!(check(method), post, "{method} {headers:?}");
            }
        }
        let headers = [("host", "a.example"), ("origin", "https://a.example")];
        assert!(
            site(None, &[])
                .check(&request("POST", &headers), true, false)
                .is_ok()
        );
    }

    #[test]
    fn what_a_form_can_send_is_refused() {
        const SOME: (&str, &str) = ("content-length", "2");
        let kind = |kind| ("content-type", kind);
        for (headers, passes) in [
            (&[][..], true),
            (&[("content-length", "0")], true),
            (&[SOME, kind("application/json")], true),
            (&[SOME, kind("Application/JSON; charset=utf-8")], true),
            (&[SOME, kind("application/cloudevents+json")], true),
            (&[SOME], false),
            (&[SOME, kind("text/plain")], false),
            (&[SOME, kind("text/plain; application/json")], false),
            (&[SOME, kind("application/x-www-form-urlencoded")], false),
            (&[SOME, kind("multipart/form-data")], false),
            (&[("transfer-encoding", "chunked")], false),
        ] {
            let answer = site(None, &[]).check(&request("POST", headers), false, true);
            assert_eq!(answer.is_ok(), passes, "{headers:?}");
            if !passes {
                assert_eq!(answer, Err(Refusal::NotJson));
            }
        }
    }
}
