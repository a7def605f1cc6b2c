//! The peer on Node: one file, and one package from npm as its lock file says.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use crate::leash::{Leashed, Pages};

use super::tools::{NODE, find};
use super::{npm, sources};

/// A folder with the server and its package.
#[derive(Debug)]
pub(super) struct Node {
    program: PathBuf,
    server: PathBuf,
}

impl Node {
    /// Copies the server into `target/`, as npm installs packages beside it.
    pub(super) fn prepare() -> anyhow::Result<Self> {
        let program = find(NODE).context("node is missing")?;
        let folder = npm::install(&sources("node"), &FILES, "node")?;
        Ok(Self {
            program,
            server: folder.join("server.mjs"),
        })
    }

    pub(super) fn start(&self, texts: &Value, pages: Pages) -> anyhow::Result<Leashed> {
        let arguments = [self.server.clone().into(), texts.to_string().into()];
        Leashed::spawn(&self.program, &arguments, pages)
    }
}

const FILES: [&str; 4] = [".npmrc", "package.json", "package-lock.json", "server.mjs"];
