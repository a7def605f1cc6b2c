//! What can go wrong with TLS.

use std::fmt;

use engine::TlsFault;
use serde::{Deserialize, Serialize};

/// One class of failure of TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The server's certificate comes from an authority that is not trusted.
    UnknownIssuer,
    /// The server's certificate has expired.
    Expired,
    /// The server's certificate is for other names; says which.
    WrongName(String),
    /// Something else is wrong with the server's certificate; says what.
    Certificate(String),
    /// The server ended the handshake with an alert; its name.
    Alert(String),
    /// The server does not speak TLS there.
    NotSpoken,
    /// The server ended the connection in the handshake.
    Cut,
    /// No version, cipher suite or protocol in common; says what is missing.
    Incompatible(String),
    /// The server broke the protocol; says how.
    Broken(String),
}

impl TlsFailure {
    pub(super) fn of(fault: &TlsFault) -> Self {
        match fault {
            TlsFault::UnknownIssuer => Self::UnknownIssuer,
            TlsFault::Expired => Self::Expired,
            TlsFault::NotYetValid => Self::Certificate("it is not valid yet".to_owned()),
            TlsFault::WrongName(what) => Self::WrongName(what.clone()),
            TlsFault::Certificate(what) => Self::Certificate(what.clone()),
            TlsFault::Alert(name) => Self::Alert(name.clone()),
            TlsFault::NotTls => Self::NotSpoken,
            TlsFault::Cut => Self::Cut,
            TlsFault::Incompatible(what) => Self::Incompatible(what.clone()),
            other => Self::Broken(other.to_string()),
        }
    }

    pub(super) const fn class(&self) -> &'static str {
        match self {
            Self::UnknownIssuer => "tls_unknown_issuer",
            Self::Expired => "tls_expired",
            Self::WrongName(_) => "tls_wrong_name",
            Self::Certificate(_) => "tls_certificate",
            Self::Alert(_) => "tls_alert",
            Self::NotSpoken => "tls_not_spoken",
            Self::Cut => "tls_cut",
            Self::Incompatible(_) => "tls_incompatible",
            Self::Broken(_) => "tls_broken",
        }
    }

    pub(super) const fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownIssuer => {
                "give the authority's certificate with --ca, or accept any with --insecure"
            }
            Self::Expired => "renew the server's certificate, or accept it with --insecure",
            Self::WrongName(_) => {
                "use the certificate's name in the URL, give it with --server-name, or accept any with --insecure"
            }
            Self::Certificate(_) => {
                "look at the server's certificate (openssl s_client -connect), or accept any with --insecure"
            }
            Self::Alert(_) => {
                "look at the server's log: it may ask for a client's certificate (--cert, --key) or another --server-name"
            }
            Self::NotSpoken => "check the port in the URL, or use ws://",
            Self::Cut => {
                "check that the port in the URL speaks TLS, and look at the server's log and its limits"
            }
            Self::Incompatible(_) => "the crowd speaks TLS 1.2 and 1.3 and HTTP/1.1",
            Self::Broken(_) => return None,
        })
    }

    pub(super) fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::WrongName(text)
            | Self::Certificate(text)
            | Self::Alert(text)
            | Self::Incompatible(text)
            | Self::Broken(text) => Some(text),
            Self::UnknownIssuer | Self::Expired | Self::NotSpoken | Self::Cut => None,
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => f.write_str(
                "TLS: the server's certificate is from an authority that is not trusted",
            ),
            Self::Expired => f.write_str("TLS: the server's certificate has expired"),
            Self::WrongName(what) => {
                write!(
                    f,
                    "TLS: the server's certificate is for another name: {what}"
                )
            }
            Self::Certificate(what) => {
                write!(f, "TLS: the server's certificate is refused: {what}")
            }
            Self::Alert(name) => write!(f, "TLS: the server answered with the alert {name}"),
            Self::NotSpoken => f.write_str("TLS: the server does not answer in TLS"),
            Self::Cut => f.write_str("TLS: the server ended the connection in the handshake"),
            Self::Incompatible(what) => write!(f, "TLS: nothing in common with the server: {what}"),
            Self::Broken(how) => write!(f, "TLS: broken by the server: {how}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_of_its_own_and_says_tls() {
        let faults = [
            TlsFault::UnknownIssuer,
            TlsFault::Expired,
            TlsFault::WrongName("expected a".to_owned()),
            TlsFault::NotYetValid,
            TlsFault::Alert("handshake_failure".to_owned()),
            TlsFault::NotTls,
            TlsFault::Cut,
            TlsFault::Incompatible("x".to_owned()),
            TlsFault::Broken("x".to_owned()),
        ];
        let failures: Vec<_> = faults.iter().map(TlsFailure::of).collect();
        for (place, failure) in failures.iter().enumerate() {
            assert!(failure.class().starts_with("tls_"), "{failure:?}");
            assert!(failure.to_string().starts_with("TLS: "), "{failure}");
            let others = failures[..place].iter().map(TlsFailure::class);
            assert!(!others.into_iter().any(|name| name == failure.class()));
        }
    }
}
