//! Where the crowd goes: `ws://host:port/path?query`, or `wss://` with TLS.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    str::FromStr,
};

use thiserror::Error;

/// A server's WebSocket URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    is_tls: bool,
    /// The host as written, with brackets around an IPv6 address.
    host: String,
    port: u16,
    /// Starts with `/`.
    path: String,
    /// Without the `?`.
    query: Option<String>,
}

/// Why a text is no target.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The text has another form.
    #[error(
        "`{0}` is not a WebSocket URL: expected one such as ws://127.0.0.1:4000/socket or wss://example.com/socket"
    )]
    NotAUrl(String),
}

impl Target {
    /// The `Host` header.
    pub fn host(&self) -> String {
        if self.port == usual_port(self.is_tls) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The host and the port, which is always there.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether the other is of the same server, spoken to in the same way.
    pub(crate) fn is_same_server(&self, other: &Self) -> bool {
        (self.is_tls, &self.host, self.port) == (other.is_tls, &other.host, other.port)
    }

    /// Whether the server is spoken to with TLS.
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host alone, an IPv6 address without its brackets.
    pub fn name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The request target as the URL says it.
    pub fn plain(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The request target of a Phoenix socket mounted at the URL's path: `/websocket` is appended
    /// unless the path ends in it, and `vsn` is added to the query, as phoenix.js does
    /// (`assets/js/phoenix/socket.js`, `endPointURL`).
    pub fn phoenix(&self, vsn: &str) -> String {
        let mount = self.path.trim_end_matches('/');
        let path = mount.strip_suffix("/websocket").unwrap_or(mount);
        match self.query.as_deref().filter(|query| !query.is_empty()) {
            Some(query) => format!("{path}/websocket?{query}&vsn={vsn}"),
            None => format!("{path}/websocket?vsn={vsn}"),
        }
    }

    /// The request target of a Socket.IO server, whose path is `mount`: the URL's own path names a
    /// namespace. Its query goes along unless there is another one.
    pub(crate) fn socketio(&self, mount: &str, has_query: bool) -> String {
        match self
            .query
            .as_deref()
            .filter(|query| !query.is_empty() && !has_query)
        {
            Some(query) => format!("{mount}?EIO=4&transport=websocket&{query}"),
            None => format!("{mount}?EIO=4&transport=websocket"),
        }
    }

    /// The namespace that the URL's path names to a client of Socket.IO; empty for that of everybody.
    pub(crate) fn namespace(&self) -> &str {
        match &*self.path {
            "/" => "",
            path => path,
        }
    }

    /// Asks the resolver for the address; the first one wins.
    ///
    /// # Errors
    ///
    /// The resolver's, or `NotFound` when it knows no address.
    pub fn resolve(&self) -> io::Result<SocketAddr> {
        self.resolve_like(None)
    }

    /// The first address of the family of `like`, or the first where there is none of it.
    pub(crate) fn resolve_like(&self, like: Option<IpAddr>) -> io::Result<SocketAddr> {
        first_address(self.name(), self.port, like)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError::NotAUrl(text.to_owned());
        // A space or a line break would end up in the request head.
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(wrong());
        }
        let (is_tls, rest) = match text.split_once("://") {
            Some(("ws" | "http", rest)) => (false, rest),
            Some(("wss" | "https", rest)) => (true, rest),
            _ => return Err(wrong()),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path, None),
        };
        let (host, port) = split_authority(authority, usual_port(is_tls)).ok_or_else(wrong)?;
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
            query,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.host(), self.plain())
    }
}

/// The first address that the resolver knows of a host, which is without brackets; of the family of `like` if it can be.
pub(crate) fn first_address(host: &str, port: u16, like: Option<IpAddr>) -> io::Result<SocketAddr> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    let is_like = |one: &&SocketAddr| like.is_some_and(|like| one.is_ipv4() == like.is_ipv4());
    let found = addresses.iter().find(is_like).or_else(|| addresses.first());
    found
        .copied()
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// The port of a URL that names none.
const fn usual_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// Splits `host`, `host:port` or `[v6]:port`.
pub(crate) fn split_authority(authority: &str, usual_port: u16) -> Option<(&str, u16)> {
    // The colons of an IPv6 address are inside its brackets.
    let host_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let colon = authority[host_end..]
        .find(':')
        .map(|colon| host_end + colon);
    let (host, port) = match colon {
        Some(colon) => (&authority[..colon], authority[colon + 1..].parse().ok()?),
        None => (authority, usual_port),
    };
    let is_plain = !host.is_empty() && !host.contains('@') && port != 0;
    is_plain.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(text: &str) -> Target {
        text.parse().expect(text)
    }

    #[test]
    fn phoenix_sockets_get_their_transport_and_vsn() {
        for (url, expected) in [
            ("ws://127.0.0.1:4000/socket", "/socket/websocket?vsn=2.0.0"),
            ("ws://127.0.0.1:4000/socket/", "/socket/websocket?vsn=2.0.0"),
            (
                "ws://127.0.0.1:4000/socket/websocket",
                "/socket/websocket?vsn=2.0.0",
            ),
            (
                "ws://h/s?token=1&a[b]=c",
                "/s/websocket?token=1&a[b]=c&vsn=2.0.0",
            ),
            ("ws://h", "/websocket?vsn=2.0.0"),
        ] {
            assert_eq!(target(url).phoenix("2.0.0"), expected);
        }
    }

    #[test]
    fn paths_are_namespaces_to_socketio() {
        for (url, has_query, namespace, expected) in [
            (
                "http://h",
                false,
                "",
                "/socket.io/?EIO=4&transport=websocket",
            ),
            (
                "http://h/",
                true,
                "",
                "/socket.io/?EIO=4&transport=websocket",
            ),
            (
                "https://h:9/chat?a=1",
                false,
                "/chat",
                "/socket.io/?EIO=4&transport=websocket&a=1",
            ),
            (
                "http://h/?a=1",
                true,
                "",
                "/socket.io/?EIO=4&transport=websocket",
            ),
        ] {
            let target = target(url);
            assert_eq!(target.namespace(), namespace);
            assert_eq!(target.socketio("/socket.io/", has_query), expected);
        }
    }

    #[test]
    fn raw_targets_stay_as_they_are() {
        assert_eq!(target("ws://h:9/echo?x=1#frag").plain(), "/echo?x=1");
        assert_eq!(target("ws://h:9").plain(), "/");
        assert_eq!(target("ws://h?x").plain(), "/?x");
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(target("ws://example.com/x").host(), "example.com");
        assert_eq!(target("ws://example.com:81/x").host(), "example.com:81");
        assert_eq!(target("ws://[::1]:4000/").host(), "[::1]:4000");
        let loopback: SocketAddr = "[::1]:4000".parse().expect("an address");
        assert_eq!(
            target("ws://[::1]:4000/")
                .resolve()
                .expect("needs no resolver"),
            loopback
        );
    }

    #[test]
    fn errors_say_what_was_expected() {
        for text in [
            "",
            "127.0.0.1:4000",
            "ws://",
            "ws://:80/",
            "ws://h:x/",
            "ftp://h/",
            "ws://h/a b",
        ] {
            let error = text.parse::<Target>().expect_err(text);
            assert!(
                error.to_string().contains("expected one such as ws://"),
                "{error}"
            );
        }
    }

    #[test]
    fn wss_is_another_port_and_the_same_otherwise() {
        for (url, host, shown) in [
            ("wss://h/s", "h", "wss://h/s"),
            ("wss://h:443", "h", "wss://h/"),
            ("https://h:80/s?x", "h:80", "wss://h:80/s?x"),
            ("ws://h:443/", "h:443", "ws://h:443/"),
            ("wss://[::1]/", "[::1]", "wss://[::1]/"),
        ] {
            let target = target(url);
            assert_eq!((&*target.host(), &*target.to_string()), (host, shown));
            assert_eq!(target.is_tls(), shown.starts_with("wss"));
        }
        assert_eq!(target("wss://[::1]:9/").name(), "::1");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}", url in "wss?://[a-z0-9:\\[\\]/?#@.]{0,40}") {
            let _ = text.parse::<Target>();
            if let Ok(target) = url.parse::<Target>() {
                prop_assert!(target.plain().starts_with('/'));
                prop_assert!(target.phoenix("2.0.0").starts_with('/'));
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }
    }
}
