//! What came of a search, and how it stands in what its runs leave behind.

use serde::{Deserialize, Serialize};

use super::blame::Culprit;
use crate::record::{Better, Check, Figure, Record, Status};

/// What came of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Found {
    /// What grew: `connections`, `pushes per second` …
    pub unit: String,
    /// What was kept.
    pub objective: String,
    /// The least load that was allowed to be tried.
    pub from: u64,
    /// The greatest.
    pub to: u64,
    /// The greatest load that kept it, if even the least did.
    pub answer: Option<u64>,
    /// The least load that did not; `None` if the greatest did.
    pub broke_at: Option<u64>,
    /// Who broke first.
    pub culprit: Option<Culprit>,
    /// Which agent it was, where it was one of several machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whose: Option<String>,
    /// Why one thinks so, in sentences.
    pub why: Vec<String>,
    /// Every step, in its order.
    pub steps: Vec<Step>,
    /// What has ended it before there was an answer, if that was not whoever asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

/// One step of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Step {
    /// The load.
    pub value: u64,
    /// Why it was tried: `rising`, `narrowing`, `again`, `confirming`.
    pub purpose: String,
    /// Whether the objective was met.
    pub met: bool,
    /// What there was of each condition.
    pub seen: Vec<Check>,
    /// How long it took.
    pub took_ms: u64,
}

impl Found {
    /// Whether an answer was found.
    pub fn is_found(&self) -> bool {
        self.answer.is_some()
    }

    /// The greatest load that held in any step, below those that did not.
    pub fn held_so_far(&self) -> Option<u64> {
        let below = |step: &&Step| self.broke_at.is_none_or(|broke| step.value < broke);
        let held = self.steps.iter().filter(|step| step.met).filter(below);
        held.map(|step| step.value).max()
    }

    /// Who broke first, by name.
    pub fn culprit_name(&self) -> Option<&str> {
        let culprit = self.culprit?;
        Some(self.whose.as_deref().unwrap_or_else(|| culprit.name()))
    }

    /// That it was ended early, and by what.
    pub(super) fn cut_text(&self) -> String {
        match &self.cut {
            Some(why) => format!("the search was ended early: {why}"),
            None => "the search was ended early".to_owned(),
        }
    }

    /// Whether a machine of the crowd broke first, so that the server may hold more.
    pub fn is_machine(&self) -> bool {
        self.culprit == Some(Culprit::Machine)
    }

    /// What came of it, as runs say it.
    pub(super) fn status(&self) -> Status {
        match (self.is_machine(), self.is_found()) {
            (true, _) => Status::NotGenerated,
            (false, true) => Status::Met,
            (false, false) => Status::NotMet,
        }
    }

    /// Puts the search into what one of its runs leaves behind.
    pub(super) fn put_into(&self, record: &mut Record, interrupted: bool) {
        record.status = self.status();
        record.interrupted = interrupted;
        record.reasons = match record.status {
            Status::Met => Vec::new(),
            _ => self.why.clone(),
        };
        if interrupted {
            record.status = Status::NotMet;
            record.reasons = vec![self.cut_text()];
        }
        record.checks.insert(
            0,
            Check {
                expression: format!("search: {} until {}", self.unit, self.objective),
                ok: self.is_found(),
                strict: true,
                found: self.answer.map(|answer| answer.to_string()),
            },
        );
        if let Some(answer) = self.answer {
            let title = format!("{} that hold", self.unit);
            let figure = Figure::new("search.answer", &title, answer as f64, "", Better::More);
            record.figures.insert(0, figure);
        }
        record.search = Some(self.clone());
    }
}
