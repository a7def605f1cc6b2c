//! `--search`: the flags, and the exit status of a search.

use std::{ffi::OsString, process::ExitCode, time::Duration};

use anyhow::bail;
use clap::{Arg, ArgAction, ArgMatches, builder::TypedValueParser as _, value_parser};
use load::{Axis, Found, LoadError, Objective, Search, SearchError, Share, parse_duration};

use super::output;

/// Flags that only a search knows.
pub(super) const FLAGS: [&str; 7] = [
    "search",
    "from",
    "to",
    "until",
    "resolution",
    "step-hold",
    "step-settle",
];

pub(super) fn args() -> [Arg; 7] {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .help(help)
            .help_heading("Searching the most that holds")
    };
    let with_search = |name, value, help| flag(name, value, help).requires("search");
    let time = || {
        clap::builder::OsStringValueParser::new()
            .try_map(|text: OsString| parse_duration(&text.to_string_lossy()))
    };
    [
        flag(
            "search",
            "WHAT",
            "Find the most connections, or the highest rate, that keep --until: one run after the other, \
             twice as much until it breaks, then halves; of a script, rate is the scale of its arrivals \
             in per cent",
        )
        .value_parser(["connections", "rate"])
        .requires("until"),
        with_search("from", "N", "Least load that is tried [default: 100]")
            .value_parser(value_parser!(u64)),
        with_search("to", "N", "Greatest load that is tried [default: 1000000]")
            .value_parser(value_parser!(u64)),
        with_search(
            "until",
            "OBJECTIVE",
            "What is kept, such as 'p99<200ms', 'join.p95<1s and lost=0' or errors<0.1%; several must all \
             hold, and errors<1% with them unless one is about errors",
        )
        .action(ArgAction::Append)
        .value_parser(value_parser!(Objective)),
        with_search(
            "resolution",
            "SHARE",
            "How close the answer is to what did not hold [default: 5%]",
        )
        .value_parser(value_parser!(Share)),
        with_search("step-hold", "TIME", "How long each step is held [default: 10s]")
            .value_parser(time()),
        with_search(
            "step-settle",
            "TIME",
            "Time between two steps [default: 2s]",
        )
        .value_parser(time()),
    ]
}

/// What the flags ask for, if they ask for a search.
///
/// # Errors
///
/// Another flag says what the search is to find.
pub(super) fn asked(matches: &ArgMatches) -> anyhow::Result<Option<Search>> {
    let Some(axis) = matches.get_one::<String>("search") else {
        return Ok(None);
    };
    let axis = match axis.as_str() {
        "connections" => Axis::Connections,
        _ => Axis::Rate,
    };
    let is_given = |name: &str| matches.contains_id(name);
    if is_given("hold") {
        bail!("--hold is of one run: expected --step-hold, which is how long each step is held");
    }
    if axis == Axis::Connections && is_given("connections") {
        bail!(
            "--search connections finds how many: expected --from and --to instead of --connections"
        );
    }
    let mut objectives = matches
        .get_many::<Objective>("until")
        .into_iter()
        .flatten()
        .cloned();
    let Some(first) = objectives.next() else {
        bail!("--search needs --until, such as --until 'p99<200ms'");
    };
    let mut search = Search::new(axis, objectives.fold(first, Objective::and));
    search.from = matches.get_one("from").copied();
    search.to = matches.get_one("to").copied();
    if let Some(&resolution) = matches.get_one::<Share>("resolution") {
        search.resolution = resolution;
    }
    if let Some(&hold) = matches.get_one::<Duration>("step-hold") {
        search.hold = hold;
    }
    if let Some(&settle) = matches.get_one::<Duration>("step-settle") {
        search.settle = settle;
    }
    Ok(Some(search))
}

/// The status of a search that could not go on.
///
/// # Errors
///
/// It was asked for something that cannot be.
pub(super) fn failed(error: SearchError) -> anyhow::Result<ExitCode> {
    match error {
        SearchError::Load(error @ LoadError::Shard(_)) => Ok(output::not_generated(&error)),
        error => Err(error.into()),
    }
}

/// The status of a search whose report was told, or not.
pub(super) fn status(found: &Found, is_interrupted: bool, is_told: bool) -> ExitCode {
    if found.is_machine() && !is_interrupted {
        let why = found.why.first().map_or("it broke first", String::as_str);
        return output::not_generated(&why);
    }
    output::status(found.is_found(), is_told, &[])
}
