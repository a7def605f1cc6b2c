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

impl Events {
    pub(crate) fn follow(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            begun: String::new(),
        }
    }

    /// Returns the stages that the crowd has entered since the last call, in their order.
    pub(crate) fn new_stages(&mut self) -> anyhow::Result<Vec<String>> {
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
        let mut stages = Vec::new();
        for line in lines.lines() {
            let event: Value = serde_json::from_str(line)
                .with_context(|| format!("the crowd writes as an event: {line}"))?;
            stages.extend(
                event
                    .get("stage")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
        }
        Ok(stages)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_stage_is_told_once_and_when_its_line_is_whole() {
        let name = format!("fourtuple-events-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut events = Events::follow(&path);
        assert!(events.new_stages().unwrap().is_empty());
        let mut file = File::create(&path).unwrap();
        let none: [&str; 0] = [];
        for (written, stages) in [
            ("{\"stage\":\"opening\"}\n{\"stage\":", &["opening"][..]),
            ("\"holding\"}\n{\"event\":\"broadcast\"}\n", &["holding"]),
            ("", &none),
        ] {
            file.write_all(written.as_bytes()).unwrap();
            assert_eq!(events.new_stages().unwrap(), stages);
        }
        file.write_all(b"nonsense\n").unwrap();
        assert!(events.new_stages().is_err());
        std::fs::remove_file(path).unwrap();
    }
}
