//! The way from here to a server: through which tunnel, and with which TLS.

use std::net::SocketAddr;

use engine::{Dial, TlsClient, Tunnel};

use crate::{options::OptionsError, proxy::Proxy, target::Target, tls::Tls};

/// How all connections to one server are made; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    tunnel: Option<Tunnel>,
    tls: Option<TlsClient>,
}

impl Way {
    /// The way to a target.
    ///
    /// # Errors
    ///
    /// [`OptionsError::Tls`] or [`OptionsError::Contradiction`].
    pub(crate) fn to(
        target: &Target,
        proxy: Option<&Proxy>,
        tls: &Tls,
    ) -> Result<Self, OptionsError> {
        Ok(Self {
            tunnel: proxy.map(|proxy| proxy.tunnel(target)),
            tls: tls.client(target)?,
        })
    }

    /// One connection; whether it comes back, and so may take up a session of TLS.
    pub(crate) fn dial(&self, source: SocketAddr, destination: SocketAddr, returns: bool) -> Dial {
        let mut dial = Dial::new(source, destination);
        if let Some(tunnel) = &self.tunnel {
            dial = dial.through(tunnel);
        }
        if let Some(client) = &self.tls {
            dial = dial.with_tls(client, returns);
        }
        dial
    }
}
