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
        self.add(thing, 1, now).map(|count| count - 1)
    }

    /// Adds `count` of a thing. Returns how many there were since it was last said, these among them, if that
    /// is to be said now; also without a new one, when some were left unsaid.
    pub(crate) fn add(&self, thing: T, count: u64, now: Duration) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = all.iter_mut().find(|said| said.thing == thing) else {
            if count == 0 {
                return None;
            }
            let (at, again) = (now, 0);
            all.push(Said { thing, at, again });
            return Some(count);
        };
        said.again += count;
        if said.again == 0 || now.saturating_sub(said.at) < QUIET {
            return None;
        }
        said.at = now;
        Some(std::mem::take(&mut said.again))
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

    #[test]
    fn what_was_left_unsaid_is_said_later_without_a_new_one() {
        let said = Repetitions::default();
        let at = Duration::from_secs;
        assert_eq!(said.add("a", 0, at(0)), None);
        assert_eq!(said.add("a", 2, at(1)), Some(2));
        assert_eq!(said.add("a", 3, at(2)), None);
        assert_eq!(said.add("a", 0, at(61)), Some(3));
        assert_eq!(said.add("a", 0, at(200)), None);
        assert_eq!(said.add("a", 1, at(201)), Some(1));
    }
}
