//! The limits of the machine under `/proc/sys`: read, raised for a run, and put back.
//!
//! Who puts them back is a process of its own, the keeper, that waits for the end of its stdin. So they
//! are put back on every path, also when the bench is killed and can do nothing any more. What asks the
//! bench to end often asks the keeper, too, which then stays until the bench has ended; should it be
//! killed, the bench does its work.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

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
    root: PathBuf,
    /// What they were.
    before: Vec<Sysctl>,
}

impl Sysctl {
    /// Returns the command that sets it.
    pub(super) fn command(&self) -> String {
        format!("sysctl -w {}=\"{}\"", self.name, self.value)
    }

    /// Reads it from a word like `fs.file-max=2466170`.
    fn parse(word: &str) -> anyhow::Result<Self> {
        let (name, value) = word.split_once('=').context("expected name=value")?;
        let (name, value) = (name.to_owned(), value.to_owned());
        Ok(Self { name, value })
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
            before.push(Sysctl {
                name: name.clone(),
                value: value.join(" "),
            });
        }
        let keeper = Command::new(bench_binary()?)
            .arg("sysctl-keeper")
            .arg(root)
            .args(before.iter().map(|it| format!("{}={}", it.name, it.value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot start the keeper of the limits")?;
        let mut raised = Self {
            keeper,
            root: root.to_owned(),
            before,
        };
        raised.wait_for_keeper()?;
        for sysctl in wanted {
            sysctl.write(root)?;
        }
        Ok(raised)
    }

    /// Waits until the keeper can no longer be ended by what ends the bench.
    fn wait_for_keeper(&mut self) -> anyhow::Result<()> {
        let stdout = self.keeper.stdout.take();
        let stdout = stdout.context("the keeper of the limits cannot be heard")?;
        let mut said = String::new();
        BufReader::new(stdout)
            .read_line(&mut said)
            .context("cannot hear the keeper of the limits")?;
        if said.trim_end() != KEEPING {
            bail!("the keeper of the limits has ended at its start");
        }
        Ok(())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // The end of its stdin is what the keeper waits for.
        drop(self.keeper.stdin.take());
        if self.keeper.wait().is_ok_and(|status| status.success()) {
            return;
        }
        if let Err(error) = put_back(&self.root, &self.before) {
            eprintln!("{error:#}");
        }
    }
}

/// Waits for the end of stdin, then writes `before`, each as `name=value`.
pub(super) fn keep(root: &Path, before: &[String]) -> anyhow::Result<()> {
    let before: Vec<_> = before
        .iter()
        .map(|word| Sysctl::parse(word))
        .collect::<anyhow::Result<_>>()?;
    // Nobody reads the flag: that there is one is what keeps this process alive.
    let flag = Arc::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .context("cannot outlive a signal")?;
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "{KEEPING}")?;
    stdout.flush()?;
    let mut nothing = Vec::new();
    io::stdin()
        .read_to_end(&mut nothing)
        .context("cannot wait for the bench")?;
    put_back(root, &before)
}

/// Writes all of `before`; one that fails does not keep the others from being restored.
fn put_back(root: &Path, before: &[Sysctl]) -> anyhow::Result<()> {
    let results = before.iter().map(|it| it.write(root));
    let failures: Vec<String> = results
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

fn path(root: &Path, name: &str) -> PathBuf {
    root.join(name.replace('.', "/"))
}

/// What the keeper says when it keeps.
const KEEPING: &str = "keeping";
