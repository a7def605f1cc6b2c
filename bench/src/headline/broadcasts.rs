//! Broadcasts to all connections, of the product and of the floor alike.

use std::time::Duration;

use serde_json::{Value, json};

use crate::numbers::median;

/// One broadcast. Times count from the moment at which it was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broadcast {
    pub(super) first: Duration,
    pub(super) median: Duration,
    pub(super) last: Duration,
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
}

impl Broadcast {
    /// Reads what the crowd reports of one broadcast. Whom it did not reach because the connection
    /// had ended counts as lost.
    pub(super) fn from_report(report: &Value) -> Option<Self> {
        let count = |key: &str| report.get(key)?.as_u64();
        let time = |key: &str| count(key).map(Duration::from_micros);
        Some(Self {
            first: time("first_us")?,
            median: time("median_us")?,
            last: time("last_us")?,
            received: count("received")?,
            lost: count("lost")? + count("dropped")?,
            duplicated: count("duplicated")?,
        })
    }

    pub(super) fn to_json(self) -> Value {
        json!({
            "first_s": self.first.as_secs_f64(),
            "median_s": self.median.as_secs_f64(),
            "last_s": self.last.as_secs_f64(),
            "deliveries_per_second": rate(self.received, self.last),
            "received": self.received,
            "lost": self.lost,
            "duplicated": self.duplicated,
        })
    }
}

/// Returns the median over `broadcasts` of what `seconds` says of each; `None` without any.
pub(super) fn median_of(
    broadcasts: &[Broadcast],
    of: impl Fn(&Broadcast) -> Duration,
) -> Option<f64> {
    let seconds: Vec<_> = broadcasts.iter().map(|it| of(it).as_secs_f64()).collect();
    median(&seconds)
}

/// Returns all deliveries per second, each broadcast counted to its last delivery.
pub(super) fn deliveries_per_second(broadcasts: &[Broadcast]) -> Option<f64> {
    let received = broadcasts.iter().map(|it| it.received).sum();
    rate(received, broadcasts.iter().map(|it| it.last).sum())
}

fn rate(count: u64, time: Duration) -> Option<f64> {
    (!time.is_zero()).then(|| count as f64 / time.as_secs_f64())
}
