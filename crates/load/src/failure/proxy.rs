//! What can go wrong with a proxy.

use std::fmt;

use engine::TunnelFault;
use serde::{Deserialize, Serialize};

/// One class of failure of a proxy, which gave no tunnel to the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// It wants to know who asks, or does not know who it was told (407).
    Unauthenticated,
    /// It answered with another HTTP status than 2xx.
    Refused(u16),
    /// What it said is no HTTP; says what is wrong with it.
    NotSpoken(String),
    /// It ended the connection before it answered.
    Cut,
    /// It has not answered in time.
    Timeout,
}

impl ProxyFailure {
    pub(super) fn of(fault: TunnelFault) -> Self {
        match fault {
            TunnelFault::Status(407) => Self::Unauthenticated,
            TunnelFault::Status(status) => Self::Refused(status),
            TunnelFault::Head(error) => Self::NotSpoken(error.to_string()),
            TunnelFault::Timeout => Self::Timeout,
            _ => Self::Cut,
        }
    }

    pub(super) const fn class(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "proxy_407",
            Self::Refused(_) => "proxy_refused",
            Self::NotSpoken(_) => "proxy_not_spoken",
            Self::Cut => "proxy_cut",
            Self::Timeout => "proxy_timeout",
        }
    }

    pub(super) const fn remedy(&self) -> &'static str {
        match self {
            Self::Unauthenticated => {
                "give the user and the password in the proxy's URL, http://user:password@host:port, \
                 with % and two digits for what a URL cannot have (@ is %40)"
            }
            Self::Refused(502..=504) => {
                "the proxy does not reach the server: check the host in the URL as the proxy knows it"
            }
            Self::Refused(_) => {
                "look at the proxy's rules: which hosts and ports it leads to, and for whom"
            }
            Self::NotSpoken(_) => "check the proxy's address and port: HTTP is not spoken there",
            Self::Cut => "look at the proxy's log and its limits on connections",
            Self::Timeout => {
                "the proxy is slower than this rate, or does not reach the server: connect at a lower --rate"
            }
        }
    }

    pub(super) fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::NotSpoken(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthenticated => f.write_str("proxy: it asks who this is (HTTP status 407)"),
            Self::Refused(status) => write!(f, "proxy: it gave no tunnel (HTTP status {status})"),
            Self::NotSpoken(what) => write!(f, "proxy: it does not answer in HTTP: {what}"),
            Self::Cut => f.write_str("proxy: it ended the connection before it answered"),
            Self::Timeout => f.write_str("proxy: it did not answer in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_of_its_own_and_says_whose_it_is() {
        let faults = [
            TunnelFault::Status(407),
            TunnelFault::Status(403),
            TunnelFault::Head(proto::http::Error::Version),
            TunnelFault::Cut,
            TunnelFault::Timeout,
        ];
        let failures = faults.map(ProxyFailure::of);
        for (place, failure) in failures.iter().enumerate() {
            assert!(failure.class().starts_with("proxy_"), "{failure:?}");
            assert!(failure.to_string().starts_with("proxy: "), "{failure}");
            let mut others = failures[..place].iter().map(ProxyFailure::class);
            assert!(!others.any(|name| name == failure.class()));
        }
        assert!(
            ProxyFailure::Refused(502)
                .remedy()
                .contains("does not reach")
        );
    }
}
