//! The clock of real kernels.

use std::{sync::OnceLock, time::Instant};

use crate::Time;

/// The time since the moment all times of this process count from, `CLOCK_MONOTONIC`.
pub(super) fn now() -> Time {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    Time::ZERO.after(EPOCH.get_or_init(Instant::now).elapsed())
}
