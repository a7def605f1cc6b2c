//! `GET /api/v1/memory`: what the present connections should cost, term by term, beside what is measured.

use axum::{Json, extract::State as Held};
use capacity::{Ledger, SockStat, TcpMemory, ledger::Place};
use serde::Serialize;

use super::{observatory::resident_bytes, problem::Asking, state::State};
use crate::ledger::interest;

/// The ledger and the scales.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    /// The open connections that the terms are for.
    connections: u64,
    terms: Vec<Term>,
    /// What the terms of the process add up to, with all connections idle.
    process_bytes: u64,
    /// The same of the kernel.
    kernel_bytes: u64,
    /// What a message to all adds at most, until the last has read it.
    unread_bytes_max: u64,
    measured: Measured,
}

/// One thing that costs memory.
#[derive(Debug, Serialize)]
struct Term {
    name: &'static str,
    /// `kernel` or `process`.
    place: String,
    /// `each connection`, `each shard`, `once` or `each unread message`.
    per: String,
    bytes: u64,
    total_bytes: u64,
    source: &'static str,
}

/// What the kernel says.
#[derive(Debug, Serialize)]
struct Measured {
    /// Memory of the process that is in RAM, its program and libraries among it.
    resident_bytes: u64,
    /// What buffers of all TCP sockets of the machine hold; null where it is not told.
    tcp_buffers_bytes: Option<u64>,
    /// TCP sockets of the machine that have memory.
    tcp_sockets: Option<u64>,
    /// TCP sockets in TIME_WAIT.
    time_wait_sockets: Option<u64>,
    /// All small objects of the kernel, of the whole machine.
    slab_bytes: Option<u64>,
}

/// What the present connections cost.
#[utoipa::path(get, path = "/memory", tag = "limits", responses(
    (status = 200, description = "The ledger term by term, and measured memory", content_type = "application/json"),
    Asking,
))]
pub(super) async fn memory(Held(state): Held<State>) -> Json<Memory> {
    // Read where they stand: viewers ask for this every few seconds, and no shard has to answer.
    let control = &state.control;
    let open = |shard| control.counters(shard).snapshot().open;
    let connections = control.shards().map(open).sum();
    let layout = state.control.plan().layout;
    let ledger = Ledger::of(connections, &layout, TcpMemory::read()).and(interest(layout.shards));
    let terms = ledger.terms().iter().map(|term| Term {
        name: term.name,
        place: term.place.to_string(),
        per: term.per.to_string(),
        bytes: term.bytes,
        total_bytes: term.bytes.saturating_mul(ledger.count(term.per)),
        source: term.source,
    });
    Json(Memory {
        connections,
        process_bytes: ledger.idle_bytes(Place::Process),
        kernel_bytes: ledger.idle_bytes(Place::Kernel),
        unread_bytes_max: ledger.unread_bytes(),
        terms: terms.collect(),
        measured: Measured::read(),
    })
}

impl Measured {
    fn read() -> Self {
        let sockets = SockStat::read();
        let page = rustix::param::page_size() as u64;
        Self {
            resident_bytes: resident_bytes(),
            tcp_buffers_bytes: sockets.mem_pages.map(|pages| pages * page),
            tcp_sockets: sockets.alloc_count,
            time_wait_sockets: sockets.time_wait_count,
            slab_bytes: slab_bytes(),
        }
    }
}

/// `man 5 proc_meminfo`; its unit is always 1024 bytes.
fn slab_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("Slab:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}
