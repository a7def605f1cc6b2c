//! The product under measurement: how its binary is built, configured and addressed.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cargo;
use crate::leash::{Leashed, Pages};
use crate::session::Workload;

/// A built binary and the configuration that the bench gives it.
#[derive(Debug)]
pub(crate) struct Product {
    binary: PathBuf,
    config: PathBuf,
    /// Where its crowd writes what happens.
    events: PathBuf,
}

/// How the product is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) carrier: Carrier,
    /// Threads that carry connections.
    pub(crate) shards_count: u32,
    /// What it is made for, where that is not its default.
    pub(crate) connections_max: Option<u32>,
}

/// What carries the connections of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Carrier {
    Epoll,
    Uring,
}

impl Carrier {
    /// Returns its name on the product's command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Uring => "uring",
        }
    }
}

impl Product {
    /// Takes a built `binary`, and writes its configuration to `folder`.
    pub(crate) fn configure(binary: PathBuf, folder: &Path) -> anyhow::Result<Self> {
        let config = folder.join("product.toml");
        fs::write(&config, CONFIG).with_context(|| format!("cannot write {}", config.display()))?;
        Ok(Self {
            binary,
            config,
            events: folder.join("events.json"),
        })
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Returns where its crowd writes what happens.
    pub(crate) fn events(&self) -> &Path {
        &self.events
    }

    /// Returns the arguments of the server on a port of the kernel's choice.
    pub(crate) fn serve_arguments(&self, variant: Variant) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = [
            "serve".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            format!("--kernel={}", variant.carrier.name()),
            format!("--shards={}", variant.shards_count),
            "--config".to_owned(),
        ]
        .map(OsString::from)
        .into();
        arguments.push(self.config.clone().into());
        let connections_max = variant.connections_max;
        arguments.extend(connections_max.map(|most| format!("--max-connections={most}").into()));
        arguments
    }

    /// Starts the server on a port of the kernel's choice, with an admin side for a
    /// [`Witness`](crate::witness::Witness).
    pub(crate) fn serve_watched(
        &self,
        admin: SocketAddrV4,
        more: &[String],
    ) -> anyhow::Result<Leashed> {
        let own = [
            "serve".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            format!("--admin-listen={admin}"),
            // The witness says nothing while a crowd is held.
            "--admin-request-timeout=1h".to_owned(),
            format!("--config={}", self.config.display()),
        ];
        let arguments: Vec<_> = own.iter().chain(more).map(OsString::from).collect();
        Leashed::spawn(&self.binary, &arguments, Pages::AsItShips)
    }

    /// Returns the arguments of a crowd that joins `connections` and then stays idle.
    pub(crate) fn load_arguments(
        &self,
        server: SocketAddrV4,
        carrier: Carrier,
        connections: usize,
    ) -> Vec<OsString> {
        [
            "load".to_owned(),
            format!("--kernel={}", carrier.name()),
            format!("ws://{server}/socket"),
            format!("--events={}", self.events.display()),
            format!("--connections={connections}"),
            format!("--join={}", Workload::Fanout.topic()),
            "--rate=10000".to_owned(),
            // Longer than any measurement; the bench ends it.
            "--hold=1h".to_owned(),
        ]
        .map(OsString::from)
        .into()
    }
}

/// Returns the binary at `given`, or builds it from this workspace with the bench's own profile.
pub(crate) fn binary(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    given.map_or_else(build, |path| Ok(path.to_owned()))
}

/// Builds the product and returns where its binary is.
fn build() -> anyhow::Result<PathBuf> {
    let selection = ["--package", "fourtuple", "--bin", "fourtuple"];
    let binaries = cargo::build(Path::new(env!("CARGO_MANIFEST_DIR")), &selection)
        .context("the product is not built; --product names a built binary")?;
    let binary = binaries.into_iter().next();
    binary.context("cargo built the product and did not say where it is")
}

/// One topic that broadcasts and one that replies. Everything else is as the product ships, but that
/// the bench's crowd sends no heartbeats and may be idle for long.
const CONFIG: &str = r#"
idle_timeout = "1h"

[[channel]]
topic = "room:*"
push = "broadcast"

[[channel]]
topic = "echo:*"
push = "reply"
"#;
