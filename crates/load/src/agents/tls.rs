//! TLS between a coordinator and its agents, where certificates are given.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _};
use thiserror::Error;

/// A longer file holds something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{path} is no PEM file with {expected}: {error}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// What is in the files is not supported, or is no pair.
    #[error("the certificate of {path} cannot be used: {error}")]
    Use {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::Error,
    },
}

/// What an agent secures sessions with.
pub(crate) fn server(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |error| TlsError::Use {
        path: cert.to_owned(),
        error,
    };
    let chain = certificates(cert)?;
    let text = read(key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsError::Pem {
        path: key.to_owned(),
        expected: "a private key",
        error,
    })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(wrong)?;
    Ok(Arc::new(config))
}

/// What a coordinator trusts: the certificates in `authority`, and no others.
pub(crate) fn client(authority: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    let wrong = |error| TlsError::Use {
        path: authority.to_owned(),
        error,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate).map_err(wrong)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let wrong = |error| TlsError::Pem {
        path: path.to_owned(),
        expected: "certificates",
        error,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found.map_err(wrong)? {
        found if found.is_empty() => Err(wrong(pem::Error::NoItemsFound)),
        found => Ok(found),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let wrong = |error| TlsError::Read {
        path: path.to_owned(),
        error,
    };
    let length = fs::metadata(path).map_err(wrong)?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrong(io::Error::other(
            "the file is too long for certificates",
        )));
    }
    fs::read(path).map_err(wrong)
}
