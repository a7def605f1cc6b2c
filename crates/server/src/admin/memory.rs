//! `GET /api/v1/memory`: what the present connections should cost, term by term, beside what is measured.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    extract::State as Held,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use capacity::{Ledger, SockStat, TcpMemory, ledger::Place};
use serde::Serialize;

use super::{observatory::resident_bytes, problem::Asking, state::State};
use crate::{
    control::Control,
    ledger::{interest, v6_peers},
};

/// The newest answer, for everybody who asks within a second: each page asks every few seconds, and to read what
/// the kernel measures takes longer than all the rest of it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Scales(Arc<Mutex<Option<(Instant, Bytes)>>>);

/// For how long an answer is that of now.
const FRESH_FOR: Duration = Duration::from_secs(1);

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
pub(super) async fn memory(Held(state): Held<State>) -> Response {
    let json = state.scales.read(|| Memory::weigh(&state.control));
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}

impl Scales {
    /// What was weighed a moment ago, or what is weighed now.
    fn read(&self, weigh: impl FnOnce() -> Memory) -> Bytes {
        // Never kept across an await.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, json)) = &*known
            && at.elapsed() < FRESH_FOR
        {
            return json.clone();
        }
        // Numbers and texts: they cannot but be written.
        let json: Bytes = serde_json::to_vec(&weigh()).unwrap_or_default().into();
        *known = Some((Instant::now(), json.clone()));
        json
    }
}

impl Memory {
    /// Reads where the counts stand: no shard has to answer.
    fn weigh(control: &Control) -> Self {
        let counts = |shard| control.counters(shard).snapshot();
        let counts: Vec<_> = control.shards().map(counts).collect();
        let connections = counts.iter().map(|shard| shard.open).sum();
        let v6_bytes = counts.iter().map(|shard| shard.v6_peer_bytes).sum();
        let layout = control.plan().layout;
        let ledger = Ledger::of(connections, &layout, TcpMemory::read());
        let ledger = ledger.and(interest(layout.shards)).and(v6_peers(v6_bytes));
        let terms = ledger.terms().iter().map(|term| Term {
            name: term.name,
            place: term.place.to_string(),
            per: term.per.to_string(),
            bytes: term.bytes,
            total_bytes: term.bytes.saturating_mul(ledger.count(term.per)),
            source: term.source,
        });
        Self {
            connections,
            process_bytes: ledger.idle_bytes(Place::Process),
            kernel_bytes: ledger.idle_bytes(Place::Kernel),
            unread_bytes_max: ledger.unread_bytes(),
            terms: terms.collect(),
            measured: Measured::read(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_within_a_second_is_told_what_was_weighed_before() {
        let scales = Scales::default();
        let mut weighings = 0;
        let mut ask = || {
            scales.read(|| {
                weighings += 1;
                Memory {
                    connections: weighings,
                    terms: Vec::new(),
                    process_bytes: 0,
                    kernel_bytes: 0,
                    unread_bytes_max: 0,
                    measured: Measured::read(),
                }
            })
        };
        let first = ask();
        assert!(first.starts_with(br#"{"connections":1,"#), "{first:?}");
        assert_eq!(ask(), first);
        let mut known = scales.0.lock().expect("nobody has panicked");
        let (at, _) = known.as_mut().expect("it was weighed");
        *at -= FRESH_FOR;
        drop(known);
        assert!(ask().starts_with(br#"{"connections":2,"#));
    }
}
