//! `fourtuple doctor --pid` and `--port`: one program, from outside.

use std::{fmt::Write as _, path::Path, process::ExitCode, time::Instant};

use anyhow::{Context as _, bail};
use capacity::{
    Bytes, Grouped, Live,
    process::{Holders, Pid, Process},
    sockets::{Counter, Filter, LocalPorts, Sockets, State, States, Tally},
};
use serde_json::{Value, json};

/// Gauges that a report shows.
const GAUGES_MAX: usize = 24;

/// Prints what a program uses of its limits.
///
/// # Errors
///
/// There is no such program, or nobody listens on the port.
pub(super) fn run(pid: Option<u32>, port: Option<u16>, is_json: bool) -> anyhow::Result<ExitCode> {
    let live = look(pid, port)?;
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

/// Looks at what was named; at the machine if nothing was.
pub(super) fn look(pid: Option<u32>, port: Option<u16>) -> anyhow::Result<Live> {
    let pid = match (pid, port) {
        (Some(pid), _) => Some(Pid(pid)),
        (None, Some(port)) => Some(holder(port)?),
        (None, None) => None,
    };
    Live::look(pid).context("cannot look at the process")
}

/// The process that listens on `port`, the first of several.
fn holder(port: u16) -> anyhow::Result<Pid> {
    // Without connections: the kernel then looks at listeners alone.
    let filter = Filter {
        states: States::only(State::Listen),
        local_port: Some(port),
        ..Filter::default()
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
    let root = Path::new("/");
    let holders = Holders::of(root, &inodes)?;
    // Of a master and its workers, the one that serves most.
    let open_count = |pid: &Pid| {
        let process = Process::read(root, *pid).ok()?;
        process.descriptors.ok().map(|it| it.open_count)
    };
    let busiest = holders.pids.iter().copied().max_by_key(open_count);
    if holders.pids.len() > 1 {
        let others: Vec<_> = holders.pids.iter().map(ToString::to_string).collect();
        eprintln!(
            "port {port} is held by processes {}: the one with most descriptors is shown",
            others.join(", ")
        );
    }
    busiest.with_context(|| match holders.is_all {
        true => format!(
            "the process that listens on port {port} cannot be found: {} processes may not be looked \
             into by this user; run as root, or name it with --pid",
            holders.denied_count
        ),
        false => format!(
            "the process that listens on port {port} was not found among the first that were looked at: \
             name it with --pid"
        ),
    })
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
    if let Some(process) = &live.process {
        write!(text, "process {}: {}", process.pid, process.program())?;
        if let Some(name) = live.runtime.name() {
            write!(text, " ({name})")?;
        }
        writeln!(text)?;
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
    for limit in &live.runtime_limits {
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
        writeln!(text, "  remedy   to hold more, {}", limit.remedy)?;
    }
    Ok(())
}

fn write_sockets(text: &mut String, live: &Live) -> std::fmt::Result {
    let tally = match &live.sockets {
        Ok(tally) => tally,
        Err(error) => return writeln!(text, "\nsockets: {error}"),
    };
    let about = if tally.is_approximate { "about " } else { "" };
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
    writeln!(
        text,
        "  unread by their programs: {} bytes in {} sockets; not yet acknowledged: {} bytes in {}",
        Grouped(tally.unread_bytes),
        Grouped(tally.unread_count),
        Grouped(tally.unsent_bytes),
        Grouped(tally.unsent_count)
    )?;
    if let (Some(count), Some(bytes)) = (live.connections_count(), live.kernel_bytes()) {
        writeln!(
            text,
            "  connections of the program: {}, about {} of the kernel's memory while they are idle",
            Grouped(count),
            Bytes(bytes)
        )?;
    }
    for served in &tally.served {
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

/// What the control group of the process says of its memory.
fn write_memory(text: &mut String, live: &Live) -> std::fmt::Result {
    let Some(process) = &live.process else {
        return Ok(());
    };
    let group = match &process.cgroup.memory {
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

fn json(live: &Live) -> Value {
    let gauges = live.gauges().into_iter().map(|gauge| {
        json!({
            "limit": gauge.limit.name(),
            "label": gauge.label,
            "used": gauge.used,
            "max": (gauge.max != u64::MAX).then_some(gauge.max),
            "full": gauge.is_full(),
        })
    });
    let runtime = live.runtime_limits.iter().map(|limit| {
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
    let counters = Counter::ALL.into_iter().map(|counter| {
        (
            counter.name().to_owned(),
            json!(live.counters.value(counter)),
        )
    });
    json!({
        "pid": live.process.as_ref().map(|process| process.pid.0),
        "program": live.process.as_ref().map(|process| process.program().to_owned()),
        "runtime": live.runtime.name(),
        "gauges": gauges.collect::<Vec<_>>(),
        "runtime_limits": runtime.collect::<Vec<_>>(),
        "connections": live.connections_count(),
        "kernel_bytes": live.kernel_bytes(),
        "cautions": live.cautions(),
        "alarms": live.alarms(),
        "sockets": live.sockets.as_ref().ok().map(sockets),
        "sockets_unknown": live.sockets.as_ref().err().map(ToString::to_string),
        "counters": counters.collect::<serde_json::Map<_, _>>(),
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
    let served = tally.served.iter().map(|served| {
        json!({
            "local": served.local.to_string(),
            "live": served.live_count,
            "time_wait": served.time_wait_count,
        })
    });
    let pairs = tally.pairs.iter().take(64).map(|pair| {
        json!({
            "source": pair.source.to_string(),
            "destination": pair.destination.to_string(),
            "live": pair.live_count,
            "time_wait": pair.time_wait_count,
            "explicit": pair.explicit_count,
        })
    });
    json!({
        "approximate": tally.is_approximate,
        "by_state": states.collect::<serde_json::Map<_, _>>(),
        "unread_bytes": tally.unread_bytes,
        "unsent_bytes": tally.unsent_bytes,
        "listeners": listeners.collect::<Vec<_>>(),
        "served": served.collect::<Vec<_>>(),
        "pairs": pairs.collect::<Vec<_>>(),
    })
}
