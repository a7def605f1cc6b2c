//! `fourtuple doctor --fix`: raises what can be raised while the machine runs, and remembers what was.
//!
//! A limit is never lowered. The values of before go into a file that `sysctl -p FILE` puts back.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use capacity::{Change, Diagnosis, Finding, Setting, Survey, Verdict};

/// Where the values of before go, unless it is said where.
const UNDO: &str = "fourtuple-undo.conf";

/// Changes the machine as `diagnosis` says, after it was asked or at once with `yes`.
///
/// # Errors
///
/// There is nobody to ask, the undo file cannot be written, or the kernel refuses a value.
pub(super) fn run(
    diagnosis: &Diagnosis,
    yes: bool,
    undo: Option<&PathBuf>,
) -> anyhow::Result<ExitCode> {
    let stops = |finding: &&Finding| finding.verdict == Verdict::Stops && finding.change.is_none();
    let unmendable: Vec<_> = diagnosis.findings().iter().filter(stops).collect();
    if !unmendable.is_empty() {
        super::print("nothing was changed, for no change makes these connections fit:\n")?;
        for finding in unmendable {
            super::print(&format!("\n{finding}"))?;
        }
        return Ok(super::exit_code(Some(false)));
    }
    let (now, later): (Vec<_>, Vec<_>) = diagnosis.changes().into_iter().partition(is_at_run_time);
    super::print(&words(&now, &later))?;
    if !now.is_empty() {
        if !yes && !asked()? {
            super::print("nothing was changed\n")?;
            return Ok(super::exit_code(diagnosis.fits()));
        }
        let undo = undo.map_or_else(|| Path::new(UNDO), PathBuf::as_path);
        super::print(&apply(Path::new("/"), &now, undo)?.to_string())?;
    }
    let after = Diagnosis::of(&Survey::read(), &diagnosis.demand);
    let is_open = |it: &&Finding| matches!(it.verdict, Verdict::Stops | Verdict::Unknown);
    for finding in after.findings().iter().filter(is_open) {
        super::print(&format!("\n{finding}"))?;
    }
    Ok(super::exit_code(after.fits()))
}

/// What came of changes.
#[derive(Debug, Default)]
struct Applied {
    /// Sysctls that were set.
    set: Vec<&'static str>,
    /// Those that the kernel refused, and why.
    refused: Vec<(&'static str, io::Error)>,
    /// Where the values of before are.
    undo: PathBuf,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, error) in &self.refused {
            writeln!(f, "{key} was not changed: {error}")?;
        }
        if self.set.is_empty() {
            return writeln!(f, "nothing was changed");
        }
        writeln!(
            f,
            "{} changed until the next start of the machine; `sysctl -p {}` puts back what was",
            self.set.join(", "),
            self.undo.display()
        )
    }
}

/// Whether a change applies to what runs already.
fn is_at_run_time(change: &Change) -> bool {
    matches!(change.limit.setting(), Setting::Sysctl { .. })
}

fn words(now: &[Change], later: &[Change]) -> String {
    let mut text = String::new();
    for (title, changes) in [
        ("can be changed now:\n", now),
        ("need a restart of the program or of the machine:\n", later),
    ] {
        if changes.is_empty() {
            continue;
        }
        text += title;
        for change in changes {
            text += &format!(
                "  {:<40} {} -> {}\n",
                change.limit.name(),
                change.from,
                change.to
            );
            if !is_at_run_time(change) {
                text += &format!("  {:<40} {}\n", "", change.remedy());
            }
        }
    }
    if text.is_empty() {
        text += "nothing has to be changed\n";
    }
    text
}

fn asked() -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("nobody is there to ask: expected a terminal, or `--yes` to apply the changes");
    }
    super::print("apply what can be changed now? [y/N] ")?;
    io::stdout().flush().context("cannot ask")?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Writes the values of before, then the new ones; what is refused keeps no other from being changed.
fn apply(root: &Path, changes: &[Change], undo: &Path) -> anyhow::Result<Applied> {
    let mut before =
        String::from("# What was before `fourtuple doctor --fix`; `sysctl -p` puts it back.\n");
    let mut applied = Applied {
        undo: undo.to_owned(),
        ..Applied::default()
    };
    let mut writes = Vec::new();
    for change in changes {
        let Setting::Sysctl { key, .. } = change.limit.setting() else {
            continue;
        };
        let path = sysctl_path(root, key);
        // Read again: another program may have raised it meanwhile.
        let found = fs::read_to_string(&path).with_context(|| format!("cannot read {key}"))?;
        let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
        if found == change.to || is_lower(&change.to, &found, change) {
            continue;
        }
        // Asked before there is a file that says it was changed.
        if let Err(error) = OpenOptions::new().write(true).open(&path) {
            applied.refused.push((key, error));
            continue;
        }
        before += &format!("{key} = {found}\n");
        writes.push((key, path, change.to.as_str()));
    }
    if writes.is_empty() {
        return Ok(applied);
    }
    // A file of an earlier change holds older values, which are the ones to go back to.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(undo)
        .with_context(|| {
            format!(
                "cannot make {}: nothing was changed; expected a file that is not there yet, name \
                 another with --undo",
                undo.display()
            )
        })?;
    file.write_all(before.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}: nothing was changed", undo.display()))?;
    for (key, path, to) in writes {
        match fs::write(&path, to) {
            Ok(()) => applied.set.push(key),
            Err(error) => applied.refused.push((key, error)),
        }
    }
    Ok(applied)
}

/// Whether `to` is less than what is there, in any of its numbers. A switch has no less.
fn is_lower(to: &str, found: &str, change: &Change) -> bool {
    if change.limit.unit() == capacity::Unit::Choice {
        return false;
    }
    // The first port of a range is better the lower it is.
    let is_range = change.limit == capacity::Limit::PortRange;
    let numbers = |text: &str| {
        text.split_whitespace()
            .map(str::parse::<u64>)
            .collect::<Vec<_>>()
    };
    numbers(to)
        .into_iter()
        .zip(numbers(found))
        .enumerate()
        .any(|(place, pair)| match pair {
            (Ok(to), Ok(found)) if is_range && place == 0 => to > found,
            (Ok(to), Ok(found)) => to < found,
            _ => true,
        })
}

fn sysctl_path(root: &Path, key: &str) -> PathBuf {
    root.join("proc/sys").join(key.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use capacity::Limit;

    use super::*;

    /// A machine of some sysctls in a folder of its own.
    struct Machine(PathBuf);

    impl Machine {
        fn with(name: &str, values: &[(&str, &str)]) -> Self {
            let root =
                std::env::temp_dir().join(format!("fourtuple-fix-{name}-{}", std::process::id()));
            for (key, value) in values {
                let path = sysctl_path(&root, key);
                fs::create_dir_all(path.parent().expect("below a folder")).expect("a folder");
                fs::write(path, value).expect("a file");
            }
            Self(root)
        }

        fn value(&self, key: &str) -> String {
            fs::read_to_string(sysctl_path(&self.0, key)).expect("a file")
        }

        fn undo(&self) -> PathBuf {
            self.0.join("undo.conf")
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn change(limit: Limit, from: &str, to: &str) -> Change {
        Change {
            limit,
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    #[test]
    fn raises_and_remembers() {
        let machine = Machine::with(
            "raises",
            &[
                ("net.core.somaxconn", "128\n"),
                ("net.ipv4.tcp_mem", "1\t2\t3\n"),
            ],
        );
        let changes = [
            change(Limit::AcceptQueue, "128", "5000"),
            change(Limit::TcpMemory, "1 2 3", "1 2 900"),
        ];
        apply(&machine.0, &changes, &machine.undo()).expect("applies");
        assert_eq!(machine.value("net.core.somaxconn"), "5000");
        assert_eq!(machine.value("net.ipv4.tcp_mem"), "1 2 900");
        let undo = fs::read_to_string(machine.undo()).expect("an undo file");
        assert!(
            undo.ends_with("net.core.somaxconn = 128\nnet.ipv4.tcp_mem = 1 2 3\n"),
            "{undo}"
        );
    }

    #[test]
    fn what_is_refused_keeps_no_other_from_being_changed() {
        let machine = Machine::with("refused", &[("net.core.somaxconn", "128\n")]);
        // A folder is not written, whoever asks.
        fs::create_dir_all(sysctl_path(&machine.0, "fs.nr_open")).expect("a folder");
        fs::write(sysctl_path(&machine.0, "fs.nr_open").join("x"), "").expect("a file");
        let changes = [change(Limit::AcceptQueue, "128", "5000")];
        let applied = apply(&machine.0, &changes, &machine.undo()).expect("applies");
        assert_eq!(applied.set, ["net.core.somaxconn"]);
        assert!(
            applied.to_string().contains("puts back what was"),
            "{applied}"
        );
    }

    #[test]
    fn never_lowers() {
        let machine = Machine::with("lowers", &[("net.core.somaxconn", "9000\n")]);
        let changes = [change(Limit::AcceptQueue, "128", "5000")];
        let applied = apply(&machine.0, &changes, &machine.undo()).expect("nothing to do");
        assert_eq!(applied.to_string(), "nothing was changed\n");
        assert!(!machine.undo().exists());
        assert_eq!(machine.value("net.core.somaxconn"), "9000\n");
    }

    #[test]
    fn a_wider_range_is_not_lower() {
        let range = |to, found| is_lower(to, found, &change(Limit::PortRange, "", ""));
        assert!(!range("1024 65535", "32768 60999"));
        assert!(range("1024 60000", "32768 60999"));
        assert!(range("1024 65535", "1000 65535"));
    }

    #[test]
    fn an_older_undo_file_is_kept_and_nothing_changed() {
        let machine = Machine::with("keeps", &[("net.core.somaxconn", "128\n")]);
        fs::write(machine.undo(), "older").expect("a file");
        let changes = [change(Limit::AcceptQueue, "128", "5000")];
        let error = apply(&machine.0, &changes, &machine.undo()).expect_err("refuses");
        assert!(
            error.to_string().contains("name another with --undo"),
            "{error}"
        );
        assert_eq!(machine.value("net.core.somaxconn"), "128\n");
        assert_eq!(fs::read_to_string(machine.undo()).expect("a file"), "older");
    }
}
