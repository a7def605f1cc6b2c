//! `fourtuple doctor --pid` and `--port`: a program, or those that share a port, from outside.

use std::{fmt::Write as _, path::Path, process::ExitCode, time::Instant};

use anyhow::{Context as _, bail};
use capacity::{
    Bytes, Grouped, Live, Program,
    process::{Holders, Pid, Process, RuntimeLimit},
    sockets::{Counter, Filter, LocalPorts, Pair, Served, Sockets, State, States, Tally},
};
use serde_json::{Value, json};

/// Gauges that a report shows.
const GAUGES_MAX: usize = 24;

/// Pairs that programs are given.
const PAIRS_MAX: usize = 64;

/// Prints what a program uses of its limits.
///
/// # Errors
///
/// There is no such program, or nobody listens on the port.
pub(super) fn run(pid: Option<u32>, port: Option<u16>, is_json: bool) -> anyhow::Result<ExitCode> {
    let live = Live::look(&named(pid, port)?, port).context("cannot look at the process")?;
    if is_json {
        super::print(&format!("{:#}\n", json(&live)))?;
    } else {
        super::print(&text(&live))?;
    }
    Ok(match (&live.sockets, live.is_exhausted()) {
        (_, true) => ExitCode::from(crate::FAILED),
        (Ok(_), false) => ExitCode::SUCCESS,
        (Err(_), false) => ExitCode::from(crate::MISUSED),
    })
}

/// The processes that were named; none for the machine as a whole.
pub(super) fn named(pid: Option<u32>, port: Option<u16>) -> anyhow::Result<Vec<Pid>> {
    Ok(match (pid, port) {
        (Some(pid), _) => vec![Pid(pid)],
        (None, Some(port)) => holders(port)?,
        (None, None) => Vec::new(),
    })
}

/// The processes that listen on `port`: a server of several processes, or a master and its workers.
fn holders(port: u16) -> anyhow::Result<Vec<Pid>> {
    // Without connections: the kernel then looks at listeners alone.
    let filter = Filter {
        states: States::only(State::Listen),
        ..Filter::at(port)
    };
    let mut sockets = Sockets::open()?;
    let deadline = Instant::now() + capacity::LIST_MAX;
    let tally = Tally::take(&mut sockets, &filter, &LocalPorts::default(), deadline)?;
    if tally.listeners.is_empty() {
        bail!(
            "nobody listens on port {port} in this network namespace: expected the port of a running \
             server; one in a container has a network of its own, name it with --pid"
        );
    }
    let inodes: Vec<u64> = tally.listeners.iter().map(|it| it.inode.into()).collect();
    let holders = Holders::of(Path::new("/"), &inodes)?;
    if !holders.pids.is_empty() {
        return Ok(busiest_first(holders.pids));
    }
    match holders.is_all {
        true => bail!(
            "the process that listens on port {port} cannot be found: {} processes may not be looked \
             into by this user; run as root, or name it with --pid",
            holders.denied_count
        ),
        false => bail!(
            "the process that listens on port {port} was not found among the first that were looked at: \
             name it with --pid"
        ),
    }
}

/// Of very many, those that serve most are looked at.
fn busiest_first(mut pids: Vec<Pid>) -> Vec<Pid> {
    pids.sort_by_cached_key(|pid| {
        let process = Process::read(Path::new("/"), *pid).ok();
        let descriptors = process.and_then(|it| it.descriptors.ok());
        std::cmp::Reverse(descriptors.map_or(0, |it| it.open_count))
    });
    pids
}

fn text(live: &Live) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_program(&mut text, live);
    let _ = write_gauges(&mut text, live);
    let _ = write_runtime(&mut text, live);
    let _ = write_sockets(&mut text, live);
    let _ = write_memory(&mut text, live);
    text
}

fn write_program(text: &mut String, live: &Live) -> std::fmt::Result {
    for program in &live.programs {
        let process = &program.process;
        write!(text, "process {}: {}", process.pid, process.program())?;
        if let Some(name) = program.runtime.name() {
            write!(text, " ({name})")?;
        }
        writeln!(text)?;
    }
    if live.programs.len() > 1
        && let Some(port) = live.port
    {
        writeln!(
            text,
            "These share port {port}: its connections are those of all of them."
        )?;
    }
    for caution in live.cautions() {
        writeln!(text, "\n{caution}")?;
    }
    for alarm in live.alarms() {
        writeln!(text, "\n! {alarm}")?;
    }
    Ok(())
}

fn write_gauges(text: &mut String, live: &Live) -> std::fmt::Result {
    let mut gauges = live.gauges();
    gauges.sort_by(|a, b| b.share().total_cmp(&a.share()));
    let width = gauges
        .iter()
        .map(|it| it.label.chars().count())
        .max()
        .unwrap_or(0)
        .min(60);
    writeln!(
        text,
        "\n{:<width$} {:>15} {:>17} {:>6}",
        "limit", "used", "of", "full"
    )?;
    for gauge in gauges.iter().take(GAUGES_MAX) {
        let max = match gauge.max {
            u64::MAX => "no limit".to_owned(),
            max => gauge.amount(max),
        };
        let (label, used, share) = (
            &gauge.label,
            gauge.amount(gauge.used),
            100.0 * gauge.share(),
        );
        writeln!(text, "{label:<width$} {used:>15} {max:>17} {share:>5.1}%")?;
    }
    Ok(())
}

fn write_runtime(text: &mut String, live: &Live) -> std::fmt::Result {
    // Workers of one server have the same limits: explained once, by who uses most.
    let mut explained = Vec::new();
    for program in &live.programs {
        for limit in &program.limits {
            if explained.contains(&(&limit.name, &limit.value)) {
                continue;
            }
            explained.push((&limit.name, &limit.value));
            write_limit(text, limit)?;
        }
    }
    Ok(())
}

fn write_limit(text: &mut String, limit: &RuntimeLimit) -> std::fmt::Result {
    let value = match &limit.value {
        Ok(value) => format!("{} {}", Grouped(*value), limit.unit),
        Err(unknown) => unknown.to_string(),
    };
    writeln!(text, "\n{}: {value}", limit.name)?;
    if let Some(used) = limit.used {
        writeln!(text, "  used     {}", Grouped(used))?;
    }
    writeln!(text, "  read     {}", limit.source)?;
    writeln!(text, "  meaning  {}", limit.meaning)?;
    writeln!(text, "  remedy   to hold more, {}", limit.remedy)
}

fn write_sockets(text: &mut String, live: &Live) -> std::fmt::Result {
    let tally = match &live.sockets {
        Ok(tally) => tally,
        Err(error) => return writeln!(text, "\nsockets: {error}"),
    };
    let is_about = tally.is_approximate || tally.derived.is_some();
    let about = if is_about { "about " } else { "" };
    writeln!(
        text,
        "\nsockets of this network, {about}by state (read by {}):",
        tally.source
    )?;
    for state in State::ALL {
        match tally.by_state.count(state) {
            0 => {}
            count => writeln!(text, "  {state:<12} {:>13}", Grouped(count))?,
        }
    }
    write_queues(text, tally)?;
    if let (Some(count), Some(bytes)) = (live.connections_count(), live.kernel_bytes()) {
        writeln!(
            text,
            "  connections of {}: {}, about {} of the kernel's memory while they are idle",
            whose(live),
            Grouped(count),
            Bytes(bytes)
        )?;
    }
    for served in live.served() {
        writeln!(
            text,
            "  served at {}: {} connections, {} in TIME_WAIT",
            served.local,
            Grouped(served.live_count),
            Grouped(served.time_wait_count)
        )?;
    }
    for pair in live.pairs.iter().take(8) {
        writeln!(
            text,
            "  dialled from {} to {}: {} of which {} in TIME_WAIT; {} ports left for the kernel's choice, \
             {} for a program's own",
            pair.source,
            pair.destination,
            Grouped(pair.used()),
            Grouped(pair.time_wait_count),
            Grouped(pair.left_to_kernel(live.ports.count())),
            Grouped(pair.left_to_program())
        )?;
    }
    let overflows = live.counters.value(Counter::ListenOverflows).unwrap_or(0);
    if overflows > 0 {
        writeln!(
            text,
            "  since the start of the machine {} connections found a full accept queue (ListenOverflows)",
            Grouped(overflows)
        )?;
    }
    Ok(())
}

/// Whose connections are counted.
fn whose(live: &Live) -> &'static str {
    match live.programs.len() {
        0 => "all programs",
        1 => "the program",
        _ => "these programs",
    }
}

/// What waits in the sockets that were listed.
fn write_queues(text: &mut String, tally: &Tally) -> std::fmt::Result {
    if let Some(derived) = &tally.derived {
        writeln!(
            text,
            "  of the established, {} at {} were not listed: they are the kernel's count of open \
             connections (CurrEstab) less those that were, and what waits in them is not known",
            Grouped(derived.established_count),
            derived.end.local
        )?;
    }
    let which = if tally.derived.is_some() {
        "of the others, "
    } else {
        ""
    };
    writeln!(
        text,
        "  {which}unread by their programs: {} bytes in {} sockets; not yet acknowledged: {} bytes in {}",
        Grouped(tally.unread_bytes),
        Grouped(tally.unread_count),
        Grouped(tally.unsent_bytes),
        Grouped(tally.unsent_count)
    )
}

/// What the control group of the busiest process says of its memory.
fn write_memory(text: &mut String, live: &Live) -> std::fmt::Result {
    let Some(program) = live.programs.first() else {
        return Ok(());
    };
    let group = match &program.process.cgroup.memory {
        Ok(group) => group,
        Err(unknown) => return writeln!(text, "\nmemory of its control group: {unknown}"),
    };
    writeln!(text, "\nmemory of its control group:")?;
    for (name, bytes) in [
        ("sockets", &group.socket_bytes),
        ("small objects of the kernel", &group.slab_bytes),
        ("all of the kernel", &group.kernel_bytes),
    ] {
        if let Ok(bytes) = bytes {
            writeln!(text, "  {name:<28} {:>12}", Bytes(*bytes).to_string())?;
        }
    }
    if let Ok(kills) = group.oom_kills_count {
        writeln!(
            text,
            "  {:<28} {:>12}",
            "killed for lack of memory",
            Grouped(kills)
        )?;
    }
    Ok(())
}

/// The process that uses most is named by itself, too.
fn json(live: &Live) -> Value {
    let first = live.programs.first();
    let gauges = live.gauges().into_iter().map(|gauge| {
        json!({
            "limit": gauge.limit.name(),
            "label": gauge.label,
            "used": gauge.used,
            "max": (gauge.max != u64::MAX).then_some(gauge.max),
            "full": gauge.is_full(),
        })
    });
    let counters = Counter::ALL.into_iter().map(|counter| {
        (
            counter.name().to_owned(),
            json!(live.counters.value(counter)),
        )
    });
    json!({
        "pid": first.map(|it| it.process.pid.0),
        "program": first.map(|it| it.process.program().to_owned()),
        "runtime": first.and_then(|it| it.runtime.name()),
        "runtime_limits": first.map_or_else(Vec::new, runtime_limits),
        "processes": live.programs.iter().map(process).collect::<Vec<_>>(),
        "port": live.port,
        "gauges": gauges.collect::<Vec<_>>(),
        "connections": live.connections_count(),
        "kernel_bytes": live.kernel_bytes(),
        "cautions": live.cautions(),
        "alarms": live.alarms(),
        "served": live.served().map(served).collect::<Vec<_>>(),
        "pairs": live.pairs.iter().take(PAIRS_MAX).map(pair).collect::<Vec<_>>(),
        "sockets": live.sockets.as_ref().ok().map(sockets),
        "sockets_unknown": live.sockets.as_ref().err().map(ToString::to_string),
        "counters": counters.collect::<serde_json::Map<_, _>>(),
    })
}

fn process(program: &Program) -> Value {
    let descriptors = program.process.descriptors.as_ref();
    json!({
        "pid": program.process.pid.0,
        "program": program.process.program(),
        "runtime": program.runtime.name(),
        "descriptors": descriptors.ok().map(|it| it.open_count),
        "runtime_limits": runtime_limits(program),
    })
}

fn runtime_limits(program: &Program) -> Vec<Value> {
    let limits = program.limits.iter().map(|limit| {
        json!({
            "name": limit.name,
            "value": limit.value.as_ref().ok(),
            "unknown": limit.value.as_ref().err().map(ToString::to_string),
            "unit": limit.unit,
            "used": limit.used,
            "source": limit.source,
            "meaning": limit.meaning,
            "remedy": limit.remedy,
        })
    });
    limits.collect()
}

fn served(served: &Served) -> Value {
    json!({
        "local": served.local.to_string(),
        "listeners": served.listeners_count,
        "syn_recv": served.syn_recv_count,
        "live": served.live_count,
        "time_wait": served.time_wait_count,
    })
}

fn pair(pair: &Pair) -> Value {
    json!({
        "source": pair.source.to_string(),
        "destination": pair.destination.to_string(),
        "live": pair.live_count,
        "time_wait": pair.time_wait_count,
        "explicit": pair.explicit_count,
        "own": pair.own_count,
    })
}

fn sockets(tally: &Tally) -> Value {
    let states = State::ALL
        .into_iter()
        .map(|state| (state.to_string(), json!(tally.by_state.count(state))));
    let listeners = tally.listeners.iter().map(|listener| {
        json!({
            "local": listener.local.to_string(),
            "accept_queue": listener.accept_queue,
            "accept_queue_max": listener.accept_queue_max,
        })
    });
    let derived = tally.derived.map(|derived| {
        json!({
            "local": derived.end.local.to_string(),
            "established": derived.established_count,
        })
    });
    json!({
        "approximate": tally.is_approximate,
        "derived": derived,
        "by_state": states.collect::<serde_json::Map<_, _>>(),
        "unread_bytes": tally.unread_bytes,
        "unsent_bytes": tally.unsent_bytes,
        "listeners": listeners.collect::<Vec<_>>(),
        "served": tally.served.iter().map(served).collect::<Vec<_>>(),
        "pairs": tally.pairs.iter().take(PAIRS_MAX).map(pair).collect::<Vec<_>>(),
    })
}
