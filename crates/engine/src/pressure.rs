//! How far the machine's TCP memory is used, and when a broadcast waits for it.
//!
//! A message that its reader has not taken yet lies in kernel memory, and one that goes to everybody
//! lies there many times. All TCP sockets of a machine (of its network namespace, as far as the count
//! goes) share `net.ipv4.tcp_mem`; beyond it the kernel drops what arrives and lets senders fail. So a
//! shard that has much to write looks at the use from time to time, and while there is too much of it,
//! it rests its writing until readers have caught up. It goes on reading as long as that does not make
//! too much more to write.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::Time;

/// How old a look at the machine may be. A core sends some hundred small messages in this time.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Connections written between two thoughts of memory; fewer than these in a turn never wait.
pub(crate) const WRITES_PER_LOOK: usize = 256;

/// How long writing rests before the next look. Many shards rest at once: the readers need the cores.
const REST: Duration = Duration::from_millis(10);

/// The longest that writing rests, and then goes on without a look. The memory may be somebody else's, who keeps it.
const REST_MAX: Duration = Duration::from_secs(1);

/// Whether one shard may write now.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    pressure: Option<Arc<TcpPressure>>,
    /// Since when, and until when, writing rests.
    rest: Option<(Time, Time)>,
    /// Until when it goes on whatever is found, after a rest that was long enough.
    free_until: Time,
}

/// The use of TCP memory, shared by all shards of a process: one of them looks, all know.
pub struct TcpPressure {
    pages_max: u64,
    read: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    /// When somebody should look again, as [`Time::as_nanos`].
    look_at: AtomicU64,
    is_over: AtomicBool,
}

impl TcpPressure {
    /// Rests writing while `read` says that more than `pages_max` pages are in use. A `read` that knows
    /// nothing rests nobody.
    pub fn new(pages_max: u64, read: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        Self {
            pages_max,
            read: Box::new(read),
            look_at: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// Whether writing should rest now.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        let due = self.look_at.load(Relaxed);
        let next = now.after(LOOK_EVERY).as_nanos();
        // Of several who find that a look is due, one takes it; the others use what is known.
        if now.as_nanos() >= due
            && self
                .look_at
                .compare_exchange(due, next, Relaxed, Relaxed)
                .is_ok()
        {
            let pages = (self.read)();
            let is_over = pages.is_some_and(|pages| pages > self.pages_max);
            self.is_over.store(is_over, Relaxed);
        }
        self.is_over.load(Relaxed)
    }
}

impl Pace {
    pub(crate) const fn new(pressure: Option<Arc<TcpPressure>>) -> Self {
        Self {
            pressure,
            rest: None,
            free_until: Time::ZERO,
        }
    }

    /// Looks at the memory after [`WRITES_PER_LOOK`] writes; `false` says to rest.
    pub(crate) fn may_go_on(&mut self, now: Time) -> bool {
        let Some(pressure) = &self.pressure else {
            return true;
        };
        if now >= self.free_until && pressure.is_over(now) {
            self.rest = Some((now, now.after(REST)));
        }
        self.rest.is_none()
    }

    /// Whether writing rests. A rest ends when the memory is there again, and after [`REST_MAX`] in any
    /// case; then as much time passes before the next.
    pub(crate) fn is_resting(&mut self, now: Time) -> bool {
        let (Some(pressure), Some((since, until))) = (&self.pressure, self.rest) else {
            return false;
        };
        if now < until {
            return true;
        }
        let is_over = pressure.is_over(now);
        let goes_on = is_over && now.since(since) < REST_MAX;
        if is_over && !goes_on {
            self.free_until = now.after(REST_MAX);
        }
        self.rest = goes_on.then(|| (since, now.after(REST)));
        goes_on
    }

    /// When to look again.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.rest.map(|(_, until)| until)
    }
}

impl fmt::Debug for TcpPressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpPressure")
            .field("pages_max", &self.pages_max)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_serves_all_for_a_while() {
        let (pages, looks) = (Arc::new(AtomicU64::new(10)), Arc::new(AtomicU64::new(0)));
        let (read, counted) = (Arc::clone(&pages), Arc::clone(&looks));
        let pressure = TcpPressure::new(10, move || {
            counted.fetch_add(1, Relaxed);
            Some(read.load(Relaxed))
        });
        let at = |micros: u64| Time::from_nanos(micros * 1000);
        assert!(
            !pressure.is_over(at(0)),
            "as much as may be is not too much"
        );
        pages.store(11, Relaxed);
        assert!(!pressure.is_over(at(1999)), "the last look still holds");
        assert!(pressure.is_over(at(2000)));
        pages.store(3, Relaxed);
        assert!(pressure.is_over(at(3999)));
        assert!(!pressure.is_over(at(4000)));
        assert_eq!(looks.load(Relaxed), 3);
    }

    #[test]
    fn a_rest_ends_with_the_pressure_or_after_its_time() {
        let pages = Arc::new(AtomicU64::new(11));
        let read = Arc::clone(&pages);
        let pressure = TcpPressure::new(10, move || Some(read.load(Relaxed)));
        let mut pace = Pace::new(Some(Arc::new(pressure)));
        let at = |millis: u64| Time::from_nanos(millis * 1_000_000);
        assert!(!pace.is_resting(at(0)));
        assert!(!pace.may_go_on(at(0)));
        assert!(pace.is_resting(at(9)));
        assert_eq!(pace.deadline(), Some(at(10)));
        assert!(pace.is_resting(at(10)));
        pages.store(10, Relaxed);
        assert!(pace.is_resting(at(19)), "the next look is at 20");
        assert!(!pace.is_resting(at(20)));
        assert_eq!(pace.deadline(), None);

        pages.store(11, Relaxed);
        assert!(!pace.may_go_on(at(100)));
        let end = (100..).find(|&milli| !pace.is_resting(at(milli)));
        assert_eq!(end, Some(1100));
    }

    #[test]
    fn who_knows_nothing_rests_nobody() {
        assert!(!TcpPressure::new(0, || None).is_over(Time::ZERO));
    }
}
