//! The servers of others that are programs of their own: how each is had and started.
//!
//! What they are is under `bench/peers/`; what they are made into goes to `target/`.

mod nginx;
mod node;
pub(crate) mod npm;
mod rust;
pub(crate) mod tools;

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::kind::Kind;
use crate::leash::{Leashed, Pages};
use crate::session::{self, Workload};

use nginx::Nginx;
use node::Node;
use rust::Rust;

/// Whatever the peers that were asked for are started from.
#[derive(Debug)]
pub(crate) struct Peers {
    rust: Option<Rust>,
    node: Option<Node>,
    nginx: Option<Nginx>,
}

impl Peers {
    /// Makes ready those of `kinds` that are programs of others, each for up to `connections_max` and
    /// with its files of this run in `folder`.
    ///
    /// # Errors
    ///
    /// When something of the machine is missing and `install` does not allow to install it; the
    /// words say what, and the command that installs it.
    pub(crate) fn prepare(
        kinds: &[Kind],
        connections_max: usize,
        install: bool,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let needs = kinds.iter().flat_map(|kind| {
            let tools = tools::needs(*kind).iter();
            tools.map(|tool| (kind.name(), *tool))
        });
        tools::require(needs, install)?;
        let any = |wanted: &[Kind]| kinds.iter().any(|kind| wanted.contains(kind));
        let rust = any(&[Kind::Tungstenite, Kind::Fastwebsockets, Kind::Axum]);
        let rust = rust.then(Rust::prepare);
        let node = any(&[Kind::Node]).then(Node::prepare);
        let nginx = any(&[Kind::Nginx]).then(|| Nginx::prepare(connections_max, folder));
        Ok(Self {
            rust: rust.transpose()?,
            node: node.transpose()?,
            nginx: nginx.transpose()?,
        })
    }

    /// Starts the peer that `kind` names and returns where it listens.
    pub(crate) fn start(
        &self,
        kind: Kind,
        workload: Workload,
        pages: Pages,
    ) -> anyhow::Result<(Leashed, SocketAddrV4)> {
        let unprepared = || format!("{} was not prepared", kind.name());
        let texts = session::texts(workload.topic());
        let process = match kind {
            Kind::Tungstenite | Kind::Fastwebsockets | Kind::Axum => {
                let rust = self.rust.as_ref().with_context(unprepared)?;
                rust.start(kind.name(), &texts, pages)?
            }
            Kind::Node => {
                let node = self.node.as_ref().with_context(unprepared)?;
                node.start(&texts, pages)?
            }
            Kind::Nginx => {
                let nginx = self.nginx.as_ref().with_context(unprepared)?;
                return nginx.start(workload, pages);
            }
            _ => bail!("{} is no program of others", kind.name()),
        };
        let addr = process.announced_addr()?;
        Ok((process, addr))
    }
}

/// Returns where a peer's sources are.
fn sources(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// Returns where a peer is made.
fn workshop(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/peers")
        .join(name)
}
