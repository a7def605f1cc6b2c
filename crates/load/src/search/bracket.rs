//! The search itself, without a crowd: which load to try next, from what came of those tried before.
//!
//! It doubles from the least load until one does not hold, halves what lies between the greatest that held
//! and the least that did not, and tries the answer once more:
//!
//! ```text
//! rising ──did not hold──► narrowing ──close enough──► confirming ──held──► the answer
//!    ▲ held: twice as much     ▲ held: more, else less      │
//!    └──────────────────────   └──────did not hold: less────┘
//! ```
//!
//! One bad moment must not halve the answer: a load that does not hold is tried again at once, and only what
//! does not hold twice in a row is too much. One good moment must not raise it: the answer held at least
//! twice. Pure: the same results lead to the same loads.

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The objective was met.
    Met,
    /// It was not.
    Missed,
    /// The step could not even begin, and would not the next time.
    Impossible,
}

/// Why a load is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Nothing was too much so far.
    Rising,
    /// The answer lies between two loads.
    Narrowing,
    /// It did not hold a moment ago.
    Again,
    /// It is the answer if it holds once more.
    Confirming,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try this load.
    Try(u64, Purpose),
    /// This is the greatest that held, if even the least did.
    Done(Option<u64>),
}

/// The search between a least and a greatest load.
#[derive(Clone, Debug)]
pub(crate) struct Bracket {
    from: u64,
    to: u64,
    /// How far apart two loads may be that count as one, in hundredths of a per cent of the lower.
    resolution: u64,
    /// The loads that held, rising, and how often each did. Invariant: all are below `high`.
    held: Vec<(u64, u32)>,
    /// The least load that did not hold, twice in a row.
    high: Option<u64>,
    /// A load that did not hold the last time.
    doubtful: Option<u64>,
    steps: u32,
}

impl Bracket {
    /// The most steps of a search; it needs fewer, unless what it searches changes its mind all the time.
    pub(crate) const STEPS_MAX: u32 = 100;

    /// A search from `from` to `to`, both included, until two loads are as close as `resolution`, in
    /// hundredths of a per cent of the lower.
    pub(crate) fn new(from: u64, to: u64, resolution: u64) -> Self {
        Self {
            from: from.max(1),
            to: to.max(from).max(1),
            resolution,
            held: Vec::new(),
            high: None,
            doubtful: None,
            steps: 0,
        }
    }

    /// What to do next.
    pub(crate) fn next(&self) -> Next {
        let low = self.held.last().copied();
        if self.steps >= Self::STEPS_MAX {
            return Next::Done(self.confirmed());
        }
        if let Some(value) = self.doubtful {
            return Next::Try(value, Purpose::Again);
        }
        match (low, self.high) {
            (None, None) => Next::Try(self.from, Purpose::Rising),
            // A confirmation failed, and everything below had been skipped.
            (None, Some(high)) if high > self.from => Next::Try(self.from, Purpose::Narrowing),
            (None, Some(_)) => Next::Done(None),
            (Some((low, _)), None) if low < self.to => {
                Next::Try(low.saturating_mul(2).min(self.to), Purpose::Rising)
            }
            (Some((low, _)), Some(high)) if !self.is_close(low, high) => {
                Next::Try(low + (high - low) / 2, Purpose::Narrowing)
            }
            (Some((low, times)), _) if times < 2 => Next::Try(low, Purpose::Confirming),
            (Some((low, _)), _) => Next::Done(Some(low)),
        }
    }

    /// Takes what came of the load that [`next`](Self::next) named.
    pub(crate) fn handle(&mut self, value: u64, came: Came) {
        self.steps += 1;
        let was_doubtful = self.doubtful.take() == Some(value);
        match came {
            Came::Met => match self.held.last_mut() {
                Some((low, times)) if *low == value => *times += 1,
                _ => self.held.push((value, 1)),
            },
            Came::Missed if !was_doubtful => self.doubtful = Some(value),
            Came::Missed | Came::Impossible => {
                self.high = Some(value);
                self.held.retain(|&(low, _)| low < value);
            }
        }
    }

    /// The least load that did not hold.
    pub(crate) const fn least_missed(&self) -> Option<u64> {
        self.high
    }

    /// The greatest load that held twice.
    fn confirmed(&self) -> Option<u64> {
        let twice = self.held.iter().rev().find(|&&(_, times)| times >= 2);
        twice.map(|&(low, _)| low)
    }

    fn is_close(&self, low: u64, high: u64) -> bool {
        let apart = u128::from(high - low);
        apart <= 1 || apart * 10_000 <= u128::from(low) * u128::from(self.resolution)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A server of which the latency rises with the load and that breaks at a cliff.
    struct Server {
        cliff: u64,
        /// Near the cliff, within this many hundredths of a per cent, it is a matter of luck.
        luck: u64,
        random: fastrand::Rng,
        /// The share of runs in a hundred that go wrong for no reason, never twice in a row.
        hiccups: u32,
        hiccuped: bool,
    }

    impl Server {
        fn latency_ms(&mut self, load: u64) -> f64 {
            let spread = self.cliff as f64 * self.luck as f64 / 1e4;
            let cliff = self.cliff as f64 + spread * (self.random.f64() * 2.0 - 1.0);
            let load = load as f64;
            let is_wrong = !self.hiccuped && self.random.u32(0..100) < self.hiccups;
            self.hiccuped = is_wrong;
            if load > cliff || is_wrong {
                return 3_000.0;
            }
            // A queue: it waits longer the busier it is, and stays below the objective until it breaks.
            1.0 + 100.0 * load / (cliff * 2.0)
        }
    }

    /// Searches it, and returns the answer and every load that was tried.
    fn search(
        server: &mut Server,
        from: u64,
        to: u64,
        resolution: u64,
    ) -> (Option<u64>, Vec<(u64, bool)>) {
        let mut bracket = Bracket::new(from, to, resolution);
        let mut tried = Vec::new();
        loop {
            match bracket.next() {
                Next::Done(answer) => return (answer, tried),
                Next::Try(load, _) => {
                    let is_met = server.latency_ms(load) < 200.0;
                    tried.push((load, is_met));
                    let came = if is_met { Came::Met } else { Came::Missed };
                    bracket.handle(load, came);
                }
            }
        }
    }

    fn server(cliff: u64, seed: u64) -> Server {
        Server {
            cliff,
            luck: 0,
            random: fastrand::Rng::with_seed(seed),
            hiccups: 0,
            hiccuped: false,
        }
    }

    proptest! {
        #[test]
        fn the_cliff_is_found_within_the_resolution(
            cliff in 1..2_000_000_u64,
            from in 1..5_000_u64,
            to in 5_000..1_000_000_u64,
            resolution in 1..2_000_u64,
        ) {
            let (answer, tried) = search(&mut server(cliff, 0), from, to, resolution);
            prop_assert!(tried.len() < 70, "{} steps", tried.len());
            prop_assert!(tried.iter().all(|&(load, _)| (from..=to).contains(&load)));
            let best = cliff.min(to);
            match answer {
                None => prop_assert!(cliff < from),
                Some(answer) => {
                    prop_assert!(answer <= best);
                    let apart = (best - answer) as f64;
                    prop_assert!(apart <= 1.0 || apart <= answer as f64 * resolution as f64 / 1e4);
                    let times = tried.iter().filter(|&&one| one == (answer, true)).count();
                    prop_assert_eq!(times, 2);
                }
            }
        }

        #[test]
        fn noise_does_not_break_it(cliff in 2_000..500_000_u64, seed in any::<u64>()) {
            let mut server = Server { luck: 200, hiccups: 20, ..server(cliff, seed) };
            let (answer, tried) = search(&mut server, 100, 1_000_000, 500);
            let answer = answer.expect("the least is far below the cliff") as f64;
            // Two per cent of luck, and five of resolution.
            prop_assert!(answer <= cliff as f64 * 1.021, "{answer} of {cliff}: {tried:?}");
            prop_assert!(answer >= cliff as f64 * 0.93 - 1.0, "{answer} of {cliff}: {tried:?}");
        }

        #[test]
        fn whatever_happens_it_ends_within_its_bounds(
            seed in any::<u64>(),
            luck in 0..101_u32,
            from in 1..1_000_u64,
            to in 1..u64::MAX,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bracket = Bracket::new(from, to, 1);
            let (mut steps, mut held) = (0, Vec::new());
            let answer = loop {
                let Next::Try(load, _) = bracket.next() else {
                    break bracket.next();
                };
                prop_assert!(load >= from && load <= to.max(from));
                steps += 1;
                let came = match random.u32(0..100) {
                    it if it < luck => Came::Met,
                    it if it % 2 == 0 => Came::Missed,
                    _ => Came::Impossible,
                };
                if came == Came::Met {
                    held.push(load);
                }
                bracket.handle(load, came);
            };
            prop_assert!(steps <= Bracket::STEPS_MAX);
            if let Next::Done(Some(answer)) = answer {
                prop_assert!(held.iter().filter(|&&load| load == answer).count() >= 2);
            }
        }
    }

    #[test]
    fn it_doubles_and_halves_and_confirms() {
        let (answer, tried) = search(&mut server(300, 0), 100, 10_000, 500);
        let loads: Vec<_> = tried.iter().map(|&(load, _)| load).collect();
        assert_eq!(
            loads,
            [100, 200, 400, 400, 300, 350, 350, 325, 325, 312, 312, 300]
        );
        assert_eq!(answer, Some(300));
    }

    #[test]
    fn what_cannot_begin_is_not_tried_twice() {
        let mut bracket = Bracket::new(10, 1_000, 500);
        assert_eq!(bracket.next(), Next::Try(10, Purpose::Rising));
        bracket.handle(10, Came::Impossible);
        assert_eq!(bracket.next(), Next::Done(None));
        assert_eq!(bracket.least_missed(), Some(10));
    }

    #[test]
    fn the_greatest_load_may_hold() {
        let (answer, tried) = search(&mut server(u64::MAX / 4, 0), 100, 250, 500);
        assert_eq!(answer, Some(250));
        assert_eq!(tried.len(), 4, "100, 200, 250 and 250 again");
    }
}
