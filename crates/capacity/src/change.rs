//! A value of a limit that is to be changed.

use crate::Limit;

/// One limit, what it is and what it should be, in the form in which it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which limit.
    pub limit: Limit,
    /// What it is: `128`, or `287898 383867 575796` for a sysctl with three numbers.
    pub from: String,
    /// What it should be, in the same form.
    pub to: String,
}
