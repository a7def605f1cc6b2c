//! The program by which the machine chooses among the listening sockets of a port.
//!
//! `man 7 socket`, `SO_ATTACH_REUSEPORT_CBPF`: a classic BPF program returns the index of a socket, in
//! the order in which they began to listen. One that returns no valid index leaves the choice to the
//! machine's own hash.
#![allow(unsafe_code, reason = "rustix has no SO_ATTACH_REUSEPORT_CBPF")]

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;

/// Has new connections go to one of `indices` each, at random; to any socket when there are none.
pub(super) fn steer(listener: &OwnedFd, indices: &[u16]) -> Result<(), Errno> {
    let mut program = program(indices);
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `man 2 setsockopt`: `filter` and the program it names, whose length it says, are read
    // before the call returns.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            std::ptr::from_ref(&filter).cast(),
            size_of_val(&filter) as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()
            .raw_os_error()
            .map_or(Errno::IO, Errno::from_raw_os_error)),
    }
}

/// ```text
///  A = random; A = A mod n; if A == 0 return indices[0]; … return indices[n - 1]
/// ```
fn program(indices: &[u16]) -> Vec<libc::sock_filter> {
    // An index that no socket has: the machine goes by its hash.
    let (&last, others) = indices.split_last().unwrap_or((&u16::MAX, &[]));
    let mut program = Vec::with_capacity(3 + 2 * others.len());
    if !others.is_empty() {
        let random = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
        program.push(statement(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            random,
        ));
        let modulo = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;
        program.push(statement(modulo, indices.len() as u32));
    }
    for (number, &index) in (0..).zip(others) {
        let is_number = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        program.push(libc::sock_filter {
            jf: 1,
            ..statement(is_number, number)
        });
        program.push(statement(libc::BPF_RET | libc::BPF_K, index.into()));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, last.into()));
    program
}

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{accept_queue::AcceptQueue, listener};

    /// Connects `count` times to six listeners of one port, and returns how many wait at each.
    fn spread(indices: &[u16], count: usize) -> Vec<u32> {
        let mut address = "127.0.0.1:0".parse().unwrap();
        let listeners: Vec<_> = (0..6)
            .map(|_| {
                let (listener, bound) = listener::listen(address, 1024).unwrap();
                address = bound;
                listener
            })
            .collect();
        steer(&listeners[3], indices).unwrap();
        let _streams: Vec<_> = (0..count)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        let waiting = |listener| AcceptQueue::of(listener).unwrap().waiting;
        listeners.iter().map(waiting).collect()
    }

    #[test]
    fn connections_go_where_they_are_steered() {
        assert_eq!(spread(&[4], 50), [0, 0, 0, 0, 50, 0]);
        let two = spread(&[1, 5], 200);
        assert_eq!(two[1] + two[5], 200, "{two:?}");
        assert!(two[1] > 50 && two[5] > 50, "{two:?}");
        let all = spread(&[], 600);
        assert!(all.iter().all(|&waiting| waiting > 30), "{all:?}");
    }
}
