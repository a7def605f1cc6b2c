//! A value of a limit that is to be changed.

use crate::{Limit, Setting};

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

impl Change {
    /// What to do, with its number; a clause that reads on after "to hold more, ".
    pub fn remedy(&self) -> String {
        remedy(self.limit, &self.to)
    }
}

/// The remedy with its number in place of the letter.
fn remedy(limit: Limit, to: &str) -> String {
    match limit.setting() {
        Setting::Sysctl { key, .. } => {
            // What the words say behind their command.
            let more = limit.remedy().splitn(3, '`').nth(2).unwrap_or_default();
            format!("`sysctl -w {key}=\"{to}\"`{more}")
        }
        _ => with_number(limit.remedy(), to),
    }
}

/// `words` with `to` for each N that stands for a number.
fn with_number(words: &str, to: &str) -> String {
    let parts: Vec<&str> = words.split('N').collect();
    let mut text = String::with_capacity(words.len() + 4 * to.len());
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            let before = text.chars().next_back();
            let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let alone = !is_word(before) && !is_word(part.chars().next());
            text.push_str(if alone { to } else { "N" });
        }
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_takes_the_place_of_its_letter_alone() {
        let words = "LimitNOFILE=N in a unit, nofile=N:N, NAT of N";
        let filled = "LimitNOFILE=7 in a unit, nofile=7:7, NAT of 7";
        assert_eq!(with_number(words, "7"), filled);
        assert_eq!(with_number("", "7"), "");
    }

    #[test]
    fn a_remedy_is_a_command_with_its_number() {
        assert_eq!(
            remedy(Limit::TcpMemory, "1 2 3"),
            "`sysctl -w net.ipv4.tcp_mem=\"1 2 3\"` on the host, in pages"
        );
        let text = remedy(Limit::DescriptorCeiling, "2000000");
        assert!(
            text.starts_with("`sysctl -w fs.nr_open=\"2000000\"` on the host, then raise"),
            "{text}"
        );
    }
}
