//! The files of the repository, and what of a Rust file is program, test or comment.
//!
//! Knows Rust as its formatter writes it and no more: every question here is answered by looking at
//! whole lines.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn manifest(path: &str) -> toml::Table {
    read(path)
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file that a person wrote, as a path relative to the root with `/` between its parts.
pub(crate) fn files() -> impl Iterator<Item = String> {
    let mut folders = vec![PathBuf::new()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder))
            .expect("a folder of the repository")
            .flatten()
        {
            let path = folder.join(entry.file_name());
            let name = entry.file_name();
            let made = ["target", "node_modules", ".git", ".venv", "__pycache__"]
                .iter()
                .any(|m| name == *m);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !made {
                    folders.push(path);
                }
            } else {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found.into_iter()
}

pub(crate) fn rust_sources() -> impl Iterator<Item = Source> {
    files()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| Source {
            text: read(&path),
            path,
        })
}

/// One Rust file.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// The whole file is tests.
    pub(crate) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| part == "tests" || part == "tests.rs" || part == "benches")
    }

    /// The numbered lines of the program itself: everything before the tests at its end.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        // A module that is only declared there lives in a file of its own, and the program goes on.
        let is_inline = |(at, mark): &(usize, &str)| {
            let declaration = self.text[at + mark.len()..].lines().next();
            declaration.is_some_and(|line| line.contains('{'))
        };
        let mut tests = self.text.match_indices("\n#[cfg(test)]\nmod ");
        let own = tests
            .find(is_inline)
            .map_or(&*self.text, |(at, _)| &self.text[..at]);
        own.lines()
            .enumerate()
            .map(|(n, line)| (n + 1, without_comment(line)))
    }

    pub(crate) fn lines_without_comments(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(n, line)| (n + 1, without_comment(line)))
    }

    /// Each function outside the tests: line, name and length. The formatter puts the closing brace
    /// under the first letter of its function, so indentation alone finds it.
    pub(crate) fn functions(&self) -> Vec<(usize, &str, usize)> {
        let lines: Vec<_> = self.code().collect();
        let mut found = Vec::new();
        for (position, (number, line)) in lines.iter().enumerate() {
            let Some(name) = function_name(line) else {
                continue;
            };
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = format!("{indent}}}");
            let rest = &lines[position..];
            let declared_only = rest
                .iter()
                .take_while(|(_, line)| !line.ends_with('{'))
                .any(|(_, line)| line.ends_with(';'));
            let one_line = line.ends_with('}');
            if declared_only || one_line {
                continue;
            }
            if let Some(length) = rest.iter().position(|(_, line)| *line == end) {
                found.push((*number, name, length + 1));
            }
        }
        found
    }
}

fn without_comment(line: &str) -> &str {
    let start = line.trim_start();
    if start.starts_with("//") {
        return "";
    }
    line.split(" // ").next().unwrap_or(line).trim_end()
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start().split(' ');
    let keywords = [
        "pub",
        "pub(crate)",
        "pub(super)",
        "const",
        "async",
        "unsafe",
    ];
    let word = words.find(|word| !keywords.contains(word))?;
    let name = if word == "fn" {
        words.next()?
    } else {
        return None;
    };
    name.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source {
            path: "src/shard.rs".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn functions_are_measured_from_their_name_to_their_brace() {
        let text = "impl Shard {\n    pub const fn turn(\n        &self,\n    ) {\n        a();\n    }\n\n    fn short(&self) {}\n}\n\ntrait T {\n    fn declared(&self);\n}\n";
        assert_eq!(source(text).functions(), [(2, "turn", 5)]);
    }

    #[test]
    fn code_ends_where_the_tests_begin_and_has_no_comments() {
        let text = "//! Doc.\nfn f() {} // why\n\n#[cfg(test)]\nmod tests {}\n";
        let source = source(text);
        let code: Vec<_> = source.code().collect();
        assert_eq!(code, [(1, ""), (2, "fn f() {}")]);
    }

    #[test]
    fn code_goes_on_after_tests_that_are_in_another_file() {
        let text = "#![x]\n#[cfg(test)]\nmod tests;\nfn f() {}\n\n#[cfg(test)]\nmod more {}\n";
        let source = source(text);
        let code: Vec<_> = source.code().collect();
        assert_eq!(
            code,
            [
                (1, "#![x]"),
                (2, "#[cfg(test)]"),
                (3, "mod tests;"),
                (4, "fn f() {}")
            ]
        );
    }

    #[test]
    fn words_are_whole() {
        let found: Vec<_> = words("forbid(unsafe_code); unsafe {")
            .filter(|w| !w.is_empty())
            .collect();
        assert_eq!(found, ["forbid", "unsafe_code", "unsafe"]);
    }
}
