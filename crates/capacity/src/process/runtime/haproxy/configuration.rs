//! What an HAProxy configuration says of connections.
//!
//! A line is a keyword and its words; the name of a section at its beginning starts that section.

use crate::process::{Known, unknown::parse_number};

/// How many ways in are listed.
const FRONTENDS_MAX: usize = 64;

/// How many sections of defaults are kept, which others may name.
const DEFAULTS_MAX: usize = 64;

/// Words of a line that are looked at.
const WORDS_MAX: usize = 4;

/// What names the defaults that a section starts from.
const FROM: &str = "from";

/// Sections without a `maxconn` that matters here.
const OTHER_SECTIONS: [&str; 15] = [
    "acme",
    "backend",
    "cache",
    "crt-store",
    "dynamic-update",
    "fcgi-app",
    "http-errors",
    "log-forward",
    "log-profile",
    "mailers",
    "peers",
    "program",
    "resolvers",
    "ring",
    "userlist",
];

/// The limits of the process and of each way in; `None` where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Connections of the process: `maxconn` in `global`.
    pub maxconn: Option<Known<u64>>,
    /// Descriptors of the process: `ulimit-n`.
    pub descriptors: Option<Known<u64>>,
    /// The ways in, at most 64.
    pub frontends: Vec<Frontend>,
    defaults: Vec<Defaults>,
}

/// A section that accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// `frontend` or `listen`.
    pub section: &'static str,
    /// What it is called.
    pub name: String,
    /// Its own limit or that of its defaults.
    pub maxconn: Option<Known<u64>>,
}

/// A section that others start from: those behind it, or those that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Defaults {
    name: String,
    maxconn: Option<Known<u64>>,
}

/// Where a line is.
enum Section {
    Global,
    Defaults,
    Frontend,
    Other,
}

impl Configuration {
    /// Reads one text.
    pub fn parse(text: &str) -> Self {
        let mut configuration = Self::default();
        configuration.add(text);
        configuration
    }

    /// Reads another text behind those that were read.
    pub fn add(&mut self, text: &str) {
        let mut section = Section::Other;
        for line in text.lines() {
            let words = words(line);
            let Some(keyword) = words.first() else {
                continue;
            };
            match *keyword {
                "global" => section = Section::Global,
                "defaults" => section = self.start_defaults(&words),
                "frontend" => section = self.start_frontend("frontend", &words),
                "listen" => section = self.start_frontend("listen", &words),
                other if OTHER_SECTIONS.contains(&other) => section = Section::Other,
                "maxconn" | "ulimit-n" => self.set(&section, &words),
                _ => {}
            }
        }
    }

    fn start_defaults(&mut self, words: &[&str]) -> Section {
        if self.defaults.len() == DEFAULTS_MAX {
            return Section::Other;
        }
        let maxconn = self.named_by(words).and_then(|it| it.maxconn.clone());
        self.defaults.push(Defaults {
            name: name(words),
            maxconn,
        });
        Section::Defaults
    }

    fn start_frontend(&mut self, section: &'static str, words: &[&str]) -> Section {
        if self.frontends.len() == FRONTENDS_MAX {
            return Section::Other;
        }
        let defaults = self.named_by(words).or_else(|| self.defaults.last());
        let maxconn = defaults.and_then(|it| it.maxconn.clone());
        self.frontends.push(Frontend {
            section,
            name: name(words),
            maxconn,
        });
        Section::Frontend
    }

    /// The defaults behind `from`.
    fn named_by(&self, words: &[&str]) -> Option<&Defaults> {
        let name = words.iter().skip_while(|word| **word != FROM).nth(1)?;
        self.defaults.iter().rev().find(|it| it.name == *name)
    }

    fn set(&mut self, section: &Section, words: &[&str]) {
        let [keyword, value, ..] = words else { return };
        let value = value.trim_matches('"');
        // Zero is "not set" for each.
        let number = Some(parse_number(keyword, value)).filter(|number| *number != Ok(0));
        let place = match (section, *keyword) {
            (Section::Global, "maxconn") => &mut self.maxconn,
            (Section::Global, _) => &mut self.descriptors,
            (Section::Defaults, "maxconn") => match self.defaults.last_mut() {
                Some(defaults) => &mut defaults.maxconn,
                None => return,
            },
            (Section::Frontend, "maxconn") => match self.frontends.last_mut() {
                Some(frontend) => &mut frontend.maxconn,
                None => return,
            },
            _ => return,
        };
        *place = number;
    }
}

/// What a section is called; one of defaults may have no name.
fn name(words: &[&str]) -> String {
    let name = words.get(1).filter(|word| **word != FROM);
    name.copied().unwrap_or_default().to_owned()
}

/// The first words of a line, without its comment.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace()
        .take_while(|word| !word.starts_with('#'))
        .take(WORDS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Unknown;

    fn frontend(configuration: &Configuration, name: &str) -> Option<Known<u64>> {
        let mut frontends = configuration.frontends.iter();
        frontends.find(|it| it.name == name)?.maxconn.clone()
    }

    #[test]
    fn each_level_has_its_own() {
        let found = Configuration::parse(
            "global\n\tlog /dev/log local0\n\tmaxconn 50000 # all\n\tulimit-n 100100\n\n\
             defaults\n\tmode http\n\tmaxconn 3000\n\n\
             frontend www\n\tbind :80\n\tdefault_backend app\n\n\
             frontend live\n\tbind :81\n\tmaxconn 40000\n\n\
             backend app\n\tfullconn 1\n\tserver a 10.0.0.1:80 maxconn 7\n\n\
             listen stats\n\tbind :82\n\tmaxconn \"10\"\n",
        );
        assert_eq!(found.maxconn, Some(Ok(50_000)));
        assert_eq!(found.descriptors, Some(Ok(100_100)));
        assert_eq!(found.frontends.len(), 3);
        assert_eq!(frontend(&found, "www"), Some(Ok(3_000)));
        assert_eq!(frontend(&found, "live"), Some(Ok(40_000)));
        assert_eq!(frontend(&found, "stats"), Some(Ok(10)));
        assert_eq!(found.frontends[2].section, "listen");
    }

    #[test]
    fn defaults_can_be_named() {
        let found = Configuration::parse(
            "defaults small\n maxconn 10\ndefaults large from small\n maxconn 20\n\
             defaults from small\n\
             frontend a from small\nfrontend b\nfrontend c from large\nfrontend d from none\n",
        );
        assert_eq!(frontend(&found, "a"), Some(Ok(10)));
        assert_eq!(frontend(&found, "b"), Some(Ok(10)));
        assert_eq!(frontend(&found, "c"), Some(Ok(20)));
        assert_eq!(frontend(&found, "d"), Some(Ok(10)));
    }

    #[test]
    fn zero_and_nothing_are_not_set() {
        let found = Configuration::parse("global\n maxconn 0\nfrontend a\nmaxconn\n");
        assert_eq!(found.maxconn, None);
        assert_eq!(frontend(&found, "a"), None);
        assert_eq!(Configuration::parse("maxconn 5"), Configuration::default());
    }

    #[test]
    fn what_is_no_number_says_so() {
        let found = Configuration::parse("global\n maxconn \"$MAX\"\n");
        assert!(matches!(found.maxconn, Some(Err(Unknown::Odd { .. }))));
    }

    #[test]
    fn lists_are_bounded() {
        let many = "defaults\nfrontend x\n".repeat(1_000);
        let found = Configuration::parse(&many);
        assert_eq!(found.frontends.len(), FRONTENDS_MAX);
        assert_eq!(found.defaults.len(), DEFAULTS_MAX);
    }

    #[test]
    fn files_follow_each_other() {
        let mut found = Configuration::parse("defaults\n maxconn 5\n");
        found.add("maxconn 6\nfrontend a\n");
        assert_eq!(frontend(&found, "a"), Some(Ok(5)));
    }
}
