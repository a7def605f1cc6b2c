//! The TCP sockets of this machine, and what it costs to count them over netlink and from /proc:
//! `cargo run --release -p fourtuple-capacity --example tally`, with a port behind it to count the
//! sockets of a server.
//!
//! Each time is CPU time, the best of several runs, since everything else that runs here only adds.

use std::{
    error::Error,
    fs,
    time::{Duration, Instant},
};

use fourtuple_capacity::{
    Grouped,
    sockets::{Counters, Filter, LocalPorts, SockStat, Sockets, Tally},
};
use rustix::time::{ClockId, clock_gettime};

const RUNS: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(60);
/// Lines of each kind that are shown.
const SHOWN: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let filter = match std::env::args().nth(1) {
        Some(port) => Filter::at(port.parse()?),
        None => Filter::default(),
    };
    let ports = LocalPorts::read().unwrap_or_default();
    let mut shown = None;
    if filter == Filter::default() {
        let mut sockets = Sockets::open()?;
        let wall = Instant::now();
        let (counted, tally) = best(|| Tally::of_network(&mut sockets, None, &ports, soon()))?;
        let derived = tally.derived.map_or(0, |it| it.established_count);
        println!(
            "as the doctor counts: {} sockets in {:.1} ms of CPU, {:.1} ms in all, {} of them not listed",
            Grouped(tally.by_state.total()),
            counted.as_secs_f64() * 1e3,
            wall.elapsed().as_secs_f64() * 1e3 / f64::from(RUNS),
            Grouped(derived),
        );
    }
    for mut sockets in [Sockets::open()?, Sockets::open_proc()?] {
        let (counted, tally) = best(|| Tally::take(&mut sockets, &filter, &ports, soon()))?;
        let (listed, _) = best(|| sockets.for_each(&filter, soon(), |_| {}))?;
        let total = tally.by_state.total();
        println!(
            "{}: {} sockets in {:.1} ms, {:.0} ns each; listing alone {:.1} ms",
            sockets.source(),
            Grouped(total),
            counted.as_secs_f64() * 1e3,
            counted.as_secs_f64() * 1e9 / total.max(1) as f64,
            listed.as_secs_f64() * 1e3,
        );
        shown.get_or_insert(tally);
    }
    if let Some(tally) = shown {
        show(&tally, ports.count());
    }
    println!("{:?}\n{:?}", SockStat::read(), Counters::read());
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("memory of this process, {}", peak.unwrap_or("not known"));
    Ok(())
}

fn show(tally: &Tally, ports_count: u64) {
    for (state, count) in tally.by_state.iter().filter(|(_, count)| *count > 0) {
        println!("  {state:<12} {:>12}", Grouped(count));
    }
    println!(
        "  unread: {} bytes in {} sockets",
        Grouped(tally.unread_bytes),
        Grouped(tally.unread_count)
    );
    println!(
        "  unsent: {} bytes in {} sockets",
        Grouped(tally.unsent_bytes),
        Grouped(tally.unsent_count)
    );
    for listener in tally.listeners.iter().take(SHOWN) {
        let max = listener.accept_queue_max.map(|max| max.to_string());
        let max = max.as_deref().unwrap_or("?");
        println!(
            "  listener {}: {} of {max} wait",
            listener.local, listener.accept_queue
        );
    }
    for served in tally.served.iter().take(SHOWN) {
        println!("  served {}: {}", served.local, Grouped(served.total()));
    }
    for pair in tally.pairs.iter().take(SHOWN) {
        println!(
            "  {} to {}: {} tuples, {} left to the kernel, {} to programs",
            pair.source,
            pair.destination,
            Grouped(pair.used()),
            Grouped(pair.left_to_kernel(ports_count)),
            Grouped(pair.left_to_program()),
        );
    }
    println!("  {} pairs, {:?}", tally.pairs.len(), tally.others);
}

/// The shortest of several runs, and what the last of them returned.
fn best<T, E>(mut run: impl FnMut() -> Result<T, E>) -> Result<(Duration, T), E> {
    let mut timed = || {
        let start = cpu_time();
        let outcome = run();
        outcome.map(|outcome| (cpu_time() - start, outcome))
    };
    let mut best = timed()?;
    for _ in 1..RUNS {
        let (took, outcome) = timed()?;
        best = (took.min(best.0), outcome);
    }
    Ok(best)
}

/// What this process has used of a CPU, in the kernel and outside.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn soon() -> Instant {
    Instant::now() + TIMEOUT
}
