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

    /// Whether a value is for the server alone, and shown to nobody who asks for its configuration. What was
    /// written is not shown when it is refused, either, and [`write`](Self::write) gives something that is
    /// refused.
    fn is_secret(&self) -> bool {
        false
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COUNT: Count<u16> = Count {
        min: 1,
        max: 65_535,
        unit: "things",
    };
    const BYTES: Bytes<u64> = Bytes {
        min: 2,
        max: 1 << 30,
    };
    const SPAN: Span = Span {
        min: Duration::from_millis(1),
        max: Duration::from_secs(86_400),
    };

    fn reads<K: Kind>(kind: &K, text: &str) -> Option<K::Value> {
        let argument = kind.read(&Written::Argument(text));
        let string = kind.read(&Written::Text(text));
        assert_eq!(argument.is_some(), string.is_some(), "{text}");
        argument
    }

    /// Writes a value and reads what was written, as the file does and as a flag does.
    fn again<K: Kind>(kind: &K, value: &K::Value) -> [Option<K::Value>; 2] {
        let toml = kind.write(value);
        let integer = toml.parse().map(Written::Integer);
        let bare = toml.trim_matches('"');
        [
            integer.unwrap_or(Written::Text(bare)),
            Written::Argument(bare),
        ]
        .map(|written| kind.read(&written))
    }

    #[test]
    fn counts_are_integers_of_the_file_and_digits_elsewhere() {
        assert_eq!(COUNT.read(&Written::Integer(65_535)), Some(65_535));
        assert_eq!(COUNT.read(&Written::Argument("65_535")), Some(65_535));
        for refused in [
            Written::Integer(0),
            Written::Integer(65_536),
            Written::Integer(i64::MIN),
            Written::Text("1"),
            Written::Argument("-1"),
            Written::Boolean(true),
            Written::Other,
        ] {
            assert_eq!(COUNT.read(&refused), None, "{refused:?}");
        }
        assert_eq!(COUNT.expected(), "1 to 65,535 things");
    }

    #[test]
    fn bytes_have_units_of_1024() {
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("1MiB", 1 << 20),
            ("1GiB", 1 << 30),
            ("1_024KiB", 1 << 20),
        ] {
            assert_eq!(reads(&BYTES, text), Some(bytes), "{text}");
        }
        assert_eq!(BYTES.read(&Written::Integer(2)), Some(2));
        for text in [
            "1KiB1",
            "KiB",
            "64KB",
            "64 KiB",
            "-1KiB",
            "1.5MiB",
            "2GiB",
            "99999999999999999GiB",
        ] {
            assert_eq!(reads(&BYTES, text), None, "{text}");
        }
        assert_eq!(
            BYTES.expected(),
            "2 bytes to 1GiB, such as 65536, \"64KiB\" or \"1MiB\""
        );
        assert_eq!(
            Bytes {
                min: 7_u8,
                max: 255
            }
            .expected(),
            "7 to 255 bytes"
        );
    }

    #[test]
    fn spans_have_a_unit() {
        for (text, millis) in [
            ("1ms", 1),
            ("500ms", 500),
            ("60s", 60_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(
                reads(&SPAN, text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "60",
            "s",
            "0ms",
            "86401s",
            "1.5s",
            "-1s",
            "1d",
            "1 s",
            "18446744073709551616ms",
            "9223372036854775807h",
        ] {
            assert_eq!(reads(&SPAN, text), None, "{text}");
        }
        assert_eq!(SPAN.read(&Written::Integer(60)), None);
        assert_eq!(
            SPAN.expected(),
            "1ms to 24h, such as \"500ms\", \"30s\" or \"5m\""
        );
    }

    #[test]
    fn words_are_whole() {
        const WORDS: Choice<u8> = Choice(&[("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(reads(&WORDS, "b"), Some(2));
        assert_eq!(reads(&WORDS, "B"), None);
        assert_eq!(WORDS.expected(), "\"a\", \"b\" or \"c\"");

        let or = Or {
            kind: COUNT,
            word: "off",
        };
        assert_eq!(or.read(&Written::Text("off")), Some(None));
        assert_eq!(or.read(&Written::Integer(7)), Some(Some(7)));
        assert_eq!(or.read(&Written::Argument("of")), None);
        assert_eq!(or.expected(), "1 to 65,535 things, or \"off\"");
    }

    #[test]
    fn switches_and_addresses() {
        assert_eq!(Switch.read(&Written::Boolean(true)), Some(true));
        assert_eq!(Switch.read(&Written::Argument("false")), Some(false));
        assert_eq!(Switch.read(&Written::Text("true")), None);
        assert_eq!(Switch.read(&Written::Argument("yes")), None);

        for text in ["127.0.0.1:0", "[::1]:65535"] {
            assert_eq!(
                reads(&Address, text).map(|a| Address.write(&a)),
                Some(quoted(text))
            );
        }
        for text in ["localhost:4000", "127.0.0.1", ":4000", "127.0.0.1:65536"] {
            assert_eq!(reads(&Address, text), None, "{text}");
        }
    }

    #[test]
    fn lists_are_counted() {
        const LIST: List = List {
            item: Text {
                placeholder: "X",
                expected: "an x",
                allows: |text| text == "x",
            },
            items_max: 2,
        };
        assert_eq!(
            LIST.read(&Written::List(vec!["x", "x"])).map(|l| l.len()),
            Some(2)
        );
        assert_eq!(
            LIST.read(&Written::Argument("x, x")).map(|l| l.len()),
            Some(2)
        );
        for refused in [vec![], vec!["y"], vec!["x", "x", "x"]] {
            assert_eq!(LIST.read(&Written::List(refused)), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            count in 1..=u16::MAX,
            bytes in 2..=1_u64 << 30,
            shift in 0..30_u32,
            millis in 1..=86_400_000_u64,
        ) {
            prop_assert_eq!(again(&COUNT, &count), [Some(count); 2]);
            let bytes = (bytes >> shift << shift).max(2);
            prop_assert_eq!(again(&BYTES, &bytes), [Some(bytes); 2]);
            let span = Duration::from_millis(millis);
            prop_assert_eq!(again(&SPAN, &span), [Some(span); 2]);
            let span = Duration::from_secs(millis.div_ceil(1_000));
            prop_assert_eq!(again(&SPAN, &span), [Some(span); 2]);
        }
    }
}
