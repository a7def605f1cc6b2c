//! The mark that a publish carries, by which every member recognises and dates it.
//!
//! ```text
//! ft:00000000deadbeef:00000002:0000002a:00000000075bcd15:xxxxxxx
//!    run              topic    number   due              padding
//! ```
//!
//! A push carries the same with the number 0, and in the place of the topic the number of the client
//! that pushes: with the time, that tells its push from everybody else's.
//!
//! All numbers are hexadecimal with a fixed width. The mark is plain ASCII without quotes or
//! backslashes, so it survives as part of any JSON string, through servers that decode and encode
//! payloads, wrap them, or reorder their keys.

use engine::Time;

/// Bytes of a mark without padding.
pub(crate) const MARK_BYTES: usize = PREFIX.len() + 17 + 9 + 9 + 17;

const PREFIX: &str = "ft:";

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The run that published it; marks of other runs are none of ours.
    pub(crate) run: u64,
    /// The topic, by its number in the run; of a push, the client that pushes.
    pub(crate) topic: u32,
    /// Its number within the topic, from 1; 0 for a push.
    pub(crate) number: u32,
    /// When it was meant to be sent.
    pub(crate) due: Time,
}

impl Mark {
    /// Appends the mark, padded to at least `bytes` bytes.
    pub(crate) fn encode(&self, out: &mut String, bytes: usize) {
        use std::fmt::Write as _;

        let start = out.len();
        // Writing to a String does not fail.
        let _ = write!(
            out,
            "{PREFIX}{:016x}:{:08x}:{:08x}:{:016x}:",
            self.run,
            self.topic,
            self.number,
            self.due.as_nanos()
        );
        let written = out.len() - start;
        out.extend(std::iter::repeat_n('x', bytes.saturating_sub(written)));
    }

    /// Finds the first mark of run `run` in `text`.
    pub(crate) fn find(text: &str, run: u64) -> Option<Self> {
        text.match_indices(PREFIX)
            .filter_map(|(at, _)| Self::parse(&text[at + PREFIX.len()..]))
            .find(|mark| mark.run == run)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let mut field = |width: usize| {
            let digits = fields.next().filter(|digits| digits.len() == width)?;
            // from_str_radix would also take a sign.
            let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain
                .then(|| u64::from_str_radix(digits, 16).ok())
                .flatten()
        };
        let run = field(16)?;
        let topic = u32::try_from(field(8)?).ok()?;
        let number = u32::try_from(field(8)?).ok()?;
        let due = Time::from_nanos(field(16)?);
        // The padding follows, so a mark that was cut short is no mark.
        fields.next()?;
        Some(Self {
            run,
            topic,
            number,
            due,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARK: Mark = Mark {
        run: 0xdead_beef,
        topic: 2,
        number: 42,
        due: Time::from_nanos(123_456_789),
    };

    #[test]
    fn the_picture_is_true() {
        let mut text = String::new();
        MARK.encode(&mut text, 62);
        assert_eq!(
            text,
            "ft:00000000deadbeef:00000002:0000002a:00000000075bcd15:xxxxxxx"
        );
        let mut bare = String::new();
        MARK.encode(&mut bare, 0);
        assert_eq!(bare.len(), MARK_BYTES);
        assert_eq!(Mark::find(&bare, MARK.run), Some(MARK));
    }

    #[test]
    fn other_runs_and_broken_marks_are_not_ours() {
        let mut text = String::from("ft: ft:0: ");
        MARK.encode(&mut text, 100);
        assert_eq!(Mark::find(&text, 1), None);
        assert_eq!(Mark::find(&text[..10 + MARK_BYTES - 1], MARK.run), None);
        assert_eq!(
            Mark::find(&text.replace("0000002a", "+000002a"), MARK.run),
            None
        );
        assert_eq!(Mark::find(&text, MARK.run), Some(MARK));
    }

    proptest! {
        #[test]
        fn found_again_inside_anything(
            before in "[^f]{0,30}",
            after in ".{0,30}",
            run: u64,
            topic: u32,
            number: u32,
            due: u64,
            bytes in 0..200_usize,
        ) {
            let mark = Mark { run, topic, number, due: Time::from_nanos(due) };
            let mut text = before;
            mark.encode(&mut text, bytes);
            text.push_str(&after);
            prop_assert_eq!(Mark::find(&text, run), Some(mark));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}", hex in "ft:[0-9a-f:é]{0,70}") {
            let _ = Mark::find(&text, 0);
            let _ = Mark::find(&hex, 0);
        }
    }
}
