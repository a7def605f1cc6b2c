//! What is seen of a machine while a step runs on it: what the crowd's process used of the processors, and what the
//! kernel counted of the network meanwhile.

use std::{
    fs,
    time::{Duration, Instant},
};

use capacity::{
    Machine,
    sockets::{Counter, Counters},
};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A step that was shorter says nothing of the processors.
const LEAST: Duration = Duration::from_millis(500);

/// What was there before a step.
#[derive(Debug)]
pub(crate) struct Watcher {
    began: Instant,
    processor_seconds: f64,
    /// Busy and all time of the machine's processors, in the kernel's ticks.
    ticks: Option<(u64, u64)>,
    counters: Counters,
}

/// What happened during a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) cores: f64,
    /// Of these, how many the crowd used.
    pub(crate) crowd_cores: f64,
    /// Which share of all of them was busy, with the crowd and everything else.
    pub(crate) busy: Option<f64>,
    pub(crate) retransmitted: u64,
    pub(crate) syn_retransmitted: u64,
    /// Connections that a listener in this network namespace had no room for.
    pub(crate) listen_drops: u64,
    pub(crate) took_ms: u64,
}

impl Watcher {
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
            processor_seconds: processor_seconds(),
            ticks: ticks(),
            counters: Counters::read(),
        }
    }

    pub(crate) fn stop(self) -> Evidence {
        let took = self.began.elapsed();
        let seconds = took.as_secs_f64().max(0.001);
        let now = Counters::read();
        let since = |counter| {
            let value = |counters: &Counters| counters.value(counter).unwrap_or(0);
            value(&now).saturating_sub(value(&self.counters))
        };
        let busy = self.ticks.zip(ticks()).and_then(|(before, now)| {
            let all = now.1.checked_sub(before.1).filter(|&all| all > 0)?;
            Some(now.0.saturating_sub(before.0) as f64 / all as f64)
        });
        Evidence {
            cores: Machine::read().cores_count as f64,
            crowd_cores: match took >= LEAST {
                true => (processor_seconds() - self.processor_seconds).max(0.0) / seconds,
                false => 0.0,
            },
            busy,
            retransmitted: since(Counter::RetransSegs),
            syn_retransmitted: since(Counter::TcpSynRetrans),
            listen_drops: since(Counter::ListenDrops),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Busy and all ticks of `/proc/stat` (`man 5 proc_stat`): idle and iowait are the fourth and fifth.
fn ticks() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    let all: u64 = numbers.iter().sum();
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some((all - idle, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_sees_what_this_process_does() {
        let watcher = Watcher::start();
        let (mut sum, until) = (0_u64, Instant::now() + LEAST);
        while Instant::now() < until {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let seen = watcher.stop();
        assert!(seen.crowd_cores > 0.0 && seen.cores >= 1.0, "{seen:?}");
        assert!(
            seen.busy.is_none_or(|busy| (0.0..=1.0).contains(&busy)),
            "{seen:?}"
        );
    }
}
