//! An HTTP proxy through which the crowd reaches its server: each connection asks it for a tunnel of its own.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use engine::Tunnel;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    run::LoadError,
    target::{Target, first_address, split_authority},
};

/// A proxy's URL, `http://host:port`, with `user:password@` for one that asks who comes. It shows itself without these.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// As written, with brackets around an IPv6 address.
    host: String,
    port: u16,
    /// `user:password`, percent-decoded.
    credentials: Option<Vec<u8>>,
}

/// Why a text is no proxy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Another form.
    #[error(
        "`{0}` is not a proxy's URL: expected one such as http://127.0.0.1:3128 or http://user:password@host:3128"
    )]
    NotAUrl(String),
    /// A proxy that is spoken to in another way.
    #[error(
        "`{0}`: the proxy itself is spoken to in the clear, by CONNECT of HTTP: expected http://host:port (servers of \
         wss:// speak TLS through it all the same)"
    )]
    Scheme(String),
}

/// The port of a URL that names none.
const USUAL_PORT: u16 = 80;

/// Schemes of proxies that are spoken to in another way.
const OTHER_SCHEMES: [&str; 6] = ["https", "socks", "socks4", "socks4a", "socks5", "socks5h"];

impl Proxy {
    /// Asks for a tunnel to a server; its name goes to the proxy as the URL says it.
    pub(crate) fn tunnel(&self, target: &Target) -> Tunnel {
        Tunnel::new(&target.authority(), self.credentials.as_deref())
    }

    /// The proxy's address, of the family of `like` where it has one of that.
    fn resolve(&self, like: Option<IpAddr>) -> Result<SocketAddr, LoadError> {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        first_address(name, self.port, like).map_err(|error| LoadError::Resolve {
            host: format!("{}:{}", self.host, self.port),
            error,
        })
    }
}

/// Where connections to a target lead first: to the proxy if there is one, else to the target
/// itself. Of a target behind a proxy no address is needed here. Of several addresses it is the
/// first of the family of `like`, from where is dialled.
///
/// # Errors
///
/// [`LoadError::Resolve`].
pub(crate) fn destination(
    target: &Target,
    proxy: Option<&Proxy>,
    like: Option<IpAddr>,
) -> Result<SocketAddr, LoadError> {
    match proxy {
        Some(proxy) => proxy.resolve(like),
        None => target
            .resolve_like(like)
            .map_err(|error| LoadError::Resolve {
                host: target.host(),
                error,
            }),
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let wrong = || ProxyError::NotAUrl(hidden(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        match scheme {
            "http" => {}
            other if OTHER_SCHEMES.contains(&other) => {
                return Err(ProxyError::Scheme(hidden(text)));
            }
            _ => return Err(wrong()),
        }
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(wrong());
        }
        let (rest, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        let (host, port) = split_authority(authority, USUAL_PORT).ok_or_else(wrong)?;
        if !matches!(path, "" | "/") {
            return Err(wrong());
        }
        // RFC 7617 §2: the two are divided by the first colon, which is there without a password, too.
        let credentials = user.map(|user| match user.split_once(':') {
            Some((user, password)) => [decoded(user), b":".to_vec(), decoded(password)].concat(),
            None => [decoded(user), b":".to_vec()].concat(),
        });
        Ok(Self {
            host: host.to_owned(),
            port,
            credentials,
        })
    }
}

/// Without who asks.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.credentials.is_some() {
            "***@"
        } else {
            ""
        };
        write!(f, "http://{who}{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// A text that may be a URL, as it may be shown: what may be a password is not. Without `@` that is
/// all but a host and a port, for the host may have been forgotten.
fn hidden(text: &str) -> String {
    let known = |scheme: &str| scheme == "http" || OTHER_SCHEMES.contains(&scheme);
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if known(scheme) => (&text[..scheme.len() + 3], rest),
        _ => ("", text),
    };
    if let Some((_, host)) = rest.rsplit_once('@') {
        return format!("{scheme}***@{host}");
    }
    let is_name = |host: &str| {
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        !host.contains(':') || inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
    };
    match rest.rsplit_once(':') {
        Some((host, port)) if is_name(host) && port.parse::<u16>().is_ok() => text.to_owned(),
        _ => format!("{scheme}***"),
    }
}

/// Percent-decoded (RFC 3986 §2.1); what is no `%` and two digits stays as it is.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                // Two digits of sixteen are a byte.
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxy(text: &str) -> Proxy {
        text.parse().expect(text)
    }

    #[test]
    fn urls_and_what_is_shown_of_them() {
        for (url, shown, credentials) in [
            ("http://127.0.0.1:9095", "http://127.0.0.1:9095", None),
            ("http://proxy.test/", "http://proxy.test:80", None),
            ("http://[::1]:3128", "http://[::1]:3128", None),
            ("http://me:s3cret@h:1", "http://***@h:1", Some("me:s3cret")),
            (
                "http://a%40b:c%3A%2f@h:1",
                "http://***@h:1",
                Some("a@b:c:/"),
            ),
            ("http://token@h:1", "http://***@h:1", Some("token:")),
            ("http://a:b@c@h:1", "http://***@h:1", Some("a:b@c")),
            ("http://a:%zz%@h:1", "http://***@h:1", Some("a:%zz%")),
        ] {
            let proxy = proxy(url);
            assert_eq!(
                (proxy.to_string(), format!("{proxy:?}")),
                (shown.to_owned(), format!("Proxy({shown})"))
            );
            assert_eq!(proxy.credentials.as_deref(), credentials.map(str::as_bytes));
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        for (url, words) in [
            ("127.0.0.1:3128", "`127.0.0.1:3128` is not a proxy's URL"),
            ("ftp://h:1", "is not a proxy's URL"),
            ("http://", "is not a proxy's URL"),
            ("http://h:0", "is not a proxy's URL"),
            ("http://u:secret@h:1/path", "`http://***@h:1/path` is not"),
            ("http://u:sec ret@h:1", "`http://***@h:1` is not"),
            ("u:secret@h:1", "`***@h:1` is not"),
            // What only looks like a scheme, and hosts that were forgotten.
            ("u:sec://ret@h:1", "`***@h:1` is not"),
            ("u:sec://ret", "`***` is not"),
            ("u://secret:1", "`***` is not"),
            ("http://user:secret", "`http://***` is not"),
            ("http://user:secret:3128", "`http://***` is not"),
            ("http://user:12/secret", "`http://***` is not"),
            ("secret", "`***` is not"),
            ("[::1]:3128", "`[::1]:3128` is not"),
            ("https://user:secret", "`https://***`: the proxy itself"),
            (
                "https://u:secret@h:1",
                "`https://***@h:1`: the proxy itself is spoken to in the clear",
            ),
            ("socks5://h:1", "expected http://host:port"),
        ] {
            let error = url.parse::<Proxy>().expect_err(url).to_string();
            assert!(error.contains(words) && !error.contains("sec"), "{error}");
        }
    }

    #[test]
    fn behind_a_proxy_no_address_of_the_server_is_needed() {
        let target = "ws://server.invalid/".parse().expect("a URL");
        let found = destination(&target, Some(&proxy("http://127.0.0.1:9095")), None);
        assert_eq!(found.expect("an address").to_string(), "127.0.0.1:9095");
        let error = destination(&target, None, None).expect_err("no such name");
        assert!(error.to_string().contains("server.invalid"), "{error}");
    }

    #[test]
    fn it_travels_whole() {
        let proxy = proxy("http://a%ff:c@h:1");
        let text = serde_json::to_string(&proxy).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Proxy>(&text).expect("the same"),
            proxy
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}", url in "http://[a-z0-9:%@\\[\\]/?#.]{0,40}") {
            let _ = text.parse::<Proxy>();
            if let Ok(proxy) = url.parse::<Proxy>() {
                let again: Proxy = proxy.to_string().replace("***@", "").parse().expect("a URL");
                prop_assert_eq!((&again.host, again.port), (&proxy.host, proxy.port));
            }
        }
    }
}
