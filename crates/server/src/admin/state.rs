//! What handlers of the control plane are given.

use std::time::SystemTime;

use super::{
    api::Press, limits::Limits, memory::Scales, observatory::Observatory, plan::Planner,
    refused::Refused,
};
use crate::control::Control;

/// The node, to steer and to look at. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) control: Control,
    pub(crate) observatory: Observatory,
    pub(crate) press: Press,
    pub(super) limits: Limits,
    pub(super) planner: Planner,
    pub(super) refused: Refused,
    pub(super) scales: Scales,
    pub(crate) started: SystemTime,
}

impl State {
    pub(crate) fn new(control: Control) -> Self {
        Self {
            observatory: Observatory::new(control.clone()),
            press: Press::default(),
            limits: Limits::new(control.clone()),
            planner: Planner::default(),
            refused: Refused::default(),
            scales: Scales::default(),
            started: SystemTime::now(),
            control,
        }
    }
}
