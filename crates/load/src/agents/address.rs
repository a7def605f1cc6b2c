//! Where agents are: `a:7070`, or `ssh://user@host` for a machine on which one is started.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentAddress {
    /// An agent that listens.
    Tcp {
        /// Its name or address, without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A machine on which one is started with `ssh`.
    Ssh {
        /// What `ssh` is told: `user@host` or `host`.
        destination: String,
        /// The port of `ssh`, where it is not the usual one.
        port: Option<u16>,
    },
}

/// The agents of a run, 1 to [`AgentAddresses::MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentAddresses(Vec<AgentAddress>);

/// A text does not say where agents are.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AgentAddressError {
    /// One of them is no address.
    #[error("`{0}` is no agent: expected host:port, such as 10.0.0.5:7070, or ssh://user@host")]
    NotAnAddress(String),
    /// One is there twice.
    #[error("`{0}` is there twice: expected each agent once")]
    Twice(String),
    /// They are too many.
    #[error("{0} agents are too many: expected {max} at most", max = AgentAddresses::MAX)]
    TooMany(usize),
}

/// The port that an agent listens on, if nothing else is said.
pub const AGENT_PORT: u16 = 7070;

impl AgentAddresses {
    /// The most agents of a run.
    pub const MAX: usize = 64;

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &AgentAddress> {
        self.0.iter()
    }
}

impl FromStr for AgentAddresses {
    type Err = AgentAddressError;

    fn from_str(text: &str) -> Result<Self, AgentAddressError> {
        let mut all: Vec<AgentAddress> = Vec::new();
        for item in text.split(',') {
            let address: AgentAddress = item.trim().parse()?;
            if all.contains(&address) {
                return Err(AgentAddressError::Twice(item.trim().to_owned()));
            }
            all.push(address);
        }
        if all.len() > Self::MAX {
            return Err(AgentAddressError::TooMany(all.len()));
        }
        Ok(Self(all))
    }
}

impl FromStr for AgentAddress {
    type Err = AgentAddressError;

    fn from_str(text: &str) -> Result<Self, AgentAddressError> {
        let wrong = || AgentAddressError::NotAnAddress(text.to_owned());
        if let Some(rest) = text.strip_prefix("ssh://") {
            let (destination, port) = match rest.rsplit_once(':') {
                Some((destination, port)) => {
                    (destination, Some(port.parse().map_err(|_| wrong())?))
                }
                None => (rest, None),
            };
            // What begins with a hyphen would be an option of ssh.
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@%+".contains(c);
            let host = destination.rsplit('@').next().unwrap_or_default();
            if host.is_empty()
                || destination.starts_with(['-', '@'])
                || host.starts_with('-')
                || !destination.chars().all(is_plain)
            {
                return Err(wrong());
            }
            let destination = destination.to_owned();
            return Ok(Self::Ssh { destination, port });
        }
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address has more colons, and brackets around it where a port follows.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (text, AGENT_PORT),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:%".contains(c);
        if bare.is_empty() || port == 0 || !bare.chars().all(is_plain) {
            return Err(wrong());
        }
        Ok(Self::Tcp {
            host: bare.to_owned(),
            port,
        })
    }
}

impl fmt::Display for AgentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Ssh {
                destination,
                port: Some(port),
            } => write!(f, "ssh://{destination}:{port}"),
            Self::Ssh {
                destination,
                port: None,
            } => write!(f, "ssh://{destination}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms() {
        let all: AgentAddresses = "a:7070, 10.0.0.5,[::1]:9,ssh://me@far.example,ssh://b:22"
            .parse()
            .expect("agents");
        let shown: Vec<_> = all.iter().map(AgentAddress::to_string).collect();
        assert_eq!(
            shown,
            [
                "a:7070",
                "10.0.0.5:7070",
                "[::1]:9",
                "ssh://me@far.example",
                "ssh://b:22"
            ]
        );
    }

    #[test]
    fn what_is_no_agent_is_refused() {
        for text in [
            "",
            "a:",
            "a:0",
            "a:x",
            "a,",
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://me@-x",
            "ssh://a b",
            "ssh://a;b",
            "a/b:1",
        ] {
            let refusal = text.parse::<AgentAddresses>().expect_err(text).to_string();
            assert!(
                refusal.contains("is no agent: expected host:port"),
                "{refusal}"
            );
        }
        assert!("a,a:7070".parse::<AgentAddresses>().is_err());
        let many: Vec<_> = (0..65).map(|number| format!("a{number}")).collect();
        assert!(many.join(",").parse::<AgentAddresses>().is_err());
    }
}
