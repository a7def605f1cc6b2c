//! One number of a report, beside the floor's and its target.

use serde_json::{Value, json};

use crate::numbers::grouped;

/// One number.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: &'static str,
    title: &'static str,
    decimals: usize,
    value: Option<f64>,
    floor: Option<f64>,
    target: Target,
}

/// What the headline promises of a number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    None,
    AtMost(f64),
    AtLeast(f64),
    OfFloorAtMost(f64),
    OfFloorAtLeast(f64),
    /// Within so large a share of a number.
    Near(f64, f64),
}

impl Row {
    pub(super) fn new(
        key: &'static str,
        title: &'static str,
        decimals: usize,
        value: Option<f64>,
    ) -> Self {
        Self {
            key,
            title,
            decimals,
            value,
            floor: None,
            target: Target::None,
        }
    }

    pub(super) fn beside(mut self, floor: Option<f64>) -> Self {
        self.floor = floor;
        self
    }

    pub(super) fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    fn ratio(&self) -> Option<f64> {
        // Of differences, either can come out below zero, and then says nothing.
        let floor = self.floor.filter(|floor| *floor > 0.0)?;
        let value = self.value.filter(|value| *value >= 0.0)?;
        Some(value / floor)
    }

    /// Returns whether the target is met, or `None` where there is none or nothing to compare.
    pub(super) fn is_met(&self) -> Option<bool> {
        match self.target {
            Target::None => None,
            Target::AtMost(most) => Some(self.value? <= most),
            Target::AtLeast(least) => Some(self.value? >= least),
            Target::OfFloorAtMost(most) => Some(self.ratio()? <= most),
            Target::OfFloorAtLeast(least) => Some(self.ratio()? >= least),
            Target::Near(number, share) => Some((self.value? / number - 1.0).abs() <= share),
        }
    }

    pub(super) fn cells(&self) -> [String; 6] {
        let number = |value: Option<f64>, decimals| {
            value.map_or_else(String::new, |value| grouped(value, decimals))
        };
        let target = match self.target {
            Target::None => String::new(),
            Target::AtMost(most) => format!("≤ {}", grouped(most, 0)),
            Target::AtLeast(least) => format!("≥ {}", grouped(least, 0)),
            Target::OfFloorAtMost(most) => format!("≤ {most} × floor"),
            Target::OfFloorAtLeast(least) => format!("≥ {least} × floor"),
            Target::Near(number, share) => format!("{} ± {} %", grouped(number, 0), share * 100.0),
        };
        let verdict = match self.is_met() {
            Some(true) => " met",
            Some(false) => " NOT MET",
            None => "",
        };
        [
            self.title.to_owned(),
            number(self.value, self.decimals),
            number(self.floor, self.decimals),
            number(self.ratio(), 2),
            target,
            verdict.to_owned(),
        ]
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "value": self.value,
            "floor": self.floor,
            "ratio": self.ratio(),
            "met": self.is_met(),
        })
    }
}
