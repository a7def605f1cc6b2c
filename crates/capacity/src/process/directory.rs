//! The directory of one process in /proc, kept open, and files as the process itself sees them.
//!
//! An open directory belongs to one process for good: when that ends, reading fails, also if another
//! process has got its number meanwhile. Whatever is read is bounded.

use std::{
    ffi::CString,
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{Known, Pid, Unknown};

/// How long a file may be to be read, the environment of a process included.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// How many names of a directory of configuration files are looked at.
const NAMES_MAX: usize = 1_024;

const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    // A configuration file that is a pipe must not stop us.
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// One process's directory.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pid: Pid,
    /// Below what everything is read.
    root: PathBuf,
    handle: Arc<OwnedFd>,
}

impl Directory {
    /// Opens the directory of `pid`; [`Unknown::Gone`] where there is none.
    pub(super) fn open(root: &Path, pid: Pid) -> Known<Self> {
        let path = root.join(format!("proc/{pid}"));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(CWD, &path, flags, Mode::empty());
        let place = || format!("/proc/{pid}");
        match handle {
            Ok(handle) => Ok(Self {
                pid,
                root: root.to_owned(),
                handle: Arc::new(handle),
            }),
            Err(Errno::NOENT | Errno::SRCH) => Err(Unknown::Gone(place())),
            Err(errno) => Err(Unknown::of_file(place(), errno)),
        }
    }

    pub(super) const fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What a file of the directory is called in words and reasons.
    pub(super) fn place(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid)
    }

    /// The bytes of a file.
    pub(super) fn bytes(&self, name: &str) -> Known<Vec<u8>> {
        let file = rustix::fs::openat(&self.handle, name, OPEN, Mode::empty())
            .map_err(|errno| self.unknown(name, errno))?;
        read(
            File::from(file),
            || self.place(name),
            |errno| self.unknown(name, errno),
        )
    }

    /// The text of a file; bytes that are none are replaced.
    pub(super) fn text(&self, name: &str) -> Known<String> {
        self.bytes(name).map(into_text)
    }

    /// Where a link leads, as the kernel writes it.
    pub(super) fn link(&self, name: &str) -> Known<String> {
        rustix::fs::readlinkat(&self.handle, name, Vec::new())
            .map(|target| into_text(target.into_bytes()))
            .map_err(|errno| self.unknown(name, errno))
    }

    /// Opens a directory in it for listing.
    pub(super) fn folder(&self, name: &str) -> Known<OwnedFd> {
        rustix::fs::openat(&self.handle, name, OPEN | OFlags::DIRECTORY, Mode::empty())
            .map_err(|errno| self.unknown(name, errno))
    }

    /// Opens something in it only to ask about it, which needs no permission to read it.
    pub(super) fn handle(&self, name: &str) -> Known<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat(&self.handle, name, flags, Mode::empty())
            .map_err(|errno| self.unknown(name, errno))
    }

    /// What an error of the kernel means for something in the directory.
    pub(super) fn unknown(&self, name: &str, errno: Errno) -> Unknown {
        match errno {
            Errno::SRCH => Unknown::Gone(self.place(name)),
            Errno::NOENT if !self.is_there() => Unknown::Gone(self.place(name)),
            errno => Unknown::of_file(self.place(name), errno),
        }
    }

    /// Whether any process has the number now.
    fn is_there(&self) -> bool {
        let path = self.root.join(format!("proc/{}", self.pid));
        rustix::fs::statat(CWD, path, AtFlags::empty()).is_ok()
    }

    /// The text of a file as the process sees it: in a container, that of the container.
    pub(super) fn file_of_process(&self, path: &str) -> Known<String> {
        let file = File::from(self.open_in_its_root(path, OPEN)?);
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => {}
            _ => return Err(Unknown::odd(path, "no file", "a configuration file")),
        }
        read(
            file,
            || path.to_owned(),
            |errno| Unknown::of_file(path, errno),
        )
        .map(into_text)
    }

    /// The names in a directory as the process sees it, in their order, the first [`NAMES_MAX`] of them.
    pub(super) fn names_of_process(&self, path: &str) -> Known<Vec<String>> {
        let folder = self.open_in_its_root(path, OPEN | OFlags::DIRECTORY)?;
        let entries = Dir::new(folder).map_err(|errno| Unknown::of_file(path, errno))?;
        let mut names: Vec<_> = entries
            .flatten()
            .map(|entry| into_text(entry.file_name().to_bytes().to_vec()))
            .filter(|name| !name.starts_with('.'))
            .take(NAMES_MAX)
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a path below the root directory of the process, links included: one that leads to `/x` is
    /// the `/x` of the process.
    fn open_in_its_root(&self, path: &str, flags: OFlags) -> Known<OwnedFd> {
        let root = self.its_root()?;
        let inside = path.trim_start_matches('/');
        let inside = if inside.is_empty() { "." } else { inside };
        let mode = Mode::empty();
        match rustix::fs::openat2(&root, inside, flags, mode, ResolveFlags::IN_ROOT) {
            // Linux before 5.6, or a filter of system calls that does not know this one.
            Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(&root, inside, flags, mode),
            opened => opened,
        }
        .map_err(|errno| Unknown::of_file(path, errno))
    }

    /// The root directory that the process was started in: ours, if it has the mounts that we have, since
    /// it may have left that for a smaller one (`man 2 chroot`) after it read its configuration. Else its
    /// own. Where nothing of that may be known it is ours, but not if the process is in a container.
    fn its_root(&self) -> Known<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let ours = || {
            rustix::fs::openat(CWD, &self.root, flags, Mode::empty())
                .map_err(|errno| Unknown::of_file("/", errno))
        };
        if self.has_our_mounts() {
            return ours();
        }
        match rustix::fs::openat(&self.handle, "root", flags, Mode::empty()) {
            Ok(root) => Ok(root),
            Err(errno) => match self.unknown("root", errno) {
                Unknown::Gone(place) => Err(Unknown::Gone(place)),
                denied if self.is_in_container() => Err(denied),
                _ => ours(),
            },
        }
    }

    /// Whether the process is known to be in our namespace of mounts (`man 7 mount_namespaces`).
    fn has_our_mounts(&self) -> bool {
        let theirs = self.link("ns/mnt");
        theirs.is_ok() && theirs == link_below(&self.root, "/proc/self/ns/mnt")
    }

    /// Whether the process has another number inside of a namespace of its own (`man 7 pid_namespaces`).
    fn is_in_container(&self) -> bool {
        let numbers = |text: &String| {
            let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
            Some(line.split_whitespace().count())
        };
        let status = self.text("status");
        status
            .as_ref()
            .ok()
            .and_then(numbers)
            .is_some_and(|count| count > 1)
    }
}

/// The text of a file below a root that is not of a process.
pub(crate) fn text_below(root: &Path, path: &str) -> Known<String> {
    let below = root.join(path.trim_start_matches('/'));
    let file = rustix::fs::openat(CWD, below, OPEN, Mode::empty())
        .map_err(|errno| Unknown::of_file(path, errno))?;
    read(
        File::from(file),
        || path.to_owned(),
        |errno| Unknown::of_file(path, errno),
    )
    .map(into_text)
}

/// Where a link below a root leads.
pub(super) fn link_below(root: &Path, path: &str) -> Known<String> {
    let below = root.join(path.trim_start_matches('/'));
    rustix::fs::readlinkat(CWD, below, Vec::new())
        .map(|target| into_text(CString::into_bytes(target)))
        .map_err(|errno| Unknown::of_file(path, errno))
}

/// The numbers among the names in a directory, in the order of the directory.
pub(super) fn numbers(folder: &OwnedFd) -> Result<impl Iterator<Item = u32>, Errno> {
    let entries = Dir::read_from(folder)?;
    // One that cannot be read is the last: what came before it counts.
    Ok(entries
        .map_while(Result::ok)
        .filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok()))
}

/// Reads a whole file that may have [`FILE_BYTES_MAX`] bytes.
fn read(
    file: File,
    place: impl FnOnce() -> String,
    unknown: impl FnOnce(Errno) -> Unknown,
) -> Known<Vec<u8>> {
    let mut bytes = Vec::new();
    match file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes) {
        Ok(len) if len as u64 > FILE_BYTES_MAX => Err(Unknown::TooLong {
            place: place(),
            bytes_max: FILE_BYTES_MAX,
        }),
        Ok(_) => Ok(bytes),
        Err(error) => Err(unknown(Errno::from_io_error(&error).unwrap_or(Errno::IO))),
    }
}

fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
