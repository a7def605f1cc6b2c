//! What handlers of the control plane are given.

use super::observatory::Observatory;
use crate::control::Control;

/// The node, to steer and to look at. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) control: Control,
    pub(crate) observatory: Observatory,
}

impl State {
    pub(crate) fn new(control: Control) -> Self {
        Self {
            observatory: Observatory::new(control.clone()),
            control,
        }
    }
}
