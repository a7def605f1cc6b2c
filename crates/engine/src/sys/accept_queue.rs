//! How full a listening socket's accept queue is.
#![allow(
    unsafe_code,
    reason = "rustix has no TCP_INFO, and /proc counts all listeners together"
)]

use std::os::fd::{AsRawFd, OwnedFd};

/// The accept queue of one listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AcceptQueue {
    /// Connections that wait to be accepted.
    pub(super) waiting: u32,
    /// How many may wait; what comes beyond is dropped and tries again after a second.
    pub(super) max: u32,
}

impl AcceptQueue {
    /// Reads it, `man 7 tcp` under `TCP_INFO`; `None` on a kernel that does not say.
    pub(super) fn of(listener: &OwnedFd) -> Option<Self> {
        // The head of `struct tcp_info`: eight bytes, then 32-bit words. Of a listening socket the
        // kernel reports the queue in two of them, net/ipv4/tcp.c `tcp_get_info`.
        let mut info = [0u32; 8];
        let mut len = size_of_val(&info) as libc::socklen_t;
        // SAFETY: `man 2 getsockopt`: at most `len` bytes are written to `info`, which is that long,
        // and any bytes are valid integers.
        let result = unsafe {
            libc::getsockopt(
                listener.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &mut len,
            )
        };
        let whole = result == 0 && len as usize == size_of_val(&info);
        whole.then_some(Self {
            waiting: info[UNACKED],
            max: info[SACKED],
        })
    }

    pub(super) const fn is_full(self) -> bool {
        self.waiting >= self.max
    }
}

/// `tcpi_unacked`, the sixth word: `sk_ack_backlog` of a listener.
const UNACKED: usize = 6;
/// `tcpi_sacked`, the seventh: `sk_max_ack_backlog`.
const SACKED: usize = 7;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn it_counts_who_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let fd = OwnedFd::from(listener);
        let empty = AcceptQueue::of(&fd).unwrap();
        assert_eq!(empty.waiting, 0);
        assert!(empty.max > 0 && !empty.is_full());
        let _waiting: Vec<_> = (0..3)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        assert_eq!(AcceptQueue::of(&fd).unwrap().waiting, 3);
    }
}
