//! Who looks at the shards once a second, for everybody who looks at the node: a reading, the sample that
//! follows from it, and the last minutes of them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{
    board::Board,
    chronicle::Chronicle,
    lookout::Lookout,
    reading::Reading,
    sample::{Line, Sample},
};
use crate::control::Control;

/// How often shards are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Slices of the census that a look takes, and as many while somebody reads what it has found.
const SLICES: u32 = 1;
const SLICES_READ: u32 = 4;
/// For how long after it was read somebody still reads: pages ask every two seconds.
const READ_FOR: Duration = Duration::from_secs(10);
/// What is sent before the first sample: a comment, which browsers pass over (HTML standard, server-sent events).
const NO_EVENT: &[u8] = b": no sample yet\n\n";
/// Samples kept: ten minutes.
const KEPT: usize = 600;

/// What is known of the node now and in the last minutes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Observatory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: Control,
    /// Only this thread takes it, and never across an await.
    known: Mutex<Known>,
    /// The newest sample as a server-sent event, written once for all who watch.
    live: watch::Sender<Bytes>,
}

#[derive(Debug, Default)]
struct Known {
    /// The last of the background, from which the next sample is counted.
    reading: Option<Arc<Reading>>,
    /// The last of all, whoever wanted it.
    newest: Option<Arc<Reading>>,
    sample: Option<Arc<Sample>>,
    history: VecDeque<(f64, Line)>,
    board: Board,
    /// When somebody asked for what there is most of.
    board_read: Option<Instant>,
}

/// The last minutes, a column for each number.
#[derive(Debug, Serialize)]
pub(crate) struct History {
    /// Seconds since 1970, oldest first.
    pub(crate) at: Vec<f64>,
    /// By the names of [`Line`].
    pub(crate) columns: std::collections::BTreeMap<&'static str, Vec<f64>>,
}

impl Observatory {
    pub(crate) fn new(control: Control) -> Self {
        let (live, _) = watch::channel(Bytes::from_static(NO_EVENT));
        Self(Arc::new(Inner {
            control,
            known: Mutex::default(),
            live,
        }))
    }

    /// Looks at the node for ever.
    pub(crate) async fn watch(self) {
        let mut ticks = interval(EVERY);
        // After a pause of the machine one look is enough.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let chronicle = Chronicle::new();
        let mut lookout = Lookout::default();
        loop {
            ticks.tick().await;
            let (before, now) = self.look(&mut lookout).await;
            let connections_max = self.0.control.connections_max();
            chronicle.tell(before.as_deref(), &now, connections_max);
        }
    }

    /// Takes a reading; returns the one before, if there was one, and this.
    async fn look(&self, lookout: &mut Lookout) -> (Option<Arc<Reading>>, Arc<Reading>) {
        let read = self.known().board_read;
        let slices = match read {
            Some(read) if read.elapsed() < READ_FOR => SLICES_READ,
            _ => SLICES,
        };
        let seen = lookout.look(&self.0.control, slices).await;
        self.known().board.update(seen);
        let before = self.known().reading.clone();
        let newest = self.known().newest.clone();
        let now = Arc::new(Reading::take(&self.0.control, newest.as_deref()).await);
        self.keep(&now);
        let sample = before
            .as_deref()
            .map(|before| Sample::between(before, &now, resident_bytes()));
        let mut known = self.known();
        known.reading = Some(Arc::clone(&now));
        let Some(sample) = sample.map(Arc::new) else {
            return (before, now);
        };
        if known.history.len() == KEPT {
            known.history.pop_front();
        }
        known.history.push_back((sample.at, sample.line));
        known.sample = Some(Arc::clone(&sample));
        drop(known);
        if let Ok(json) = serde_json::to_string(&*sample) {
            // JSON has no line ends outside of its texts, and there they are escaped.
            let event = format!("event: sample\ndata: {json}\n\n");
            self.0.live.send_replace(event.into());
        }
        (before, now)
    }

    /// The newest sample as a server-sent event, and word of each that follows.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Bytes> {
        self.0.live.subscribe()
    }

    /// How many watch.
    pub(crate) fn viewers_count(&self) -> usize {
        self.0.live.receiver_count()
    }

    pub(crate) fn sample(&self) -> Option<Arc<Sample>> {
        self.known().sample.clone()
    }

    /// A reading of now, for whoever needs it fresher than a second.
    pub(crate) async fn read(&self) -> Reading {
        let before = self.known().newest.clone();
        let reading = Reading::take(&self.0.control, before.as_deref()).await;
        self.keep(&Arc::new(reading.clone()));
        reading
    }

    /// Keeps a reading for those that follow, if none that was taken later is there: counts of a shard that does
    /// not answer are those it told last, whoever asked, and never go back.
    fn keep(&self, reading: &Arc<Reading>) {
        let mut known = self.known();
        let is_newer = |newest: &Arc<Reading>| newest.taken < reading.taken;
        if known.newest.as_ref().is_none_or(is_newer) {
            known.newest = Some(Arc::clone(reading));
        }
    }

    /// What there is most of, for somebody who reads it: it is found out faster from now on.
    pub(crate) fn read_board<T>(&self, ask: impl FnOnce(&Board) -> T) -> T {
        let mut known = self.known();
        known.board_read = Some(Instant::now());
        ask(&known.board)
    }

    /// What there is most of, in passing.
    pub(crate) fn ask_board<T>(&self, ask: impl FnOnce(&Board) -> T) -> T {
        ask(&self.known().board)
    }

    pub(crate) fn history(&self) -> History {
        let known = self.known();
        let mut columns: Vec<Vec<f64>> = vec![Vec::new(); Line::NAMES.len()];
        for (_, line) in &known.history {
            for (column, number) in columns.iter_mut().zip(line.numbers()) {
                column.push(number);
            }
        }
        History {
            at: known.history.iter().map(|(at, _)| *at).collect(),
            columns: Line::NAMES.iter().copied().zip(columns).collect(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory of this process that is in RAM; `man 5 proc_pid_statm`. Zero where it cannot be read.
pub(super) fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
