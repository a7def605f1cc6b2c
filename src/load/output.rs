//! What a run of either kind leaves behind: the report on standard output, and the files that flags name.

use std::{
    fmt::Display,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use load::{AgentsError, FailureCount, LoadError, OptionsError, Record, Watched};

use super::flags::file;

/// A form of the report that is written to a file, by the flag that names the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `--json`: the report of a run against a URL.
    Json,
    /// `--output`: the report of either kind of run, in Artillery's shape and ours.
    Output,
    /// `--html`: the same as a page.
    Html,
    /// `--junit`: the same for continuous integration.
    Junit,
}

impl Form {
    const ALL: [Self; 4] = [Self::Json, Self::Output, Self::Html, Self::Junit];

    const fn flag(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Output => "output",
            Self::Html => "html",
            Self::Junit => "junit",
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
    pub(super) fn write(
        self,
        report: &dyn Display,
        record: &Record,
        json: impl Fn() -> String,
    ) -> bool {
        let printed = writeln!(io::stdout(), "{report}").context("cannot print the report");
        let written = self.0.into_iter().map(|(form, path, mut file)| {
            // Fails for what is no file, such as a pipe, and that has nothing to be emptied of.
            let _ = file.set_len(0);
            let text = |form| match form {
                Form::Json => json(),
                Form::Output => record.to_json(),
                Form::Html => record.to_html(),
                Form::Junit => record.to_junit(),
            };
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

/// This machine could not generate the load.
const NOT_GENERATED: u8 = 3;

/// The page of metrics that is to be watched, if one is and it can be read.
///
/// # Errors
///
/// It cannot be read, or tells of no limit.
pub(super) fn watched(matches: &ArgMatches) -> anyhow::Result<Option<Watched>> {
    let page: Option<&Watched> = matches.get_one("watch");
    if let Some(page) = page {
        page.check()?;
    }
    Ok(page.cloned())
}

/// Says that this machine could not generate the load, and why not.
pub(super) fn not_generated(why: &dyn Display) -> ExitCode {
    eprintln!("fourtuple: this machine could not generate the load: {why}");
    ExitCode::from(NOT_GENERATED)
}

/// The status of a run whose report was told, or not: see the subcommand's help.
pub(super) fn status(is_met: bool, is_told: bool, limits: &[FailureCount]) -> ExitCode {
    match limits.first() {
        Some(limit) if !is_met => not_generated(&limit.text),
        _ if is_met && is_told => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Whether an error means that this machine could not generate the load, rather than that it was asked for
/// something that cannot be.
pub(super) fn is_ours(error: &LoadError) -> bool {
    matches!(
        error,
        LoadError::Shard(_) | LoadError::Start(_) | LoadError::Options(OptionsError::Shortage(_))
    ) || matches!(error, LoadError::Agents(error) if matches!(**error, AgentsError::Shortage { .. }))
}

fn open(path: &Path) -> anyhow::Result<fs::File> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn args() -> [Arg; 7] {
    [
        file("json", "Write the report as JSON, too"),
        file(
            "output",
            "Write everything that the run leaves behind as JSON: in Artillery's shape, and ours with \
             the timeline, the plan and the machine",
        )
        .short('o'),
        file("html", "Write the same as one page of HTML, with charts over time"),
        file("junit", "Write checks and failures as JUnit's XML, for continuous integration"),
        Arg::new("watch")
            .long("watch")
            .value_name("URL")
            .value_parser(value_parser!(Watched))
            .help(
                "Metrics that tell of the target's limits, such as http://127.0.0.1:4001/metrics of a \
                 fourtuple or those of a node_exporter; FOURTUPLE_WATCH_KEY is the key, if one is needed",
            ),
        file("events", "Write a line of JSON at every change of stage and for every broadcast"),
        Arg::new("quiet")
            .long("quiet")
            .short('q')
            .action(ArgAction::SetTrue)
            .help("Show no progress"),
    ]
}
