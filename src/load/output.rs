//! What a run of either kind leaves behind: the report on standard output, and the files that flags name.

use std::{
    fmt::Display,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, value_parser};

/// A form of the report that is written to a file, by the flag that names the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `--json`: the report of a run against a URL.
    Json,
    /// `--output`: the report in Artillery's shape.
    Output,
}

impl Form {
    const ALL: [Self; 2] = [Self::Json, Self::Output];

    const fn flag(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Output => "output",
        }
    }
}

/// The files of a run that is yet to come.
#[derive(Debug)]
pub(super) struct Outputs(Vec<(Form, PathBuf, fs::File)>);

impl Outputs {
    /// Opens every file that a flag names, so that a report has somewhere to go when the run is over. None
    /// is emptied before there is something to put into it: what is asked may still be refused.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub(super) fn open(matches: &ArgMatches) -> anyhow::Result<Self> {
        let named = Form::ALL.iter().filter_map(|&form| {
            let path = matches.get_one::<PathBuf>(form.flag())?;
            Some(open(path).map(|file| (form, path.clone(), file)))
        });
        named.collect::<anyhow::Result<_>>().map(Self)
    }

    /// Prints the report and writes each file; `false` when something could not be written, which is told.
    ///
    /// The run is over and cannot be had again: one reader that is gone must not cost another its report.
    pub(super) fn write(self, report: &dyn Display, text: impl Fn(Form) -> String) -> bool {
        let printed = writeln!(io::stdout(), "{report}").context("cannot print the report");
        let written = self.0.into_iter().map(|(form, path, mut file)| {
            // Fails for what is no file, such as a pipe, and that has nothing to be emptied of.
            let _ = file.set_len(0);
            let done = writeln!(file, "{}", text(form));
            done.with_context(|| format!("cannot write {}", path.display()))
        });
        let failed: Vec<_> = std::iter::once(printed)
            .chain(written)
            .filter_map(Result::err)
            .collect();
        for error in &failed {
            eprintln!("fourtuple: {error:#}");
        }
        failed.is_empty()
    }
}

fn open(path: &Path) -> anyhow::Result<fs::File> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn args() -> [Arg; 3] {
    [
        Arg::new("json")
            .long("json")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Write the report as JSON, too"),
        Arg::new("events")
            .long("events")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Write a line of JSON at every change of stage and for every broadcast"),
        Arg::new("quiet")
            .long("quiet")
            .short('q')
            .action(ArgAction::SetTrue)
            .help("Show no progress"),
    ]
}
