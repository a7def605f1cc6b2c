//! Binaries that the bench has cargo build, with the bench's own profile.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Builds the binaries that `selection` names, in the workspace in `folder`, and returns where they
/// are.
///
/// # Errors
///
/// When cargo cannot be run or does not build them; it has said why.
pub(crate) fn build(folder: &Path, selection: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .arg("build")
        .args(selection)
        .arg("--message-format=json")
        .current_dir(folder)
        .stderr(Stdio::inherit());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo build {} has failed", selection.join(" "));
    }
    let report = String::from_utf8_lossy(&output.stdout);
    Ok(report.lines().filter_map(executable).collect())
}

/// Returns the path in a line of cargo's report that is about a finished binary.
fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    message.get("executable")?.as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_in_cargos_report() {
        let library = r#"{"reason":"compiler-artifact","target":{"name":"hub"},"executable":null}"#;
        let binary = r#"{"reason":"compiler-artifact","executable":"/somewhere/fourtuple"}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable("warning: not JSON"), None);
        assert_eq!(
            executable(binary),
            Some(PathBuf::from("/somewhere/fourtuple"))
        );
    }
}
