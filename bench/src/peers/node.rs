//! The peer on Node: one file, and one package from npm as its lock file says.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::leash::{Leashed, Pages};

use super::tools::{NODE, NPM, find};
use super::{sources, workshop};

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
        let npm = find(NPM).context("npm is missing")?;
        let folder = workshop("node");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for name in FILES {
            fs::copy(sources("node").join(name), folder.join(name))
                .with_context(|| format!("cannot copy {name} to {}", folder.display()))?;
        }
        let output = Command::new(npm)
            .args(["ci", "--ignore-scripts"])
            .current_dir(&folder)
            .output()
            .context("cannot run npm")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("npm ci in {} has failed: {said}", folder.display());
        }
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
