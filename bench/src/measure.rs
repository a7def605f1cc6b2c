//! What the kernel says about another process, its memory and its processor time, and about the
//! machine.

use std::fmt;
use std::fs;
use std::iter::Sum;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;

/// Returns the bytes of user-space memory that belong to the process: its resident anonymous
/// pages (heap, stacks, private data), as the field `Anonymous` of `/proc/PID/smaps_rollup`.
///
/// Pages of files (the program itself) are not counted, nor is memory that processes share, nor
/// kernel memory (sockets). Its children are counted with it.
pub(crate) fn anonymous_bytes(pid: u32) -> anyhow::Result<u64> {
    of_family(pid, anonymous_bytes_of)
}

fn anonymous_bytes_of(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse_anonymous(&rollup).with_context(|| format!("{path} has no field Anonymous"))
}

/// Returns the processor time, user and system, that the living threads of the process and of its
/// children have used.
///
/// `schedstat` counts nanoseconds where `/proc/PID/stat` counts clock ticks of 10 ms. It does not
/// hold the slice that a thread is in at the moment, so it is exact only for a process that
/// waits; see [`wait_until_quiet`].
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    of_family(pid, cpu_time_of)
}

fn cpu_time_of(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    let mut total = Duration::ZERO;
    for task in tasks {
        let path = task?.path().join("schedstat");
        let Ok(schedstat) = fs::read_to_string(&path) else {
            continue; // The thread has ended since the directory was read.
        };
        total += parse_schedstat(&schedstat)
            .with_context(|| format!("{} is not as expected", path.display()))?;
    }
    Ok(total)
}

/// Returns the processor time of the threads of the process whose names begin so; zero without any.
pub(crate) fn thread_time(pid: u32, name: &str) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    let mut total = Duration::ZERO;
    for task in tasks {
        let task = task?.path();
        // A thread that has ended since the directory was read has used what it did before.
        let comm = fs::read_to_string(task.join("comm")).unwrap_or_default();
        let schedstat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        if comm.starts_with(name) {
            total += parse_schedstat(&schedstat).unwrap_or_default();
        }
    }
    Ok(total)
}

/// Adds up something of a process and of its family, of whom some may end meanwhile.
fn of_family<T: Sum>(pid: u32, of: impl Fn(u32) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let children = family(pid)?.into_iter().skip(1);
    let children = children.filter_map(|child| of(child).ok());
    Ok([of(pid)?].into_iter().chain(children).sum())
}

/// Returns the process and all that it has started and those have, the workers of a server of several processes and
/// what a shell waits for. One that has ended meanwhile is left out.
fn family(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&pid) = family.get(next) {
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.filter_map(Result::ok) {
            let path = thread.path().join("children");
            let children = fs::read_to_string(&path).unwrap_or_default();
            for child in children.split_whitespace() {
                let child = child.parse();
                let child =
                    child.with_context(|| format!("{} is not as expected", path.display()))?;
                if family.len() == FAMILY_MAX {
                    bail!("process {pid} has more than {FAMILY_MAX} descendants");
                }
                family.push(child);
            }
        }
    }
    Ok(family)
}

/// No server or generator has more processes.
const FAMILY_MAX: usize = 1_000;

/// Waits until the process has used hardly any processor time for a while, so that what it was
/// asked to do is done and its memory is that of idle connections.
///
/// # Errors
///
/// When it is still busy after `QUIET_DEADLINE`.
#[expect(
    clippy::disallowed_methods,
    reason = "another process tells nobody when it is done; the bench can only look again"
)]
pub(crate) fn wait_until_quiet(pid: u32) -> anyhow::Result<()> {
    let deadline = Instant::now() + QUIET_DEADLINE;
    let mut before = cpu_time(pid)?;
    loop {
        thread::sleep(QUIET_WINDOW);
        let now = cpu_time(pid)?;
        if now.saturating_sub(before) < QUIET_CPU_MAX {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("process {pid} is still busy {QUIET_DEADLINE:?} after the last request");
        }
        before = now;
    }
}

/// The machine that the numbers are true for.
#[derive(Debug)]
pub(crate) struct Machine {
    kernel: String,
    cores: usize,
    /// Over the minute before the run: other work on the machine makes every number worse.
    load_average: f64,
}

impl Machine {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let path = "/proc/loadavg";
        let loadavg = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let first = loadavg
            .split_whitespace()
            .next()
            .and_then(|number| number.parse().ok());
        Ok(Self {
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            load_average: first.with_context(|| format!("{path} is not as expected"))?,
        })
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        json!({
            "kernel": self.kernel,
            "cores": self.cores,
            "load_average": self.load_average,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kernel,
            cores,
            load_average,
        } = self;
        write!(
            out,
            "{cores} cores, Linux {kernel}, load average {load_average} before"
        )
    }
}

fn parse_anonymous(rollup: &str) -> Option<u64> {
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The first of the three numbers is the time on a processor in nanoseconds
/// (`Documentation/scheduler/sched-stats.rst`).
fn parse_schedstat(schedstat: &str) -> Option<Duration> {
    schedstat
        .split_whitespace()
        .next()?
        .parse()
        .ok()
        .map(Duration::from_nanos)
}

const QUIET_WINDOW: Duration = Duration::from_millis(250);
/// 2 % of one processor: ticks and timers of an idle server stay below it.
const QUIET_CPU_MAX: Duration = Duration::from_millis(5);
const QUIET_DEADLINE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_anonymous_field_is_found_among_its_namesakes() {
        let rollup = "Pss_Anon:    7 kB\nAnonymous:           112 kB\nAnonHugePages:  9 kB\n";
        assert_eq!(parse_anonymous(rollup), Some(112 * 1024));
        assert_eq!(parse_anonymous("AnonHugePages:  9 kB\n"), None);
    }

    #[test]
    fn the_first_number_of_schedstat_is_the_time() {
        assert_eq!(
            parse_schedstat("1500 38972 1\n"),
            Some(Duration::from_nanos(1500))
        );
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn children_are_of_the_family() {
        // `wait` makes the shell stay rather than become its last command.
        let mut shell = Command::new("sh")
            .args(["-c", "exec 3<&0; cat <&3 & echo $!; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = String::new();
        let mut said = BufReader::new(shell.stdout.take().unwrap());
        said.read_line(&mut child).unwrap();
        let found = family(shell.id()).unwrap();
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert_eq!(found, [shell.id(), child.trim().parse().unwrap()]);
    }

    #[test]
    fn a_thread_is_found_by_its_name() {
        let work = || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(20) {
                std::hint::black_box(0);
            }
            thread::yield_now();
            thread_time(std::process::id(), "a busy thread").unwrap()
        };
        let busy = thread::Builder::new().name("a busy thread".to_owned());
        let time = busy.spawn(work).unwrap().join().unwrap();
        assert!(time > Duration::ZERO);
        let nobody = thread_time(std::process::id(), "nobody").unwrap();
        assert_eq!(nobody, Duration::ZERO);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let pid = std::process::id();
        assert!(anonymous_bytes(pid).unwrap() > 0);
        let before = cpu_time(pid).unwrap();
        let start = Instant::now();
        let mut sum = 0_u64;
        while start.elapsed() < Duration::from_millis(50) {
            sum = std::hint::black_box(sum + 1);
        }
        // A yield makes the kernel account the slice.
        thread::yield_now();
        assert!(cpu_time(pid).unwrap() > before);
    }
}
