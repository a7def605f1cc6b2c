//! What of the machine the programs of others need, and how it is installed where it is missing.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use rustix::process::geteuid;

use crate::kind::Kind;

/// Something that a package of Debian brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    /// A program in the usual places, or a whole path.
    name: &'static str,
    package: &'static str,
}

/// A tool, and before it the name of who needs it.
pub(crate) type Need = (&'static str, Tool);

pub(crate) const NODE: Tool = Tool {
    name: "node",
    package: "nodejs",
};
pub(crate) const NPM: Tool = Tool {
    name: "npm",
    package: "npm",
};

/// Erlang's generator, and the server that tells its nodes of each other.
pub(crate) const TSUNG: Tool = Tool {
    name: "tsung",
    package: "tsung",
};
pub(crate) const EPMD: Tool = Tool {
    name: "epmd",
    package: "erlang-base",
};

pub(crate) const NGINX: Tool = Tool {
    name: "nginx",
    package: "nginx",
};
/// A module of nginx; a path that begins at the root is looked for there alone.
pub(crate) const NCHAN: Tool = Tool {
    name: "/usr/lib/nginx/modules/ngx_nchan_module.so",
    package: "libnginx-mod-nchan",
};

/// Returns where `tool` is, or `None` when it is not installed.
pub(crate) fn find(tool: Tool) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Where Debian has servers is not in the path of every user.
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut files = folders.map(|folder| folder.join(tool.name));
    files.find(|file| file.is_file())
}

/// Makes sure that everything in `needs` is there, each with who needs it.
///
/// # Errors
///
/// When it is not, and `install` does not allow to install it or that fails.
pub(crate) fn require(needs: impl IntoIterator<Item = Need>, install: bool) -> anyhow::Result<()> {
    let missing: Vec<_> = needs
        .into_iter()
        .filter(|(_, tool)| find(*tool).is_none())
        .collect();
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

/// What a peer needs.
pub(crate) fn needs(kind: Kind) -> &'static [Tool] {
    match kind {
        Kind::Nginx => &[NGINX, NCHAN],
        Kind::Node => &[NODE, NPM],
        _ => &[],
    }
}

/// Returns the command that installs what is missing.
fn installation(missing: &[Need]) -> Vec<&'static str> {
    let mut command = vec!["apt-get", "install", "-y", "--no-install-recommends"];
    if !geteuid().is_root() {
        command.insert(0, "sudo");
    }
    command.extend(missing.iter().map(|(_, tool)| tool.package));
    command
}

fn advice(missing: &[Need], command: &[&str]) -> String {
    let needs: Vec<String> = missing
        .iter()
        .map(|(who, tool)| format!("{who} needs {}", tool.name))
        .collect();
    format!(
        "{}, which this machine lacks; run `{}`, or have the bench do so with --install, or leave \
         it out of the list of what is measured",
        needs.join(", "),
        command.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let missing = [("node-ws", NPM)];
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
