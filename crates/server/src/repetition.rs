//! What is worth saying once a minute: said at once, then counted.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long something is not said again; its repetitions are counted.
const QUIET: Duration = Duration::from_secs(60);

/// What has been said already. Things are few kinds: all of them are looked through and none is forgotten.
/// The lock is taken for what is worth a line of the log, never for a message.
#[derive(Debug)]
pub(crate) struct Repetitions<T>(Mutex<Vec<Said<T>>>);

#[derive(Debug)]
struct Said<T> {
    thing: T,
    at: Duration,
    /// How often it came again since.
    again: u64,
}

impl<T: PartialEq> Repetitions<T> {
    /// Returns how often a thing came unsaid, if it is to be said now; `now` counts from any moment.
    pub(crate) fn note(&self, thing: T, now: Duration) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|said| said.thing == thing) {
            Some(said) if now.saturating_sub(said.at) < QUIET => {
                said.again += 1;
                None
            }
            Some(said) => {
                said.at = now;
                Some(std::mem::take(&mut said.again))
            }
            None => {
                all.push(Said {
                    thing,
                    at: now,
                    again: 0,
                });
                Some(0)
            }
        }
    }
}

impl<T> Default for Repetitions<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_said_once_a_minute_with_what_was_left_unsaid() {
        let said = Repetitions::default();
        let at = Duration::from_secs;
        assert_eq!(said.note("a", at(1)), Some(0));
        assert_eq!(said.note("a", at(2)), None);
        assert_eq!(said.note("b", at(2)), Some(0));
        assert_eq!(said.note("a", at(60)), None);
        assert_eq!(said.note("a", at(61)), Some(2));
    }
}
