//! The servers as processes: how each is started, found and ended.
//!
//! The floor is this same binary under a hidden subcommand. Every server listens on a port of the
//! kernel's choice and says which in a line `listening on ADDRESS`.

use std::ffi::OsString;
use std::net::SocketAddrV4;

use anyhow::Context as _;

use crate::kind::Kind;
use crate::leash::{Leashed, Pages, bench_binary};
use crate::peers::Peers;
use crate::product::Product;
use crate::session::Workload;

/// What the servers are started from.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Present when the product is among the servers.
    pub(crate) product: Option<Product>,
    pub(crate) peers: Peers,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    process: Leashed,
    addr: SocketAddrV4,
}

impl Programs {
    /// Returns the product.
    ///
    /// # Errors
    ///
    /// When it was not asked for and therefore not built.
    pub(crate) fn product(&self) -> anyhow::Result<&Product> {
        self.product
            .as_ref()
            .context("the product was not prepared")
    }
}

impl Server {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(
        programs: &Programs,
        kind: Kind,
        workload: Workload,
        pages: Pages,
    ) -> anyhow::Result<Self> {
        let process = match kind {
            Kind::Floor => {
                let arguments = ["server", workload.name()].map(OsString::from);
                Leashed::spawn(&bench_binary()?, &arguments, pages)?
            }
            _ => match kind.variant() {
                Some(variant) => {
                    let product = programs.product()?;
                    Leashed::spawn(product.binary(), &product.serve_arguments(variant), pages)?
                }
                None => {
                    let (process, addr) = programs.peers.start(kind, workload, pages)?;
                    return Ok(Self { process, addr });
                }
            },
        };
        let addr = process.announced_addr()?;
        Ok(Self { process, addr })
    }

    pub(crate) fn addr(&self) -> SocketAddrV4 {
        self.addr
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}
