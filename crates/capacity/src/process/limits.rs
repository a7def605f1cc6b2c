//! The limits that the kernel sets a process: /proc/PID/limits.
//!
//! ```text
//! Limit                     Soft Limit           Hard Limit           Units
//! Max open files            1024                 524288               files
//! Max locked memory         8388608              unlimited            bytes
//! ```

use std::fmt;

use super::{Known, Unknown, unknown::parse_number};
use crate::Grouped;

const PLACE: &str = "/proc/PID/limits";

/// The limits of one process that stand in the way of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// File descriptors, `RLIMIT_NOFILE`.
    pub open_files: Known<Bounds>,
    /// Processes and threads of the user, `RLIMIT_NPROC`.
    pub processes: Known<Bounds>,
    /// Memory that may be locked, which io_uring and BPF count too, bytes: `RLIMIT_MEMLOCK`.
    pub locked_memory_bytes: Known<Bounds>,
    /// Virtual memory, bytes: `RLIMIT_AS`.
    pub address_space_bytes: Known<Bounds>,
    /// The stack of the first thread, and that of others where they say nothing, bytes: `RLIMIT_STACK`.
    pub stack_bytes: Known<Bounds>,
}

/// One limit of a process; [`Bounds::UNLIMITED`] is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// What applies.
    pub soft: u64,
    /// How far the process may raise `soft` by itself.
    pub hard: u64,
}

impl Limits {
    /// Reads the text of /proc/PID/limits.
    pub fn parse(text: &str) -> Self {
        Self::of(Ok(text))
    }

    /// Where there is no text, no limit is known, for the same reason.
    pub(super) fn of(text: Result<&str, &Unknown>) -> Self {
        let bounds = |name| match text {
            Ok(text) => parse_bounds(text, name),
            Err(unknown) => Err(unknown.clone()),
        };
        Self {
            open_files: bounds("Max open files"),
            processes: bounds("Max processes"),
            locked_memory_bytes: bounds("Max locked memory"),
            address_space_bytes: bounds("Max address space"),
            stack_bytes: bounds("Max stack size"),
        }
    }
}

impl Bounds {
    /// The value of a limit that is none.
    pub const UNLIMITED: u64 = u64::MAX;
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (hard limit {})", shown(self.soft), shown(self.hard))
    }
}

fn shown(limit: u64) -> String {
    match limit {
        Bounds::UNLIMITED => "unlimited".to_owned(),
        limit => Grouped(limit).to_string(),
    }
}

/// The line of one limit: its name, then soft, hard and, for most, the unit.
fn parse_bounds(text: &str, name: &str) -> Known<Bounds> {
    let place = || format!("{name} in {PLACE}");
    let values = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .ok_or_else(|| Unknown::Absent(place()))?;
    let mut words = values.split_whitespace();
    let mut next = || match words.next() {
        Some("unlimited") => Ok(Bounds::UNLIMITED),
        Some(word) => parse_number(&place(), word),
        None => Err(Unknown::odd(place(), values.trim(), "two limits")),
    };
    Ok(Bounds {
        soft: next()?,
        hard: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max stack size            8388608              unlimited            bytes     
Max processes             96365                96365                processes 
Max open files            1024                 524288               files     
Max locked memory         8388608              8388608              bytes     
Max address space         unlimited            unlimited            bytes     
Max nice priority         0                    0                    
";

    #[test]
    fn reads_what_the_kernel_writes() {
        let limits = Limits::parse(TEXT);
        let bounds = |soft, hard| Ok(Bounds { soft, hard });
        let none = Bounds::UNLIMITED;
        assert_eq!(limits.open_files, bounds(1_024, 524_288));
        assert_eq!(limits.processes, bounds(96_365, 96_365));
        assert_eq!(limits.locked_memory_bytes, bounds(8_388_608, 8_388_608));
        assert_eq!(limits.address_space_bytes, bounds(none, none));
        assert_eq!(limits.stack_bytes, bounds(8_388_608, none));
    }

    #[test]
    fn one_odd_line_leaves_the_others() {
        let limits = Limits::parse(
            "Max open files            many                 524288               files\n\
             Max processes             96365\n\
             Max stack size            8388608              unlimited            bytes\n",
        );
        assert_eq!(
            limits.open_files.unwrap_err().to_string(),
            "Max open files in /proc/PID/limits says \"many\": expected a whole number"
        );
        assert_eq!(
            limits.processes.unwrap_err().to_string(),
            "Max processes in /proc/PID/limits says \"96365\": expected two limits"
        );
        assert!(matches!(
            limits.address_space_bytes,
            Err(Unknown::Absent(_))
        ));
        assert_eq!(limits.stack_bytes.map(|it| it.soft), Ok(8_388_608));
    }

    #[test]
    fn without_the_file_each_limit_says_why() {
        let denied = Unknown::Denied("/proc/7/limits".to_owned());
        let limits = Limits::of(Err(&denied));
        assert_eq!(limits.open_files, Err(denied.clone()));
        assert_eq!(limits.stack_bytes, Err(denied));
    }

    #[test]
    fn bounds_are_shown_for_people() {
        let bounds = Bounds {
            soft: 20_000,
            hard: Bounds::UNLIMITED,
        };
        assert_eq!(bounds.to_string(), "20,000 (hard limit unlimited)");
    }
}
