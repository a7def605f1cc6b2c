//! The Java virtual machine (HotSpot): heap, memory outside of it, threads and their stacks.
//!
//! Options come from variables and from the arguments in front of the class or the jar; the last of
//! each counts. In their order: `JAVA_TOOL_OPTIONS`, `JDK_JAVA_OPTIONS`, arguments, `_JAVA_OPTIONS`.

use super::{RuntimeLimit, Source, Told, Usage};
use crate::process::{Arguments, Environment, Known, Process, Unknown};

/// The stack of a thread on 64-bit Linux (`-XX:ThreadStackSize`).
const STACK_BYTES_DEFAULT: u64 = 1 << 20;

/// Options of `java` whose value is the next argument.
const WITH_VALUE: [&str; 9] = [
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--add-opens",
    "--add-exports",
];

/// What one virtual machine was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Java {
    /// The most that the heap may grow to, bytes.
    pub heap_bytes: Told,
    /// The most that direct buffers may take, bytes.
    pub direct_bytes: Told,
    /// The stack of each thread, bytes.
    pub stack_bytes: Known<u64>,
    /// Whether it has raised its soft limit on descriptors to the hard one.
    pub raises_descriptors: bool,
}

impl Java {
    /// Tells what a machine was told with `arguments` and `environment`.
    pub fn new(arguments: &Known<Arguments>, environment: &Known<Environment>) -> Self {
        let options = Options::of(arguments, environment);
        let heap = options.heap();
        let stack = options.last(|option| {
            let bytes = option.strip_prefix("-Xss").map(parse_bytes);
            let kilobytes = || {
                option
                    .strip_prefix("-XX:ThreadStackSize=")
                    .map(parse_kilobytes)
            };
            bytes.or_else(kilobytes)
        });
        let files = options.last(|option| match option {
            "-XX:-MaxFDLimit" => Some(false),
            "-XX:+MaxFDLimit" => Some(true),
            _ => None,
        });
        Self {
            direct_bytes: options.direct(&heap),
            heap_bytes: heap,
            stack_bytes: stack.map_or(Ok(STACK_BYTES_DEFAULT), |(bytes, _)| bytes),
            raises_descriptors: files.is_none_or(|(raises, _)| raises),
        }
    }

    pub(super) fn limits(&self, process: &Process, usage: &Usage) -> Vec<RuntimeLimit> {
        let meaning = if self.raises_descriptors {
            "each connection takes a descriptor; the Java VM has raised the soft limit to the hard one \
             by itself when it started (MaxFDLimit)"
        } else {
            "each connection takes a descriptor; it was started with -XX:-MaxFDLimit, so the soft limit \
             was left as it was"
        };
        let remedy = "raise the hard limit before the start: LimitNOFILE=N in a systemd unit, or \
                      --ulimit nofile=N:N for a container";
        vec![
            usage.descriptors(process, meaning, remedy),
            RuntimeLimit {
                name: "-Xmx (heap)".to_owned(),
                value: self.heap_bytes.value.clone(),
                unit: "bytes",
                used: None,
                source: self.heap_bytes.source.to_string(),
                meaning: "objects of all connections; when it is full, pauses grow and then \
                          threads end with OutOfMemoryError"
                    .to_owned(),
                remedy: "start it with a larger -Xmx, below the memory of the machine or the \
                         control group by what stacks and direct buffers take"
                    .to_owned(),
            },
            RuntimeLimit {
                name: "-XX:MaxDirectMemorySize".to_owned(),
                value: self.direct_bytes.value.clone(),
                unit: "bytes",
                used: None,
                source: self.direct_bytes.source.to_string(),
                meaning: "direct buffers, which servers on Netty read into and write from; they \
                          are not in the heap"
                    .to_owned(),
                remedy: "start it with -XX:MaxDirectMemorySize=N".to_owned(),
            },
            self.threads(process),
        ]
    }

    /// What bounds a server that takes a thread for each connection.
    fn threads(&self, process: &Process) -> RuntimeLimit {
        let processes = process.limits.processes.as_ref().map(|bounds| bounds.soft);
        let pids = process
            .cgroup
            .pids
            .as_ref()
            .ok()
            .and_then(|group| group.tightest());
        let (value, source) = match (processes, pids) {
            (Ok(soft), Some((level, left))) if level.max.as_ref().is_ok_and(|max| *max < soft) => {
                let used = process.status.threads_count.as_ref().copied().unwrap_or(0);
                (Ok(used + left), "pids.max of its control group")
            }
            (processes, _) => (
                processes.map_err(Clone::clone),
                "Max processes in /proc/PID/limits, which counts those of the user together",
            ),
        };
        let stack = match self.stack_bytes {
            Ok(bytes) => format!(
                ", each with {} KB of address space for its stack",
                bytes >> 10
            ),
            Err(_) => String::new(),
        };
        RuntimeLimit {
            name: "threads".to_owned(),
            value,
            unit: "threads",
            used: process.status.threads_count.as_ref().copied().ok(),
            source: source.to_owned(),
            meaning: format!(
                "a server that takes a thread for each connection is bounded by them{stack}; virtual \
                 threads and event loops are not"
            ),
            remedy: "raise LimitNPROC and TasksMax of the systemd unit, or --pids-limit of the \
                     container, and give threads a smaller stack with -Xss"
                .to_owned(),
        }
    }
}

/// All options of a machine in their order, each with where it comes from.
struct Options<'a> {
    options: Vec<(&'a str, Source)>,
    /// Why there may be more.
    unknown: Option<&'a Unknown>,
}

impl<'a> Options<'a> {
    fn of(arguments: &'a Known<Arguments>, environment: &'a Known<Environment>) -> Self {
        let mut options = Vec::new();
        let variable = |name: &'static str| {
            let text = environment.as_ref().ok().and_then(|it| it.value(name));
            let words = text.unwrap_or_default().split_whitespace();
            words.map(move |word| (word, Source::Variable(name)))
        };
        options.extend(variable("JAVA_TOOL_OPTIONS"));
        options.extend(variable("JDK_JAVA_OPTIONS"));
        if let Ok(arguments) = arguments {
            options.extend(of_machine(arguments).map(|word| (word, Source::Arguments)));
        }
        options.extend(variable("_JAVA_OPTIONS"));
        Self {
            options,
            unknown: arguments
                .as_ref()
                .err()
                .or_else(|| environment.as_ref().err()),
        }
    }

    /// The last option that `value` knows.
    fn last<T>(&self, value: impl Fn(&'a str) -> Option<T>) -> Option<(T, Source)> {
        let mut options = self.options.iter().rev();
        options.find_map(|(option, source)| Some((value(option)?, source.clone())))
    }

    fn heap(&self) -> Told {
        let told = self.last(|option| {
            let names = ["-Xmx", "-XX:MaxHeapSize="];
            let size = names.into_iter().find_map(|name| option.strip_prefix(name));
            let share = || {
                option
                    .strip_prefix("-XX:MaxRAMPercentage=")
                    .map(share_of_memory)
            };
            size.map(parse_bytes).or_else(share)
        });
        let quarter = "a quarter of the memory of the machine or of the control group";
        let default = || (Err(self.unset(quarter)), Source::Default(quarter));
        let (value, source) = told.unwrap_or_else(default);
        Told::new(value, source)
    }

    fn direct(&self, heap: &Told) -> Told {
        let told = self.last(|option| {
            let size = option.strip_prefix("-XX:MaxDirectMemorySize=")?;
            // Zero is the default, too.
            Some(parse_bytes(size)).filter(|bytes| *bytes != Ok(0))
        });
        let default = || (heap.value.clone(), Source::Default("as much as the heap"));
        let (value, source) = told.unwrap_or_else(default);
        Told::new(value, source)
    }

    fn unset(&self, default: &str) -> Unknown {
        let unset = || Unknown::Unset(default.to_owned());
        self.unknown.cloned().unwrap_or_else(unset)
    }
}

/// The arguments of the machine itself: those in front of the class or the jar.
fn of_machine(arguments: &Arguments) -> impl Iterator<Item = &str> {
    let mut is_value = false;
    arguments.iter().skip(1).take_while(move |argument| {
        let is_option = argument.starts_with('-') && *argument != "-jar";
        // What `@file` names is not followed.
        let goes_on = is_value || is_option || argument.starts_with('@');
        is_value = !is_value && WITH_VALUE.contains(argument);
        goes_on
    })
}

fn share_of_memory(percent: &str) -> Known<u64> {
    let words = format!("{percent} % of the memory of the machine or of the control group");
    Err(Unknown::Unset(words))
}

/// A size as HotSpot reads it: a number and, if it is not bytes, one of k, m, g and t.
fn parse_bytes(text: &str) -> Known<u64> {
    let odd = || Unknown::odd("the size", text, "a number and k, m, g or t");
    let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
        Some(b'k') => (&text[..text.len() - 1], 10),
        Some(b'm') => (&text[..text.len() - 1], 20),
        Some(b'g') => (&text[..text.len() - 1], 30),
        Some(b't') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| odd())?;
    number.checked_mul(1 << shift).ok_or_else(odd)
}

/// Of this option alone the number is in units of 1024 bytes.
fn parse_kilobytes(text: &str) -> Known<u64> {
    let odd = || Unknown::odd("the size", text, "a number of kilobytes");
    let number: u64 = text.parse().map_err(|_| odd())?;
    number.checked_mul(1024).ok_or_else(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn java(arguments: &str, environment: &str) -> Java {
        Java::new(
            &Ok(Arguments::parse(arguments.replace(' ', "\0").as_bytes())),
            &Ok(Environment::parse(
                environment.replace('|', "\0").as_bytes(),
            )),
        )
    }

    #[test]
    fn sizes_are_read_as_hotspot_reads_them() {
        assert_eq!(parse_bytes("4g"), Ok(4 << 30));
        assert_eq!(parse_bytes("512M"), Ok(512 << 20));
        assert_eq!(parse_bytes("1t"), Ok(1 << 40));
        assert_eq!(parse_bytes("65536k"), Ok(64 << 20));
        assert_eq!(parse_bytes("1024"), Ok(1024));
        for odd in ["", "g", "4gb", "-1", "\u{e9}", "99999999999999999g"] {
            assert!(
                matches!(parse_bytes(odd), Err(Unknown::Odd { .. })),
                "{odd}"
            );
        }
    }

    #[test]
    fn the_last_option_counts() {
        let told = java(
            "java -Xmx1g -cp a.jar -Xss512k -XX:MaxHeapSize=3g -jar app.jar -Xmx9g",
            "JAVA_TOOL_OPTIONS=-Xmx2g -XX:-MaxFDLimit",
        );
        assert_eq!(told.heap_bytes.value, Ok(3 << 30));
        assert_eq!(told.heap_bytes.source, Source::Arguments);
        assert_eq!(told.direct_bytes.value, Ok(3 << 30));
        assert_eq!(told.stack_bytes, Ok(512 << 10));
        assert!(!told.raises_descriptors);
        let last = java("java -Xmx1g App", "_JAVA_OPTIONS=-Xmx4g");
        assert_eq!(last.heap_bytes.source, Source::Variable("_JAVA_OPTIONS"));
        assert_eq!(last.heap_bytes.value, Ok(4 << 30));
    }

    #[test]
    fn what_java_was_not_told_it_chooses() {
        let told = java(
            "java -XX:MaxDirectMemorySize=2g -XX:MaxRAMPercentage=75.0 App",
            "",
        );
        assert_eq!(
            told.heap_bytes.value.unwrap_err().to_string(),
            "not set: 75.0 % of the memory of the machine or of the control group"
        );
        assert_eq!(told.direct_bytes.value, Ok(2 << 30));
        assert_eq!(told.stack_bytes, Ok(1 << 20));
        assert!(told.raises_descriptors);
        let nothing = java("java App", "");
        assert!(matches!(nothing.heap_bytes.value, Err(Unknown::Unset(_))));
        assert_eq!(nothing.direct_bytes.value, nothing.heap_bytes.value);
    }

    #[test]
    fn stacks_have_two_units() {
        let stack = java("java -XX:ThreadStackSize=256 App", "").stack_bytes;
        assert_eq!(stack, Ok(256 << 10));
    }
}
