//! What things cost, one term to a line.
//!
//! Kernel terms were measured on Linux 6.18, x86_64, with 18,000 pairs over loopback: objects of each
//! cache in /proc/slabinfo, before and after, times what an object takes of its slab. Terms of our own
//! are sizes of types; tests in the crates above compare them.

use super::{Per, Place, Term};
use crate::{End, Kernel};

/// The terms of one end that do not depend on how many connections there are.
pub(super) fn terms(end: End, carrier: Kernel) -> impl Iterator<Item = Term> {
    let terms = socket(end).into_iter().chain(own(end, carrier));
    terms
        .chain(shard(end, carrier))
        .filter(|term| term.bytes > 0)
}

/// What the kernel keeps of any TCP socket.
const fn socket(end: End) -> [Term; 5] {
    [
        // 2,368 bytes, 13 in 8 pages.
        kernel("TCP socket", Per::Connection, 2_521, "slab TCP"),
        // 832 bytes, 19 in 4 pages.
        kernel("inode", Per::Connection, 862, "slab sock_inode_cache"),
        // 192 bytes each, 21 in a page, and what security modules add to the file and to the inode.
        kernel(
            "file and its name",
            Per::Connection,
            195 + 195 + 24 + 32,
            "slabs filp, dentry, lsm_file_cache, lsm_inode_cache",
        ),
        // A pointer for each object of these slabs, rounded up: 128 for 13, 192 for 19 and for 21.
        kernel(
            "account of its group",
            Per::Connection,
            10 + 10 + 9 + 9,
            "slabs kmalloc-128, kmalloc-192",
        ),
        // A dialled socket has an address and port to itself; an accepted one has its listener's.
        kernel(
            "local address",
            Per::Connection,
            match end {
                End::Server => 0,
                End::Crowd => 128 + 8,
            },
            "slab tcp_bind2_bucket",
        ),
    ]
}

/// What it takes to watch a socket, and what this process keeps of it.
const fn own(end: End, carrier: Kernel) -> [Term; 5] {
    [
        match carrier {
            // 128 for the item, 64 for its place in the queue of the socket, 16 for the file, 8 for the
            // account of each.
            Kernel::Epoll => kernel(
                "epoll watch",
                Per::Connection,
                128 + 64 + 16 + 3 * 8,
                "slabs eventpoll_epi, eventpoll_pwq, ep_head",
            ),
            // 256 for the request and 8 for its account, 32 for the node of the direct descriptor.
            Kernel::Uring => kernel(
                "io_uring poll",
                Per::Connection,
                256 + 8 + 32,
                "slabs io_kiocb, kmalloc-32",
            ),
        },
        // A connection in the engine's slab, with its generation.
        process(
            "connection",
            Per::Connection,
            104,
            "engine::CONNECTION_BYTES",
        ),
        match carrier {
            Kernel::Epoll => process("ring's slot", Per::Connection, 0, ""),
            // What the engine knows of a direct descriptor.
            Kernel::Uring => process("ring's slot", Per::Connection, 12, "size of the slot"),
        },
        match end {
            // The connection with one channel, 64, and the id of the relay's socket, 16.
            End::Server => process(
                "joined connection",
                Per::Connection,
                64 + 16,
                "hub::CONNECTION_BYTES, Option<Box<str>>",
            ),
            // Its times, counts and phase.
            End::Crowd => process("client", Per::Connection, 48, "load::CLIENT_BYTES"),
        },
        match end {
            // The least that malloc gives, 32, for the channel; 8 in the list of the topic's members, of
            // which an eighth may be spare.
            End::Server => process(
                "channel",
                Per::Connection,
                32 + 9,
                "malloc, hub::MEMBERSHIP_BYTES",
            ),
            End::Crowd => process("channel", Per::Connection, 0, ""),
        },
    ]
}

/// What a shard costs besides its connections.
const fn shard(end: End, carrier: Kernel) -> [Term; 4] {
    [
        // A kernel stack of 16 KiB, 6,553 for the task; a listener, a wake-up and page tables.
        kernel(
            "thread",
            Per::Shard,
            32 << 10,
            "KernelStack, slab task_struct",
        ),
        match carrier {
            Kernel::Epoll => kernel("ring", Per::Shard, 0, ""),
            // 512 submissions of 64 bytes, 8,192 completions of 16, and the 512 requests of 256 that
            // the busiest moment leaves behind for the next.
            Kernel::Uring => kernel(
                "ring",
                Per::Shard,
                (512 * 64) + (8_192 * 16) + (512 * 256),
                "io_uring_setup, slab io_kiocb",
            ),
        },
        match carrier {
            Kernel::Epoll => process("receive buffers", Per::Shard, 64 << 10, "64 KiB"),
            Kernel::Uring => process("receive buffers", Per::Shard, 256 << 10, "32 x 8 KiB"),
        },
        // Stack, events, mail, and what handshakes leave in the allocator; in a crowd its histograms.
        process(
            "thread and its tables",
            Per::Shard,
            match end {
                End::Server => 96 << 10,
                End::Crowd => 900 << 10,
            },
            "RssAnon of 12 shards",
        ),
    ]
}

const fn kernel(name: &'static str, per: Per, bytes: u64, source: &'static str) -> Term {
    Term {
        name,
        place: Place::Kernel,
        per,
        bytes,
        source,
    }
}

const fn process(name: &'static str, per: Per, bytes: u64, source: &'static str) -> Term {
    Term {
        name,
        place: Place::Process,
        per,
        bytes,
        source,
    }
}
