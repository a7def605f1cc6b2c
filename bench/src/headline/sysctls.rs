//! The limits of the machine under `/proc/sys`: read, raised for a run, and put back.
//!
//! Who puts them back is a process of its own, the keeper, that waits for the end of its stdin. So they
//! are put back on every path, also when the bench is killed and can do nothing any more.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::leash::bench_binary;

/// A limit and a value for it, such as `fs.file-max = 4100000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sysctl {
    pub(super) name: String,
    /// Numbers with a space between them.
    pub(super) value: String,
}

/// Raised limits, until this is dropped.
#[derive(Debug)]
pub(super) struct Raised {
    keeper: Child,
}

impl Sysctl {
    /// Returns the command that sets it.
    pub(super) fn command(&self) -> String {
        format!("sysctl -w {}=\"{}\"", self.name, self.value)
    }

    /// Reads the numbers of the limit `name` below `root`; `None` where the kernel does not have it.
    pub(super) fn read(root: &Path, name: &str) -> anyhow::Result<Option<Vec<u64>>> {
        let path = path(root, name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let numbers = text.split_whitespace().map(str::parse).collect();
        let numbers =
            Result::ok(numbers).with_context(|| format!("{} is not numbers", path.display()))?;
        Ok(Some(numbers))
    }

    fn write(&self, root: &Path) -> anyhow::Result<()> {
        let path = path(root, &self.name);
        fs::write(&path, &self.value).with_context(|| {
            format!(
                "cannot write {} to {}; as root, {}",
                self.value,
                path.display(),
                self.command()
            )
        })
    }
}

impl Raised {
    /// Sets `wanted`, each of which must exist, until this is dropped or the bench has ended.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read or written; none stays changed then.
    pub(super) fn raise(root: &Path, wanted: &[Sysctl]) -> anyhow::Result<Self> {
        let mut before = Vec::new();
        for Sysctl { name, .. } in wanted {
            let Some(numbers) = Sysctl::read(root, name)? else {
                bail!("this kernel has no {name}");
            };
            let value = numbers.iter().map(u64::to_string).collect::<Vec<_>>();
            before.push(format!("{name}={}", value.join(" ")));
        }
        let mut arguments = vec![OsString::from("sysctl-keeper"), root.into()];
        arguments.extend(before.into_iter().map(OsString::from));
        let keeper = Command::new(bench_binary()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the keeper of the limits")?;
        let raised = Self { keeper };
        for sysctl in wanted {
            sysctl.write(root)?;
        }
        Ok(raised)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // The end of its stdin is what the keeper waits for. It says itself what it cannot do.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Waits for the end of stdin, then writes `before`, each as `name=value`.
pub(super) fn keep(root: &Path, before: &[String]) -> anyhow::Result<()> {
    let mut nothing = Vec::new();
    io::stdin()
        .read_to_end(&mut nothing)
        .context("cannot wait for the bench")?;
    let mut result = Ok(());
    for word in before {
        let (name, value) = word.split_once('=').context("expected name=value")?;
        let (name, value) = (name.to_owned(), value.to_owned());
        // One that fails must not keep the others from being restored.
        let written = Sysctl { name, value }.write(root);
        result = result.and(written);
    }
    result
}

fn path(root: &Path, name: &str) -> PathBuf {
    root.join(name.replace('.', "/"))
}
