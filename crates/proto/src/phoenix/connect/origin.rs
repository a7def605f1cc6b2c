//! Which pages may connect: the `Origin` header against the operator's rule.
//!
//! Browsers cannot lie about it, everyone else can leave it away; so a request without the header
//! passes.
//!
//! Source: Phoenix `lib/phoenix/socket/transport.ex`, `check_origin`.

use thiserror::Error;

/// The rule for the `Origin` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginCheck {
    /// Every origin passes.
    Off,
    /// The origin's host is the one that the server is known by; scheme and port do not count.
    Host(String),
    /// One of the patterns matches.
    List(Vec<OriginPattern>),
    /// Scheme, host and port are those of the request itself.
    Request,
}

/// Scheme, host and port; a missing part matches any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: Option<String>,
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Exactly(String),
    /// `*.example.com`: this host and every one below it.
    Below(String),
}

/// The operator wrote something that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected an origin such as https://example.com, //example.com:4000 or //*.example.com")]
pub struct InvalidPattern;

/// Scheme, host and port of a page or of a request, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// `http` or `https`.
    pub scheme: Option<&'a str>,
    /// Without brackets, port or path.
    pub host: Option<&'a str>,
    /// As written, or what the scheme stands for.
    pub port: Option<u16>,
}

impl OriginCheck {
    /// Whether a request may go on. `header` is its `Origin`, `request` is where it was sent to.
    /// When not, Phoenix answers 403.
    pub fn allows(&self, header: Option<&str>, request: &Origin<'_>) -> bool {
        let Some(header) = header else {
            return true;
        };
        let origin = Origin::parse(header);
        match self {
            Self::Off => true,
            Self::Host(host) => origin
                .host
                .is_some_and(|own| own.eq_ignore_ascii_case(host)),
            Self::List(patterns) => patterns.iter().any(|pattern| pattern.matches(&origin)),
            Self::Request => origin.host.is_some() && origin.is_same(request),
        }
    }
}

impl OriginPattern {
    /// Reads what an operator writes: `https://example.com`, `//example.com:4000`,
    /// `//*.example.com`, and the last two also without slashes.
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`] without a host, with a star anywhere but in a first `*.`, or with anything
    /// after the port.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let with_slashes;
        let text = if text.contains("//") {
            text
        } else {
            with_slashes = format!("//{text}");
            &with_slashes
        };
        let authority = text.split_once("//").map_or("", |(_, rest)| rest);
        if authority.contains(['/', '?', '#', '@', ' ']) {
            return Err(InvalidPattern);
        }
        let origin = Origin::parse(text);
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.ends_with(']'));
        let host = origin.host.filter(|_| !has_port || origin.port.is_some());
        Ok(Self {
            scheme: origin.scheme.map(str::to_ascii_lowercase),
            host: Host::parse(host.ok_or(InvalidPattern)?)?,
            port: origin.port,
        })
    }

    fn matches(&self, origin: &Origin<'_>) -> bool {
        let scheme = self.scheme.as_deref().is_none_or(|scheme| {
            origin
                .scheme
                .is_some_and(|own| own.eq_ignore_ascii_case(scheme))
        });
        let port = self.port.is_none() || self.port == origin.port;
        scheme && port && origin.host.is_some_and(|host| self.host.matches(host))
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let below = text.strip_prefix("*.");
        let name = below.unwrap_or(text).to_ascii_lowercase();
        // No host of an origin has a star or an empty first part, so these would match nothing.
        if name.contains('*') || name.is_empty() || name.starts_with('.') {
            return Err(InvalidPattern);
        }
        Ok(match below {
            Some(_) => Self::Below(name),
            None => Self::Exactly(name),
        })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exactly(own) => host.eq_ignore_ascii_case(own),
            Self::Below(suffix) => {
                let host = host.to_ascii_lowercase();
                host.strip_suffix(suffix.as_str())
                    .is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
        }
    }
}

impl<'a> Origin<'a> {
    /// Reads `scheme://host:port`; `null` and other words are an origin without a host.
    pub fn parse(text: &'a str) -> Self {
        let Some((scheme, rest)) = text.split_once("//") else {
            return Self::default();
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let scheme = scheme.strip_suffix(':').filter(|scheme| !scheme.is_empty());
        Self::from_authority(scheme, authority)
    }

    /// Where a request was sent to: its scheme and its `Host` header.
    pub fn of_request(scheme: &'a str, host_header: &'a str) -> Self {
        Self::from_authority(Some(scheme), host_header)
    }

    fn from_authority(scheme: Option<&'a str>, authority: &'a str) -> Self {
        let (host, port) = match authority
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok(),
            None => scheme.and_then(default_port),
        };
        Self {
            scheme,
            host: Some(host).filter(|host| !host.is_empty()),
            port,
        }
    }

    fn is_same(&self, other: &Origin<'_>) -> bool {
        let same = |a: Option<&str>, b: Option<&str>| match (a, b) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        };
        same(self.scheme, other.scheme) && same(self.host, other.host) && self.port == other.port
    }
}

/// The port that a scheme stands for. RFC 3986 §3.1: schemes are case-insensitive.
fn default_port(scheme: &str) -> Option<u16> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if is("http") || is("ws") {
        Some(80)
    } else if is("https") || is("wss") {
        Some(443)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &[&str]) -> OriginCheck {
        let patterns = patterns
            .iter()
            .map(|text| OriginPattern::parse(text).unwrap())
            .collect();
        OriginCheck::List(patterns)
    }

    fn allows(check: &OriginCheck, origin: &str) -> bool {
        check.allows(
            Some(origin),
            &Origin::of_request("http", "example.com:4000"),
        )
    }

    #[test]
    fn no_header_passes_every_rule() {
        let request = Origin::default();
        for check in [
            OriginCheck::Off,
            OriginCheck::Host("a".into()),
            list(&[]),
            OriginCheck::Request,
        ] {
            assert!(check.allows(None, &request), "{check:?}");
        }
        assert!(allows(&OriginCheck::Off, "https://evil.example"));
    }

    #[test]
    fn a_host_ignores_scheme_and_port() {
        let check = OriginCheck::Host("example.com".into());
        assert!(allows(&check, "http://example.com:8080"));
        assert!(allows(&check, "https://EXAMPLE.com"));
        assert!(!allows(&check, "https://www.example.com"));
        assert!(!allows(&check, "null"));
        assert!(!allows(&check, "http://example.com@evil.example"));
    }

    #[test]
    fn a_pattern_compares_the_parts_it_names() {
        let check = list(&["https://a.com", "//b.com", "http://c.com:8080", "d.com:81"]);
        assert!(allows(&check, "https://a.com") && allows(&check, "https://a.com:443"));
        assert!(!allows(&check, "http://a.com") && !allows(&check, "https://a.com:444"));
        assert!(allows(&check, "http://b.com") && allows(&check, "https://b.com:9"));
        assert!(allows(&check, "http://c.com:8080") && !allows(&check, "http://c.com"));
        assert!(allows(&check, "https://d.com:81") && !allows(&check, "https://d.com"));
        assert!(!allows(&check, "null"));
    }

    #[test]
    fn a_star_matches_the_domain_and_all_below() {
        let check = list(&["//*.x.com"]);
        for origin in ["http://x.com", "https://a.x.com:8443", "http://a.b.X.com"] {
            assert!(allows(&check, origin), "{origin}");
        }
        for origin in ["http://ax.com", "http://x.com.evil.org", "http://com"] {
            assert!(!allows(&check, origin), "{origin}");
        }
    }

    #[test]
    fn the_request_itself_compares_all_three() {
        let check = OriginCheck::Request;
        assert!(allows(&check, "http://example.com:4000"));
        assert!(!allows(&check, "http://example.com"));
        assert!(!allows(&check, "https://example.com:4000"));
        assert!(!allows(&check, "null"));
        let default = Origin::of_request("https", "example.com");
        assert!(check.allows(Some("https://example.com:443"), &default));
        let v6 = Origin::of_request("http", "[::1]:4000");
        assert!(check.allows(Some("http://[::1]:4000"), &v6));
    }

    #[test]
    fn a_scheme_in_capitals_stands_for_its_port_too() {
        let check = list(&["HTTPS://a.com"]);
        assert!(allows(&check, "https://a.com") && allows(&check, "https://a.com:443"));
        assert!(!allows(&check, "https://a.com:444") && !allows(&check, "HTTPS://a.com:80"));
        let request = Origin::of_request("HTTP", "a.com");
        assert!(OriginCheck::Request.allows(Some("http://a.com:80"), &request));
    }

    #[test]
    fn what_is_no_origin_is_no_pattern() {
        for text in [
            "",
            "//",
            "https://",
            "*",
            "//*",
            "//*.",
            "//*..",
            "//*.:80",
            "//*..com",
            "//*.*.com",
            "//a.*.com",
            "//a*.com",
            "//.com",
            "a b",
            "https://a.com/path",
            "a.com:port",
        ] {
            assert_eq!(OriginPattern::parse(text), Err(InvalidPattern), "{text:?}");
        }
    }
}
