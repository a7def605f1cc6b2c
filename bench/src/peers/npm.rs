//! Packages from npm, as their lock file says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::tools::{NPM, find};
use super::workshop;

/// Copies `files` of `sources` to a folder `name` in `target/`, as npm installs packages beside them, installs, and
/// returns that folder. No package may run a script of its own.
pub(crate) fn install(sources: &Path, files: &[&str], name: &str) -> anyhow::Result<PathBuf> {
    let npm = find(NPM).context("npm is missing")?;
    let folder = workshop(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for name in files {
        fs::copy(sources.join(name), folder.join(name))
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
    Ok(folder)
}
