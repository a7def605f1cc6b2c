//! What the kernel says of a process as a whole: /proc/PID/status.
//!
//! One `Name:<tab>value` a line; memory is in units of 1024 bytes that are called kB (`man 5
//! proc_pid_status`). Lines come and go with the version of the kernel, and a kernel thread or a
//! process that has ended but was not waited for (a zombie) has none on memory.

use super::{Known, Pid, Unknown, unknown::parse_number};

const PLACE: &str = "/proc/PID/status";

/// What a process is, and what it has in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What the process calls itself, at most 15 bytes.
    pub name: Known<String>,
    /// What it does, as the kernel says it: `S (sleeping)`.
    pub state: Known<String>,
    /// Who started it.
    pub parent: Known<Pid>,
    /// The user it acts as, the effective one.
    pub user: Known<u32>,
    /// Its threads.
    pub threads_count: Known<u64>,
    /// Its memory that is in RAM, bytes.
    pub resident_bytes: Known<u64>,
    /// How much of that is its own and not of a file; since Linux 4.5, bytes.
    pub anonymous_bytes: Known<u64>,
    /// Memory that it locked, bytes.
    pub locked_bytes: Known<u64>,
    /// Memory that is pinned for it, as by io_uring for registered buffers, bytes.
    pub pinned_bytes: Known<u64>,
    /// Its number in each namespace of processes, the reader's first: several for a process in a
    /// container that is seen from the host; since Linux 4.1.
    pub numbers: Known<Vec<Pid>>,
}

impl Status {
    /// Reads the text of /proc/PID/status.
    pub fn parse(text: &str) -> Self {
        Self::of(Ok(text))
    }

    /// Where there is no text, nothing is known, for the same reason.
    pub(super) fn of(text: Result<&str, &Unknown>) -> Self {
        let line = |name: &str| match text {
            Ok(text) => value(text, name),
            Err(unknown) => Err(unknown.clone()),
        };
        let bytes = |name: &str| parse_bytes(name, line(name)?);
        Self {
            name: line("Name").map(str::to_owned),
            state: line("State").map(str::to_owned),
            parent: line("PPid").and_then(|text| parse_pid("PPid", text)),
            user: line("Uid").and_then(parse_effective_user),
            threads_count: line("Threads").and_then(|text| parse_number(&place("Threads"), text)),
            resident_bytes: bytes("VmRSS"),
            anonymous_bytes: bytes("RssAnon"),
            locked_bytes: bytes("VmLck"),
            pinned_bytes: bytes("VmPin"),
            numbers: line("NSpid").and_then(parse_numbers),
        }
    }

    /// Whether the process has ended, and only its number is left until its parent takes notice.
    pub fn is_zombie(&self) -> bool {
        self.state
            .as_ref()
            .is_ok_and(|state| state.starts_with('Z'))
    }
}

fn place(name: &str) -> String {
    format!("{name} in {PLACE}")
}

/// What is behind the colon of the line `name`.
fn value<'a>(text: &'a str, name: &str) -> Known<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
        .ok_or_else(|| Unknown::Absent(place(name)))
}

fn parse_bytes(name: &str, text: &str) -> Known<u64> {
    let odd = || Unknown::odd(place(name), text, "a size in kB");
    let number = text.strip_suffix("kB").ok_or_else(odd)?;
    let kilobytes: u64 = number.trim().parse().map_err(|_| odd())?;
    kilobytes.checked_mul(1024).ok_or_else(odd)
}

fn parse_pid(name: &str, text: &str) -> Known<Pid> {
    text.parse()
        .map_err(|_| Unknown::odd(place(name), text, "the number of a process"))
}

/// The second of four: real, effective, saved, of the file system.
fn parse_effective_user(text: &str) -> Known<u32> {
    text.split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| Unknown::odd(place("Uid"), text, "four users"))
}

fn parse_numbers(text: &str) -> Known<Vec<Pid>> {
    text.split_whitespace()
        .map(|word| parse_pid("NSpid", word))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let status = Status::parse(
            "Name:\tbeam.smp\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t812\nNgid:\t0\nPid:\t812\n\
             PPid:\t1\nTracerPid:\t0\nUid:\t1000\t999\t1000\t1000\nFDSize:\t256\n\
             NStgid:\t812\t7\nNSpid:\t812\t7\nVmLck:\t       4 kB\nVmPin:\t       8 kB\n\
             VmRSS:\t   46312 kB\nRssAnon:\t   30000 kB\nThreads:\t24\n",
        );
        assert_eq!(status.name.as_deref(), Ok("beam.smp"));
        assert_eq!(status.state.as_deref(), Ok("S (sleeping)"));
        assert!(!status.is_zombie());
        assert_eq!(status.parent, Ok(Pid(1)));
        assert_eq!(status.user, Ok(999));
        assert_eq!(status.threads_count, Ok(24));
        assert_eq!(status.resident_bytes, Ok(46_312 * 1024));
        assert_eq!(status.anonymous_bytes, Ok(30_000 * 1024));
        assert_eq!(status.locked_bytes, Ok(4 * 1024));
        assert_eq!(status.pinned_bytes, Ok(8 * 1024));
        assert_eq!(status.numbers, Ok(vec![Pid(812), Pid(7)]));
    }

    #[test]
    fn missing_and_odd_lines_leave_the_others() {
        let status = Status::parse(
            "Name:\tx\nState:\tZ (zombie)\nUid:\t0\nThreads:\tone\nVmRSS:\t 5 MB\n\
             RssAnon:\t 18446744073709551615 kB\nNSpid:\t7\t-1\n",
        );
        assert!(status.is_zombie());
        assert_eq!(
            status.parent.unwrap_err().to_string(),
            "PPid in /proc/PID/status is not there: an older kernel, or a container that hides it"
        );
        assert!(matches!(status.locked_bytes, Err(Unknown::Absent(_))));
        for odd in [
            status.user.map(u64::from),
            status.threads_count,
            status.resident_bytes,
            status.anonymous_bytes,
            status.numbers.map(|it| it.len() as u64),
        ] {
            assert!(matches!(odd, Err(Unknown::Odd { .. })), "{odd:?}");
        }
    }

    #[test]
    fn a_name_may_hold_what_looks_like_a_line() {
        // The kernel writes a line break in a name as two characters.
        let status = Status::parse("Name:\ta\\nUid: 5\nState:\tR (running)\n");
        assert_eq!(status.name.as_deref(), Ok("a\\nUid: 5"));
        assert!(matches!(status.user, Err(Unknown::Absent(_))));
    }
}
