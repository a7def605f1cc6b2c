//! How a process was started: /proc/PID/cmdline.
//!
//! Each argument ends with a zero byte. A process may write over it: nginx puts a title there, which
//! is then a single argument. Arguments may be secrets, so they are not printed for debugging.

use std::fmt;

/// The arguments of a process, the name of its program first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Each with a zero byte between it and the next.
    text: String,
}

impl Arguments {
    /// Reads the bytes of /proc/PID/cmdline; those that are no text are replaced.
    pub fn parse(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        Self {
            text: String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    /// Each argument; none for a kernel thread and a process that has ended.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        // Splitting nothing would give one empty argument.
        let nothing = self.text.is_empty();
        self.text.split('\0').skip(usize::from(nothing))
    }

    /// The value of the last `NAME VALUE` or `NAME=VALUE`.
    pub(super) fn value_of(&self, name: &str) -> Option<&str> {
        let mut found = None;
        let mut arguments = self.iter().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == name {
                found = arguments.next().or(found);
            } else if let Some(rest) = argument.strip_prefix(name) {
                found = rest.strip_prefix('=').or(found);
            }
        }
        found
    }

    /// A title that a process wrote over its arguments, or the first argument.
    pub(super) fn title(&self) -> &str {
        self.iter().next().unwrap_or_default()
    }

    /// The name of the program, without its directory and without the rest of a title.
    pub(super) fn program(&self) -> &str {
        let first = self.title();
        let first = first.split([' ', ':']).next().unwrap_or(first);
        base_name(first)
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Arguments({} of {})",
            self.iter().count(),
            self.program()
        )
    }
}

/// What is behind the last slash.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_end_with_zeros() {
        let all = |bytes: &[u8]| {
            let arguments = Arguments::parse(bytes);
            arguments.iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(all(b"a\0-b\0\0c\0"), ["a", "-b", "", "c"]);
        assert_eq!(all(b"no end"), ["no end"]);
        assert_eq!(all(b"\xff\0"), ["\u{fffd}"]);
        assert_eq!(all(b""), [""; 0]);
        assert_eq!(all(b"\0"), [""; 0]);
    }

    #[test]
    fn the_last_value_counts() {
        let arguments = Arguments::parse(b"-f\0-f\0one\0--limit=2\0-f\0two\0--limits=3\0-f\0");
        assert_eq!(arguments.value_of("-f"), Some("two"));
        assert_eq!(arguments.value_of("--limit"), Some("2"));
        assert_eq!(arguments.value_of("-x"), None);
    }

    #[test]
    fn a_program_has_a_name_whatever_it_wrote_over_it() {
        let program = |text: &str| Arguments::parse(text.as_bytes()).program().to_owned();
        assert_eq!(program("/usr/sbin/haproxy\0-f\0x\0"), "haproxy");
        assert_eq!(program("nginx: worker process\0"), "nginx");
        assert_eq!(program("node /srv/a.js\0"), "node");
        assert_eq!(program(""), "");
    }

    #[test]
    fn arguments_are_not_shown() {
        let arguments = Arguments::parse(b"/bin/x\0--password\0secret\0");
        assert_eq!(format!("{arguments:?}"), "Arguments(3 of x)");
    }
}
