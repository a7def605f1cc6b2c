//! The Erlang virtual machine, and the table behind the gauge "Ports" of Phoenix LiveDashboard.
//!
//! `erl` gathers flags from variables, files and its own arguments, and starts the machine with all of
//! them, `+Q` written as `-Q`, in front of a first `--` (as seen with OTP 25):
//!
//! ```text
//!  beam.smp -Q 1024 -- -root /usr/lib/erlang -bindir … -progname erl -- -home … -- -noshell
//! ```
//!
//! The last one counts, by the digits that it begins with. Flags of `ERL_AFLAGS` come before the
//! arguments, those of `ERL_FLAGS` and then `ERL_ZFLAGS` behind them (`erl_cmd.md` of OTP); the files of
//! `-args_file` are put in place. Without any, the table has 65,536 entries, or as many as the process
//! may open descriptors at its start if these are more: its soft limit (`sysconf(_SC_OPEN_MAX)`).
//! Whatever the number is, the table has the next power of two, and at most 134,217,727 entries.

use super::{RuntimeLimit, Source, Told, Usage, soft_descriptors};
use crate::{
    Grouped,
    process::{Arguments, Bounds, Environment, Known, Process, Unknown, arguments::base_name},
};

/// What a table has at least, at most, and without being told.
const PORTS_MIN: u64 = 1 << 10;
const PORTS_MAX: u64 = (1 << 27) - 1;
const PORTS_DEFAULT: u64 = 1 << 16;

/// What an entry takes, used or not, bytes: by how much an empty machine grows from 2^10 to 2^27 of them.
const PORT_BYTES: u64 = 12;

/// From how many entries on this is told.
const PORTS_COSTLY_MIN: u64 = 1 << 23;

/// The default of `+P`, and what it was before OTP 27, whose runtime system (ERTS) is 15.
const PROCESSES_DEFAULT: u64 = 1 << 20;
const PROCESSES_DEFAULT_OLD: u64 = 1 << 18;
const ERTS_OF_NEW_DEFAULT: u64 = 15;

/// The variables that `erl` takes flags from, in the order in which it applies them, its own arguments
/// being behind the first.
const FLAG_VARIABLES: [&str; 3] = ["ERL_AFLAGS", "ERL_FLAGS", "ERL_ZFLAGS"];

const MAX_PORTS: &str = "ERL_MAX_PORTS";

/// The tables of one Erlang virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beam {
    /// How many handles it can have: `+Q`.
    pub ports_max: Told,
    /// How many Erlang processes it can have: `+P`.
    pub processes_max: Told,
    /// Threads that run Erlang processes, as it was told: `+S`.
    pub schedulers: Option<String>,
    /// Threads for drivers that block, as it was told: `+A`.
    pub async_threads: Option<String>,
    /// The file of flags that the release was started with.
    pub vm_args: Option<String>,
}

impl Beam {
    pub(super) fn of(process: &Process) -> Self {
        Self::new(
            &process.arguments,
            &process.environment,
            &soft_descriptors(process),
            process.exe.as_deref().ok(),
        )
    }

    /// Tells the tables of a machine that was started with `arguments` and `environment` when it might
    /// open `descriptors`, from the program `exe`.
    pub fn new(
        arguments: &Known<Arguments>,
        environment: &Known<Environment>,
        descriptors: &Known<u64>,
        exe: Option<&str>,
    ) -> Self {
        let flags = Flags {
            arguments: arguments.as_ref(),
            environment: environment.as_ref(),
        };
        let words = |flag| flags.last(flag).ok().flatten().map(str::to_owned);
        Self {
            ports_max: flags.ports_max(descriptors),
            processes_max: flags.processes_max(exe),
            schedulers: words('S'),
            async_threads: words('A'),
            vm_args: flags.vm_args(),
        }
    }

    pub(super) fn limits(&self, process: &Process, usage: &Usage) -> Vec<RuntimeLimit> {
        let ports = RuntimeLimit {
            name: "+Q (ports)".to_owned(),
            value: self.ports_max.value.clone(),
            unit: "handles",
            used: usage.sockets,
            source: self.ports_max.source.to_string(),
            meaning: self.explanation(process, usage),
            remedy: self.remedy('Q', "as many as connections and some for the rest"),
        };
        let processes = RuntimeLimit {
            name: "+P (processes)".to_owned(),
            value: self.processes_max.value.clone(),
            unit: "Erlang processes",
            used: None,
            source: self.processes_max.source.to_string(),
            meaning: "processes inside of the Erlang VM, which are no threads; Phoenix takes one \
                      for each connection and one for each channel that it joined"
                .to_owned(),
            remedy: self.remedy('P', "two for each connection and some for the rest"),
        };
        let descriptors = usage.descriptors(
            process,
            "each socket takes a descriptor as well as a handle; the Erlang VM does not raise its soft \
             limit, and sizes its table of handles by it at its start",
            "raise the soft limit before the start: `ulimit -n N`, or LimitNOFILE=N in a systemd unit",
        );
        vec![ports, descriptors, processes]
    }

    /// What the gauge "Ports" counts, with the numbers of this machine.
    fn explanation(&self, process: &Process, usage: &Usage) -> String {
        let what = "the gauge \"Ports\" of Phoenix LiveDashboard shows this table: handles of the \
                    Erlang VM, one for each TCP or UDP socket and each external program it runs. They \
                    have nothing to do with TCP port numbers, of which a server needs one for all its \
                    connections together";
        let Ok(ports) = self.ports_max.value else {
            return what.to_owned();
        };
        let used = usage.sockets.map_or(String::new(), |used| {
            let used = Grouped(used);
            format!(" (about {used} in use, by the number of its sockets)")
        });
        let first = match soft_descriptors(process) {
            Ok(Bounds::UNLIMITED) | Err(_) => String::new(),
            Ok(soft) if soft <= ports => format!(
                ". Its descriptors run out before them: it may open {}, and each socket takes one",
                Grouped(soft)
            ),
            Ok(soft) => format!(
                ". They run out before its descriptors, of which it may open {}",
                Grouped(soft)
            ),
        };
        let cost = if ports >= PORTS_COSTLY_MIN {
            let megabytes = Grouped((ports * PORT_BYTES) >> 20);
            format!(". The table takes {megabytes} MB, used or not")
        } else {
            String::new()
        };
        let ports = Grouped(ports);
        format!("{what}. This VM has {ports} handles{used}{first}{cost}")
    }

    fn remedy(&self, flag: char, enough: &str) -> String {
        let file = match &self.vm_args {
            Some(path) => format!("vm.args ({path})"),
            None => "vm.args".to_owned(),
        };
        format!(
            "start it with `+{flag} N` in {file}, or with ERL_FLAGS=\"+{flag} N\" in its environment, \
             where N is {enough}"
        )
    }
}

/// What a machine was started with.
#[derive(Clone, Copy)]
struct Flags<'a> {
    arguments: Result<&'a Arguments, &'a Unknown>,
    environment: Result<&'a Environment, &'a Unknown>,
}

impl<'a> Flags<'a> {
    fn ports_max(&self, descriptors: &Known<u64>) -> Told {
        if let Some(told) = self.told('Q') {
            return told;
        }
        let variable = self.environment.map(|it| it.value(MAX_PORTS));
        if let Ok(Some(text)) = variable {
            // Unlike that of `+Q`, a number that is out of range is brought into it, after it has lost
            // the bits that do not fit into 32 (`man 3 atoi`, as it is made here).
            let asked = leading_number(text).unwrap_or(0) as i32;
            let ports = table_size(u64::try_from(asked).unwrap_or(0));
            return Told::new(Ok(ports), Source::Variable(MAX_PORTS));
        }
        let by_descriptors = |soft: u64| table_size(soft.max(PORTS_DEFAULT));
        let rule = if variable.is_ok() {
            "65,536, or the soft limit on descriptors at its start if that is more"
        } else {
            "65,536, or the soft limit on descriptors at its start if that is more; its environment may \
             not be read, where ERL_MAX_PORTS could say otherwise"
        };
        Told::new(
            descriptors.clone().map(by_descriptors),
            Source::Default(rule),
        )
    }

    fn processes_max(&self, exe: Option<&str>) -> Told {
        const RULE: &str = "1,048,576, and 262,144 before OTP 27";
        let default = || match exe.and_then(erts_version) {
            Some(..ERTS_OF_NEW_DEFAULT) => Told::by_default(PROCESSES_DEFAULT_OLD, RULE),
            Some(_) => Told::by_default(PROCESSES_DEFAULT, RULE),
            None => {
                let unset = format!("{RULE}; which one it is cannot be told from its path");
                Told::new(Err(Unknown::Unset(unset)), Source::Default(RULE))
            }
        };
        self.told('P').unwrap_or_else(default)
    }

    /// The size of a table that the last `-FLAG N` sets.
    fn told(&self, flag: char) -> Option<Told> {
        let value = match self.last(flag) {
            Ok(None) => return None,
            Ok(Some(text)) => match leading_number(text).map(u64::try_from) {
                Some(Ok(asked)) => Ok(table_size(asked)),
                _ => {
                    let place = format!("-{flag} in /proc/PID/cmdline");
                    Err(Unknown::odd(place, text, "a whole number"))
                }
            },
            Err(unknown) => Err(unknown.clone()),
        };
        Some(Told::new(value, self.source(flag)))
    }

    /// The value of the last `-FLAG VALUE` or `-FLAGVALUE` of the machine itself.
    fn last(&self, flag: char) -> Result<Option<&'a str>, &'a Unknown> {
        let mut found = None;
        let mut words = emulator_flags(self.arguments?);
        while let Some(word) = words.next() {
            if !is_flag(word, '-', flag) {
                continue;
            }
            found = match &word[2..] {
                // `+Q legacy` is a way to number handles and leaves their count.
                "" => words.next().filter(|value| *value != "legacy").or(found),
                value => Some(value),
            };
        }
        Ok(found)
    }

    /// Whose the last one was.
    fn source(&self, flag: char) -> Source {
        let Ok(environment) = self.environment else {
            return Source::Arguments;
        };
        let count = |name| {
            environment
                .value(name)
                .map_or(0, |text| flags_in(text, flag))
        };
        let [before, behind, last] = FLAG_VARIABLES.map(count);
        let all = self.arguments.map_or(0, |arguments| {
            let words = emulator_flags(arguments);
            words.filter(|word| is_flag(word, '-', flag)).count()
        });
        match (last, behind) {
            (1.., _) => Source::Variable("ERL_ZFLAGS"),
            (0, 1..) => Source::Variable("ERL_FLAGS"),
            _ if all <= before => Source::Variable("ERL_AFLAGS"),
            _ if count("ELIXIR_ERL_OPTIONS") > 0 => Source::Variable("ELIXIR_ERL_OPTIONS"),
            _ => Source::Arguments,
        }
    }

    /// The file of flags that somebody would change: a release names it in its environment, and else
    /// it may be among the flags there.
    fn vm_args(&self) -> Option<String> {
        let environment = self.environment.ok()?;
        let named = ["RELEASE_VM_ARGS", "VMARGS_PATH"]
            .into_iter()
            .find_map(|name| environment.value(name).filter(|path| !path.is_empty()));
        let among_flags = || {
            FLAG_VARIABLES.into_iter().find_map(|name| {
                let mut words = environment.value(name)?.split_whitespace();
                words.find(|word| *word == "-args_file")?;
                words.next()
            })
        };
        named.or_else(among_flags).map(str::to_owned)
    }
}

/// The flags of the machine itself: all in front of the first `--`.
fn emulator_flags(arguments: &Arguments) -> impl Iterator<Item = &str> {
    let words = arguments.iter().skip(1);
    words.take_while(|word| *word != "--")
}

/// How often a text of flags, as in a variable, has `+FLAG`.
fn flags_in(text: &str, flag: char) -> usize {
    let words = text.split_whitespace();
    words.filter(|word| is_flag(word, '+', flag)).count()
}

/// Whether a word is the flag, with its value or without it; `+SP` and `+SDcpu` are others than `+S`.
fn is_flag(word: &str, sign: char, flag: char) -> bool {
    let rest = word
        .strip_prefix(sign)
        .and_then(|rest| rest.strip_prefix(flag));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// How many entries a table has that should have `entries`.
fn table_size(entries: u64) -> u64 {
    let entries = entries.clamp(PORTS_MIN, PORTS_MAX);
    entries.next_power_of_two().min(PORTS_MAX)
}

/// The number that a text begins with, as `man 3 strtol` reads it.
fn leading_number(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let digits = &digits[..end.unwrap_or(digits.len())];
    let too_long = (!digits.is_empty()).then_some(i64::MAX);
    let number = digits.parse().ok().or(too_long)?;
    Some(sign * number)
}

/// The version of the runtime system that is in the path of the program: `…/erts-13.1.5/bin/beam.smp`.
fn erts_version(exe: &str) -> Option<u64> {
    let (folder, _) = exe.rsplit_once("/bin/")?;
    let version = base_name(folder).strip_prefix("erts-")?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beam(arguments: &str, environment: &str, descriptors: u64) -> Beam {
        let arguments = format!("beam.smp {arguments} -- -root /usr/lib/erlang -- -- -Q 9");
        Beam::new(
            &Ok(Arguments::parse(arguments.replace(' ', "\0").as_bytes())),
            &Ok(Environment::parse(
                environment.replace('|', "\0").as_bytes(),
            )),
            &Ok(descriptors),
            Some("/usr/lib/erlang/erts-13.1.5/bin/beam.smp"),
        )
    }

    /// What `erlang:system_info(port_limit)` of OTP 25 said to the same.
    #[test]
    fn the_table_is_as_large_as_the_machine_says() {
        let default = Source::Default(
            "65,536, or the soft limit on descriptors at its start if that is more",
        );
        for (arguments, environment, descriptors, ports, source) in [
            ("", "", 1_024, 65_536, default.clone()),
            ("", "", 20_000, 65_536, default.clone()),
            ("", "", 65_536, 65_536, default.clone()),
            ("", "", 65_537, 131_072, default.clone()),
            ("", "", 200_000, 262_144, default.clone()),
            ("", "", 1_048_576, 1_048_576, default.clone()),
            ("", "", 1_073_741_816, 134_217_727, default.clone()),
            ("", "", Bounds::UNLIMITED, 134_217_727, default.clone()),
            ("-Q legacy", "", 1_024, 65_536, default),
            ("-Q 1024", "", 20_000, 1_024, Source::Arguments),
            ("-Q 3000", "", 1_024, 4_096, Source::Arguments),
            ("-Q1025", "", 1_024, 2_048, Source::Arguments),
            ("-Q 2048x", "", 1_024, 2_048, Source::Arguments),
            ("-Q 2048 -Q legacy", "", 1_024, 2_048, Source::Arguments),
            ("-Q 67108865", "", 1_024, 134_217_727, Source::Arguments),
        ] {
            let told = beam(arguments, environment, descriptors).ports_max;
            assert_eq!(
                told,
                Told::new(Ok(ports), source),
                "{arguments} {descriptors}"
            );
        }
    }

    #[test]
    fn the_last_flag_counts_and_says_whose_it_is() {
        for (arguments, environment, ports, source) in [
            ("-Q 2048", "ERL_FLAGS=+Q 2048", 2_048, "ERL_FLAGS"),
            ("-Q 4096 -Q 2048", "ERL_FLAGS=+Q 2048", 2_048, "ERL_FLAGS"),
            ("-Q 9000 -A 4", "ERL_AFLAGS=+Q 9000", 16_384, "ERL_AFLAGS"),
            (
                "-Q 4096 -Q 2048 -Q 8192",
                "ERL_ZFLAGS=+Q8192|ERL_FLAGS=+Q 2048",
                8_192,
                "ERL_ZFLAGS",
            ),
            (
                "-Q 5000",
                "ELIXIR_ERL_OPTIONS=+Q 5000",
                8_192,
                "ELIXIR_ERL_OPTIONS",
            ),
        ] {
            let told = beam(arguments, environment, 1_024).ports_max;
            assert_eq!(told, Told::new(Ok(ports), Source::Variable(source)));
        }
        let told = beam("-Q 2048 -Q 4096", "ERL_AFLAGS=+Q 2048", 1_024).ports_max;
        assert_eq!(told, Told::new(Ok(4_096), Source::Arguments));
    }

    #[test]
    fn a_variable_sets_the_table_where_no_flag_does() {
        for (value, ports) in [
            ("5000", 8_192),
            ("10", 1_024),
            ("x", 1_024),
            ("7000x", 8_192),
            ("-5", 1_024),
            ("999999999999", 1_024),
            ("", 1_024),
        ] {
            let told = beam("", &format!("ERL_MAX_PORTS={value}"), 1_024).ports_max;
            let expected = Told::new(Ok(ports), Source::Variable(MAX_PORTS));
            assert_eq!(told, expected, "{value}");
        }
        let told = beam("-Q 2048", "ERL_MAX_PORTS=5000", 1_024).ports_max;
        assert_eq!(told, Told::new(Ok(2_048), Source::Arguments));
    }

    #[test]
    fn processes_have_a_table_of_their_own() {
        assert_eq!(beam("-P 3000", "", 1_024).processes_max.value, Ok(4_096));
        assert_eq!(beam("-SP 50", "", 1_024).processes_max.value, Ok(262_144));
        let nothing = || Ok(Arguments::default());
        let of = |exe| {
            Beam::new(&nothing(), &Ok(Environment::default()), &Ok(1_024), exe)
                .processes_max
                .value
        };
        assert_eq!(of(Some("/app/erts-15.2/bin/beam.smp")), Ok(1_048_576));
        assert!(matches!(
            of(Some("/usr/bin/beam.smp")),
            Err(Unknown::Unset(_))
        ));
        assert!(matches!(of(None), Err(Unknown::Unset(_))));
    }

    #[test]
    fn other_flags_and_the_file_of_flags_are_kept() {
        let told = beam(
            "-Q 6000 -S 2:2 -SDcpu 1:1 -A 4",
            "ERL_FLAGS=-args_file /etc/shop/vm.args",
            1_024,
        );
        assert_eq!(told.schedulers.as_deref(), Some("2:2"));
        assert_eq!(told.async_threads.as_deref(), Some("4"));
        assert_eq!(told.vm_args.as_deref(), Some("/etc/shop/vm.args"));
        let release = beam("", "RELEASE_VM_ARGS=/srv/vm.args", 1_024);
        assert_eq!(release.vm_args.as_deref(), Some("/srv/vm.args"));
    }

    #[test]
    fn what_may_not_be_read_is_said() {
        let denied = Unknown::Denied("/proc/7/environ".to_owned());
        let arguments = Ok(Arguments::parse(b"beam.smp\0--\0"));
        let beam = Beam::new(&arguments, &Err(denied.clone()), &Ok(1_024), None);
        assert_eq!(beam.ports_max.value, Ok(65_536));
        assert!(beam.ports_max.source.to_string().contains("ERL_MAX_PORTS"));
        let gone = Unknown::Gone("/proc/7/cmdline".to_owned());
        let beam = Beam::new(&Err(gone.clone()), &Err(denied), &Ok(1_024), None);
        assert_eq!(beam.ports_max.value, Err(gone));
    }
}
