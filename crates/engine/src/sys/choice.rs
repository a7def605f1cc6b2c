//! Which of the machine's interfaces carries the shards, and why.

use std::fmt;

use capacity::{Kernel, Tables};

use super::{descriptors, uring};

/// What an operator wants the shards to be carried by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelChoice {
    /// io_uring where the machine has all that is needed, else epoll.
    #[default]
    Auto,
    /// epoll, `man 7 epoll`.
    Epoll,
    /// io_uring, `man 7 io_uring`; where it cannot be had, nothing starts.
    Uring,
}

/// What carries the shards of this process. Its `Display` says which, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelInUse {
    /// epoll, because it was asked for.
    EpollAsAsked,
    /// epoll, because io_uring cannot be had, for this reason.
    EpollInstead(String),
    /// io_uring.
    Uring,
}

impl KernelChoice {
    /// Looks at what the machine has.
    ///
    /// # Errors
    ///
    /// io_uring was asked for and cannot be had; the words say why.
    pub fn settle(self) -> Result<KernelInUse, String> {
        if self == Self::Epoll {
            return Ok(KernelInUse::EpollAsAsked);
        }
        match uring::check() {
            Ok(()) => Ok(KernelInUse::Uring),
            Err(reason) if self == Self::Auto => Ok(KernelInUse::EpollInstead(reason)),
            Err(reason) => Err(reason),
        }
    }
}

impl KernelInUse {
    /// Which of the two it is.
    pub const fn kernel(&self) -> Kernel {
        match self {
            Self::Uring => Kernel::Uring,
            Self::EpollAsAsked | Self::EpollInstead(_) => Kernel::Epoll,
        }
    }

    /// Whether each shard can have a table of descriptors to itself.
    ///
    /// On io_uring a ring's table of direct descriptors is that. On epoll a thread can leave the table
    /// of its process, unless a container's rules forbid it.
    pub fn tables(&self) -> Tables {
        let per_shard = match self {
            Self::Uring => true,
            Self::EpollAsAsked | Self::EpollInstead(_) => descriptors::can_take_own_table(),
        };
        if per_shard {
            Tables::PerShard
        } else {
            Tables::PerProcess
        }
    }
}

impl fmt::Display for KernelInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EpollAsAsked => write!(f, "epoll carries the connections, as asked"),
            Self::EpollInstead(reason) => {
                write!(f, "epoll carries the connections, for {reason}")
            }
            Self::Uring => write!(
                f,
                "io_uring carries the connections, for this machine has all it needs"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reason of an epoll names io_uring.
    #[test]
    fn the_kernel_is_one_word_whatever_the_reason() {
        let instead = KernelInUse::EpollInstead("io_uring is forbidden here".to_owned());
        for (kernel, word) in [
            (KernelInUse::EpollAsAsked, "epoll"),
            (instead, "epoll"),
            (KernelInUse::Uring, "io_uring"),
        ] {
            assert_eq!(kernel.kernel().to_string(), word, "{kernel}");
        }
    }
}
