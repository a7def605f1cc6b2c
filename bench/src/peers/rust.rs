//! The peers in Rust: a workspace of their own, so that what they depend on is not the product's.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use crate::cargo;
use crate::leash::{Leashed, Pages};

use super::{sources, workshop};

/// The built binaries.
#[derive(Debug)]
pub(super) struct Rust {
    binaries: Vec<PathBuf>,
}

impl Rust {
    pub(super) fn prepare() -> anyhow::Result<Self> {
        let target = workshop("rust");
        let target = target.to_str().context("the path of target/ is no UTF-8")?;
        let selection = ["--bins", "--locked", "--target-dir", target];
        let binaries = cargo::build(&sources("rust"), &selection)?;
        Ok(Self { binaries })
    }

    pub(super) fn start(&self, name: &str, texts: &Value, pages: Pages) -> anyhow::Result<Leashed> {
        let binary = self
            .binaries
            .iter()
            .find(|path| path.file_name().is_some_and(|file| file == name));
        let binary = binary.with_context(|| format!("cargo has built no {name}"))?;
        Leashed::spawn(binary, &[texts.to_string().into()], pages)
    }
}
