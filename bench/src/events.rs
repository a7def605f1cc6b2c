//! Follows the file in which the crowd writes what happens, a line of JSON each (`docs/load.md`).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

/// A file of events that grows.
#[derive(Debug)]
pub(crate) struct Events {
    path: PathBuf,
    /// `None` until the crowd has made it.
    file: Option<File>,
    /// The beginning of a line whose end is not written yet.
    begun: String,
}

/// What the crowd tells, as far as the bench follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// It has entered the stage of this name.
    Stage(String),
    /// A broadcast is over: all have it, or nobody is waited for any more.
    Broadcast,
}

impl News {
    /// Says whether the stage `name` has been entered.
    pub(crate) fn is_stage(&self, name: &str) -> bool {
        matches!(self, Self::Stage(stage) if stage == name)
    }

    /// Reads a line of the file; `None` for what the bench does not follow.
    fn parse(line: &str) -> anyhow::Result<Option<Self>> {
        let strange = || format!("the crowd writes as an event: {line}");
        let event: Value = serde_json::from_str(line).with_context(strange)?;
        Ok(match event["event"].as_str() {
            Some("stage") => {
                let stage = event["stage"].as_str().with_context(strange)?;
                Some(Self::Stage(stage.to_owned()))
            }
            Some("broadcast") => Some(Self::Broadcast),
            _ => None,
        })
    }
}

impl Events {
    pub(crate) fn follow(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            begun: String::new(),
        }
    }

    /// Returns what the crowd has told since the last call, in its order.
    pub(crate) fn news(&mut self) -> anyhow::Result<Vec<News>> {
        let file = match &mut self.file {
            Some(file) => file,
            None => match File::open(&self.path) {
                Ok(file) => self.file.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot read {}", self.path.display()));
                }
            },
        };
        file.read_to_string(&mut self.begun)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        let whole = self.begun.rfind('\n').map_or(0, |end| end + 1);
        let rest = self.begun.split_off(whole);
        let lines = std::mem::replace(&mut self.begun, rest);
        let news = lines.lines().map(News::parse);
        news.filter_map(Result::transpose).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn news_are_told_once_and_when_their_line_is_whole() {
        let name = format!("fourtuple-events-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut events = Events::follow(&path);
        assert!(events.news().unwrap().is_empty());
        let mut file = File::create(&path).unwrap();
        let stage = |name: &str| News::Stage(name.to_owned());
        for (written, news) in [
            (
                "{\"event\":\"stage\",\"stage\":\"opening\"}\n{\"event\":\"stage\",",
                vec![stage("opening")],
            ),
            (
                "\"stage\":\"holding\"}\n{\"event\":\"broadcast\",\"number\":1}\n{\"event\":\"new\"}\n",
                vec![stage("holding"), News::Broadcast],
            ),
            ("", vec![]),
        ] {
            file.write_all(written.as_bytes()).unwrap();
            assert_eq!(events.news().unwrap(), news);
        }
        for strange in ["nonsense\n", "{\"event\":\"stage\"}\n"] {
            file.write_all(strange.as_bytes()).unwrap();
            assert!(events.news().is_err(), "{strange}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
