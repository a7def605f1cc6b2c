//! Why there is no TLS with a peer, in classes that have each another remedy.

use std::fmt;

use rustls::{CertificateError, Error, PeerIncompatible};

/// Why a TLS handshake failed, or its connection later.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFault {
    /// The peer's certificate comes from an authority that is not trusted here.
    UnknownIssuer,
    /// The peer's certificate is not valid any more.
    Expired,
    /// The peer's certificate is not valid yet.
    NotYetValid,
    /// The peer's certificate is for other names; says which was expected and which there are.
    WrongName(String),
    /// Something else is wrong with the peer's certificate; says what.
    Certificate(String),
    /// The peer ended the handshake with this alert (RFC 8446 §6), such as `handshake_failure`.
    Alert(String),
    /// What the peer sent first is no TLS.
    NotTls,
    /// The peer ended the stream before the handshake was over.
    Cut,
    /// The two have no version, cipher suite or key exchange in common; says what is missing.
    Incompatible(String),
    /// The peer broke the protocol, or its records were changed on the way; says how.
    Broken(String),
}

impl TlsFault {
    /// What an error means that came `early`: before anything of the peer was understood.
    pub(super) fn of(error: Error, early: bool) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::NoCertificatesPresented => Self::Certificate("there is none".to_owned()),
            Error::AlertReceived(alert) => Self::Alert(alert_name(&format!("{alert:?}"))),
            Error::InvalidMessage(_) | Error::PeerSentOversizedRecord if early => Self::NotTls,
            Error::NoApplicationProtocol => {
                Self::Incompatible("the server does not speak HTTP/1.1 (ALPN)".to_owned())
            }
            Error::PeerIncompatible(what) => Self::Incompatible(incompatible(&what)),
            other => Self::Broken(other.to_string()),
        }
    }

    fn of_certificate(error: CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName => Self::WrongName("it is for other names".into()),
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => Self::WrongName(wrong_name(&expected.to_str(), &presented)),
            // As after an authority was made anew.
            CertificateError::BadSignature => Self::Certificate(
                "its signature is not that of the trusted authority of that name".to_owned(),
            ),
            other => {
                let text = other.to_string();
                // `openssl req -x509` makes such: an authority that stands for a server by itself.
                let is_authority = text.contains("CaUsedAsEndEntity");
                Self::Certificate(if is_authority {
                    "it is that of an authority, which may not be a server's (CaUsedAsEndEntity)"
                        .to_owned()
                } else {
                    text
                })
            }
        }
    }
}

/// Names of a certificate that are shown: a server must not write a report's lines.
const NAMES_SHOWN: usize = 3;
const NAME_CHARS_MAX: usize = 80;

fn wrong_name(expected: &str, presented: &[String]) -> String {
    let name = |text: &String| -> String {
        // rustls shows each as `DnsName("name")`.
        let inner = text.split('"').nth(1).unwrap_or(text);
        let shown = inner.chars().filter(|c| !c.is_control());
        shown.take(NAME_CHARS_MAX).collect()
    };
    let names: Vec<_> = presented.iter().take(NAMES_SHOWN).map(name).collect();
    match (names.is_empty(), presented.len() > NAMES_SHOWN) {
        (true, _) => format!("expected {expected}, and it has no name"),
        (false, false) => format!("expected {expected}, and it is for {}", names.join(", ")),
        (false, true) => format!("expected {expected}, and it is for {}, …", names.join(", ")),
    }
}

fn incompatible(what: &PeerIncompatible) -> String {
    match what {
        PeerIncompatible::ServerDoesNotSupportTls12Or13 => {
            "the server has neither TLS 1.2 nor TLS 1.3".to_owned()
        }
        other => format!("{other:?}"),
    }
}

/// `HandshakeFailure` as the RFC writes it: `handshake_failure`.
fn alert_name(camel: &str) -> String {
    let mut name = String::new();
    let mut was_upper = true;
    for c in camel.chars() {
        let is_upper = c.is_ascii_uppercase();
        if is_upper && !was_upper {
            name.push('_');
        }
        was_upper = is_upper;
        name.push(c.to_ascii_lowercase());
    }
    name
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => {
                f.write_str("the certificate is from an authority that is not trusted here")
            }
            Self::Expired => f.write_str("the certificate has expired"),
            Self::NotYetValid => f.write_str("the certificate is not valid yet"),
            Self::WrongName(what) => write!(f, "the certificate is for another name: {what}"),
            Self::Certificate(what) => write!(f, "the certificate is refused: {what}"),
            Self::Alert(name) => write!(f, "the server answered with the alert {name}"),
            Self::NotTls => f.write_str("the server does not answer in TLS"),
            Self::Cut => f.write_str("the server ended the connection in the TLS handshake"),
            Self::Incompatible(what) => write!(f, "nothing in common: {what}"),
            Self::Broken(how) => write!(f, "TLS is broken: {how}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_standard() {
        for (alert, name) in [
            (AlertDescription::HandshakeFailure, "handshake_failure"),
            (AlertDescription::UnrecognisedName, "unrecognised_name"),
            (AlertDescription::UnknownCA, "unknown_ca"),
        ] {
            let fault = TlsFault::of(Error::AlertReceived(alert), true);
            assert_eq!(fault, TlsFault::Alert(name.to_owned()));
        }
    }

    #[test]
    fn names_that_a_server_presents_are_few_short_and_harmless() {
        let names: Vec<String> = (0..5)
            .map(|n| format!("DnsName(\"{n}\u{1b}[2J{}\")", "x".repeat(200)))
            .collect();
        let text = wrong_name("a.test", &names);
        assert!(
            text.starts_with("expected a.test, and it is for 0[2Jx"),
            "{text}"
        );
        assert!(text.ends_with(", …") && text.len() < 300, "{text}");
        assert!(!text.contains('\u{1b}'));
        assert_eq!(wrong_name("a", &[]), "expected a, and it has no name");
    }
}
