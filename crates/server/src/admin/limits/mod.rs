//! Every limit of the doctor as it is for this server now: how much is used of how much, how fast that
//! grows, and what to do.
//!
//! ```text
//!  survey of the machine ─┐ (a thread for blocking work)
//!  counters of the shards ┼─► Look ─► /api/v1/limits, /metrics
//!  looks before           ┘
//! ```
//!
//! One look is made for everybody, so seldom that all looks together cost less than a hundredth of a core.
//! Connections are never listed: shards know their number, and the kernel is asked for listeners alone.

mod entry;
mod survey;
mod tuples;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Bytes,
    extract::State as Held,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use capacity::Trend;
use serde::Serialize;
use tokio::{task::spawn_blocking, time::sleep};

pub(super) use self::{entry::Entry, tuples::question};
use self::{survey::Surveyed, tuples::Tuples};
use super::{
    observatory::Observatory,
    problem::{self, Asking, Problem},
    state::State,
};
use crate::control::Control;

/// The least time between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// How many times longer than a look the time until the next is.
const REST: u32 = 100;

/// Who looks. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: Control,
    latest: Mutex<Option<Latest>>,
}

/// The last look, and its JSON for everybody who asks.
#[derive(Clone, Debug)]
struct Latest {
    look: Arc<Look>,
    json: Bytes,
}

/// Addresses that are told, those with most connections.
const ADDRESSES_MAX: usize = 10;

/// All limits at one moment.
#[derive(Debug, Serialize)]
pub(super) struct Look {
    /// Seconds since 1970.
    at: f64,
    /// Seconds that the look took; those of its blocking part.
    took_s: f64,
    /// Seconds until the next.
    every_s: f64,
    /// The fullest first.
    limits: Vec<Entry>,
    /// The limit that more connections would meet first.
    binding: &'static str,
    tuples: Tuples,
    /// The tuples of as many connections as it may hold, as an SVG document.
    drawing_svg: String,
    /// Descriptors in the table that the process began with.
    #[serde(skip)]
    pub(super) descriptors_count: Option<u64>,
}

/// Every limit of this server.
#[utoipa::path(get, path = "/limits", tag = "limits", responses(
    (status = 200, description = "Each limit with what is used of it, and the sentences that explain it", content_type = "application/json"),
    Asking,
))]
pub(super) async fn limits(Held(state): Held<State>) -> Result<Response, Problem> {
    let soon =
        "the server has just started and has not looked at its limits; ask again in a second";
    let latest = state.limits.newest();
    let latest = latest.ok_or_else(|| Problem::new(problem::Kind::Unavailable, soon))?;
    Ok(([(CONTENT_TYPE, "application/json")], latest.json).into_response())
}

impl Limits {
    pub(super) fn new(control: Control) -> Self {
        Self(Arc::new(Inner {
            control,
            latest: Mutex::default(),
        }))
    }

    /// The newest look; none in the first moment.
    pub(super) fn latest(&self) -> Option<Arc<Look>> {
        self.newest().map(|latest| latest.look)
    }

    fn newest(&self) -> Option<Latest> {
        let latest = self.0.latest.lock();
        latest.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks for ever.
    pub(super) async fn watch(self, observatory: Observatory) {
        let started = Instant::now();
        let mut trend = Trend::default();
        let drawn = tuples::draw(&self.0.control);
        loop {
            let port = self.0.control.address().port();
            let Ok(surveyed) = spawn_blocking(move || Surveyed::take(port)).await else {
                // Its own message has shown why it panicked.
                return;
            };
            let every = EVERY.max(surveyed.took * REST);
            let reading = observatory.read().await;
            let entries = entry::entries(&self.0.control, &surveyed, &reading);
            let addresses = observatory.ask_board(|board| board.addresses(ADDRESSES_MAX));
            let entries = entries.into_iter().chain(Entry::tuples(&addresses.items));
            let (limits, binding) = entry::judge(entries.collect(), &mut trend, started.elapsed());
            let at = SystemTime::now().duration_since(UNIX_EPOCH);
            let look = Look {
                at: at.unwrap_or_default().as_secs_f64(),
                took_s: surveyed.took.as_secs_f64(),
                every_s: every.as_secs_f64(),
                limits,
                binding: binding.unwrap_or_else(|| self.0.control.plan().binding().name()),
                tuples: Tuples::of(
                    &self.0.control,
                    &reading,
                    drawn.needed_count,
                    &addresses.items,
                ),
                drawing_svg: drawn.svg.clone(),
                descriptors_count: surveyed.descriptors_count(),
            };
            // Numbers and texts: they cannot but be written.
            let json = serde_json::to_vec(&look).unwrap_or_default().into();
            let look = Arc::new(look);
            let latest = self.0.latest.lock();
            *latest.unwrap_or_else(PoisonError::into_inner) = Some(Latest { look, json });
            sleep(every).await;
        }
    }
}

impl Look {
    /// The limits that have both a present value and a ceiling.
    pub(super) fn bounded(&self) -> impl Iterator<Item = &Entry> {
        let is_bounded = |entry: &&Entry| entry.present.is_some() && entry.ceiling.is_some();
        self.limits.iter().filter(is_bounded)
    }
}
