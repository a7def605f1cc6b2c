//! What the product's own ledger says of memory, to be held against what was measured.

use capacity::ledger::{Ledger, Place};
use capacity::{End, Kernel, Layout, Tables};

/// Bytes of one idle pair by the ledger: both ends, in the kernel and in both processes.
pub(super) fn bytes_per_pair(kernel: Kernel, connections: u64) -> f64 {
    let of_end = |end| {
        let layout = Layout {
            end,
            kernel,
            shards: 1,
            tables: Tables::PerShard,
        };
        let ledger = Ledger::of(connections, &layout, None);
        ledger.connection_bytes(Place::Kernel) + ledger.connection_bytes(Place::Process)
    };
    (of_end(End::Server) + of_end(End::Crowd)) as f64
}
