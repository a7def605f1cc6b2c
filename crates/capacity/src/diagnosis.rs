//! Whether a machine carries what is asked of it: each limit that matters against what is needed,
//! the worst first.
//!
//! Arithmetic on a [`Survey`] and a [`Demand`], so a machine that is not this one takes the same path.

mod advice;
mod needs;
mod text;

use crate::{Change, Demand, Known, Limit, Setting, Side, Survey, Unknown, survey::Reading};

/// Every limit that matters to a demand, judged.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What was asked.
    pub demand: Demand,
    /// The worst first.
    findings: Vec<Finding>,
}

/// One limit, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub limit: Limit,
    /// What it is on this machine; what is in the way of knowing otherwise.
    pub reading: Known<Reading>,
    /// How much of it is needed in all, what is in use already among it; `None` for a switch.
    pub need: Option<u64>,
    /// Whether that is there.
    pub verdict: Verdict,
    /// How the need comes about, or what the switch does; a clause.
    pub why: String,
    /// What would be enough, where it can be said as a value.
    pub change: Option<Change>,
    /// How many connections it is enough for, where it is not enough for all.
    pub enough_for: Option<u64>,
}

/// What a limit means for a demand; the worst is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// The connections cannot be held.
    Stops,
    /// They can, but opening them or speaking to all of them will be slow or lose some for a time.
    Slows,
    /// It could not be read, and would stop them if it were too low.
    Unknown,
    /// It is enough.
    Fits,
}

/// What too little of a limit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Must,
    Should,
}

/// How much is needed of a limit.
struct Need {
    least: u64,
    weight: Weight,
    why: String,
    /// The value as it is written that would be enough, where the number alone is not.
    to: Option<String>,
}

impl Diagnosis {
    /// Judges `survey` by `demand`.
    pub fn of(survey: &Survey, demand: &Demand) -> Self {
        let concerned = |limit: &Limit| limit.side().concerns(demand.role);
        let mut findings: Vec<Finding> = Limit::ALL
            .into_iter()
            .filter(concerned)
            .map(|limit| finding(limit, survey, demand))
            .collect();
        // Within a verdict, what is missing most comes first; the sort keeps the order of the table.
        findings.sort_by(|a, b| {
            let lack = |finding: &Finding| finding.lack();
            a.verdict.cmp(&b.verdict).then(lack(b).total_cmp(&lack(a)))
        });
        Self {
            demand: *demand,
            findings,
        }
    }

    /// The most connections of `demand` that fit, up to `most`: what stops none of them.
    pub fn most(survey: &Survey, demand: &Demand, most: u64) -> u64 {
        search(most, |connections| {
            let fewer = Demand {
                connections,
                ..*demand
            };
            Self::of(survey, &fewer).fits() != Some(false)
        })
    }

    /// The limits that matter, the worst first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether all of it fits; `None` if a limit that would decide it could not be read.
    pub fn fits(&self) -> Option<bool> {
        match self.findings.iter().map(|finding| finding.verdict).min() {
            Some(Verdict::Stops) => Some(false),
            _ if self
                .findings
                .iter()
                .any(|it| it.verdict == Verdict::Unknown) =>
            {
                None
            }
            _ => Some(true),
        }
    }

    /// The limit that binds first: the one that stops them, if any, else the one of which they take most.
    pub fn binding(&self) -> Option<&Finding> {
        let stops = self
            .findings
            .first()
            .filter(|it| it.verdict == Verdict::Stops);
        stops.or_else(|| {
            let fits = |it: &&Finding| it.verdict == Verdict::Fits && needs::is_must(it.limit);
            let musts = self.findings.iter().filter(fits);
            musts.max_by(|a, b| a.lack().total_cmp(&b.lack()))
        })
    }

    /// What to change, the worst first, each limit once.
    pub fn changes(&self) -> Vec<Change> {
        let wanting = |it: &&Finding| matches!(it.verdict, Verdict::Stops | Verdict::Slows);
        self.findings
            .iter()
            .filter(wanting)
            .filter_map(|it| it.change.clone())
            .collect()
    }
}

impl Finding {
    /// A limit of which no number follows from the connections.
    fn without_number(limit: Limit, reading: Result<&Reading, &Unknown>) -> Self {
        Self {
            limit,
            reading: reading.cloned().map_err(Clone::clone),
            need: None,
            verdict: Verdict::Fits,
            why: limit.sizing().to_owned(),
            change: None,
            enough_for: None,
        }
    }

    /// How many times what is there is needed.
    fn lack(&self) -> f64 {
        match (&self.reading, self.need) {
            (Ok(reading), Some(need)) => need as f64 / (reading.value as f64).max(1.0),
            _ => 0.0,
        }
    }
}

fn finding(limit: Limit, survey: &Survey, demand: &Demand) -> Finding {
    let own = needs::reading(limit, survey, demand);
    let reading = match &own {
        Some(reading) => Ok(reading),
        None => survey.reading(limit),
    };
    if let Ok(reading) = reading
        && let Some(finding) = advice::finding(limit, reading, demand)
    {
        return finding;
    }
    let Some(need) = needs::need(limit, survey, demand) else {
        return Finding::without_number(limit, reading);
    };
    let verdict = match (reading, need.weight) {
        (Ok(reading), _) if reading.value >= need.least => Verdict::Fits,
        (Ok(_), Weight::Must) => Verdict::Stops,
        (Ok(_), Weight::Should) => Verdict::Slows,
        // A kernel without the limit does not impose it.
        (Err(Unknown::Absent(_)), _) if is_of_some_kernels(limit) => Verdict::Fits,
        (Err(_), Weight::Must) => Verdict::Unknown,
        (Err(_), Weight::Should) => Verdict::Fits,
    };
    let change = match (reading, verdict) {
        (Ok(reading), Verdict::Stops | Verdict::Slows) => change(limit, reading, &need),
        _ => None,
    };
    let is_short = matches!(verdict, Verdict::Stops | Verdict::Slows);
    let enough_for = reading.ok().filter(|_| is_short);
    Finding {
        limit,
        reading: reading.cloned().map_err(Clone::clone),
        need: Some(need.least),
        verdict,
        why: need.why,
        change,
        enough_for: enough_for.map(|reading| enough_for_most(limit, reading.value, survey, demand)),
    }
}

/// Whether a machine may do without `limit`. Others are hidden where they are not seen: in a container, the
/// host has them.
const fn is_of_some_kernels(limit: Limit) -> bool {
    matches!(
        limit,
        Limit::Conntrack
            | Limit::IoUring
            | Limit::EstablishedTable
            | Limit::GroupMemory
            | Limit::GroupThreads
    )
}

/// The most connections of `demand` that need no more of `limit` than `value`.
fn enough_for_most(limit: Limit, value: u64, survey: &Survey, demand: &Demand) -> u64 {
    let is_enough = |connections| {
        let fewer = Demand {
            connections,
            ..*demand
        };
        needs::need(limit, survey, &fewer).is_none_or(|need| need.least <= value)
    };
    search(demand.connections, is_enough)
}

/// The greatest number up to `most` of which `is_enough` says so, as it does of all below; 0 if none is.
fn search(most: u64, is_enough: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if is_enough(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// The value that is enough, in the form in which it is written.
fn change(limit: Limit, reading: &Reading, need: &Need) -> Option<Change> {
    let to = match (&need.to, limit.setting()) {
        (Some(to), _) => to.clone(),
        (None, Setting::Sysctl { place, .. }) => {
            let numbers = reading
                .text
                .split_whitespace()
                .map(|word| word.parse().ok());
            let mut numbers: Vec<u64> = numbers.collect::<Option<_>>()?;
            // What follows must not be lower, as the three marks of tcp_mem.
            for number in numbers.get_mut(place..)? {
                *number = need.least.max(*number);
            }
            let words: Vec<_> = numbers.iter().map(u64::to_string).collect();
            words.join(" ")
        }
        (None, Setting::Rlimit { .. } | Setting::ControlGroup { .. } | Setting::Boot(_)) => {
            need.least.to_string()
        }
        (None, _) => return None,
    };
    Some(Change {
        limit,
        from: reading.text.clone(),
        to,
    })
}

/// Whether a role has both ends.
fn is_both(demand: &Demand) -> bool {
    demand.role == Side::Both
}

#[cfg(test)]
mod tests;
