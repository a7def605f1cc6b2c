//! The variables of a process that decide a limit: /proc/PID/environ.
//!
//! Any other variable may be a password, so it is dropped as it is read, and of those that are kept
//! only names are printed for debugging. What is read is what the process was started with: what it
//! changed later is not there.

use std::fmt;

/// The variables that are kept.
pub const VARIABLES: [&str; 13] = [
    "ELIXIR_ERL_OPTIONS",
    "ERL_AFLAGS",
    "ERL_FLAGS",
    "ERL_MAX_PORTS",
    "ERL_ZFLAGS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "NODE_OPTIONS",
    "NODE_UNIQUE_ID",
    "RELEASE_VM_ARGS",
    "UV_THREADPOOL_SIZE",
    "VMARGS_PATH",
    "_JAVA_OPTIONS",
];

/// The variables of a process that say something of its limits.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: Vec<(&'static str, String)>,
}

impl Environment {
    /// Reads the bytes of /proc/PID/environ, `NAME=VALUE` with a zero byte behind each.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut variables: Vec<(&'static str, String)> = Vec::new();
        for entry in bytes.split(|byte| *byte == 0) {
            let Some(at) = entry.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let known = VARIABLES
                .into_iter()
                .find(|name| name.as_bytes() == &entry[..at]);
            let Some(name) = known else { continue };
            // Of two with one name the first is what a program finds (`man 3 getenv`).
            if variables.iter().all(|(seen, _)| *seen != name) {
                let value = String::from_utf8_lossy(&entry[at + 1..]).into_owned();
                variables.push((name, value));
            }
        }
        Self { variables }
    }

    /// The value of one of [`VARIABLES`], if it was set.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut variables = self.variables.iter();
        variables
            .find(|(it, _)| *it == name)
            .map(|(_, value)| &**value)
    }

    /// The names of those that were set, in the order of the process.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.variables.iter().map(|(name, _)| *name)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_is_kept() {
        let environment = Environment::parse(
            b"HOME=/root\0ERL_FLAGS=+Q 2048 -setcookie secret\0RELEASE_COOKIE=secret\0\
              odd\0=x\0UV_THREADPOOL_SIZE=\0ERL_FLAGS=again\0NODE_OPTIONS=a=b\xff",
        );
        let names: Vec<_> = environment.names().collect();
        assert_eq!(names, ["ERL_FLAGS", "UV_THREADPOOL_SIZE", "NODE_OPTIONS"]);
        let flags = environment.value("ERL_FLAGS");
        assert_eq!(flags, Some("+Q 2048 -setcookie secret"));
        assert_eq!(environment.value("UV_THREADPOOL_SIZE"), Some(""));
        assert_eq!(environment.value("NODE_OPTIONS"), Some("a=b\u{fffd}"));
        assert_eq!(environment.value("HOME"), None);
        assert!(!format!("{environment:?}").contains("secret"));
        assert_eq!(Environment::parse(b""), Environment::default());
    }

    #[test]
    fn no_secret_is_among_the_variables() {
        let mut sorted = VARIABLES;
        sorted.sort_unstable();
        assert_eq!(sorted, VARIABLES, "in order, so that one is found");
        assert!(!VARIABLES.contains(&"RELEASE_COOKIE"));
    }
}
