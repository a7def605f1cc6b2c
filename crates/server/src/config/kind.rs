//! What kinds of values there are: how each is read, written and described.
//!
//! A kind holds its range, so that the refusal, the help and the documentation name the same one.

use std::{fmt::Display, net::SocketAddr, time::Duration};

use capacity::Grouped;

use super::written::{Written, quoted, whole_number};

/// One kind of value.
pub(super) trait Kind {
    /// What the program gets; it cannot be wrong.
    type Value;

    /// The value, or `None` when what was written is not [expected](Self::expected).
    fn read(&self, written: &Written<'_>) -> Option<Self::Value>;

    /// The value in TOML, so that [`read`](Self::read) gives it back.
    fn write(&self, value: &Self::Value) -> String;

    /// Goes on after "expected": the range, the unit, an example.
    fn expected(&self) -> String;

    /// Stands for the value in a synopsis: `COUNT`.
    fn placeholder(&self) -> &'static str;
}

/// A whole number of things, bounds included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count<T> {
    pub(super) min: T,
    pub(super) max: T,
    pub(super) unit: &'static str,
}

/// A number of bytes, bounds included; also `64KiB`, `1MiB`, `1GiB`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<T> {
    pub(super) min: T,
    pub(super) max: T,
}

/// A span of time in whole milliseconds, bounds included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

/// One word of a few.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

/// `true` or `false`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch;

/// An IP address with a port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address;

/// A text with a rule of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    pub(super) placeholder: &'static str,
    pub(super) expected: &'static str,
    pub(super) allows: fn(&str) -> bool,
}

/// A list of different texts, at least one.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) item: Text,
    pub(super) items_max: usize,
}

/// Another kind, or one word (it may be empty) that stands for none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Or<K> {
    pub(super) kind: K,
    pub(super) word: &'static str,
}

const KIB: i64 = 1 << 10;
const BYTE_UNITS: [(&str, i64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", KIB)];
const TIME_UNITS: [(&str, u128); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl<T> Kind for Count<T>
where
    T: Copy + Display + PartialOrd + TryFrom<i64> + TryInto<u64>,
{
    type Value = T;

    fn read(&self, written: &Written<'_>) -> Option<T> {
        let value = T::try_from(written.integer()?).ok()?;
        (self.min..=self.max).contains(&value).then_some(value)
    }

    fn write(&self, value: &T) -> String {
        value.to_string()
    }

    fn expected(&self) -> String {
        format!(
            "{} to {} {}",
            grouped(self.min),
            grouped(self.max),
            self.unit
        )
    }

    fn placeholder(&self) -> &'static str {
        "COUNT"
    }
}

impl<T> Kind for Bytes<T>
where
    T: Copy + PartialOrd + TryFrom<i64> + TryInto<i64>,
{
    type Value = T;

    fn read(&self, written: &Written<'_>) -> Option<T> {
        let count = written.integer().or_else(|| {
            let text = written.text()?;
            let (unit, size) = BYTE_UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
            whole_number(text.strip_suffix(unit)?)?.checked_mul(*size)
        })?;
        let value = T::try_from(count).ok()?;
        (self.min..=self.max).contains(&value).then_some(value)
    }

    fn write(&self, value: &T) -> String {
        match in_byte_units(*value) {
            (count, "") => count.to_string(),
            (count, unit) => quoted(&format!("{count}{unit}")),
        }
    }

    fn expected(&self) -> String {
        let size = |value| match in_byte_units(value) {
            (count, "") => format!("{count} bytes"),
            (count, unit) => format!("{count}{unit}"),
        };
        match in_byte_units(self.max) {
            (max, "") => format!("{} to {max} bytes", in_byte_units(self.min).0),
            _ => format!(
                "{} to {}, such as 65536, \"64KiB\" or \"1MiB\"",
                size(self.min),
                size(self.max)
            ),
        }
    }

    fn placeholder(&self) -> &'static str {
        "BYTES"
    }
}

impl Kind for Span {
    type Value = Duration;

    fn read(&self, written: &Written<'_>) -> Option<Duration> {
        let text = written.text()?;
        let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '_'))?;
        let (number, unit) = text.split_at(digits);
        let (_, millis) = TIME_UNITS.iter().find(|(known, _)| *known == unit)?;
        let number = u128::try_from(whole_number(number)?).ok()?;
        let millis = u64::try_from(number.checked_mul(*millis)?).ok()?;
        let value = Duration::from_millis(millis);
        (self.min..=self.max).contains(&value).then_some(value)
    }

    fn write(&self, value: &Duration) -> String {
        quoted(&in_time_units(*value))
    }

    fn expected(&self) -> String {
        format!(
            "{} to {}, such as \"500ms\", \"30s\" or \"5m\"",
            in_time_units(self.min),
            in_time_units(self.max)
        )
    }

    fn placeholder(&self) -> &'static str {
        "DURATION"
    }
}

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn read(&self, written: &Written<'_>) -> Option<T> {
        let text = written.text()?;
        let (_, value) = self.0.iter().find(|(word, _)| *word == text)?;
        Some(*value)
    }

    fn write(&self, value: &T) -> String {
        let (word, _) = self
            .0
            .iter()
            .find(|(_, known)| known == value)
            .expect("a choice lists every value of its type");
        quoted(word)
    }

    fn expected(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| quoted(word)).collect();
        one_of(&words)
    }

    fn placeholder(&self) -> &'static str {
        "WORD"
    }
}

impl Kind for Switch {
    type Value = bool;

    fn read(&self, written: &Written<'_>) -> Option<bool> {
        match written {
            Written::Boolean(value) => Some(*value),
            Written::Argument("true") => Some(true),
            Written::Argument("false") => Some(false),
            _ => None,
        }
    }

    fn write(&self, value: &bool) -> String {
        value.to_string()
    }

    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "BOOL"
    }
}

impl Kind for Address {
    type Value = SocketAddr;

    fn read(&self, written: &Written<'_>) -> Option<SocketAddr> {
        written.text()?.parse().ok()
    }

    fn write(&self, value: &SocketAddr) -> String {
        quoted(&value.to_string())
    }

    fn expected(&self) -> String {
        "an IP address and a port, such as \"0.0.0.0:4000\" or \"[::]:4000\"".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "ADDR:PORT"
    }
}

impl Kind for Text {
    type Value = String;

    fn read(&self, written: &Written<'_>) -> Option<String> {
        let text = written.text()?;
        (self.allows)(text).then(|| text.to_owned())
    }

    fn write(&self, value: &String) -> String {
        quoted(value)
    }

    fn expected(&self) -> String {
        self.expected.to_owned()
    }

    fn placeholder(&self) -> &'static str {
        self.placeholder
    }
}

impl Kind for List {
    type Value = Vec<String>;

    fn read(&self, written: &Written<'_>) -> Option<Vec<String>> {
        let items = written.items()?;
        let counted = (1..=self.items_max).contains(&items.len());
        let allowed = items.iter().all(|item| (self.item.allows)(item));
        (counted && allowed).then(|| items.into_iter().map(str::to_owned).collect())
    }

    fn write(&self, value: &Vec<String>) -> String {
        quoted_list(value)
    }

    fn expected(&self) -> String {
        format!(
            "a list of 1 to {}, each {}",
            self.items_max, self.item.expected
        )
    }

    fn placeholder(&self) -> &'static str {
        "LIST"
    }
}

impl<K: Kind> Kind for Or<K> {
    type Value = Option<K::Value>;

    fn read(&self, written: &Written<'_>) -> Option<Self::Value> {
        if written.text() == Some(self.word) {
            return Some(None);
        }
        self.kind.read(written).map(Some)
    }

    fn write(&self, value: &Self::Value) -> String {
        match value {
            Some(value) => self.kind.write(value),
            None => quoted(self.word),
        }
    }

    fn expected(&self) -> String {
        format!("{}, or {}", self.kind.expected(), quoted(self.word))
    }

    fn placeholder(&self) -> &'static str {
        self.kind.placeholder()
    }
}

/// Writes strings as an array of TOML.
pub(super) fn quoted_list(texts: &[String]) -> String {
    let items: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", items.join(", "))
}

/// A time in the largest unit that leaves no rest.
pub(super) fn in_time_units(value: Duration) -> String {
    let millis = value.as_millis();
    let (unit, size) = TIME_UNITS
        .iter()
        .find(|(_, size)| millis >= *size && millis.is_multiple_of(*size))
        .unwrap_or(&("ms", 1));
    format!("{}{unit}", millis / size)
}

/// A size in the largest unit that leaves no rest.
fn in_byte_units<T: TryInto<i64>>(value: T) -> (i64, &'static str) {
    // A range of this file is an i64 by its declaration; what does not fit is beyond any range.
    let count = value.try_into().unwrap_or(i64::MAX);
    BYTE_UNITS
        .iter()
        .find(|(_, size)| count >= *size && count % size == 0)
        .map_or((count, ""), |(unit, size)| (count / size, unit))
}

fn grouped<T: TryInto<u64>>(value: T) -> Grouped {
    // No count is negative.
    Grouped(value.try_into().unwrap_or_default())
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn one_of(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
