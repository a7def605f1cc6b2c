//! The crowd: clients as state machines, schedules, histograms, reports.

#![forbid(unsafe_code)]
