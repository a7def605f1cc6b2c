//! What a dialling end asks of a server's TLS: whom it trusts, who it is, and which name it expects.

use std::{fmt, net::IpAddr, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use thiserror::Error;

use super::tickets::{TicketUse, Tickets};

/// What a dialling end asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The name that the certificate must be for and, unless it is an address, that the server is told (SNI).
    pub server_name: String,
    /// Which authorities are trusted.
    pub roots: TlsRoots,
    /// Whether a connection that comes back takes up an earlier session.
    pub resumes: bool,
    /// Who the client is, for servers that ask.
    pub identity: Option<TlsIdentity>,
}

/// Which authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsRoots {
    /// Those that this machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR`, else the system's own places).
    System,
    /// The certificates in this PEM text, and no others.
    Pem(Vec<u8>),
    /// Every certificate is accepted, whoever made it and for whatever name: the server may be anybody.
    Anybody,
}

/// A client's certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate and those that lead to its authority, PEM.
    pub chain: Vec<u8>,
    /// The key, PEM, not encrypted.
    pub key: Vec<u8>,
}

/// Dials with TLS; cheap to clone, and shared by all connections of a run.
#[derive(Clone, Debug)]
pub struct TlsClient(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: ServerName<'static>,
    first: Arc<ClientConfig>,
    again: Arc<ClientConfig>,
}

/// Why a dialling end cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// The server's name is none that a certificate could be for.
    #[error("`{0}` is no name that a certificate can be for: expected a host name or an address")]
    Name(String),
    /// The machine trusts nobody.
    #[error(
        "this machine trusts no authority ({0}): install ca-certificates, set SSL_CERT_FILE, or give the \
         authority's certificate"
    )]
    NoRoots(String),
    /// The authorities that were given are no certificates.
    #[error("the authorities (ca) are no PEM certificates: {0}")]
    Roots(String),
    /// The client's certificate or key cannot be used.
    #[error("the client's certificate and key cannot be used: {0}")]
    Identity(String),
}

impl TlsClient {
    /// Makes the dialling end that the options ask for. It reads the machine's authorities if these are wanted.
    ///
    /// # Errors
    ///
    /// As [`TlsSetupError`] says.
    pub fn new(options: &TlsOptions) -> Result<Self, TlsSetupError> {
        let name = server_name(&options.server_name)?;
        let tickets = Tickets::default();
        let mut config = config(options)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.enable_early_data = false;
        let with = |takes| {
            let mut config = config.clone();
            config.resumption = if options.resumes {
                let tickets = tickets.clone();
                Resumption::store(Arc::new(TicketUse { tickets, takes }))
            } else {
                Resumption::disabled()
            };
            Arc::new(config)
        };
        let (first, again) = (with(false), with(true));
        Ok(Self(Arc::new(Shared { name, first, again })))
    }

    pub(super) fn name(&self) -> ServerName<'static> {
        self.0.name.clone()
    }

    /// How to connect, for the first time or again.
    pub(super) fn config(&self, resumes: bool) -> Arc<ClientConfig> {
        Arc::clone(if resumes {
            &self.0.again
        } else {
            &self.0.first
        })
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, TlsSetupError> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let wrong = |_| TlsSetupError::Name(text.to_owned());
    ServerName::try_from(bare.to_owned()).map_err(wrong)
}

fn config(options: &TlsOptions) -> Result<ClientConfig, TlsSetupError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions");
    let builder = builder.dangerous();
    let builder = match &options.roots {
        TlsRoots::Anybody => builder.with_custom_certificate_verifier(Arc::new(Trusting(provider))),
        roots => {
            let roots = Arc::new(trusted(roots)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            let wrong = |error: rustls::client::VerifierBuilderError| {
                TlsSetupError::Roots(error.to_string())
            };
            builder.with_custom_certificate_verifier(verifier.map_err(wrong)?)
        }
    };
    let Some(identity) = &options.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let wrong = |error: &dyn fmt::Display| TlsSetupError::Identity(error.to_string());
    let chain = certificates(&identity.chain).map_err(|error| wrong(&error))?;
    let key = PrivateKeyDer::from_pem_slice(&identity.key)
        .map_err(|error| wrong(&format_args!("the key: {error}")))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| wrong(&error))
}

fn trusted(roots: &TlsRoots) -> Result<RootCertStore, TlsSetupError> {
    let mut store = RootCertStore::empty();
    if let TlsRoots::Pem(pem) = roots {
        for certificate in certificates(pem).map_err(TlsSetupError::Roots)? {
            let added = store.add(certificate);
            added.map_err(|error| TlsSetupError::Roots(error.to_string()))?;
        }
        return Ok(store);
    }
    let found = rustls_native_certs::load_native_certs();
    // Of a machine's hundreds, some are of a form that nobody has used for decades.
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(ToString::to_string);
        let why = why.unwrap_or_else(|| "none was found".to_owned());
        return Err(TlsSetupError::NoRoots(why));
    }
    Ok(store)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("there is no `BEGIN CERTIFICATE`".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(error.to_string()),
    }
}

/// Accepts every certificate. Whether its owner is at the other end is checked all the same.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.0.signature_verification_algorithms;
        known.supported_schemes()
    }
}

/// Without the key.
impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut TlsOptions)) -> String {
        let mut options = TlsOptions {
            server_name: "a.test".to_owned(),
            roots: TlsRoots::Anybody,
            resumes: true,
            identity: None,
        };
        TlsClient::new(&options).expect("nothing is wrong");
        change(&mut options);
        TlsClient::new(&options)
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_reason() {
        let text = refusal(|options| options.server_name = "a b".to_owned());
        assert!(text.contains("`a b` is no name"), "{text}");
        let text = refusal(|options| options.roots = TlsRoots::Pem(b"no".to_vec()));
        assert!(text.contains("no `BEGIN CERTIFICATE`"), "{text}");
        let text = refusal(|options| {
            let (chain, key) = (b"no".to_vec(), Vec::new());
            options.identity = Some(TlsIdentity { chain, key });
        });
        assert!(
            text.contains("certificate and key cannot be used"),
            "{text}"
        );
    }

    #[test]
    fn addresses_are_names_with_or_without_brackets() {
        for text in ["127.0.0.1", "[::1]", "::1"] {
            let name = server_name(text).expect(text);
            assert!(matches!(name, ServerName::IpAddress(_)), "{name:?}");
        }
        assert!(matches!(
            server_name("localhost"),
            Ok(ServerName::DnsName(_))
        ));
    }
}
