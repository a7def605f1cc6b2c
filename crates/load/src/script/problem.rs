//! What is wrong with a script, and where: all of it at once, so that it is put right in one go.

use std::fmt;

/// A place in a file; line 0 is a value that came from the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) line: u32,
    /// Counted from 1, in characters.
    pub(crate) column: u32,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    place: Place,
    /// Such as `config.phases[0].arrivalRate`; empty for the file as a whole.
    key: String,
    /// What was wrong, what was expected, what to do.
    text: String,
}

/// Everything that is wrong with a script, in the order of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
}

/// Problems that are kept; a file that is none at all would have one in each line.
const PROBLEMS_MAX: usize = 100;

impl Problems {
    /// Nothing wrong yet with `file`.
    pub(crate) fn of(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            list: Vec::new(),
        }
    }

    /// Notes what is wrong with `key`.
    pub(crate) fn note(&mut self, place: Place, key: &str, text: impl Into<String>) {
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(Problem {
                place,
                key: key.to_owned(),
                text: text.into(),
            });
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// `value` if nothing is wrong, else everything that is.
    pub(crate) fn or<T>(mut self, value: Option<T>) -> Result<T, Self> {
        self.list.sort_by_key(|problem| problem.place);
        // What holds for several scenarios is read for each of them.
        self.list.dedup();
        match value {
            Some(value) if self.list.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.list.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            let Place { line, column } = problem.place;
            match line {
                0 => f.write_str("command line: ")?,
                _ => write!(f, "{}:{line}:{column}: ", self.file)?,
            }
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            f.write_str(&problem.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The one of `names` that `name` was perhaps meant to be.
pub(crate) fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let likeness = |one: &str| {
        strsim::normalized_damerau_levenshtein(&one.to_lowercase(), &name.to_lowercase())
    };
    names
        .iter()
        .map(|&one| (likeness(one), one))
        .filter(|&(likeness, _)| likeness > 0.6)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_in_the_order_of_their_lines() {
        let mut problems = Problems::of("a.yml");
        let at = |line| Place { line, column: 3 };
        problems.note(at(9), "config.phase", "unknown key");
        problems.note(at(2), "", "no");
        problems.note(Place::default(), "target", "no");
        let text = problems.or(Some(())).expect_err("problems").to_string();
        assert_eq!(
            text,
            "command line: target: no\na.yml:2:3: no\na.yml:9:3: config.phase: unknown key"
        );
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let names = ["arrivalRate", "arrivalCount", "duration"];
        assert_eq!(nearest("arivalRate", &names), Some("arrivalRate"));
        assert_eq!(nearest("arrivalrate", &names), Some("arrivalRate"));
        assert_eq!(nearest("zebra", &names), None);
    }
}
