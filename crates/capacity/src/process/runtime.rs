//! What the runtime of a program bounds on top of what the kernel does.
//!
//! Three limits hide behind one symptom and are easily mixed up: the runtime's own tables, the
//! descriptors of the process, and the addresses and ports of who dials. Here is the first, as far as it
//! can be told from outside: from arguments, variables and configuration files, which say what the
//! runtime was *told*; each limit says where it was found. One file for each runtime.

mod beam;
mod fourtuple;
mod go;
pub mod haproxy;
mod java;
pub mod nginx;
mod node;
mod python;

use std::fmt;

pub use beam::Beam;
pub(crate) use fourtuple::dialled_port;
pub use haproxy::Haproxy;
pub use java::Java;
pub use nginx::Nginx;
pub use node::Node;
pub use python::Python;

use super::{Known, Process, Sockets};

/// What runs a program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Runtime {
    /// The Erlang virtual machine, also of Elixir.
    Beam(Beam),
    /// Our own server or crowd.
    Fourtuple,
    /// A program in Go that is known by its name.
    Go,
    /// HAProxy.
    Haproxy(Haproxy),
    /// A Java virtual machine.
    Java(Java),
    /// nginx.
    Nginx(Nginx),
    /// Node.js.
    Node(Node),
    /// Python.
    Python(Python),
    /// None of which a limit of its own is known.
    Other,
}

/// A limit that a runtime has or sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeLimit {
    /// What it is called where it is set.
    pub name: String,
    /// How much is allowed.
    pub value: Known<u64>,
    /// Of what: `handles`, `bytes`.
    pub unit: &'static str,
    /// How much is used, where it can be told; `meaning` says so if it is estimated.
    pub used: Option<u64>,
    /// How the value was read.
    pub source: String,
    /// What it bounds, in plain words; a clause, or several.
    pub meaning: String,
    /// What raises it; a clause that reads on after "to hold more, ".
    pub remedy: String,
}

/// A value that a runtime was told, or chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What applies.
    pub value: Known<u64>,
    /// Where it comes from.
    pub source: Source,
}

/// Where a runtime was told a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// In its arguments.
    Arguments,
    /// In a variable of its environment.
    Variable(&'static str),
    /// In a file, as that is now: it may have been changed since the program read it.
    File(String),
    /// Nowhere, so it decided by itself, by what the words say.
    Default(&'static str),
}

impl Runtime {
    /// Tells what runs a process by the name of its program, and reads what it was told.
    pub fn detect(process: &Process) -> Self {
        match process.program() {
            name if name.starts_with("beam") => Self::Beam(Beam::of(process)),
            "fourtuple" => Self::Fourtuple,
            name if go::is_go(name) => Self::Go,
            "haproxy" => Self::Haproxy(Haproxy::of(process)),
            "java" => Self::Java(Java::new(&process.arguments, &process.environment)),
            "nginx" | "openresty" | "angie" => Self::Nginx(Nginx::of(process)),
            "node" | "nodejs" => Self::Node(Node::new(&process.arguments, &process.environment)),
            name if is_python(name) => Self::Python(Python::new(&process.arguments)),
            _ => Self::Other,
        }
    }

    /// What people call it; `None` where it is not known.
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Beam(_) => "Erlang VM",
            Self::Fourtuple => "fourtuple",
            Self::Go => "Go",
            Self::Haproxy(_) => "HAProxy",
            Self::Java(_) => "Java VM",
            Self::Nginx(_) => "nginx",
            Self::Node(_) => "Node.js",
            Self::Python(_) => "Python",
            Self::Other => return None,
        })
    }

    /// Its limits, the one that is met first by many connections in front. With `sockets`, what
    /// [`Process::sockets`] found, it can be told how much of some is used.
    pub fn limits(&self, process: &Process, sockets: Option<&Sockets>) -> Vec<RuntimeLimit> {
        let usage = Usage::of(process, sockets);
        match self {
            Self::Beam(beam) => beam.limits(process, &usage),
            Self::Fourtuple => fourtuple::limits(process, &usage),
            Self::Go => go::limits(process, &usage),
            Self::Haproxy(haproxy) => haproxy.limits(process, &usage),
            Self::Java(java) => java.limits(process, &usage),
            Self::Nginx(nginx) => nginx.limits(process, &usage),
            Self::Node(node) => node.limits(process, &usage),
            Self::Python(python) => python.limits(process, &usage),
            Self::Other => Vec::new(),
        }
    }
}

/// What a process uses, as far as it could be read.
struct Usage {
    descriptors: Option<u64>,
    /// About how many of them are sockets.
    sockets: Option<u64>,
}

impl Usage {
    fn of(process: &Process, sockets: Option<&Sockets>) -> Self {
        let open = process.descriptors.as_ref().ok().map(|it| it.open_count);
        Self {
            descriptors: open,
            sockets: sockets.map(|sockets| sockets.estimate(open.unwrap_or(0))),
        }
    }

    /// The limit on the descriptors of a process, with what its runtime makes of it.
    fn descriptors(&self, process: &Process, meaning: &str, remedy: &str) -> RuntimeLimit {
        RuntimeLimit {
            name: "RLIMIT_NOFILE".to_owned(),
            value: soft_descriptors(process),
            unit: "descriptors",
            used: self.descriptors,
            source: "the soft limit in /proc/PID/limits".to_owned(),
            meaning: meaning.to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}

impl Told {
    const fn new(value: Known<u64>, source: Source) -> Self {
        Self { value, source }
    }

    const fn by_default(value: u64, rule: &'static str) -> Self {
        Self::new(Ok(value), Source::Default(rule))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments => f.write_str("its arguments"),
            Self::Variable(name) => write!(f, "{name} in its environment"),
            Self::File(path) => write!(f, "{path}, as it is now"),
            Self::Default(rule) => write!(f, "default: {rule}"),
        }
    }
}

fn soft_descriptors(process: &Process) -> Known<u64> {
    let bounds = process.limits.open_files.as_ref();
    bounds.map(|bounds| bounds.soft).map_err(Clone::clone)
}

fn is_python(name: &str) -> bool {
    // A server that Python starts by its own script is still the interpreter to the kernel.
    name.starts_with("python") || name.starts_with("pypy")
}
