//! A script with all that it is read from, so that other machines read the very same: its text, its files,
//! and what it takes from the environment.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    flags::ScriptFlags,
    problem::{Place, Problems},
    read::Script,
};

/// The longest file, in bytes: it is held in memory.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// The most bytes of a bundle: one frame carries it, in JSON, in which some characters are longer.
const BUNDLE_BYTES_MAX: usize = 48 << 20;

/// A script and everything that it is read from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bundle {
    /// The script's path, for its reader's complaints.
    file: String,
    text: String,
    flags: ScriptFlags,
    /// By the names that the script has for them.
    files: BTreeMap<String, String>,
    environment: BTreeMap<String, Option<String>>,
}

/// Where the files are that a script names.
#[derive(Debug)]
pub(crate) enum Files<'a> {
    /// In a folder; what was read is remembered.
    Folder {
        folder: PathBuf,
        read: RefCell<BTreeMap<String, String>>,
    },
    /// They came with the script.
    Bundle(&'a BTreeMap<String, String>),
}

impl Files<'_> {
    /// Those in `folder`.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self::Folder {
            folder: folder.to_owned(),
            read: RefCell::default(),
        }
    }

    /// The text of a file, or what is wrong with it.
    pub(crate) fn read(&self, name: &str) -> Result<String, String> {
        let (folder, read) = match self {
            Self::Bundle(files) => {
                let text = files.get(name).cloned();
                return text.ok_or_else(|| format!("{name} did not come with the script"));
            }
            Self::Folder { folder, read } => (folder, read),
        };
        let path = folder.join(name);
        let shown = path.display();
        let size = fs::metadata(&path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        if !size.is_file() {
            return Err(format!("{shown} is no file"));
        }
        if size.len() > FILE_BYTES_MAX {
            return Err(format!("{shown} is over {} MiB long", FILE_BYTES_MAX >> 20));
        }
        let text = fs::read_to_string(&path);
        let text = text.map_err(|error| format!("cannot read {shown}: {error}"))?;
        read.borrow_mut().insert(name.to_owned(), text.clone());
        Ok(text)
    }
}

impl Bundle {
    /// Reads the script at `path`, and packs it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, or that it is too long together with its files.
    pub fn pack(path: &Path, flags: &ScriptFlags) -> Result<(Script, Self), Problems> {
        let file = path.display().to_string();
        let fail = |why: String| {
            let mut problems = Problems::of(&file);
            problems.note(Place { line: 1, column: 1 }, "", why);
            problems
        };
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| fail(format!("cannot read the script: {error}")))?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let (files, asked) = (Files::in_folder(folder), RefCell::new(BTreeMap::new()));
        let environment = |name: &str| {
            let value = std::env::var(name).ok();
            asked.borrow_mut().insert(name.to_owned(), value.clone());
            value
        };
        let script = Script::parse_with(&file, &text, &files, flags, &environment)?;
        let Files::Folder { read: files, .. } = files else {
            unreachable!("it was made of a folder");
        };
        let files = files.into_inner();
        let bytes = text.len() + files.values().map(String::len).sum::<usize>();
        if bytes > BUNDLE_BYTES_MAX {
            return Err(fail(format!(
                "the script and its files are {} MiB long: expected {} at most where agents run it",
                bytes >> 20,
                BUNDLE_BYTES_MAX >> 20
            )));
        }
        let bundle = Self {
            flags: flags.clone(),
            environment: asked.into_inner(),
            file,
            text,
            files,
        };
        Ok((script, bundle))
    }

    /// Reads the script as it was where it was packed.
    pub(crate) fn read(&self) -> Result<Script, Problems> {
        let environment = |name: &str| self.environment.get(name).cloned().flatten();
        let files = Files::Bundle(&self.files);
        Script::parse_with(&self.file, &self.text, &files, &self.flags, &environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_reads_elsewhere_as_it_does_here() {
        let folder = std::env::temp_dir().join(format!("fourtuple-bundle-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("s.yml");
        let script = "config:\n  target: ws://127.0.0.1:1/{{ $env.FOURTUPLE_NO_SUCH_NAME }}\n  \
                      phases: [{duration: 1, arrivalRate: 1}]\n  \
                      payload: [{path: users.csv, fields: [name]}]\n  processor: ./f.js\n\
                      scenarios: [{engine: ws, flow: [{function: mark}, {send: '{{ name }} {{ mark }}'}]}]\n";
        let functions = "const { mark } = require('./lib/mark');\nexports.mark = (context) => { context.vars.mark = mark; };";
        fs::write(&path, script).expect("a file");
        fs::write(folder.join("users.csv"), "ada\nbob\n").expect("a file");
        fs::write(folder.join("f.js"), functions).expect("a file");
        fs::create_dir_all(folder.join("lib")).expect("a folder");
        let mark = "exports.mark = process.env.FOURTUPLE_NO_SUCH_NAME;";
        fs::write(folder.join("lib/mark.js"), mark).expect("a file");
        let (here, bundle) = Bundle::pack(&path, &ScriptFlags::default()).expect("a script");
        fs::remove_dir_all(&folder).expect("it is ours");
        let text = serde_json::to_string(&bundle).expect("JSON");
        let bundle: Bundle = serde_json::from_str(&text).expect("the same");
        let there = bundle.read().expect("the same script");
        assert_eq!(format!("{here:?}"), format!("{there:?}"));
        assert_eq!(there.payloads[0].rows.len(), 2);

        let mut changed = bundle;
        changed.files.clear();
        let refusal = changed.read().expect_err("a file is missing").to_string();
        assert!(
            refusal.contains("users.csv did not come with the script"),
            "{refusal}"
        );
        assert!(refusal.contains("s.yml:"), "{refusal}");
    }
}
