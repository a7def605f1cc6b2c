//! The command that proves the headline: a number of connections, both ends of each on this
//! machine, opened, joined, held, told, dropped and back, with the bare floor in the same run.
//!
//! `bench/README.md` defines each number of its report.

mod bare;
mod broadcasts;
mod checkup;
mod crowds;
mod drain;
mod duet;
mod fleet;
mod kernel_memory;
mod needs;
mod options;
mod report;
mod row;
mod sysctls;
mod timeline;

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use self::bare::Bare;
use self::duet::Duet;
use self::kernel_memory::Distress;
use self::needs::Demand;
use self::options::Options;
use self::report::Report;
use self::sysctls::{Raised, Sysctl};
use crate::client::member;
use crate::folder::Folder;
use crate::interrupt::Interrupt;
use crate::measure::Machine;
use crate::{floor, product};

/// The headline, and what it does in the processes that it starts itself.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Part {
    /// Proves the headline: opens, holds, tells, drops and drains so many connections on this machine
    Headline(Box<Options>),
    /// Serves as one process of the floor
    #[command(hide = true)]
    FloorServer { addr: SocketAddrV4 },
    /// Dials as one process of the floor
    #[command(hide = true)]
    FloorCrowd {
        server: SocketAddrV4,
        source: Ipv4Addr,
    },
    /// Puts limits back when stdin ends
    #[command(hide = true)]
    SysctlKeeper { root: PathBuf, before: Vec<String> },
}

/// Runs a part.
pub(crate) fn main(part: Part) -> anyhow::Result<ExitCode> {
    match part {
        Part::Headline(options) => return prove(&options),
        Part::FloorServer { addr } => floor::serve_on_command(addr)?,
        Part::FloorCrowd { server, source } => member::serve(server, source)?,
        Part::SysctlKeeper { root, before } => sysctls::keep(&root, &before)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs everything and prints the report. The exit code is a failure when a connection or a message was
/// lost; a missed target is only printed, as it may be the machine's.
fn prove(options: &Options) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::on_signals()?;
    // The parts of the floor inherit it; the product raises it by itself.
    capacity::raise_nofile();
    let processes = if options.no_floor {
        0
    } else {
        options.floor_processes()?
    };
    let _raised = meet_needs(options, processes as u64)?;
    let binary = product::binary(options.product.as_deref())?;
    let folder = Folder::make()?;
    let machine = Machine::read()?;
    let date = date();
    let before = Distress::read()?;

    // First, as its connections end by a reset: the product's leave some in TIME-WAIT.
    let bare = if options.no_floor {
        None
    } else {
        Some(Bare::run(options, processes, &interrupt)?)
    };
    let duet = Duet::run(options, &binary, folder.path(), &interrupt)?;

    let distress = Distress::read()?.since(before);
    let report = Report::new(options, &machine, date, distress, bare, duet);
    print!("{}", report.render());
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report.to_json())?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if report.is_held() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says which limits are too low, and raises them if that was asked.
///
/// # Errors
///
/// When one without which the run cannot succeed stays too low.
fn meet_needs(options: &Options, floor_processes: u64) -> anyhow::Result<Option<Raised>> {
    let root = &options.sysctl_root;
    // Servers and crowds of the floor with a follower of the bench each, then the product's shards.
    let threads = 6 * floor_processes + THREADS_OF_PRODUCT;
    let demand = Demand::read(options, threads);
    demand.require_memory()?;
    let unmet = demand.unmet(root)?;
    for need in &unmet {
        eprintln!(
            "{} is {} and {} be {}: {}\n    {}",
            need.sysctl.name,
            need.found,
            if need.hard { "must" } else { "should" },
            need.sysctl.value,
            need.why,
            need.sysctl.command(),
        );
    }
    if options.apply_sysctls && !unmet.is_empty() {
        let wanted: Vec<Sysctl> = unmet.into_iter().map(|it| it.sysctl).collect();
        eprintln!("raised until the end of this run");
        return Raised::raise(root, &wanted).map(Some);
    }
    if unmet.iter().any(|it| it.hard) {
        bail!(
            "limits of this machine are too low for {} connections; run the commands above as root, \
             or let --apply-sysctls do it for the time of the run",
            options.connections
        );
    }
    Ok(None)
}

/// Returns the time in UTC, such as `2026-11-24 01:20`.
fn date() -> String {
    let since_1970 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let minutes = since_1970.as_secs() / 60;
    let (year, month, day) = civil(minutes / 1_440);
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// Returns year, month and day of the day that is so many after 1970-01-01, counting through the
/// years and months.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// Shards of server and crowd at most, and their other threads.
const THREADS_OF_PRODUCT: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (20_781, (2026, 11, 24)),
        ] {
            assert_eq!(civil(days), date, "{days}");
        }
    }
}
