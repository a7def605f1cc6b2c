//! Where an OpenTelemetry collector is: a URL of which everything is used, so that nothing in it is left out
//! silently.

use std::{borrow::Cow, str::FromStr};

use thiserror::Error;

use super::{
    kind::Kind,
    written::{Written, quoted},
};

/// A collector that takes OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Host and port.
    pub(crate) authority: String,
    /// What stands before `/v1/metrics`, without a slash at its end.
    pub(crate) path: String,
}

/// Why a text is no collector. It does not show the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("admin.otlp_endpoint cannot be used: {what}; expected {EXPECTED}")]
pub struct CollectorError {
    what: &'static str,
}

/// The kind of the setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct CollectorUrl;

const EXPECTED: &str = "http://HOST:PORT of an OpenTelemetry collector, maybe with a path, without TLS, user and \
                        password, such as \"http://127.0.0.1:4318\"";
/// Where collectors listen for OTLP over HTTP.
const USUAL_PORT: u16 = 4318;
const URL_BYTES_MAX: usize = 1_000;
const SCHEME: &str = "http://";

impl FromStr for Collector {
    type Err = CollectorError;

    fn from_str(url: &str) -> Result<Self, CollectorError> {
        let wrong = |what| Err(CollectorError { what });
        let Some(rest) = url.strip_prefix(SCHEME) else {
            return wrong("it does not begin with http://");
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte);
        if url.len() > URL_BYTES_MAX || !rest.bytes().all(is_plain) {
            return wrong("it is too long, or has a query or characters that no URL has");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return wrong("it has a user or a password, which would not be sent");
        }
        let (host, port) = split_port(authority);
        if !is_host(host) {
            return wrong("it names no host");
        }
        let port = match port {
            None => USUAL_PORT,
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port > 0 => port,
                _ => return wrong("its port is none of 1 to 65535"),
            },
        };
        Ok(Self {
            authority: format!("{host}:{port}"),
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

impl Kind for CollectorUrl {
    type Value = String;

    fn read(&self, written: &Written<'_>) -> Option<String> {
        let text = written.text()?;
        text.parse::<Collector>().ok().map(|_| text.to_owned())
    }

    fn write(&self, value: &String) -> String {
        quoted(value)
    }

    fn expected(&self) -> String {
        EXPECTED.to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "URL"
    }
}

/// A text to be shown without what may be a user and a password: all that stands before its last `@`, the scheme
/// apart. What is shown is wrong already, so nobody knows where in it a password ends.
pub(super) fn without_user(text: &str) -> Cow<'_, str> {
    let Some(end) = text.rfind('@') else {
        return text.into();
    };
    let scheme = text[..end].find("://").map(|at| at + "://".len());
    let start = scheme.unwrap_or_else(|| usize::from(text.starts_with('"')));
    format!("{}(hidden){}", &text[..start], &text[end..]).into()
}

/// The host with the brackets of IPv6, and what stands behind its colon.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let behind_v6 = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[behind_v6..].find(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(behind_v6 + colon);
            (host, Some(&port[1..]))
        }
        None => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    let v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_plain)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_host_a_port_and_a_path() {
        for (url, authority, path) in [
            ("http://127.0.0.1:4318", "127.0.0.1:4318", ""),
            ("http://otel/one/", "otel:4318", "/one"),
            ("http://[::1]:9", "[::1]:9", ""),
            ("http://[::1]", "[::1]:4318", ""),
        ] {
            let collector: Collector = url.parse().expect(url);
            assert_eq!((&*collector.authority, &*collector.path), (authority, path));
        }
        for (wrong, what) in [
            ("", "http://"),
            ("127.0.0.1:4318", "http://"),
            ("https://otel", "http://"),
            ("grpc://a:1", "http://"),
            ("http://", "no host"),
            ("http://:4318", "no host"),
            ("http://[::1:4318", "no host"),
            ("http://a:", "port"),
            ("http://a:0", "port"),
            ("http://a:65536", "port"),
            ("http://a:1:2", "port"),
            ("http://[::1]x", "no host"),
            ("http://a?b", "a query"),
            ("http://a b", "characters"),
            ("http://eva:secret@otel:4318", "a user or a password"),
            ("http://eva@otel", "a user or a password"),
        ] {
            let error = wrong.parse::<Collector>().expect_err(wrong).to_string();
            assert!(error.contains(what), "{wrong}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for (text, shown) in [
            ("http://eva:secret@otel/a", "http://(hidden)@otel/a"),
            ("\"http://a@b@otel\"", "\"http://(hidden)@otel\""),
            ("http://eva:se/cr?t@otel:4318", "http://(hidden)@otel:4318"),
            ("http://otel/a@b", "http://(hidden)@b"),
            ("eva:secret@otel", "(hidden)@otel"),
            ("\"eva@otel\"", "\"(hidden)@otel\""),
            ("http://otel", "http://otel"),
            ("", ""),
        ] {
            assert_eq!(without_user(text), shown);
        }
    }
}
