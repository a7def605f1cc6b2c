//! TLS of the control plane: a certificate from two files, read again when they change.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ServerConfig, crypto::aws_lc_rs},
    server::TlsStream,
};

use crate::config::Admin;

/// How long a client may take for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Certificates from the own one to the root; a longer file is another file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What new connections are secured with. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Files,
    current: Mutex<Arc<ServerConfig>>,
}

#[derive(Clone, Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What tells one version of the files from another: their times and lengths, where they can be seen.
type Version = [Option<(SystemTime, u64)>; 2];

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
    /// The two files are not a pair, or use something that is not supported.
    #[error("the certificate of {cert} and the key of {key} cannot be used: {error}")]
    Pair {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong with them.
        error: rustls::Error,
    },
}

impl Tls {
    /// Reads the files; none when the control plane speaks plain HTTP.
    ///
    /// # Errors
    ///
    /// There is no certificate in the files, or its key is another's.
    pub(super) fn open(admin: &Admin) -> Result<Option<Self>, TlsError> {
        let (Some(cert), Some(key)) = (&admin.tls_cert, &admin.tls_key) else {
            return Ok(None);
        };
        let files = Files {
            cert: cert.into(),
            key: key.into(),
        };
        let current = Mutex::new(Arc::new(files.read()?));
        Ok(Some(Self(Arc::new(Inner { files, current }))))
    }

    /// Does the handshake of a new connection.
    ///
    /// # Errors
    ///
    /// The client speaks something else, or is too slow.
    pub(super) async fn accept<S>(&self, socket: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let current = Arc::clone(
            &self
                .0
                .current
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(current).accept(socket)).await?
    }

    /// Reads the files again each time they have changed, for ever. What is open stays as it is.
    pub(super) async fn watch(self) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // They may have changed since they were read: then they are read once too often.
        let mut known = None;
        let mut failed = None;
        loop {
            ticks.tick().await;
            let files = self.0.files.clone();
            // Files may be on a machine that does not answer.
            let looked = spawn_blocking(move || {
                let version = files.version();
                (known != Some(version)).then(|| (version, files.read(), known.is_none()))
            });
            let Ok(Some((version, read, is_first))) = looked.await else {
                continue;
            };
            match read {
                Ok(config) => {
                    known = Some(version);
                    let mut current = self
                        .0
                        .current
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    *current = Arc::new(config);
                    if !is_first {
                        tracing::info!("the admin side has a new certificate");
                    }
                }
                // Tried again, since what is wrong may change without the files: their owner, or their rights.
                Err(error) if failed.replace(version) != Some(version) => tracing::error!(
                    "the admin side keeps its certificate, since the new one cannot be used: {error}"
                ),
                Err(_) => {}
            }
        }
    }
}

impl Files {
    fn version(&self) -> Version {
        [&self.cert, &self.key].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        })
    }

    fn read(&self) -> Result<ServerConfig, TlsError> {
        let unlike = |path: &PathBuf, expected| {
            let path = path.clone();
            move |error| TlsError::Pem {
                path,
                expected,
                error,
            }
        };
        let text = contents(&self.cert)?;
        let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let certs = certs.map_err(unlike(&self.cert, "certificates"))?;
        let key = PrivateKeyDer::from_pem_slice(&contents(&self.key)?);
        let key = key.map_err(unlike(&self.key, "a private key"))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions();
        let config = builder.and_then(|it| it.with_no_client_auth().with_single_cert(certs, key));
        let mut config = config.map_err(|error| TlsError::Pair {
            cert: self.cert.clone(),
            key: self.key.clone(),
            error,
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn contents(path: &PathBuf) -> Result<Vec<u8>, TlsError> {
    use io::Read as _;

    let mut contents = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut contents))
        .map_err(|error| TlsError::Read {
            path: path.clone(),
            error,
        })?;
    Ok(contents)
}
