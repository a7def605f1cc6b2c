//! When each connection is meant to be opened: an open loop.
//!
//! The intended times depend on the rate alone and never on how fast the server answers. Who falls
//! behind catches up, and latency is counted from the intended time, so that a stalled server shows
//! in the numbers (no coordinated omission).

use std::{sync::Arc, time::Duration};

use crate::{part::Part, rate::Rate};

/// One shard's part of the connections of a run.
///
/// Of connections `0, 1, 2, …` in all, shard `s` of `n` opens `s, s + n, s + 2n, …`. They come in
/// turns: first those of the first few shards, one of each after the other, then those of the next, so
/// that few shards open connections at a time and all together keep the even spacing of the whole.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    rate: Rate,
    ramp: Duration,
    /// Connections of this machine, and which they are of all.
    total: u64,
    part: Arc<Part>,
    /// The step between two connections of this shard.
    shards: u64,
    /// The next connection of this shard.
    next: u64,
    /// When, in the order of all connections, its next is opened.
    order: u64,
    /// How many shards open connections in its turn.
    abreast: u64,
}

/// Which shard of how many, and how many open connections at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    pub(crate) at_a_time: u16,
}

/// A connection whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Its number within the run.
    pub(crate) number: u64,
    /// When it is meant to be opened, counted from the start of the run.
    pub(crate) intended: Duration,
}

impl Schedule {
    /// The part of `seat` in opening the connections of `part` at `rate`, all machines together, which is reached after growing
    /// evenly from nothing for the length of `ramp`.
    pub(crate) fn new(rate: Rate, ramp: Duration, part: Arc<Part>, seat: Seat) -> Self {
        let total = u64::from(part.connections());
        let [shard, shards, at_a_time] =
            [seat.shard, seat.shards, seat.at_a_time.max(1)].map(u64::from);
        let first = shard / at_a_time * at_a_time;
        // Those before it have opened theirs: each has an equal part, and the first have one more.
        let before = total / shards * first + first.min(total % shards);
        Self {
            rate,
            ramp,
            total,
            part,
            shards,
            next: shard,
            order: before + (shard - first),
            abreast: at_a_time.min(shards - first),
        }
    }

    /// The next connection, if one is left.
    pub(crate) fn peek(&self) -> Option<Due> {
        let number = self.next;
        (number < self.total).then(|| Due {
            number: self.part.number(number),
            intended: self.intended(self.part.number(self.order)),
        })
    }

    /// Takes the connection that [`Schedule::peek`] showed.
    pub(crate) fn advance(&mut self) {
        self.next = self.next.saturating_add(self.shards);
        self.order = self.order.saturating_add(self.abreast);
    }

    /// Connections of this shard that are still to be taken.
    pub(crate) fn left(&self) -> u64 {
        self.total.saturating_sub(self.next).div_ceil(self.shards)
    }

    /// Gives up what is left.
    pub(crate) fn cancel(&mut self) {
        self.total = 0;
    }

    /// While the rate `R` grows over the ramp `D`, `R·t²/2D` connections are opened by time `t`;
    /// at its end these are `R·D/2`, and from there on the rate is `R`.
    fn intended(&self, order: u64) -> Duration {
        let half_ramp = self.ramp / 2;
        let at_full_rate = self.rate.time_of(order);
        if at_full_rate >= half_ramp {
            return at_full_rate.saturating_add(half_ramp);
        }
        // t = √(2·D·order/R), where number/R is the time at the full rate.
        let square = 2.0 * self.ramp.as_secs_f64() * at_full_rate.as_secs_f64();
        Duration::from_secs_f64(square.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(rate: &str, ramp: Duration, total: u64, shard: u16, shards: u16) -> Schedule {
        let seat = Seat {
            shard,
            shards,
            at_a_time: shards,
        };
        Schedule::new(rate.parse().expect("a rate"), ramp, whole(total), seat)
    }

    fn whole(total: u64) -> Arc<Part> {
        Arc::new(Part::whole(u32::try_from(total).expect("few")))
    }

    fn drain(mut schedule: Schedule) -> Vec<Due> {
        let mut dues = Vec::new();
        while let Some(due) = schedule.peek() {
            dues.push(due);
            schedule.advance();
        }
        dues
    }

    #[test]
    fn spaces_connections_evenly() {
        let times: Vec<_> = drain(schedule("4/s", Duration::ZERO, 5, 0, 1))
            .iter()
            .map(|due| due.intended.as_millis())
            .collect();
        assert_eq!(times, [0, 250, 500, 750, 1000]);
    }

    #[test]
    fn a_ramp_starts_slowly_and_joins_the_full_rate() {
        let dues = drain(schedule("100/s", Duration::from_secs(2), 200, 0, 1));
        let until = |seconds: f64| {
            dues.iter()
                .filter(|due| due.intended.as_secs_f64() < seconds)
                .count()
        };
        // R·t²/2D = 100·1/4 = 25 after one second, R·D/2 = 100 after two.
        assert_eq!(until(1.0), 25);
        assert_eq!(until(2.0), 100);
        assert_eq!(until(2.5), 150);
    }

    #[test]
    fn cancelled_has_nothing_left() {
        let mut schedule = schedule("1/s", Duration::ZERO, 10, 0, 1);
        schedule.advance();
        assert_eq!(schedule.left(), 9);
        schedule.cancel();
        assert_eq!(schedule.left(), 0);
        assert_eq!(schedule.peek(), None);
    }

    proptest! {
        #[test]
        fn shards_share_the_connections_exactly(
            total in 0..500_u64,
            shards in 1..9_u16,
            at_a_time in 1..10_u16,
            ramp_ms in 0..5_000_u64,
        ) {
            let ramp = Duration::from_millis(ramp_ms);
            let whole = drain(schedule("50/s", ramp, total, 0, 1));
            let mut parts = Vec::new();
            for shard in 0..shards {
                let seat = Seat { shard, shards, at_a_time };
                let rate = "50/s".parse().expect("a rate");
                let part = Schedule::new(rate, ramp, self::whole(total), seat);
                let left = part.left();
                let dues = drain(part);
                prop_assert_eq!(left, dues.len() as u64);
                prop_assert!(dues.is_sorted_by_key(|due| due.intended));
                prop_assert!(dues.iter().all(|due| due.number % u64::from(shards) == u64::from(shard)));
                parts.extend(dues);
            }
            // Each number once, and the times of the whole.
            let sorted = |dues: &[Due], by: fn(&Due) -> u128| {
                let mut values: Vec<_> = dues.iter().map(by).collect();
                values.sort_unstable();
                values
            };
            for by in [|due: &Due| due.number.into(), |due: &Due| due.intended.as_nanos()] {
                prop_assert_eq!(sorted(&parts, by), sorted(&whole, by));
            }
            // A turn is over before the next begins.
            let turn = |due: &Due| due.number % u64::from(shards) / u64::from(at_a_time);
            parts.sort_by_key(|due| due.intended);
            prop_assert!(ramp_ms > 0 || parts.is_sorted_by_key(turn));
        }
    }
}
