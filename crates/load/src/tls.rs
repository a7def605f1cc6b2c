//! How the crowd speaks TLS with a `wss://` server.

use engine::{TlsClient, TlsIdentity, TlsOptions, TlsRoots};
use serde::{Deserialize, Serialize};

use crate::{options::OptionsError, target::Target};

/// What an operator or a script says about TLS. By default the server is checked as a browser would: against the
/// authorities that this machine trusts, for the name in its URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tls {
    /// Whether any certificate is accepted, whoever made it and for whatever name.
    pub insecure: bool,
    /// The authorities that are trusted instead of the machine's, PEM.
    pub ca: Option<String>,
    /// The name that the certificate must be for and that the server is told, if it is not the URL's.
    pub server_name: Option<String>,
    /// The client's certificate and those that lead to its authority, PEM.
    pub cert: Option<String>,
    /// The client's key, PEM.
    pub key: Option<String>,
    /// Whether also those who come back make a whole handshake.
    pub no_resumption: bool,
}

impl Tls {
    /// What dials the target with TLS; `None` for a server that is spoken to in the clear.
    ///
    /// # Errors
    ///
    /// [`OptionsError::Tls`] or [`OptionsError::Contradiction`].
    pub(crate) fn client(&self, target: &Target) -> Result<Option<TlsClient>, OptionsError> {
        if !target.is_tls() {
            return Ok(None);
        }
        let bytes = |text: &String| text.clone().into_bytes();
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(TlsIdentity {
                chain: bytes(cert),
                key: bytes(key),
            }),
            (None, None) => None,
            _ => {
                let text = "a client's certificate (cert) and its key belong together: give both";
                return Err(OptionsError::Contradiction(text));
            }
        };
        let roots = match &self.ca {
            _ if self.insecure => TlsRoots::Anybody,
            Some(ca) => TlsRoots::Pem(bytes(ca)),
            None => TlsRoots::System,
        };
        let options = TlsOptions {
            server_name: self.name_for(target).to_owned(),
            roots,
            resumes: !self.no_resumption,
            identity,
        };
        Ok(Some(TlsClient::new(&options)?))
    }

    /// The name that a target's certificate must be for.
    pub(crate) fn name_for<'a>(&'a self, target: &'a Target) -> &'a str {
        self.server_name.as_deref().unwrap_or_else(|| target.name())
    }

    /// What a command line says on top of what a script says.
    #[must_use]
    pub(crate) fn under(&self, flags: &Self) -> Self {
        let or = |own: &Option<String>, flag: &Option<String>| flag.clone().or_else(|| own.clone());
        Self {
            // A flag that names an authority wants it to be checked.
            insecure: flags.insecure || (self.insecure && flags.ca.is_none()),
            ca: or(&self.ca, &flags.ca),
            server_name: or(&self.server_name, &flags.server_name),
            cert: or(&self.cert, &flags.cert),
            key: or(&self.key, &flags.key),
            no_resumption: self.no_resumption || flags.no_resumption,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_lie_on_top_of_a_script() {
        let script = Tls {
            insecure: true,
            ca: Some("script".to_owned()),
            cert: Some("script".to_owned()),
            ..Tls::default()
        };
        assert_eq!(script.under(&Tls::default()), script);
        let flags = Tls {
            ca: Some("flag".to_owned()),
            ..Tls::default()
        };
        let both = script.under(&flags);
        assert_eq!(
            (both.insecure, both.ca.as_deref(), both.cert.as_deref()),
            (false, Some("flag"), Some("script"))
        );
    }

    #[test]
    fn only_wss_needs_a_client_and_a_half_identity_is_refused() {
        let half = Tls {
            key: Some("key".to_owned()),
            insecure: true,
            ..Tls::default()
        };
        let plain = "ws://h/".parse().expect("a URL");
        assert!(half.client(&plain).expect("nothing to do").is_none());
        let target = "wss://h/".parse().expect("a URL");
        let error = half.client(&target).expect_err("half");
        assert!(error.to_string().contains("belong together"), "{error}");
        let whole = Tls {
            insecure: true,
            ..Tls::default()
        };
        assert!(whole.client(&target).expect("a client").is_some());
    }
}
