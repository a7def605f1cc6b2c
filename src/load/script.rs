//! `fourtuple load SCRIPT.yml`: runs an Artillery script and reports in Artillery's shape.
//!
//! Exit status: 0 when every check of the script held, 1 when one did not or the run was ended early,
//! 2 when the script cannot be run, 3 when this machine could not generate the load.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgMatches, parser::ValueSource};
use load::{
    Agents, Bundle, Interrupt, LoadError, Progress, Script, ScriptFlags, ScriptOptions, Search,
    Target, TargetError, read_dotenv, run_after, run_before, run_script, run_script_on_agents,
    search_script,
};

use super::{
    flags::{self, set},
    onlookers::Onlookers,
    output::{self, Outputs},
    search,
};

/// What the crowd is given: a server, or a script that names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    Url(Target),
    Script(PathBuf),
}

impl FromStr for Aim {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let path = Path::new(text);
        let is_script = path
            .extension()
            .is_some_and(|end| ["yml", "yaml", "json"].iter().any(|known| end == *known));
        if !text.contains("://") && (is_script || path.is_file()) {
            return Ok(Self::Script(path.to_owned()));
        }
        text.parse().map(Self::Url)
    }
}

/// Flags that only a script knows.
const SCRIPT_FLAGS: [&str; 7] = [
    "target",
    "environment",
    "variables",
    "overrides",
    "scenario-name",
    "payload",
    "dotenv",
];

/// Flags that a crowd and a script share.
const SHARED_FLAGS: [&str; 25] = [
    "url",
    "output",
    "html",
    "junit",
    "watch",
    "sources",
    "proxy",
    "shards",
    "kernel",
    "connect-timeout",
    "quiet",
    "agents",
    "agent-secret-file",
    "agents-ca",
    "on-agent-loss",
    "agents-wait",
    "agent-ssh-option",
    "plain",
    "metrics",
    "insecure",
    "ca",
    "cert",
    "key",
    "server-name",
    "no-resumption",
];

pub(super) fn args() -> [Arg; 7] {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .help(help)
            .help_heading("Scripts")
    };
    [
        flag("target", "URL", "Instead of the script's config.target").short('t'),
        flag(
            "environment",
            "NAME",
            "Lay config.environments.NAME on top of config",
        )
        .short('e'),
        flag("variables", "JSON", "Lay these on top of config.variables").short('v'),
        flag("overrides", "JSON", "Lay this on top of the whole script"),
        flag("scenario-name", "NAME", "Run this scenario alone"),
        flag(
            "payload",
            "FILE",
            "Take the rows of this CSV file for config.payload",
        )
        .short('p'),
        flag(
            "dotenv",
            "FILE",
            "Take variables of the environment from this file where it has none of the name",
        ),
    ]
}

/// Refuses flags that mean nothing for what is run.
pub(super) fn check_flags(matches: &ArgMatches, is_script: bool) -> anyhow::Result<()> {
    for id in matches.ids() {
        let name = id.as_str();
        if matches.value_source(name) != Some(ValueSource::CommandLine) {
            continue;
        }
        if !is_script && SCRIPT_FLAGS.contains(&name) {
            bail!("--{name} is for scripts (`fourtuple load SCRIPT.yml`), and this is a URL");
        }
        let is_of_search = search::FLAGS.contains(&name) && name != "step-hold";
        let is_known = SCRIPT_FLAGS.contains(&name) || SHARED_FLAGS.contains(&name) || is_of_search;
        if is_script && !is_known {
            bail!("--{name} is for a URL: what a script does, the script says");
        }
    }
    Ok(())
}

/// Runs a script.
///
/// # Errors
///
/// It could not start because of how it was asked; the caller prints why and exits with status 2.
pub(super) fn run(
    path: &Path,
    matches: &ArgMatches,
    agents: Option<&Agents>,
    search: Option<&Search>,
) -> anyhow::Result<ExitCode> {
    let mut flags = script_flags(matches)?;
    let (mut script, mut bundle) = read(path, &flags, agents)?;
    for warning in script.warnings() {
        eprintln!("fourtuple: {}: {warning}", path.display());
    }
    let outputs = Outputs::open(matches)?;
    let options = options(matches, &script)?;
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let title = path.display().to_string();
    let plain = || -> Box<dyn Progress> { Box::new(Lines) };
    let (mut onlookers, mut progress) = Onlookers::gather(matches, title, &interrupt, plain)?;
    if script.has_before() {
        flags.captured = match run_before(&script, &options, &mut progress, &interrupt) {
            Ok(captured) => captured,
            Err(error) if output::is_ours(&error) => {
                // What is said belongs below the screen.
                onlookers.leave();
                return Ok(output::not_generated(&error));
            }
            Err(error) => return Err(error.into()),
        };
        // With what it captured the script is another one.
        (script, bundle) = read(path, &flags, agents)?;
    }
    if let Some(search) = search {
        let agents = bundle.as_ref().zip(agents);
        let came = search_script(&script, &options, search, agents, &mut progress, &interrupt);
        let ended = run_after(&script, &options, &mut progress, &interrupt);
        onlookers.leave();
        let is_done = is_fine(&ended);
        return match came {
            Ok(report) => {
                let record = report.record();
                let is_told = outputs.write(&report, &record, || record.to_json()) && is_done;
                Ok(search::status(&report.found, report.interrupted, is_told))
            }
            Err(error) => search::failed(error),
        };
    }
    let after = script.clone();
    let came = match agents.zip(bundle) {
        Some((agents, bundle)) => {
            run_script_on_agents(&script, bundle, &options, agents, &mut progress, &interrupt)
        }
        None => run_script(script, &options, &mut progress, &interrupt),
    };
    // Who ends a run early wants it to end.
    let ended = (came.is_ok() && !interrupt.is_raised())
        .then(|| run_after(&after, &options, &mut progress, &interrupt));
    onlookers.leave();
    let report = match came {
        Ok(report) => report,
        Err(error) if output::is_ours(&error) => return Ok(output::not_generated(&error)),
        Err(error) => return Err(error.into()),
    };
    let is_done = ended.is_none_or(|ended| is_fine(&ended));
    let record = report.record();
    let is_told = outputs.write(&report, &record, || report.to_json());
    // A limit says that the load was another one, whatever its checks say.
    let is_met = report.is_met() && report.limits.is_empty() && is_done;
    Ok(output::status(is_met, is_told, &report.limits))
}

/// Whether what came after all others went well; says why not.
fn is_fine(ended: &Result<(), LoadError>) -> bool {
    if let Err(error) = ended {
        eprintln!("fourtuple: {error}");
    }
    ended.is_ok()
}

/// How a script is run, as the flags say it.
fn options(matches: &ArgMatches, script: &Script) -> anyhow::Result<ScriptOptions> {
    let mut options = ScriptOptions::default();
    options.sources = matches.get_one("sources").cloned();
    options.proxy = flags::proxy(matches)?;
    options.shards = matches.get_one("shards").copied();
    options.kernel = flags::kernel(matches);
    options.tls = super::tls::read(matches)?;
    super::tls::check_flags(matches, script.targets())?;
    set(&mut options.connect_timeout, matches, "connect-timeout");
    options.watch = output::watched(matches)?;
    Ok(options)
}

/// What a script tells, on standard output.
struct Lines;

impl Progress for Lines {
    fn update(&mut self, _: &load::Moment<'_>) {}

    fn tell(&mut self, text: &str) {
        // A reader that is gone must not cost the run its report.
        let _ = writeln!(io::stdout(), "{text}");
    }
}

/// Reads a script; packs it where other machines are to read it, too.
fn read(
    path: &Path,
    flags: &ScriptFlags,
    agents: Option<&Agents>,
) -> anyhow::Result<(Script, Option<Bundle>)> {
    Ok(match agents {
        Some(_) => {
            let (script, bundle) = Bundle::pack(path, flags)?;
            (script, Some(bundle))
        }
        None => (Script::read(path, flags)?, None),
    })
}

fn script_flags(matches: &ArgMatches) -> anyhow::Result<ScriptFlags> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let mut flags = ScriptFlags::default();
    flags.environment = text("environment");
    flags.target = text("target");
    flags.variables = text("variables");
    flags.overrides = text("overrides");
    flags.scenario = text("scenario-name");
    if let Some(file) = text("payload") {
        // It is named from here, and not from the script's folder.
        let path = std::path::absolute(&file).context("there is no folder here")?;
        flags.payload = Some(path.to_string_lossy().into_owned());
    }
    if let Some(file) = text("dotenv") {
        let lines = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let read = read_dotenv(&lines).map_err(anyhow::Error::msg);
        flags.dotenv = read.with_context(|| file.clone())?;
    }
    Ok(flags)
}
