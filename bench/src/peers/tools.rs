//! What of the machine the peers need, and how it is installed where it is missing.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use rustix::process::geteuid;

use crate::kind::Kind;

/// Something that a package of Debian brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tool {
    /// A program in the usual places, or a whole path.
    name: &'static str,
    package: &'static str,
}

pub(super) const NODE: Tool = Tool {
    name: "node",
    package: "nodejs",
};
pub(super) const NPM: Tool = Tool {
    name: "npm",
    package: "npm",
};

pub(super) const NGINX: Tool = Tool {
    name: "nginx",
    package: "nginx",
};
/// A module of nginx; a path that begins at the root is looked for there alone.
pub(super) const NCHAN: Tool = Tool {
    name: "/usr/lib/nginx/modules/ngx_nchan_module.so",
    package: "libnginx-mod-nchan",
};

/// Returns where `tool` is, or `None` when it is not installed.
pub(super) fn find(tool: Tool) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Where Debian has servers is not in the path of every user.
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut files = folders.map(|folder| folder.join(tool.name));
    files.find(|file| file.is_file())
}

/// Makes sure that everything that `kinds` need is there.
///
/// # Errors
///
/// When it is not, and `install` does not allow to install it or that fails.
pub(super) fn require(kinds: &[Kind], install: bool) -> anyhow::Result<()> {
    let missing = missing(kinds, |tool| find(tool).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    let command = installation(&missing);
    if !install {
        bail!("{}", advice(&missing, &command));
    }
    eprintln!("{}", command.join(" "));
    let (program, arguments) = command.split_first().context("an empty command")?;
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{} has failed", command.join(" "));
    }
    Ok(())
}

fn missing(kinds: &[Kind], is_there: impl Fn(Tool) -> bool) -> Vec<(Kind, Tool)> {
    let needs = kinds
        .iter()
        .flat_map(|kind| needs(*kind).iter().map(|tool| (*kind, *tool)));
    needs.filter(|(_, tool)| !is_there(*tool)).collect()
}

fn needs(kind: Kind) -> &'static [Tool] {
    match kind {
        Kind::Nginx => &[NGINX, NCHAN],
        Kind::Node => &[NODE, NPM],
        _ => &[],
    }
}

/// Returns the command that installs what is missing.
fn installation(missing: &[(Kind, Tool)]) -> Vec<&'static str> {
    let mut command = vec!["apt-get", "install", "-y", "--no-install-recommends"];
    if !geteuid().is_root() {
        command.insert(0, "sudo");
    }
    command.extend(missing.iter().map(|(_, tool)| tool.package));
    command
}

fn advice(missing: &[(Kind, Tool)], command: &[&str]) -> String {
    let needs: Vec<String> = missing
        .iter()
        .map(|(kind, tool)| format!("{} needs {}", kind.name(), tool.name))
        .collect();
    format!(
        "{}, which this machine lacks; run `{}`, or have the bench do so with --install, or leave \
         the server out with --servers",
        needs.join(", "),
        command.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let missing = missing(&[Kind::Floor, Kind::Node], |tool| tool == NODE);
        assert_eq!(missing, [(Kind::Node, NPM)]);
        let words = advice(&missing, &installation(&missing));
        assert!(words.starts_with("node-ws needs npm"), "{words}");
        assert!(
            words.contains("apt-get install -y --no-install-recommends npm`"),
            "{words}"
        );
    }

    #[test]
    fn a_program_is_found_in_the_path() {
        let tool = |name| Tool { name, package: "" };
        assert!(find(tool("sh")).is_some());
        assert_eq!(find(tool("no-such-program")), None);
    }
}
