//! How many descriptors a process has open, and which of them are sockets.
//!
//! Since Linux 6.2 the size of the directory /proc/PID/fd is their number, which costs nothing, and
//! which everybody may ask. Listing it is another matter: the kernel makes a directory entry and an
//! inode, about 1.8 KB, for each descriptor it names, so what is listed is bounded, and only who might
//! debug the process may do it.

use std::{fmt, os::fd::OwnedFd};

use rustix::{
    fs::{PROC_SUPER_MAGIC, fstat, fstatfs, readlinkat_raw},
    io::Errno,
    path::DecInt,
};

use super::{
    Known,
    directory::{Directory, numbers},
};

/// How many descriptors of a process are named at most: 120 MB in the kernel, which it gives back when
/// it needs them.
pub const DESCRIPTORS_LISTED_MAX: usize = 65_536;

/// How many threads are asked for a table of their own.
const THREADS_MAX: usize = 4_096;

/// A link of /proc/PID/fd to a socket is shorter than this.
pub(super) const LINK_BYTES_MAX: usize = 64;

/// The descriptors that a process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// How many; at least, where they were [listed in part](Counted::InPart).
    pub open_count: u64,
    /// How they were counted.
    pub counted: Counted,
}

/// How descriptors were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// By the size of the directory.
    BySize,
    /// Each was listed.
    ByListing,
    /// The first [`DESCRIPTORS_LISTED_MAX`] were listed, and there are more.
    InPart,
}

/// The sockets among the descriptors of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// The inode of each, as socket statistics name it, in the order of descriptors; one that the
    /// process has twice is here twice.
    pub inodes: Vec<u64>,
    /// How many descriptors were looked at, the lowest.
    pub listed_count: u64,
    /// Whether these are all that the process has.
    pub is_all: bool,
}

impl Descriptors {
    pub(super) fn of(directory: &Directory) -> Known<Self> {
        let handle = directory.handle("fd")?;
        if let Some(open_count) = size(&handle) {
            return Ok(Self {
                open_count,
                counted: Counted::BySize,
            });
        }
        // Before Linux 6.2, or there are none, so that listing them is cheap.
        let (open, is_all) = listed(
            directory,
            &directory.folder("fd")?,
            "fd",
            DESCRIPTORS_LISTED_MAX,
        )?;
        Ok(Self {
            open_count: open.len() as u64,
            counted: if is_all {
                Counted::ByListing
            } else {
                Counted::InPart
            },
        })
    }

    /// The most descriptors that one thread of the process can use, where threads have tables of their
    /// own; the tables of the first [`THREADS_MAX`] are looked at. `None` where the kernel does not say.
    pub(super) fn of_fullest_thread(directory: &Directory) -> Known<Option<u64>> {
        let threads = directory.folder("task")?;
        let found = numbers(&threads).map_err(|errno| directory.unknown("task", errno))?;
        let sizes = found
            .take(THREADS_MAX)
            .filter_map(|thread| size(&directory.handle(&format!("task/{thread}/fd")).ok()?));
        Ok(sizes.max())
    }
}

impl Sockets {
    /// Those among the lowest `descriptors_max` descriptors.
    pub(super) fn of(directory: &Directory, descriptors_max: usize) -> Known<Self> {
        let folder = directory.folder("fd")?;
        let (open, is_all) = listed(directory, &folder, "fd", descriptors_max)?;
        let mut inodes = Vec::new();
        for descriptor in &open {
            match socket(&folder, *descriptor) {
                Ok(inode) => inodes.extend(inode),
                // It was closed since.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(directory.unknown("fd", errno)),
            }
        }
        Ok(Self {
            inodes,
            listed_count: open.len() as u64,
            is_all,
        })
    }

    /// About how many sockets a process has that has `open_count` descriptors: of those that were not
    /// looked at each is taken for one, since what is no socket is usually opened first.
    pub fn estimate(&self, open_count: u64) -> u64 {
        let found = self.inodes.len() as u64;
        if self.is_all {
            found
        } else {
            found + open_count.saturating_sub(self.listed_count)
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BySize => "the size of /proc/PID/fd",
            Self::ByListing => "the entries of /proc/PID/fd",
            Self::InPart => "the first 65,536 entries of /proc/PID/fd, of more",
        })
    }
}

/// The size of a directory of descriptors, where the kernel counts them there.
fn size(folder: &OwnedFd) -> Option<u64> {
    // Any other file system has a size for its own purposes.
    if fstatfs(folder).ok()?.f_type != PROC_SUPER_MAGIC {
        return None;
    }
    let size = fstat(folder).ok()?.st_size;
    u64::try_from(size).ok().filter(|size| *size > 0)
}

/// The lowest descriptors in a directory of them, at most `descriptors_max`, and whether there are no
/// more. /proc has them in their order.
fn listed(
    directory: &Directory,
    folder: &OwnedFd,
    name: &str,
    descriptors_max: usize,
) -> Known<(Vec<u32>, bool)> {
    let found = numbers(folder).map_err(|errno| directory.unknown(name, errno))?;
    let mut open: Vec<_> = found.take(descriptors_max + 1).collect();
    open.sort_unstable();
    let is_all = open.len() <= descriptors_max;
    open.truncate(descriptors_max);
    Ok((open, is_all))
}

/// The inode of a descriptor that is a socket.
pub(super) fn socket(folder: &OwnedFd, descriptor: u32) -> Result<Option<u64>, Errno> {
    let mut link = [0; LINK_BYTES_MAX];
    let len = readlinkat_raw(folder, DecInt::new(descriptor), &mut link)?;
    Ok(parse_socket(&link[..len]))
}

/// `socket:[INODE]`, as `man 5 proc_pid_fd` has it.
fn parse_socket(link: &[u8]) -> Option<u64> {
    let inode = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(inode).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_is_a_socket() {
        assert_eq!(parse_socket(b"socket:[48213]"), Some(48_213));
        for other in [
            &b"pipe:[48213]"[..],
            b"anon_inode:[eventpoll]",
            b"/dev/null",
            b"/tmp/socket:[1]",
            b"socket:[x]",
            b"socket:[1",
            b"socket:[]",
            b"",
        ] {
            assert_eq!(parse_socket(other), None);
        }
    }

    #[test]
    fn what_was_not_looked_at_is_taken_for_sockets() {
        let all = Sockets {
            inodes: vec![7, 8],
            listed_count: 5,
            is_all: true,
        };
        assert_eq!(all.estimate(100), 2);
        let part = Sockets {
            is_all: false,
            ..all
        };
        assert_eq!(part.estimate(100), 97);
        assert_eq!(part.estimate(0), 2);
    }

    #[test]
    fn the_bound_is_told() {
        let part = Counted::InPart.to_string();
        let bound = crate::Grouped(DESCRIPTORS_LISTED_MAX as u64).to_string();
        assert!(part.contains(&bound), "{part}");
    }
}
