//! Where a configuration is read from, and in which order.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::{
    PREFIX,
    draft::{Draft, Loaded},
    file::File,
    place::Place,
    problem::{Problem, Problems},
    setting::Setting,
    written::Written,
};

/// Everything that an operator may have decided with.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file of `--config`; without it the variable `FOURTUPLE_CONFIG` names one.
    pub file: Option<PathBuf>,
    /// The whole environment; variables that are not `FOURTUPLE_…` are left alone.
    pub environment: Vec<(OsString, OsString)>,
    /// Each flag with its value.
    pub flags: Vec<(&'static Setting, String)>,
}

/// The flag that names the file.
pub const CONFIG_FLAG: &str = "config";
/// The variable that names the file when no flag does.
pub const CONFIG_VARIABLE: &str = "FOURTUPLE_CONFIG";

impl Sources {
    /// Reads file, environment and flags, in this order.
    ///
    /// # Errors
    ///
    /// Everything that is wrong in any of them.
    pub fn load(&self) -> Result<Loaded, Problems> {
        let mut draft = Draft::new();
        let variable = self
            .environment
            .iter()
            .find(|(name, _)| name == CONFIG_VARIABLE);
        if let Some(path) = &self.file {
            let place = Place::Flag(format!("--{CONFIG_FLAG}"));
            read_file(&mut draft, path, place);
        } else if let Some((_, path)) = variable {
            let place = Place::Environment(CONFIG_VARIABLE.to_owned());
            read_file(&mut draft, Path::new(path), place);
        }
        self.load_over(draft)
    }

    /// Reads a file that is in memory already, called `name`, then environment and flags.
    ///
    /// # Errors
    ///
    /// Everything that is wrong in any of them.
    pub fn load_text(&self, name: &str, text: &str) -> Result<Loaded, Problems> {
        let mut draft = Draft::new();
        File { name, text }.read(&mut draft);
        self.load_over(draft)
    }

    /// Reads what wins over the file.
    pub(super) fn load_over(&self, mut draft: Draft) -> Result<Loaded, Problems> {
        let mut variables: Vec<_> = self
            .environment
            .iter()
            .map(|(name, value)| (name.to_string_lossy(), value))
            .filter(|(name, _)| name.starts_with(PREFIX) && name != CONFIG_VARIABLE)
            .filter(|(name, value)| !is_service_link(name, &value.to_string_lossy()))
            .collect();
        // Their order in the environment is nobody's decision.
        variables.sort_unstable();
        for (name, value) in variables {
            // What is not UTF-8 becomes a character that no setting takes.
            draft.set_variable(&name, &value.to_string_lossy());
        }
        for (setting, value) in &self.flags {
            let place = Place::Flag(format!("--{}", setting.flag()));
            draft.set(setting, &Written::Argument(value), value, place);
        }
        draft.finish()
    }
}

/// Whether a variable is one that Kubernetes sets for every container when there is a Service named
/// `fourtuple`: `FOURTUPLE_SERVICE_…`, and `FOURTUPLE_PORT` and its kind with an address in them.
fn is_service_link(name: &str, value: &str) -> bool {
    let Some(name) = name.strip_prefix(PREFIX) else {
        return false;
    };
    let port = name == "PORT" || name.starts_with("PORT_");
    name.starts_with("SERVICE_")
        || (name == "PORT" && value.contains("://"))
        || (port && name != "PORT" && ["_TCP", "_UDP"].iter().any(|kind| name.contains(kind)))
}

fn read_file(draft: &mut Draft, path: &Path, place: Place) {
    match fs::read_to_string(path) {
        Ok(text) => File {
            name: &path.to_string_lossy(),
            text: &text,
        }
        .read(draft),
        Err(error) => draft.problems.push(Problem::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
            place,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_says_of_a_service_is_no_setting() {
        for (name, value) in [
            ("FOURTUPLE_SERVICE_HOST", "10.0.0.1"),
            ("FOURTUPLE_SERVICE_PORT_WS", "4000"),
            ("FOURTUPLE_PORT", "tcp://10.0.0.1:4000"),
            ("FOURTUPLE_PORT_4000_TCP", "tcp://10.0.0.1:4000"),
            ("FOURTUPLE_PORT_4000_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        for (name, value) in [("FOURTUPLE_PORT", "4000"), ("FOURTUPLE_LISTEN", "tcp://a")] {
            assert!(!is_service_link(name, value), "{name}");
        }
    }
}
