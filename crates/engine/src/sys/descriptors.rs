//! A descriptor table for one thread.
//!
//! `RLIMIT_NOFILE` bounds a table of descriptors, not a process; threads share one only because
//! `clone(2)` is asked for it. A thread that takes a table of its own starts with a copy of what was
//! open and from there on opens up to the whole limit by itself, unseen by the others: a descriptor's
//! number means something in one table only.
#![allow(
    unsafe_code,
    reason = "rustix has no close_range, and marks what divides a table as unsafe"
)]

use rustix::{io::Errno, thread::UnshareFlags};

/// Gives the calling thread a table of its own, with a copy of everything in the one it shared.
pub(super) fn take_own_table() -> Result<(), Errno> {
    // Containers commonly forbid unshare(2) and allow this, which is open to everybody; it is there
    // since Linux 5.9.
    unshare_by_close_range().or_else(|_| unshare())
}

/// Whether a thread of this process may take a table of its own: one that ends at once tries it.
pub(super) fn can_take_own_table() -> bool {
    std::thread::spawn(take_own_table)
        .join()
        .is_ok_and(|taken| taken.is_ok())
}

fn unshare_by_close_range() -> Result<(), Errno> {
    // The last number there is; no table is that long, so nothing is closed.
    let nothing = libc::c_uint::MAX;
    // SAFETY: `man 2 close_range`: with CLOSE_RANGE_UNSHARE the thread leaves the shared table first
    // and closes only in its own. Every descriptor keeps its number and its file in both tables; no
    // number is closed. No memory is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            nothing,
            nothing,
            libc::CLOSE_RANGE_UNSHARE,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()
            .raw_os_error()
            .map_or(Errno::NOSYS, Errno::from_raw_os_error)),
    }
}

fn unshare() -> Result<(), Errno> {
    // SAFETY: `man 2 unshare`, CLONE_FILES: as above, every descriptor that is open keeps its number
    // and its file in both tables. The engine hands no descriptor to another thread from here on but
    // wakers, which are made before any table is divided.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FILES) }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd, path::Path};

    use super::*;

    #[test]
    fn what_a_thread_opens_after_is_its_own() {
        assert!(can_take_own_table());
        let before = File::open("/dev/null").unwrap();
        let number = before.as_raw_fd();
        let (alone, shared) = std::thread::spawn(move || {
            take_own_table().unwrap();
            // The file that was open is open here, too, under its number.
            assert!(Path::new(&format!("/proc/thread-self/fd/{number}")).exists());
            let files: Vec<_> = (0..500).map(|_| File::open("/dev/null").unwrap()).collect();
            let highest = files.iter().map(File::as_raw_fd).max().unwrap();
            let seen_from = |task: &str| Path::new(&format!("/proc/{task}/fd/{highest}")).exists();
            (seen_from("thread-self"), seen_from("self"))
        })
        .join()
        .unwrap();
        assert!(alone, "the thread does not see its own file");
        assert!(!shared, "the process sees the thread's file");
    }

    #[test]
    fn both_ways_work() {
        for way in [unshare_by_close_range, unshare] {
            std::thread::spawn(way).join().unwrap().unwrap();
        }
    }
}
